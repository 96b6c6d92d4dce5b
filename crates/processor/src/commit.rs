//! A batch on its way into the books, and what there is to tell afterwards.

use std::sync::Arc;

use ports::{Acted, CrashPoint, Delivery, Queue, Record};
use tokio_util::sync::CancellationToken;
use wire::{ControlTotal, Request};

use crate::evidence::evidence;
use crate::{Consumption, News, Outage, Refusal, Work, decide, log};

/// What speaks of deliveries: recorded after them.
enum Rest {
    Count(ControlTotal),
    Act(Request),
}

impl Consumption {
    /// Brings every message of the batch into the books: the deliveries together, then one by one what speaks of them.
    pub(crate) async fn commit(
        &self,
        queue: Queue,
        batch: &[Delivery],
        stop: &CancellationToken,
    ) -> Result<Vec<News>, Outage> {
        let now = self.handle.now();
        let (mut recording, mut records, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for delivery in batch {
            match decide(delivery, queue, &self.policy, now) {
                Work::Record(record) => {
                    recording.push(delivery);
                    records.push(*record);
                }
                Work::Count(total) => rest.push((delivery, Rest::Count(total))),
                Work::Act(request) => rest.push((delivery, Rest::Act(request))),
            }
        }
        let mut news = Vec::new();
        if !records.is_empty() {
            news = self.record(&recording, records, stop).await?;
        }
        for (delivery, work) in rest {
            let refused = match work {
                Rest::Count(total) => self.count(&total, stop).await?.err(),
                Rest::Act(request) => match self.act(request, stop).await? {
                    Ok(acted) => {
                        news.extend(acted.and_then(|acted| News::of_action(delivery, acted)));
                        None
                    }
                    Err(refusal) => Some(refusal),
                },
            };
            CrashPoint::ProcessorSpokenOf.pass();
            if let Some(refusal) = refused {
                tracing::error!(message_id = delivery.message_id, %refusal, "The books refuse a message: parking it");
                let parked = evidence(delivery, refusal.reason(), now);
                news.extend(self.record(&[delivery], vec![parked], stop).await?);
            }
        }
        Ok(news)
    }

    async fn record(
        &self,
        deliveries: &[&Delivery],
        records: Vec<Record>,
        stop: &CancellationToken,
    ) -> Result<Vec<News>, Outage> {
        let all_recorded = self.booker.record(records.clone(), stop).await?;
        let now = self.handle.now();
        let mut news = Vec::with_capacity(records.len());
        for ((delivery, record), recorded) in deliveries.iter().zip(records).zip(all_recorded) {
            self.metrics.recorded(&record, &recorded, now.since_ms(record.delivery.origin.received_at));
            log::recorded(&record, &recorded);
            news.extend(News::of_record(delivery, record, recorded));
        }
        Ok(news)
    }

    async fn count(
        &self,
        total: &ControlTotal,
        stop: &CancellationToken,
    ) -> Result<Result<(), Refusal>, Outage> {
        let counted = self.booker.count(total, stop).await?;
        if counted.is_ok() {
            self.metrics.counted();
            log::counted(total);
        }
        Ok(counted)
    }

    async fn act(
        &self,
        request: Request,
        stop: &CancellationToken,
    ) -> Result<Result<Option<Acted>, Refusal>, Outage> {
        // What is released was at the gate before: it is decided as a fresh event is, and by the policy of today.
        let policy = Arc::clone(&self.policy);
        let acted = self.booker.act(request, &move |event| policy.assess(event), stop).await?;
        if let Ok(acted) = &acted {
            self.metrics.acted(acted.as_ref().map(|acted| acted.status));
            log::acted(request, acted.as_ref());
        }
        Ok(acted)
    }
}
