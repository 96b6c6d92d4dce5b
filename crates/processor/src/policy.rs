//! What an event decides, whether it is fresh or released: pure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ledger::{PostingTable, Reason};
use ports::{Decision, EventRecord};
use provider::{Assessment, EventView};
use wire::Event;

use crate::Sources;

/// What events are decided by.
#[derive(Debug)]
pub struct Policy {
    /// How movements are posted.
    pub table: PostingTable,
    /// Whose events can be booked, and as whose.
    pub sources: Sources,
}

impl Policy {
    /// The event with the decision on it.
    pub fn assess(&self, event: Event) -> EventRecord {
        // A panic is a bug of ours in one kind of event; its message is parked, its neighbours are not held up.
        let decision = catch_unwind(AssertUnwindSafe(|| self.decision(&event)));
        kept(event, decision.unwrap_or(Decision::Keep(Reason::ProcessingPanicked)))
    }

    fn decision(&self, event: &Event) -> Decision {
        let settles_with = match self.sources.settling(event) {
            Ok(settles_with) => settles_with,
            Err(reason) => return Decision::Keep(reason),
        };
        let Some(provider) = provider::by_name(event.provider.as_str()) else {
            return Decision::Keep(Reason::Misconfigured);
        };
        let assessment = provider.assess(&EventView {
            event_type: &event.event_type,
            account: &event.key.account,
            livemode: event.key.livemode,
            created: event.occurred_at,
            payload: &event.payload,
            settles_with: settles_with.as_ref(),
        });
        match assessment {
            Assessment::Keep(reason) => Decision::Keep(reason),
            Assessment::Movements(movements) => {
                let posted: Result<Vec<_>, _> =
                    movements.iter().map(|movement| self.table.post(movement)).collect();
                posted.map_or_else(
                    |error| {
                        tracing::error!(event_id = %event.key.event_id, %error, "A movement cannot be posted");
                        Decision::Keep(Reason::AmountUnreadable)
                    },
                    Decision::Book,
                )
            }
        }
    }
}

/// An event whose decision is known, with the money that it shows.
pub(crate) fn kept(event: Event, decision: Decision) -> EventRecord {
    let money = catch_unwind(AssertUnwindSafe(|| {
        provider::by_name(event.provider.as_str()).and_then(|provider| provider.money(&event.payload))
    }));
    EventRecord { event, money: money.ok().flatten(), decision }
}
