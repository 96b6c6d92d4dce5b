//! What operators find, ask for and are told.

use ledger::{ActionId, ActionKind, EventId, Reason, Status, TraceId, UnixMillis};
use ledger_postgres::{Asked, PostgresOperator, PostgresReader, Settings, Target, TargetRow};
use ports::{Books as _, BooksError, Decision, EventRecord, Record};
use runtime::TokioExecutor;
use testkit::contract::books::samples::{
    body_refused, booking, captures, decided, delivery, dollars, evidence, keeping, refusing, set_aside,
    with_fingerprint,
};
use testkit::servers::postgres::{Database, Role};
use wire::{Event, Fingerprint, InstanceId, Request, Sequence};

use crate::books;

const OTHER: Fingerprint = Fingerprint { version: 1, digest: [9; 32] };
const EVER: UnixMillis = UnixMillis(0);

async fn operator(database: &Database) -> PostgresOperator {
    let settings = Settings::new(database.url(Role::Operator));
    PostgresOperator::connect(&settings, TokioExecutor::handle()).await.unwrap()
}

async fn reader(database: &Database) -> PostgresReader {
    let settings = Settings::new(database.url(Role::Operator));
    PostgresReader::connect(&settings, TokioExecutor::handle()).await.unwrap()
}

fn id(text: &str) -> EventId {
    EventId::parse(text).unwrap()
}

fn as_capture(event: Event) -> EventRecord {
    let charge = format!("ch_{}", event.key.event_id);
    EventRecord { money: None, decision: captures(&[(&charge, 100)]), event }
}

fn names(targets: &[Target]) -> Vec<(Option<&str>, Status, Option<Reason>)> {
    targets.iter().map(|target| (target.event_id.as_deref(), target.status, target.reason)).collect()
}

#[tokio::test]
async fn targets_are_found_by_the_id_by_the_reason_and_by_the_message() {
    let database = Database::create().await;
    let (books, operator) = (books(&database).await, operator(&database).await);
    let batch = [
        refusing(delivery(1, 1), "evt_old", Reason::EventTooOld, None),
        refusing(delivery(1, 2), "evt_mode", Reason::EventWrongMode, None),
        refusing(delivery(1, 3), "evt_over", Reason::EventTooOld, None),
        booking(delivery(1, 4), "evt_over", &[("ch_over", 1)]),
        with_fingerprint(booking(delivery(1, 5), "evt_over", &[("ch_over", 1)]), OTHER),
        set_aside(booking(delivery(1, 6), "evt_dead", &[]), Reason::DeadLettered),
        set_aside(booking(delivery(1, 7), "evt_dead_and_come", &[]), Reason::DeadLettered),
        booking(delivery(1, 8), "evt_dead_and_come", &[("ch_dead", 1)]),
    ];
    books.record(&batch).await.unwrap();
    let parked = |id, reason| (Some(id), Status::Parked, Some(reason));
    let old = operator.parked_for(Reason::EventTooOld, EVER).await.unwrap();
    assert_eq!(names(&old), [parked("evt_old", Reason::EventTooOld)]);
    let later = UnixMillis(4_000_000_000_000);
    assert_eq!(operator.parked_for(Reason::EventTooOld, later).await, Ok(vec![]));
    let dead = operator.parked_for(Reason::DeadLettered, EVER).await.unwrap();
    assert_eq!(names(&dead), [parked("evt_dead", Reason::DeadLettered)]);
    assert!(matches!(dead[0].row, TargetRow::Delivery(_)));
    assert_eq!(operator.events_of_id(&id("evt_dead")).await.unwrap(), dead);
    let reused = operator.parked_for(Reason::EventIdReused, EVER).await.unwrap();
    assert_eq!(names(&reused), [parked("evt_over", Reason::EventIdReused)]);
    // Another content under an id has to be named by its message.
    let over = operator.events_of_id(&id("evt_over")).await.unwrap();
    assert_eq!(names(&over), [(Some("evt_over"), Status::Booked, None)]);
    let instance = InstanceId::from_bytes([1; 16]);
    let of = async |sequence| operator.delivery(instance, Sequence(sequence)).await.unwrap();
    assert_eq!(of(5).await, reused.first().cloned());
    assert_eq!(of(4).await.map(|target| target.row), Some(over[0].row));
    assert_eq!(of(4).await, of(3).await);
    assert_eq!(of(99).await, None);
    assert_eq!(operator.events_of_id(&id("evt_unknown")).await, Ok(vec![]));
    database.close().await;
}

