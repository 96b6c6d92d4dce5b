//! Alerts: a finding reaches a person, once.
//!
//! What is to be said stands in the database before it is said, one row for each finding and route, so that it survives a
//! crash and is one however many runs and auditors see the finding. Each route has a loop that claims what is due, sends it
//! and settles it. Attempts that fail are repeated, a finding that still stands is told again, one that has healed is
//! resolved. While the database cannot be written, the same is sent from memory under the same keys.

mod backoff;
mod config;
mod direct;
mod finding;
mod key;
mod log;
mod metrics;
mod notice;
mod pagerduty;
mod post;
mod private;
mod secret;
mod slack;
mod webhook;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use audit_postgres::{AlertAction, AlertDue, AlertSettled, AlertWanted, AuditStore, AuditStoreError};
use futures_util::future::join_all;
use handle::{CrashPoint, Handle};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use config::{LOG_ROUTE, Route, Settings, Target};
use direct::{Direct, DirectDue, Now};
pub use finding::{CHECK_AUDIT, Difference, Head, OpenFinding, Severity, SeverityUnknown, Standing};
use metrics::{Metrics, Outcome};
use notice::{News, Notice, Occasion, Sender, masked};
use post::{Failure, Post};

/// How often a route looks for what others have put there, and for what has become due.
const POLL: Duration = Duration::from_secs(2);

/// How long the database may take to say what is due, before what is in memory has its turn.
const OUTBOX_TIMEOUT: Duration = Duration::from_secs(5);

/// Beyond the time of an attempt, until what a crashed auditor had claimed is due again.
const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// Raises alerts and sends them. Cheap to clone.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

struct Inner {
    store: AuditStore,
    handle: Handle,
    sender: Sender,
    remind_every: Duration,
    retry_first: Duration,
    lease: Duration,
    routes: Vec<Route>,
    /// None if there is only the log.
    post: Option<Post>,
    metrics: Metrics,
    memory: Mutex<Memory>,
    news: Notify,
}

/// What this process knows without the database.
#[derive(Debug, Default)]
struct Memory {
    direct: Direct,
    /// Which findings the outbox last said that routes have been told of.
    told: BTreeSet<(String, String)>,
}

/// What a row of the outbox holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Content {
    #[serde(flatten)]
    finding: OpenFinding,
    head: Option<Head>,
}

/// What is due, and where that is written.
enum Due {
    Outbox(AlertDue),
    Direct(DirectDue),
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alerts")
    }
}

impl Alerts {
    /// To these routes and to the log. `store` has its own connections: a run may hold all of another's.
    pub fn new(
        settings: &Settings,
        store: AuditStore,
        handle: Handle,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let routes: Vec<Route> = settings.routes.iter().cloned().chain([Route::log()]).collect();
        let metrics = Metrics::register(registry, &routes);
        let post = if settings.routes.is_empty() {
            None
        } else {
            Some(Post::new(settings, handle.clone()).context("find out whom alerts trust over TLS")?)
        };
        Ok(Self(Arc::new(Inner {
            store,
            handle,
            sender: Sender {
                source: settings.source.clone(),
                runbook_base_url: settings.runbook_base_url.clone(),
                trace_url: settings.trace_url.clone(),
            },
            remind_every: settings.remind_every,
            retry_first: settings.retry_first,
            lease: settings.timeout.saturating_add(LEASE_MARGIN),
            routes,
            post,
            metrics,
            memory: Mutex::default(),
            news: Notify::new(),
        })))
    }

    /// These findings stand open and no others: who is to be told hears of what is new and of what has healed. Where the
    /// database does not take it, it is sent all the same.
    pub async fn stand(&self, standing: &Standing) {
        let wanted = self.0.wanted(standing);
        let handed = self.0.memory().direct.handover(self.0.now());
        let storing = self.0.store.stand_alerts(standing.as_of, &wanted, &handed);
        let stored = self.0.handle.within(OUTBOX_TIMEOUT, storing).await;
        let now = self.0.now();
        let mut memory = self.0.memory();
        match stored.unwrap_or_else(|| Err(AuditStoreError::Unavailable("no answer in time".to_owned()))) {
            Ok(outbox) => {
                memory.direct.forget(&handed);
                memory.told = outbox.told;
                for route in &self.0.routes {
                    self.0.metrics.failing(route, outbox.failing.contains(&route.name));
                }
            }
            Err(error) => {
                tracing::error!(%error, "Alerts cannot be stored; they are sent all the same");
                let open = wanted.iter().map(|wanted| wanted.finding_key.as_str()).collect();
                memory.direct.resolve_others(&open, now);
                for wanted in wanted {
                    memory.raise_untold(wanted, now);
                }
            }
        }
        drop(memory);
        self.0.news.notify_waiters();
    }

