//! Redis answers, and not with yes.

use core::time::Duration;

use ports::{Promotion, Replay as _, ReplayUnavailable};
use replay_redis::Settings;
use testkit::contract::replay::{all, ask, event, settled, take};
use testkit::servers::redis::KeyPrefix;

use crate::fault::scripted;
use crate::{AMPLE, handle, replay, settings};

/// What the user of the ingress and of the processor may do: the line in README.md.
const PERMISSIONS: &str = "+ping +unwatch +set +get +evalsha +script|load";

#[tokio::test]
async fn a_redis_that_is_read_only_full_loading_or_too_old_is_unavailable() {
    let handle = handle();
    let answers = [
        ("-READONLY You can't write against a read only replica.\r\n", "Redis answered READONLY"),
        ("-OOM command not allowed when used memory > 'maxmemory'.\r\n", "Redis answered OOM"),
        ("-LOADING Redis is loading the dataset in memory\r\n", "Redis answered LOADING"),
        ("-MISCONF Redis is configured to save RDB snapshots\r\n", "Redis answered MISCONF"),
        ("-ERR syntax error near countersign:abc\r\n", "Redis answered ERR"),
        ("-countersign:abc is not welcome\r\n", "Redis: extension error"),
        ("nonsense\r\n", "Redis: parse error"),
    ];
    for (answer, reason) in answers {
        let url = scripted(&handle, Duration::ZERO, |_| answer.to_owned()).await;
        let settings = Settings {
            url: url.as_str().into(),
            budget: AMPLE,
            failures_max: 3,
            pause: Duration::from_hours(1),
            ..Settings::new("".into(), vec![7; 32].into())
        };
        let (replay, key) = (replay(&settings), event("evt_1"));
        let unavailable = ReplayUnavailable(reason.to_owned());
        assert_eq!(replay.ready().await, Err(unavailable.clone()));
        assert_eq!(replay.claim(&key, ask(1, 0)).await, Err(unavailable.clone()));
        let held = ports::Held {
            record: ports::ClaimRecord::claimed(&ask(1, 0), ports::ClaimTimes::default()),
            exact: vec![],
            retention_ms: 1,
        };
        let now = ask(1, 0).now;
        assert_eq!(replay.promote(&key, held, Promotion::Accepted, now).await, Err(unavailable.clone()));
        replay.settle(&key, settled("booked", 0)).await.unwrap_err();
        let ReplayUnavailable(alone) = replay.claim(&key, ask(1, 0)).await.unwrap_err();
        assert_eq!(alone, "Redis is left alone after repeated failures");
    }
}

#[tokio::test]
async fn the_permissions_of_the_readme_are_enough() {
    assert!(include_str!("../../README.md").contains(PERMISSIONS));
    let prefix = KeyPrefix::fresh();
    let replay = replay(&as_user(&prefix, PERMISSIONS));
    replay.ready().await.unwrap();
    all(&*replay).await;
}

#[tokio::test]
async fn a_user_that_may_not_write_makes_claims_unavailable() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&as_user(&prefix, "+ping +unwatch +get"));
    let refused = ReplayUnavailable("Redis answered NOPERM".to_owned());
    assert_eq!(replay.claim(&event("evt_1"), ask(1, 0)).await, Err(refused.clone()));
    assert_eq!(replay.ready().await, Err(refused));
}

#[tokio::test]
async fn a_wrong_password_makes_claims_unavailable_and_is_not_told() {
    let prefix = KeyPrefix::fresh();
    let mut settings = settings(&prefix);
    settings.url = prefix.url().replace("redis://", "redis://nobody:hunter2@").into();
    let replay = replay(&settings);
    let ReplayUnavailable(reason) = replay.claim(&event("evt_1"), ask(1, 0)).await.unwrap_err();
    assert_eq!(reason, "Redis: authentication failed");
    assert!(!format!("{replay:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_probe_of_readiness_leaves_claims_alone() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    replay.ready().await.unwrap();
    replay.ready().await.unwrap();
    take(&*replay, &event("ready"), ask(1, 0)).await;
}

fn as_user(prefix: &KeyPrefix, permissions: &str) -> Settings {
    Settings { url: prefix.url_of_user(permissions).into(), ..settings(prefix) }
}
