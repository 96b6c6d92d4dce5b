//! The books in memory: one message after the other, no server, and failures on demand.

mod desk;
mod kept;
mod pages;

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{Account, ActionId, ActionKind, Entry, EventKey, Livemode, MovementKey, ProviderAccount};
use ports::{Acted, Assess, Books, BooksError, BoxFuture, Record, Recorded};
use wire::{ControlTotal, InstanceId, Request, Sequence};

pub use kept::{ActionKept, DeliveryKept, Effect, EventKept, StatusKept, Target, TotalKept, TransactionKept};
use pages::Rules;
pub use pages::{Pages, RefusalKey};

/// What befalls one call of `record`, `count`, `act` or `probe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BooksFault {
    /// Nothing.
    None,
    /// It is not done, and the caller learns that the books are away.
    Away,
    /// It is committed, and the caller learns only that the books are away.
    AnswerLost,
}

/// The books, in memory. Deterministic: no clock and no randomness; everything is kept in the order of its keys.
#[derive(Debug, Default)]
pub struct MemoryBooks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pages: Pages,
    down: bool,
    faults: VecDeque<BooksFault>,
    rules: Rules,
    watcher: Option<Watcher>,
}

/// Is shown what every commit changes: the pages before and after.
type Watcher = Box<dyn Fn(&Pages, &Pages) + Send>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("pages", &self.pages).field("down", &self.down).finish_non_exhaustive()
    }
}

/// One balance: the book it is in, the account, the currency's code.
pub type BalanceKey = (ProviderAccount, Livemode, Account, &'static str);

impl MemoryBooks {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is away for every call, or no longer.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// What befalls the next calls, in order; afterwards nothing does.
    pub fn inject(&self, faults: impl IntoIterator<Item = BooksFault>) {
        self.state().faults.extend(faults);
    }

    /// Refuses from now on every batch that would file this event as an event. As evidence it is taken.
    pub fn refuse(&self, key: EventKey) {
        self.state().rules.refused.insert(key);
    }

    /// Has `tamper` change the entries of every new transaction on their way. What does not balance then is refused.
    pub fn tamper(&self, tamper: impl Fn(&MovementKey, &mut Vec<Entry>) + Send + 'static) {
        self.state().rules.tampering = Some(Box::new(tamper));
    }

    /// Switches off what refuses entries that do not balance.
    pub fn unguard(&self) {
        self.state().rules.unguarded = true;
    }

    /// Does what no rule of the books admits, as only a superuser can.
    pub fn edit(&self, edit: impl FnOnce(&mut Pages)) {
        let mut state = self.state();
        let mut pages = state.pages.clone();
        edit(&mut pages);
        if let Some(watcher) = &state.watcher {
            watcher(&state.pages, &pages);
        }
        state.pages = pages;
    }

    /// Shows `watcher` the pages before and after every commit, at its instant.
    pub fn watch(&self, watcher: impl Fn(&Pages, &Pages) + Send + 'static) {
        self.state().watcher = Some(Box::new(watcher));
    }

    /// Looks at all that is committed.
    pub fn look<T>(&self, look: impl FnOnce(&Pages) -> T) -> T {
        look(&self.state().pages)
    }

    /// Every event.
    pub fn events(&self) -> BTreeMap<EventKey, EventKept> {
        self.state().pages.events.clone()
    }

    /// Every message.
    pub fn deliveries(&self) -> BTreeMap<(InstanceId, Sequence), DeliveryKept> {
        self.state().pages.deliveries.clone()
    }

    /// Every transaction.
    pub fn transactions(&self) -> BTreeMap<MovementKey, TransactionKept> {
        self.state().pages.transactions.clone()
    }

    /// Every control total, by instance and window.
    pub fn totals(&self) -> BTreeMap<(InstanceId, u64), TotalKept> {
        self.state().pages.totals.clone()
    }

    /// Every count of refusals.
    pub fn refusals(&self) -> BTreeMap<RefusalKey, u64> {
        self.state().pages.refusals.clone()
    }

    /// Every action of an operator, with what came of it.
    pub fn actions(&self) -> BTreeMap<ActionId, ActionKept> {
        self.state().pages.actions.clone()
    }

    /// Puts an operator's action down; nothing happens until somebody acts on it.
    pub fn ask(&self, kind: ActionKind, target: Target) -> ActionId {
        let actions = &mut self.state().pages.actions;
        let id = ActionId(actions.last_key_value().map_or(1, |(ActionId(last), _)| last + 1));
        actions.insert(id, ActionKept { kind, target, effect: None });
        id
    }

    /// Debits minus credits of every account, in minor units.
    pub fn trial_balance(&self) -> BTreeMap<BalanceKey, i128> {
        let mut balances = BTreeMap::new();
        for (key, kept) in &self.state().pages.transactions {
            for entry in &kept.entries {
                let account = (
                    key.account.clone(),
                    key.livemode,
                    entry.account.clone(),
                    entry.amount.currency().code(),
                );
                *balances.entry(account).or_default() += i128::from(entry.amount.minor());
            }
        }
        balances
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One database transaction, atomic in itself, between two instants at which others may run.
    async fn commit<T>(
        &self,
        work: impl FnOnce(&mut Pages, &Rules) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        self.answer(|state| {
            let mut pages = state.pages.clone();
            let value = work(&mut pages, &state.rules)?;
            if let Some(watcher) = &state.watcher {
                watcher(&state.pages, &pages);
            }
            state.pages = pages;
            Ok(value)
        })
        .await
    }

    async fn answer<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, BooksError>,
    ) -> Result<T, BooksError> {
        yielding().await;
        let (value, fault) = {
            let mut state = self.state();
            let fault = state.faults.pop_front().unwrap_or(BooksFault::None);
            if state.down || fault == BooksFault::Away {
                return Err(BooksError::Unavailable("away on demand".to_owned()));
            }
            (work(&mut state)?, fault)
        };
        yielding().await;
        match fault {
            BooksFault::AnswerLost => Err(BooksError::Unavailable("answer lost on demand".to_owned())),
            BooksFault::None | BooksFault::Away => Ok(value),
        }
    }
}

impl Books for MemoryBooks {
    fn record<'a>(&'a self, batch: &'a [Record]) -> BoxFuture<'a, Result<Vec<Recorded>, BooksError>> {
        Box::pin(self.commit(move |pages, rules| {
            let mut order: Vec<(usize, &Record)> = batch.iter().enumerate().collect();
            order.sort_by_key(|(_, Record { delivery, .. })| {
                (delivery.origin.instance, delivery.origin.sequence)
            });
            let mut answers = BTreeMap::new();
            for (position, record) in order {
                answers.insert(position, pages.record(record, rules)?);
            }
            Ok(answers.into_values().collect())
        }))
    }

    fn count<'a>(&'a self, total: &'a ControlTotal) -> BoxFuture<'a, Result<(), BooksError>> {
        Box::pin(self.commit(move |pages, _| pages.count(total)))
    }

    fn act<'a>(
        &'a self,
        request: Request,
        assess: &'a Assess,
    ) -> BoxFuture<'a, Result<Option<Acted>, BooksError>> {
        Box::pin(self.commit(move |pages, rules| Ok(pages.act(request.action, assess, rules))))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), BooksError>> {
        Box::pin(self.answer(|_| Ok(())))
    }
}

/// Gives every other task of the executor a turn.
async fn yielding() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
