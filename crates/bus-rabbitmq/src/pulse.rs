//! Whether publishing can be expected to work: written by the publishing task, read by everyone.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state of the publishing connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Line {
    /// No connection, or no channel with topology and confirms on it.
    #[default]
    Down,
    /// Publishing is possible.
    Up,
    /// The broker takes nothing from us: an alarm of memory or disk.
    Blocked,
}

#[derive(Debug, Default)]
struct Beat {
    line: Line,
    /// Since when publishes have waited without any of them being confirmed.
    waiting_since: Option<Duration>,
}

/// The publishing task's last word on its connection.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Beat>);

impl Pulse {
    pub(crate) fn set_line(&self, line: Line) {
        self.beat().line = line;
    }

    pub(crate) fn set_waiting_since(&self, instant: Option<Duration>) {
        self.beat().waiting_since = instant;
    }

    /// Whether a publish is worth handing over; otherwise it fails at once.
    pub(crate) fn accepts(&self) -> bool {
        self.beat().line == Line::Up
    }

    /// Whether publishing can be expected to succeed: a frozen broker leaves the line up and confirms nothing.
    pub(crate) fn ready(&self, now: Duration, confirm_deadline: Duration) -> bool {
        let beat = self.beat();
        let late = beat.waiting_since.is_some_and(|since| now.saturating_sub(since) > confirm_deadline);
        beat.line == Line::Up && !late
    }

    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_connected_unblocked_and_confirming() {
        let second = Duration::from_secs(1);
        let pulse = Pulse::default();
        assert!(!pulse.ready(second, second));
        pulse.set_line(Line::Up);
        assert!(pulse.ready(second, second));
        pulse.set_waiting_since(Some(second));
        assert!(pulse.ready(second * 2, second));
        assert!(!pulse.ready(second * 3, second), "a confirm is overdue");
        pulse.set_waiting_since(None);
        pulse.set_line(Line::Blocked);
        assert!(!pulse.ready(second * 3, second));
        assert!(!pulse.accepts());
    }
}