    /// A run could not read the books, or not store what it found: told at once and without the database, which may be what
    /// is away. The next [`Self::stand`] resolves it.
    pub fn cannot_read(&self, error: &AuditStoreError) {
        self.raise_directly(vec![OpenFinding::cannot_read(error, self.0.now().wall)]);
    }

    /// These findings stand and cannot be stored: told without the database, unless it has said that they were. Says nothing
    /// about any other finding.
    pub fn raise_directly(&self, open: Vec<OpenFinding>) {
        let now = self.0.now();
        let wanted = self.0.wanted(&Standing { as_of: now.wall, open, head: None });
        let mut memory = self.0.memory();
        for wanted in wanted {
            memory.raise_untold(wanted, now);
        }
        drop(memory);
        self.0.news.notify_waiters();
    }

    /// Sends what is due, on every route at its own pace, until the stop; what is in hand is finished.
    pub async fn run(&self, stop: &CancellationToken) {
        join_all(self.0.routes.iter().map(|route| self.0.run_route(route, stop))).await;
        let untold = self.0.memory().direct.untold();
        if untold > 0 {
            tracing::error!(
                count = untold,
                "Stopped with alerts that nobody was told of and no database has"
            );
        }
    }
}

impl Memory {
    fn raise_untold(&mut self, wanted: AlertWanted, now: Now) {
        let place = (wanted.finding_key.clone(), wanted.route.clone());
        if !self.told.contains(&place) {
            self.direct.raise(wanted, now);
        }
    }
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        let wall = Timestamp::from_millisecond(self.handle.now().0).unwrap_or(Timestamp::UNIX_EPOCH);
        Now { monotonic: self.handle.monotonic(), wall }
    }

    /// One for each finding and each route that takes it.
    fn wanted(&self, standing: &Standing) -> Vec<AlertWanted> {
        let mut wanted = BTreeMap::new();
        for finding in &standing.open {
            let finding_key = key::finding_key(&finding.key);
            let dedup_key = key::dedup_key(&self.sender.source, &finding.key);
            let content = Content { finding: masked(finding.clone()), head: standing.head.clone() };
            // Texts, numbers and maps with text keys: always JSON.
            let content = serde_json::to_value(content).unwrap_or_default();
            for route in self.routes.iter().filter(|route| route.takes(finding)) {
                let place = (finding_key.clone(), route.name.clone());
                let (finding_key, route) = place.clone();
                let (dedup_key, content) = (dedup_key.clone(), content.clone());
                wanted.insert(place, AlertWanted { finding_key, route, dedup_key, content });
            }
        }
        wanted.into_values().collect()
    }

    async fn run_route(&self, route: &Route, stop: &CancellationToken) {
        let mut failures: u32 = 0;
        while !stop.is_cancelled() {
            // Asked for before looking, so that what comes while looking is not missed.
            let news = self.news.notified();
            let pause = match self.due(route).await {
                None => Some(POLL),
                Some(due) => self.attempt(route, due, &mut failures).await,
            };
            let Some(pause) = pause else { continue };
            let quiet = failures == 0;
            tokio::select! {
                () = stop.cancelled() => {}
                () = news, if quiet => {}
                () = self.handle.sleep(pause) => {}
            }
        }
    }

    /// What is due on a route: what is in memory first, for the database may be away.
    async fn due(&self, route: &Route) -> Option<Due> {
        let now = self.now();
        if let Some(due) = self.memory().direct.claim(&route.name, now) {
            return Some(Due::Direct(due));
        }
        let number = i64::from_be_bytes(self.handle.random());
        let claiming = self.store.claim_alert(&route.name, number, self.lease);
        // Whether the database answers is said by the runs, which need it too.
        let claimed = self.handle.within(OUTBOX_TIMEOUT, claiming).await?;
        claimed.ok().flatten().map(Due::Outbox)
    }

    /// One attempt. Answers how long the route is to be left alone; at once for the next message after a success.
    async fn attempt(&self, route: &Route, due: Due, failures: &mut u32) -> Option<Duration> {
        let tried = match due.notice(&self.sender, self.now().wall) {
            Ok(notice) => self.tell(route, &notice).await,
            Err(failure) => Err(failure),
        };
        let (outcome, settled) = match tried {
            Ok(()) => {
                *failures = 0;
                (Outcome::Sent, AlertSettled::Sent { again: self.again(&due) })
            }
            Err(Failure::Later { why, asked }) => {
                *failures = failures.saturating_add(1);
                let in_a_row = due.attempts().max(*failures);
                let random = u16::from_be_bytes(self.handle.random());
                let after = backoff::delay(self.retry_first, in_a_row, asked, random);
                let (key, attempts, retry_s) = (due.dedup_key(), due.attempts(), after.as_secs());
                tracing::warn!(
                    route = route.name,
                    key,
                    error = why,
                    attempts,
                    retry_s,
                    "An alert was not delivered"
                );
                (Outcome::Retried, AlertSettled::Retry { after, failure: why })
            }
            Err(Failure::Refused { why }) => {
                *failures = 0;
                let key = due.dedup_key();
                tracing::error!(
                    route = route.name,
                    key,
                    error = why,
                    "An alert was refused; nobody was told"
                );
                (Outcome::Failed, AlertSettled::Failed { again: self.again(&due), failure: why })
            }
        };
        CrashPoint::AuditorAlertSent.pass();
        self.settle(&due, &settled).await;
        self.metrics.attempted(route, outcome);
        if let AlertSettled::Retry { after, .. } = settled { Some(after) } else { None }
    }

    async fn tell(&self, route: &Route, notice: &Notice) -> Result<(), Failure> {
        match (&route.target, &self.post) {
            (Target::Log, _) | (_, None) => {
                log::write(notice);
                Ok(())
            }
            (target, Some(post)) => post.send(target, notice, self.now().wall).await,
        }
    }

    /// When to say it again: a reminder for as long as nobody has said that they know.
    fn again(&self, due: &Due) -> Option<Duration> {
        let stands = due.action() == AlertAction::Trigger;
        let acknowledged = due.content().get("acknowledged").is_some_and(|known| *known == true);
        (stands && !acknowledged).then_some(self.remind_every)
    }

    async fn settle(&self, due: &Due, settled: &AlertSettled) {
        match due {
            Due::Direct(due) => {
                let now = self.now();
                self.memory().direct.settle(due, settled, now);
            }
            Due::Outbox(due) => {
                let settling = self.store.settle_alert(due, settled);
                let settled = self.handle.within(OUTBOX_TIMEOUT, settling).await;
                if settled.is_none_or(|settled| settled.is_err()) {
                    // It is due again when its lease is over, and is sent again under the same key.
                    tracing::warn!(key = due.dedup_key, "It could not be stored that an alert was sent");
                }
            }
        }
    }
}

