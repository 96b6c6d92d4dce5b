//! Processes of a simulated world: what a process has spawned stops, stands still, or is gone, all at once.

use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

use ledger::UnixMillis;
use ports::{BoxFuture, Executor, Handle};

use super::Simulation;

/// A process: tasks that end together, wherever each of them waits. Clones are the same process.
#[derive(Clone)]
pub struct Process {
    world: Simulation,
    id: u64,
}

/// A process that has not ended.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// How many more turns its tasks get, if they are counted.
    turns_left: Option<u32>,
    /// The tasks that were to have a turn while it stands still, if it does.
    held: Option<Vec<u64>>,
    /// How far its wall clock goes ahead, in milliseconds.
    ahead_ms: i64,
    watchers: Vec<Waker>,
}

/// What becomes of a turn.
pub(super) enum Turn {
    Taken,
    /// Later: the process stands still.
    Held,
    /// Nothing: the process ends here.
    Last,
}

impl Life {
    pub(super) fn turn(&mut self, task: u64) -> Turn {
        if let Some(held) = &mut self.held {
            held.push(task);
            return Turn::Held;
        }
        match &mut self.turns_left {
            None => Turn::Taken,
            Some(0) => Turn::Last,
            Some(left) => {
                *left -= 1;
                Turn::Taken
            }
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Simulation {
    /// A new process.
    pub fn process(&self) -> Process {
        let mut state = self.0.state();
        let id = state.id();
        state.processes.insert(id, Life::default());
        drop(state);
        Process { world: self.clone(), id }
    }

    /// Drops every task of a process where it waits.
    pub(super) fn end(&self, process: u64) {
        let mut state = self.0.state();
        let Some(life) = state.processes.remove(&process) else { return };
        let ended: Vec<_> = state.tasks.extract_if(.., |_, slot| slot.process == process).collect();
        drop(state);
        drop(ended);
        life.watchers.into_iter().for_each(Waker::wake);
    }
}

impl Process {
    /// What code of this process is given.
    pub fn handle(&self) -> Handle {
        Handle::new(self.clone())
    }

    /// Ends it now.
    pub fn kill(&self) {
        self.world.end(self.id);
    }

    /// Ends it when its tasks have had so many turns: at whatever await that is.
    pub fn kill_after(&self, turns: u32) {
        self.with(|life| life.turns_left = Some(turns));
    }

    /// Lets it live on, if it has not ended yet.
    pub fn spare(&self) {
        self.with(|life| life.turns_left = None);
    }

    /// Stops it where it is: the world goes on without it.
    pub fn freeze(&self) {
        self.with(|life| {
            life.held.get_or_insert_default();
        });
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        let held = self.with(|life| life.held.take()).flatten().unwrap_or_default();
        for task in held {
            self.world.0.wake(task);
        }
    }

    /// Sets its wall clock so many milliseconds ahead of the world's; of a negative number, behind.
    pub fn set_clock_ahead(&self, ahead_ms: i64) {
        self.with(|life| life.ahead_ms = ahead_ms);
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// Completes when it has ended.
    pub async fn ended(&self) {
        poll_fn(|context| {
            let watching = self.with(|life| life.watchers.push(context.waker().clone()));
            watching.map_or(Poll::Ready(()), |()| Poll::Pending)
        })
        .await;
    }

    fn with<T>(&self, work: impl FnOnce(&mut Life) -> T) -> Option<T> {
        self.world.0.state().processes.get_mut(&self.id).map(work)
    }
}

impl Executor for Process {
    fn now(&self) -> UnixMillis {
        self.world.now().plus_ms(self.with(|life| life.ahead_ms).unwrap_or_default())
    }

    fn monotonic(&self) -> Duration {
        self.world.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.world.sleep(duration)
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.world.spawn_in(self.id, task);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.world.fill_random(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A process with two tasks that each count a second, and the count.
    fn counting(world: &Simulation) -> (Process, Arc<AtomicU32>) {
        let (process, seconds) = (world.process(), Arc::new(AtomicU32::new(0)));
        for _ in 0..2 {
            let (handle, seconds) = (process.handle(), Arc::clone(&seconds));
            drop(process.handle().spawn("count", async move {
                loop {
                    handle.sleep(Duration::from_secs(1)).await;
                    seconds.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        (process, seconds)
    }

    #[test]
    fn a_process_ends_with_all_its_tasks_and_spawns_no_more() {
        let world = Simulation::new(1);
        let (process, seconds) = counting(&world);
        world.run(async {
            let handle = world.handle();
            handle.sleep(Duration::from_millis(3_500)).await;
            assert_eq!(seconds.load(Ordering::Relaxed), 6);
            process.kill();
            process.ended().await;
            assert!(!process.is_alive());
            assert_eq!(process.handle().spawn("late", async {}).await, None);
            handle.sleep(Duration::from_mins(1)).await;
            assert_eq!(seconds.load(Ordering::Relaxed), 6);
        });
    }

    #[test]
    fn a_process_can_end_at_each_of_its_turns() {
        for turns in 0..20 {
            let world = Simulation::new(1);
            let (process, seconds) = counting(&world);
            process.kill_after(turns);
            world.run(process.ended());
            // Each task has one turn before its first second.
            assert_eq!(seconds.load(Ordering::Relaxed), turns.saturating_sub(2));
        }
    }

    #[test]
    fn a_process_that_stands_still_goes_on_where_it_was() {
        let world = Simulation::new(1);
        let (process, seconds) = counting(&world);
        world.run(async {
            let handle = world.handle();
            handle.sleep(Duration::from_millis(1_500)).await;
            process.freeze();
            handle.sleep(Duration::from_secs(10)).await;
            assert_eq!(seconds.load(Ordering::Relaxed), 2);
            process.thaw();
            handle.sleep(Duration::from_millis(100)).await;
            assert_eq!(seconds.load(Ordering::Relaxed), 4);
        });
    }

    #[test]
    fn the_wall_clock_of_one_process_can_be_wrong() {
        let world = Simulation::new(1);
        let process = world.process();
        process.set_clock_ahead(-2_000);
        assert_eq!(process.handle().now(), world.handle().now().plus_ms(-2_000));
        assert_eq!(process.handle().monotonic(), world.handle().monotonic());
    }
}
