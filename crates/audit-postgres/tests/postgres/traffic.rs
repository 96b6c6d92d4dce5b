//! What control totals, parked events, refusals and quiet sources say: found when it is due, and gone when it has healed.

use audit::{Check, Fault, Kind, Report};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

use crate::books::store;

/// One event that stands like this, since so long ago.
const EVENT: &str = "INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, object_id,
    object_amount, object_currency, own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version,
    outcome, reason, recorded_at)
  VALUES ('stripe', 'stripe', 'acct_dev', TRUE, '$id', 'charge.succeeded', 'ch_1', 1099, 'USD', 'acct_dev', now(), sha256(''), 1,
    '{}', 1, 'parked', 'event-too-old', now() - INTERVAL '$ago');";

/// A window of an ingress that lists these, recorded so long ago.
fn window(number: i64, listed: &str, final_: bool, ago: &str) -> String {
    format!(
        "INSERT INTO countersign.control_total (instance, window_number, closed_at, confirmed, final, sequences, sources, event_ids,
           restated, recorded_at)
         SELECT 'ab12', {number}, now() - INTERVAL '{ago}', 0, {final_}, coalesce(array_agg(sequence), '{{}}'),
           coalesce(array_agg('stripe'::TEXT), '{{}}'), coalesce(array_agg('evt_' || sequence), '{{}}'), FALSE,
           now() - INTERVAL '{ago}'
         FROM unnest(ARRAY[{listed}]::BIGINT[]) AS sequence;"
    )
}

/// Deliveries of the ingress, ignored, with their events.
fn delivered(sequences: &str) -> String {
    format!(
        "INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, own_account,
           occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, reason)
         SELECT 'stripe', 'stripe', 'acct_dev', TRUE, 'evt_' || sequence, 'price.created', 'acct_dev', now(), sha256(''), 1, '{{}}',
           1, 'ignored', 'moves-no-money'
         FROM unnest(ARRAY[{sequences}]::BIGINT[]) AS sequence;
         INSERT INTO countersign.delivery (instance, sequence, source, event_id, event_row, outcome, reason, replay_checked,
           received_at)
         SELECT 'ab12', substr(event_id, 5)::BIGINT, source, event_id, id, 'ignored', 'moves-no-money', TRUE, now()
         FROM countersign.event
         WHERE event_id = ANY (SELECT 'evt_' || s FROM unnest(ARRAY[{sequences}]::BIGINT[]) AS s);"
    )
}

async fn with(statements: &str) -> (Database, Client) {
    let database = Database::create().await;
    let client = database.connect(Role::Superuser).await;
    client.batch_execute(statements).await.unwrap();
    (database, client)
}

async fn run(database: &Database) -> Report {
    store(database).run(Kind::Incremental).await.unwrap().report
}

/// Fault and key of every finding of a check.
fn found(report: &Report, check: Check) -> Vec<(Fault, String)> {
    let findings = report.findings.iter().filter(|finding| finding.check == check);
    findings.map(|finding| (finding.faults[0], finding.key.to_string())).collect()
}

#[tokio::test]
async fn what_was_answered_2xx_and_purged_is_named_by_event_when_it_is_due_and_heals_by_a_resend() {
    let windows = window(1, "1, 2, 3", false, "40 minutes") + &window(2, "4", true, "34 minutes");
    let (database, client) = with(&(windows + &delivered("1, 3"))).await;
    let report = run(&database).await;
    let missing = vec![(Fault::DeliveryMissing, "completeness/ab12:2".to_owned())];
    assert_eq!(found(&report, Check::Completeness), missing);
    let finding = report.findings.iter().find(|finding| finding.check == Check::Completeness).unwrap();
    assert_eq!(finding.event_id.as_ref().unwrap().as_str(), "evt_2");
    assert_eq!(finding.source.as_ref().unwrap().as_str(), "stripe");
    assert!(finding.cure.unwrap().contains("provider's dashboard"));
    // Found again, though the mark has passed the window.
    assert_eq!(found(&run(&database).await, Check::Completeness), missing);

    // The provider sends it again, to another start of the ingress.
    client.batch_execute(&delivered("2").replace("'ab12'", "'cd34'")).await.unwrap();
    let audited = store(&database).run(Kind::Incremental).await.unwrap();
    assert_eq!(audited.standing.unwrap().open, [], "{}", audited.report);
    database.close().await;
}

