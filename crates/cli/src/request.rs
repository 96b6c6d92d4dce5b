//! Asking the processor to carry out what stands in the books: a request for each action, confirmed by the broker.

use core::time::Duration;

use anyhow::Context as _;
use bus_rabbitmq::{RabbitMq, Settings};
use futures_util::future::try_join_all;
use handle::Handle;
use ledger::{ActionId, ActionKind};
use ports::{Bus as _, Exchange, Headers, Outgoing, header};
use wire::{BusMessage, Request};

/// How long the broker may take to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(10);

/// Requests that wait for their confirms at a time; far fewer than the bus takes.
const IN_FLIGHT: usize = 100;

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The bus, for requests.
pub(crate) struct Requests {
    bus: RabbitMq,
    handle: Handle,
    broker: String,
}

impl Requests {
    /// Connects. What cannot be asked for should not be put down in the books either, so this comes first.
    pub(crate) async fn connect(settings: Settings, handle: Handle) -> anyhow::Result<Self> {
        let broker = settings.address.to_string();
        let requests = Self { bus: RabbitMq::connect(settings, handle.clone()), handle, broker };
        let ready = async {
            while !requests.bus.ready() {
                requests.handle.sleep(LOOK_EVERY).await;
            }
        };
        let reached = requests.handle.within(REACHED_WITHIN, ready).await;
        reached.with_context(|| {
            let (broker, within) = (&requests.broker, REACHED_WITHIN.as_secs());
            format!(
                "RabbitMQ at {broker}, with the exchanges of the processor, was not reached within {within} s"
            )
        })?;
        Ok(requests)
    }

    /// Asks for one action; `Ok` when the broker keeps the request.
    async fn ask(&self, action: ActionId, kind: ActionKind) -> anyhow::Result<()> {
        let message = BusMessage::Request(Request { action });
        let request = Outgoing {
            exchange: Exchange::Events,
            routing_key: format!("request.{kind}"),
            message_id: format!("action:{action}"),
            kind: message.kind(),
            sent_at: self.handle.now(),
            headers: Headers::default().with(header::FORMAT, wire::FORMAT_VERSION.to_string()),
            body: message.encode(),
        };
        self.bus
            .publish(request)
            .await
            .with_context(|| format!("ask for action {action} over {}", self.broker))
    }

    /// Asks for each of them, some at a time: every confirm is a round trip.
    pub(crate) async fn ask_for_all(&self, actions: &[ActionId], kind: ActionKind) -> anyhow::Result<()> {
        for some in actions.chunks(IN_FLIGHT) {
            try_join_all(some.iter().map(|action| self.ask(*action, kind))).await?;
        }
        Ok(())
    }

    /// An orderly end.
    pub(crate) async fn close(self) {
        self.bus.close().await;
    }
}
