//! What receivers are told, and when.

use core::time::Duration;

use auditor::alert::Severity;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use testkit::servers::postgres::Database;

use super::receiver::{Received, Receiver};
use super::{ROUTING_KEY, SIGNING_SECRET, Scene, imbalance, silence};

fn trigger() -> serde_json::Value {
    json!({
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": "test/balance/live/USD",
        "client": "Countersign",
        "payload": {
            "summary": "Debits and credits of live USD differ",
            "source": "test",
            "severity": "critical",
            "timestamp": "2026-11-22T10:00:00Z",
            "component": "auditor",
            "group": "balance",
            "class": "LedgerImbalance",
            "custom_details": {
                "alert": "LedgerImbalance",
                "check": "balance",
                "currency": "USD",
                "details": { "transaction": "17" },
                "difference_minor": 500,
                "finding": "balance/live/USD",
                "head": { "height": 41, "digest": "ab12" },
                "livemode": true,
                "opened_at": "2026-11-22T10:00:00Z",
                "probable_cause": "an amount was edited",
                "runbook": "https://runbooks.example/LedgerImbalance.md",
                "trace_ids": ["4bf92f3577b34da6a3ce929d0e0e4736"],
            },
        },
        "links": [{ "href": "https://runbooks.example/LedgerImbalance.md", "text": "Runbook: LedgerImbalance" }],
    })
}

/// Checks the signature as a receiver would, and answers the id.
fn verified(received: &Received) -> String {
    let header = |name: &str| received.headers[name].as_str();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    assert!(timestamp.parse::<i64>().unwrap() > 1_700_000_000);
    let key = BASE64.decode(SIGNING_SECRET.trim_start_matches("whsec_").as_bytes()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.{}", received.text).as_bytes());
    let expected = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
    id.to_owned()
}

#[tokio::test]
async fn pagerduty_is_told_once_however_many_runs_and_auditors_see_it_and_again_when_it_has_healed() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    let mut scene = Scene::new();
    scene.pagerduty(&receiver);
    let (one, other) = (scene.auditor(&database), scene.auditor(&database));
    let test = async {
        let open = [imbalance()];
        tokio::join!(one.stand(&database, &open), other.stand(&database, &open));
        let received = receiver.next().await;
        assert_eq!((received.path.as_str(), received.json()), ("/v2/enqueue", trigger()));
        assert_eq!(received.headers["content-type"], "application/json");
        one.stand(&database, &open).await;
        other.stand(&database, &open).await;

        other.stand(&database, &[]).await;
        let resolve = json!({
            "routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": "test/balance/live/USD",
        });
        assert_eq!(receiver.next().await.json(), resolve);
        one.stand(&database, &[]).await;

        // It comes back: told again, under the same key.
        one.stand(&database, &open).await;
        assert_eq!(receiver.next().await.json(), trigger());
    };
    Box::pin(one.sending(other.sending(test))).await;
    assert_eq!(receiver.rest().len(), 0);
    database.close().await;
}

#[tokio::test]
async fn each_route_is_told_of_what_it_takes() {
    let database = Database::create().await;
    let (mut on_call, mut finance) = (Receiver::start(), Receiver::start());
    let mut scene = Scene::new();
    scene.pagerduty(&on_call).severities = Some([Severity::Critical].into());
    scene.slack(&finance).checks = Some(["silence".to_owned()].into());
    let auditor = scene.auditor(&database);
    auditor
        .sending(async {
            auditor.stand(&database, &[imbalance(), silence()]).await;
            assert_eq!(on_call.next().await.json()["dedup_key"], "test/balance/live/USD");
            let body = finance.next().await.json();
            let title = "WARNING SourceSilent: stripe has been quiet for 24 h";
            let section =
                format!("*{title}*\n<https://runbooks.example/SourceSilent.md|Runbook>\nHead: 41 ab12");
            let context = "test | check silence | open since 2026-11-22T11:00:00Z | silence/stripe";
            let expected = json!({
                "text": title,
                "blocks": [
                    { "type": "section", "text": { "type": "mrkdwn", "text": section } },
                    { "type": "context", "elements": [{ "type": "mrkdwn", "text": context }] },
                ],
            });
            assert_eq!(body, expected);
            auditor.stand(&database, &[]).await;
            assert_eq!(on_call.next().await.json()["event_action"], "resolve");
            let healed = finance.next().await.json();
            assert_eq!(healed["text"], "Healed: SourceSilent: stripe has been quiet for 24 h");
        })
        .await;
    assert_eq!((on_call.rest().len(), finance.rest().len()), (0, 0));
    database.close().await;
}

