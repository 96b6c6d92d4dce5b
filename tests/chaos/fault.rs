//! What can break, and how it is mended.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use anyhow::ensure;
use ports::CrashPoint;
use reqwest::Method;
use testkit::fault_proxy::{Cut, FaultProxy, Flow};

use crate::fleet::{Instance, Service};
use crate::ground::Server;
use crate::world::World;

/// How long a fault lasts that ends when we say so.
const LASTS: Duration = Duration::from_secs(2);

/// How long an armed cut waits for its byte.
const COMES_WITHIN: Duration = Duration::from_secs(2);

/// How long an ordered crash waits for its instant; it may come later.
const DIES_WITHIN: Duration = Duration::from_secs(10);

/// How long anything may take to be back.
const BACK_WITHIN: Duration = Duration::from_mins(1);

/// What happens to a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing passes, no connection ends.
    Stall,
    /// Connections are refused.
    Refuse,
    /// All are reset at once.
    Reset,
    /// Everything takes longer.
    Delay,
}

/// What happens to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfRedis {
    Flushed,
    ReadOnly,
    Full,
    Hangs,
    Killed,
}

/// What happens to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfRabbitMq {
    MemoryAlarm,
    QueueDeleted,
    ConnectionsClosed,
    Killed,
}

/// What happens to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfPostgres {
    BackendsTerminated,
    /// An immediate stop: recovery at the next start.
    Stopped,
    DiskFull,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process dies at this instant.
    Crash(CrashPoint),
    /// A process is killed.
    Kill(Service),
    /// A process stands still.
    Stop(Service),
    /// The cache.
    Redis(OfRedis),
    /// The broker.
    RabbitMq(OfRabbitMq),
    /// The database.
    Postgres(OfPostgres),
    /// The wall clock of one ingress jumps by so many seconds.
    Clock(i64),
    /// A connection ends at the byte that matters.
    Cut(Service, Server, &'static str, Cut),
    /// A success is answered and does not arrive.
    AnswerLost,
    /// A hop of one process misbehaves.
    Hop(Service, Server, Trouble),
    /// Each process ends softly and comes back, one after the other.
    RollingRestart,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(point) => write!(f, "crash {}", point.name()),
            Self::Kill(service) => write!(f, "kill {}", service.name()),
            Self::Stop(service) => write!(f, "stop {}", service.name()),
            Self::Clock(seconds) => write!(f, "clock {seconds:+} s"),
            Self::Cut(service, _, what, _) => write!(f, "cut {} {what}", service.name()),
            Self::Hop(service, server, trouble) => write!(f, "{trouble:?} {} to {server:?}", service.name()),
            Self::Redis(how) => write!(f, "Redis {how:?}"),
            Self::RabbitMq(how) => write!(f, "RabbitMQ {how:?}"),
            Self::Postgres(how) => write!(f, "Postgres {how:?}"),
            Self::AnswerLost => f.write_str("answer lost"),
            Self::RollingRestart => f.write_str("rolling restart"),
        }
    }
}

impl Fault {
    /// What a few minutes are enough for: every crash point, every server, every byte that matters.
    pub(crate) fn smoke() -> Vec<Self> {
        let mut smoke: Vec<Self> = CrashPoint::ALL.into_iter().map(Self::Crash).collect();
        smoke.extend(Service::ALL.map(Self::Kill));
        smoke.extend([
            Self::Redis(OfRedis::Flushed),
            Self::Redis(OfRedis::ReadOnly),
            Self::Redis(OfRedis::Full),
            Self::Redis(OfRedis::Hangs),
            Self::Redis(OfRedis::Killed),
            Self::RabbitMq(OfRabbitMq::MemoryAlarm),
            Self::RabbitMq(OfRabbitMq::QueueDeleted),
            Self::RabbitMq(OfRabbitMq::ConnectionsClosed),
            Self::RabbitMq(OfRabbitMq::Killed),
            Self::Postgres(OfPostgres::BackendsTerminated),
            Self::Postgres(OfPostgres::Stopped),
            Self::Postgres(OfPostgres::DiskFull),
            Self::Clock(3_600),
            Self::Cut(Service::Ingress, Server::RabbitMq, "confirm lost", Cut::CONFIRM_LOST),
            Self::Cut(Service::Ingress, Server::Redis, "claim unheard", Cut::CLAIM_UNHEARD),
            Self::Cut(Service::Processor, Server::Postgres, "committed unheard", Cut::COMMITTED_UNHEARD),
            Self::Cut(Service::Processor, Server::Postgres, "COMMIT lost", Cut::COMMIT_LOST),
            Self::Cut(Service::Processor, Server::RabbitMq, "ack lost", Cut::ACKNOWLEDGEMENT_LOST),
            Self::AnswerLost,
            Self::RollingRestart,
        ]);
        smoke
    }

