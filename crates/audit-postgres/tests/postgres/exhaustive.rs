//! The query for suspects overlooks nothing that the check would find, and suspects nothing that it would not.

use audit::{
    CurrencyCode, HeaderRow, LegRow, Livemode, MovementKey, Suspects, TransactionId, TransactionRow, Verdict,
    Written, check_transactions,
};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

use crate::books::{CAPTURE, book, of_transactions, report, unguard};

/// Every transaction of up to three legs out of these: numbers 1 to 3, amounts of 1, -1 and -2, two currencies, two modes;
/// under no header, or one of two or three legs, live or test.
fn small_transactions() -> Vec<TransactionRow> {
    let mut kinds = Vec::new();
    for number in 1..=3 {
        for amount_minor in [1, -1, -2] {
            for currency in ["EUR", "USD"] {
                for livemode in Livemode::ALL {
                    let currency = CurrencyCode::new(currency);
                    let written = Written::Together;
                    kinds.push(LegRow {
                        leg: number,
                        account: None,
                        amount_minor,
                        currency,
                        livemode,
                        written,
                    });
                }
            }
        }
    }
    let mut choices: Vec<Vec<usize>> = vec![Vec::new()];
    let mut longest = choices.clone();
    for _ in 1..=3 {
        // Unordered, so each one more is no smaller than the last.
        longest = longest
            .iter()
            .flat_map(|legs| {
                (legs.last().copied().unwrap_or(0)..kinds.len())
                    .map(move |kind| [&legs[..], &[kind]].concat())
            })
            .collect();
        choices.extend_from_slice(&longest);
    }
    let headers = [
        None,
        Some((2, Livemode::Live)),
        Some((2, Livemode::Test)),
        Some((3, Livemode::Live)),
        Some((3, Livemode::Test)),
    ];
    let pairs = headers.iter().flat_map(|header| choices.iter().map(move |legs| (header, legs)));
    (1..)
        .zip(pairs.filter(|(header, legs)| header.is_some() || !legs.is_empty()))
        .map(|(id, (header, legs))| TransactionRow {
            id: TransactionId(id),
            header: header.map(|(legs, livemode)| HeaderRow {
                movement_key: MovementKey::new(format!("key {id}")),
                legs,
                livemode,
                event_id: None,
                trace_id: None,
            }),
            legs: legs.iter().map(|kind| kinds[*kind].clone()).collect(),
        })
        .collect()
}

/// Replaces the books by these rows.
async fn write(client: &Client, rows: &[TransactionRow]) {
    let headers: Vec<_> =
        rows.iter().filter_map(|row| row.header.as_ref().map(|header| (row.id.0, header))).collect();
    let legs: Vec<_> = rows.iter().flat_map(|row| row.legs.iter().map(|leg| (row.id.0, leg))).collect();
    client.batch_execute("TRUNCATE countersign.entry, countersign.transaction CASCADE").await.unwrap();
    client
        .execute(
            "INSERT INTO countersign.transaction OVERRIDING SYSTEM VALUE
             SELECT id, key, '', '', livemode, '', '', NULL, sha256(''), 1, 1, legs, '', 1, NULL, now()
             FROM unnest($1::BIGINT[], $2::TEXT[], $3::BOOLEAN[], $4::INT[]) AS headers (id, key, livemode, legs)",
            &[
                &headers.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
                &headers.iter().map(|(_, header)| header.movement_key.as_str()).collect::<Vec<_>>(),
                &headers.iter().map(|(_, header)| header.livemode.is_live()).collect::<Vec<_>>(),
                &headers.iter().map(|(_, header)| header.legs).collect::<Vec<_>>(),
            ],
        )
        .await
        .unwrap();
    client
        .execute(
            "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
             SELECT transaction_id, leg, 0, amount_minor, currency, livemode
             FROM unnest($1::BIGINT[], $2::INT[], $3::BIGINT[], $4::TEXT[], $5::BOOLEAN[])
               AS legs (transaction_id, leg, amount_minor, currency, livemode)",
            &[
                &legs.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
                &legs.iter().map(|(_, leg)| leg.leg).collect::<Vec<_>>(),
                &legs.iter().map(|(_, leg)| leg.amount_minor).collect::<Vec<_>>(),
                &legs.iter().map(|(_, leg)| leg.currency.as_str()).collect::<Vec<_>>(),
                &legs.iter().map(|(_, leg)| leg.livemode.is_live()).collect::<Vec<_>>(),
            ],
        )
        .await
        .unwrap();
}

fn is_whole(row: &TransactionRow) -> bool {
    let alone = Suspects { transactions: vec![row.clone()], left_out: 0 };
    check_transactions(&alone).findings().is_empty()
}

#[tokio::test]
async fn the_query_suspects_exactly_what_the_check_would_find() {
    let database = Database::create().await;
    book(&mut database.connect(Role::Superuser).await, "ch_1", true, CAPTURE).await;
    let client = unguard(&database).await;
    client
        .batch_execute(
            "ALTER TABLE countersign.entry DROP CONSTRAINT entry_leg;
             ALTER TABLE countersign.transaction DROP CONSTRAINT transaction_key;
             DO $$ BEGIN
               EXECUTE (SELECT string_agg(format('ALTER TABLE %s DISABLE TRIGGER ALL', oid::REGCLASS), ';')
                 FROM pg_class WHERE relnamespace = 'countersign'::REGNAMESPACE AND relkind = 'r');
             END $$",
        )
        .await
        .unwrap();

    let (whole, broken): (Vec<_>, Vec<_>) = small_transactions().into_iter().partition(is_whole);
    assert!(whole.len() > 10 && broken.len() > 10_000, "{} whole, {} broken", whole.len(), broken.len());

    write(&client, &whole).await;
    let report_of_whole = report(&database).await;
    assert_eq!(report_of_whole.verdict, Verdict::Balanced, "{report_of_whole}");
    assert!(of_transactions(&report_of_whole).is_empty(), "{report_of_whole}");

    write(&client, &broken).await;
    let report_of_broken = report(&database).await;
    let transactions =
        report_of_broken.checks.iter().find(|check| check.check == audit::Check::Transactions).unwrap();
    let mut listed: Vec<_> = of_transactions(&report_of_broken)
        .into_iter()
        .filter_map(|finding| finding.transaction.as_ref())
        .map(|t| t.id.0)
        .collect();
    listed.dedup();
    assert_eq!(listed.len(), 200);
    assert_eq!(usize::try_from(transactions.left_out).unwrap(), broken.len() - listed.len());

    // Of those that are read in full, every finding is the one that the check gives on the rows as they were written.
    let first = Suspects { transactions: broken[..listed.len()].to_vec(), left_out: 0 };
    let expected = check_transactions(&first);
    let found: Vec<_> = of_transactions(&report_of_broken).into_iter().cloned().collect();
    assert_eq!(found, expected.findings());
    database.close().await;
}
