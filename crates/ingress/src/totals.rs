//! Control totals: what this process knows to have been confirmed, window by window, told until the broker has them.

use core::convert::Infallible;
use core::fmt;
use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::select;
use ledger::Source;
use ports::{Bus, CrashPoint, Handle, Outgoing};
use tokio::sync::Notify;
use wire::{ControlTotal, InstanceId, Listed};

use crate::tally::Tally;
use crate::{Problem, message};

/// An instance with nothing to tell says so this often: its silence is what an auditor would ask about.
const EMPTY_EVERY: Duration = Duration::from_mins(1);

/// How long to wait before a total that was not confirmed is sent again; doubled each time.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The control totals of one process.
pub struct Totals {
    bus: Arc<dyn Bus>,
    handle: Handle,
    window: Duration,
    full: Notify,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    /// The total that is on its way: always sent as it is, byte for byte, and none is closed before it is confirmed.
    unconfirmed: Option<Outgoing>,
}

impl fmt::Debug for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Totals").field("window", &self.window).finish_non_exhaustive()
    }
}

impl Totals {
    pub(crate) fn new(bus: Arc<dyn Bus>, handle: Handle, instance: InstanceId, window: Duration) -> Self {
        let state = Mutex::new(State { tally: Tally::new(instance), unconfirmed: None });
        Self { bus, handle, window, full: Notify::new(), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a message that the broker has confirmed. One whose fate is unknown is never noted.
    pub(crate) fn confirmed(&self, listed: Listed) {
        let mut state = self.state();
        state.tally.confirmed(listed);
        if state.tally.is_full() {
            self.full.notify_one();
        }
    }

    /// Notes a refusal that is told as a number.
    pub(crate) fn refused(&self, source: &Source, problem: Problem) {
        let now = self.handle.now();
        self.state().tally.refused(source, problem, now);
    }

    /// Tells what there is to tell at the end of every window; what is full, at once. It may be dropped at any time: `finish`
    /// takes up what was on its way.
    pub async fn tell(&self) -> Infallible {
        let mut told_at = self.handle.monotonic();
        loop {
            select(self.handle.sleep(self.window), pin!(self.full.notified())).await;
            let (now, monotonic) = (self.handle.now(), self.handle.monotonic());
            let silent = monotonic.saturating_sub(told_at) >= EMPTY_EVERY;
            if silent || self.state().tally.has_news(now) {
                self.close(|tally| tally.close(now));
                self.confirm().await;
                told_at = monotonic;
            }
        }
    }

    /// Tells the rest, and that there will be no more. Call it once, when nothing is admitted any more.
    pub async fn finish(&self) {
        self.confirm().await;
        loop {
            let ended = self.close(|tally| tally.end(self.handle.now()));
            self.confirm().await;
            if ended.last {
                return;
            }
        }
    }

    fn close(&self, close: impl FnOnce(&mut Tally) -> ControlTotal) -> ControlTotal {
        let mut state = self.state();
        let total = close(&mut state.tally);
        state.unconfirmed = Some(message::control(total.clone()));
        if state.tally.is_full() {
            self.full.notify_one();
        }
        total
    }

    /// Sends the total that is on its way until it is confirmed.
    async fn confirm(&self) {
        let mut pause = AGAIN_AFTER.0;
        loop {
            let Some(outgoing) = self.state().unconfirmed.clone() else { return };
            let published = self.bus.publish(outgoing).await;
            CrashPoint::IngressTotalConfirmed.pass();
            match published {
                Ok(()) => self.state().unconfirmed = None,
                Err(unconfirmed) => {
                    if pause == AGAIN_AFTER.0 {
                        tracing::warn!(error = %unconfirmed, "A control total waits for its confirm");
                    }
                    self.handle.sleep(pause).await;
                    pause = pause.saturating_mul(2).min(AGAIN_AFTER.1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use ledger::EventId;
    use ports::Queue;
    use testkit::memory::bus::MemoryBus;
    use testkit::simulation::Simulation;
    use wire::Sequence;

    use super::*;
    use crate::tally::LISTED_MAX;

    #[test]
    fn a_window_with_twenty_thousand_listings_is_told_at_once() {
        let simulation = Simulation::new(1);
        let handle = simulation.handle();
        let bus = Arc::new(MemoryBus::new(handle.clone()));
        let instance = InstanceId::from_bytes([7; 16]);
        let totals = Totals::new(bus.clone(), handle.clone(), instance, Duration::from_secs(10));
        let note = async |count: usize| {
            for n in 0..count {
                totals.confirmed(Listed {
                    sequence: Sequence(u64::try_from(n).unwrap()),
                    source: Source::parse("stripe").unwrap(),
                    event_id: EventId::parse("evt_1").unwrap(),
                });
            }
            handle.sleep(Duration::from_millis(1)).await;
            bus.messages(Queue::Ledger).len()
        };
        let scenario = async {
            assert_eq!(note(LISTED_MAX - 1).await, 0);
            assert_eq!(note(1).await, 1);
            assert_eq!(note(2 * LISTED_MAX + 1).await, 3);
        };
        let seconds = Duration::from_secs(5);
        simulation.run(join(scenario, handle.within(seconds, totals.tell())));
    }
}