#[tokio::test]
async fn asking_again_asks_for_the_same_action_until_it_is_carried_out() {
    let database = Database::create().await;
    let (books, operator) = (books(&database).await, operator(&database).await);
    let batch = [
        keeping(delivery(1, 1), "evt_1", Reason::UnknownMoney),
        set_aside(booking(delivery(1, 2), "evt_2", &[]), Reason::DeadLettered),
        booking(delivery(1, 3), "evt_3", &[("ch_3", 1)]),
    ];
    books.record(&batch).await.unwrap();
    let mut targets = Vec::new();
    for name in ["evt_1", "evt_2", "evt_3", "evt_1"] {
        targets.extend(operator.events_of_id(&id(name)).await.unwrap());
    }
    let first = operator.ask(ActionKind::Release, &targets, "checked by hand").await.unwrap();
    let numbers: Vec<Option<ActionId>> = first.iter().map(|asked| asked.action).collect();
    assert!(numbers[0].is_some() && numbers[1].is_some() && numbers[0] != numbers[1], "{first:?}");
    assert_eq!((numbers[2], numbers[3]), (None, numbers[0]), "{first:?}");
    assert!(first.iter().all(|asked| !asked.again));
    let second = operator.ask(ActionKind::Release, &targets, "again").await.unwrap();
    assert_eq!(second.iter().map(|asked| asked.action).collect::<Vec<_>>(), numbers);
    assert_eq!(second.iter().map(|asked| asked.again).collect::<Vec<_>>(), [true, true, false, true]);
    // Another kind is another action, and so is the first kind after it: of those that wait the last one counts.
    let dismissing = operator.ask(ActionKind::Dismiss, &targets[..1], "no").await.unwrap();
    assert!(dismissing[0].action.is_some() && dismissing[0].action != numbers[0]);
    let last = operator.ask(ActionKind::Release, &targets[..1], "after all").await.unwrap();
    assert!(last[0].action > dismissing[0].action && !last[0].again, "{last:?}");

    let released: Vec<ActionId> = numbers.iter().copied().flatten().take(2).collect();
    assert_eq!(operator.effect(released[0]).await, Ok(None));
    for action in &released {
        books.act(Request { action: *action }, &as_capture).await.unwrap().unwrap();
    }
    let effects = operator.effects(&released).await.unwrap();
    let told: Vec<_> = effects.values().map(|effect| (effect.status, effect.event_id.as_deref())).collect();
    assert_eq!(told, [(Status::Booked, Some("evt_1")), (Status::Booked, Some("evt_2"))]);
    assert_eq!(operator.effect(released[0]).await.unwrap(), effects.get(&released[0]).cloned());
    let third = operator.ask(ActionKind::Release, &targets, "once more").await.unwrap();
    let nothing = |asked: &Asked| asked.action.is_none() && asked.target.status == Status::Booked;
    assert!(third.iter().all(nothing), "{third:?}");
    // Evidence that came to an event is found as that.
    let instance = InstanceId::from_bytes([1; 16]);
    let target = operator.delivery(instance, Sequence(2)).await.unwrap().unwrap();
    assert_eq!((target.status, target.event_id.as_deref()), (Status::Booked, Some("evt_2")));
    assert!(matches!(target.row, TargetRow::Event(_)));
    let empty = operator.ask(ActionKind::Release, &targets[..1], "").await;
    assert_eq!(empty.map(|asked| asked[0].action), Ok(None));
    database.close().await;
}

