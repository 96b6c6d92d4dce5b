use std::time::Duration;

use ledger::Outcome;
use ports::{ClaimState, Queue};
use testkit::memory::books::BooksFault;

use crate::world::{charge, in_worlds, key};

#[test]
fn a_thousand_events_are_booked_once_each_and_the_cache_is_told() {
    in_worlds(async |world| {
        for n in 0..1000 {
            world.send(n, charge(&format!("evt_{n}"), &format!("ch_{n}"), 100));
        }
        world.consume().await;
        assert_eq!(world.books.transactions().len(), 1000);
        let told = world.replay.record(&key("evt_7")).unwrap();
        assert_eq!(told.state, ClaimState::Booked);
        assert!(told.result.unwrap().0.contains("stripe/acct_dev/test/ch_7/capture"));
        assert_eq!(world.metric("accepted_to_recorded_seconds_count"), 1000);
        let batches = world.metric("batch_messages_count");
        assert!((2..1000).contains(&batches), "{batches}");
        assert_eq!(world.metric("batch_seconds_count"), batches);
    });
}

#[test]
fn duplicates_and_other_describers_book_nothing_more() {
    in_worlds(async |world| {
        world.send(1, charge("evt_1", "ch_1", 100));
        world.send(2, charge("evt_1", "ch_1", 100));
        world.send(3, charge("evt_2", "ch_1", 100));
        world.consume().await;
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 3));
        let recorded = |settlement: &str| {
            world
                .metric(&format!("messages_recorded_total{{outcome=\"booked\",settlement=\"{settlement}\"}}"))
        };
        assert_eq!((recorded("new"), recorded("hit"), recorded("again")), (2, 1, 0));
        assert_eq!(world.metric("accepted_to_recorded_seconds_count"), 3);
        assert_eq!(world.metric("results_untold_total"), 0);
    });
}

#[test]
fn a_cache_that_is_away_delays_no_booking() {
    in_worlds(async |world| {
        world.replay.set_down(true);
        world.send(1, charge("evt_1", "ch_1", 100));
        world.consume_for(Duration::from_secs(10)).await.unwrap();
        assert_eq!(world.books.transactions().len(), 1);
        assert!(world.bus.messages(Queue::Ledger).is_empty());
        assert_eq!(world.metric("results_untold_total"), 1);
    });
}

#[test]
fn an_id_used_again_says_nothing_about_the_event_that_has_it_however_often_it_comes() {
    in_worlds(async |world| {
        world.send(1, charge("evt_1", "ch_1", 100));
        world.consume().await;
        let told = world.replay.record(&key("evt_1")).unwrap();
        world.send(2, charge("evt_1", "ch_1", 200));
        // The commit is answered with a lost connection: the same batch is recorded again.
        world.books.inject([BooksFault::None, BooksFault::AnswerLost]);
        world.consume().await;
        assert_eq!(world.books.deliveries().len(), 2);
        let still = world.replay.record(&key("evt_1")).unwrap();
        assert_eq!((still.state, still.fingerprint), (ClaimState::Booked, told.fingerprint));
        assert_eq!(world.outcomes(), [("evt_1".to_owned(), Outcome::Booked, None)]);
    });
}