impl Due {
    fn action(&self) -> AlertAction {
        match self {
            Self::Outbox(due) => due.action,
            Self::Direct(due) => due.action,
        }
    }

    fn content(&self) -> &serde_json::Value {
        match self {
            Self::Outbox(due) => &due.content,
            Self::Direct(due) => &due.wanted.content,
        }
    }

    fn dedup_key(&self) -> &str {
        match self {
            Self::Outbox(due) => &due.dedup_key,
            Self::Direct(due) => &due.wanted.dedup_key,
        }
    }

    fn attempts(&self) -> u32 {
        match self {
            Self::Outbox(due) => due.attempts,
            Self::Direct(due) => due.attempts,
        }
    }

    fn notice(&self, sender: &Sender, at: Timestamp) -> Result<Notice, Failure> {
        let unreadable = |_| Failure::Refused { why: "written by another version".to_owned() };
        let Content { finding, head } = Content::deserialize(self.content()).map_err(unreadable)?;
        let (told, opened_at, notifications) = match self {
            Self::Outbox(due) => (due.told, due.opened_at, due.notifications),
            Self::Direct(due) => (due.notifications > 0, due.opened_at, due.notifications),
        };
        let news = match self.action() {
            AlertAction::Resolve => News::Healed,
            AlertAction::Trigger if told => News::Reminder,
            AlertAction::Trigger => News::Opened,
        };
        let dedup_key = self.dedup_key().to_owned();
        let occasion = Occasion { news, dedup_key, opened_at, notifications, at };
        Ok(Notice::new(sender, occasion, finding, head))
    }
}
