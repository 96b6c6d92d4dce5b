//! The loop: receive, decide, record, acknowledge after COMMIT, tell.

use core::time::Duration;
use std::sync::Arc;

use futures_util::future::{Either, select};
use ports::{Bus, BusUnavailable, CrashPoint, Delivery, Handle, Linger, Queue, Subscription};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::{Booker, Metrics, Outage, Policy, Teller, span};

/// How fast messages are taken.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Messages and time of a batch.
    pub batch: Linger,
    /// The most unacknowledged messages.
    pub prefetch_max: u16,
    /// The pause before subscribing again.
    pub resubscribe: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            batch: Linger { messages_max: 500, after_first: Duration::from_millis(5) },
            prefetch_max: 1000,
            resubscribe: Duration::from_millis(500),
        }
    }
}

/// What the loop works with.
#[derive(Debug, Clone)]
pub struct Consumption {
    /// Where records go.
    pub booker: Booker,
    /// Who is told afterwards.
    pub teller: Teller,
    /// What events are decided by.
    pub policy: Arc<Policy>,
    /// Clock and timers.
    pub handle: Handle,
    /// How fast.
    pub pace: Pace,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Pace {
    /// For queues that should be empty: what lies there was trouble before.
    pub fn one_at_a_time() -> Self {
        let own = Self::default();
        Self { batch: Linger { messages_max: 1, ..own.batch }, prefetch_max: 1, ..own }
    }
}

/// Why a subscription ended.
enum End {
    Stopped,
    Lost(BusUnavailable),
    Outage(Outage),
}

/// Consumes `queue` until `stop`; fails only when a person has to look.
pub async fn consume(
    work: &Consumption,
    bus: &dyn Bus,
    queue: Queue,
    stop: &CancellationToken,
) -> Result<(), Outage> {
    loop {
        // Consuming begins only with books that can be written: a crash loop must not wear messages out.
        if work.booker.recovered(stop).await.is_none() {
            return Ok(());
        }
        let end = match bus.subscribe(queue, 1).await {
            Ok(mut subscription) => {
                let end = work.drain(queue, subscription.as_mut(), stop).await;
                subscription.close().await;
                end
            }
            Err(lost) => End::Lost(lost),
        };
        match end {
            End::Stopped | End::Outage(Outage::Stopping) => return Ok(()),
            End::Outage(unusable @ Outage::Unusable(_)) => return Err(unusable),
            End::Outage(away @ Outage::Away(_)) => tracing::error!(error = %away, "Consumption pauses"),
            End::Lost(lost) => tracing::warn!(error = %lost, queue = queue.name(), "Subscribing again"),
        }
        let pause = work.handle.sleep(work.pace.resubscribe);
        if let Either::Right(_) = select(pause, Box::pin(stop.cancelled())).await {
            return Ok(());
        }
    }
}

impl Consumption {
    /// Works off a subscription until it ends. Prefetch starts at 1 and doubles with every
    /// batch of new messages that committed whole.
    async fn drain(
        &self,
        queue: Queue,
        subscription: &mut dyn Subscription,
        stop: &CancellationToken,
    ) -> End {
        let mut prefetch: u16 = 1;
        loop {
            let received = {
                let receive = subscription.receive(self.pace.batch);
                match select(receive, Box::pin(stop.cancelled())).await {
                    Either::Left((received, _)) => received,
                    Either::Right(_) => return End::Stopped,
                }
            };
            let deliveries = match received {
                Ok(deliveries) => deliveries,
                Err(lost) => return End::Lost(lost),
            };
            for batch in alone_if_redelivered(deliveries) {
                if let Err(end) = self.batch((queue, subscription), batch, &mut prefetch, stop).await {
                    return end;
                }
            }
        }
    }

    async fn batch(
        &self,
        (queue, subscription): (Queue, &mut dyn Subscription),
        batch: Vec<Delivery>,
        prefetch: &mut u16,
        stop: &CancellationToken,
    ) -> Result<(), End> {
        let Some(last) = batch.last().map(|delivery| delivery.tag) else { return Ok(()) };
        CrashPoint::ProcessorReceived.pass();
        let began = self.handle.monotonic();
        let spans: Vec<Span> = batch.iter().map(|delivery| span::process(delivery, queue)).collect();
        let news = self.commit(queue, batch.iter().zip(&spans), stop).await.map_err(End::Outage)?;
        CrashPoint::ProcessorCommitted.pass();
        self.metrics.committed(batch.len(), self.handle.monotonic().saturating_sub(began));
        // Whatever is in hand when a process crashes has one delivery more behind it. So the hand grows only over what is
        // new: what came back is worked off one by one first, and no crash loop can wear out what waits behind it.
        let all_new = batch.iter().all(|delivery| !delivery.redelivered);
        if all_new && *prefetch < self.pace.prefetch_max {
            *prefetch = prefetch.saturating_mul(2).min(self.pace.prefetch_max);
            subscription.widen(*prefetch).await.map_err(End::Lost)?;
        }
        let settle = span::acknowledge(&spans, queue);
        let acknowledged = subscription.ack_through(last).instrument(settle.clone()).await;
        span::acknowledged(&settle, acknowledged.is_ok());
        drop((settle, spans));
        CrashPoint::ProcessorAcknowledged.pass();
        self.teller.tell(&news).await;
        acknowledged.map_err(End::Lost)
    }
}

/// Runs of new messages together, every redelivered one alone, in order: what made a batch fail before must not do so
/// to its neighbours.
fn alone_if_redelivered(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut batches: Vec<Vec<Delivery>> = Vec::new();
    for delivery in deliveries {
        match batches.last_mut() {
            Some(batch) if !delivery.redelivered && batch.iter().all(|other| !other.redelivered) => {
                batch.push(delivery);
            }
            Some(_) | None => batches.push(vec![delivery]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ports::{DeliveryTag, Headers};

    use super::*;

    #[test]
    fn a_redelivered_message_is_alone_and_order_is_kept() {
        let delivery = |(tag, redelivered): (usize, &bool)| Delivery {
            tag: DeliveryTag(u64::try_from(tag).unwrap()),
            redelivered: *redelivered,
            routing_key: String::new(),
            message_id: None,
            headers: Headers::default(),
            body: Bytes::new(),
        };
        let deliveries = [false, false, true, true, false, false].iter().enumerate().map(delivery).collect();
        let batches = alone_if_redelivered(deliveries);
        let tags: Vec<Vec<u64>> =
            batches.iter().map(|batch| batch.iter().map(|d| d.tag.0).collect()).collect();
        assert_eq!(tags, [vec![0, 1], vec![2], vec![3], vec![4, 5]]);
    }
}