#[tokio::test]
async fn a_webhook_is_signed_and_keeps_its_id_over_attempts_that_fail() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    receiver.answer([(429, "1"), (503, ""), (204, "")]);
    let mut scene = Scene::new();
    scene.webhook(&receiver);
    let auditor = scene.auditor(&database);
    let handle = runtime::TokioExecutor::handle();
    let ids = auditor
        .sending(async {
            auditor.stand(&database, &[imbalance()]).await;
            let first = receiver.next().await;
            let asked = handle.monotonic();
            let second = receiver.next().await;
            assert!(handle.monotonic().saturating_sub(asked) >= Duration::from_millis(990));
            let third = receiver.next().await;
            assert_eq!(third.json()["type"], "finding.opened");
            assert_eq!(third.json()["data"]["dedup_key"], "test/balance/live/USD");
            assert_eq!(third.json()["data"]["head"], json!({ "height": 41, "digest": "ab12" }));
            auditor.stand(&database, &[]).await;
            let healed = receiver.next().await;
            assert_eq!(healed.json()["type"], "finding.healed");
            [first, second, third, healed].map(|received| verified(&received))
        })
        .await;
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    let metrics = auditor.metrics();
    for line in [
        "auditor_alert_deliveries_total{route=\"siem\",result=\"retried\"} 2",
        "auditor_alert_deliveries_total{route=\"siem\",result=\"failed\"} 0",
        "auditor_alert_route_failing{route=\"siem\",critical=\"true\",warning=\"true\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    database.close().await;
}

#[tokio::test]
async fn what_still_stands_is_told_again_until_somebody_says_that_they_know() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    let mut scene = Scene::new();
    scene.settings.remind_every = Duration::from_millis(300);
    scene.webhook(&receiver);
    let auditor = scene.auditor(&database);
    auditor
        .sending(async {
            auditor.stand(&database, &[imbalance()]).await;
            let opened = receiver.next().await;
            let reminded = receiver.next().await;
            let types = [&opened, &reminded].map(|received| received.json()["type"].clone());
            assert_eq!(types, ["finding.opened", "finding.reminded"]);
            assert_ne!(verified(&opened), verified(&reminded));

            let mut acknowledged = imbalance();
            acknowledged.acknowledged = true;
            auditor.stand(&database, &[acknowledged.clone()]).await;
            // One reminder may have been under way.
            auditor.stand(&database, &[acknowledged.clone(), silence()]).await;
            while receiver.next().await.json()["data"]["finding"] != "silence/stripe" {}
            receiver.rest();
            while receiver.next().await.json()["data"]["finding"] != "silence/stripe" {}
            assert!(receiver.rest().iter().all(|other| other.json()["data"]["check"] == "silence"));
            auditor.stand(&database, &[silence()]).await;
            while receiver.next().await.json()["type"] != "finding.healed" {}
        })
        .await;
    database.close().await;
}

#[tokio::test]
async fn what_is_refused_is_not_repeated_before_a_reminder_is_due() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    // A redirect is not followed: the next host was not configured.
    receiver.answer([(400, ""), (302, "")]);
    let mut scene = Scene::new();
    scene.settings.remind_every = Duration::from_secs(3);
    scene.pagerduty(&receiver);
    let auditor = scene.auditor(&database);
    auditor
        .sending(async {
            auditor.stand(&database, &[imbalance()]).await;
            assert_eq!(receiver.next().await.json(), trigger());
            auditor.stand(&database, &[imbalance(), silence()]).await;
            let other = receiver.next().await;
            assert_eq!(
                (other.path.as_str(), &other.json()["dedup_key"]),
                ("/v2/enqueue", &json!("test/silence/stripe"))
            );
            assert_eq!(receiver.next().await.json(), trigger());
        })
        .await;
    let metrics = auditor.metrics();
    assert!(
        metrics.contains("auditor_alert_deliveries_total{route=\"on-call\",result=\"failed\"} 2"),
        "{metrics}"
    );
    database.close().await;
}
