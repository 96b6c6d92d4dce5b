use std::time::Duration;

use ledger::{ActionKind, Outcome, Reason, Status};
use ports::Queue;
use testkit::memory::books::{BooksFault, Target};
use wire::Evidence;

use crate::totals::total;
use crate::world::{charge, in_worlds, key};

#[test]
fn an_outage_pauses_consumption_and_loses_nothing() {
    in_worlds(async |world| {
        for n in 0..20 {
            world.send(n, charge(&format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.books.set_down(true);
        world.consume_for(Duration::from_mins(5)).await.unwrap();
        assert_eq!(world.books.deliveries().len(), 0);
        assert_eq!(world.bus.messages(Queue::Ledger).len(), 20);
        assert!(world.bus.messages(Queue::Dead).is_empty());
        world.books.set_down(false);
        world.consume().await;
        assert_eq!(world.books.transactions().len(), 20);
    });
}

#[test]
fn an_outage_in_the_middle_of_a_batch_is_sat_out_with_the_batch_in_hand() {
    in_worlds(async |world| {
        world.send(1, charge("evt_1", "ch_1", 100));
        // One for the probe before subscribing, then the batch: away twice, committed without an answer once.
        let faults = [BooksFault::None, BooksFault::Away, BooksFault::Away, BooksFault::AnswerLost];
        world.books.inject(faults);
        world.consume().await;
        assert_eq!(world.outcomes(), [("evt_1".to_owned(), Outcome::Booked, None)]);
        assert_eq!(world.books.deliveries().len(), 1);
    });
}

#[test]
fn an_outage_in_the_middle_of_a_total_or_an_action_is_sat_out_too() {
    in_worlds(async |world| {
        world.send_refused(1, Reason::EventTooOld, Evidence::Event(charge("evt_1", "ch_1", 100)));
        world.consume().await;
        world.send_total(&total(1, &[1]));
        world.books.inject([BooksFault::None, BooksFault::Away, BooksFault::AnswerLost]);
        world.consume().await;
        world.request(world.books.ask(ActionKind::Release, Target::Event(key("evt_1"))));
        world.books.inject([BooksFault::None, BooksFault::Away, BooksFault::AnswerLost]);
        world.consume().await;
        assert_eq!(world.books.totals().len(), 1);
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
        assert_eq!(world.books.transactions().len(), 1);
        assert_eq!(world.announced().len(), 1);
        assert!(world.bus.messages(Queue::Dead).is_empty());
    });
}

#[test]
fn after_a_long_outage_the_messages_are_given_back_and_taken_up_again() {
    in_worlds(async |mut world| {
        world.patience.outage_max = Duration::from_secs(30);
        world.send(1, charge("evt_1", "ch_1", 100));
        world.send_total(&total(1, &[1]));
        world.books.inject([BooksFault::None].into_iter().chain(std::iter::repeat_n(BooksFault::Away, 20)));
        world.consume_for(Duration::from_mins(10)).await.unwrap();
        assert_eq!(world.outcomes(), [("evt_1".to_owned(), Outcome::Booked, None)]);
        assert_eq!(world.books.totals().len(), 1);
        assert!(world.bus.messages(Queue::Dead).is_empty());
    });
}

#[test]
fn a_total_that_the_books_are_away_for_is_given_back_with_what_came_before_it() {
    in_worlds(async |mut world| {
        world.patience.outage_max = Duration::from_secs(30);
        // The prefetch starts at one and doubles, so that the third batch holds the fourth event and the total.
        for n in 1..=4 {
            world.send(n, charge(&format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.send_total(&total(1, &[1, 2, 3, 4]));
        let fine = std::iter::repeat_n(BooksFault::None, 4);
        world.books.inject(fine.chain(std::iter::repeat_n(BooksFault::Away, 20)));
        world.consume_for(Duration::from_mins(10)).await.unwrap();
        assert_eq!((world.books.deliveries().len(), world.books.totals().len()), (4, 1));
        let again = "messages_recorded_total{outcome=\"booked\",settlement=\"again\"}";
        assert_eq!((world.metric(again), world.announced().len()), (1, 4));
        assert!(world.bus.messages(Queue::Ledger).is_empty());
    });
}

#[test]
fn a_lost_connection_is_taken_up_again() {
    in_worlds(async |world| {
        for n in 0..50 {
            world.send(n, charge(&format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        let (bus, handle) = (world.bus.clone(), world.handle.clone());
        drop(world.handle.spawn("cut", async move {
            for _ in 0..3 {
                handle.sleep(Duration::from_millis(3)).await;
                bus.disconnect();
            }
        }));
        world.consume_for(Duration::from_mins(1)).await.unwrap();
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (50, 50));
    });
}
