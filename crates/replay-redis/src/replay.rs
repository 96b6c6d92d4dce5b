//! The port, on Redis.

use core::fmt;
use core::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolConfig, QueueMode, Runtime, Timeouts, redis};
use ledger::{EventKey, UnixMillis};
use ports::{
    Ask, BoxFuture, Claim, ClaimRecord, ClaimTimes, Handle, Held, Judgement, Promotion, Replay,
    ReplayUnavailable, Settled,
};
use tls::Tls;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::breaker::Breaker;
use crate::commands::{Commands, refused, unreachable};
use crate::key::{KeyNames, derived};
use crate::seal::Seal;
use crate::settings::{Settings, SettingsInvalid};

/// How long a connection may take to come about, unless the budget is longer. It does so in its own task, whoever waits for it: a handshake that is
/// slower than one operation's budget must not be begun anew for ever.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// How long the trace of a readiness probe stays.
const PROBE_TTL_MS: i64 = 1_000;

/// How often a claim that meets a changed value looks again, and what it says then.
const LOOKS_MAX: u32 = 3;
const CONTENDED_RETRY_MS: i64 = 1_000;

/// Claims on events, sealed, in Redis.
pub struct RedisReplay {
    handle: Handle,
    pool: Pool,
    tls: Tls,
    host: String,
    commands: Commands,
    breaker: Breaker,
    names: KeyNames,
    seal: Seal,
    budget: Duration,
    times: ClaimTimes,
    probe_key: String,
}

