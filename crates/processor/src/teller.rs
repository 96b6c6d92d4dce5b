//! After COMMIT: the cache is told, and what was booked is announced. Both best effort.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use ledger::EventKey;
use ports::{Bus, Handle, Replay};
use tracing::Instrument as _;

use crate::{Metrics, News, span};

/// How long announcements may hold up the next batch. What is not confirmed by then counts as unannounced.
const ANNOUNCING_MAX: Duration = Duration::from_secs(1);

/// Tells others what the books say.
#[derive(Clone)]
pub struct Teller {
    replay: Arc<dyn Replay>,
    bus: Arc<dyn Bus>,
    handle: Handle,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

impl Teller {
    /// To this cache and over this bus.
    pub fn new(replay: Arc<dyn Replay>, bus: Arc<dyn Bus>, handle: Handle, metrics: Arc<Metrics>) -> Self {
        Self { replay, bus, handle, metrics }
    }

    /// Tells a batch's news.
    pub async fn tell(&self, news: &[News]) {
        join(self.settle(news), self.announce(news)).await;
    }

    async fn settle(&self, news: &[News]) {
        let now = self.handle.now();
        let settling = latest(news).into_iter().filter_map(|(key, news)| {
            let settled = news.settled(now)?;
            Some(self.replay.settle(key, settled).instrument(news.span().clone()))
        });
        let failed: Vec<_> = join_all(settling).await.into_iter().filter_map(Result::err).collect();
        if let Some(unavailable) = failed.first() {
            self.metrics.untold(failed.len());
            tracing::warn!(count = failed.len(), error = %unavailable, "The cache was not told");
        }
    }

    async fn announce(&self, news: &[News]) {
        let now = self.handle.now();
        let announcements = news.iter().filter_map(|news| Some((news.span(), news.announcement(now)?)));
        let announcements: Vec<_> = announcements.collect();
        if announcements.is_empty() {
            return;
        }
        let publishing = announcements.into_iter().map(|(within, announcement)| {
            let (span, announcement) = span::announce(within, announcement);
            async move {
                let published = self.handle.within(ANNOUNCING_MAX, self.bus.publish(announcement));
                let published = published.instrument(span.clone()).await;
                let published = published.unwrap_or(Err(ports::NotConfirmed::Deadline));
                span::announced(&span, published);
                published
            }
        });
        let failed: Vec<_> = join_all(publishing).await.into_iter().filter_map(Result::err).collect();
        if let Some(unconfirmed) = failed.first() {
            self.metrics.unannounced(failed.len());
            tracing::warn!(count = failed.len(), error = %unconfirmed, "What was booked was not announced");
        }
    }
}

/// The last word on each event: settling is done all at once. What is final is the last, whatever stands beside it.
fn latest(news: &[News]) -> BTreeMap<&EventKey, &News> {
    let mut latest: BTreeMap<&EventKey, &News> = BTreeMap::new();
    for one in news {
        let known = latest.entry(&one.event().key).or_insert(one);
        if !known.status().is_final() {
            *known = one;
        }
    }
    latest
}