    /// Everything.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Self::smoke();
        all.extend(Service::ALL.map(Self::Stop));
        all.extend([Self::Clock(-3_600), Self::Clock(400)]);
        for service in Service::ALL {
            for server in service.servers() {
                all.extend(
                    [Trouble::Stall, Trouble::Reset].map(|trouble| Self::Hop(service, *server, trouble)),
                );
            }
        }
        all.extend([
            Self::Hop(Service::Ingress, Server::RabbitMq, Trouble::Refuse),
            Self::Hop(Service::Ingress, Server::Redis, Trouble::Delay),
            Self::Hop(Service::Processor, Server::Postgres, Trouble::Delay),
        ]);
        all
    }

    /// Whether no answer may suffer: nothing between a provider and the broker is touched.
    pub(crate) fn spares_answers(self) -> bool {
        match self {
            Self::Redis(_) | Self::Postgres(_) | Self::Clock(_) => true,
            Self::Crash(point) => service_of(point) != Service::Ingress,
            Self::Kill(service) | Self::Stop(service) => service != Service::Ingress,
            Self::Cut(service, server, ..) | Self::Hop(service, server, _) => {
                service != Service::Ingress || server == Server::Redis
            }
            Self::RabbitMq(_) | Self::AnswerLost | Self::RollingRestart => false,
        }
    }

    /// Whether a server is broken, for everybody.
    pub(crate) const fn is_of_a_server(self) -> bool {
        matches!(self, Self::Redis(_) | Self::RabbitMq(_) | Self::Postgres(_))
    }

    /// Whether another fault would undo it, or be undone: whoever comes back binds a queue that is about to be deleted, and
    /// whoever is asked to end must find the broker.
    pub(crate) const fn stands_alone(self) -> bool {
        matches!(self, Self::RabbitMq(OfRabbitMq::QueueDeleted) | Self::RollingRestart)
    }

    /// Breaks it and mends it again; says at what it was aimed.
    pub(crate) async fn strike(self, world: &World) -> anyhow::Result<String> {
        match self {
            Self::Crash(point) => crash(world, point).await,
            Self::Kill(service) => {
                let victim = world.one_of(service);
                victim.signal("KILL");
                world.pause(LASTS).await;
                Ok(victim.name.clone())
            }
            Self::Stop(service) => {
                let victim = world.one_of(service);
                victim.signal("STOP");
                world.pause(LASTS).await;
                victim.signal("CONT");
                Ok(victim.name.clone())
            }
            Self::Clock(seconds) => {
                world.fleet.set_clock(seconds)?;
                world.pause(LASTS).await;
                world.fleet.set_clock(0)?;
                // The library looks at its file once a second.
                world.pause(Duration::from_secs(1)).await;
                Ok("ingress-1".to_owned())
            }
            Self::Cut(service, server, _, cut) => {
                let victim = world.one_of(service);
                let Some(hop) = victim.hop(server) else { return Ok("no such hop".to_owned()) };
                cut_at(world, &victim.name, hop, cut).await
            }
            Self::AnswerLost => {
                let victim = world.one_of(Service::Ingress);
                let Some(front) = &victim.front else { return Ok("no such hop".to_owned()) };
                cut_at(world, &victim.name, front, Cut::ANSWER_LOST).await
            }
            Self::Hop(service, server, trouble) => {
                let victim = world.one_of(service);
                let Some(hop) = victim.hop(server) else { return Ok("no such hop".to_owned()) };
                disturb(world, hop, trouble).await;
                Ok(victim.name.clone())
            }
            Self::RollingRestart => restart_all(world).await,
            Self::Redis(how) => break_redis(how, world).await,
            Self::RabbitMq(how) => break_broker(how, world).await,
            Self::Postgres(how) => break_database(how, world).await,
        }
    }
}

