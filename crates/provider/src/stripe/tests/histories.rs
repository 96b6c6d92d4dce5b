//! Ten thousand random histories of an account, each told by events that are shuffled and repeated: what is booked is what
//! a model that knows nothing of events says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger::{EventType, MovementDigest, MovementKey};
use proptest::prelude::*;

use super::*;

mod model;
mod story;
mod telling;

use story::Story;

/// What each account of each currency holds.
pub(super) type Totals = BTreeMap<(String, String), i64>;

const HISTORIES: u32 = 10_000;

/// Everything that the events assert, each movement once, by its key.
fn booked(events: &[(&'static str, String)]) -> Totals {
    static TABLE: LazyLock<PostingTable> = LazyLock::new(PostingTable::built_in);
    let mut digests: BTreeMap<MovementKey, MovementDigest> = BTreeMap::new();
    let mut totals = Totals::new();
    for (event_type, body) in events {
        let payload = minimised(body.as_bytes()).unwrap();
        let view = EventView {
            event_type: &EventType::parse(event_type).unwrap(),
            account: &own_account(),
            livemode: Livemode::Test,
            created: UnixMillis(CREATED * 1000),
            payload: &payload,
            settles_with: None,
        };
        let movements = match Stripe.assess(&view) {
            Assessment::Movements(movements) => movements,
            Assessment::Keep(reason) => {
                assert_eq!(reason.outcome(), ledger::Outcome::Ignored, "{event_type} {body}: {reason}");
                continue;
            }
        };
        for movement in &movements {
            let transaction = TABLE.post(movement).unwrap();
            if let Some(digest) = digests.insert(movement.key.clone(), transaction.digest()) {
                assert_eq!(digest, transaction.digest(), "{event_type} contradicts another event: {body}");
                continue;
            }
            let mut sum = 0;
            for entry in transaction.entries() {
                sum += entry.amount.minor();
                let account = (entry.account.to_string(), entry.amount.currency().to_string());
                *totals.entry(account).or_default() += entry.amount.minor();
            }
            assert_eq!(sum, 0, "{}", movement.key);
        }
    }
    totals.retain(|_, total| *total != 0);
    totals
}

/// In another order, some twice: a shuffle that `seed` decides.
fn shuffled(mut events: Vec<(&'static str, String)>, mut seed: u64) -> Vec<(&'static str, String)> {
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((seed >> 33) % u64::try_from(below).unwrap()).unwrap()
    };
    for _ in 0..events.len() / 2 {
        let again = events[next(events.len())].clone();
        events.push(again);
    }
    for place in (1..events.len()).rev() {
        events.swap(place, next(place + 1));
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: HISTORIES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_in_any_order_and_repeated_comes_to_what_the_model_says(
        stories in proptest::collection::vec(Story::any(), 1..4), seed: u64,
    ) {
        let events: Vec<_> =
            stories.iter().enumerate().flat_map(|(place, story)| telling::events(story, place)).collect();
        let mut expected = Totals::new();
        for story in &stories {
            model::add(story, &mut expected);
        }
        expected.retain(|_, total| *total != 0);
        prop_assert_eq!(booked(&shuffled(events, seed)), expected);
    }
}
