//! A bus in memory: quorum queues as `bus-rabbitmq` declares them, no server, and failures on demand.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::select;
use ports::{
    BoxFuture, Bus, BusUnavailable, Delivery, DeliveryTag, Exchange, Handle, Linger, NotConfirmed, Outgoing,
    Queue, Subscription,
};

/// How often a message of `countersign.ledger` may come back before it is dead.
const DELIVERY_LIMIT: u32 = 20;

/// How long a publish waits for a confirm that does not come.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(2);

/// What befalls one publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusFault {
    /// Nothing.
    None,
    /// The broker does not take it.
    Refused,
    /// It does not reach the broker.
    Unreachable,
    /// The broker keeps it, and the connection ends before the confirm.
    CutOff,
    /// The broker keeps it, and the confirm does not come within 2 s.
    ConfirmLost,
}

/// The bus in memory. Deterministic on a deterministic executor. Clones are the same bus.
#[derive(Debug, Clone)]
pub struct MemoryBus {
    handle: Handle,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ready: BTreeMap<Queue, VecDeque<Kept>>,
    consumers: BTreeMap<u64, Consumer>,
    consumers_ever: u64,
    last_served: u64,
    faults: VecDeque<BusFault>,
    down: bool,
    unbound: bool,
    booked: Vec<Outgoing>,
}

#[derive(Debug, Clone)]
struct Kept {
    message: Outgoing,
    returns: u32,
}

#[derive(Debug)]
struct Consumer {
    queue: Queue,
    prefetch: usize,
    last_tag: u64,
    received: u64,
    unacknowledged: BTreeMap<u64, Kept>,
    waker: Option<Waker>,
}

impl MemoryBus {
    /// Empty queues.
    pub fn new(handle: Handle) -> Self {
        Self { handle, state: Arc::default() }
    }

    /// What befalls the next publishes, in order; afterwards nothing does.
    pub fn inject(&self, faults: impl IntoIterator<Item = BusFault>) {
        self.state().faults.extend(faults);
    }

    /// Ends the broker's service, and with it every subscription, or takes it up again with all messages kept.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
        if down {
            self.disconnect();
        }
    }

    /// Ends every subscription, as a lost connection does.
    pub fn disconnect(&self) {
        let mut state = self.state();
        let consumers: Vec<u64> = state.consumers.keys().copied().collect();
        for consumer in consumers {
            state.end(consumer);
        }
    }

    /// Unbinds `countersign.ledger`, so that messages go to `countersign.unrouted`, or binds it again.
    pub fn set_bound(&self, bound: bool) {
        self.state().unbound = !bound;
    }

    /// Puts a message into a queue, past the exchange and the faults.
    pub fn put(&self, queue: Queue, message: Outgoing) {
        self.state().put(queue, message);
    }

    /// The messages of a queue, those that are out for delivery included.
    pub fn messages(&self, queue: Queue) -> Vec<Outgoing> {
        let state = self.state();
        let held = state.consumers.values().filter(|consumer| consumer.queue == queue);
        let held = held.flat_map(|consumer| consumer.unacknowledged.values());
        held.chain(state.ready.get(&queue).into_iter().flatten()).map(|kept| kept.message.clone()).collect()
    }

    /// Whether a message that is in some queue, or out for delivery, is such a one.
    pub fn holds(&self, such: impl Fn(&Outgoing) -> bool) -> bool {
        let state = self.state();
        let held = state.consumers.values().flat_map(|consumer| consumer.unacknowledged.values());
        held.chain(state.ready.values().flatten()).any(|kept| such(&kept.message))
    }

    /// How many messages a queue holds, those that are out for delivery included.
    pub fn depth(&self, queue: Queue) -> usize {
        let state = self.state();
        let held = state.consumers.values().filter(|consumer| consumer.queue == queue);
        let held: usize = held.map(|consumer| consumer.unacknowledged.len()).sum();
        held + state.ready.get(&queue).map_or(0, VecDeque::len)
    }

    /// What was published to `countersign.booked`, the first first.
    pub fn booked(&self) -> Vec<Outgoing> {
        self.state().booked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker's side of a publish: it goes on when the publisher has gone.
    async fn take(self, message: Outgoing) -> Result<(), NotConfirmed> {
        yielding().await;
        let fault = {
            let mut state = self.state();
            let fault = state.faults.pop_front().unwrap_or(BusFault::None);
            if state.down || fault == BusFault::Unreachable {
                return Err(NotConfirmed::Unreachable);
            }
            if fault == BusFault::Refused {
                return Err(NotConfirmed::Refused);
            }
            match message.exchange {
                Exchange::Events if state.unbound => state.put(Queue::Unrouted, message),
                Exchange::Events => state.put(Queue::Ledger, message),
                Exchange::Booked => state.booked.push(message),
            }
            fault
        };
        yielding().await;
        match fault {
            BusFault::None | BusFault::Refused | BusFault::Unreachable => Ok(()),
            BusFault::CutOff => Err(NotConfirmed::Unreachable),
            BusFault::ConfirmLost => {
                self.handle.sleep(CONFIRM_DEADLINE).await;
                Err(NotConfirmed::Deadline)
            }
        }
    }
}

