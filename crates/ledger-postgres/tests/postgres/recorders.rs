//! Several processors at once, on the same keys, over connections that die.

use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::collections::BTreeMap;

use futures_util::future::{join, join_all};
use ledger::{ActionKind, Reason, Status};
use ledger_postgres::PostgresBooks;
use ports::{Books as _, BooksError, EventRecord, Record, Recorded, Settlement};
use testkit::contract::books::Desk as _;
use testkit::contract::books::samples::{
    booking, capture_key, captures, delivery, event_key, refusing, set_aside,
};
use testkit::memory::books::Target;
use testkit::servers::postgres::{Database, Role};
use wire::Request;

use crate::books;
use crate::desk::PostgresDesk;
use crate::random::Random;

/// Recorders that share the work.
const RECORDERS: u64 = 6;

/// Each recorder gets every message, in batches and in an order of its own.
fn shuffled(records: &[Record], seed: u64) -> Vec<Vec<Record>> {
    let mut random = Random(seed);
    let mut records = records.to_vec();
    random.shuffle(&mut records);
    let mut batches = Vec::new();
    while !records.is_empty() {
        let size = (1 + random.below(25)).min(records.len());
        batches.push(records.split_off(records.len() - size));
    }
    batches
}

fn messages(world: &str, count: usize) -> Vec<Record> {
    let mut random = Random(4711);
    (1..=count).map(|sequence| random.record(world, sequence)).collect()
}

/// What each message was answered, by everybody who recorded it.
type Answers = BTreeMap<String, Vec<Recorded>>;

fn collect(answers: impl IntoIterator<Item = (Record, Recorded)>) -> Answers {
    let mut collected = Answers::new();
    for (record, answer) in answers {
        let origin = record.delivery.origin;
        let key = format!("{}/{}", origin.instance, origin.sequence);
        collected.entry(key).or_default().push(answer);
    }
    collected
}

