//! Claims on events: has this one been here before?

use core::fmt;
use core::num::NonZeroU128;

use futures_util::future::BoxFuture;
use ledger::{EventKey, UnixMillis};
use wire::Fingerprint;

/// The cache of claims. It costs speed when it is away and never decides what is booked.
pub trait Replay: Send + Sync {
    /// Claims the event for one delivery, in one round trip when it is new.
    fn claim<'a>(&'a self, key: &'a EventKey, ask: Ask) -> BoxFuture<'a, Result<Claim, ReplayUnavailable>>;

    /// Moves a claim that this delivery holds onwards, by compare-and-set: `false` when it is not ours any more.
    fn promote<'a>(
        &'a self,
        key: &'a EventKey,
        held: Held,
        to: Promotion,
        now: UnixMillis,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>>;

    /// Stores what the books say, unconditionally: after COMMIT nobody knows better.
    fn settle<'a>(
        &'a self,
        key: &'a EventKey,
        settled: Settled,
    ) -> BoxFuture<'a, Result<(), ReplayUnavailable>>;
}

/// The cache did not answer, or not with yes: an error, a timeout, READONLY, out of memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the replay state is unavailable: {0}")]
pub struct ReplayUnavailable(pub String);

/// One delivery's token: whoever holds it may move the claim on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerToken(pub [u8; 16]);

impl fmt::Debug for OwnerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerToken")
    }
}

/// The W3C trace id of a delivery, as a number: what a duplicate's trace links to. Nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimTrace(pub NonZeroU128);

impl ClaimTrace {
    /// Reads a trace id; `None` of what is none.
    pub fn parse(hex: &str) -> Option<Self> {
        u128::from_str_radix(hex, 16).ok().and_then(NonZeroU128::new).map(Self)
    }
}

impl fmt::Display for ClaimTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Whether an arrival is young enough to be processed without a person's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Within the limit.
    Fresh,
    /// Beyond it.
    Stale,
}

/// What a delivery asks of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The instant of asking.
    pub now: UnixMillis,
    /// Whether this arrival is young enough.
    pub age: Age,
    /// The event's content.
    pub fingerprint: Fingerprint,
    /// The delivery's token.
    pub owner: OwnerToken,
    /// The delivery's trace, if it has one.
    pub trace: Option<ClaimTrace>,
    /// How long the record is kept: the provider's retry horizon.
    pub retention_ms: i64,
}

/// The cache's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The event is this delivery's to publish.
    Taken(Held),
    /// It was accepted before; with the stored result if it has been booked, and the trace in which that was.
    Replayed(Option<StoredResult>, Option<ClaimTrace>),
    /// It stands parked.
    Parked,
    /// Another delivery of it is on its way; ask again after this long.
    InFlight {
        /// Milliseconds until the other claim ends.
        retry_after_ms: i64,
    },
    /// The id was used for another content before.
    Reused,
}

/// A claim in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What the cache holds.
    pub record: ClaimRecord,
    /// The exact bytes it holds, for compare-and-set; the adapter's own.
    pub exact: Vec<u8>,
    /// How long the record is kept, as its delivery asked.
    pub retention_ms: i64,
}

/// How a held claim moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotion {
    /// Its message was confirmed.
    Accepted,
    /// Its evidence was confirmed.
    Parked,
    /// It failed: free for the next delivery. Never deleted.
    Released,
}

/// What the books say of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// `Booked` or `Parked`.
    pub state: ClaimState,
    /// The event's content.
    pub fingerprint: Fingerprint,
    /// What a replay is answered with.
    pub result: StoredResult,
    /// The trace of the message that said it.
    pub trace: Option<ClaimTrace>,
    /// The instant of settling.
    pub now: UnixMillis,
    /// How long it is kept.
    pub retention_ms: i64,
}

/// The result of an event, as the JSON that a replay is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult(pub String);

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// A delivery is being published.
    Claimed,
    /// Its message was confirmed.
    Accepted,
    /// It stands parked.
    Parked,
    /// The books have settled it.
    Booked,
    /// A failure gave it back.
    Released,
}

