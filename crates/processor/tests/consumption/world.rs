//! A world of one test: the ports in memory, and what an ingress and an operator would send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledger::{
    ActionId, EventId, EventKey, EventType, Livemode, ObjectId, Outcome, PostingTable, Provider,
    ProviderAccount, Reason, Source, Status, UnixMillis,
};
use ports::{Books, ClaimTimes, Exchange, Handle, Headers, Outgoing, Queue, header};
use processor::{
    Booker, Connected, Consumption, Metrics, Outage, Pace, Patience, Policy, SourceTerms, Sources, Teller,
    consume,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use testkit::memory::books::{EventKept, MemoryBooks};
use testkit::memory::bus::MemoryBus;
use testkit::memory::replay::MemoryReplay;
use testkit::simulation::Simulation;
use tokio_util::sync::CancellationToken;
use wire::{
    AcceptedEvent, BusMessage, Event, Evidence, Fingerprint, InstanceId, Origin, RefusedDelivery,
    ReplayCheck, Request, Sequence,
};

/// The ingress of these tests.
pub(crate) const INSTANCE: InstanceId = InstanceId::from_bytes([1; 16]);

pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) books: Arc<MemoryBooks>,
    pub(crate) replay: Arc<MemoryReplay>,
    pub(crate) patience: Patience,
    pub(crate) terms: BTreeMap<Source, SourceTerms>,
    /// What the books know of the sources.
    pub(crate) known: BTreeMap<Source, (Provider, ProviderAccount)>,
    /// What stands between the processor and the books, if anything does.
    pub(crate) before_books: Option<Arc<dyn Books>>,
    metrics: Arc<Metrics>,
    registry: Registry,
}

impl World {
    fn new(handle: Handle) -> Self {
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        Self {
            metrics,
            registry,
            bus: Arc::new(MemoryBus::new(handle.clone())),
            books: Arc::new(MemoryBooks::new()),
            replay: Arc::new(MemoryReplay::new(ClaimTimes::default())),
            patience: Patience::default(),
            terms: BTreeMap::from([
                (source("stripe"), terms("stripe", "acct_dev")),
                (source("telegram"), terms("telegram", "42")),
            ]),
            known: BTreeMap::new(),
            before_books: None,
            handle,
        }
    }

    /// Consumes for `time`, then stops.
    pub(crate) async fn consume_for(&self, time: Duration) -> Result<(), Outage> {
        self.consume_queue_for(Queue::Ledger, time).await
    }

    /// Consumes until all is done, which must succeed.
    pub(crate) async fn consume(&self) {
        self.consume_for(Duration::from_mins(1)).await.unwrap();
        assert!(self.bus.messages(Queue::Ledger).is_empty());
    }

    pub(crate) async fn consume_queue_for(&self, queue: Queue, time: Duration) -> Result<(), Outage> {
        let (metrics, handle) = (self.metrics.clone(), self.handle.clone());
        let books = self.before_books.clone().unwrap_or_else(|| self.books.clone());
        let (sources, _) = Sources::new(self.terms.clone()).unwrap().agreed(&self.known);
        let work = Consumption {
            booker: Booker::new(books, handle.clone(), self.patience),
            teller: Teller::new(self.replay.clone(), self.bus.clone(), handle.clone(), metrics.clone()),
            policy: Arc::new(Policy { table: PostingTable::built_in(), sources }),
            handle,
            pace: Pace::default(),
            metrics,
        };
        let stop = CancellationToken::new();
        let (handle, ending) = (self.handle.clone(), stop.clone());
        let stopping = self.handle.spawn("stop", async move {
            handle.sleep(time).await;
            ending.cancel();
        });
        let ended = consume(&work, self.bus.as_ref(), queue, &stop).await;
        drop(stopping);
        ended
    }

