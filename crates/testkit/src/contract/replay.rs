//! What every `Replay` promises, with `ClaimTimes::default()`. Each function uses events of its own, so that all can run
//! on one cache; a cache must be empty at the start.

use futures_util::future::join_all;
use ledger::{EventId, EventKey, Livemode, ProviderAccount, Source, UnixMillis};
use ports::{
    Age, Ask, Claim, ClaimState, ClaimTimes, ClaimTrace, Held, OwnerToken, Promotion, Replay, Settled,
    StoredResult,
};
use wire::Fingerprint;

/// An instant in 2026, at which the contract's clock stands.
pub const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
/// What the contract's deliveries ask for: 72 h.
pub const RETENTION_MS: i64 = 259_200_000;

/// The whole contract.
pub async fn all(replay: &dyn Replay) {
    a_new_event_is_taken_and_in_flight_for_everybody_else(replay).await;
    a_claim_past_its_time_passes_to_the_next_delivery(replay).await;
    an_accepted_event_is_replayed_for_600_seconds(replay).await;
    a_parked_event_stays_parked_for_its_retention(replay).await;
    a_released_event_is_free_at_once(replay).await;
    a_claim_is_promoted_once_and_only_by_its_holder(replay).await;
    what_the_books_say_is_stored_over_any_state(replay).await;
    a_result_comes_back_letter_for_letter(replay).await;
    a_replay_names_the_trace_that_was_accepted_and_then_the_one_of_the_books(replay).await;
    another_content_under_the_same_id_is_reused_in_every_state(replay).await;
    fingerprints_of_different_versions_are_not_compared(replay).await;
    an_arrival_in_time_is_remembered(replay).await;
    events_that_differ_in_any_part_of_the_key_are_different(replay).await;
    of_many_claims_at_once_one_is_taken(replay).await;
}

/// The key of an event of source `stripe`.
pub fn event(id: &str) -> EventKey {
    event_of("stripe", "acct_dev", Livemode::Test, id)
}

/// What delivery number `owner` asks, young enough, `after_ms` after [`NOW`].
pub fn ask(owner: u8, after_ms: i64) -> Ask {
    Ask {
        now: NOW.plus_ms(after_ms),
        age: Age::Fresh,
        fingerprint: Fingerprint { version: 1, digest: [7; 32] },
        owner: OwnerToken([owner; 16]),
        trace: None,
        retention_ms: RETENTION_MS,
    }
}

/// Claims, and fails the test if the event is not free.
pub async fn take(replay: &dyn Replay, key: &EventKey, ask: Ask) -> Held {
    match replay.claim(key, ask).await.unwrap() {
        Claim::Taken(held) => held,
        refused @ (Claim::Replayed(..) | Claim::Parked | Claim::InFlight { .. } | Claim::Reused) => {
            panic!("{key} is not free: {refused:?}")
        }
    }
}

/// What the books say of the contract's events.
pub fn settled(result: &str, after_ms: i64) -> Settled {
    Settled {
        state: ClaimState::Booked,
        fingerprint: ask(0, 0).fingerprint,
        result: StoredResult(result.to_owned()),
        trace: None,
        now: NOW.plus_ms(after_ms),
        retention_ms: RETENTION_MS,
    }
}

fn event_of(source: &str, account: &str, livemode: Livemode, id: &str) -> EventKey {
    EventKey {
        source: Source::parse(source).unwrap(),
        account: ProviderAccount::parse(account).unwrap(),
        livemode,
        event_id: EventId::parse(id).unwrap(),
    }
}

async fn claim(replay: &dyn Replay, key: &EventKey, ask: Ask) -> Claim {
    replay.claim(key, ask).await.unwrap()
}

async fn promote(replay: &dyn Replay, key: &EventKey, held: &Held, to: Promotion, after_ms: i64) -> bool {
    replay.promote(key, held.clone(), to, NOW.plus_ms(after_ms)).await.unwrap()
}

async fn a_new_event_is_taken_and_in_flight_for_everybody_else(replay: &dyn Replay) {
    let key = event("evt_new");
    let held = take(replay, &key, ask(1, 0)).await;
    assert_eq!(held.record, ports::ClaimRecord::claimed(&ask(1, 0), ClaimTimes::default()));
    assert_eq!(claim(replay, &key, ask(2, 0)).await, Claim::InFlight { retry_after_ms: 10_000 });
    assert_eq!(claim(replay, &key, ask(2, 9_999)).await, Claim::InFlight { retry_after_ms: 1 });
}