#[tokio::test]
async fn lost_evidence_of_a_used_id_is_named_until_it_comes_again() {
    let (database, client) = with(&delivered("1")).await;
    // The id had come before, an hour ago; another content under it was refused, and its evidence lost.
    let before = "ALTER TABLE countersign.delivery DISABLE TRIGGER USER;
        UPDATE countersign.delivery SET received_at = now() - INTERVAL '1 hour';
        ALTER TABLE countersign.delivery ENABLE ALWAYS TRIGGER append_only";
    client.batch_execute(before).await.unwrap();
    let lost = window(1, "2", true, "40 minutes").replace("'evt_' || sequence", "'evt_1'::TEXT");
    client.batch_execute(&lost).await.unwrap();
    let missing = vec![(Fault::DeliveryMissing, "completeness/ab12:2".to_owned())];
    assert_eq!(found(&run(&database).await, Check::Completeness), missing);
    let again = "INSERT INTO countersign.delivery (instance, sequence, source, event_id, outcome, reason, evidence, replay_checked,
          received_at)
        VALUES ('cd34', 1, 'stripe', 'evt_1', 'refused', 'event-id-reused', 'x', TRUE, now())";
    client.batch_execute(again).await.unwrap();
    assert_eq!(found(&run(&database).await, Check::Completeness), []);
    database.close().await;
}

#[tokio::test]
async fn what_is_missing_and_acknowledged_is_no_news_and_a_full_run_resolves_it() {
    let (database, client) = with(&window(1, "1", true, "40 minutes")).await;
    let store = store(&database);
    let open = store.run(Kind::Incremental).await.unwrap().standing.unwrap().open;
    let operator = audit_postgres::Settings::new(database.url(Role::Operator));
    let operator = audit_postgres::AuditStore::connect(&operator).unwrap();
    operator.acknowledge(open[0].id, "known").await.unwrap().unwrap();
    let audited = store.run(Kind::Incremental).await.unwrap();
    assert_eq!((audited.report.findings.len(), audited.standing.unwrap().open.len()), (0, 1));
    client.batch_execute(&delivered("1")).await.unwrap();
    assert_eq!(store.run(Kind::Incremental).await.unwrap().standing.unwrap().open.len(), 1);
    assert_eq!(store.run(Kind::Full).await.unwrap().standing.unwrap().open, []);
    database.close().await;
}

#[tokio::test]
async fn what_stays_missing_does_not_make_every_run_read_all_that_came_since() {
    let windows = window(1, "1", false, "50 minutes") + &window(2, "2", true, "40 minutes");
    let (database, client) = with(&(windows + &delivered("2"))).await;
    let missing = vec![(Fault::DeliveryMissing, "completeness/ab12:1".to_owned())];
    assert_eq!(found(&run(&database).await, Check::Completeness), missing);
    // What was there when it was due is looked at again by a full run only.
    let lost = "ALTER TABLE countersign.delivery DISABLE TRIGGER USER;
        DELETE FROM countersign.delivery;
        ALTER TABLE countersign.delivery ENABLE ALWAYS TRIGGER append_only";
    client.batch_execute(lost).await.unwrap();
    assert_eq!(found(&run(&database).await, Check::Completeness), missing);
    let full = store(&database).run(Kind::Full).await.unwrap().report;
    assert_eq!(found(&full, Check::Completeness).len(), 2);
    database.close().await;
}

#[tokio::test]
async fn more_missing_than_can_be_listed_is_counted_and_none_of_it_is_passed_over() {
    let listed = (1..=250).map(|sequence| sequence.to_string()).collect::<Vec<_>>();
    let first = |count: usize| listed.get(..count).unwrap().join(", ");
    let (database, client) = with(&window(1, &first(250), true, "40 minutes")).await;
    let audited = run(&database).await;
    let completeness = audited.checks.iter().find(|check| check.check == Check::Completeness).unwrap();
    assert_eq!((found(&audited, Check::Completeness).len(), completeness.left_out), (200, 50));
    client.batch_execute(&delivered(&first(200))).await.unwrap();
    assert_eq!(found(&run(&database).await, Check::Completeness).len(), 50);
    client.batch_execute(&delivered(&listed.get(200..).unwrap().join(", "))).await.unwrap();
    let audited = store(&database).run(Kind::Incremental).await.unwrap();
    assert_eq!(audited.standing.unwrap().open, [], "{}", audited.report);
    database.close().await;
}

#[tokio::test]
async fn a_window_that_nobody_tells_of_is_missing() {
    let windows = window(1, "", false, "50 minutes") + &window(3, "", true, "40 minutes");
    let (database, client) = with(&windows).await;
    let report = run(&database).await;
    let missing = vec![(Fault::WindowMissing, "completeness/ab12/window/2".to_owned())];
    assert_eq!(found(&report, Check::Completeness), missing);
    client.batch_execute(&window(2, "", false, "0 minutes")).await.unwrap();
    assert_eq!(found(&run(&database).await, Check::Completeness), []);
    database.close().await;
}

