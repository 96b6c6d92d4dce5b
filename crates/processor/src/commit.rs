//! A batch on its way into the books, and what there is to tell afterwards.

use std::sync::Arc;

use ports::{Acted, CrashPoint, Delivery, Queue, Record};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};
use wire::{ControlTotal, Request};

use crate::evidence::evidence;
use crate::{Consumption, News, Outage, Refusal, Work, decide, log, span};

/// A message in hand, and the span of its being processed.
struct Taken<'a> {
    delivery: &'a Delivery,
    span: Span,
}

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
        batch: impl Iterator<Item = (&Delivery, &Span)>,
        stop: &CancellationToken,
    ) -> Result<Vec<News>, Outage> {
        let now = self.handle.now();
        let (mut recording, mut records, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (delivery, span) in batch {
            let taken = Taken { delivery, span: span.clone() };
            match taken.span.in_scope(|| decide(delivery, queue, &self.policy, now)) {
                Work::Record(record) => {
                    recording.push(taken);
                    records.push(*record);
                }
                Work::Count(total) => rest.push((taken, Rest::Count(total))),
                Work::Act(request) => rest.push((taken, Rest::Act(request))),
            }
        }
        let mut news = Vec::new();
        if !records.is_empty() {
            news = self.record(&recording, records, stop).await?;
        }
        for (taken, work) in rest {
            let refused = match work {
                Rest::Count(total) => self.count(&total, stop).await?.err(),
                Rest::Act(request) => match self.act(&taken, request, stop).await? {
                    Ok(acted) => {
                        let span = taken.span.clone();
                        news.extend(acted.and_then(|acted| News::of_action(taken.delivery, acted, span)));
                        None
                    }
                    Err(refusal) => Some(refusal),
                },
            };
            CrashPoint::ProcessorSpokenOf.pass();
            if let Some(refusal) = refused {
                let message_id = taken.delivery.message_id.as_deref();
                taken.span.in_scope(|| {
                    tracing::error!(message_id, error = %refusal, "The books refuse a message: parking it");
                });
                let parked = evidence(taken.delivery, refusal.reason(), now);
                news.extend(self.record(&[taken], vec![parked], stop).await?);
            }
        }
        Ok(news)
    }

    async fn record(
        &self,
        taken: &[Taken<'_>],
        records: Vec<Record>,
        stop: &CancellationToken,
    ) -> Result<Vec<News>, Outage> {
        let spans: Vec<&Span> = taken.iter().map(|taken| &taken.span).collect();
        let database = span::record(&spans);
        let failing = span::failing(taken.iter().map(|taken| (&taken.span, taken.delivery)));
        let all_recorded = self.booker.record(records.clone(), &failing, stop).instrument(database).await;
        let all_recorded =
            all_recorded.inspect_err(|outage| spans.iter().for_each(|span| span::failed(span, outage)))?;
        let now = self.handle.now();
        let mut news = Vec::with_capacity(records.len());
        for ((taken, record), recorded) in taken.iter().zip(records).zip(all_recorded) {
            self.metrics.recorded(&record, &recorded, now.since_ms(record.delivery.origin.received_at));
            taken.span.in_scope(|| log::recorded(&record, &recorded));
            span::recorded(&taken.span, &record, &recorded);
            news.extend(News::of_record(taken.delivery, record, recorded, taken.span.clone()));
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
        Taken { delivery, span }: &Taken<'_>,
        request: Request,
        stop: &CancellationToken,
    ) -> Result<Result<Option<Acted>, Refusal>, Outage> {
        // What is released was at the gate before: it is decided as a fresh event is, and by the policy of today.
        let policy = Arc::clone(&self.policy);
        let assess = move |event| policy.assess(event);
        let failing = span::failing(core::iter::once((span, *delivery)));
        let acted = self.booker.act(request, &assess, &failing, stop).instrument(span::act(span)).await;
        let acted = acted.inspect_err(|outage| span::failed(span, outage))?;
        if let Ok(acted) = &acted {
            self.metrics.acted(acted.as_ref().map(|acted| acted.status));
            span::acted(span, request.action.0, acted.as_ref());
            span.in_scope(|| log::acted(request, acted.as_ref()));
        }
        Ok(acted)
    }
}