impl Bus for MemoryBus {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), NotConfirmed>> {
        Box::pin(async move {
            let taking = self.handle.spawn("memory bus", self.clone().take(message));
            taking.await.unwrap_or(Err(NotConfirmed::Unreachable))
        })
    }

    fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, BusUnavailable>> {
        Box::pin(async move {
            yielding().await;
            let mut state = self.state();
            if state.down {
                return Err(BusUnavailable("down on demand".to_owned()));
            }
            let id = state.begin(queue, prefetch);
            let subscription: Box<dyn Subscription> = Box::new(MemorySubscription { bus: self.clone(), id });
            Ok(subscription)
        })
    }

    fn ready(&self) -> bool {
        !self.state().down
    }
}

impl State {
    fn put(&mut self, queue: Queue, message: Outgoing) {
        self.ready.entry(queue).or_default().push_back(Kept { message, returns: 0 });
        self.deliver(queue);
    }

    fn begin(&mut self, queue: Queue, prefetch: u16) -> u64 {
        self.consumers_ever += 1;
        let consumer = Consumer {
            queue,
            prefetch: prefetch.max(1).into(),
            last_tag: 0,
            received: 0,
            unacknowledged: BTreeMap::new(),
            waker: None,
        };
        self.consumers.insert(self.consumers_ever, consumer);
        self.deliver(queue);
        self.consumers_ever
    }

    /// Hands messages out in turn, to each consumer as many as it may hold.
    fn deliver(&mut self, queue: Queue) {
        let Some(ready) = self.ready.get_mut(&queue) else { return };
        while !ready.is_empty() {
            let mut hungry = self
                .consumers
                .iter()
                .filter(|(_, consumer)| {
                    consumer.queue == queue && consumer.unacknowledged.len() < consumer.prefetch
                })
                .map(|(id, _)| *id);
            let first = hungry.clone().next();
            let Some(id) = hungry.find(|id| *id > self.last_served).or(first) else { return };
            let (Some(consumer), Some(kept)) = (self.consumers.get_mut(&id), ready.pop_front()) else {
                return;
            };
            self.last_served = id;
            consumer.last_tag += 1;
            consumer.unacknowledged.insert(consumer.last_tag, kept);
            if let Some(waker) = consumer.waker.take() {
                waker.wake();
            }
        }
    }

