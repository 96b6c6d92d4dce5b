//! The loop over the in-memory ports, in virtual time.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledger::{
    EventId, EventKey, EventType, Livemode, ObjectId, Outcome, PostingTable, Provider, ProviderAccount,
    Reason, Source, UnixMillis,
};
use ports::{ClaimState, ClaimTimes, Handle, Headers, Outgoing, Queue, header};
use processor::{Booker, Consumption, Metrics, Outage, Pace, Patience, Seams, consume};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;
use testkit::memory::books::{BooksFault, MemoryBooks};
use testkit::memory::bus::MemoryBus;
use testkit::memory::replay::MemoryReplay;
use testkit::simulation::Simulation;
use tokio_util::sync::CancellationToken;
use wire::{AcceptedEvent, BusMessage, Fingerprint, InstanceId, ReplayCheck, Sequence};

struct World {
    handle: Handle,
    bus: Arc<MemoryBus>,
    books: Arc<MemoryBooks>,
    replay: Arc<MemoryReplay>,
    patience: Patience,
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
            replay: Arc::new(MemoryReplay::new(ClaimTimes::default(), 1_000_000)),
            patience: Patience::default(),
            handle,
        }
    }

    /// Consumes for `time`, then stops.
    async fn consume_for(&self, time: Duration) -> Result<(), Outage> {
        self.consume_queue_for(Queue::Ledger, time).await
    }

    async fn consume_queue_for(&self, queue: Queue, time: Duration) -> Result<(), Outage> {
        let seams = Seams { books: self.books.clone(), replay: self.replay.clone() };
        let work = Consumption {
            booker: Booker::new(seams, self.handle.clone(), self.patience, self.metrics.clone()),
            table: PostingTable::built_in(),
            handle: self.handle.clone(),
            pace: Pace::default(),
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
    fn metric(&self, line: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0)
    }

    fn send(&self, event: AcceptedEvent) {
        let headers = Headers::default()
            .with(header::INSTANCE, event.instance.to_string())
            .with(header::SEQUENCE, event.sequence.to_string());
        self.send_bytes(headers, BusMessage::Accepted(event).encode());
    }

    fn send_bytes(&self, headers: Headers, body: Bytes) {
        let message = Outgoing {
            routing_key: "accepted.stripe.charge.succeeded".to_owned(),
            message_id: "m".to_owned(),
            kind: "AcceptedEvent",
            sent_at: self.handle.now(),
            headers,
            body,
        };
        self.bus.put(Queue::Ledger, message);
    }

    fn outcomes(&self) -> Vec<(String, Outcome, Option<Reason>)> {
        let events = self.books.events();
        events.iter().map(|(key, event)| (key.event_id.to_string(), event.outcome, event.reason)).collect()
    }
}

fn key(event_id: &str) -> EventKey {
    EventKey {
        source: Source::parse("stripe").unwrap(),
        account: ProviderAccount::parse("acct_dev").unwrap(),
        livemode: Livemode::Test,
        event_id: EventId::parse(event_id).unwrap(),
    }
}

fn event(sequence: u64, event_id: &str, charge_id: &str, amount: i64) -> AcceptedEvent {
    let object = json!({
        "id": charge_id, "object": "charge", "amount": amount, "amount_captured": amount, "currency": "usd",
        "status": "succeeded", "captured": true, "created": 1_794_999_990,
    });
    let payload = json!({ "object": "event", "type": "charge.succeeded", "data": { "object": object } });
    AcceptedEvent {
        instance: InstanceId::from_bytes([1; 16]),
        sequence: Sequence(sequence),
        key: key(event_id),
        provider: Provider::parse("stripe").unwrap(),
        event_type: EventType::parse("charge.succeeded").unwrap(),
        object_id: ObjectId::parse(charge_id).ok(),
        occurred_at: UnixMillis(1_795_000_000_000),
        received_at: UnixMillis(1_795_000_000_000),
        fingerprint: Fingerprint { version: 1, digest: [u8::try_from(amount % 251).unwrap(); 32] },
        keep_list_version: 1,
        payload: payload.to_string().into(),
        replay_check: ReplayCheck::Claimed,
    }
}

fn in_worlds(test: impl AsyncFn(World)) {
    for seed in 0..10 {
        let simulation = Simulation::new(seed);
        simulation.run(test(World::new(simulation.handle())));
    }
}

#[test]
fn a_thousand_events_are_booked_once_each_and_the_cache_is_told() {
    in_worlds(async |world| {
        for n in 0..1000 {
            world.send(event(n, &format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!(world.books.transactions().len(), 1000);
        assert!(world.bus.messages(Queue::Ledger).is_empty());
        let told = world.replay.record(&key("evt_7")).unwrap();
        assert_eq!(told.state, ClaimState::Booked);
        assert!(told.result.unwrap().0.contains("stripe/acct_dev/test/ch_7/capture"));
    });
}

#[test]
fn duplicates_and_other_describers_book_nothing_more() {
    in_worlds(async |world| {
        world.send(event(1, "evt_1", "ch_1", 100));
        world.send(event(2, "evt_1", "ch_1", 100));
        world.send(event(3, "evt_2", "ch_1", 100));
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 3));
        let recorded = |settlement: &str| {
            world
                .metric(&format!("messages_recorded_total{{outcome=\"booked\",settlement=\"{settlement}\"}}"))
        };
        assert_eq!((recorded("new"), recorded("hit"), recorded("again")), (2, 1, 0));
        assert_eq!(world.metric("accepted_to_recorded_seconds_count"), 3);
        assert_eq!(world.metric("results_untold_total"), 0);
    });
}

#[test]
fn a_message_that_does_not_decode_is_parked_and_holds_nobody_up() {
    in_worlds(async |world| {
        world.send_bytes(Headers::default(), Bytes::from_static(b"\xffnot a message"));
        world.send(event(1, "evt_1", "ch_1", 100));
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 2));
        assert!(world.bus.messages(Queue::Ledger).is_empty());
    });
}

