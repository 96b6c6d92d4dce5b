use countersign_tests::{System, eventually, now_s};
use ports::Queue;
use testkit::stripe;

fn body(n: usize) -> String {
    let charge = stripe::charge(&format!("ch_{n}"), 100);
    stripe::event(&format!("evt_{n}"), "charge.succeeded", now_s(), &charge)
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_found_no_queue_is_booked_and_what_was_delivered_too_often_is_parked() {
    let mut system = System::new().await;
    let (ingress, _) = system.start_ingress().await;
    // A message that nobody takes: delivered and given back until the broker puts it aside.
    assert_eq!(system.post(ingress, &body(1)).await.word(), "accepted");
    eventually("the message is put aside", async || {
        system.vhost.peek(Queue::Ledger, 1).await;
        (system.vhost.depth(Queue::Dead).await == 1).then_some(())
    })
    .await;
    system.vhost.unbind(Queue::Ledger).await;
    assert_eq!(system.post(ingress, &body(2)).await.word(), "accepted");
    assert_eq!(system.vhost.depth(Queue::Unrouted).await, 1);
    system.start_processor().await;
    system.recorded(2).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction WHERE object_id = 'ch_2'").await, 1);
    let parked = "SELECT FROM countersign.delivery WHERE reason = 'dead-lettered' AND event_id = 'evt_1' \
                  AND evidence IS NOT NULL AND broker_history LIKE '%delivery_limit%'";
    assert_eq!(system.count(parked).await, 1);
    eventually("both queues are empty", async || {
        let aside = [system.vhost.depth(Queue::Dead).await, system.vhost.depth(Queue::Unrouted).await];
        (aside == [0, 0]).then_some(())
    })
    .await;
    system.close().await;
}