/// Every row is there once and fits its neighbours; `Database::close` looks at the transactions themselves.
async fn agree(database: &Database, answers: &Answers) {
    for (message, answers) in answers {
        let standing = |answer: &Recorded| Recorded { settlement: Settlement::Again, ..answer.clone() };
        // What stood parked by the gate may have been taken over between two answers.
        let settled = |answer: &&Recorded| !answer.reason.is_some_and(Reason::is_of_gate);
        let mut standing = answers.iter().filter(settled).map(standing);
        let first = standing.next();
        assert!(standing.all(|answer| Some(answer) == first), "{message}: {answers:?}");
    }
    let superuser = database.connect(Role::Superuser).await;
    let wrong = "SELECT 'brought by other than one: ' || event_id FROM countersign.event
          WHERE coalesce(reason, '') NOT IN ('event-too-old', 'event-wrong-mode')
            AND 1 <> (SELECT count(*) FROM countersign.delivery
              WHERE event_row = event.id AND delivery.outcome = event.outcome
                AND delivery.reason IS NOT DISTINCT FROM event.reason)
        UNION ALL
        SELECT 'refused without a refusal: ' || event_id FROM countersign.event
          WHERE reason IN ('event-too-old', 'event-wrong-mode') AND NOT EXISTS (
            SELECT FROM countersign.delivery
            WHERE event_row = event.id AND delivery.outcome = 'refused' AND delivery.reason = event.reason)
        UNION ALL
        SELECT 'taken over by other than one: ' || event_row FROM countersign.event_status AS status
          WHERE 1 <> (SELECT count(*) FROM countersign.delivery
            WHERE delivery.event_row = status.event_row AND delivery.outcome = status.status
              AND delivery.reason IS NOT DISTINCT FROM status.reason)
        UNION ALL
        SELECT 'without its first: ' || movement_key FROM countersign.transaction
          WHERE NOT EXISTS (SELECT FROM countersign.event_transaction AS link
            JOIN countersign.event_standing AS event ON event.event_row = link.event_row
            WHERE link.transaction_id = transaction.id AND link.event_row = transaction.event_row
              AND link.role = 'first' AND event.status = 'booked')
        UNION ALL
        SELECT 'a role of another status: ' || event_row FROM countersign.event_standing AS event
          JOIN countersign.event_transaction USING (event_row)
          WHERE (role = 'conflict') <> (event.status = 'parked')";
    let wrong: Vec<String> =
        superuser.query(wrong, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let count: i64 =
        superuser.query_one("SELECT count(*) FROM countersign.delivery", &[]).await.unwrap().get(0);
    assert_eq!(usize::try_from(count).unwrap(), answers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_recorders_of_the_same_messages_in_any_order_record_each_once_and_never_deadlock() {
    let database = Database::create().await;
    let processors = [books(&database).await, books(&database).await];
    let messages = messages("many", 150);
    let recorders = (0..RECORDERS).map(|recorder| {
        let processor = &processors[usize::try_from(recorder % 2).unwrap()];
        let batches = shuffled(&messages, recorder);
        async move {
            let mut answers = Vec::new();
            for batch in batches {
                // Any error, a deadlock among them, fails the test.
                let recorded = processor.record(&batch).await.unwrap();
                answers.extend(batch.into_iter().zip(recorded));
            }
            answers
        }
    });
    let answers = collect(join_all(recorders).await.into_iter().flatten());
    for (message, answers) in &answers {
        let firsts = answers.iter().filter(|answer| answer.settlement != Settlement::Again).count();
        assert_eq!(firsts, 1, "{message}: {answers:?}");
    }
    agree(&database, &answers).await;
    database.close().await;
}

/// Ends connections of processors at random instants.
async fn terminate(database: &Database, done: &AtomicBool, killed: &AtomicI64) {
    let superuser = database.connect(Role::Superuser).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'countersign_processor' AND random() < 0.05";
    // Not without end: on a slow machine nothing would ever be recorded.
    while killed.load(Ordering::SeqCst) < 100 && !done.load(Ordering::SeqCst) {
        let count: i64 = superuser.query_one(kill, &[]).await.unwrap().get(0);
        killed.fetch_add(count, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_die_at_any_instant_lose_nothing_and_book_nothing_twice() {
    let database = Database::create().await;
    let processor = books(&database).await;
    let messages = messages("dying", 60);
    let (done, killed) = (AtomicBool::new(false), AtomicI64::new(0));
    let terminator = terminate(&database, &done, &killed);
    let recording = async {
        let mut answers = Vec::new();
        for seed in 0.. {
            if seed >= 3 && killed.load(Ordering::SeqCst) >= 20 {
                break;
            }
            for batch in shuffled(&messages, seed) {
                let mut attempts = 0;
                let recorded = loop {
                    match processor.record(&batch).await {
                        Ok(recorded) => break recorded,
                        Err(BooksError::Unavailable(_)) if attempts < 1000 => attempts += 1,
                        Err(error) => panic!("{error}"),
                    }
                };
                answers.extend(batch.into_iter().zip(recorded));
            }
        }
        done.store(true, Ordering::SeqCst);
        answers
    };
    let ((), answers) = join(terminator, recording).await;
    agree(&database, &collect(answers)).await;
    database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_acts_once_whoever_carries_it_out_and_whatever_connections_die() {
    let database = Database::create().await;
    let processors = [books(&database).await, books(&database).await];
    let desk = PostgresDesk::of(&database).await;
    let mut actions = Vec::new();
    for number in 1..=20 {
        // Every second one is a dead letter; all of them assert one movement, and one each.
        let record = refusing(delivery(1, number), &format!("evt_{number}"), Reason::EventTooOld, None);
        let key = event_key(&format!("evt_{number}"));
        let origin = record.delivery.origin;
        let (record, target) = if number % 2 == 0 {
            (set_aside(record, Reason::DeadLettered), Target::Delivery(origin.instance, origin.sequence))
        } else {
            (record, Target::Event(key))
        };
        processors[0].record(&[record]).await.unwrap();
        for _ in 0..2 {
            actions.push(desk.ask(ActionKind::Release, target.clone()).await);
        }
    }
    let assess = |event: wire::Event| {
        let own = format!("ch_{}", event.key.event_id);
        EventRecord { decision: captures(&[("ch_of_all", 100), (&own, 1)]), event, money: None }
    };
    let (done, killed) = (AtomicBool::new(false), AtomicI64::new(0));
    let acting = async {
        let carry_out = async |processor: &PostgresBooks, seed| {
            let mut order = actions.clone();
            Random(seed).shuffle(&mut order);
            for action in order {
                let acted = loop {
                    match processor.act(Request { action }, &assess).await {
                        Ok(acted) => break acted.unwrap(),
                        Err(BooksError::Unavailable(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                };
                assert_eq!((acted.status, acted.movements.len()), (Status::Booked, 2), "{acted:?}");
            }
        };
        let [one, other] = &processors;
        let carriers = [carry_out(one, 1), carry_out(other, 2), carry_out(one, 3), carry_out(other, 4)];
        join_all(carriers).await;
        done.store(true, Ordering::SeqCst);
    };
    join(terminate(&database, &done, &killed), acting).await;
    assert!(killed.load(Ordering::SeqCst) > 0);
    let superuser = database.connect(Role::Superuser).await;
    let counts = "SELECT (SELECT count(*) FROM countersign.transaction),
        (SELECT count(*) FROM countersign.event_status WHERE status = 'booked'),
        (SELECT count(*) FROM countersign.operator_effect WHERE status = 'booked')";
    let counts = superuser.query_one(counts, &[]).await.unwrap();
    assert_eq!((counts.get(0), counts.get(1), counts.get(2)), (21_i64, 20_i64, 40_i64));
    database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_and_its_payment_intent_are_one_transaction_in_either_order_in_one_batch_and_at_once() {
    let database = Database::create().await;
    let processors = [books(&database).await, books(&database).await];
    let two = |sequence: u64, charge: &str| {
        let of = |sequence, name: &str| {
            [booking(delivery(1, sequence), &format!("evt_{name}_{charge}"), &[(charge, 1000)])]
        };
        (of(sequence, "charge.succeeded"), of(sequence + 1, "payment_intent.succeeded"))
    };
    let booked = |answers: &[Recorded], charge: &str| {
        assert!(answers.iter().all(|answer| {
            answer.settlement == Settlement::New && answer.movements == [capture_key(charge)]
        }));
    };
    let [one, other] = &processors;
    let (charge, intent) = two(1, "ch_in_order");
    booked(&one.record(&charge).await.unwrap(), "ch_in_order");
    booked(&one.record(&intent).await.unwrap(), "ch_in_order");
    let (charge, intent) = two(3, "ch_reversed");
    booked(&one.record(&intent).await.unwrap(), "ch_reversed");
    booked(&one.record(&charge).await.unwrap(), "ch_reversed");
    let (charge, intent) = two(5, "ch_one_batch");
    booked(&one.record(&[charge, intent].concat()).await.unwrap(), "ch_one_batch");
    for attempt in 0..20 {
        let name = format!("ch_at_once_{attempt}");
        let (charge, intent) = two(10 + 2 * attempt, &name);
        let (first, second) = join(one.record(&charge), other.record(&intent)).await;
        booked(&first.unwrap(), &name);
        booked(&second.unwrap(), &name);
    }
    let superuser = database.connect(Role::Superuser).await;
    let counts = "SELECT count(*), count(DISTINCT id), sum(legs) FROM countersign.transaction";
    let counts = superuser.query_one(counts, &[]).await.unwrap();
    assert_eq!((counts.get(0), counts.get(1), counts.get(2)), (23_i64, 23_i64, 46_i64));
    database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_amounts_for_one_movement_at_once_one_is_booked_and_the_other_parked_with_a_link() {
    let database = Database::create().await;
    let processors = [books(&database).await, books(&database).await];
    let [one, other] = &processors;
    for attempt in 0..20 {
        let (taken, free) =
            (format!("ch_{attempt}"), [format!("ch_free_a_{attempt}"), format!("ch_free_b_{attempt}")]);
        let of = |instance, name: &str, minor: i64, free: &str| {
            [booking(
                delivery(instance, attempt),
                &format!("evt_{name}_{attempt}"),
                &[(&taken, minor), (free, 1)],
            )]
        };
        let (a, b) = (of(1, "a", 100, &free[0]), of(2, "b", 200, &free[1]));
        let (first, second) = join(one.record(&a), other.record(&b)).await;
        let reasons = [first.unwrap()[0].reason, second.unwrap()[0].reason];
        let conflict = Some(Reason::MovementConflict);
        assert!(reasons == [None, conflict] || reasons == [conflict, None], "{reasons:?}");
    }
    let superuser = database.connect(Role::Superuser).await;
    let counts = "SELECT (SELECT count(*) FROM countersign.transaction),
        (SELECT count(*) FROM countersign.event_transaction WHERE role = 'conflict')";
    let counts = superuser.query_one(counts, &[]).await.unwrap();
    assert_eq!((counts.get(0), counts.get(1)), (40_i64, 20_i64));
    database.close().await;
}
