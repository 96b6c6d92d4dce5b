use serde_json::json;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn now(seconds: u64) -> Now {
    let wall = Timestamp::from_second(1_700_000_000 + i64::try_from(seconds).unwrap()).unwrap();
    Now { monotonic: Duration::from_secs(seconds), wall }
}

fn wanted(key: &str, route: &str) -> AlertWanted {
    let (finding_key, route) = (key.to_owned(), route.to_owned());
    AlertWanted { dedup_key: format!("c/{key}"), finding_key, route, content: json!({}) }
}

fn raised(keys: &[&str]) -> Direct {
    let mut direct = Direct::default();
    for key in keys {
        direct.raise(wanted(key, "on-call"), now(0));
    }
    direct
}

fn sent() -> AlertSettled {
    AlertSettled::Sent { again: Some(MINUTE) }
}

fn retry() -> AlertSettled {
    AlertSettled::Retry { after: MINUTE, failure: "HTTP 503".to_owned() }
}

#[test]
fn what_is_raised_again_and_again_is_told_once_and_then_when_a_reminder_is_due() {
    let mut direct = raised(&["a"]);
    assert_eq!(direct.claim("finance", now(1)), None);
    let due = direct.claim("on-call", now(1)).unwrap();
    assert_eq!((due.attempts, due.notifications, due.action), (1, 0, AlertAction::Trigger));
    // In hand: nobody else sends it.
    direct.raise(wanted("a", "on-call"), now(2));
    assert_eq!(direct.claim("on-call", now(2)), None);
    direct.settle(&due, &sent(), now(3));
    direct.raise(wanted("a", "on-call"), now(4));
    assert_eq!(direct.claim("on-call", now(62)), None);
    assert_eq!(direct.claim("on-call", now(63)).unwrap().notifications, 1);
}

#[test]
fn what_was_not_taken_is_tried_again_in_its_time() {
    let mut direct = raised(&["a"]);
    let due = direct.claim("on-call", now(0)).unwrap();
    direct.settle(&due, &retry(), now(0));
    assert_eq!(direct.untold(), 1);
    assert_eq!(direct.claim("on-call", now(59)), None);
    assert_eq!(direct.claim("on-call", now(60)).unwrap().attempts, 2);
}

#[test]
fn what_has_healed_is_resolved_where_it_may_be_known_and_forgotten_where_not() {
    let mut direct = raised(&["known", "unknown", "stands"]);
    let due = direct.claim("on-call", now(0)).unwrap();
    assert_eq!(due.wanted.finding_key, "known");
    direct.settle(&due, &sent(), now(0));
    direct.resolve_others(&["stands"].into(), now(1));
    let due = direct.claim("on-call", now(1)).unwrap();
    assert_eq!((due.wanted.finding_key.as_str(), due.action), ("known", AlertAction::Resolve));
    direct.settle(&due, &AlertSettled::Sent { again: None }, now(1));
    let due = direct.claim("on-call", now(1)).unwrap();
    assert_eq!((due.wanted.finding_key.as_str(), due.action), ("stands", AlertAction::Trigger));
    assert_eq!(direct.claim("on-call", now(1)), None);
}

#[test]
fn what_comes_back_while_it_is_being_resolved_is_told_again() {
    let mut direct = raised(&["a"]);
    let due = direct.claim("on-call", now(0)).unwrap();
    direct.settle(&due, &sent(), now(0));
    direct.resolve_others(&BTreeSet::new(), now(1));
    let resolving = direct.claim("on-call", now(1)).unwrap();
    direct.raise(wanted("a", "on-call"), now(2));
    direct.settle(&resolving, &AlertSettled::Sent { again: None }, now(3));
    let due = direct.claim("on-call", now(3)).unwrap();
    assert_eq!((due.action, due.notifications), (AlertAction::Trigger, 1));
}

#[test]
fn the_outbox_takes_over_what_may_be_known_with_its_age_and_its_reminder() {
    let mut direct = raised(&["told", "tried", "waits"]);
    let told = direct.claim("on-call", now(0)).unwrap();
    direct.settle(&told, &sent(), now(10));
    let tried = direct.claim("on-call", now(10)).unwrap();
    direct.settle(&tried, &retry(), now(10));
    let handed = direct.handover(now(30));
    let seen: Vec<_> = handed
        .iter()
        .map(|handed| (handed.wanted.finding_key.as_str(), handed.age.as_secs(), handed.told, handed.again))
        .collect();
    let reminder = Some(Duration::from_secs(40));
    assert_eq!(seen, [("told", 30, true, reminder), ("tried", 30, false, Some(Duration::ZERO))]);
    direct.forget(&handed);
    assert_eq!((direct.handover(now(30)), direct.untold()), (vec![], 0));
}
