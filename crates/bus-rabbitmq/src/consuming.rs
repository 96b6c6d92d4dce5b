//! The consuming connection: one for all subscriptions, made when the first asks for it and again when it has died.

use core::time::Duration;
use std::sync::Arc;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use ports::{BusUnavailable, Handle, Queue, Subscription};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Depth;
use crate::backoff::Backoff;
use crate::link::{Link, LinkError};
use crate::settings::Settings;
use crate::subscription::Consumption;
use crate::topology::{self, Place};

pub(crate) struct Consuming {
    settings: Arc<Settings>,
    handle: Handle,
    stop: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    backoff: Backoff,
    /// No attempt before this instant, however often somebody asks.
    not_before: Duration,
}

impl From<LinkError> for BusUnavailable {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}

impl Consuming {
    pub(crate) fn new(settings: Arc<Settings>, handle: Handle, stop: CancellationToken) -> Self {
        Self { settings, handle, stop, state: Mutex::default() }
    }

    /// One attempt, after the backoff of the failures before it.
    pub(crate) async fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Subscription>, BusUnavailable> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(BusUnavailable("the bus is closed".to_owned())),
            subscribed = self.attempt(queue, prefetch) => subscribed,
        }
    }

    /// How deep a queue is: a look, which takes no more rights than consuming from it. Only over a connection that stands.
    pub(crate) async fn depth(&self, queue: Queue) -> Result<Depth, BusUnavailable> {
        let link = self.state.lock().await.link.clone();
        let link = link.ok_or_else(|| BusUnavailable("nothing is being consumed".to_owned()))?;
        let channel = link.channel().await?;
        let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let looking = channel.queue_declare(queue.name().into(), look, FieldTable::default());
        let looked = link.request(looking).await;
        link.close_channel(&channel).await;
        let looked = looked?;
        Ok(Depth { messages: looked.message_count(), consumers: looked.consumer_count() })
    }

    async fn attempt(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, BusUnavailable> {
        let mut state = self.state.lock().await;
        self.handle.sleep(state.not_before.saturating_sub(self.handle.monotonic())).await;
        match self.consume(&mut state, queue, prefetch).await {
            Ok(consumption) => {
                state.backoff.reset();
                tracing::info!(queue = queue.name(), prefetch, "Subscribed");
                Ok(Box::new(consumption))
            }
            Err(error) => {
                let pause = state.backoff.next(&self.handle);
                state.not_before = self.handle.monotonic().saturating_add(pause);
                Err(error.into())
            }
        }
    }

    async fn consume(
        &self,
        state: &mut State,
        queue: Queue,
        prefetch: u16,
    ) -> Result<Consumption, LinkError> {
        let link = self.link(state).await?;
        let channel: Channel = link.channel().await?;
        let place = Place::Queue(queue);
        topology::establish(&link, &channel, self.settings.declare, place).await?;
        Consumption::start(link, channel, queue, prefetch, self.handle.clone()).await
    }

    async fn link(&self, state: &mut State) -> Result<Arc<Link>, LinkError> {
        if let Some(link) = state.link.take_if(|link| !link.is_connected()) {
            drop(link);
        }
        match &state.link {
            Some(link) => Ok(Arc::clone(link)),
            None => {
                let link = Arc::new(Link::open(&self.settings, "consume", &self.handle).await?);
                Ok(Arc::clone(state.link.insert(link)))
            }
        }
    }

    /// Ends the connection and with it every subscription; what is not acknowledged goes back to its queue. Comes after
    /// the stop, which ends whoever is about to subscribe.
    pub(crate) async fn close(&self) {
        if let Some(link) = self.state.lock().await.link.take() {
            link.close().await;
        }
    }
}
