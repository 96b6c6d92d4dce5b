//! A delivery of several events, as some providers send them.

use bytes::Bytes;
use ingress::{Answer, Problem, SourceGate};
use ledger::EventId;
use money::Amount;
use provider::{Arrival, Assessment, Event, EventView, Provider, Stripe, Unreadable};
use signature::{Scheme, Verified};
use testkit::memory::bus::BusFault;
use wire::Evidence;

use crate::{in_worlds_of, stripe_gate};

/// Sends each event of Stripe twice, under two ids.
struct Twofold;

impl Provider for Twofold {
    fn name(&self) -> ledger::Provider {
        Stripe.name()
    }

    fn scheme(&self) -> Scheme {
        Stripe.scheme()
    }

    fn retry_horizon_ms(&self) -> i64 {
        Stripe.retry_horizon_ms()
    }

    fn retries_in_order(&self) -> bool {
        true
    }

    fn events(&self, delivery: &Verified<'_>, arrival: &Arrival<'_>) -> Result<Vec<Event>, Unreadable> {
        let [event] = Stripe.events(delivery, arrival)?.try_into().unwrap();
        let second = EventId::parse(&format!("{}.second", event.event_id)).unwrap();
        let second = Event { event_id: second, payload: Bytes::clone(&event.payload), ..event.clone() };
        Ok(vec![event, second])
    }

    fn names_livemode(&self) -> bool {
        Stripe.names_livemode()
    }

    fn money(&self, payload: &[u8]) -> Option<Amount> {
        Stripe.money(payload)
    }

    fn assess(&self, event: &EventView<'_>) -> Assessment {
        Stripe.assess(event)
    }
}

fn twofold() -> SourceGate {
    SourceGate { provider: &Twofold, ..stripe_gate() }
}

#[test]
fn several_events_are_accepted_together_and_one_that_is_not_confirmed_brings_all_of_them_again() {
    in_worlds_of(twofold, async |world| {
        let body = world.body("evt_1");
        world.bus.inject([BusFault::None, BusFault::Refused]);
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable));
        assert_eq!(world.accepted().len(), 1, "one of them was");
        assert!(matches!(world.post(&body).await, Answer::Accepted(_)));
        assert_eq!(world.accepted().len(), 2, "only the other was free");
        assert!(matches!(world.post(&body).await, Answer::Replayed(..)));
        // Each event of its own: one with the second answer, two with the third.
        assert_eq!(world.counters()[0], "3");
    });
}

#[test]
fn several_events_whose_evidence_is_confirmed_are_a_success() {
    in_worlds_of(twofold, async |world| {
        let body = world.aged_body("evt_1", 301);
        world.bus.inject([BusFault::Refused]);
        assert_eq!(world.post(&body).await, Answer::Refused(Problem::NotDurable));
        assert!(matches!(world.post(&body).await, Answer::Parked(id) if id.as_str() == "evt_1"));
        let ids = world.refused().into_iter().map(|refused| match refused.evidence {
            Evidence::Event(event) => event.key.event_id.to_string(),
            Evidence::Body { .. } => String::new(),
        });
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        assert_eq!(ids, ["evt_1", "evt_1.second"]);
    });
}
