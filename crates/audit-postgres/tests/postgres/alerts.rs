//! The outbox: rows, claims, and who knows more.

use core::time::Duration;

use audit_postgres::{AlertAction, AlertDue, AlertHanded, AlertSettled, AlertWanted, AuditStore};
use serde_json::{Value, json};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;

use crate::books::store;

const LEASE: Duration = Duration::from_mins(1);
const ROUTE: &str = "on-call";

fn wanted(key: &str, content: Value) -> AlertWanted {
    let (finding_key, route) = (key.to_owned(), ROUTE.to_owned());
    AlertWanted { dedup_key: format!("test/{key}"), finding_key, route, content }
}

fn plain(key: &str) -> AlertWanted {
    wanted(key, json!({ "finding": key, "acknowledged": false, "head": null }))
}

fn sent() -> AlertSettled {
    AlertSettled::Sent { again: Some(Duration::from_hours(4)) }
}

/// The outbox of a database, and its clock.
struct Outbox {
    store: AuditStore,
    superuser: Client,
}

impl Outbox {
    async fn of(database: &Database) -> Self {
        Self { store: store(database), superuser: database.connect(Role::Superuser).await }
    }

    async fn now(&self) -> jiff::Timestamp {
        self.superuser.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0)
    }

    /// These stand now; answers whom somebody has been told of.
    async fn stand(&self, keys: &[&str]) -> Vec<String> {
        let wanted: Vec<_> = keys.iter().map(|key| plain(key)).collect();
        self.stand_as(&wanted, &[]).await
    }

    async fn stand_as(&self, wanted: &[AlertWanted], handed: &[AlertHanded]) -> Vec<String> {
        let standing = self.store.stand_alerts(self.now().await, wanted, handed).await.unwrap();
        standing.told.into_iter().map(|(key, _)| key).collect()
    }

    /// Routes that do not work, while these stand.
    async fn failing(&self, keys: &[&str]) -> Vec<String> {
        let wanted: Vec<_> = keys.iter().map(|key| plain(key)).collect();
        let standing = self.store.stand_alerts(self.now().await, &wanted, &[]).await.unwrap();
        standing.failing.into_iter().collect()
    }

    async fn claim(&self) -> Option<AlertDue> {
        self.store.claim_alert(ROUTE, 7, LEASE).await.unwrap()
    }

    /// Claims what is due and settles it.
    async fn send(&self) -> Option<(AlertAction, String)> {
        let due = self.claim().await?;
        self.store.settle_alert(&due, &sent()).await.unwrap();
        Some((due.action, due.dedup_key))
    }
}

fn trigger(key: &str) -> (AlertAction, String) {
    (AlertAction::Trigger, format!("test/{key}"))
}

fn resolve(key: &str) -> (AlertAction, String) {
    (AlertAction::Resolve, format!("test/{key}"))
}

#[tokio::test]
async fn auditors_that_see_the_same_at_once_make_one_alert_and_one_of_them_sends_it() {
    let database = Database::create().await;
    let (one, other) = (Outbox::of(&database).await, Outbox::of(&database).await);
    let keys = ["a", "b", "c", "d"];
    let reversed = ["d", "c", "b", "a"];
    for _round in 0..10 {
        tokio::join!(one.stand(&keys), other.stand(&reversed));
    }
    let mut claimed = Vec::new();
    for _pair in 0..3 {
        let (here, there) = tokio::join!(one.claim(), other.claim());
        claimed.extend([here, there].into_iter().flatten().map(|due| due.dedup_key));
    }
    claimed.sort();
    assert_eq!(claimed, ["test/a", "test/b", "test/c", "test/d"]);
    database.close().await;
}

#[tokio::test]
async fn what_a_crash_left_claimed_is_due_again_and_a_late_answer_to_it_counts_for_nothing() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    outbox.stand(&["a"]).await;
    let crashed = outbox.store.claim_alert(ROUTE, 1, Duration::ZERO).await.unwrap().unwrap();
    let again = outbox.claim().await.unwrap();
    assert_eq!((crashed.attempts, again.attempts), (1, 2));
    outbox.store.settle_alert(&crashed, &sent()).await.unwrap();
    assert_eq!(outbox.stand(&["a"]).await, Vec::<String>::new());
    outbox.store.settle_alert(&again, &sent()).await.unwrap();
    assert_eq!(outbox.stand(&["a"]).await, ["a"]);
    assert_eq!(outbox.claim().await, None);
    database.close().await;
}

#[tokio::test]
async fn a_failed_attempt_is_due_again_in_its_time_and_counted() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    outbox.stand(&["a"]).await;
    let due = outbox.claim().await.unwrap();
    let later = AlertSettled::Retry { after: LEASE, failure: "HTTP 503".to_owned() };
    outbox.store.settle_alert(&due, &later).await.unwrap();
    assert_eq!(outbox.claim().await, None);
    let row = outbox
        .superuser
        .query_one("SELECT state, attempts, last_failure FROM countersign.alert", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("pending", 1, "HTTP 503"));
    // It may have arrived all the same: it is resolved.
    outbox.stand(&[]).await;
    assert_eq!(outbox.send().await, Some(resolve("a")));
    assert_eq!(outbox.send().await, None);
    database.close().await;
}

