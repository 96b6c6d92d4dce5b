//! What changes the books beside messages: control totals, and operators' actions.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{ActionId, ActionKind, EventKey, Outcome, Reason, Status};
use ports::{Acted, Assess, BooksError, Decision, EventRecord};
use wire::{BusMessage, ControlTotal, Event, Evidence, InstanceId, Sequence};

use super::kept::{ActionKept, Effect, EventKept, StatusKept, Target, TotalKept};
use super::pages::{Pages, RefusalKey, Rules, storable};

impl Pages {
    pub(super) fn count(&mut self, total: &ControlTotal) -> Result<(), BooksError> {
        let ControlTotal { instance, window, closed_at, confirmed, listed, previous, last, refusals } = total;
        let counts = refusals.iter().map(|one| one.count).chain([*window, *confirmed]);
        if *window == 0 || counts.into_iter().any(|count| i64::try_from(count).is_err()) {
            return Err(BooksError::Refused("a number that no column holds".to_owned()));
        }
        let mut told = BTreeMap::from([(
            (*instance, *window),
            TotalKept {
                closed_at: *closed_at,
                confirmed: *confirmed,
                last: *last,
                listed: listed.clone(),
                restated: false,
            },
        )]);
        if *window > 1 {
            let here = u64::try_from(listed.len()).unwrap_or(u64::MAX);
            let before = TotalKept {
                closed_at: *closed_at,
                confirmed: confirmed.saturating_sub(here),
                last: false,
                listed: previous.clone(),
                restated: true,
            };
            told.insert((*instance, *window - 1), before);
        }
        let contradicts = |(key, told): (&(InstanceId, u64), &TotalKept)| {
            self.totals.get(key).is_some_and(|kept| {
                let once_more = kept.restated || told.restated;
                let itself = (kept.closed_at, kept.last) == (told.closed_at, told.last);
                (kept.confirmed, &kept.listed) != (told.confirmed, &told.listed) || !(once_more || itself)
            })
        };
        let counts: BTreeSet<(RefusalKey, u64)> = refusals
            .iter()
            .map(|one| ((*instance, *window, one.source.clone(), one.reason.clone(), one.minute), one.count))
            .collect();
        let refusals: BTreeMap<RefusalKey, u64> = counts.iter().cloned().collect();
        let others = refusals.len() != counts.len()
            || counts.iter().any(|(key, count)| self.refusals.get(key).is_some_and(|kept| kept != count));
        if told.iter().any(contradicts) || others {
            return Err(BooksError::Refused("another control total has its window".to_owned()));
        }
        for (key, told) in told {
            self.totals.entry(key).or_insert(told);
        }
        self.refusals.extend(refusals);
        Ok(())
    }

    pub(super) fn act(&mut self, id: ActionId, assess: &Assess, rules: &Rules) -> Option<Acted> {
        let action = self.actions.get(&id)?.clone();
        let effect = action.effect.unwrap_or_else(|| {
            // Of all that wait for the same target the last one is carried out, and its effect is that of all.
            let pending = |other: &ActionKept| other.effect.is_none() && other.target == action.target;
            let last = self.actions.iter().rfind(|(_, other)| pending(other));
            let (id, kind) = last.map_or((id, action.kind), |(id, last)| (*id, last.kind));
            let by = By { id, kind, assess, rules };
            let effect = match &action.target {
                Target::Event(key) => self.act_on_event(key, &by),
                Target::Delivery(instance, sequence) => self.act_on_delivery((*instance, *sequence), &by),
            };
            for other in self.actions.values_mut().filter(|other| pending(other)) {
                other.effect = Some(effect.clone());
            }
            effect
        });
        let event = effect.event.as_ref().and_then(|key| self.events.get(key));
        let (status, reason) = event.map_or((effect.status, effect.reason), EventKept::standing);
        Some(Acted {
            event: event.map(|kept| kept.record.event.clone()),
            status,
            reason,
            movements: event.map(|kept| kept.movements.iter().cloned().collect()).unwrap_or_default(),
            trace_id: event.and_then(|kept| kept.trace_id.clone()),
        })
    }

