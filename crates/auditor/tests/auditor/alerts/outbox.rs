//! What survives a crash.

use testkit::servers::postgres::{Database, Role};

use super::receiver::Receiver;
use super::{AlertsOfOne, ROUTING_KEY, SIGNING_SECRET, Scene, imbalance, silence};

#[tokio::test]
async fn what_one_auditor_found_another_sends_after_a_crash_between_the_two() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    let mut scene = Scene::new();
    scene.pagerduty(&receiver);
    let crashed = scene.auditor(&database);
    crashed.stand(&database, &[imbalance()]).await;
    drop(crashed);
    let auditor = scene.auditor(&database);
    let received = auditor.sending(receiver.next()).await;
    assert_eq!(received.json()["dedup_key"], "test/balance/live/USD");
    database.close().await;
}

#[tokio::test]
async fn what_was_in_hand_at_a_crash_is_sent_again_as_the_same_message() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    let mut scene = Scene::new();
    scene.webhook(&receiver);
    let crashed = scene.auditor(&database);
    crashed.stand(&database, &[imbalance()]).await;
    // Dropped when the receiver has it and before that is stored: the answer is never looked at.
    let first = tokio::select! {
        biased;
        first = receiver.next() => first,
        () = crashed.sending(core::future::pending()) => unreachable!("it never ends"),
    };
    drop(crashed);
    let superuser = database.connect(Role::Superuser).await;
    let lapsed = "UPDATE countersign.alert SET next_attempt_at = clock_timestamp() WHERE route = 'siem'";
    assert_eq!(superuser.execute(lapsed, &[]).await.unwrap(), 1);
    let auditor = scene.auditor(&database);
    let again = auditor.sending(receiver.next()).await;
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    assert_eq!(first.json()["data"], again.json()["data"]);
    database.close().await;
}

#[tokio::test]
async fn no_secret_is_stored() {
    let database = Database::create().await;
    let (on_call, siem, slack) = (Receiver::start(), Receiver::start(), Receiver::start());
    siem.answer([(500, "")]);
    let mut scene = Scene::new();
    scene.pagerduty(&on_call);
    scene.webhook(&siem);
    scene.slack(&slack);
    let auditor = scene.auditor(&database);
    let [mut on_call, mut siem, mut slack] = [on_call, siem, slack];
    auditor
        .sending(async {
            auditor.stand(&database, &[imbalance(), silence()]).await;
            tokio::join!(on_call.next(), siem.next(), slack.next());
            siem.next().await;
        })
        .await;
    let superuser = database.connect(Role::Superuser).await;
    let rows = superuser.query("SELECT alert::TEXT FROM countersign.alert AS alert", &[]).await.unwrap();
    assert_eq!(rows.len(), 8, "two findings, three routes and the log");
    for row in rows {
        let text: &str = row.get(0);
        for secret in [ROUTING_KEY, SIGNING_SECRET, "127.0.0.1"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    database.close().await;
}

#[tokio::test]
async fn every_auditor_says_of_a_route_what_the_last_attempt_of_any_came_to() {
    let database = Database::create().await;
    let mut receiver = Receiver::start();
    receiver.answer([(503, "3600")]);
    let mut scene = Scene::new();
    scene.webhook(&receiver);
    let failing = |auditor: &AlertsOfOne| auditor.route_failing("siem");
    let trying = scene.auditor(&database);
    trying
        .sending(async {
            trying.stand(&database, &[imbalance()]).await;
            receiver.next().await;
            trying.until_failing("siem").await;
        })
        .await;
    // One that has not tried yet, be it another or the same again.
    let idle = scene.auditor(&database);
    assert!(!failing(&idle), "before its first run it has not asked");
    idle.stand(&database, &[imbalance()]).await;
    assert!(failing(&idle));
    let delivering = scene.auditor(&database);
    delivering
        .sending(async {
            delivering.stand(&database, &[imbalance(), silence()]).await;
            receiver.next().await;
            delivering.until_delivered("siem", 1).await;
        })
        .await;
    assert!(!failing(&delivering));
    idle.stand(&database, &[imbalance(), silence()]).await;
    assert!(!failing(&idle));
    database.close().await;
}
