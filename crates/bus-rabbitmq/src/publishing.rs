//! The task that owns the publishing connection and its one channel.

use core::pin::{Pin, pin};
use core::time::Duration;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Event};
use ports::{Handle, NotConfirmed, Outgoing};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, LONGEST};
use crate::flight::{Answer, Flights, Returned};
use crate::link::{Link, LinkError};
use crate::message::speak;
use crate::pulse::{Line, Pulse};
use crate::settings::Settings;
use crate::topology::{self, Place};
use crate::watch::{End, Watch};

/// Publishes in flight at most; what is beyond waits in the mailbox.
const IN_FLIGHT: usize = 1024;

/// Publishes taken from the mailbox at a time.
const BATCH: usize = 64;

/// How often to look at what makes no event by itself.
const TICK: Duration = Duration::from_millis(250);

/// A message that somebody wants confirmed.
pub(crate) struct Publication {
    pub(crate) message: Outgoing,
    /// When nobody waits for it any more.
    pub(crate) expires: Duration,
    pub(crate) answer: Answer,
}

pub(crate) struct Publisher {
    settings: Arc<Settings>,
    handle: Handle,
    mailbox: mpsc::Receiver<Publication>,
    pulse: Arc<Pulse>,
    stop: CancellationToken,
}

impl Drop for Publisher {
    /// However the task ends: publishing works no more.
    fn drop(&mut self) {
        self.pulse.set_line(Line::Down);
    }
}

impl Publisher {
    pub(crate) fn new(
        settings: Arc<Settings>,
        handle: Handle,
        mailbox: mpsc::Receiver<Publication>,
        pulse: Arc<Pulse>,
        stop: CancellationToken,
    ) -> Self {
        Self { settings, handle, mailbox, pulse, stop }
    }

