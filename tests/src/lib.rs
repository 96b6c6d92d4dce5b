//! A whole Countersign for each test: a database, a vhost and a key prefix of its own on the private servers, the
//! services on port 0, in this process or as processes of their own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test harness reports"
)]

mod dice;
mod otlp;
mod process;
mod system;

pub use dice::Dice;
pub use otlp::{Collector, Seen};
pub use process::Process;
pub use system::{Reply, System};

use core::time::Duration;

/// The longest that anything expected may take on a machine that is busy compiling.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `condition` gives something.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    let mut condition = condition;
    let polled = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::task::yield_now().await;
            poll_interval().await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
async fn poll_interval() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// The wall clock in whole seconds, as a provider would stamp its signature.
#[expect(clippy::disallowed_methods, reason = "the provider's clock")]
pub fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
