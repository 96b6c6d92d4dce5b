//! A seeded executor with virtual time behind `ports::Handle`: the services' own logic runs on it unchanged, and the
//! same seed gives the same history.

mod process;

use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use ledger::UnixMillis;
use ports::{BoxFuture, Executor, Handle};

pub use process::Process;
use process::{Life, Turn};

/// The wall clock when a simulation begins.
pub const STARTED_AT: UnixMillis = UnixMillis(1_795_000_000_000);

/// The task that `run` was called with.
const ROOT: u64 = 0;

/// The process of whatever belongs to none: it never ends.
const NO_PROCESS: u64 = 0;

/// One simulated world: its tasks, its timers, its randomness.
#[derive(Clone)]
pub struct Simulation(Arc<World>);

struct World {
    state: Mutex<State>,
    ready: Mutex<BTreeSet<u64>>,
}

struct State {
    elapsed: Duration,
    random: u64,
    next_id: u64,
    tasks: BTreeMap<u64, Slot>,
    timers: BTreeMap<(Duration, u64), Waker>,
    /// Those that have begun and not ended.
    processes: BTreeMap<u64, Life>,
}

/// A task that waits for its turn.
struct Slot {
    process: u64,
    future: BoxFuture<'static, ()>,
    waker: Waker,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulation")
    }
}

impl Simulation {
    /// The world of this seed.
    pub fn new(seed: u64) -> Self {
        let state = State {
            elapsed: Duration::ZERO,
            // Zero is the one state that this generator never leaves.
            random: seed.wrapping_mul(2).wrapping_add(1),
            next_id: ROOT + 1,
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            processes: BTreeMap::new(),
        };
        Self(Arc::new(World { state: Mutex::new(state), ready: Mutex::default() }))
    }

    /// The handle that code in this world is given.
    pub fn handle(&self) -> Handle {
        Handle::new(self.clone())
    }

    /// Runs `future` to its end, and whatever it spawns along the way, in an order that the seed decides. Time passes
    /// only when nothing can run. Panics when nothing ever can again.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let root = self.0.waker(ROOT);
        self.0.wake(ROOT);
        loop {
            let Some(id) = self.pick() else {
                self.pass_time();
                continue;
            };
            if id != ROOT {
                self.turn(id);
                continue;
            }
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&root)) {
                // What still waits ends with the world; it holds the world, and would keep it for ever.
                let unfinished = core::mem::take(&mut self.0.state().tasks);
                drop(unfinished);
                return value;
            }
        }
    }

    /// Gives a task its turn, unless its process has come to its end or stands still.
    fn turn(&self, id: u64) {
        let mut state = self.0.state();
        // It is taken out while it is polled: it may spawn others.
        let Some(mut slot) = state.tasks.remove(&id) else { return };
        match state.processes.get_mut(&slot.process).map_or(Turn::Taken, |life| life.turn(id)) {
            Turn::Taken => {}
            Turn::Held => {
                state.tasks.insert(id, slot);
                return;
            }
            Turn::Last => {
                drop(state);
                self.end(slot.process);
                return;
            }
        }
        drop(state);
        let pending = slot.future.as_mut().poll(&mut Context::from_waker(&slot.waker)).is_pending();
        if pending {
            let mut state = self.0.state();
            if slot.process == NO_PROCESS || state.processes.contains_key(&slot.process) {
                state.tasks.insert(id, slot);
            }
        }
    }

    fn spawn_in(&self, process: u64, future: BoxFuture<'static, ()>) {
        let mut state = self.0.state();
        if process != NO_PROCESS && !state.processes.contains_key(&process) {
            return;
        }
        let id = state.id();
        let waker = self.0.waker(id);
        state.tasks.insert(id, Slot { process, future, waker });
        drop(state);
        self.0.wake(id);
    }

    fn pick(&self) -> Option<u64> {
        let mut ready = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let count = u64::try_from(ready.len()).unwrap_or(u64::MAX);
        let place = usize::try_from(self.0.state().random().checked_rem(count)?).ok()?;
        let id = ready.iter().nth(place).copied()?;
        ready.remove(&id);
        Some(id)
    }

    fn pass_time(&self) {
        let mut state = self.0.state();
        let ((at, _), waker) =
            state.timers.pop_first().expect("nothing can run and no timer is set: a deadlock");
        state.elapsed = state.elapsed.max(at);
        drop(state);
        waker.wake();
    }
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(self: &Arc<Self>, id: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { id, world: Arc::clone(self) }))
    }

    fn wake(&self, id: u64) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }
}

impl State {
    /// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

struct TaskWaker {
    id: u64,
    world: Arc<World>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.world.wake(self.id);
    }
}

/// Completes when the virtual clock has reached `until`.
struct Timer {
    until: Duration,
    id: u64,
    world: Arc<World>,
}

impl Future for Timer {
    type Output = ();

    fn poll(self: core::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.state();
        if state.elapsed >= self.until {
            return Poll::Ready(());
        }
        state.timers.insert((self.until, self.id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.world.state().timers.remove(&(self.until, self.id));
    }
}

impl Executor for Simulation {
    fn now(&self) -> UnixMillis {
        STARTED_AT.plus_ms(i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.0.state().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.0.state();
        let (until, id) = (state.elapsed.saturating_add(duration), state.id());
        Box::pin(Timer { until, id, world: Arc::clone(&self.0) })
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.spawn_in(NO_PROCESS, task);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let mut state = self.0.state();
        for chunk in bytes.chunks_mut(8) {
            let random = state.random().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(seed: u64) -> (Vec<u32>, Duration) {
        let simulation = Simulation::new(seed);
        let handle = simulation.handle();
        let order = Arc::new(Mutex::new(Vec::new()));
        let finished = simulation.run({
            let (order, handle) = (Arc::clone(&order), handle.clone());
            async move {
                let tasks: Vec<_> = (0..8)
                    .map(|n| {
                        let (order, handle) = (Arc::clone(&order), handle.clone());
                        handle.clone().spawn("task", async move {
                            handle.sleep(Duration::from_secs(1)).await;
                            order.lock().unwrap().push(n);
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                order.lock().unwrap().clone()
            }
        });
        (finished, handle.monotonic())
    }

    #[test]
    fn the_same_seed_gives_the_same_history_and_another_gives_another() {
        assert_eq!(history(7), history(7));
        assert!((0..20).any(|seed| history(seed).0 != history(7).0));
    }

    #[test]
    fn an_hour_of_waiting_takes_no_time() {
        let simulation = Simulation::new(1);
        let handle = simulation.handle();
        simulation.run(handle.sleep(Duration::from_hours(1)));
        assert_eq!(handle.monotonic(), Duration::from_hours(1));
        assert_eq!(handle.now(), STARTED_AT.plus_ms(3_600_000));
    }

    #[test]
    fn a_future_that_takes_too_long_is_given_up() {
        let simulation = Simulation::new(1);
        let handle = simulation.handle();
        let slow = handle.sleep(Duration::from_mins(1));
        assert_eq!(simulation.run(handle.within(Duration::from_secs(1), slow)), None);
    }
}
