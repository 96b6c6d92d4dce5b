//! Stopping in two stages.

use core::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stages of a stop: `soft` asks to take nothing new and finish what is in hand, `hard` ends the waiting.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Take nothing new; drain.
    pub soft: CancellationToken,
    /// The deadline has passed, or a second signal came.
    pub hard: CancellationToken,
}

impl Stop {
    /// Stops softly at the first SIGTERM or SIGINT, hard at the second or when `drain` has passed.
    pub fn on_signals(drain: Duration) -> std::io::Result<Self> {
        let stop = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stages = stop.clone();
        tokio::runtime::Handle::current().spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!(drain_s = drain.as_secs(), "Stopping");
            stages.soft.cancel();
            let deadline = tokio::time::timeout(drain, async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            if deadline.await.is_ok() {
                tracing::warn!("A second signal: not waiting any longer");
            }
            stages.hard.cancel();
        });
        Ok(stop)
    }
}