#[tokio::test]
async fn an_action_needs_a_reason_and_tells_its_operator() {
    let database = Database::create().await;
    let (books, operator) = (books(&database).await, operator(&database).await);
    books.record(&[keeping(delivery(1, 1), "evt_1", Reason::UnknownMoney)]).await.unwrap();
    let targets = operator.events_of_id(&id("evt_1")).await.unwrap();
    let refused = operator.ask(ActionKind::Dismiss, &targets, "").await;
    assert!(matches!(refused, Err(BooksError::Refused(_))), "{refused:?}");
    let asked = operator.ask(ActionKind::Dismiss, &targets, "a test of the provider").await.unwrap();
    books.act(Request { action: asked[0].action.unwrap() }, &as_capture).await.unwrap();
    let story = reader(&database).await.event(&id("evt_1")).await.unwrap();
    let [action] = story.events[0].actions.as_slice() else { panic!("{story:?}") };
    assert_eq!((action.kind.as_str(), action.reason.as_str()), ("dismiss", "a test of the provider"));
    assert_eq!(action.operator, "countersign_operator");
    assert_eq!(action.effect.as_ref().unwrap().status, "dismissed");
    let [status] = story.events[0].statuses.as_slice() else { panic!("{story:?}") };
    assert_eq!((status.rank, status.status.as_str(), status.cause.as_str()), (1, "dismissed", "action"));
    assert_eq!(status.action, Some(action.action));
    assert_eq!(
        (story.events[0].event.status.as_str(), story.events[0].event.outcome.as_str()),
        ("dismissed", "parked")
    );
    database.close().await;
}

#[tokio::test]
async fn a_story_tells_refusals_takeovers_and_what_was_asked_of_evidence() {
    let database = Database::create().await;
    let (books, operator, reader) =
        (books(&database).await, operator(&database).await, reader(&database).await);
    let batch = [
        refusing(delivery(1, 1), "evt_1", Reason::EventTooOld, Some(dollars(250))),
        booking(delivery(1, 2), "evt_1", &[("ch_1", 250)]),
        with_fingerprint(booking(delivery(1, 3), "evt_1", &[("ch_1", 250)]), OTHER),
    ];
    books.record(&batch).await.unwrap();
    let reused = operator.delivery(InstanceId::from_bytes([1; 16]), Sequence(3)).await.unwrap().unwrap();
    let asked = operator.ask(ActionKind::Release, &[reused], "two of them").await.unwrap();
    books.act(Request { action: asked[0].action.unwrap() }, &as_capture).await.unwrap();
    let story = reader.event(&id("evt_1")).await.unwrap();
    let [event] = story.events.as_slice() else { panic!("{story:?}") };
    let outcomes: Vec<&str> = event.deliveries.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(outcomes, ["refused", "booked"]);
    assert_eq!(event.deliveries[0].reason.as_deref(), Some("event-too-old"));
    assert_eq!((event.event.object_amount, event.event.object_currency.as_deref()), (Some(250), Some("USD")));
    assert_eq!((event.event.status.as_str(), event.event.status_reason.as_deref()), ("booked", None));
    assert_eq!(event.event.reason.as_deref(), Some("event-too-old"));
    let [status] = event.statuses.as_slice() else { panic!("{story:?}") };
    assert_eq!((status.status.as_str(), status.cause.as_str(), status.action), ("booked", "delivery", None));
    assert_eq!(status.trace_id.as_deref(), Some("00000000000000000000000000000002"));
    assert_eq!(event.transactions.len(), 1);
    let [evidence] = story.evidence.as_slice() else { panic!("{story:?}") };
    let effect = evidence.actions[0].effect.as_ref().unwrap();
    assert_eq!(
        (effect.status.as_str(), effect.event_id.as_deref()),
        ("booked", Some("evt_1#0909090909090909"))
    );
    database.close().await;
}