/// How long states hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimTimes {
    /// `Claimed`: as long as publishing may take.
    pub claimed_ms: i64,
    /// `Accepted`: the users' replay TTL. Afterwards a retry is let through, and the books see that it is none.
    pub accepted_ms: i64,
}

impl Default for ClaimTimes {
    fn default() -> Self {
        Self { claimed_ms: 10_000, accepted_ms: 600_000 }
    }
}

/// How far apart the clocks of two ingresses may be. Deliveries also read the clock before their claims reach the cache,
/// in whatever order.
const CLOCKS_APART_MAX_MS: i64 = 60_000;

/// What the cache holds for one event. Adapters seal it; this is what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRecord {
    /// Where it stands.
    pub state: ClaimState,
    /// Until when the state holds; past it, the event is free.
    pub until: UnixMillis,
    /// Whether a verified delivery arrived while the event was young enough.
    pub seen_fresh: bool,
    /// The event's content.
    pub fingerprint: Fingerprint,
    /// Who claimed it.
    pub owner: OwnerToken,
    /// In which trace it was claimed, or settled.
    pub trace: Option<ClaimTrace>,
    /// What the books said.
    pub result: Option<StoredResult>,
}

/// What an existing record means for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Free: to be taken by compare-and-set on the exact old bytes, with this record.
    Free(ClaimRecord),
    /// Not free.
    Answer(Claim),
}

impl ClaimRecord {
    /// The record of a new claim.
    pub fn claimed(ask: &Ask, times: ClaimTimes) -> Self {
        Self {
            state: ClaimState::Claimed,
            until: ask.now.plus_ms(times.claimed_ms),
            seen_fresh: ask.age == Age::Fresh,
            fingerprint: ask.fingerprint,
            owner: ask.owner,
            trace: ask.trace,
            result: None,
        }
    }

    /// What this record, found in the cache, means for a delivery that asks.
    pub fn judge(&self, ask: &Ask, times: ClaimTimes) -> Judgement {
        if self.fingerprint.contradicts(&ask.fingerprint) {
            return Judgement::Answer(Claim::Reused);
        }
        // A claim that would hold for longer than any does was made by a clock that is far ahead.
        let longest_ms = times.claimed_ms.saturating_add(CLOCKS_APART_MAX_MS);
        let misdated = self.state == ClaimState::Claimed && self.until.since_ms(ask.now) > longest_ms;
        if self.state == ClaimState::Released || ask.now >= self.until || misdated {
            let mut record = Self::claimed(ask, times);
            record.seen_fresh |= self.seen_fresh;
            return Judgement::Free(record);
        }
        Judgement::Answer(match self.state {
            ClaimState::Accepted | ClaimState::Booked => Claim::Replayed(self.result.clone(), self.trace),
            ClaimState::Parked => Claim::Parked,
            ClaimState::Claimed | ClaimState::Released => {
                Claim::InFlight { retry_after_ms: self.until.since_ms(ask.now) }
            }
        })
    }

    /// The record after a promotion.
    #[must_use]
    pub fn promoted(&self, to: Promotion, now: UnixMillis, times: ClaimTimes, retention_ms: i64) -> Self {
        let (state, until) = match to {
            Promotion::Accepted => (ClaimState::Accepted, now.plus_ms(times.accepted_ms)),
            Promotion::Parked => (ClaimState::Parked, now.plus_ms(retention_ms)),
            Promotion::Released => (ClaimState::Released, now),
        };
        Self { state, until, ..self.clone() }
    }
}

