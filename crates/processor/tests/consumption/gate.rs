use ledger::{Outcome, Reason, Status};
use ports::ClaimState;
use wire::Evidence;

use crate::world::{charge, in_worlds, key};

#[test]
fn a_refused_delivery_parks_its_event_and_an_accepted_one_takes_over() {
    in_worlds(async |world| {
        let event = charge("evt_1", "ch_1", 100);
        world.send_refused(1, Reason::EventTooOld, Evidence::Event(event.clone()));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Parked, Some(Reason::EventTooOld)));
        assert_eq!(world.replay.record(&key("evt_1")).unwrap().state, ClaimState::Parked);
        assert!(world.announced().is_empty());
        assert_eq!(world.metric("refusals_recorded_total{reason=\"event-too-old\"}"), 1);

        world.send(2, event);
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
        assert_eq!(world.replay.record(&key("evt_1")).unwrap().state, ClaimState::Booked);
        assert_eq!(world.books.transactions().len(), 1);
        assert_eq!(world.deliveries(), [("refused", Some(Reason::EventTooOld)), ("booked", None)]);
        let took_over = "messages_recorded_total{outcome=\"booked\",settlement=\"took-over\"}";
        assert_eq!((world.metric(took_over), world.announced().len()), (1, 1));
    });
}

#[test]
fn of_a_refused_and_an_accepted_delivery_in_one_batch_the_cache_hears_where_the_event_stands() {
    in_worlds(async |world| {
        // Alone, as the prefetch begins with one; the other two come together, the later one first.
        world.send(1, charge("evt_0", "ch_0", 100));
        let event = charge("evt_1", "ch_1", 100);
        world.send(3, event.clone());
        world.send_refused(2, Reason::EventTooOld, Evidence::Event(event));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
        assert_eq!(world.replay.record(&key("evt_1")).unwrap().state, ClaimState::Booked);
    });
}

#[test]
fn a_refused_delivery_of_a_booked_event_changes_nothing() {
    in_worlds(async |world| {
        world.send(1, charge("evt_1", "ch_1", 100));
        let late = charge("evt_1", "ch_1", 100);
        world.send_refused(2, Reason::EventTooOld, Evidence::Event(late));
        world.consume().await;
        assert_eq!(world.outcomes(), [("evt_1".to_owned(), Outcome::Booked, None)]);
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
        assert_eq!(world.replay.record(&key("evt_1")).unwrap().state, ClaimState::Booked);
        assert_eq!(world.announced().len(), 1);
    });
}

#[test]
fn another_content_under_a_used_id_and_a_body_that_is_no_event_make_delivery_rows_only() {
    in_worlds(async |world| {
        world.send(1, charge("evt_1", "ch_1", 100));
        world.send_refused(2, Reason::EventIdReused, Evidence::Event(charge("evt_1", "ch_2", 200)));
        world.send_refused(3, Reason::PayloadInvalid, Evidence::Body { sha256: [9; 32], length: 3 });
        world.consume().await;
        assert_eq!(world.outcomes(), [("evt_1".to_owned(), Outcome::Booked, None)]);
        let refused = |reason| ("refused", Some(reason));
        assert_eq!(
            world.deliveries(),
            [("booked", None), refused(Reason::EventIdReused), refused(Reason::PayloadInvalid)]
        );
        assert_eq!(world.replay.record(&key("evt_1")).unwrap().state, ClaimState::Booked);
    });
}

#[test]
fn a_refused_delivery_that_the_books_refuse_is_parked_for_a_person_to_see() {
    in_worlds(async |world| {
        world.books.refuse(key("evt_1"));
        world.send_refused(1, Reason::EventTooOld, Evidence::Event(charge("evt_1", "ch_1", 100)));
        world.consume().await;
        assert_eq!(world.deliveries(), [("parked", Some(Reason::RefusedByBooks))]);
    });
}
