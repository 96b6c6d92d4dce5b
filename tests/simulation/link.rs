//! The network between a process and its servers: at every await something may go wrong.

use core::future::pending;
use core::time::Duration;
use std::sync::Arc;

use ledger::EventKey;
use ports::{
    Acted, Ask, Assess, Books, BooksError, BoxFuture, Bus, BusUnavailable, Claim, Delivery, DeliveryTag,
    Exchange, Filing, Held, Linger, NotConfirmed, Outgoing, Promotion, Queue, Record, Recorded, Replay,
    ReplayUnavailable, Settled, Subscription, header,
};
use testkit::simulation::Process;
use wire::{ControlTotal, Request};

use crate::world::World;

/// How long an operation on the cache may take.
const REPLAY_BUDGET: Duration = Duration::from_millis(50);

/// How long a confirm may take.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(2);

/// How long a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// What befalls an operation.
enum Mishap {
    /// It never arrives.
    Lost,
    /// It is done, whenever, and the answer never arrives.
    AnswerLost,
    /// It arrives after this long, whether or not anybody waits for it still.
    Late(Duration),
}

/// One process's connections.
pub(crate) struct Link {
    world: Arc<World>,
    process: Process,
}

impl Link {
    pub(crate) fn new(world: Arc<World>, process: Process) -> Arc<Self> {
        Arc::new(Self { world, process })
    }

    fn mishap(&self, permille: u64) -> Option<Mishap> {
        let dice = &self.world.dice;
        if !dice.permille(permille) {
            return None;
        }
        let after = Duration::from_millis(dice.pick(&[1, 10, 40, 100, 1_500, 9_000, 20_000]));
        Some(match dice.below(3) {
            0 => Mishap::Lost,
            1 => Mishap::AnswerLost,
            _ => Mishap::Late(after),
        })
    }

    /// Carries an operation out at its server; `None` when no answer comes within `limit`.
    async fn carry<T: Send + 'static>(
        &self,
        mishap: Mishap,
        limit: Duration,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let home = &self.world.handle;
        match mishap {
            Mishap::Lost => drop(operation),
            Mishap::AnswerLost => drop(home.spawn("carry", operation)),
            Mishap::Late(after) => {
                let clock = home.clone();
                let late = home.spawn("carry", async move {
                    clock.sleep(after).await;
                    operation.await
                });
                return home.within(limit, late).await.flatten();
            }
        }
        // A connection that breaks is noticed at once, one that hangs is not.
        if self.world.dice.permille(500) {
            home.sleep(limit).await;
        }
        None
    }
}

fn unavailable() -> ReplayUnavailable {
    ReplayUnavailable("the network".to_owned())
}

fn away() -> BooksError {
    BooksError::Unavailable("the network".to_owned())
}

fn cut() -> BusUnavailable {
    BusUnavailable("the network".to_owned())
}

impl Replay for Link {
    fn claim<'a>(&'a self, key: &'a EventKey, ask: Ask) -> BoxFuture<'a, Result<Claim, ReplayUnavailable>> {
        Box::pin(async move {
            let Some(mishap) = self.mishap(self.world.weather().replay) else {
                return self.world.replay.claim(key, ask).await;
            };
            let (replay, key) = (Arc::clone(&self.world.replay), key.clone());
            let claim = async move { replay.claim(&key, ask).await };
            self.carry(mishap, REPLAY_BUDGET, claim).await.unwrap_or_else(|| Err(unavailable()))
        })
    }

    fn promote<'a>(
        &'a self,
        key: &'a EventKey,
        held: Held,
        to: Promotion,
        now: ledger::UnixMillis,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        Box::pin(async move {
            let owner = held.record.owner;
            let promoted = match self.mishap(self.world.weather().replay) {
                None => self.world.replay.promote(key, held, to, now).await,
                Some(mishap) => {
                    let (replay, key) = (Arc::clone(&self.world.replay), key.clone());
                    let promote = async move { replay.promote(&key, held, to, now).await };
                    self.carry(mishap, REPLAY_BUDGET, promote).await.unwrap_or_else(|| Err(unavailable()))
                }
            };
            if promoted == Ok(true) && to == Promotion::Released {
                self.world.witness.released(owner);
            }
            promoted
        })
    }

    fn settle<'a>(
        &'a self,
        key: &'a EventKey,
        settled: Settled,
    ) -> BoxFuture<'a, Result<(), ReplayUnavailable>> {
        Box::pin(async move {
            let Some(mishap) = self.mishap(self.world.weather().replay) else {
                return self.world.replay.settle(key, settled).await;
            };
            let (replay, key) = (Arc::clone(&self.world.replay), key.clone());
            let settle = async move { replay.settle(&key, settled).await };
            self.carry(mishap, REPLAY_BUDGET, settle).await.unwrap_or_else(|| Err(unavailable()))
        })
    }
}

