//! Somebody can write to Redis but has no secret: it may cost time, and never an event.

use deadpool_redis::redis::cmd;
use ports::{Claim, Promotion, Replay as _};
use testkit::contract::replay::{ask, event, settled, take};
use testkit::servers::redis::KeyPrefix;

use crate::{replay, settings};

#[tokio::test]
async fn a_forged_value_is_free_and_is_overwritten() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    let key = event("evt_forged");
    take(&*replay, &key, ask(1, 0)).await;
    let redis_key = prefix.only_key();
    let genuine = prefix.value(&redis_key);
    let mut cut = genuine.clone();
    cut.pop();
    let mut version = genuine.clone();
    version[0] = 2;
    for forged in [&b""[..], b"\x01", b"done", &[0; 100], &[1; 100], &[0xff; 4096], &cut, &version] {
        prefix.forge(&redis_key, forged);
        let held = take(&*replay, &key, ask(2, 1)).await;
        assert!(prefix.ttl_ms(&redis_key) > 0);
        assert_eq!(replay.promote(&key, held, Promotion::Accepted, ask(2, 1).now).await, Ok(true));
        assert_eq!(replay.claim(&key, ask(3, 2)).await, Ok(Claim::Replayed(None, None)));
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_free_and_is_overwritten() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    let key = event("evt_list");
    let held = take(&*replay, &key, ask(1, 0)).await;
    let redis_key = prefix.only_key();
    prefix.ask::<()>(cmd("DEL").arg(&redis_key));
    prefix.ask::<()>(cmd("RPUSH").arg(&redis_key).arg("done"));
    assert_eq!(replay.promote(&key, held, Promotion::Accepted, ask(1, 1).now).await, Ok(false));
    take(&*replay, &key, ask(2, 1)).await;
    assert_eq!(replay.claim(&key, ask(3, 1)).await, Ok(Claim::InFlight { retry_after_ms: 10_000 }));
}

#[tokio::test]
async fn a_booked_value_copied_to_another_event_does_not_suppress_it() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    replay.settle(&event("evt_booked"), settled("booked", 0)).await.unwrap();
    let booked = prefix.only_key();
    let victim = event("evt_victim");
    take(&*replay, &victim, ask(1, 0)).await;
    let victims = prefix.keys().into_iter().find(|key| *key != booked).unwrap();
    prefix.copy(&booked, &victims);
    take(&*replay, &victim, ask(2, 0)).await;
}

#[tokio::test]
async fn a_value_of_another_epoch_or_secret_does_not_suppress_the_event() {
    let prefix = KeyPrefix::fresh();
    let key = event("evt_1");
    let (mut epoch, mut secret) = (settings(&prefix), settings(&prefix));
    epoch.epoch = 1;
    secret.secret = vec![8; 40].into();
    for others in [epoch, secret] {
        prefix.forget();
        replay(&others).settle(&key, settled("booked", 0)).await.unwrap();
        let (others_key, replay) = (prefix.only_key(), replay(&settings(&prefix)));
        take(&*replay, &key, ask(1, 0)).await;
        let ours = prefix.keys().into_iter().find(|key| *key != others_key).unwrap();
        prefix.copy(&others_key, &ours);
        take(&*replay, &key, ask(2, 0)).await;
    }
}

#[tokio::test]
async fn an_old_value_put_back_holds_no_longer_than_it_would_have_held() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    let key = event("evt_1");
    let held = take(&*replay, &key, ask(1, 0)).await;
    let redis_key = prefix.only_key();
    let claimed = prefix.value(&redis_key);
    assert!(replay.promote(&key, held.clone(), Promotion::Released, ask(1, 100).now).await.unwrap());
    let released = prefix.value(&redis_key);

    // `claimed` put back over `released`: a delay to the end of the claim, as if the release had been lost.
    prefix.forge(&redis_key, &claimed);
    assert_eq!(replay.claim(&key, ask(2, 200)).await, Ok(Claim::InFlight { retry_after_ms: 9_800 }));
    let second = take(&*replay, &key, ask(2, 10_000)).await;

    // Over the next claim: its holder finds that it is not its any more, and what it published is booked once.
    prefix.forge(&redis_key, &claimed);
    let now = ask(2, 10_100).now;
    assert_eq!(replay.promote(&key, second, Promotion::Accepted, now).await, Ok(false));
    let third = take(&*replay, &key, ask(3, 10_100)).await;
    assert!(replay.promote(&key, third, Promotion::Accepted, ask(3, 10_200).now).await.unwrap());

    // `released` put back over `accepted`: a duplicate is let through to the books, which see that it is one.
    prefix.forge(&redis_key, &released);
    take(&*replay, &key, ask(4, 10_300)).await;
}

#[tokio::test]
async fn a_promotion_that_is_not_ours_any_more_changes_nothing() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    let key = event("evt_stale");
    let first = take(&*replay, &key, ask(1, 0)).await;
    take(&*replay, &key, ask(2, 10_000)).await;
    let before = prefix.dump();
    for to in [Promotion::Accepted, Promotion::Parked, Promotion::Released] {
        assert_eq!(replay.promote(&key, first.clone(), to, ask(1, 10_001).now).await, Ok(false));
    }
    assert_eq!(prefix.dump(), before);
    prefix.forget();
    assert_eq!(replay.promote(&key, first, Promotion::Accepted, ask(1, 10_001).now).await, Ok(false));
    assert_eq!(prefix.dump(), []);
}
