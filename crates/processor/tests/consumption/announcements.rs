use std::time::Duration;

use ports::{Exchange, Headers, Outgoing, Queue, header};
use testkit::memory::books::BooksFault;
use testkit::memory::bus::BusFault;

use crate::world::{charge, in_worlds};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn what_is_booked_is_announced_with_its_movements_and_its_trace() {
    in_worlds(async |world| {
        let message = world.accepted(1, charge("evt_1", "ch_1", 100));
        let headers = Headers::default().with(header::TRACEPARENT, TRACEPARENT);
        world.bus.put(Queue::Ledger, Outgoing { headers, ..message });
        world.consume().await;
        let announced = world.bus.booked();
        assert_eq!(announced.len(), 1);
        assert_eq!(announced[0].exchange, Exchange::Booked);
        assert_eq!(announced[0].routing_key, "booked.stripe.charge.succeeded");
        assert_eq!(announced[0].headers.value(header::TRACEPARENT), Some(TRACEPARENT));
        let body = &world.announced()[0];
        assert_eq!(body["event_id"], "evt_1");
        assert_eq!(body["movements"][0], "stripe/acct_dev/test/ch_1/capture");
        assert_eq!(body["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    });
}

#[test]
fn duplicates_and_what_is_not_booked_are_announced_to_nobody() {
    in_worlds(async |world| {
        world.send(1, charge("evt_1", "ch_1", 100));
        world.send(2, charge("evt_1", "ch_1", 100));
        world.send(3, charge("evt_1", "ch_2", 200));
        world.send(4, charge("evt_2", "ch_1", 150));
        world.consume().await;
        assert_eq!(world.announced().len(), 1);
        assert_eq!(world.metric("booked_unannounced_total"), 0);
    });
}

#[test]
fn what_was_committed_without_an_answer_is_announced_when_it_is_recorded_again() {
    in_worlds(async |world| {
        world.send(1, charge("evt_1", "ch_1", 100));
        world.books.inject([BooksFault::None, BooksFault::AnswerLost]);
        world.consume().await;
        assert_eq!(world.announced().len(), 1);
    });
}

#[test]
fn an_announcement_that_fails_is_counted_and_holds_nothing_up() {
    in_worlds(async |world| {
        for n in 0..8 {
            world.send(n, charge(&format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.bus.inject([BusFault::Refused, BusFault::Unreachable, BusFault::ConfirmLost]);
        let began = world.handle.monotonic();
        let (bus, handle) = (world.bus.clone(), world.handle.clone());
        let empty = world.handle.spawn("watch", async move {
            while !bus.messages(Queue::Ledger).is_empty() {
                handle.sleep(Duration::from_millis(1)).await;
            }
            handle.monotonic()
        });
        world.consume().await;
        let took = empty.await.unwrap().saturating_sub(began);
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(world.books.transactions().len(), 8);
        assert_eq!(world.metric("booked_unannounced_total"), 3);
        // The one whose confirm was lost has arrived all the same.
        assert_eq!(world.announced().len(), 6);
    });
}
