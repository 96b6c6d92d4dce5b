//! Days of healthy load: two processors and two ingresses, late commits, restarts and drains; and never a finding.
//!
//! The days pass in the auditor's statements alone: its role finds `now()` in a schema of the test, which reads a clock
//! that the test moves. Rows carry the instants of that clock.

use audit::{Kind, Limits};
use audit_postgres::{AuditStore, Settings};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

const DAYS: i64 = 3;

/// One step of the clock; control totals close with it, and an auditor runs.
const STEP_MIN: i64 = 30;

const STEPS_PER_DAY: i64 = 24 * 60 / STEP_MIN;

/// After so many steps an ingress drains and starts anew, each at another hour.
const RESTARTS: [i64; 2] = [31, 47];

const CLOCK: &str = "CREATE SCHEMA simulated;
    CREATE TABLE simulated.clock (at TIMESTAMPTZ NOT NULL);
    INSERT INTO simulated.clock VALUES (date_trunc('day', pg_catalog.now() - INTERVAL '30 days', 'UTC'));
    CREATE FUNCTION simulated.now() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE RETURN (SELECT at FROM simulated.clock);
    CREATE FUNCTION simulated.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE
      RETURN (SELECT at FROM simulated.clock);
    GRANT USAGE ON SCHEMA simulated TO PUBLIC;
    GRANT SELECT ON simulated.clock TO PUBLIC;
    ALTER ROLE countersign_auditor IN DATABASE $database SET search_path = simulated, pg_catalog;";

/// Events `$first` to `$last`, booked with their deliveries: what an ingress, `$instance`, was confirmed from `$sequence` on.
const BOOK: &str = "INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, object_id,
      own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, recorded_at)
    SELECT 'stripe', 'stripe', 'acct_dev', TRUE, 'evt_' || n, 'charge.succeeded', 'ch_' || n, 'acct_dev', at, sha256(''), 1, '{}', 1,
      'booked', at
    FROM generate_series($first, $last) AS n, simulated.clock;
    INSERT INTO countersign.transaction (movement_key, provider, provider_account, livemode, object_id, kind, digest,
      digest_version, posting_version, legs, source, event_row, occurred_at, recorded_at)
    SELECT 'stripe/acct_dev/live/' || object_id || '/capture', 'stripe', 'acct_dev', TRUE, object_id, 'capture', sha256(''), 1, 1, 2,
      'stripe', id, occurred_at, recorded_at
    FROM countersign.event WHERE event_id IN (SELECT 'evt_' || n FROM generate_series($first, $last) AS n);
    INSERT INTO countersign.event_transaction (event_row, transaction_id, role)
    SELECT event_row, id, 'first' FROM countersign.transaction
    WHERE object_id IN (SELECT 'ch_' || n FROM generate_series($first, $last) AS n);
    INSERT INTO countersign.delivery (instance, sequence, source, event_id, event_row, outcome, replay_checked, received_at,
      recorded_at)
    SELECT '$instance', $sequence + substr(event_id, 5)::BIGINT - $first, source, event_id, id, 'booked', TRUE, occurred_at,
      recorded_at
    FROM countersign.event WHERE event_id IN (SELECT 'evt_' || n FROM generate_series($first, $last) AS n);
    INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
    SELECT transaction.id, leg, account.id, CASE leg WHEN 1 THEN 1099 ELSE -1099 END, 'USD', TRUE
    FROM countersign.transaction
    CROSS JOIN (VALUES (1, 'assets:stripe:clearing'), (2, 'income:sales')) AS legs (leg, name)
    JOIN countersign.account USING (name)
    WHERE object_id IN (SELECT 'ch_' || n FROM generate_series($first, $last) AS n);";

/// A window of an ingress, with what was confirmed in it.
const TOTAL: &str = "INSERT INTO countersign.control_total (instance, window_number, closed_at, confirmed, final, sequences, sources,
      event_ids, restated, recorded_at)
    SELECT '$instance', $window, at, $sequence + $last - $first, $final, array_agg($sequence + n - $first), array_agg('stripe'::TEXT),
      array_agg('evt_' || n), FALSE, at
    FROM generate_series($first::BIGINT, $last) AS n, simulated.clock
    GROUP BY at;";