#[tokio::test]
async fn an_ingress_that_says_nothing_is_silent_unless_it_said_its_last_word() {
    for (final_, ago, silent) in [
        (false, "34 minutes", false),
        (false, "36 minutes", true),
        (true, "36 minutes", false),
        (false, "8 days", false),
    ] {
        let (database, _) = with(&window(1, "", final_, ago)).await;
        let silence = vec![(Fault::InstanceSilent, "completeness/ab12/silent".to_owned())];
        let expected = if silent { silence } else { Vec::new() };
        assert_eq!(found(&run(&database).await, Check::Completeness), expected, "{final_} {ago}");
        database.close().await;
    }
}

#[tokio::test]
async fn parked_money_waits_for_a_quarter_of_an_hour_and_then_it_is_a_finding_until_somebody_decides() {
    let events = EVENT.replace("$id", "evt_1").replace("$ago", "16 minutes")
        + &EVENT.replace("$id", "evt_2").replace("$ago", "20 minutes")
        + &EVENT.replace("$id", "evt_3").replace("$ago", "14 minutes");
    let (database, client) = with(&events).await;
    let report = run(&database).await;
    let [finding] = report.findings.as_slice() else { panic!("{report}") };
    assert_eq!(finding.key.as_str(), "backlog/events/stripe/live/event-too-old/USD");
    assert_eq!((finding.count, finding.amount_minor), (Some(2), Some(2198)));
    assert_eq!(finding.event_id.as_ref().unwrap().as_str(), "evt_2");

    client
        .batch_execute(
            "INSERT INTO countersign.operator_action (kind, event_row, reason)
             SELECT 'dismiss', id, 'a test' FROM countersign.event;
             INSERT INTO countersign.event_status (event_row, rank, status, cause, action_id)
             SELECT event_row, 1, 'dismissed', 'action', id FROM countersign.operator_action",
        )
        .await
        .unwrap();
    assert_eq!(store(&database).run(Kind::Incremental).await.unwrap().standing.unwrap().open, []);
    database.close().await;
}

#[tokio::test]
async fn a_message_that_never_was_an_event_waits_too() {
    let dead = "INSERT INTO countersign.delivery (instance, sequence, outcome, reason, evidence, replay_checked, received_at,
          recorded_at)
        VALUES ('ab12', 1, 'parked', 'dead-lettered', 'x', TRUE, now(), now() - INTERVAL '1 hour')";
    let (database, _) = with(dead).await;
    let found = found(&run(&database).await, Check::Backlog);
    assert_eq!(found, [(Fault::EvidenceUndecided, "backlog/evidence/-/-/dead-lettered/-".to_owned())]);
    database.close().await;
}

#[tokio::test]
async fn what_waits_is_counted_before_it_is_a_finding() {
    let statements = EVENT.replace("$id", "evt_8").replace("$ago", "1 minute")
        + &EVENT.replace("$id", "evt_9").replace("$ago", "3 minutes")
        + &window(1, "1, 2", false, "4 minutes")
        + &window(2, "3", false, "2 minutes")
        + &delivered("1");
    let (database, client) = with(&statements).await;
    let store = store(&database);
    assert_eq!(run(&database).await.findings_total(), 0);
    let waiting = store.waiting().await.unwrap();
    let [parked] = waiting.undecided.as_slice() else { panic!("{waiting:?}") };
    let (source, reason) = (parked.source.as_deref(), parked.reason.as_str());
    assert_eq!((source, reason, parked.count), (Some("stripe"), "event-too-old", 2));
    assert!((180..240).contains(&parked.age_s), "{waiting:?}");
    assert_eq!(waiting.unbooked, 2);
    assert!((240..300).contains(&waiting.unbooked_age_s), "{waiting:?}");
    assert!(waiting.heard_age_s.is_some_and(|age_s| (120..180).contains(&age_s)), "{waiting:?}");

    // The last word of the only ingress: there is nobody left to hear of.
    client.batch_execute(&(delivered("2, 3") + &window(3, "", true, "0 minutes"))).await.unwrap();
    let waiting = store.waiting().await.unwrap();
    assert_eq!((waiting.unbooked, waiting.unbooked_age_s, waiting.heard_age_s), (0, 0, None));
    database.close().await;
}