#[tokio::test]
async fn a_life_tells_every_batch_and_a_trace_everything_that_it_brought() {
    let database = Database::create().await;
    let (books, operator, reader) =
        (books(&database).await, operator(&database).await, reader(&database).await);
    let in_trace = |mut record: Record| {
        record.delivery.trace_id = Some(TraceId::parse(&"ab".repeat(16)).unwrap());
        record
    };
    books.record(&[in_trace(keeping(delivery(1, 1), "evt_1", Reason::UnknownMoney))]).await.unwrap();
    let others = [
        in_trace(booking(delivery(1, 2), "evt_2", &[("ch_2", 1)])),
        in_trace(evidence(delivery(1, 3), None)),
        booking(delivery(1, 4), "evt_3", &[("ch_3", 1)]),
    ];
    books.record(&others).await.unwrap();
    let targets = operator.events_of_id(&id("evt_1")).await.unwrap();
    let asked = operator.ask(ActionKind::Release, &targets, "known now").await.unwrap();
    books.act(Request { action: asked[0].action.unwrap() }, &as_capture).await.unwrap();

    let life = reader.life_of_event(&id("evt_1")).await.unwrap();
    let [event] = life.story.events.as_slice() else { panic!("{life:?}") };
    let effect = event.actions[0].effect.as_ref().unwrap();
    assert_eq!((event.deliveries[0].batch, event.statuses[0].batch), (event.batch, effect.batch));
    assert_eq!(event.transactions[0].batch, effect.batch);
    let batches: Vec<_> = life.batches.iter().map(|batch| (batch.batch, batch.deliveries)).collect();
    assert_eq!(batches, [(event.batch, 1), (effect.batch, 0)]);
    assert!(life.batches.iter().all(|batch| batch.audit.is_none() && batch.sealed.is_none()));

    let lives = reader.lives_in_trace(&TraceId::parse(&"ab".repeat(16)).unwrap()).await.unwrap();
    let ids: Vec<&str> = lives.story.events.iter().map(|of| of.event.event_id.as_str()).collect();
    assert_eq!(ids, ["evt_1", "evt_2"]);
    let [message] = lives.story.evidence.as_slice() else { panic!("{lives:?}") };
    assert_eq!((message.sequence, message.event_id.as_deref()), (3, None));
    assert_eq!((lives.batches.len(), lives.batches[1].deliveries), (3, 3));
    let none = reader.lives_in_trace(&TraceId::parse(&"cd".repeat(16)).unwrap()).await.unwrap();
    assert!(none.story.events.is_empty() && none.batches.is_empty());
    let [undecided] = &reader.undecided_evidence(9).await.unwrap()[..] else { panic!("one message") };
    assert_eq!((undecided.sequence, undecided.reason.as_str()), (3, "undecodable"));
    database.close().await;
}

#[tokio::test]
async fn what_waits_for_a_decision_is_counted_with_its_money() {
    let database = Database::create().await;
    let (books, operator, reader) =
        (books(&database).await, operator(&database).await, reader(&database).await);
    assert_eq!(reader.parked_money().await.unwrap(), ledger_postgres::Parked::default());
    let most = Some(dollars(i64::MAX));
    let batch = [
        refusing(delivery(1, 1), "evt_1", Reason::EventTooOld, most),
        refusing(delivery(1, 2), "evt_2", Reason::EventWrongMode, most),
        keeping(delivery(1, 3), "evt_3", Reason::ThinEvent),
        refusing(delivery(1, 4), "evt_over", Reason::EventTooOld, most),
        booking(delivery(1, 5), "evt_over", &[("ch_over", 1)]),
        evidence(delivery(1, 6), None),
        set_aside(booking(delivery(1, 7), "evt_dead", &[]), Reason::DeadLettered),
        set_aside(booking(delivery(1, 8), "evt_over", &[]), Reason::DeadLettered),
        with_fingerprint(booking(delivery(1, 9), "evt_over", &[("ch_over", 1)]), OTHER),
        body_refused(delivery(1, 10)),
    ];
    books.record(&batch).await.unwrap();
    let parked = reader.parked_money().await.unwrap();
    let sums: Vec<_> =
        parked.sums.iter().map(|sum| (sum.currency.as_deref(), sum.events, sum.amount_minor)).collect();
    assert_eq!(sums, [(Some("USD"), 2, 2 * i128::from(i64::MAX)), (None, 1, 0)]);
    // What does not decode, the dead letter, the id that was used for another content.
    assert_eq!(parked.undecided_evidence, 3);
    let act = async |kind, targets: &[Target]| {
        for asked in operator.ask(kind, targets, "decided").await.unwrap() {
            books.act(Request { action: asked.action.unwrap() }, &as_capture).await.unwrap();
        }
    };
    act(ActionKind::Dismiss, &operator.events_of_id(&id("evt_1")).await.unwrap()).await;
    act(ActionKind::Release, &operator.events_of_id(&id("evt_2")).await.unwrap()).await;
    act(ActionKind::Release, &operator.events_of_id(&id("evt_dead")).await.unwrap()).await;
    act(ActionKind::Release, &operator.parked_for(Reason::Undecodable, EVER).await.unwrap()).await;
    let parked = reader.parked_money().await.unwrap();
    assert_eq!((parked.sums.len(), parked.sums[0].currency.as_deref()), (1, None));
    // Releasing what does not decode decides nothing.
    assert_eq!(parked.undecided_evidence, 2);
    act(ActionKind::Dismiss, &operator.parked_for(Reason::Undecodable, EVER).await.unwrap()).await;
    act(ActionKind::Release, &operator.parked_for(Reason::EventIdReused, EVER).await.unwrap()).await;
    assert_eq!(reader.parked_money().await.unwrap().undecided_evidence, 0);
    database.close().await;
}

