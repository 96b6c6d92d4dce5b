//! Batches at random from a small world, so that keys meet: the same for the same seed.

use ledger::{Livemode, Reason};
use ports::{Decision, EventRecord, Gate, Record};
use testkit::contract::books::samples::{
    capture_key, capture_of, delivery, dollars, event, evidence, filed, set_aside,
};
use wire::{Fingerprint, ReplayCheck};

/// SplitMix64 (Steele, Lea, Flood 2014): any sequence will do, if it is always the same.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }

    /// A message of the world called `world`, from one of three instances, number `sequence`.
    pub(crate) fn record(&mut self, world: &str, sequence: usize) -> Record {
        let instance = u8::try_from(self.below(3)).unwrap();
        let mut delivery = delivery(instance, u64::try_from(sequence).unwrap());
        if self.one_in(4) {
            (delivery.origin.replay_check, delivery.trace_id) = (ReplayCheck::Bypassed, None);
        }
        let id = format!("evt_{world}_{}", self.below(12));
        if self.one_in(12) {
            return evidence(delivery, self.one_in(2).then_some(id.as_str()));
        }
        let livemode = Livemode::from_bool(self.one_in(6));
        let mut event = event(&id, "charge.succeeded", 1);
        event.key.livemode = livemode;
        if self.one_in(8) {
            event.fingerprint = Fingerprint { version: 1 + u8::from(self.one_in(2)), digest: [2; 32] };
        }
        let decision = match self.below(5) {
            0 => Decision::Keep(*Reason::ALL.get(self.below(Reason::ALL.len())).unwrap()),
            1 => Decision::Keep(if self.one_in(2) { Reason::EventTooOld } else { Reason::EventWrongMode }),
            _ => self.booking(world, livemode),
        };
        if matches!(decision, Decision::Keep(reason) if reason.is_of_gate()) {
            delivery.gate = Gate::Refused;
        }
        let money = self.one_in(2).then(|| dollars(100));
        let record = filed(delivery, EventRecord { event, money, decision });
        if self.one_in(12) {
            let reasons = [Reason::EventIdReused, Reason::DeadLettered, Reason::RefusedByBooks];
            return set_aside(record, *reasons.get(self.below(3)).unwrap());
        }
        record
    }

    /// Some captures of the world called `world`.
    pub(crate) fn booking(&mut self, world: &str, livemode: Livemode) -> Decision {
        let captures = 1 + self.below(3);
        Decision::Book((0..captures).map(|_| self.capture(world, livemode)).collect())
    }

    fn capture(&mut self, world: &str, livemode: Livemode) -> ledger::Transaction {
        let mut key = capture_key(&format!("ch_{world}_{}", self.below(10)));
        key.livemode = livemode;
        capture_of(key, if self.one_in(8) { 101 } else { 100 })
    }
}