/// Whose instant it is.
fn service_of(point: CrashPoint) -> Service {
    let service = Service::ALL.into_iter().find(|service| point.name().starts_with(service.name()));
    service.unwrap_or(Service::Processor)
}

async fn crash(world: &World, point: CrashPoint) -> anyhow::Result<String> {
    let victim = world.one_of(service_of(point));
    let often = matches!(
        point,
        CrashPoint::IngressClaimed
            | CrashPoint::IngressConfirmed
            | CrashPoint::IngressPromoted
            | CrashPoint::ProcessorReceived
            | CrashPoint::ProcessorWritten
            | CrashPoint::ProcessorCommitted
            | CrashPoint::ProcessorAcknowledged
    );
    let passage = if often { world.dice.between(1, 12) } else { 1 };
    let before = victim.ends().len();
    victim.crash_at(point, passage);
    // The kill, and the crash.
    let met = world.within(DIES_WITHIN, async || victim.ends().len() >= before + 2).await;
    Ok(format!("{} at passage {passage}, {}", victim.name, if met { "died" } else { "not yet there" }))
}

async fn cut_at(world: &World, name: &str, hop: &FaultProxy, cut: Cut) -> anyhow::Result<String> {
    let mut met = 0;
    for _ in 0..3 {
        hop.cut_next(cut);
        world.within(COMES_WITHIN, async || !hop.is_armed()).await;
        met += usize::from(!hop.disarm());
    }
    Ok(format!("{name}, {met} times"))
}

async fn disturb(world: &World, hop: &FaultProxy, trouble: Trouble) {
    match trouble {
        Trouble::Stall => hop.set(Flow::Freeze),
        Trouble::Refuse => hop.set(Flow::Refuse),
        Trouble::Reset => hop.reset(),
        Trouble::Delay => hop.delay(Duration::from_millis(20)),
    }
    world.pause(if trouble == Trouble::Reset { LASTS / 3 } else { LASTS }).await;
    hop.set(Flow::Pass);
    hop.delay(Duration::ZERO);
}

async fn restart_all(world: &World) -> anyhow::Result<String> {
    for instance in &world.fleet.instances {
        let before = instance.ends().len();
        instance.signal("TERM");
        let ended = world.within(BACK_WITHIN, async || instance.ends().len() > before).await;
        ensure!(ended, "{} did not end when it was asked to", instance.name);
        world.ready(instance).await?;
    }
    Ok(format!("{} processes", world.fleet.instances.len()))
}

async fn break_redis(how: OfRedis, world: &World) -> anyhow::Result<String> {
    let ground = &world.ground;
    match how {
        OfRedis::Flushed => {
            ground.redis("FLUSHALL").await?;
        }
        OfRedis::ReadOnly => {
            ground.redis("REPLICAOF 127.0.0.1 1").await?;
            world.pause(LASTS).await;
            ground.redis("REPLICAOF NO ONE").await?;
        }
        OfRedis::Full => {
            ground.redis("CONFIG SET maxmemory 1").await?;
            world.pause(LASTS).await;
            ground.redis("CONFIG SET maxmemory 512mb").await?;
        }
        OfRedis::Hangs => {
            ground.signal(Server::Redis, "STOP")?;
            world.pause(LASTS).await;
            ground.signal(Server::Redis, "CONT")?;
        }
        OfRedis::Killed => {
            ground.signal(Server::Redis, "KILL")?;
            world.pause(LASTS).await;
            ground.start().await?;
        }
    }
    world.pause(Duration::from_secs(1)).await;
    Ok("redis".to_owned())
}

