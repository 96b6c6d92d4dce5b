use std::sync::Arc;

use ledger::{ActionId, ActionKind, Reason, Status};
use ports::{Acted, Assess, Books, BooksError, BoxFuture, ClaimState, Record, Recorded};
use testkit::memory::books::{MemoryBooks, Target};
use wire::{ControlTotal, Evidence, Request};

use crate::totals::total;
use crate::world::{charge, in_worlds, key};

/// Books with a bug in what they do besides recording.
struct Buggy(Arc<MemoryBooks>);

impl Books for Buggy {
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>> {
        self.0.record(batch)
    }

    fn count<'a>(&'a self, _: &'a ControlTotal) -> BoxFuture<'a, Result<(), BooksError>> {
        Box::pin(async { panic!("a bug in counting") })
    }

    fn act<'a>(&'a self, _: Request, _: &'a Assess) -> BoxFuture<'a, Result<Option<Acted>, BooksError>> {
        Box::pin(async { panic!("a bug in acting") })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>> {
        self.0.probe()
    }
}

#[test]
fn a_release_books_once_however_often_it_is_requested() {
    in_worlds(async |world| {
        world.send_refused(1, Reason::EventTooOld, Evidence::Event(charge("evt_1", "ch_1", 100)));
        world.consume().await;
        let action = world.books.ask(ActionKind::Release, Target::Event(key("evt_1")));
        for _ in 0..3 {
            world.request(action);
            world.consume().await;
        }
        world.request(world.books.ask(ActionKind::Release, Target::Event(key("evt_1"))));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
        assert_eq!(world.books.events()[&key("evt_1")].statuses.len(), 1);
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (1, 1));
        let told = world.replay.record(&key("evt_1")).unwrap();
        assert_eq!(told.state, ClaimState::Booked);
        assert!(told.result.unwrap().0.contains("stripe/acct_dev/test/ch_1/capture"));
        assert_eq!(world.metric("actions_answered_total{status=\"booked\"}"), 4);
        // Told again, which is the same to whoever knows the message id.
        let announced = world.bus.booked();
        assert!(announced.iter().all(|one| one.message_id == "stripe/acct_dev/test/evt_1"));
        assert!(!announced.is_empty());
    });
}

#[test]
fn an_action_that_nobody_has_put_down_does_nothing() {
    in_worlds(async |world| {
        world.send_refused(1, Reason::EventTooOld, Evidence::Event(charge("evt_1", "ch_1", 100)));
        for action in [0, 1, -1, i64::MAX] {
            world.request(ActionId(action));
        }
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Parked, Some(Reason::EventTooOld)));
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (0, 1));
        assert_eq!(world.metric("actions_answered_total{status=\"unknown\"}"), 4);
        assert!(world.announced().is_empty());
    });
}

#[test]
fn what_an_operator_dismissed_is_never_booked_and_the_cache_knows() {
    in_worlds(async |world| {
        let event = charge("evt_1", "ch_1", 100);
        world.send_refused(1, Reason::EventWrongMode, Evidence::Event(event.clone()));
        world.consume().await;
        world.request(world.books.ask(ActionKind::Dismiss, Target::Event(key("evt_1"))));
        world.consume().await;
        world.send(2, event);
        world.request(world.books.ask(ActionKind::Release, Target::Event(key("evt_1"))));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Dismissed, None));
        assert!(world.books.transactions().is_empty() && world.announced().is_empty());
    });
}

#[test]
fn another_content_under_a_used_id_is_released_under_a_key_of_its_own() {
    in_worlds(async |world| {
        let other = charge("evt_1", "ch_2", 200);
        world.send(1, charge("evt_1", "ch_1", 100));
        world.send_refused(2, Reason::EventIdReused, Evidence::Event(other.clone()));
        world.consume().await;
        let told = world.replay.record(&key("evt_1")).unwrap();
        let target = Target::Delivery(crate::world::INSTANCE, wire::Sequence(2));
        world.request(world.books.ask(ActionKind::Release, target));
        world.consume().await;
        assert_eq!(world.books.transactions().len(), 2);
        assert_eq!(world.replay.record(&key("evt_1")).unwrap().fingerprint, told.fingerprint);
        let of_content = world.replay.record(&other.key_of_content()).unwrap();
        assert_eq!((of_content.state, of_content.fingerprint), (ClaimState::Booked, other.fingerprint));
    });
}

#[test]
fn a_release_is_decided_by_the_configuration_of_its_day() {
    in_worlds(async |mut world| {
        let terms = world.terms.clone();
        world.terms.clear();
        world.send(1, charge("evt_1", "ch_1", 100));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Parked, Some(Reason::Misconfigured)));
        world.request(world.books.ask(ActionKind::Release, Target::Event(key("evt_1"))));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Parked, Some(Reason::Misconfigured)));
        world.terms = terms;
        world.request(world.books.ask(ActionKind::Release, Target::Event(key("evt_1"))));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Booked, None));
    });
}

#[test]
fn a_panic_in_counting_or_acting_parks_its_message_and_holds_nobody_up() {
    in_worlds(async |mut world| {
        world.before_books = Some(Arc::new(Buggy(world.books.clone())));
        world.send_total(&total(1, &[1]));
        world.request(ActionId(1));
        world.send(1, charge("evt_1", "ch_1", 100));
        world.consume().await;
        assert_eq!(world.books.transactions().len(), 1);
        assert_eq!(world.metric("messages_parked_total{reason=\"processing-panicked\"}"), 2);
        let mut deliveries = world.deliveries();
        deliveries.sort_unstable();
        let parked = ("parked", Some(Reason::ProcessingPanicked));
        assert_eq!(deliveries, [("booked", None), parked, parked]);
    });
}