#[tokio::test]
async fn a_route_is_failing_for_every_auditor_until_one_delivers_by_it() {
    let database = Database::create().await;
    let (one, other) = (Outbox::of(&database).await, Outbox::of(&database).await);
    assert_eq!(one.failing(&["a", "b"]).await, Vec::<String>::new(), "not tried yet");
    let later = AlertSettled::Retry { after: LEASE, failure: "HTTP 503".to_owned() };
    let due = one.claim().await.unwrap();
    one.store.settle_alert(&due, &later).await.unwrap();
    assert_eq!(other.failing(&["a", "b"]).await, [ROUTE]);
    // What it could not tell has healed; the route works no better for that.
    assert_eq!(other.failing(&["b"]).await, [ROUTE]);
    assert!(other.send().await.is_some());
    assert_eq!(one.failing(&["b"]).await, Vec::<String>::new());

    // What was tried without the outbox counts as well.
    let handed = |told| AlertHanded { wanted: plain("c"), age: LEASE, told, again: Some(LEASE) };
    one.stand_as(&[plain("b"), plain("c")], &[handed(false)]).await;
    assert_eq!(other.failing(&["b", "c"]).await, [ROUTE]);
    one.stand_as(&[plain("b"), plain("c")], &[handed(true)]).await;
    assert_eq!(other.failing(&["b", "c"]).await, Vec::<String>::new());
    database.close().await;
}

#[tokio::test]
async fn what_has_healed_before_anybody_was_told_is_never_told() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    outbox.stand(&["a", "b"]).await;
    outbox.stand(&["b"]).await;
    assert_eq!((outbox.send().await, outbox.send().await), (Some(trigger("b")), None));
    outbox.stand(&["a"]).await;
    let mut both = [outbox.send().await, outbox.send().await].map(Option::unwrap);
    both.sort_by_key(|(_, key)| key.clone());
    assert_eq!(both, [trigger("a"), resolve("b")]);
    database.close().await;
}

#[tokio::test]
async fn a_list_that_is_older_than_what_happened_changes_nothing() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    let before = outbox.now().await;
    outbox.stand(&["a"]).await;
    assert_eq!(outbox.send().await, Some(trigger("a")));
    outbox.store.stand_alerts(before, &[], &[]).await.unwrap();
    assert_eq!(outbox.send().await, None, "opened since");

    let before = outbox.now().await;
    outbox.stand(&[]).await;
    assert_eq!(outbox.send().await, Some(resolve("a")));
    outbox.store.stand_alerts(before, &[plain("a")], &[]).await.unwrap();
    assert_eq!(outbox.send().await, None, "healed since");
    outbox.stand(&["a"]).await;
    assert_eq!(outbox.send().await, Some(trigger("a")));
    database.close().await;
}

#[tokio::test]
async fn what_heals_while_it_is_being_told_is_resolved_after_that() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    outbox.stand(&["a"]).await;
    let in_hand = outbox.store.claim_alert(ROUTE, 1, Duration::from_millis(300)).await.unwrap().unwrap();
    outbox.stand(&[]).await;
    assert_eq!(outbox.claim().await, None, "the first message may still be on its way");
    outbox.store.settle_alert(&in_hand, &sent()).await.unwrap();
    let due = loop {
        if let Some(due) = outbox.claim().await {
            break due;
        }
    };
    assert_eq!(due.action, AlertAction::Resolve);
    database.close().await;
}

#[tokio::test]
async fn what_is_said_is_up_to_date_and_whoever_knows_is_not_reminded() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    outbox.stand(&["a"]).await;
    let newer = wanted("a", json!({ "finding": "more", "acknowledged": false, "head": { "height": 2 } }));
    outbox.stand_as(&[newer], &[]).await;
    let due = outbox.claim().await.unwrap();
    assert_eq!(due.content["finding"], "more");
    outbox.store.settle_alert(&due, &sent()).await.unwrap();

    let reminder = "SELECT next_attempt_at IS NOT NULL FROM countersign.alert";
    let due_again = async || outbox.superuser.query_one(reminder, &[]).await.unwrap().get::<_, bool>(0);
    assert!(due_again().await);
    let known = wanted("a", json!({ "finding": "more", "acknowledged": true, "head": null }));
    outbox.stand_as(&[known], &[]).await;
    assert!(!due_again().await);
    outbox.stand(&[]).await;
    assert_eq!(outbox.send().await, Some(resolve("a")));
    database.close().await;
}

#[tokio::test]
async fn what_joins_an_alert_that_somebody_has_taken_note_of_is_told_at_once() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    outbox.stand(&["a"]).await;
    assert_eq!(outbox.send().await, Some(trigger("a")));
    let known = wanted("a", json!({ "finding": "a", "acknowledged": true, "head": null }));
    outbox.stand_as(&[known], &[]).await;
    assert_eq!(outbox.send().await, None);
    let joined = wanted("a", json!({ "finding": "a and b", "acknowledged": false, "head": null }));
    outbox.stand_as(core::slice::from_ref(&joined), &[]).await;
    assert_eq!(outbox.send().await, Some(trigger("a")));
    outbox.stand_as(&[joined], &[]).await;
    assert_eq!(outbox.send().await, None, "once");
    database.close().await;
}

#[tokio::test]
async fn what_was_sent_without_the_outbox_is_taken_over_and_resolved_when_it_has_healed() {
    let database = Database::create().await;
    let outbox = Outbox::of(&database).await;
    outbox.stand(&["stands"]).await;
    let handed = |key: &str, told: bool| AlertHanded {
        wanted: plain(key),
        age: Duration::from_mins(5),
        told,
        again: told.then_some(LEASE),
    };
    let mut untold = handed("tried", false);
    untold.again = Some(Duration::ZERO);
    let handed = [handed("stands", true), handed("healed", true), untold];
    let told = outbox.stand_as(&[plain("stands"), plain("tried")], &handed).await;
    assert_eq!(told, ["stands"]);
    let mut both = [outbox.send().await, outbox.send().await].map(Option::unwrap);
    both.sort_by_key(|(_, key)| key.clone());
    assert_eq!(both, [resolve("healed"), trigger("tried")]);
    assert_eq!(outbox.send().await, None);
    database.close().await;
}