async fn break_broker(how: OfRabbitMq, world: &World) -> anyhow::Result<String> {
    let ground = &world.ground;
    match how {
        OfRabbitMq::MemoryAlarm => {
            ground.servers(&["ctl", "-q", "set_vm_memory_high_watermark", "absolute", "1"]).await?;
            world.pause(LASTS).await;
            ground.servers(&["ctl", "-q", "set_vm_memory_high_watermark", "absolute", "2GB"]).await?;
        }
        OfRabbitMq::ConnectionsClosed => {
            ground.servers(&["ctl", "-q", "close_all_connections", "chaos"]).await?;
        }
        OfRabbitMq::QueueDeleted => {
            // Deleting messages loses them, whoever does it. So it is emptied first; meanwhile what is published is unrouted.
            // A process that connects just then binds it again, and it is emptied once more.
            let bindings = "bindings/%2f/e/countersign.events/q/countersign.ledger";
            let bound = async || match ground.api(Method::GET, bindings, None).await {
                Ok(bindings) => bindings.as_array().is_none_or(|bindings| !bindings.is_empty()),
                Err(_) => true,
            };
            let emptied = world
                .within(BACK_WITHIN, async || {
                    // There may be none.
                    drop(ground.api(Method::DELETE, &format!("{bindings}/%23"), None).await);
                    world.depths().await.is_some_and(|depths| depths.0 == 0) && !bound().await
                })
                .await;
            ensure!(emptied, "the queue was never empty");
            ground.api(Method::DELETE, "queues/%2f/countersign.ledger", None).await?;
            let back =
                world.within(BACK_WITHIN, async || ground.depth("countersign.ledger").await.is_some()).await;
            ensure!(back, "the deleted queue never came back");
        }
        OfRabbitMq::Killed => {
            ground.signal(Server::RabbitMq, "KILL")?;
            world.pause(LASTS).await;
            ground.start().await?;
        }
    }
    world.pause(Duration::from_secs(2)).await;
    Ok("rabbitmq".to_owned())
}

async fn break_database(how: OfPostgres, world: &World) -> anyhow::Result<String> {
    let ground = &world.ground;
    match how {
        OfPostgres::BackendsTerminated => {
            let terminate =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'countersign%'";
            for _ in 0..3 {
                ground.superuser().await?.batch_execute(terminate).await?;
                world.pause(LASTS / 3).await;
            }
        }
        OfPostgres::Stopped => {
            // The postmaster's word for an immediate stop: no checkpoint, recovery at the next start.
            ground.signal(Server::Postgres, "QUIT")?;
            world.pause(LASTS).await;
            ground.start().await?;
        }
        OfPostgres::DiskFull => {
            // What a full disk says when a transaction is about to be committed.
            let full = "CREATE FUNCTION public.disk_is_full() RETURNS TRIGGER LANGUAGE plpgsql AS $$
                  BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'No space left on device'; END $$;
                CREATE CONSTRAINT TRIGGER disk_is_full AFTER INSERT ON countersign.delivery
                  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.disk_is_full()";
            let space =
                "DROP TRIGGER disk_is_full ON countersign.delivery; DROP FUNCTION public.disk_is_full()";
            let client = ground.superuser().await?;
            client.batch_execute(full).await?;
            world.pause(LASTS).await;
            client.batch_execute(space).await?;
        }
    }
    world.pause(Duration::from_secs(1)).await;
    Ok("postgres".to_owned())
}

/// Mends whatever may still be broken.
pub(crate) async fn mend(world: &World) -> anyhow::Result<()> {
    for instance in &world.fleet.instances {
        let hops = Server::ALL.iter().filter_map(|server| instance.hop(*server)).chain(&instance.front);
        for hop in hops {
            hop.disarm();
            hop.delay(Duration::ZERO);
            hop.set(Flow::Pass);
        }
        instance.signal("CONT");
    }
    world.fleet.set_clock(0)?;
    world.ground.start().await?;
    for instance in &world.fleet.instances {
        world.ready(instance).await?;
    }
    Ok(())
}

impl World {
    /// One of the two instances of a service.
    fn one_of(&self, service: Service) -> Arc<Instance> {
        self.dice.pick(&self.fleet.of(service))
    }
}
