//! Claims in memory: the same judgements as `replay-redis`, no server, and failures on demand.

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

/// Claims on events, in memory. Deterministic: time comes with the calls, and nothing is random.
#[derive(Debug)]
pub struct MemoryReplay {
    times: ClaimTimes,
    retention_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    claims: BTreeMap<EventKey, Entry>,
    written: u64,
    down: bool,
    faults: VecDeque<ReplayFault>,
}

#[derive(Debug)]
struct Entry {
    record: ClaimRecord,
    /// Different for every write, like the nonce of a sealed value.
    exact: [u8; 8],
    kept_until: UnixMillis,
}

impl Default for MemoryReplay {
    fn default() -> Self {
        Self::new(ClaimTimes::default(), 72 * 3_600_000)
    }
}

impl MemoryReplay {
    /// Empty. A promotion to `parked` holds for `retention_ms`.
    pub fn new(times: ClaimTimes, retention_ms: i64) -> Self {
        Self { times, retention_ms, state: Mutex::default() }
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
        self.state().claims.clear();
    }

    /// What is held for an event, whatever the time.
    pub fn record(&self, key: &EventKey) -> Option<ClaimRecord> {
        self.state().claims.get(key).map(|entry| entry.record.clone())
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
    fn write(&mut self, key: &EventKey, record: ClaimRecord, kept_until: UnixMillis) -> Held {
        self.written += 1;
        let exact = self.written.to_be_bytes();
        self.claims.insert(key.clone(), Entry { record: record.clone(), exact, kept_until });
        Held { record, exact: exact.to_vec() }
    }

    fn claim(&mut self, key: &EventKey, ask: &Ask, times: ClaimTimes) -> Claim {
        let present = self.claims.get(key).filter(|entry| ask.now < entry.kept_until);
        let record = match present.map(|entry| entry.record.judge(ask, times)) {
            None => ClaimRecord::claimed(ask, times),
            Some(Judgement::Free(record)) => record,
            Some(Judgement::Answer(answer)) => return answer,
        };
        Claim::Taken(self.write(key, record, ask.now.plus_ms(ask.retention_ms)))
    }

    fn promote(&mut self, key: &EventKey, held: &Held, next: ClaimRecord, now: UnixMillis) -> bool {
        let present = self.claims.get(key).filter(|entry| now < entry.kept_until);
        let Some(kept_until) =
            present.filter(|entry| *held.exact == entry.exact).map(|entry| entry.kept_until)
        else {
            return false;
        };
        self.write(key, next, kept_until);
        true
    }
}

impl Replay for MemoryReplay {
    fn claim<'a>(&'a self, key: &'a EventKey, ask: Ask) -> BoxFuture<'a, Result<Claim, ReplayUnavailable>> {
        Box::pin(self.operation(move |state| state.claim(key, &ask, self.times)))
    }

    fn promote<'a>(
        &'a self,
        key: &'a EventKey,
        held: Held,
        to: Promotion,
        now: UnixMillis,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        let next = held.record.promoted(to, now, self.times, self.retention_ms);
        Box::pin(self.operation(move |state| state.promote(key, &held, next, now)))
    }

    fn settle<'a>(
        &'a self,
        key: &'a EventKey,
        settled: Settled,
    ) -> BoxFuture<'a, Result<(), ReplayUnavailable>> {
        Box::pin(self.operation(move |state| {
            let kept_until = settled.now.plus_ms(settled.retention_ms);
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