#[tokio::test]
async fn a_dead_letter_of_another_content_waits_although_its_id_is_booked() {
    let database = Database::create().await;
    let (books, operator, reader) =
        (books(&database).await, operator(&database).await, reader(&database).await);
    let dead = |sequence, record: fn(Record) -> Record| {
        set_aside(record(booking(delivery(1, sequence), "evt_1", &[])), Reason::DeadLettered)
    };
    let of_version = |record| with_fingerprint(record, Fingerprint { version: 2, digest: [9; 32] });
    let batch = [
        booking(delivery(1, 1), "evt_1", &[("ch_1", 250)]),
        dead(2, |record| record),
        dead(3, of_version),
        dead(4, |record| with_fingerprint(record, OTHER)),
        dead(5, |record| with_fingerprint(record, Fingerprint { digest: [8; 32], ..OTHER })),
        // What does not decode cannot be known to have come another way.
        evidence(delivery(1, 6), Some("evt_1")),
    ];
    books.record(&batch).await.unwrap();
    let waiting = async || {
        let found = operator.events_of_id(&id("evt_1")).await.unwrap();
        let evidence = found.iter().filter(|target| matches!(target.row, TargetRow::Delivery(_))).count();
        assert_eq!(reader.parked_money().await.unwrap().undecided_evidence, u64::try_from(evidence).unwrap());
        evidence
    };
    assert_eq!(waiting().await, 3);
    for (left, (sequence, kind)) in
        [(2, (4, ActionKind::Release)), (1, (5, ActionKind::Dismiss)), (0, (6, ActionKind::Dismiss))]
    {
        let instance = InstanceId::from_bytes([1; 16]);
        let target = operator.delivery(instance, Sequence(sequence)).await.unwrap().unwrap();
        let asked = operator.ask(kind, &[target], "decided").await.unwrap();
        books.act(Request { action: asked[0].action.unwrap() }, &as_capture).await.unwrap();
        assert_eq!(waiting().await, left);
    }
    let released = reader.event(&id("evt_1#0909090909090909")).await.unwrap();
    assert_eq!(released.events[0].event.status, "booked");
    database.close().await;
}

#[tokio::test]
async fn events_are_listed_by_where_they_stand_now() {
    let database = Database::create().await;
    let (books, operator, reader) =
        (books(&database).await, operator(&database).await, reader(&database).await);
    for (sequence, name) in (1..).zip(["evt_a", "evt_b", "evt_c", "evt_d"]) {
        books.record(&[keeping(delivery(1, sequence), name, Reason::UnknownMoney)]).await.unwrap();
    }
    let ask = async |kind, name: &str, assess: &ports::Assess| {
        let targets = operator.events_of_id(&id(name)).await.unwrap();
        let asked = operator.ask(kind, &targets, "decided").await.unwrap();
        books.act(Request { action: asked[0].action.unwrap() }, assess).await.unwrap();
    };
    ask(ActionKind::Release, "evt_a", &as_capture).await;
    ask(ActionKind::Dismiss, "evt_b", &as_capture).await;
    ask(ActionKind::Release, "evt_c", &|event| decided(event, Decision::Keep(Reason::MovesNoMoney))).await;
    for (status, name) in [
        (Status::Booked, "evt_a"),
        (Status::Dismissed, "evt_b"),
        (Status::Ignored, "evt_c"),
        (Status::Parked, "evt_d"),
    ] {
        let events = reader.events(Some(status), 10).await.unwrap();
        let [event] = events.as_slice() else { panic!("{status}: {events:?}") };
        assert_eq!((event.event_id.as_str(), event.status.as_str()), (name, status.as_str()));
        assert_eq!((event.outcome.as_str(), event.reason.as_deref()), ("parked", Some("unknown-money")));
        assert_eq!(event.since > event.recorded_at, status != Status::Parked);
    }
    database.close().await;
}