#[tokio::test]
async fn refusals_of_authentic_senders_are_counted_once_per_event() {
    let refused = |from: i64, to: i64, ago: &str| {
        format!(
            "INSERT INTO countersign.delivery (instance, sequence, source, event_id, event_type, outcome, reason, evidence,
               replay_checked, received_at, recorded_at)
             SELECT 'ab12', number, 'stripe', 'evt_' || (number % 1000), 'charge.succeeded', 'refused', 'event-too-old', 'x', TRUE,
               now() - INTERVAL '{ago}', now() - INTERVAL '{ago}'
             FROM generate_series({from}, {to}) AS number;"
        )
    };
    // Five events, one of them refused by two ingresses.
    let (database, client) = with(&(refused(1, 5, "30 minutes") + &refused(1001, 1001, "20 minutes"))).await;
    assert_eq!(found(&run(&database).await, Check::Rejections), []);
    client.batch_execute(&refused(6, 6, "10 minutes")).await.unwrap();
    let too_many = vec![(Fault::RefusalsPerHour, "rejections/stripe/hour".to_owned())];
    assert_eq!(found(&run(&database).await, Check::Rejections), too_many);

    // What has no id comes by number; a stranger's is none of it.
    client
        .batch_execute(
            "INSERT INTO countersign.refusal_count (instance, window_number, source, reason, minute, count)
             VALUES ('ab12', 1, 'paypal', 'signature-expired', now(), 6), ('ab12', 1, 'square', 'signature-mismatch', now(), 600)",
        )
        .await
        .unwrap();
    let sources = found(&run(&database).await, Check::Rejections);
    assert_eq!(sources.len(), 2, "{sources:?}");
    assert!(sources.contains(&(Fault::RefusalsPerHour, "rejections/paypal/hour".to_owned())));
    client.batch_execute(&refused(101, 120, "5 hours")).await.unwrap();
    let of_type = (Fault::TypeRefused, "rejections/stripe/type/charge.succeeded".to_owned());
    assert!(found(&run(&database).await, Check::Rejections).contains(&of_type));
    database.damaged();
    database.close().await;
}

#[tokio::test]
async fn a_source_that_delivered_daily_is_missed_after_a_day() {
    let delivered = |days: &str, offset: i64| {
        format!(
            "INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type, own_account,
               occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, reason)
             VALUES ('stripe', 'stripe', 'acct_dev', TRUE, 'evt_{offset}', 'price.created', 'acct_dev', now(), sha256(''), 1, '{{}}',
               1, 'ignored', 'moves-no-money');
             INSERT INTO countersign.delivery (instance, sequence, source, event_id, event_row, outcome, replay_checked, received_at)
             SELECT 'ab12', {offset} + day, 'stripe', 'evt_{offset}', (SELECT max(id) FROM countersign.event), 'hit', TRUE,
               now() - day * INTERVAL '1 day' - INTERVAL '2 hours'
             FROM generate_series({days}) AS day;"
        )
    };
    let (database, client) = with(&delivered("1, 7", 100)).await;
    assert_eq!(
        found(&run(&database).await, Check::Silence),
        [(Fault::SourceSilent, "silence/stripe".to_owned())]
    );
    client.batch_execute(&delivered("0, 0", 200)).await.unwrap();
    assert_eq!(found(&run(&database).await, Check::Silence), []);
    database.close().await;

    let (database, _) = with(&delivered("3, 6", 100)).await;
    assert_eq!(found(&run(&database).await, Check::Silence), []);
    database.close().await;
}

#[tokio::test]
async fn a_transaction_that_does_not_end_is_found_when_it_has_held_up_the_sealing_for_an_hour() {
    let (database, forgotten) =
        with("BEGIN; INSERT INTO countersign.account (name) VALUES ('forgotten')").await;
    let client = database.connect(Role::Superuser).await;
    let held_up = "INSERT INTO countersign.delivery (instance, sequence, outcome, reason, evidence, replay_checked, received_at,
          recorded_at)
        VALUES ('ab12', 1, 'refused', 'payload-invalid', 'x', TRUE, now(), now() - INTERVAL '61 minutes')";
    client.batch_execute(held_up).await.unwrap();
    let report = run(&database).await;
    let [finding] = report.findings.as_slice() else { panic!("{report}") };
    assert_eq!((finding.faults[0], finding.key.as_str()), (Fault::HorizonStuck, "continuity/horizon"));
    assert!(finding.cure.unwrap().contains("pg_stat_activity"), "{finding}");
    forgotten.batch_execute("COMMIT").await.unwrap();
    let mut open = vec![String::new()];
    // Other tests of this server have transactions under way too, for moments.
    for _ in 0..1000 {
        open = store(&database)
            .run(Kind::Incremental)
            .await
            .unwrap()
            .standing
            .unwrap()
            .open
            .into_iter()
            .map(|f| f.key)
            .collect();
        if open.is_empty() {
            break;
        }
    }
    assert_eq!(open, Vec::<String>::new());
    database.close().await;
}
