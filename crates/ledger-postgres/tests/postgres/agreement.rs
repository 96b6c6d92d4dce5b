//! The books in Postgres and the ones in memory are two independent writings of the same rules: they must agree.

use std::collections::BTreeMap;

use ledger::{ActionKind, Livemode, MovementKey, Reason};
use ports::{Books as _, Decision, Record, Settlement};
use testkit::contract::books::Desk as _;
use testkit::contract::books::samples::decided;
use testkit::memory::books::{MemoryBooks, Target};
use testkit::servers::postgres::{Database, Role};
use wire::Request;

use crate::books;
use crate::desk::PostgresDesk;
use crate::random::Random;

/// Rows as text, of everything that both have.
type Rows = BTreeMap<String, Vec<String>>;

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn in_memory(books: &MemoryBooks) -> Rows {
    let mut rows = Rows::new();
    for (key, kept) in books.events() {
        let payload = String::from_utf8(kept.record.event.payload.to_vec()).unwrap();
        let money = text(kept.record.money.map(money::Amount::minor));
        let row = vec![kept.outcome.to_string(), text(kept.reason), payload, text(kept.trace_id), money];
        rows.insert(format!("event {key}"), row);
        for (status, rank) in kept.statuses.into_iter().zip(1..) {
            let cause = if status.action.is_some() { "action" } else { "delivery" };
            let row =
                vec![status.status.to_string(), text(status.reason), cause.to_owned(), text(status.trace_id)];
            rows.insert(format!("status {key}/{rank}"), row);
        }
    }
    for ((instance, sequence), kept) in books.deliveries() {
        let own = matches!(kept.answer.settlement, Settlement::New | Settlement::Hit | Settlement::TookOver);
        let event_id = text(kept.key.map(|key| key.event_id));
        let row = vec![kept.outcome.to_owned(), text(kept.reason), event_id, own.to_string()];
        rows.insert(format!("delivery {instance}/{sequence}"), row);
    }
    for (key, kept) in books.transactions() {
        let entry = |entry: &ledger::Entry| {
            format!("{} {} {}", entry.account, entry.amount.minor(), entry.amount.currency().code())
        };
        rows.insert(format!("transaction {key}"), kept.transaction.entries().iter().map(entry).collect());
        let links = [(kept.first, "first")].into_iter();
        let links = links.chain(kept.describers.into_iter().map(|event| (event, "describer")));
        for (event, role) in links.chain(kept.conflicts.into_iter().map(|event| (event, "conflict"))) {
            rows.insert(format!("link {event} {key} {role}"), vec![]);
        }
    }
    for (id, kept) in books.actions() {
        let effect = kept.effect.unwrap();
        let event = text(effect.event);
        rows.insert(format!("effect {id}"), vec![effect.status.to_string(), text(effect.reason), event]);
    }
    rows
}

