#![doc = include_str!("../README.md")]

mod backoff;
mod consuming;
mod flight;
mod link;
mod message;
mod publishing;
mod pulse;
mod settings;
mod subscription;
mod topology;
mod watch;

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join;
use ports::{BoxFuture, Bus, BusUnavailable, Handle, NotConfirmed, Outgoing, Queue, Subscription, Task};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::consuming::Consuming;
use crate::publishing::{Publication, Publisher};
use crate::pulse::Pulse;
pub use crate::settings::{Address, AddressInvalid, Declare, Settings};

/// Messages that wait for the publishing task. Together with as many in flight, this is all that a process may have
/// unconfirmed; one more is refused at once.
const MAILBOX: usize = 1024;

/// How long `close` waits beyond the confirm deadline: for the connections to end in order.
const FAREWELL: Duration = Duration::from_secs(4);

/// How deep a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait to be delivered; those in somebody's hand are not among them.
    pub messages: u32,
    /// Who consumes it, everywhere.
    pub consumers: u32,
}

/// The bus over RabbitMQ.
pub struct RabbitMq {
    settings: Arc<Settings>,
    handle: Handle,
    mailbox: mpsc::Sender<Publication>,
    pulse: Arc<Pulse>,
    consuming: Consuming,
    stop: CancellationToken,
    publisher: Mutex<Option<Task<()>>>,
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMq").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl RabbitMq {
    /// Starts to connect, and goes on until it succeeds: an absent broker is no error, only not ready.
    pub fn connect(settings: Settings, handle: Handle) -> Self {
        let settings = Arc::new(settings);
        let pulse = Arc::new(Pulse::default());
        let stop = CancellationToken::new();
        let (mailbox, posted) = mpsc::channel(MAILBOX);
        let publisher =
            Publisher::new(Arc::clone(&settings), handle.clone(), posted, Arc::clone(&pulse), stop.clone());
        let publisher = handle.spawn("rabbitmq publisher", publisher.run());
        let consuming = Consuming::new(Arc::clone(&settings), handle.clone(), stop.clone());
        let publisher = Mutex::new(Some(publisher));
        Self { settings, handle, mailbox, pulse, consuming, stop, publisher }
    }

    /// An orderly end: nothing new is taken, what is in flight gets its confirm or its deadline, subscriptions end, and
    /// the connections close. Takes at most the confirm deadline and four seconds.
    pub async fn close(&self) {
        self.stop.cancel();
        let publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner).take();
        let published = async {
            if let Some(publisher) = publisher {
                publisher.await;
            }
        };
        let farewell = join(published, self.consuming.close());
        if self
            .handle
            .within(self.settings.confirm_deadline.saturating_add(FAREWELL), farewell)
            .await
            .is_none()
        {
            tracing::warn!("The connections to RabbitMQ did not close in time");
        }
    }

    /// How deep a queue is that this bus may consume from; only once it has subscribed to something.
    pub async fn depth(&self, queue: Queue) -> Result<Depth, BusUnavailable> {
        self.consuming.depth(queue).await
    }

    async fn publish_confirmed(&self, message: Outgoing) -> Result<(), NotConfirmed> {
        // Whoever publishes within a span knows what for; where to is known here.
        let (address, port) = self.settings.address.host_and_port();
        Span::current().record("server.address", address).record("server.port", port);
        if !self.pulse.accepts() {
            return Err(NotConfirmed::Unreachable);
        }
        let expires = self.handle.monotonic().saturating_add(self.settings.confirm_deadline);
        let (answer, answered) = oneshot::channel();
        self.mailbox
            .try_send(Publication { message, expires, answer })
            .map_err(|_full_or_closed| NotConfirmed::Unreachable)?;
        match self.handle.within(self.settings.confirm_deadline, answered).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_unanswered)) => Err(NotConfirmed::Unreachable),
            None => Err(NotConfirmed::Deadline),
        }
    }
}

impl Bus for RabbitMq {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), NotConfirmed>> {
        Box::pin(self.publish_confirmed(message))
    }

    fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, BusUnavailable>> {
        Box::pin(self.consuming.subscribe(queue, prefetch))
    }

    fn ready(&self) -> bool {
        self.pulse.ready(self.handle.monotonic(), self.settings.confirm_deadline)
    }
}