    /// The value of one line of /metrics; absent lines are 0.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0)
    }

    /// An event that the ingress accepted.
    pub(crate) fn send(&self, sequence: u64, event: Event) {
        self.bus.put(Queue::Ledger, self.accepted(sequence, event));
    }

    pub(crate) fn accepted(&self, sequence: u64, event: Event) -> Outgoing {
        let message = BusMessage::Accepted(AcceptedEvent { origin: origin(sequence), event });
        self.outgoing(numbered(sequence), &message)
    }

    /// A delivery that the ingress refused.
    pub(crate) fn send_refused(&self, sequence: u64, reason: Reason, evidence: Evidence) {
        let source = source("stripe");
        let refused = RefusedDelivery { origin: origin(sequence), source, reason, evidence };
        let message = self.outgoing(numbered(sequence), &BusMessage::Refused(refused));
        self.bus.put(Queue::Ledger, message);
    }

    /// An operator's request.
    pub(crate) fn request(&self, action: ActionId) {
        let message = self.outgoing(Headers::default(), &BusMessage::Request(Request { action }));
        self.bus.put(Queue::Ledger, message);
    }

    pub(crate) fn send_bytes(&self, headers: Headers, body: Bytes) {
        let message = BusMessage::Request(Request { action: ActionId(0) });
        self.bus.put(Queue::Ledger, Outgoing { body, ..self.outgoing(headers, &message) });
    }

    pub(crate) fn outgoing(&self, headers: Headers, message: &BusMessage) -> Outgoing {
        Outgoing {
            exchange: Exchange::Events,
            routing_key: "any".to_owned(),
            message_id: "m".to_owned(),
            kind: message.kind(),
            sent_at: self.handle.now(),
            headers,
            body: message.encode(),
        }
    }

    /// The first outcome of every event.
    pub(crate) fn outcomes(&self) -> Vec<(String, Outcome, Option<Reason>)> {
        let events = self.books.events();
        events.iter().map(|(key, event)| (key.event_id.to_string(), event.outcome, event.reason)).collect()
    }

    /// Where the event stands in the books.
    pub(crate) fn standing(&self, event_id: &str) -> (Status, Option<Reason>) {
        self.books.events().get(&key(event_id)).map(EventKept::standing).unwrap()
    }

    /// What became of each message in the books.
    pub(crate) fn deliveries(&self) -> Vec<(&'static str, Option<Reason>)> {
        self.books.deliveries().values().map(|kept| (kept.outcome, kept.reason)).collect()
    }

    /// What was announced, as its JSON.
    pub(crate) fn announced(&self) -> Vec<Value> {
        self.bus.booked().iter().map(|booked| serde_json::from_slice(&booked.body).unwrap()).collect()
    }
}

pub(crate) fn in_worlds(test: impl AsyncFn(World)) {
    for seed in 0..10 {
        let simulation = Simulation::new(seed);
        simulation.run(test(World::new(simulation.handle())));
    }
}

pub(crate) fn source(name: &str) -> Source {
    Source::parse(name).unwrap()
}

pub(crate) fn terms(provider: &str, account: &str) -> SourceTerms {
    SourceTerms {
        provider: Provider::parse(provider).unwrap(),
        own_account: ProviderAccount::parse(account).unwrap(),
        connected: Connected::Book,
        settles_with: None,
    }
}

pub(crate) fn key(event_id: &str) -> EventKey {
    EventKey {
        source: source("stripe"),
        account: ProviderAccount::parse("acct_dev").unwrap(),
        livemode: Livemode::Test,
        event_id: EventId::parse(event_id).unwrap(),
    }
}

pub(crate) fn origin(sequence: u64) -> Origin {
    Origin {
        instance: INSTANCE,
        sequence: Sequence(sequence),
        received_at: UnixMillis(1_795_000_000_000),
        replay_check: ReplayCheck::Claimed,
    }
}

fn numbered(sequence: u64) -> Headers {
    Headers::default()
        .with(header::INSTANCE, INSTANCE.to_string())
        .with(header::SEQUENCE, sequence.to_string())
}

/// A captured charge.
pub(crate) fn charge(event_id: &str, charge_id: &str, amount: i64) -> Event {
    let object = json!({
        "id": charge_id, "object": "charge", "amount": amount, "amount_captured": amount, "currency": "usd",
        "status": "succeeded", "captured": true, "created": 1_794_999_990,
    });
    let payload = json!({ "object": "event", "type": "charge.succeeded", "data": { "object": object } });
    Event {
        key: key(event_id),
        provider: Provider::parse("stripe").unwrap(),
        event_type: EventType::parse("charge.succeeded").unwrap(),
        object_id: ObjectId::parse(charge_id).ok(),
        own_account: ProviderAccount::parse("acct_dev").unwrap(),
        occurred_at: UnixMillis(1_795_000_000_000),
        fingerprint: Fingerprint { version: 1, digest: [u8::try_from(amount % 251).unwrap(); 32] },
        keep_list_version: 1,
        payload: payload.to_string().into(),
    }
}

/// The same charge, paid in Telegram.
pub(crate) fn paid_in_telegram(event_id: &str, charge_id: &str, amount: i64) -> Event {
    let payment = json!({
        "currency": "USD", "total_amount": amount, "telegram_payment_charge_id": "tg_1",
        "provider_payment_charge_id": charge_id,
    });
    let payload =
        json!({ "update_id": 1, "message": { "date": 1_794_999_990, "successful_payment": payment } });
    let account = ProviderAccount::parse("42").unwrap();
    Event {
        key: EventKey { source: source("telegram"), account: account.clone(), ..key(event_id) },
        provider: Provider::parse("telegram").unwrap(),
        event_type: EventType::parse("message").unwrap(),
        own_account: account,
        payload: payload.to_string().into(),
        ..charge(event_id, charge_id, amount)
    }
}