impl fmt::Debug for RedisReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplay").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl RedisReplay {
    /// On the Redis of these settings. Connects when it is first used; an absent Redis is no error here.
    pub fn new(settings: &Settings, handle: Handle) -> Result<Self, SettingsInvalid> {
        let secret = settings.secret()?;
        // The budget and the pool's limits bound every wait.
        let connecting =
            redis::AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let server = settings.connection_info()?;
        let host = server.addr().to_string();
        let manager = Manager::new_with_config(server, connecting).map_err(|_| SettingsInvalid::Url)?;
        let mut config = PoolConfig::new(settings.connections_max.max(1));
        config.timeouts = Timeouts {
            wait: Some(settings.budget),
            create: Some(CONNECT_MAX.max(settings.budget)),
            recycle: Some(settings.budget),
        };
        config.queue_mode = QueueMode::Lifo;
        let pool = Pool::builder(manager)
            .config(config)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| SettingsInvalid::Url)?;
        Ok(Self {
            handle,
            pool,
            tls: settings.tls.clone(),
            host,
            commands: Commands::new(),
            breaker: Breaker::new(settings.failures_max.max(1), settings.pause),
            names: KeyNames::new(
                &derived(secret, "countersign replay key names v1"),
                &settings.key_prefix,
                settings.epoch,
            ),
            seal: Seal::new(&derived(secret, "countersign replay sealing v1")),
            budget: settings.budget,
            times: settings.times,
            probe_key: format!("{}ready", settings.key_prefix),
        })
    }

    /// Whether claims can be made: the command of a claim, on a key of its own, within the budget. So a Redis that is
    /// read-only, full or too old is not ready. Asks it even while the circuit is open, and leaves that as it is.
    pub async fn ready(&self) -> Result<(), ReplayUnavailable> {
        self.in_budget(async {
            let mut redis = self.connection().await?;
            let probed = self.commands.store_if_absent(&mut redis, &self.probe_key, b"", PROBE_TTL_MS).await;
            probed.map(drop).map_err(|error| refused(&error))
        })
        .await
    }

    async fn claimed(&self, key: &EventKey, ask: Ask) -> Result<Claim, ReplayUnavailable> {
        let name = self.names.name(key);
        let mut redis = self.connection().await?;
        let mut mine = self.held(&name, ClaimRecord::claimed(&ask, self.times), ask.retention_ms);
        let stored = self.commands.store_if_absent(&mut redis, &name, &mine.exact, ask.retention_ms).await;
        let mut present = stored.map_err(|error| refused(&error))?;
        for _ in 0..LOOKS_MAX {
            let Some(old) = present else { return Ok(Claim::Taken(mine)) };
            // What does not open is nobody's claim: forged, copied from another key, or from another secret.
            mine = match self.seal.open(&name, old.bytes()).map(|record| record.judge(&ask, self.times)) {
                None => self.held(&name, ClaimRecord::claimed(&ask, self.times), ask.retention_ms),
                Some(Judgement::Free(record)) => self.held(&name, record, ask.retention_ms),
                Some(Judgement::Answer(answer)) => return Ok(answer),
            };
            let taken = self.commands.take(&mut redis, &name, &old, &mine.exact, ask.retention_ms).await;
            present = taken.map_err(|error| refused(&error))?;
        }
        Ok(match present {
            None => Claim::Taken(mine),
            Some(_) => Claim::InFlight { retry_after_ms: CONTENDED_RETRY_MS },
        })
    }

    async fn promoted(
        &self,
        key: &EventKey,
        held: Held,
        to: Promotion,
        now: UnixMillis,
    ) -> Result<bool, ReplayUnavailable> {
        let name = self.names.name(key);
        let mut redis = self.connection().await?;
        let next = held.record.promoted(to, now, self.times, held.retention_ms);
        let value = self.sealed(&name, &next);
        let replaced = self.commands.replace(&mut redis, &name, &held.exact, &value).await;
        replaced.map_err(|error| refused(&error))
    }

    async fn settled(&self, key: &EventKey, settled: Settled) -> Result<(), ReplayUnavailable> {
        let name = self.names.name(key);
        let mut redis = self.connection().await?;
        let ttl_ms = settled.retention_ms;
        let value = self.sealed(&name, &settled.into_record());
        let stored = self.commands.store(&mut redis, &name, &value, ttl_ms).await;
        stored.map_err(|error| refused(&error))
    }

    fn held(&self, name: &str, record: ClaimRecord, retention_ms: i64) -> Held {
        Held { exact: self.sealed(name, &record), record, retention_ms }
    }

    fn sealed(&self, name: &str, record: &ClaimRecord) -> Vec<u8> {
        self.seal.seal(name, self.handle.random(), record)
    }

    async fn connection(&self) -> Result<Connection, ReplayUnavailable> {
        let found = if self.pool.status().available > 0 {
            self.pool.get().await
        } else {
            let pool = self.pool.clone();
            let made = self.handle.spawn("connect-redis", async move { pool.get().await }).await;
            made.ok_or_else(|| ReplayUnavailable("connecting to Redis failed".to_owned()))?
        };
        found.map_err(|error| match self.tls.explain(&self.host, &error) {
            Some(why) => ReplayUnavailable(why),
            None => unreachable(&error),
        })
    }

    /// A span for what Redis is asked, by OpenTelemetry's conventions for databases; never with a key or a value.
    fn span(&self, command: &'static str, purpose: &'static str) -> Span {
        let (address, port) = self.host.rsplit_once(':').unwrap_or((&self.host, ""));
        tracing::info_span!(
            "redis",
            otel.name = command,
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = "redis",
            db.operation.name = command,
            server.address = address,
            server.port = port.parse::<u16>().ok(),
            "error.type" = Empty,
            purpose,
            outcome = Empty,
        )
    }

    /// Asks Redis within a span, unless it has failed too often just now; `outcome` is the answer in a word.
    async fn asked<T>(
        &self,
        (command, purpose): (&'static str, &'static str),
        work: impl Future<Output = Result<T, ReplayUnavailable>>,
        outcome: impl FnOnce(&T) -> &'static str,
    ) -> Result<T, ReplayUnavailable> {
        let span = self.span(command, purpose);
        let answer = self.guarded(work).instrument(span.clone()).await;
        match &answer {
            Ok(answered) => {
                span.record("outcome", outcome(answered));
            }
            Err(_) => {
                span.record("error.type", "unavailable");
                span.record("otel.status_code", "ERROR");
            }
        }
        answer
    }

    async fn guarded<T>(
        &self,
        work: impl Future<Output = Result<T, ReplayUnavailable>>,
    ) -> Result<T, ReplayUnavailable> {
        let Some(permit) = self.breaker.admit(self.handle.monotonic()) else {
            return Err(ReplayUnavailable("Redis is left alone after repeated failures".to_owned()));
        };
        let answer = self.in_budget(work).await;
        match &answer {
            Ok(_) => {
                if permit.succeeded() {
                    tracing::info!("Redis answers again: claims are checked");
                }
            }
            Err(reason) => {
                if permit.failed(self.handle.monotonic()) {
                    tracing::warn!(error = %reason, "Redis fails repeatedly and is left alone for a while");
                }
            }
        }
        answer
    }

    async fn in_budget<T>(
        &self,
        work: impl Future<Output = Result<T, ReplayUnavailable>>,
    ) -> Result<T, ReplayUnavailable> {
        let late = || ReplayUnavailable(format!("no answer within {} ms", self.budget.as_millis()));
        self.handle.within(self.budget, work).await.ok_or_else(late)?
    }
}

const fn word(claim: &Claim) -> &'static str {
    match claim {
        Claim::Taken(_) => "taken",
        Claim::Replayed(..) => "replayed",
        Claim::Parked => "parked",
        Claim::InFlight { .. } => "in flight",
        Claim::Reused => "reused",
    }
}

impl Replay for RedisReplay {
    fn claim<'a>(&'a self, key: &'a EventKey, ask: Ask) -> BoxFuture<'a, Result<Claim, ReplayUnavailable>> {
        Box::pin(self.asked(("SET", "claim"), self.claimed(key, ask), word))
    }

    fn promote<'a>(
        &'a self,
        key: &'a EventKey,
        held: Held,
        to: Promotion,
        now: UnixMillis,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        let outcome = |ours: &bool| if *ours { "moved on" } else { "not ours" };
        Box::pin(self.asked(("EVALSHA", "promote"), self.promoted(key, held, to, now), outcome))
    }

    fn settle<'a>(
        &'a self,
        key: &'a EventKey,
        settled: Settled,
    ) -> BoxFuture<'a, Result<(), ReplayUnavailable>> {
        Box::pin(self.asked(("SET", "settle"), self.settled(key, settled), |()| "stored"))
    }
}