    /// Takes back what a consumer has not acknowledged: to the head of the queue, or to the dead.
    fn end(&mut self, id: u64) {
        let Some(mut consumer) = self.consumers.remove(&id) else { return };
        let queue = consumer.queue;
        let returned = consumer.unacknowledged.into_values();
        let returned = returned.map(|kept| Kept { returns: kept.returns + 1, ..kept });
        let (dead, mut alive): (VecDeque<_>, VecDeque<_>) =
            returned.partition(|kept| queue != Queue::Dead && kept.returns > DELIVERY_LIMIT);
        for Kept { mut message, .. } in dead {
            message.headers = message
                .headers
                .with("x-first-death-reason", "delivery_limit")
                .with("x-first-death-queue", queue.name());
            self.put(Queue::Dead, message);
        }
        let ready = self.ready.entry(queue).or_default();
        alive.append(ready);
        *ready = alive;
        self.deliver(queue);
        if let Some(waker) = consumer.waker.take() {
            waker.wake();
        }
    }
}

impl Consumer {
    fn poll_available(&mut self, at_least: u64, context: &Context<'_>) -> Poll<()> {
        let available = self.last_tag - self.received;
        let full = self.unacknowledged.len() >= self.prefetch;
        if available >= at_least || (available > 0 && full) {
            return Poll::Ready(());
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn receive(&mut self, most: u64) -> Vec<Delivery> {
        let tags = self.received + 1..=self.last_tag.min(self.received.saturating_add(most));
        self.received = *tags.end();
        tags.map(|tag| {
            let Kept { message, returns } = self.unacknowledged[&tag].clone();
            Delivery {
                tag: DeliveryTag(tag),
                redelivered: returns > 0,
                routing_key: message.routing_key,
                message_id: Some(message.message_id),
                headers: message.headers,
                body: message.body,
            }
        })
        .collect()
    }
}

/// A subscription; dropping it gives back what is not acknowledged.
struct MemorySubscription {
    bus: MemoryBus,
    id: u64,
}

impl MemorySubscription {
    fn with<T>(&self, work: impl FnOnce(&mut Consumer) -> T) -> Result<T, BusUnavailable> {
        let mut state = self.bus.state();
        let consumer = state.consumers.get_mut(&self.id);
        consumer.map(work).ok_or_else(|| BusUnavailable("disconnected on demand".to_owned()))
    }

    async fn available(&self, at_least: u64) -> Result<(), BusUnavailable> {
        poll_fn(|context| match self.with(|consumer| consumer.poll_available(at_least, context)) {
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Ok(Poll::Pending) => Poll::Pending,
            Err(ended) => Poll::Ready(Err(ended)),
        })
        .await
    }
}

impl Subscription for MemorySubscription {
    fn receive(&mut self, linger: Linger) -> BoxFuture<'_, Result<Vec<Delivery>, BusUnavailable>> {
        Box::pin(async move {
            yielding().await;
            let most = u64::try_from(linger.messages_max.max(1)).unwrap_or(u64::MAX);
            self.available(1).await?;
            let over = self.bus.handle.sleep(linger.after_first);
            select(pin!(self.available(most)), over).await;
            self.with(|consumer| consumer.receive(most))
        })
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        Box::pin(async move {
            yielding().await;
            let queue = self.with(|consumer| {
                if tag.0 > consumer.received {
                    return Err(BusUnavailable(format!("delivery {} was never received here", tag.0)));
                }
                consumer.unacknowledged = consumer.unacknowledged.split_off(&(tag.0 + 1));
                Ok(consumer.queue)
            })??;
            self.bus.state().deliver(queue);
            Ok(())
        })
    }

    fn widen(&mut self, prefetch: u16) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        Box::pin(async move {
            yielding().await;
            let queue = self.with(|consumer| {
                consumer.prefetch = prefetch.max(1).into();
                consumer.queue
            })?;
            self.bus.state().deliver(queue);
            Ok(())
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            yielding().await;
            drop(self);
        })
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.bus.state().end(self.id);
    }
}

/// Lets whatever else is ready run first, on any executor.
async fn yielding() {
    let mut yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
