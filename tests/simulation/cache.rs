//! What the cache must hold, from what it was asked: a second opinion on every answer that it gives.

use std::collections::{BTreeMap, HashSet};

use ledger::{EventKey, UnixMillis};
use ports::{Claim, ClaimState, OwnerToken, Promotion};
use testkit::memory::replay::ReplaySeen;

use crate::witness::Damage;

/// How long a claim holds, in milliseconds.
const CLAIMED_MS: i64 = 10_000;

/// The users' replay TTL, in milliseconds.
const ACCEPTED_MS: i64 = 600_000;

/// What is held for an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    state: ClaimState,
    owner: Option<OwnerToken>,
    until: UnixMillis,
}

/// What is held for all of them.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    leases: BTreeMap<EventKey, Lease>,
    /// Whether it fell back to an earlier state, so that `leases` does not tell everything.
    fell_back: bool,
    /// Who was told that their claim is free again.
    released: HashSet<OwnerToken>,
}

impl Cache {
    pub(crate) fn forget(&mut self) {
        self.leases.clear();
    }

    pub(crate) fn fall_back(&mut self) {
        self.forget();
        self.fell_back = true;
    }

    pub(crate) fn released(&mut self, owner: OwnerToken) {
        self.released.insert(owner);
    }

    /// Whether somebody holds the event.
    pub(crate) fn is_claimed(&self, key: &EventKey, now: UnixMillis) -> bool {
        let lease = self.leases.get(key);
        lease.is_some_and(|lease| lease.state == ClaimState::Claimed && now < lease.until)
    }

    /// Follows what was done; what it should not have been, and what is held instead.
    pub(crate) fn see(&mut self, key: &EventKey, what: ReplaySeen<'_>) -> Option<(Damage, Option<Lease>)> {
        let lease = self.leases.get(key).copied();
        let (next, objection) = match what {
            ReplaySeen::Claim(ask, Claim::Taken(held)) => {
                let record = &held.record;
                let next = Lease { state: record.state, owner: Some(record.owner), until: record.until };
                let held = lease.is_some_and(|lease| lease.keeps_others_out(ask.now));
                (next, held.then_some(Damage::ClaimGrantedTwice))
            }
            ReplaySeen::Claim(_, Claim::InFlight { .. }) => {
                let somebody = lease.is_some_and(|lease| {
                    let told = lease.owner.is_some_and(|owner| self.released.contains(&owner));
                    lease.state == ClaimState::Claimed && !told
                });
                let nobody = !somebody && !self.fell_back;
                return nobody.then_some((Damage::InFlightForNobody, lease));
            }
            ReplaySeen::Promotion(held, to, now, true) => {
                let own = lease.is_some_and(|lease| {
                    lease.state == ClaimState::Claimed && lease.owner == Some(held.record.owner)
                });
                let unknown = self.fell_back && lease.is_none();
                if !own && !unknown {
                    // What a stranger's word did must not hide what comes of it.
                    return Some((Damage::ClaimMovedByStranger, lease));
                }
                let (state, until) = match to {
                    Promotion::Accepted => (ClaimState::Accepted, now.plus_ms(ACCEPTED_MS)),
                    Promotion::Parked => (ClaimState::Parked, now.plus_ms(held.retention_ms)),
                    Promotion::Released => (ClaimState::Released, now),
                };
                (Lease { state, until, owner: Some(held.record.owner) }, None)
            }
            ReplaySeen::Settled(settled) => {
                let until = settled.now.plus_ms(settled.retention_ms);
                (Lease { state: settled.state, owner: None, until }, None)
            }
            ReplaySeen::Claim(..) | ReplaySeen::Promotion(_, _, _, false) => return None,
        };
        self.leases.insert(key.clone(), next);
        objection.map(|damage| (damage, lease))
    }
}

impl Lease {
    /// Whether nobody else may claim the event. A claim that is dated further ahead than any may be counts for nothing: some
    /// clock is wrong.
    fn keeps_others_out(self, now: UnixMillis) -> bool {
        let left_ms = self.until.since_ms(now);
        match self.state {
            ClaimState::Claimed => left_ms > 0 && left_ms <= CLAIMED_MS,
            ClaimState::Accepted | ClaimState::Parked | ClaimState::Booked => left_ms > 0,
            ClaimState::Released => false,
        }
    }
}
