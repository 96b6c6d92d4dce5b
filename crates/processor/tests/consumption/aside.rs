use std::time::Duration;

use bytes::Bytes;
use ledger::{ActionKind, Outcome, Reason, Status};
use ports::{Headers, Queue};
use testkit::memory::books::Target;
use wire::{BusMessage, Sequence};

use crate::totals::total;
use crate::world::{INSTANCE, charge, in_worlds, key};

#[test]
fn a_message_that_does_not_decode_is_parked_and_holds_nobody_up() {
    in_worlds(async |world| {
        world.send_bytes(Headers::default(), Bytes::from_static(b"\xffnot a message"));
        world.send(1, charge("evt_1", "ch_1", 100));
        world.consume().await;
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 2));
        assert_eq!(world.metric("messages_parked_total{reason=\"undecodable\"}"), 1);
    });
}

#[test]
fn whoever_takes_a_message_s_name_keeps_it_from_nothing() {
    in_worlds(async |world| {
        let genuine = world.accepted(1, charge("evt_1", "ch_1", 100));
        // Junk under the very name that the genuine message will have.
        world.send_bytes(genuine.headers.clone(), Bytes::from_static(b"\xffjunk"));
        world.consume().await;
        for _ in 0..2 {
            world.bus.put(Queue::Ledger, genuine.clone());
            world.consume().await;
        }
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 2));
    });
}

#[test]
fn what_the_books_refuse_is_parked_alone() {
    in_worlds(async |world| {
        for n in 0..20 {
            world.send(n, charge(&format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.books.refuse(key("evt_13"));
        world.consume().await;
        assert_eq!(world.books.transactions().len(), 19);
        assert_eq!(world.books.deliveries().len(), 20);
        assert_eq!(world.metric("messages_parked_total{reason=\"refused-by-books\"}"), 1);
    });
}

#[test]
fn what_was_put_aside_is_parked_from_its_headers_and_what_was_unrouted_is_booked() {
    in_worlds(async |world| {
        world.bus.put(Queue::Dead, world.accepted(1, charge("evt_1", "ch_1", 100)));
        world.bus.put(Queue::Unrouted, world.accepted(2, charge("evt_2", "ch_2", 100)));
        for queue in [Queue::Dead, Queue::Unrouted] {
            world.consume_queue_for(queue, Duration::from_mins(1)).await.unwrap();
            assert!(world.bus.messages(queue).is_empty());
        }
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 2));
        assert_eq!(world.outcomes(), [("evt_2".to_owned(), Outcome::Booked, None)]);
    });
}

#[test]
fn a_dead_event_is_booked_when_it_is_released() {
    in_worlds(async |world| {
        world.bus.put(Queue::Dead, world.accepted(1, charge("evt_1", "ch_1", 100)));
        world.consume_queue_for(Queue::Dead, Duration::from_mins(1)).await.unwrap();
        assert_eq!(world.outcomes(), []);
        world.request(world.books.ask(ActionKind::Release, Target::Delivery(INSTANCE, Sequence(1))));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
        assert_eq!(world.announced().len(), 1);
    });
}

#[test]
fn a_control_total_that_was_delivered_too_often_is_parked_like_any_message() {
    in_worlds(async |world| {
        let message = BusMessage::Control(total(1, &[1]));
        world.bus.put(Queue::Dead, world.outgoing(Headers::default(), &message));
        world.consume_queue_for(Queue::Dead, Duration::from_mins(1)).await.unwrap();
        assert!(world.bus.messages(Queue::Dead).is_empty());
        assert!(world.books.totals().is_empty());
        assert_eq!(world.deliveries(), [("parked", Some(Reason::DeadLettered))]);
        let kept = world.books.deliveries().into_values().next().unwrap();
        assert_eq!(kept.delivery.message, message.encode());
    });
}