async fn a_claim_past_its_time_passes_to_the_next_delivery(replay: &dyn Replay) {
    let key = event("evt_expired");
    let first = take(replay, &key, ask(1, 0)).await;
    let second = take(replay, &key, ask(2, 10_000)).await;
    assert_eq!(second.record.owner, OwnerToken([2; 16]));
    for to in [Promotion::Accepted, Promotion::Parked, Promotion::Released] {
        assert!(!promote(replay, &key, &first, to, 10_001).await);
    }
    assert_eq!(claim(replay, &key, ask(3, 10_001)).await, Claim::InFlight { retry_after_ms: 9_999 });
    assert!(promote(replay, &key, &second, Promotion::Accepted, 10_002).await);
}

async fn an_accepted_event_is_replayed_for_600_seconds(replay: &dyn Replay) {
    let key = event("evt_accepted");
    let held = take(replay, &key, ask(1, 0)).await;
    assert!(promote(replay, &key, &held, Promotion::Accepted, 500).await);
    for after_ms in [500, 10_001, 600_499] {
        assert_eq!(claim(replay, &key, ask(2, after_ms)).await, Claim::Replayed(None, None));
    }
    take(replay, &key, ask(2, 600_500)).await;
}

async fn a_parked_event_stays_parked_for_its_retention(replay: &dyn Replay) {
    let key = event("evt_parked");
    let held = take(replay, &key, Ask { age: Age::Stale, ..ask(1, 0) }).await;
    assert!(promote(replay, &key, &held, Promotion::Parked, 1).await);
    assert_eq!(claim(replay, &key, ask(2, 2)).await, Claim::Parked);
    assert_eq!(claim(replay, &key, ask(2, 86_400_000)).await, Claim::Parked);
}

async fn a_released_event_is_free_at_once(replay: &dyn Replay) {
    let key = event("evt_released");
    let held = take(replay, &key, ask(1, 0)).await;
    assert!(promote(replay, &key, &held, Promotion::Released, 5).await);
    let next = take(replay, &key, ask(2, 5)).await;
    assert_eq!((next.record.owner, next.record.until), (OwnerToken([2; 16]), NOW.plus_ms(10_005)));
}

async fn a_claim_is_promoted_once_and_only_by_its_holder(replay: &dyn Replay) {
    let (key, other) = (event("evt_promoted"), event("evt_promoted_other"));
    let held = take(replay, &key, ask(1, 0)).await;
    let of_other = take(replay, &other, ask(1, 0)).await;
    assert!(!promote(replay, &key, &of_other, Promotion::Released, 1).await);
    let forged = Held { exact: b"forged".to_vec(), ..held.clone() };
    assert!(!promote(replay, &key, &forged, Promotion::Released, 1).await);
    assert_eq!(claim(replay, &key, ask(2, 1)).await, Claim::InFlight { retry_after_ms: 9_999 });

    assert!(promote(replay, &key, &held, Promotion::Accepted, 2).await);
    assert!(!promote(replay, &key, &held, Promotion::Released, 3).await);
    assert_eq!(claim(replay, &key, ask(2, 3)).await, Claim::Replayed(None, None));
    assert!(!promote(replay, &event("evt_never_claimed"), &held, Promotion::Accepted, 3).await);
    take(replay, &event("evt_never_claimed"), ask(2, 3)).await;
}

async fn what_the_books_say_is_stored_over_any_state(replay: &dyn Replay) {
    for promotion in [None, Some(Promotion::Accepted), Some(Promotion::Parked), Some(Promotion::Released)] {
        let key = event(&format!("evt_settled_{promotion:?}"));
        let held = take(replay, &key, ask(1, 0)).await;
        if let Some(to) = promotion {
            assert!(promote(replay, &key, &held, to, 1).await);
        }
        replay.settle(&key, settled("booked", 2)).await.unwrap();
        assert!(!promote(replay, &key, &held, Promotion::Released, 3).await);
        let booked = Claim::Replayed(Some(StoredResult("booked".to_owned())), None);
        assert_eq!(claim(replay, &key, ask(2, 3)).await, booked);
        assert_eq!(claim(replay, &key, Ask { age: Age::Stale, ..ask(2, RETENTION_MS + 1) }).await, booked);
    }
    let key = event("evt_settled_unclaimed");
    replay.settle(&key, Settled { state: ClaimState::Parked, ..settled("parked", 0) }).await.unwrap();
    assert_eq!(claim(replay, &key, ask(1, 1)).await, Claim::Parked);
    replay.settle(&key, settled("booked", 2)).await.unwrap();
    assert_eq!(
        claim(replay, &key, ask(1, 3)).await,
        Claim::Replayed(Some(StoredResult("booked".to_owned())), None)
    );
}

