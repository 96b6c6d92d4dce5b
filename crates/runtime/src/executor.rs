//! Tokio behind `handle::Handle`: the one home of clock, timers, spawning and randomness.

use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use handle::{BoxFuture, Executor, Handle};

/// The executor of the services. Tasks run on the runtime it was made on, whichever thread spawns them.
#[derive(Debug)]
pub struct TokioExecutor {
    runtime: tokio::runtime::Handle,
    started: Instant,
}

impl TokioExecutor {
    /// A handle on the current tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "the home of the monotonic clock")]
    pub fn handle() -> Handle {
        Handle::new(Self { runtime: tokio::runtime::Handle::current(), started: Instant::now() })
    }
}

impl Executor for TokioExecutor {
    #[expect(clippy::disallowed_methods, reason = "the home of the wall clock")]
    fn now(&self) -> money::UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        money::UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the home of timers")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        let running = self.runtime.spawn(task);
        self.runtime.spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(task = name, panicked = error.is_panic(), "A task ended abnormally");
            }
        });
    }

    #[expect(clippy::expect_used, reason = "without randomness no key or token is safe: stop")]
    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }
}