/// An ingress, from one start to the next.
struct Ingress {
    instance: String,
    window: i64,
    sequence: i64,
}

impl Ingress {
    fn started(name: usize, step: i64) -> Self {
        Self { instance: format!("{name:02x}{step:04x}"), window: 0, sequence: 1 }
    }

    /// This statement with what happens to it in this step.
    fn said(&self, statement: &str, (first, last): (i64, i64), drains: bool) -> String {
        let texts = [
            ("$instance", self.instance.clone()),
            ("$window", self.window.to_string()),
            ("$sequence", self.sequence.to_string()),
            ("$first", first.to_string()),
            ("$last", last.to_string()),
            ("$final", drains.to_string()),
        ];
        texts.iter().fold(statement.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

async fn audited(store: &AuditStore, kind: Kind, step: i64) {
    let audited = store.run(kind).await.unwrap();
    assert_eq!(audited.report.findings, [], "step {step}: {}", audited.report);
    assert_eq!(audited.standing.unwrap().open, [], "step {step}");
    assert!(audited.recorded.is_ok(), "step {step}");
}

async fn rows(client: &Client, what: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM countersign.{what}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn days_of_healthy_load_with_late_commits_restarts_and_drains_make_no_finding() {
    let database = Database::create().await;
    let clock = database.connect(Role::Superuser).await;
    clock.batch_execute(&CLOCK.replace("$database", database.name())).await.unwrap();
    let accounts =
        "INSERT INTO countersign.account (name) VALUES ('assets:stripe:clearing'), ('income:sales')";
    clock.batch_execute(accounts).await.unwrap();
    // Other tests of this server hold the sealing up for moments, which are hours here.
    let limits = Limits { horizon_stuck_s: i64::MAX, ..Limits::default() };
    let settings =
        Settings { limits, tail_rows: 200, seal_max: 50, ..Settings::new(database.url(Role::Auditor)) };
    let auditors = [AuditStore::connect(&settings).unwrap(), AuditStore::connect(&settings).unwrap()];
    let processors = [database.connect(Role::Superuser).await, database.connect(Role::Superuser).await];
    let mut ingresses = [Ingress::started(0, 0), Ingress::started(1, 0)];
    let mut next = 1;

    for step in 1..=DAYS * STEPS_PER_DAY {
        let passes = format!("UPDATE simulated.clock SET at = at + INTERVAL '{STEP_MIN} minutes'");
        clock.batch_execute(&passes).await.unwrap();
        // Everything that the second processor books is under way while the totals that tell of it are committed, while the
        // first processor commits, and while an auditor looks.
        let mut late = String::new();
        for (index, ingress) in ingresses.iter_mut().enumerate() {
            let range = (next, next + step % 3);
            next = range.1 + 1;
            ingress.window += 1;
            let drains = step % RESTARTS[index] == 0;
            let booked = ingress.said(BOOK, range, drains);
            if index == 0 {
                processors[0].batch_execute(&format!("BEGIN; {booked} COMMIT")).await.unwrap();
            } else {
                late = booked;
            }
            clock.batch_execute(&ingress.said(TOTAL, range, drains)).await.unwrap();
            ingress.sequence += range.1 - range.0 + 1;
            if drains {
                *ingress = Ingress::started(index, step);
            }
        }
        processors[1].batch_execute(&format!("BEGIN; {late}")).await.unwrap();
        audited(&auditors[0], Kind::Incremental, step).await;
        processors[1].batch_execute("COMMIT").await.unwrap();
        let kind = if step % STEPS_PER_DAY == 0 { Kind::Full } else { Kind::Incremental };
        audited(&auditors[1], kind, step).await;
    }
    assert_eq!((rows(&clock, "delivery").await, rows(&clock, "transaction").await), (next - 1, next - 1));
    assert!(rows(&clock, "checkpoint").await > 1, "nothing was sealed");
    clock.batch_execute("DROP SCHEMA simulated CASCADE").await.unwrap();
    database.close().await;
}
