//! Books to audit, written by hand: the code that posts is not asked.

use audit::{Check, Finding, Kind, Report};
use audit_postgres::{AuditStore, Settings};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

/// Account, amount in minor units, currency.
pub(crate) type Leg = (&'static str, i64, &'static str);

/// What a payment of 100.00 asserts.
pub(crate) const CAPTURE: &[Leg] =
    &[("assets:stripe:clearing", 10_000, "USD"), ("income:sales", -10_000, "USD")];

/// Its settlement, less a fee of 3.20, paid out in another currency.
pub(crate) const SETTLEMENT: &[Leg] = &[
    ("assets:stripe:balance", 9_000, "EUR"),
    ("equity:fx", -9_000, "EUR"),
    ("equity:fx", 9_680, "USD"),
    ("expenses:psp-fees", 320, "USD"),
    ("assets:stripe:clearing", -10_000, "USD"),
];

/// An auditor of the database, as the role that it has in production.
pub(crate) fn store(database: &Database) -> AuditStore {
    AuditStore::connect(&Settings::new(database.url(Role::Auditor))).unwrap()
}

/// The report of a run now.
pub(crate) async fn report(database: &Database) -> Report {
    store(database).run(Kind::Incremental).await.unwrap().report
}

/// Books an event and its one transaction, past no guard. `object` names both; answers the transaction's number.
pub(crate) async fn book(client: &mut Client, object: &str, live: bool, legs: &[Leg]) -> i64 {
    let work = client.transaction().await.unwrap();
    for (account, ..) in legs {
        let statement = "INSERT INTO countersign.account (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
        work.execute(statement, &[account]).await.unwrap();
    }
    let event = work
        .query_one(
            "INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, object_id,
               own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, trace_id)
             VALUES ('stripe', 'stripe', 'acct_dev', $1, 'evt_' || $2, 'charge.succeeded', $2, 'acct_dev', now(),
               sha256('event'), 1, '{}', 1, 'booked', md5($2))
             RETURNING id",
            &[&live, &object],
        )
        .await
        .unwrap();
    let event: i64 = event.get(0);
    let header = work
        .query_one(
            "INSERT INTO countersign.transaction (movement_key, provider, provider_account, livemode, object_id, kind,
               digest, digest_version, posting_version, legs, source, event_row, trace_id, occurred_at)
             VALUES ('stripe/acct_dev/' || CASE WHEN $1 THEN 'live' ELSE 'test' END || '/' || $2 || '/capture', 'stripe',
               'acct_dev', $1, $2, 'capture', sha256('movement'), 1, 1, $3, 'stripe', $4, md5($2), now())
             RETURNING id",
            &[&live, &object, &i16::try_from(legs.len()).unwrap(), &event],
        )
        .await
        .unwrap();
    let header: i64 = header.get(0);
    work.execute("INSERT INTO countersign.event_transaction VALUES ($1, $2, 'first')", &[&event, &header])
        .await
        .unwrap();
    let accounts: Vec<&str> = legs.iter().map(|leg| leg.0).collect();
    let amounts: Vec<i64> = legs.iter().map(|leg| leg.1).collect();
    let currencies: Vec<&str> = legs.iter().map(|leg| leg.2).collect();
    work.execute(
        "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
         SELECT $1, leg, account.id, amount_minor, currency, $2
         FROM unnest($3::TEXT[], $4::BIGINT[], $5::TEXT[]) WITH ORDINALITY AS legs (name, amount_minor, currency, leg)
         JOIN countersign.account USING (name)",
        &[&header, &live, &accounts, &amounts, &currencies],
    )
    .await
    .unwrap();
    work.commit().await.unwrap();
    header
}

/// Lets a superuser do what nobody may: from here on no trigger and no foreign key guards these books.
pub(crate) async fn unguard(database: &Database) -> Client {
    database.damaged();
    let client = database.connect(Role::Superuser).await;
    for table in ["entry", "transaction"] {
        client.batch_execute(&format!("ALTER TABLE countersign.{table} DISABLE TRIGGER ALL")).await.unwrap();
    }
    client
}

/// The findings of `transactions` alone.
pub(crate) fn of_transactions(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.check == Check::Transactions).collect()
}
