//! Processes that are killed, with all that they have in hand.

use countersign_tests::{Process, System, eventually, now_s};
use futures_util::stream::{self, StreamExt as _};
use testkit::stripe;

/// One more than the deliveries after which the broker gives a message up.
const CRASHES: i64 = 21;

/// Events booked between two crashes: enough for the prefetch to have grown.
const BETWEEN: i64 = 30;

fn body(n: i64) -> String {
    let charge = stripe::charge(&format!("ch_{n}"), 100);
    stripe::event(&format!("evt_{n}"), "charge.succeeded", now_s(), &charge)
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_21_crashes_of_a_processor_with_its_hands_full_bury_nothing() {
    let mut system = System::new().await.with_more_config("processor", "batch_messages_max = 10");
    let (ingress, _) = system.start_ingress().await;
    let events = (CRASHES + 2) * BETWEEN * 2;
    stream::iter(0..events)
        .for_each_concurrent(32, async |n| {
            assert_eq!(system.post(ingress, &body(n)).await.word(), "accepted");
        })
        .await;
    for crash in 0..CRASHES {
        let before = system.count("SELECT FROM countersign.delivery").await;
        let processor = Process::start(&system, "processor", &[]);
        eventually("the processor is in full swing", async || {
            (system.count("SELECT FROM countersign.delivery").await >= before + BETWEEN).then_some(())
        })
        .await;
        // Dropping it is SIGKILL.
        drop(processor);
        assert!(
            system.count("SELECT FROM countersign.delivery").await < events,
            "nothing left at crash {crash}"
        );
    }
    system.start_processor().await;
    eventually("every event is recorded", async || {
        (system.count("SELECT DISTINCT event_id FROM countersign.delivery").await == events).then_some(())
    })
    .await;
    let buried = "SELECT FROM countersign.delivery WHERE reason = 'dead-lettered'";
    assert_eq!(system.count(buried).await, 0);
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, events);
    assert_eq!(system.vhost.depth(ports::Queue::Dead).await, 0);
    system.close().await;
}
