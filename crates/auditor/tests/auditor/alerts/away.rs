//! Without the database.

use audit_postgres::AuditStoreError;
use auditor::{App, Config};
use runtime::{Stop, TokioExecutor};
use serde_json::json;
use testkit::servers::postgres::{Database, Role};
use tokio_util::sync::CancellationToken;

use super::receiver::Receiver;
use super::{Scene, imbalance, silence};
use crate::app::config;
use crate::books::{balanced, damage};

/// From here on nobody but a superuser gets or has a connection.
pub(crate) async fn go_away(database: &Database) {
    let superuser = database.connect(Role::Superuser).await;
    let name = database.name();
    superuser.batch_execute(&format!("ALTER DATABASE {name} CONNECTION LIMIT 0")).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND usename = 'countersign_auditor'";
    superuser.execute(end, &[]).await.unwrap();
}

pub(crate) async fn come_back(database: &Database) {
    let superuser = database.connect(Role::Superuser).await;
    superuser
        .batch_execute(&format!("ALTER DATABASE {} CONNECTION LIMIT -1", database.name()))
        .await
        .unwrap();
}

#[tokio::test]
async fn without_the_database_it_is_told_at_once_under_the_same_key_and_resolved_when_it_is_back() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    receiver.answer([(503, "")]);
    let mut scene = Scene::new();
    scene.pagerduty(&receiver);
    let auditor = scene.auditor(&database);
    let seen = |received: super::receiver::Received| {
        let body = received.json();
        (body["event_action"].as_str().unwrap().to_owned(), body["dedup_key"].as_str().unwrap().to_owned())
    };
    let event = |action: &str, key: &str| (action.to_owned(), key.to_owned());
    auditor
        .sending(async {
            go_away(&database).await;
            let error = AuditStoreError::Unavailable("connect: SQLSTATE 53300".to_owned());
            auditor.alerts.cannot_read(&error);
            for _attempt in 1..=2 {
                assert_eq!(seen(receiver.next().await), event("trigger", "test/audit/cannot-read"));
            }
            // The next runs fail as well, and one comes to a finding that it cannot store.
            auditor.alerts.cannot_read(&error);
            auditor.stand(&database, &[imbalance()]).await;
            let two = [seen(receiver.next().await), seen(receiver.next().await)];
            assert!(two.contains(&event("trigger", "test/balance/live/USD")), "{two:?}");
            assert!(two.contains(&event("resolve", "test/audit/cannot-read")), "{two:?}");
            auditor.alerts.cannot_read(&error);
            assert_eq!(seen(receiver.next().await), event("trigger", "test/audit/cannot-read"));

            come_back(&database).await;
            auditor.stand(&database, &[imbalance(), silence()]).await;
            let two = [seen(receiver.next().await), seen(receiver.next().await)];
            assert!(two.contains(&event("resolve", "test/audit/cannot-read")), "{two:?}");
            assert!(two.contains(&event("trigger", "test/silence/stripe")), "{two:?}");
            auditor.stand(&database, &[]).await;
            let two = [seen(receiver.next().await), seen(receiver.next().await)];
            assert!(two.contains(&event("resolve", "test/balance/live/USD")), "{two:?}");
            assert!(two.contains(&event("resolve", "test/silence/stripe")), "{two:?}");
        })
        .await;
    assert_eq!(receiver.rest().len(), 0);
    database.close().await;
}

#[tokio::test]
async fn without_the_database_a_route_is_judged_by_what_this_auditor_sends() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    receiver.answer([(503, "")]);
    let mut scene = Scene::new();
    scene.settings.retry_first = core::time::Duration::from_secs(1);
    scene.pagerduty(&receiver);
    let auditor = scene.auditor(&database);
    auditor
        .sending(async {
            go_away(&database).await;
            auditor.alerts.cannot_read(&AuditStoreError::Unavailable("connect: SQLSTATE 53300".to_owned()));
            receiver.next().await;
            auditor.until_failing("on-call").await;
            receiver.next().await;
            auditor.until_delivered("on-call", 1).await;
            assert!(!auditor.route_failing("on-call"));
        })
        .await;
    come_back(&database).await;
    database.close().await;
}

#[tokio::test]
async fn what_the_outbox_has_told_is_not_told_again_when_it_goes_away() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    let mut scene = Scene::new();
    scene.slack(&receiver);
    let auditor = scene.auditor(&database);
    auditor
        .sending(async {
            auditor.stand(&database, &[imbalance()]).await;
            assert!(receiver.next().await.text.contains("LedgerImbalance"));
        })
        .await;
    // Now it is stored that Slack was told; the next run sees it.
    auditor.stand(&database, &[imbalance()]).await;
    auditor
        .sending(async {
            go_away(&database).await;
            auditor.stand(&database, &[imbalance(), silence()]).await;
            assert!(receiver.next().await.text.contains("SourceSilent"));
        })
        .await;
    assert_eq!(receiver.rest().len(), 0);
    come_back(&database).await;
    database.close().await;
}

#[tokio::test]
async fn an_imbalance_that_cannot_be_stored_is_told_all_the_same_and_once() {
    let database = balanced().await;
    damage(&database).await;
    let superuser = database.connect(Role::Superuser).await;
    let privileges = async |change: &str| superuser.batch_execute(change).await.unwrap();
    privileges("REVOKE INSERT ON countersign.finding FROM countersign_auditor").await;
    privileges("REVOKE INSERT (key, check_name, severity, summary, detail) ON countersign.finding FROM countersign_auditor")
        .await;
    let mut receiver = Receiver::start();
    let mut scene = Scene::new();
    scene.webhook(&receiver);
    let config = Config { alerts: scene.settings.clone(), ..config(database.url(Role::Auditor)) };
    let app = App::bind(&config, TokioExecutor::handle()).unwrap();
    let stop = Stop::default();
    let ended = tokio::join!(app.run(stop.clone()), async {
        let mut alerts = Vec::new();
        for _ in 0..2 {
            let data = receiver.next().await.json()["data"].clone();
            alerts.push((data["alert"].as_str().unwrap().to_owned(), data["difference_minor"].as_i64()));
        }
        alerts.sort();
        let expected = [("AuditCannotRead", None), ("LedgerImbalance", Some(500))];
        assert_eq!(alerts, expected.map(|(alert, difference)| (alert.to_owned(), difference)));
        privileges("GRANT INSERT ON countersign.finding TO countersign_auditor").await;
        // Of the imbalance nothing new is said: it is the same.
        let healed = receiver.next().await.json();
        let seen = (&healed["type"], &healed["data"]["alert"]);
        assert_eq!(seen, (&json!("finding.healed"), &json!("AuditCannotRead")));
        stop.soft.cancel();
    });
    ended.0.unwrap();
    database.damaged();
    database.close().await;
}

#[tokio::test]
async fn a_stop_ends_it_whatever_is_away() {
    let database = Database::create().await;
    go_away(&database).await;
    let mut scene = Scene::new();
    let receiver = Receiver::start();
    scene.pagerduty(&receiver);
    let auditor = scene.auditor(&database);
    let stop = CancellationToken::new();
    stop.cancel();
    auditor.alerts.run(&stop).await;
    come_back(&database).await;
    database.close().await;
}
