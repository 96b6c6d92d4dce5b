//! The books in Postgres and the ones in memory are two independent writings of the same rules: they must agree.

use std::collections::BTreeMap;

use ledger::MovementKey;
use ports::{Books as _, Settlement};
use testkit::memory::books::MemoryBooks;
use testkit::servers::postgres::{Database, Role};

use crate::books;
use crate::random::Random;

/// Rows as text, of everything that both have.
type Rows = BTreeMap<String, Vec<String>>;

fn in_memory(books: &MemoryBooks) -> Rows {
    let mut rows = Rows::new();
    for (key, kept) in books.events() {
        let reason = kept.reason.map(|reason| reason.to_string()).unwrap_or_default();
        let payload = String::from_utf8(kept.record.payload.to_vec()).unwrap();
        let trace = kept.trace_id.map(|trace| trace.to_string()).unwrap_or_default();
        rows.insert(format!("event {key}"), vec![kept.outcome.to_string(), reason, payload, trace]);
    }
    for ((instance, sequence), kept) in books.deliveries() {
        let outcome = match kept.answer.settlement {
            Settlement::Hit => "hit".to_owned(),
            Settlement::New | Settlement::Again | Settlement::Reused | Settlement::Evidence => {
                kept.answer.outcome.to_string()
            }
        };
        let reason =
            kept.answer.reason.filter(|_| outcome != "hit").map(|r| r.to_string()).unwrap_or_default();
        let event_id = kept.key.map(|key| key.event_id.to_string()).unwrap_or_default();
        let own = matches!(kept.answer.settlement, Settlement::New | Settlement::Hit);
        let row = vec![outcome, reason, event_id, own.to_string()];
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
            rows.insert(format!("link {event} {key}"), vec![role.to_owned()]);
        }
    }
    rows
}

async fn in_postgres(database: &Database) -> Rows {
    let client = database.connect(Role::Superuser).await;
    let event = "source || '/' || event.provider_account || '/' || CASE WHEN event.livemode THEN 'live' ELSE 'test' END
        || '/' || event_id";
    let statement = format!(
        "SELECT 'event ' || {event}, ARRAY[outcome, coalesce(reason, ''), payload, coalesce(trace_id, '')]
         FROM countersign.event
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
         SELECT 'link ' || event.key || ' ' || movement_key, ARRAY[role]
         FROM countersign.event_transaction
         JOIN (SELECT id, {event} AS key FROM countersign.event) AS event ON event.id = event_row
         JOIN countersign.transaction ON transaction.id = transaction_id"
    );
    let rows = client.query(&statement, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn the_books_in_postgres_and_in_memory_give_the_same_answers_and_hold_the_same() {
    let database = Database::create().await;
    let (postgres, memory) = (books(&database).await, MemoryBooks::new());
    let mut settlements: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 1..=12 {
        let mut random = Random(seed);
        let world = format!("w{seed}");
        for batch_number in 0..10 {
            let size = random.below(9);
            let batch: Vec<_> = (0..size)
                .map(|_| {
                    let sequence = usize::try_from(seed).unwrap() * 1000 + random.below(40);
                    random.record(&world, sequence)
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
        }
        assert_eq!(in_postgres(&database).await, in_memory(&memory), "seed {seed}");
    }
    // The world is small enough for everything to happen.
    for kind in
        ["New ", "New movement-conflict", "Hit ", "Again ", "Reused event-id-reused", "Evidence undecodable"]
    {
        assert!(settlements.get(kind).is_some_and(|count| *count >= 5), "{kind}: {settlements:?}");
    }
    database.close().await;
}