#[test]
fn what_the_books_refuse_is_parked_alone() {
    in_worlds(async |world| {
        for n in 0..20 {
            world.send(event(n, &format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.books.refuse(key("evt_13"));
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!(world.books.transactions().len(), 19);
        assert_eq!(world.books.deliveries().len(), 20);
        assert!(world.bus.messages(Queue::Ledger).is_empty());
    });
}

#[test]
fn an_outage_pauses_consumption_and_loses_nothing() {
    in_worlds(async |world| {
        for n in 0..20 {
            world.send(event(n, &format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.books.set_down(true);
        world.consume_for(Duration::from_mins(5)).await.unwrap();
        assert_eq!(world.books.deliveries().len(), 0);
        assert_eq!(world.bus.messages(Queue::Ledger).len(), 20);
        assert!(world.bus.messages(Queue::Dead).is_empty());
        world.books.set_down(false);
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!(world.books.transactions().len(), 20);
    });
}

#[test]
fn an_outage_in_the_middle_of_a_batch_is_sat_out_with_the_batch_in_hand() {
    in_worlds(async |world| {
        world.send(event(1, "evt_1", "ch_1", 100));
        // One for the probe before subscribing, then the batch: away twice, committed without an answer once.
        let faults = [BooksFault::None, BooksFault::Away, BooksFault::Away, BooksFault::AnswerLost];
        world.books.inject(faults);
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!(world.outcomes(), [("evt_1".to_owned(), Outcome::Booked, None)]);
        assert_eq!(world.books.deliveries().len(), 1);
        assert!(world.bus.messages(Queue::Ledger).is_empty());
    });
}

#[test]
fn after_a_long_outage_the_messages_are_given_back_and_taken_up_again() {
    in_worlds(async |mut world| {
        world.patience.outage_max = Duration::from_secs(30);
        world.send(event(1, "evt_1", "ch_1", 100));
        world.books.inject([BooksFault::None].into_iter().chain(std::iter::repeat_n(BooksFault::Away, 12)));
        world.consume_for(Duration::from_mins(10)).await.unwrap();
        assert_eq!(world.outcomes(), [("evt_1".to_owned(), Outcome::Booked, None)]);
        assert!(world.bus.messages(Queue::Dead).is_empty());
    });
}

#[test]
fn a_lost_connection_is_taken_up_again() {
    in_worlds(async |world| {
        for n in 0..50 {
            world.send(event(n, &format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        let (bus, handle) = (world.bus.clone(), world.handle.clone());
        drop(world.handle.spawn("cut", async move {
            for _ in 0..3 {
                handle.sleep(Duration::from_millis(3)).await;
                bus.disconnect();
            }
        }));
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (50, 50));
    });
}

#[test]
fn a_cache_that_is_away_delays_no_booking() {
    in_worlds(async |world| {
        world.replay.set_down(true);
        world.send(event(1, "evt_1", "ch_1", 100));
        world.consume_for(Duration::from_secs(10)).await.unwrap();
        assert_eq!(world.books.transactions().len(), 1);
        assert!(world.bus.messages(Queue::Ledger).is_empty());
        assert_eq!(world.metric("results_untold_total"), 1);
    });
}

#[test]
fn what_was_put_aside_is_parked_from_its_headers_and_what_was_unrouted_is_booked() {
    in_worlds(async |world| {
        let message = |event: AcceptedEvent| Outgoing {
            routing_key: "accepted.stripe.charge.succeeded".to_owned(),
            message_id: "m".to_owned(),
            kind: "AcceptedEvent",
            sent_at: world.handle.now(),
            headers: Headers::default()
                .with(header::INSTANCE, event.instance.to_string())
                .with(header::SEQUENCE, event.sequence.to_string()),
            body: BusMessage::Accepted(event).encode(),
        };
        world.bus.put(Queue::Dead, message(event(1, "evt_1", "ch_1", 100)));
        world.bus.put(Queue::Unrouted, message(event(2, "evt_2", "ch_2", 100)));
        for queue in [Queue::Dead, Queue::Unrouted] {
            world.consume_queue_for(queue, Duration::from_mins(1)).await.unwrap();
            assert!(world.bus.messages(queue).is_empty());
        }
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 2));
        assert_eq!(world.outcomes(), [("evt_2".to_owned(), Outcome::Booked, None)]);
    });
}

#[test]
fn an_id_used_again_says_nothing_about_the_event_that_has_it_however_often_it_comes() {
    in_worlds(async |world| {
        world.send(event(1, "evt_1", "ch_1", 100));
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        let told = world.replay.record(&key("evt_1")).unwrap();
        world.send(event(2, "evt_1", "ch_1", 200));
        // The commit is answered with a lost connection: the same batch is recorded again.
        world.books.inject([BooksFault::None, BooksFault::AnswerLost]);
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!(world.books.deliveries().len(), 2);
        let still = world.replay.record(&key("evt_1")).unwrap();
        assert_eq!((still.state, still.fingerprint), (ClaimState::Booked, told.fingerprint));
    });
}
