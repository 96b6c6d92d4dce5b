use ports::{Claim, Promotion, Replay as _};
use testkit::contract::replay::{NOW, RETENTION_MS, all, ask, event, settled, take};
use testkit::memory::replay::{MemoryReplay, ReplayFault};

#[tokio::test]
async fn claims_in_memory_keep_the_contract() {
    all(&MemoryReplay::default()).await;
}

#[tokio::test]
async fn a_refused_operation_does_nothing_and_a_lost_answer_does_all() {
    let (replay, key) = (MemoryReplay::default(), event("evt_1"));
    replay.inject([ReplayFault::Refused, ReplayFault::AnswerLost]);
    replay.claim(&key, ask(1, 0)).await.unwrap_err();
    assert_eq!(replay.record(&key), None);
    replay.claim(&key, ask(1, 0)).await.unwrap_err();
    assert_eq!(replay.claim(&key, ask(2, 0)).await, Ok(Claim::InFlight { retry_after_ms: 10_000 }));
}

#[tokio::test]
async fn while_it_is_down_nothing_works_and_afterwards_all_is_as_before() {
    let (replay, key) = (MemoryReplay::default(), event("evt_1"));
    let held = take(&replay, &key, ask(1, 0)).await;
    replay.set_down(true);
    replay.claim(&key, ask(1, 0)).await.unwrap_err();
    replay.promote(&key, held.clone(), Promotion::Accepted, NOW).await.unwrap_err();
    replay.settle(&key, settled("booked", 0)).await.unwrap_err();
    replay.set_down(false);
    assert_eq!(replay.promote(&key, held, Promotion::Accepted, NOW).await, Ok(true));
}

#[tokio::test]
async fn what_is_forgotten_or_past_its_retention_is_free_and_no_longer_held() {
    let (replay, key) = (MemoryReplay::default(), event("evt_1"));
    let held = take(&replay, &key, ask(1, 0)).await;
    replay.forget_everything();
    assert_eq!(replay.promote(&key, held, Promotion::Accepted, NOW).await, Ok(false));
    let held = take(&replay, &key, ask(1, 0)).await;
    assert!(held.record.seen_fresh);
    let late = NOW.plus_ms(RETENTION_MS);
    assert_eq!(replay.promote(&key, held, Promotion::Accepted, late).await, Ok(false));
}
