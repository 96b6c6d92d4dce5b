use ports::{Bus as _, Exchange, NotConfirmed, Outgoing, Queue};
use runtime::TokioExecutor;
use testkit::contract::bus::{all, at_once, ids, message, receive_and_ack, subscribe};
use testkit::memory::bus::{BusFault, MemoryBus};

#[tokio::test]
async fn messages_in_memory_keep_the_contract() {
    let handle = TokioExecutor::handle();
    all(&MemoryBus::new(handle.clone()), &handle).await;
}

#[tokio::test]
async fn a_fault_befalls_one_publish_and_decides_whether_its_message_is_kept() {
    let bus = MemoryBus::new(TokioExecutor::handle());
    bus.inject([BusFault::Refused, BusFault::Unreachable, BusFault::CutOff, BusFault::ConfirmLost]);
    assert_eq!(bus.publish(message("refused")).await, Err(NotConfirmed::Refused));
    assert_eq!(bus.publish(message("unreachable")).await, Err(NotConfirmed::Unreachable));
    assert_eq!(bus.publish(message("cut off")).await, Err(NotConfirmed::Unreachable));
    assert_eq!(bus.publish(message("confirm lost")).await, Err(NotConfirmed::Deadline));
    assert_eq!(bus.publish(message("confirmed")).await, Ok(()));
    let kept: Vec<String> = bus.messages(Queue::Ledger).into_iter().map(|kept| kept.message_id).collect();
    assert_eq!(kept, ["cut off", "confirm lost", "confirmed"]);
}

#[tokio::test]
async fn while_it_is_down_nothing_works_and_afterwards_all_messages_are_there() {
    let handle = TokioExecutor::handle();
    let bus = MemoryBus::new(handle.clone());
    bus.publish(message("kept")).await.unwrap();
    let mut subscription = bus.subscribe(Queue::Ledger, 1).await.unwrap();
    let received = subscription.receive(at_once(1)).await.unwrap();
    bus.set_down(true);
    assert!(!bus.ready());
    subscription.ack_through(received[0].tag).await.unwrap_err();
    subscription.receive(at_once(1)).await.unwrap_err();
    assert!(bus.subscribe(Queue::Ledger, 1).await.is_err());
    assert_eq!(bus.publish(message("not kept")).await, Err(NotConfirmed::Unreachable));
    bus.set_down(false);
    let mut subscription = subscribe(&bus, &handle, Queue::Ledger, 1).await;
    let received = receive_and_ack(&mut *subscription, &handle, 1).await;
    assert_eq!((ids(&received), received[0].redelivered), (vec!["kept"], true));
}

#[tokio::test]
async fn a_waiting_receive_ends_when_the_connection_does() {
    let bus = MemoryBus::new(TokioExecutor::handle());
    let mut subscription = bus.subscribe(Queue::Ledger, 1).await.unwrap();
    let disconnecting = async {
        tokio::task::yield_now().await;
        bus.disconnect();
    };
    let (received, ()) = tokio::join!(subscription.receive(at_once(1)), disconnecting);
    received.unwrap_err();
}

#[tokio::test]
async fn what_no_queue_is_bound_for_goes_to_unrouted() {
    let bus = MemoryBus::new(TokioExecutor::handle());
    bus.set_bound(false);
    bus.publish(message("astray")).await.unwrap();
    assert!(bus.messages(Queue::Ledger).is_empty());
    assert_eq!(bus.messages(Queue::Unrouted).len(), 1);
}

#[tokio::test]
async fn what_is_booked_can_be_seen_in_its_order() {
    let bus = MemoryBus::new(TokioExecutor::handle());
    bus.inject([BusFault::None, BusFault::Refused]);
    for id in ["one", "refused", "two"] {
        let refused = bus.publish(Outgoing { exchange: Exchange::Booked, ..message(id) }).await.is_err();
        assert_eq!(refused, id == "refused");
    }
    let seen: Vec<String> = bus.booked().into_iter().map(|booked| booked.message_id).collect();
    assert_eq!(seen, ["one", "two"]);
}