    fn act_on_event(&mut self, key: &EventKey, by: &By<'_>) -> Effect {
        let effect = |(status, reason)| Effect { status, reason, event: Some(key.clone()) };
        let Some(kept) = self.events.get(key) else {
            return Effect { status: Status::Parked, reason: None, event: None };
        };
        let standing = kept.standing();
        if standing.0.is_final() {
            return effect(standing);
        }
        let (status, reason, movements) = match by.kind {
            ActionKind::Dismiss => (Status::Dismissed, None, BTreeSet::new()),
            ActionKind::Release => {
                let record = by.assess(kept.record.event.clone());
                let asked =
                    if by.rules.refused.contains(key) { None } else { self.decide(&record, by.rules).ok() };
                let (reason, movements) =
                    asked.unwrap_or_else(|| (Some(Reason::RefusedByBooks), BTreeSet::new()));
                (reason.map_or(Outcome::Booked, Reason::outcome).into(), reason, movements)
            }
        };
        if (status, reason) != standing {
            let follows = StatusKept { status, reason, action: Some(by.id), trace_id: None };
            self.follow(key, follows, movements);
        }
        effect((status, reason))
    }

    fn act_on_delivery(&mut self, identity: (InstanceId, Sequence), by: &By<'_>) -> Effect {
        let target = Target::Delivery(identity.0, identity.1);
        let before = self.actions.values().rev().filter(|action| action.target == target);
        let mut before = before.filter_map(|action| action.effect.clone());
        let decided = before.find(|effect| effect.status != Status::Parked || effect.event.is_some());
        match decided {
            Some(Effect { event: Some(key), .. }) => return self.act_on_event(&key, by),
            Some(effect) => return effect,
            None => {}
        }
        let Some(delivery) = self.deliveries.get(&identity) else {
            return Effect { status: Status::Parked, reason: None, event: None };
        };
        if let Some(key) = delivery.event().cloned() {
            return self.act_on_event(&key, by);
        }
        let kept_for = delivery.reason.unwrap_or(Reason::Undecodable);
        let trace_id = delivery.delivery.trace_id.clone();
        if by.kind == ActionKind::Dismiss {
            return Effect { status: Status::Dismissed, reason: None, event: None };
        }
        let still = |reason| Effect { status: Status::Parked, reason: Some(reason), event: None };
        let Some(mut event) = event_in(&delivery.delivery.message) else { return still(kept_for) };
        let contradicted = self
            .events
            .get(&event.key)
            .is_some_and(|there| there.record.event.fingerprint.contradicts(&event.fingerprint));
        if kept_for == Reason::EventIdReused || contradicted {
            event.key = event.key_of_content();
        }
        let key = event.key.clone();
        if !self.events.contains_key(&key) {
            let record = by.assess(event);
            let empty = matches!(&record.decision, Decision::Book(asserted) if asserted.is_empty());
            let Ok(record) = storable(&record) else { return still(Reason::RefusedByBooks) };
            if empty || by.rules.refused.contains(&key) {
                return still(Reason::RefusedByBooks);
            }
            let kept = EventKept {
                record,
                trace_id,
                outcome: Outcome::Parked,
                reason: Some(kept_for),
                statuses: Vec::new(),
                movements: BTreeSet::new(),
            };
            self.events.insert(key.clone(), kept);
        }
        self.act_on_event(&key, by)
    }
}

/// An action being carried out.
struct By<'a> {
    id: ActionId,
    kind: ActionKind,
    assess: &'a Assess,
    rules: &'a Rules,
}

impl By<'_> {
    /// The event as the books know it, whatever the assessment made of it.
    fn assess(&self, event: Event) -> EventRecord {
        EventRecord { event: event.clone(), ..(self.assess)(event) }
    }
}

/// The event that a message holds.
fn event_in(message: &bytes::Bytes) -> Option<Event> {
    match BusMessage::decode(message.clone()) {
        Ok(BusMessage::Accepted(accepted)) => Some(accepted.event),
        Ok(BusMessage::Refused(refused)) => match refused.evidence {
            Evidence::Event(event) => Some(event),
            Evidence::Body { .. } => None,
        },
        Ok(BusMessage::Control(_) | BusMessage::Request(_)) | Err(_) => None,
    }
}