impl Bus for Link {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), NotConfirmed>> {
        Box::pin(async move {
            let events = message.exchange == Exchange::Events;
            let id = if events { self.world.witness.publishes(&message) } else { None };
            if let (false, Some(event_id)) = (events, message.headers.value(header::EVENT_ID)) {
                self.world.witness.announces(event_id);
            }
            let (bus, witness) = (Arc::clone(&self.world.bus), Arc::clone(&self.world.witness));
            let twice = self.world.dice.permille(self.world.weather().bus / 10).then(|| message.clone());
            // The broker's side goes on when the publisher has gone.
            let publish = async move {
                let published = bus.publish(message).await;
                if let (Ok(()), Some(id)) = (&published, id) {
                    witness.kept(id);
                }
                match twice {
                    Some(again) => published.and(bus.publish(again).await),
                    None => published,
                }
            };
            let published = match self.mishap(self.world.weather().bus) {
                None => self
                    .world
                    .handle
                    .spawn("publish", publish)
                    .await
                    .unwrap_or(Err(NotConfirmed::Unreachable)),
                Some(_) if self.world.dice.permille(200) => Err(NotConfirmed::Refused),
                Some(mishap) => {
                    let carried = self.carry(mishap, CONFIRM_DEADLINE, publish).await;
                    let lost = self.world.dice.pick(&[NotConfirmed::Unreachable, NotConfirmed::Deadline]);
                    carried.unwrap_or(Err(lost))
                }
            };
            if let (Ok(()), Some(id)) = (&published, id) {
                self.world.witness.confirmed(id);
            }
            published
        })
    }

    fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, BusUnavailable>> {
        Box::pin(async move {
            if self.mishap(self.world.weather().bus).is_some() {
                return Err(cut());
            }
            let inner = Some(self.world.bus.subscribe(queue, prefetch).await?);
            let subscription: Box<dyn Subscription> =
                Box::new(Stream { world: Arc::clone(&self.world), inner });
            Ok(subscription)
        })
    }

    fn ready(&self) -> bool {
        self.world.bus.ready()
    }
}

/// A subscription over a network that may fail.
struct Stream {
    world: Arc<World>,
    inner: Option<Box<dyn Subscription>>,
}

impl Stream {
    fn inner(&mut self) -> Result<&mut dyn Subscription, BusUnavailable> {
        match &mut self.inner {
            Some(inner) => Ok(inner.as_mut()),
            None => Err(cut()),
        }
    }

    /// The connection ends here, perhaps.
    fn hazard(&mut self) {
        if self.world.dice.permille(self.world.weather().bus / 4) {
            self.inner = None;
            self.world.disconnected();
        }
    }
}

impl Subscription for Stream {
    fn receive(&mut self, linger: Linger) -> BoxFuture<'_, Result<Vec<Delivery>, BusUnavailable>> {
        Box::pin(async move {
            let received = self.inner()?.receive(linger).await;
            self.hazard();
            received
        })
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        Box::pin(async move {
            self.hazard();
            let acknowledged = self.inner()?.ack_through(tag).await;
            self.hazard();
            self.inner()?;
            acknowledged
        })
    }

    fn widen(&mut self, prefetch: u16) -> BoxFuture<'_, Result<(), BusUnavailable>> {
        Box::pin(async move { self.inner()?.widen(prefetch).await })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(inner) = self.inner {
                inner.close().await;
            }
        })
    }
}

impl Link {
    /// A record that its process does not survive.
    async fn poisoned(&self, batch: &[Record]) {
        let Some(poison) = self.world.plan.poison else { return };
        let witness = &self.world.witness;
        let poisonous = |record: &Record| match &record.filing {
            Filing::Event(event) => witness.content_of(&event.event) == Some(poison),
            Filing::Evidence { .. } => false,
        };
        if batch.iter().any(poisonous) {
            self.world.poisoned();
            self.process.kill();
            pending::<()>().await;
        }
    }
}

impl Books for Link {
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>> {
        Box::pin(async move {
            self.poisoned(batch).await;
            let Some(mishap) = self.mishap(self.world.weather().books) else {
                return self.world.books.record(batch).await;
            };
            let (books, batch) = (Arc::clone(&self.world.books), batch.to_vec());
            let record = async move { books.record(&batch).await };
            self.carry(mishap, STATEMENT_TIMEOUT, record).await.unwrap_or_else(|| Err(away()))
        })
    }

    fn count<'a>(&'a self, total: &'a ControlTotal) -> BoxFuture<'a, Result<(), BooksError>> {
        Box::pin(async move {
            let Some(mishap) = self.mishap(self.world.weather().books) else {
                return self.world.books.count(total).await;
            };
            let (books, total) = (Arc::clone(&self.world.books), total.clone());
            let count = async move { books.count(&total).await };
            self.carry(mishap, STATEMENT_TIMEOUT, count).await.unwrap_or_else(|| Err(away()))
        })
    }

    fn act<'a>(
        &'a self,
        request: Request,
        assess: &'a Assess,
    ) -> BoxFuture<'a, Result<Option<Acted>, BooksError>> {
        Box::pin(async move {
            match self.mishap(self.world.weather().books) {
                Some(Mishap::Lost) => Err(away()),
                Some(Mishap::AnswerLost | Mishap::Late(_)) => {
                    self.world.books.act(request, assess).await?;
                    Err(away())
                }
                None => self.world.books.act(request, assess).await,
            }
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>> {
        Box::pin(async move {
            if self.mishap(self.world.weather().books).is_some() {
                return Err(away());
            }
            self.world.books.probe().await
        })
    }
}
