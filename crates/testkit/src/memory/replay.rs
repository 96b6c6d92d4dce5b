//! Claims in memory: the same judgements as `replay-redis`, no server, and failures on demand.

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{EventKey, UnixMillis};
use ports::{
    Ask, BoxFuture, Claim, ClaimRecord, ClaimTimes, Held, Judgement, Promotion, Replay, ReplayUnavailable,
    Settled,
};

/// What befalls one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFault {
    /// Nothing.
    None,
    /// It is not done, and the caller learns that the cache is away.
    Refused,
    /// It is done, and the caller learns only that the cache is away.
    AnswerLost,
}

/// What was done in the cache, told at the instant at which it was.
#[derive(Debug, Clone, Copy)]
pub enum ReplaySeen<'a> {
    /// A claim was asked for.
    Claim(&'a Ask, &'a Claim),
    /// A claim in hand was to move on; whether it did.
    Promotion(&'a Held, Promotion, UnixMillis, bool),
    /// The books had their word.
    Settled(&'a Settled),
}

type Watcher = Box<dyn Fn(&EventKey, ReplaySeen<'_>) + Send>;

/// Claims on events, in memory. Deterministic: time comes with the calls, and nothing is random.
#[derive(Debug)]
pub struct MemoryReplay {
    times: ClaimTimes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    claims: Claims,
    written: u64,
    down: bool,
    faults: VecDeque<ReplayFault>,
    watcher: Option<Watcher>,
}

/// All claims, as they were at some instant.
#[derive(Debug, Clone, Default)]
pub struct Claims(BTreeMap<EventKey, Entry>);

#[derive(Debug, Clone)]
struct Entry {
    /// `None` of a value that does not open.
    record: Option<ClaimRecord>,
    /// Different for every write, like the nonce of a sealed value.
    exact: [u8; 8],
    kept_until: UnixMillis,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("claims", &self.claims)
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}

impl Default for MemoryReplay {
    fn default() -> Self {
        Self::new(ClaimTimes::default())
    }
}

impl MemoryReplay {
    /// Empty.
    pub fn new(times: ClaimTimes) -> Self {
        Self { times, state: Mutex::default() }
    }

    /// Refuses every operation, or no longer.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// What befalls the next operations, in order; afterwards nothing does.
    pub fn inject(&self, faults: impl IntoIterator<Item = ReplayFault>) {
        self.state().faults.extend(faults);
    }

    /// Loses every claim, as a Redis that restarts without its disk does.
    pub fn forget_everything(&self) {
        self.state().claims = Claims::default();
    }

    /// All claims as they are now.
    pub fn copy(&self) -> Claims {
        self.state().claims.clone()
    }

    /// Goes back to a copy, as a failover to a replica that had fallen behind does.
    pub fn restore(&self, copy: Claims) {
        self.state().claims = copy;
    }

    /// Puts something in the place of every value that no key opens.
    pub fn spoil_everything(&self) {
        let mut state = self.state();
        let keys: Vec<EventKey> = state.claims.0.keys().cloned().collect();
        for key in keys {
            state.written += 1;
            let exact = state.written.to_be_bytes();
            if let Some(entry) = state.claims.0.get_mut(&key) {
                (entry.record, entry.exact) = (None, exact);
            }
        }
    }

    /// Tells `watcher` of everything that is done, at the instant at which it is.
    pub fn watch(&self, watcher: impl Fn(&EventKey, ReplaySeen<'_>) + Send + 'static) {
        self.state().watcher = Some(Box::new(watcher));
    }

    /// The exact bytes that are held for an event: whoever has them can move its claim.
    pub fn exact(&self, key: &EventKey) -> Option<Vec<u8>> {
        self.state().claims.0.get(key).map(|entry| entry.exact.to_vec())
    }

    /// What is held for an event, whatever the time.
    pub fn record(&self, key: &EventKey) -> Option<ClaimRecord> {
        self.state().claims.0.get(key).and_then(|entry| entry.record.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One operation, atomic in itself, between two instants at which others may run.
    async fn operation<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, ReplayUnavailable> {
        yielding().await;
        let (value, fault) = {
            let mut state = self.state();
            let fault = state.faults.pop_front().unwrap_or(ReplayFault::None);
            if state.down || fault == ReplayFault::Refused {
                return Err(ReplayUnavailable("refused on demand".to_owned()));
            }
            (work(&mut state), fault)
        };
        yielding().await;
        match fault {
            ReplayFault::AnswerLost => Err(ReplayUnavailable("answer lost on demand".to_owned())),
            ReplayFault::None | ReplayFault::Refused => Ok(value),
        }
    }
}

impl State {
    fn write(&mut self, key: &EventKey, record: ClaimRecord, kept_until: UnixMillis) -> [u8; 8] {
        self.written += 1;
        let exact = self.written.to_be_bytes();
        self.claims.0.insert(key.clone(), Entry { record: Some(record), exact, kept_until });
        exact
    }

    fn claim(&mut self, key: &EventKey, ask: &Ask, times: ClaimTimes) -> Claim {
        let present = self.claims.0.get(key).filter(|entry| ask.now < entry.kept_until);
        let present = present.and_then(|entry| entry.record.as_ref());
        let record = match present.map(|record| record.judge(ask, times)) {
            None => ClaimRecord::claimed(ask, times),
            Some(Judgement::Free(record)) => record,
            Some(Judgement::Answer(answer)) => return answer,
        };
        let exact = self.write(key, record.clone(), ask.now.plus_ms(ask.retention_ms)).to_vec();
        Claim::Taken(Held { record, exact, retention_ms: ask.retention_ms })
    }

    fn promote(&mut self, key: &EventKey, held: &Held, next: ClaimRecord, now: UnixMillis) -> bool {
        let present = self.claims.0.get(key).filter(|entry| now < entry.kept_until);
        let Some(kept_until) =
            present.filter(|entry| *held.exact == entry.exact).map(|entry| entry.kept_until)
        else {
            return false;
        };
        self.write(key, next, kept_until);
        true
    }

    fn tell(&self, key: &EventKey, seen: ReplaySeen<'_>) {
        if let Some(watcher) = &self.watcher {
            watcher(key, seen);
        }
    }
}

impl Replay for MemoryReplay {
    fn claim<'a>(&'a self, key: &'a EventKey, ask: Ask) -> BoxFuture<'a, Result<Claim, ReplayUnavailable>> {
        Box::pin(self.operation(move |state| {
            let claim = state.claim(key, &ask, self.times);
            state.tell(key, ReplaySeen::Claim(&ask, &claim));
            claim
        }))
    }

    fn promote<'a>(
        &'a self,
        key: &'a EventKey,
        held: Held,
        to: Promotion,
        now: UnixMillis,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        let next = held.record.promoted(to, now, self.times, held.retention_ms);
        Box::pin(self.operation(move |state| {
            let done = state.promote(key, &held, next, now);
            state.tell(key, ReplaySeen::Promotion(&held, to, now, done));
            done
        }))
    }

    fn settle<'a>(
        &'a self,
        key: &'a EventKey,
        settled: Settled,
    ) -> BoxFuture<'a, Result<(), ReplayUnavailable>> {
        Box::pin(self.operation(move |state| {
            let kept_until = settled.now.plus_ms(settled.retention_ms);
            state.tell(key, ReplaySeen::Settled(&settled));
            state.write(key, settled.into_record(), kept_until);
        }))
    }
}

/// Lets whatever else is ready run first, on any executor.
async fn yielding() {
    let mut yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ledger::{EventId, Livemode, ProviderAccount, Source};
    use ports::{Age, OwnerToken};
    use wire::Fingerprint;

    use super::*;
    use crate::simulation::{STARTED_AT, Simulation};

    fn key() -> EventKey {
        EventKey {
            source: Source::parse("stripe").unwrap(),
            account: ProviderAccount::parse("acct_dev").unwrap(),
            livemode: Livemode::Test,
            event_id: EventId::parse("evt_1").unwrap(),
        }
    }

    fn ask(owner: u8) -> Ask {
        Ask {
            now: STARTED_AT,
            age: Age::Fresh,
            fingerprint: Fingerprint { version: 1, digest: [1; 32] },
            owner: OwnerToken([owner; 16]),
            trace: None,
            retention_ms: 1_000_000,
        }
    }

    #[test]
    fn a_spoilt_value_is_free_and_moves_for_nobody_who_held_it() {
        Simulation::new(1).run(async {
            let (replay, key) = (MemoryReplay::default(), key());
            let Claim::Taken(held) = replay.claim(&key, ask(1)).await.unwrap() else { panic!("it is new") };
            replay.spoil_everything();
            assert_eq!(replay.record(&key), None);
            assert_eq!(replay.promote(&key, held, Promotion::Accepted, STARTED_AT).await, Ok(false));
            assert!(matches!(replay.claim(&key, ask(2)).await, Ok(Claim::Taken(_))));
        });
    }

    #[test]
    fn a_cache_that_fell_back_holds_what_it_held_then() {
        Simulation::new(1).run(async {
            let (replay, key) = (MemoryReplay::default(), key());
            let Claim::Taken(held) = replay.claim(&key, ask(1)).await.unwrap() else { panic!("it is new") };
            let copy = replay.copy();
            assert_eq!(replay.promote(&key, held.clone(), Promotion::Released, STARTED_AT).await, Ok(true));
            replay.restore(copy);
            assert!(matches!(replay.claim(&key, ask(2)).await, Ok(Claim::InFlight { .. })));
            assert_eq!(replay.exact(&key), Some(held.exact));
        });
    }

    #[test]
    fn a_watcher_sees_every_operation() {
        Simulation::new(1).run(async {
            let (replay, key) = (MemoryReplay::default(), key());
            let seen = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&seen);
            replay.watch(move |_, _| {
                counted.fetch_add(1, Ordering::Relaxed);
            });
            let Claim::Taken(held) = replay.claim(&key, ask(1)).await.unwrap() else { panic!("it is new") };
            replay.promote(&key, held, Promotion::Accepted, STARTED_AT).await.unwrap();
            assert_eq!(seen.load(Ordering::Relaxed), 2);
        });
    }
}