    /// Connects, publishes, connects again, until it is stopped or nobody is left to publish.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut reported = String::new();
        loop {
            let Some(opened) = self.refuse_while(open(Arc::clone(&self.settings), self.handle.clone())).await
            else {
                return;
            };
            let why = match opened {
                Ok((link, channel)) => {
                    tracing::info!(broker = %self.settings.address, "Ready to publish to RabbitMQ");
                    reported.clear();
                    let began = self.handle.monotonic();
                    let Some(why) = self.serve(&link, channel).await else {
                        return link.close().await;
                    };
                    if self.handle.monotonic().saturating_sub(began) > LONGEST {
                        backoff.reset();
                    }
                    why
                }
                Err(error) => error.to_string(),
            };
            self.pulse.set_line(Line::Down);
            self.pulse.set_waiting_since(None);
            if why == reported {
                tracing::debug!(error = why, "Still no publishing to RabbitMQ");
            } else {
                tracing::warn!(error = why, broker = %self.settings.address, "Cannot publish to RabbitMQ");
                reported = why;
            }
            let pause = self.handle.sleep(backoff.next(&self.handle));
            if self.refuse_while(pause).await.is_none() {
                return;
            }
        }
    }

    /// Publishes over one connection until it is of no use, and says why it is not; `None` when all is done.
    async fn serve(&mut self, link: &Link, mut channel: Channel) -> Option<String> {
        let mut events = pin!(link.events());
        loop {
            let end = self.pump(link, &channel, events.as_mut()).await;
            self.pulse.set_line(Line::Down);
            match end {
                End::Stopped => {
                    link.close_channel(&channel).await;
                    return None;
                }
                // A channel that never worked would only die again: that takes the backoff of a new connection.
                End::Link { why } | End::Channel { why, worked: false } => return Some(why),
                End::Channel { why, worked: true } => {
                    tracing::warn!(error = why, "The publishing channel died; opening another");
                    link.close_channel(&channel).await;
                    channel = match self.refuse_while(open_channel(&self.settings.clone(), link)).await? {
                        Ok(channel) => channel,
                        Err(error) => return Some(error.to_string()),
                    };
                }
            }
        }
    }

    /// Publishes over one channel.
    async fn pump(
        &mut self,
        link: &Link,
        channel: &Channel,
        mut events: Pin<&mut (impl Stream<Item = Event> + Send)>,
    ) -> End {
        let mut flights = Flights::new(channel.clone());
        let mut watch = Watch::default();
        let mut posted = Vec::with_capacity(BATCH);
        let mut mailbox_empty = false;
        let mut tick = self.handle.sleep(TICK);
        self.pulse.set_line(Line::Up);
        loop {
            let room = IN_FLIGHT.saturating_sub(flights.len()).min(BATCH);
            tokio::select! {
                biased;
                landed = flights.land() => match landed {
                    Ok(decided) => watch.decided(decided, self.handle.monotonic()),
                    Err(Returned) => {
                        tracing::error!("A message was returned: nothing is bound to countersign.unrouted");
                        return End::Channel { why: "a message was returned".to_owned(), worked: true };
                    }
                },
                Some(event) = events.next() => {
                    if let Some(end) = self.heed(&event, link, channel, &mut watch) {
                        return end;
                    }
                }
                count = self.mailbox.recv_many(&mut posted, room), if room > 0 && !mailbox_empty => {
                    mailbox_empty = count == 0;
                    for publication in posted.drain(..) {
                        self.launch(publication, link, &mut flights);
                    }
                }
                () = self.stop.cancelled(), if watch.stopping_since.is_none() => {
                    watch.stopping_since = Some(self.handle.monotonic());
                    self.pulse.set_line(Line::Down);
                    self.mailbox.close();
                }
                () = &mut tick => {
                    tick = self.handle.sleep(TICK);
                    let dead = watch.dead(link, channel, &"it ended");
                    if let Some(end) = dead.or_else(|| watch.overdue(&self.settings, self.handle.monotonic())) {
                        return end;
                    }
                }
            }
            if mailbox_empty && flights.len() == 0 {
                return End::Stopped;
            }
            self.pulse.set_waiting_since(watch.waiting_since(flights.len(), self.handle.monotonic()));
        }
    }

    /// Sends a message on its way, unless nobody waits for it any more or the broker takes none.
    fn launch(&self, publication: Publication, link: &Link, flights: &mut Flights) {
        let Publication { message, expires, answer } = publication;
        let refused = if self.handle.monotonic() >= expires {
            NotConfirmed::Deadline
        } else if link.is_blocked() {
            // The driver would queue it without bound and send it when the block ends.
            NotConfirmed::Unreachable
        } else {
            match speak(message) {
                Ok(message) => return flights.launch(message, answer),
                Err(error) => {
                    tracing::error!(%error, "A message cannot be published");
                    NotConfirmed::Refused
                }
            }
        };
        if answer.send(Err(refused)).is_err() {
            tracing::debug!(error = %refused, "A publish ended after its caller");
        }
    }

    fn heed(&self, event: &Event, link: &Link, channel: &Channel, watch: &mut Watch) -> Option<End> {
        if let Event::ConnectionBlocked(reason) = event {
            tracing::warn!(error = reason, "RabbitMQ takes no messages");
            watch.blocked_since = Some(self.handle.monotonic());
            self.pulse.set_line(Line::Blocked);
        } else if let Event::ConnectionUnblocked = event {
            tracing::info!("RabbitMQ takes messages again");
            watch.blocked_since = None;
            if watch.stopping_since.is_none() {
                self.pulse.set_line(Line::Up);
            }
        } else if let Event::Error(error) = event {
            return watch.dead(link, channel, error);
        }
        None
    }

    /// Waits for `work` and refuses what is posted meanwhile; `None` when it is time to end.
    async fn refuse_while<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                done = &mut work => return Some(done),
                // Dropping it says that the bus is unreachable.
                posted = self.mailbox.recv() => drop(posted?),
            }
        }
    }
}

/// A connection and a channel on it.
async fn open(settings: Arc<Settings>, handle: Handle) -> Result<(Link, Channel), LinkError> {
    let link = Link::open(&settings, "publish", &handle).await?;
    let channel = open_channel(&settings, &link).await?;
    Ok((link, channel))
}

/// A channel with confirms, on a topology that stands.
async fn open_channel(settings: &Settings, link: &Link) -> Result<Channel, LinkError> {
    let channel = link.channel().await?;
    link.request(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    let place = Place::Exchange(settings.publishes_to);
    topology::establish(link, &channel, settings.declare, place).await?;
    Ok(channel)
}
