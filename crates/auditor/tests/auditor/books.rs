//! Books to audit, to damage and to heal.

use testkit::servers::postgres::{Database, Role};

/// One payment of 100.00 USD of real money; the guards let it pass.
const CAPTURE: &str = "
  INSERT INTO countersign.account (name) VALUES ('assets:stripe:clearing'), ('income:sales');
  INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, own_account,
    occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome)
  VALUES ('stripe', 'stripe', 'acct_dev', TRUE, 'evt_1', 'charge.succeeded', 'acct_dev', now(), sha256('event'), 1,
    '{}', 1, 'booked');
  INSERT INTO countersign.transaction (movement_key, provider, provider_account, livemode, object_id, kind, digest,
    digest_version, posting_version, legs, source, event_row, occurred_at)
  SELECT 'stripe/acct_dev/live/ch_1/capture', 'stripe', 'acct_dev', TRUE, 'ch_1', 'capture', sha256('movement'), 1, 1, 2,
    'stripe', id, now()
  FROM countersign.event;
  INSERT INTO countersign.event_transaction SELECT event_row, id, 'first' FROM countersign.transaction;
  INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
  SELECT transaction.id, row_number() OVER (ORDER BY account.name), account.id,
    CASE account.name WHEN 'income:sales' THEN -10000 ELSE 10000 END, 'USD', TRUE
  FROM countersign.transaction, countersign.account;";

/// A database with one balanced payment.
pub(crate) async fn balanced() -> Database {
    let database = Database::create().await;
    superuser(&database, CAPTURE).await;
    database
}

/// Five dollars appear from nowhere, and later are gone again.
pub(crate) async fn damage(database: &Database) {
    superuser(
        database,
        "ALTER TABLE countersign.entry DISABLE TRIGGER ALL;
         UPDATE countersign.entry SET amount_minor = amount_minor + 500 WHERE leg = 1;
         ALTER TABLE countersign.entry ENABLE TRIGGER ALL;
         ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER append_only;
         ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER entry_rules;",
    )
    .await;
}

/// As before.
pub(crate) async fn heal(database: &Database) {
    superuser(
        database,
        "ALTER TABLE countersign.entry DISABLE TRIGGER ALL;
         UPDATE countersign.entry SET amount_minor = amount_minor - 500 WHERE leg = 1;
         ALTER TABLE countersign.entry ENABLE TRIGGER ALL;
         ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER append_only;
         ALTER TABLE countersign.entry ENABLE ALWAYS TRIGGER entry_rules;",
    )
    .await;
}

/// Does this past every privilege.
pub(crate) async fn superuser(database: &Database, statements: &str) {
    database.connect(Role::Superuser).await.batch_execute(statements).await.unwrap();
}
