//! One consumer on one channel of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use ports::{BoxFuture, BusUnavailable, Delivery, DeliveryTag, Handle, Linger, Queue, Subscription};

use crate::link::{Link, LinkError};
use crate::message::hear;

/// A subscription. Dropping it closes its channel, and the broker takes back what is not acknowledged.
pub(crate) struct Consumption {
    link: Arc<Link>,
    channel: Channel,
    handle: Handle,
    queue: Queue,
    /// `None` once it has ended, and while it is being replaced.
    consumer: Option<Consumer>,
    /// How often it was replaced: a new consumer needs a new tag.
    generation: u32,
    prefetch: u16,
    /// Delivered to us and not yet handed out.
    buffered: VecDeque<Delivery>,
    handed_out: u64,
    acknowledged: u64,
}

impl Consumption {
    pub(crate) async fn start(
        link: Arc<Link>,
        channel: Channel,
        queue: Queue,
        prefetch: u16,
        handle: Handle,
    ) -> Result<Self, LinkError> {
        let mut consumption = Self {
            link,
            channel,
            handle,
            queue,
            consumer: None,
            generation: 0,
            prefetch: 0,
            buffered: VecDeque::new(),
            handed_out: 0,
            acknowledged: 0,
        };
        consumption.consume(prefetch).await?;
        Ok(consumption)
    }

    async fn consume(&mut self, prefetch: u16) -> Result<(), LinkError> {
        // Never global, which a quorum queue answers by ending the connection; never 0, which it takes for 2000.
        self.prefetch = prefetch.max(1);
        let qos = BasicQosOptions { global: false };
        self.link.request(self.channel.basic_qos(self.prefetch, qos)).await?;
        let tag = format!("countersign-{}", self.generation);
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = self.channel.basic_consume(self.queue.name().into(), tag.into(), options, arguments);
        self.consumer = Some(self.link.request(consuming).await?);
        Ok(())
    }

    /// Takes one delivery from the driver. Whatever is awaited here can be dropped without losing one.
    async fn take_one(&mut self) -> Result<(), BusUnavailable> {
        let Some(consumer) = &mut self.consumer else {
            return Err(BusUnavailable(format!("the consumer of {} has ended", self.queue.name())));
        };
        match consumer.next().await {
            Some(Ok(delivery)) => {
                self.buffered.push_back(hear(delivery));
                Ok(())
            }
            Some(Err(error)) => {
                self.consumer = None;
                Err(BusUnavailable(error.to_string()))
            }
            None => {
                self.consumer = None;
                Err(BusUnavailable(format!("the consumer of {} was cancelled", self.queue.name())))
            }
        }
    }

    async fn receive(&mut self, linger: Linger) -> Result<Vec<Delivery>, BusUnavailable> {
        let most = linger.messages_max.max(1);
        // What a dead channel has delivered is being delivered again to somebody, and cannot be acknowledged.
        self.require_channel()?;
        if self.buffered.is_empty() {
            self.take_one().await?;
        }
        let mut over = self.handle.sleep(linger.after_first);
        while self.buffered.len() < most && !self.is_full() && self.consumer.is_some() {
            // What is there already is taken without a look at the clock.
            let taken = match self.take_one().now_or_never() {
                Some(taken) => taken,
                None => match select(Box::pin(self.take_one()), &mut over).await {
                    Either::Left((taken, _)) => taken,
                    Either::Right(((), _)) => break,
                },
            };
            if taken.is_err() {
                self.require_channel()?;
            }
        }
        let count = self.buffered.len().min(most);
        let deliveries: Vec<_> = self.buffered.drain(..count).collect();
        self.handed_out = deliveries.last().map_or(self.handed_out, |last| last.tag.0);
        Ok(deliveries)
    }

    async fn ack_through(&mut self, tag: DeliveryTag) -> Result<(), BusUnavailable> {
        // The broker takes 0 for "all there are" and ends a channel that acknowledges anything else twice.
        if tag.0 <= self.acknowledged {
            return Ok(());
        }
        if tag.0 > self.handed_out {
            return Err(BusUnavailable(format!("delivery {} was never received here", tag.0)));
        }
        // Before the await: once polled it is on its way, and given up it must not be repeated.
        self.acknowledged = tag.0;
        let ack = self.channel.basic_ack(tag.0, BasicAckOptions { multiple: true });
        Ok(self.link.request(ack).await?)
    }

    /// Cancels the consumer, keeps what it had delivered, and consumes again. Acknowledging goes on as before: tags
    /// belong to the channel.
    async fn widen(&mut self, prefetch: u16) -> Result<(), BusUnavailable> {
        self.require_channel()?;
        if let Some(mut consumer) = self.consumer.take() {
            let cancelling = self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            self.link.request(cancelling).await?;
            // Everything that came before the broker's answer, then the end of the stream.
            while let Some(delivery) = consumer.next().await {
                self.buffered.push_back(hear(delivery.map_err(LinkError::from)?));
            }
        }
        self.generation = self.generation.saturating_add(1);
        Ok(self.consume(prefetch).await?)
    }

    /// Whether the prefetch allows no more, so that waiting for more is in vain. Tags count up by one.
    fn is_full(&self) -> bool {
        let last = self.buffered.back().map_or(self.handed_out, |last| last.tag.0);
        last.saturating_sub(self.acknowledged) >= u64::from(self.prefetch)
    }

    fn require_channel(&self) -> Result<(), BusUnavailable> {
        if self.channel.status().connected() {
            Ok(())
        } else {
            Err(BusUnavailable("the channel has ended".to_owned()))
        }
    }
}

/// Ends a consumer and its channel, in this order: the broker takes a cancelled consumer from its queue before it
/// answers, but one whose channel has closed only some time later, and what it delivers to it meanwhile counts as
/// delivered.
async fn end(link: Arc<Link>, channel: Channel, consumer: Option<Consumer>) {
    if let Some(consumer) = &consumer
        && channel.status().connected()
        && let Err(error) =
            link.request(channel.basic_cancel(consumer.tag(), BasicCancelOptions::default())).await
    {
        tracing::debug!(%error, "A consumer ended without goodbye");
    }
    link.close_channel(&channel).await;
}

impl Consumption {
    fn end(&mut self) -> impl Future<Output = ()> + Send + 'static {
        end(Arc::clone(&self.link), self.channel.clone(), self.consumer.take())
    }
}

impl Drop for Consumption {
    fn drop(&mut self) {
        if self.channel.status().connected() {
            // Nobody waits for the task; it takes 7 s at most.
            let ending = self.end();
            drop(self.handle.spawn("rabbitmq subscription end", ending));
        }
    }
}

impl Subscription for Consumption {
    fn receive(&mut self, linger: Linger) -> BoxFuture<'_, Result<Vec<Delivery>, BusUnavailable>> {
        Box::pin(self.receive(linger))
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        Box::pin(self.ack_through(tag))
    }

    fn widen(&mut self, prefetch: u16) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        Box::pin(self.widen(prefetch))
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.end().await })
    }
}