impl Settled {
    /// The record that it leaves.
    pub fn into_record(self) -> ClaimRecord {
        ClaimRecord {
            state: self.state,
            until: self.now.plus_ms(self.retention_ms),
            seen_fresh: true,
            fingerprint: self.fingerprint,
            owner: OwnerToken([0; 16]),
            trace: self.trace,
            result: Some(self.result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: ClaimTimes = ClaimTimes { claimed_ms: 10_000, accepted_ms: 600_000 };

    fn ask(now_ms: i64) -> Ask {
        Ask {
            now: UnixMillis(now_ms),
            age: Age::Stale,
            fingerprint: Fingerprint { version: 1, digest: [1; 32] },
            owner: OwnerToken([2; 16]),
            trace: None,
            retention_ms: 1_000_000,
        }
    }

    fn record(state: ClaimState, until_ms: i64) -> ClaimRecord {
        let mut record = ClaimRecord::claimed(&ask(0), TIMES);
        (record.state, record.until, record.seen_fresh) = (state, UnixMillis(until_ms), true);
        record
    }

    #[test]
    fn an_accepted_event_is_a_replay_for_exactly_600_seconds() {
        let accepted =
            record(ClaimState::Claimed, 10_000).promoted(Promotion::Accepted, UnixMillis(0), TIMES, 1);
        assert_eq!(accepted.judge(&ask(599_999), TIMES), Judgement::Answer(Claim::Replayed(None, None)));
        assert!(matches!(accepted.judge(&ask(600_000), TIMES), Judgement::Free(_)));
    }

    #[test]
    fn a_claim_of_another_delivery_is_in_flight_until_it_ends() {
        let claimed = record(ClaimState::Claimed, 10_000);
        let in_flight = Judgement::Answer(Claim::InFlight { retry_after_ms: 1 });
        assert_eq!(claimed.judge(&ask(9_999), TIMES), in_flight);
        assert!(matches!(claimed.judge(&ask(10_000), TIMES), Judgement::Free(_)));
    }

    #[test]
    fn a_claim_is_respected_by_whoever_read_the_clock_a_little_earlier_or_has_a_slower_one() {
        let claimed = record(ClaimState::Claimed, 70_000);
        let in_flight = Judgement::Answer(Claim::InFlight { retry_after_ms: 70_000 });
        assert_eq!(claimed.judge(&ask(0), TIMES), in_flight);
        assert!(matches!(claimed.judge(&ask(-1), TIMES), Judgement::Free(_)));
    }

    #[test]
    fn a_claim_made_by_a_clock_far_ahead_holds_nobody_up() {
        let misdated = record(ClaimState::Claimed, 3_600_000);
        assert!(matches!(misdated.judge(&ask(0), TIMES), Judgement::Free(_)));
    }

    #[test]
    fn a_released_claim_is_free_at_once_and_remembers_that_it_came_in_time() {
        let released =
            record(ClaimState::Claimed, 10_000).promoted(Promotion::Released, UnixMillis(5), TIMES, 1);
        let Judgement::Free(next) = released.judge(&ask(5), TIMES) else {
            panic!("a released claim is free")
        };
        assert!(next.seen_fresh);
        assert_eq!((next.state, next.until), (ClaimState::Claimed, UnixMillis(10_005)));
    }

    #[test]
    fn another_content_under_the_same_id_is_never_a_replay() {
        let mut other = ask(0);
        other.fingerprint.digest = [3; 32];
        for state in [ClaimState::Claimed, ClaimState::Accepted, ClaimState::Booked, ClaimState::Parked] {
            assert_eq!(record(state, 10).judge(&other, TIMES), Judgement::Answer(Claim::Reused), "{state:?}");
        }
        other.fingerprint.version = 2;
        assert_eq!(
            record(ClaimState::Booked, 10).judge(&other, TIMES),
            Judgement::Answer(Claim::Replayed(None, None))
        );
    }

    #[test]
    fn a_trace_id_comes_back_as_it_was_and_zero_is_none() {
        let id = "00f92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(ClaimTrace::parse(id).unwrap().to_string(), id);
        for none in ["", "x", &"0".repeat(32), &"f".repeat(33)] {
            assert_eq!(ClaimTrace::parse(none), None, "{none}");
        }
    }
}
