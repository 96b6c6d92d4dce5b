//! Ten thousand random histories of an account, each told by events that are shuffled and repeated: what is booked is what
//! a model that knows nothing of events says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger::{EventType, Livemode, Outcome};
use proptest::prelude::*;

use super::*;
use crate::keep::minimise;

mod model;
mod story;
mod telling;

use story::Story;

/// What each account of each currency holds.
pub(super) type Totals = BTreeMap<(String, &'static str), i64>;

/// An event: its type and its body.
type Told = (&'static str, String);

/// The movements that an event asserts, if any.
fn asserted((event_type, body): &Told) -> Vec<Movement> {
    let payload = minimise(body.as_bytes(), EVENT).unwrap();
    let assessment = Stripe.assess(&EventView {
        event_type: &EventType::parse(event_type).unwrap(),
        account: &own_account(),
        livemode: Livemode::Test,
        created: UnixMillis(CREATED * 1000),
        payload: &payload,
        settles_with: None,
    });
    match assessment {
        Assessment::Movements(movements) => movements,
        Assessment::Keep(reason) => {
            assert_eq!(reason.outcome(), Outcome::Ignored, "{event_type} {body}: {reason}");
            Vec::new()
        }
    }
}

/// The totals of what was asserted, each movement once, by its key; whoever describes it again must say the same.
fn booked<'m>(movements: impl Iterator<Item = &'m Movement>) -> Totals {
    static TABLE: LazyLock<PostingTable> = LazyLock::new(PostingTable::built_in);
    let mut known: BTreeMap<_, &Movement> = BTreeMap::new();
    let mut totals = Totals::new();
    for movement in movements {
        if let Some(known) = known.insert(&movement.key, movement) {
            assert_eq!(known.parts, movement.parts, "{} is told in two ways", movement.key);
            continue;
        }
        let transaction = TABLE.post(movement).unwrap();
        let mut sum = 0;
        for entry in transaction.entries() {
            sum += entry.amount.minor();
            let account = (entry.account.to_string(), entry.amount.currency().code());
            *totals.entry(account).or_default() += entry.amount.minor();
        }
        assert_eq!(sum, 0, "{}", movement.key);
    }
    totals.retain(|_, total| *total != 0);
    totals
}

/// The places of so many events in another order, some of them twice; `seed` decides.
fn shuffled(events: usize, mut seed: u64) -> Vec<usize> {
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((seed >> 33) % u64::try_from(below).unwrap()).unwrap()
    };
    let mut places: Vec<_> = (0..events).collect();
    places.extend((0..events / 2).map(|_| next(events)));
    for place in (1..places.len()).rev() {
        places.swap(place, next(place + 1));
    }
    places
}

fn as_the_model_says(stories: &[Story], seed: u64) {
    let events: Vec<_> =
        stories.iter().enumerate().flat_map(|(place, story)| telling::events(story, place)).collect();
    let asserted: Vec<_> = events.iter().map(asserted).collect();
    let mut expected = Totals::new();
    for story in stories {
        model::add(story, &mut expected);
    }
    expected.retain(|_, total| *total != 0);
    let order = shuffled(events.len(), seed);
    assert_eq!(booked(order.iter().flat_map(|place| &asserted[*place])), expected);
}

// Five thousand each: tests run side by side.
proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_announced_is_booked_once_in_any_order(
        stories in proptest::collection::vec(Story::any(false), 1..3), seed: u64,
    ) {
        as_the_model_says(&stories, seed);
    }

    #[test]
    fn whatever_was_settled_is_out_of_clearing_in_any_order(
        stories in proptest::collection::vec(Story::any(true), 1..3), seed: u64,
    ) {
        as_the_model_says(&stories, seed);
    }
}