async fn in_postgres(database: &Database) -> Rows {
    let client = database.connect(Role::Superuser).await;
    let event = "source || '/' || event.provider_account || '/' || CASE WHEN event.livemode THEN 'live' ELSE 'test' END
        || '/' || event_id";
    let statement = format!(
        "SELECT 'event ' || {event},
           ARRAY[outcome, coalesce(reason, ''), payload, coalesce(trace_id, ''), coalesce(object_amount::TEXT, '')]
         FROM countersign.event
         UNION ALL
         SELECT 'status ' || {event} || '/' || rank,
           ARRAY[status, coalesce(now.reason, ''), cause, coalesce(now.trace_id, '')]
         FROM countersign.event_status AS now JOIN countersign.event ON event.id = event_row
         UNION ALL
         SELECT 'effect ' || action_id, ARRAY[status, coalesce(effect.reason, ''), coalesce({event}, '')]
         FROM countersign.operator_effect AS effect LEFT JOIN countersign.event ON event.id = event_row
         UNION ALL
         SELECT 'delivery ' || instance || '/' || sequence,
           ARRAY[outcome, coalesce(reason, ''), coalesce(event_id, ''), (event_row IS NOT NULL)::TEXT]
         FROM countersign.delivery
         UNION ALL
         SELECT 'transaction ' || movement_key, (
           SELECT array_agg(name || ' ' || amount_minor || ' ' || currency ORDER BY leg)
           FROM countersign.entry JOIN countersign.account ON account.id = account_id
           WHERE transaction_id = transaction.id)
         FROM countersign.transaction
         UNION ALL
         SELECT 'link ' || event.key || ' ' || movement_key || ' ' || role, ARRAY[]::TEXT[]
         FROM countersign.event_transaction
         JOIN (SELECT id, {event} AS key FROM countersign.event) AS event ON event.id = event_row
         JOIN countersign.transaction ON transaction.id = transaction_id"
    );
    let rows = client.query(&statement, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Some actions on whatever is there, with what a release will be assessed as.
fn random_actions(
    random: &mut Random,
    world: &str,
    books: &MemoryBooks,
) -> Vec<(ActionKind, Target, Decision)> {
    let events = books.events().into_keys().filter(|key| key.event_id.as_str().contains(world));
    let deliveries = books.deliveries().into_iter().filter(|(_, kept)| kept.reason.is_some());
    let targets: Vec<Target> = events
        .map(Target::Event)
        .chain(deliveries.map(|((instance, sequence), _)| Target::Delivery(instance, sequence)))
        .collect();
    (0..random.below(4).min(targets.len()))
        .map(|_| {
            let kind = if random.below(3) == 0 { ActionKind::Dismiss } else { ActionKind::Release };
            let target = targets.get(random.below(targets.len())).unwrap().clone();
            let decision = match random.below(5) {
                0 => Decision::Keep(Reason::ThinEvent),
                1 => Decision::Keep(Reason::MovesNoMoney),
                2 => Decision::Book(vec![]),
                _ => random.booking(world, Livemode::Test),
            };
            (kind, target, decision)
        })
        .collect()
}

#[tokio::test]
async fn the_books_in_postgres_and_in_memory_give_the_same_answers_and_hold_the_same() {
    let database = Database::create().await;
    let (postgres, memory) = (books(&database).await, MemoryBooks::new());
    let desk = PostgresDesk::of(&database).await;
    let mut settlements: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 1..=12 {
        let mut random = Random(seed);
        let world = format!("w{seed}");
        let mut sent: Vec<Record> = Vec::new();
        for batch_number in 0..14 {
            let size = random.below(9);
            let batch: Vec<_> = (0..size)
                .map(|_| {
                    // A message again, or a new one, whose name may be taken.
                    let record = match random.below(4) {
                        0 if !sent.is_empty() => sent.get(random.below(sent.len())).unwrap().clone(),
                        _ => {
                            let sequence = usize::try_from(seed).unwrap() * 1000 + random.below(40);
                            random.record(&world, sequence)
                        }
                    };
                    sent.push(record.clone());
                    record
                })
                .collect();
            let answers = postgres.record(&batch).await.unwrap();
            assert_eq!(
                Ok(&answers),
                memory.record(&batch).await.as_ref(),
                "seed {seed}, batch {batch_number}: {batch:#?}"
            );
            for answer in answers {
                assert!(answer.movements.is_sorted_by(|a: &MovementKey, b| a < b));
                let reason = answer.reason.map(|reason| reason.to_string()).unwrap_or_default();
                *settlements.entry(format!("{:?} {reason}", answer.settlement)).or_default() += 1;
            }
            for (kind, target, decision) in random_actions(&mut random, &world, &memory) {
                let action = desk.ask(kind, target.clone()).await;
                assert_eq!(memory.ask(kind, target.clone()), action);
                let assess = move |event| decided(event, decision.clone());
                let acted = postgres.act(Request { action }, &assess).await;
                assert_eq!(acted, memory.act(Request { action }, &assess).await, "{kind} {target:?}");
                let acted = acted.unwrap().unwrap();
                let about = if acted.event.is_some() { "event" } else { "evidence" };
                *settlements.entry(format!("{kind} {about} {}", acted.status)).or_default() += 1;
            }
        }
        assert_eq!(in_postgres(&database).await, in_memory(&memory), "seed {seed}");
    }
    // The world is small enough for everything to happen.
    for kind in [
        "New ",
        "New movement-conflict",
        "New event-too-old",
        "TookOver ",
        "Hit ",
        "Again ",
        "NameTaken ",
        "Reused event-id-reused",
        "Evidence undecodable",
        "release event booked",
        "release event parked",
        "release event dismissed",
        "release evidence parked",
        "dismiss event dismissed",
        "dismiss evidence dismissed",
    ] {
        assert!(settlements.get(kind).is_some_and(|count| *count >= 3), "{kind}: {settlements:?}");
    }
    database.close().await;
}
