use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use futures_util::future::join_all;
use ledger::EventKey;
use ports::{Ask, Claim, ClaimRecord, Promotion, Replay};
use replay_redis::RedisReplay;
use testkit::contract::replay::{RETENTION_MS, all, ask, event, settled, take};
use testkit::servers::redis::KeyPrefix;

use crate::{handle, replay, settings};

#[tokio::test]
async fn claims_in_redis_keep_the_contract() {
    let prefix = KeyPrefix::fresh();
    all(&*replay(&settings(&prefix))).await;
}

#[tokio::test]
async fn claims_are_shared_by_all_who_have_the_secret_and_the_epoch() {
    let prefix = KeyPrefix::fresh();
    let key = event("evt_shared");
    let held = take(&*replay(&settings(&prefix)), &key, ask(1, 0)).await;
    let elsewhere = replay(&settings(&prefix));
    assert_eq!(elsewhere.claim(&key, ask(2, 0)).await, Ok(Claim::InFlight { retry_after_ms: 10_000 }));
    assert_eq!(elsewhere.promote(&key, held, Promotion::Accepted, ask(1, 0).now).await, Ok(true));

    let mut later = settings(&prefix);
    later.epoch += 1;
    take(&*replay(&later), &key, ask(2, 0)).await;
    let mut stranger = settings(&prefix);
    stranger.secret = vec![8; 32].into();
    take(&*replay(&stranger), &key, ask(2, 0)).await;
}

#[tokio::test]
async fn redis_learns_no_id_no_account_no_amount_and_no_result() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    let key = event("evt_Private1");
    let held = take(&*replay, &key, ask(1, 0)).await;
    let mut seen = prefix.dump();
    assert!(replay.promote(&key, held, Promotion::Accepted, ask(1, 0).now).await.unwrap());
    seen.extend(prefix.dump());
    let result = r#"{"status":"booked","amount_minor":123456,"currency":"EUR"}"#;
    replay.settle(&key, settled(result, 1)).await.unwrap();
    seen.extend(prefix.dump());
    assert_eq!(seen.len(), 3);

    let digest = ask(1, 0).fingerprint.digest;
    let owner = ask(1, 0).owner.0;
    let private: [&[u8]; 8] =
        [b"evt_Private1", b"acct_dev", b"stripe", b"123456", b"EUR", b"booked", &digest, &owner];
    for (at, word) in private.into_iter().enumerate() {
        let hex = HEXLOWER.encode(word);
        let base64 = BASE64.encode(word.get(..word.len() / 3 * 3).unwrap());
        for (redis_key, value) in &seen {
            for form in [word, hex.as_bytes(), base64.as_bytes()] {
                let mut windows = redis_key.windows(form.len()).chain(value.windows(form.len()));
                assert!(!windows.any(|window| window == form), "word {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_is_kept_for_the_retention_from_its_claim_and_from_its_settling() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    let key = event("evt_ttl");
    let kept = |asked_ms: i64| {
        let ttl_ms = prefix.ttl_ms(&prefix.only_key());
        assert!(ttl_ms <= asked_ms && ttl_ms > asked_ms - 60_000, "{ttl_ms} of {asked_ms}");
    };
    let held = take(&*replay, &key, ask(1, 0)).await;
    kept(RETENTION_MS);
    assert!(replay.promote(&key, held, Promotion::Released, ask(1, 0).now).await.unwrap());
    kept(RETENTION_MS);
    take(&*replay, &key, Ask { retention_ms: 2 * RETENTION_MS, ..ask(1, 0) }).await;
    kept(2 * RETENTION_MS);
    replay.settle(&key, settled("booked", 1)).await.unwrap();
    kept(RETENTION_MS);
    // What Redis could not keep, or not for that long, is no reason to refuse.
    replay.settle(&key, ports::Settled { retention_ms: i64::MAX, ..settled("booked", 1) }).await.unwrap();
    replay.settle(&key, ports::Settled { retention_ms: -1, ..settled("booked", 1) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_50_deliveries_at_once_exactly_one_takes_the_event() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    for round in 0..10 {
        let key = event(&format!("evt_race_{round}"));
        // New, expired, and forged: all three ways of being free.
        assert_eq!(taken_of_50(&replay, &key, 0).await, 1, "new");
        assert_eq!(taken_of_50(&replay, &key, 10_000).await, 1, "expired");
        for redis_key in prefix.keys() {
            prefix.forge(&redis_key, b"forged");
        }
        assert_eq!(taken_of_50(&replay, &key, 0).await, 1, "forged");
    }
}

async fn taken_of_50(replay: &Arc<RedisReplay>, key: &EventKey, after_ms: i64) -> usize {
    let claims = (0..50).map(|owner| {
        let (replay, key) = (Arc::clone(replay), key.clone());
        handle().spawn("claim", async move { replay.claim(&key, ask(owner, after_ms)).await })
    });
    let mut taken = Vec::new();
    for claim in join_all(claims).await {
        match claim.unwrap().unwrap() {
            Claim::Taken(held) => taken.push(held),
            Claim::InFlight { .. } => {}
            other @ (Claim::Replayed(..) | Claim::Parked | Claim::Reused) => panic!("{other:?}"),
        }
    }
    for held in &taken {
        assert_eq!(held.record, ClaimRecord { owner: held.record.owner, ..taken[0].record.clone() });
    }
    taken.len()
}

#[tokio::test]
async fn a_claim_has_as_many_bytes_as_the_readme_says() {
    let prefix = KeyPrefix::fresh();
    let replay = replay(&settings(&prefix));
    let key = event("evt_size");
    take(&*replay, &key, ask(1, 0)).await;
    let redis_key = prefix.only_key();
    assert_eq!((redis_key.len() - prefix.as_str().len(), prefix.value(&redis_key).len()), (43, 100));
    replay.settle(&key, settled(&"x".repeat(200), 1)).await.unwrap();
    assert_eq!(prefix.value(&redis_key).len(), 300);
}
