#![doc = include_str!("../README.md")]

mod crash;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use futures_channel::oneshot;
pub use futures_util::future::BoxFuture;
use futures_util::future::{Either, select};
use money::UnixMillis;

pub use crash::CrashPoint;

/// What a handle stands on: tokio in a service (`runtime`), a seeded executor with virtual time in `testkit`.
pub trait Executor: Send + Sync {
    /// The wall clock.
    fn now(&self) -> UnixMillis;
    /// Time since some fixed instant, never going back.
    fn monotonic(&self) -> Duration;
    /// Completes after `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Runs `task` to its end whether or not anybody awaits it. `name` is for logs.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);
    /// Fills `bytes` with randomness that is fit for keys.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// A cheap clone of the executor in use.
#[derive(Clone)]
pub struct Handle(Arc<dyn Executor>);

/// A spawned computation. Dropping it does not stop the computation.
pub type Task<T> = BoxFuture<'static, Option<T>>;

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// On this executor.
    pub fn new(executor: impl Executor + 'static) -> Self {
        Self(Arc::new(executor))
    }

    /// The wall clock.
    pub fn now(&self) -> UnixMillis {
        self.0.now()
    }

    /// Time since some fixed instant, never going back.
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    /// Completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    /// Runs `future` to its end in a task of its own; the returned future gives its value, or `None` if it panicked.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let (value, awaited) = oneshot::channel();
        let task = async move {
            // Nobody may be waiting any more; the computation was for its effect.
            drop(value.send(future.await));
        };
        self.0.spawn(name, Box::pin(task));
        Box::pin(async move { awaited.await.ok() })
    }

    /// The value of `future`, or `None` when `limit` passes first (the future is dropped).
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        match select(Box::pin(future), self.sleep(limit)).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(((), _)) => None,
        }
    }

    /// `N` random bytes, fit for keys.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_random(&mut bytes);
        bytes
    }
}
