//! `RedisReplay` on a real Redis, and on some that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test reports"
)]

mod claims;
mod fault;
mod forgery;
mod outage;
mod refusal;

use core::time::Duration;
use std::sync::Arc;

use ports::Handle;
use replay_redis::{RedisReplay, Settings};
use testkit::servers::redis::KeyPrefix;

/// A budget that a busy machine keeps: only tests of the budget itself use a short one.
const AMPLE: Duration = Duration::from_secs(10);

/// The settings of the test's own corner of Redis.
fn settings(prefix: &KeyPrefix) -> Settings {
    let mut settings = Settings::new(prefix.url().into(), vec![7; 32].into());
    prefix.as_str().clone_into(&mut settings.key_prefix);
    settings.budget = AMPLE;
    settings
}

fn handle() -> Handle {
    runtime::TokioExecutor::handle()
}

fn replay(settings: &Settings) -> Arc<RedisReplay> {
    Arc::new(RedisReplay::new(settings, handle()).unwrap())
}
