//! What the publishing task keeps an eye on, and when that is reason enough to give a channel or a connection up.

use core::time::Duration;

use lapin::Channel;

use crate::link::Link;
use crate::settings::Settings;

/// Why publishing over a channel ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All is done.
    Stopped,
    /// The channel is dead; `worked` if the broker had decided on anything.
    Channel { why: String, worked: bool },
    /// The connection is dead or of no use.
    Link { why: String },
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) blocked_since: Option<Duration>,
    pub(crate) stopping_since: Option<Duration>,
    waiting_since: Option<Duration>,
    worked: bool,
}

impl Watch {
    /// The broker has decided on so many publishes.
    pub(crate) fn decided(&mut self, count: usize, now: Duration) {
        if count > 0 {
            self.worked = true;
            self.waiting_since = Some(now);
        }
    }

    /// Since when there have been publishes in flight and none decided.
    pub(crate) fn waiting_since(&mut self, in_flight: usize, now: Duration) -> Option<Duration> {
        self.waiting_since = (in_flight > 0).then(|| self.waiting_since.unwrap_or(now));
        self.waiting_since
    }

    /// What becomes of channel and connection after an error.
    pub(crate) fn dead(&self, link: &Link, channel: &Channel, why: &impl ToString) -> Option<End> {
        if !link.is_connected() {
            Some(End::Link { why: why.to_string() })
        } else if !channel.status().connected() {
            Some(End::Channel { why: why.to_string(), worked: self.worked })
        } else {
            None
        }
    }

    /// What has gone on for too long.
    pub(crate) fn overdue(&self, settings: &Settings, now: Duration) -> Option<End> {
        let longer =
            |since: Option<Duration>, limit| since.is_some_and(|since| now.saturating_sub(since) > limit);
        if longer(self.stopping_since, settings.confirm_deadline) {
            Some(End::Stopped)
        } else if longer(self.blocked_since, settings.blocked_deadline) {
            Some(End::Link { why: "blocked for too long".to_owned() })
        } else if longer(self.waiting_since, settings.blocked_deadline) {
            Some(End::Link { why: "no confirm for too long".to_owned() })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waiting_begins_with_the_first_publish_and_again_with_each_decision() {
        let mut watch = Watch::default();
        assert_eq!(watch.waiting_since(0, SECOND), None);
        assert_eq!(watch.waiting_since(3, SECOND), Some(SECOND));
        assert_eq!(watch.waiting_since(4, SECOND * 2), Some(SECOND));
        watch.decided(0, SECOND * 3);
        assert_eq!(watch.waiting_since(4, SECOND * 3), Some(SECOND));
        watch.decided(1, SECOND * 4);
        assert_eq!(watch.waiting_since(3, SECOND * 5), Some(SECOND * 4));
        assert_eq!(watch.waiting_since(0, SECOND * 6), None);
    }

    #[test]
    fn a_connection_that_is_blocked_or_confirms_nothing_is_given_up_after_the_deadline() {
        let settings = Settings::new("amqp://localhost".parse().unwrap(), "test");
        let at = settings.blocked_deadline;
        let blocked = Watch { blocked_since: Some(SECOND), ..Watch::default() };
        assert_eq!(blocked.overdue(&settings, at), None);
        assert!(matches!(blocked.overdue(&settings, at + SECOND * 2), Some(End::Link { .. })));
        let waiting = Watch { waiting_since: Some(SECOND), ..Watch::default() };
        assert_eq!(waiting.overdue(&settings, at), None);
        assert!(matches!(waiting.overdue(&settings, at + SECOND * 2), Some(End::Link { .. })));
        let stopping = Watch { stopping_since: Some(SECOND), ..Watch::default() };
        assert_eq!(stopping.overdue(&settings, SECOND * 2), None);
        assert_eq!(stopping.overdue(&settings, SECOND * 4), Some(End::Stopped));
    }
}