async fn a_result_comes_back_letter_for_letter(replay: &dyn Replay) {
    let long = format!("\"{}\"", "x".repeat(4096));
    for (at, result) in
        ["", "null", "{\"status\":\"booked\",\"amount\":\"¥ 1 000 \u{0}\"}", &long].iter().enumerate()
    {
        let key = event(&format!("evt_result_{at}"));
        replay.settle(&key, settled(result, 0)).await.unwrap();
        let stored = StoredResult((*result).to_owned());
        assert_eq!(claim(replay, &key, ask(1, 1)).await, Claim::Replayed(Some(stored), None));
    }
}

async fn a_replay_names_the_trace_that_was_accepted_and_then_the_one_of_the_books(replay: &dyn Replay) {
    let key = event("evt_traced");
    let [first, again, settling] = ["1a", "2b", "3c"].map(ClaimTrace::parse);
    let held = take(replay, &key, Ask { trace: first, ..ask(1, 0) }).await;
    assert!(promote(replay, &key, &held, Promotion::Accepted, 1).await);
    let duplicate = Ask { trace: again, ..ask(2, 2) };
    assert_eq!(claim(replay, &key, duplicate).await, Claim::Replayed(None, first));
    replay.settle(&key, Settled { trace: settling, ..settled("booked", 3) }).await.unwrap();
    let booked = Some(StoredResult("booked".to_owned()));
    assert_eq!(claim(replay, &key, duplicate).await, Claim::Replayed(booked, settling));
}

async fn another_content_under_the_same_id_is_reused_in_every_state(replay: &dyn Replay) {
    let other =
        |after_ms| Ask { fingerprint: Fingerprint { version: 1, digest: [8; 32] }, ..ask(2, after_ms) };
    for promotion in [None, Some(Promotion::Accepted), Some(Promotion::Parked), Some(Promotion::Released)] {
        let key = event(&format!("evt_reused_{promotion:?}"));
        let held = take(replay, &key, ask(1, 0)).await;
        if let Some(to) = promotion {
            assert!(promote(replay, &key, &held, to, 1).await);
        }
        assert_eq!(claim(replay, &key, other(2)).await, Claim::Reused, "{promotion:?}");
    }
    let key = event("evt_reused_booked");
    replay.settle(&key, settled("booked", 0)).await.unwrap();
    assert_eq!(claim(replay, &key, other(1)).await, Claim::Reused);
}

async fn fingerprints_of_different_versions_are_not_compared(replay: &dyn Replay) {
    let key = event("evt_other_version");
    replay.settle(&key, settled("booked", 0)).await.unwrap();
    let newer = Ask { fingerprint: Fingerprint { version: 2, digest: [8; 32] }, ..ask(1, 1) };
    assert_eq!(
        claim(replay, &key, newer).await,
        Claim::Replayed(Some(StoredResult("booked".to_owned())), None)
    );
}

async fn an_arrival_in_time_is_remembered(replay: &dyn Replay) {
    let stale = |after_ms| Ask { age: Age::Stale, ..ask(2, after_ms) };
    let key = event("evt_seen_fresh");
    assert!(!take(replay, &key, stale(0)).await.record.seen_fresh);
    assert!(!take(replay, &key, stale(10_000)).await.record.seen_fresh);
    let fresh = take(replay, &key, ask(1, 20_000)).await;
    assert!(fresh.record.seen_fresh);
    assert!(promote(replay, &key, &fresh, Promotion::Released, 20_001).await);
    let late = take(replay, &key, stale(400_000)).await;
    assert!(late.record.seen_fresh);
    assert!(promote(replay, &key, &late, Promotion::Accepted, 400_001).await);
    assert!(take(replay, &key, stale(1_100_000)).await.record.seen_fresh);
}

async fn events_that_differ_in_any_part_of_the_key_are_different(replay: &dyn Replay) {
    let keys = [
        event_of("s", "a", Livemode::Live, "ab"),
        event_of("s", "a", Livemode::Test, "ab"),
        event_of("s", "aa", Livemode::Live, "b"),
        event_of("sa", "a", Livemode::Live, "b"),
        event_of("s", "a", Livemode::Live, "b"),
    ];
    for key in &keys {
        take(replay, key, ask(1, 0)).await;
    }
    for key in &keys {
        assert_eq!(claim(replay, key, ask(1, 0)).await, Claim::InFlight { retry_after_ms: 10_000 });
    }
}

async fn of_many_claims_at_once_one_is_taken(replay: &dyn Replay) {
    let key = event("evt_race");
    for after_ms in [0, 10_000] {
        let claims = join_all((0..32).map(|owner| replay.claim(&key, ask(owner, after_ms)))).await;
        let taken = claims.iter().filter(|claim| matches!(claim, Ok(Claim::Taken(_)))).count();
        let in_flight = claims.iter().filter(|claim| matches!(claim, Ok(Claim::InFlight { .. }))).count();
        assert_eq!((taken, in_flight), (1, 31), "after {after_ms} ms");
    }
}
