//! Our services as processes, each behind proxies of its own, started again whenever they end.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use ports::{CrashPoint, Handle};
use testkit::fault_proxy::FaultProxy;
use testkit::{stripe, telegram};

use crate::Args;
use crate::ground::{Ground, Server, signal_to};

/// How long an orchestrator waits before it starts a process again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// What a crash point sends to its own process.
const SIGABRT: i32 = 6;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Ingress,
    Processor,
    Auditor,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Ingress, Self::Processor, Self::Auditor];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Processor => "processor",
            Self::Auditor => "auditor",
        }
    }

    /// Which servers it talks to.
    pub(crate) const fn servers(self) -> &'static [Server] {
        match self {
            Self::Ingress => &[Server::Redis, Server::RabbitMq],
            Self::Processor => &[Server::Redis, Server::RabbitMq, Server::Postgres],
            Self::Auditor => &[Server::Postgres],
        }
    }
}

/// One process and what stands around it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) service: Service,
    pub(crate) name: String,
    /// Where webhooks are posted, through a proxy; of an ingress.
    pub(crate) front: Option<FaultProxy>,
    pub(crate) admin: SocketAddr,
    hops: Vec<(Server, FaultProxy)>,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    life: Mutex<Life>,
}

#[derive(Debug, Default)]
struct Life {
    child: Option<Child>,
    /// Told to die somewhere, at the next start.
    crash_at: Option<String>,
    doom: Doom,
    /// Where this life was told to die.
    armed: Option<String>,
    since_end: Option<Duration>,
    ends: Vec<Ended>,
    over: bool,
}

/// What we have done to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Doom {
    /// Nothing.
    #[default]
    None,
    /// It was asked to end, and must end well.
    Asked,
    /// It was killed.
    Killed,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    status: ExitStatus,
    /// Of our making, and as it should.
    pub(crate) planned: bool,
    /// Where it was told to die, and did.
    crashed_at: Option<String>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.status, f)
    }
}

impl Instance {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hop to a server.
    pub(crate) fn hop(&self, server: Server) -> Option<&FaultProxy> {
        self.hops.iter().find_map(|(to, proxy)| (*to == server).then_some(proxy))
    }

    fn spawn(&self, crash_at: Option<&str>) -> anyhow::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let own = std::env::current_exe()?;
        let binary = own.with_file_name(format!("countersign-{}", self.service.name()));
        let mut command = Command::new(binary);
        command
            .env("COUNTERSIGN_CONFIG", self.folder.join(format!("{}.toml", self.name)))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(order) = crash_at {
            command.env(CrashPoint::VARIABLE, order);
        }
        command.spawn().with_context(|| format!("start {}", self.name))
    }

    /// Where it logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Starts it whenever it does not run, until [`Self::leave`].
    pub(crate) async fn supervise(self: Arc<Self>, handle: Handle) -> anyhow::Result<()> {
        loop {
            let now = handle.monotonic();
            {
                let mut life = self.life();
                if let Some(child) = &mut life.child
                    && let Some(status) = child.try_wait()?
                {
                    let crashed_at = life.armed.take().filter(|_| status.signal() == Some(SIGABRT));
                    let planned = crashed_at.is_some()
                        || match core::mem::take(&mut life.doom) {
                            Doom::None => false,
                            Doom::Asked => status.success(),
                            Doom::Killed => true,
                        };
                    life.ends.push(Ended { status, planned, crashed_at });
                    life.child = None;
                    life.since_end = Some(now);
                }
                if life.child.is_none() && life.over {
                    return Ok(());
                }
                let rested = life.since_end.is_none_or(|end| now.saturating_sub(end) >= AGAIN_AFTER);
                if life.child.is_none() && rested {
                    life.armed = life.crash_at.take();
                    life.child = Some(self.spawn(life.armed.as_deref())?);
                }
            }
            handle.sleep(LOOK).await;
        }
    }

    /// Sends a signal to the process, if it runs.
    pub(crate) fn signal(&self, signal: &str) -> bool {
        let mut life = self.life();
        let Some(pid) = life.child.as_ref().map(|child| child.id().to_string()) else { return false };
        match signal {
            "KILL" => life.doom = Doom::Killed,
            "TERM" if life.doom == Doom::None => life.doom = Doom::Asked,
            _ => {}
        }
        signal_to(&pid, signal).is_ok()
    }

    /// Kills it and has it die at this point when it has been started again.
    pub(crate) fn crash_at(&self, point: CrashPoint, passage: u64) {
        self.life().crash_at = Some(format!("{}:{passage}", point.name()));
        self.signal("KILL");
    }

    /// How often it has ended.
    pub(crate) fn ends(&self) -> Vec<Ended> {
        self.life().ends.clone()
    }

    /// Whether it ends by itself each time that it is started.
    pub(crate) fn keeps_ending(&self) -> bool {
        let life = self.life();
        life.ends.len() > 4 && life.ends.iter().rev().take(4).all(|ended| !ended.planned)
    }

    /// What the kernel says of it: resident bytes, open descriptors, threads.
    pub(crate) fn size(&self) -> Option<Size> {
        let pid = self.life().child.as_ref()?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Size {
            resident_kib: number("VmRSS:")?,
            descriptors: u64::try_from(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()).ok()?,
            threads: number("Threads:")?,
        })
    }

    /// Ends it softly and for good.
    pub(crate) fn leave(&self) {
        self.signal("TERM");
        self.life().over = true;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.life().child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// What a process takes.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Size {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) instances: Vec<Arc<Instance>>,
    /// What the clock of the first ingress adds to the time.
    clock: PathBuf,
}

impl Fleet {
    /// Two of each, with configurations in the folder; nothing runs yet.
    pub(crate) async fn new(args: &Args, ground: &Ground, alerts: SocketAddr) -> anyhow::Result<Self> {
        let folder = std::path::absolute(&args.folder)?;
        for (name, secret) in [
            ("stripe", stripe::SECRET),
            ("telegram", telegram::TOKEN),
            ("replay", "a replay secret that chaos alone knows"),
            ("alerts", "whsec_Y2hhb3MgaXMgYSBsYWRkZXIsIHNheXMgc29tZWJvZHk="),
        ] {
            std::fs::write(folder.join(name), secret)?;
        }
        std::fs::write(folder.join("alerts-url"), format!("http://{alerts}/"))?;
        let clock = folder.join("clock");
        std::fs::write(&clock, "+0")?;
        let mut instances = Vec::new();
        for service in Service::ALL {
            for number in 1..=2_u16 {
                let name = format!("{}-{number}", service.name());
                let mut hops = Vec::new();
                for server in service.servers() {
                    hops.push((*server, FaultProxy::before(ground.address(*server)).await));
                }
                let port = |base: u16| SocketAddr::from(([127, 0, 0, 1], base + args.offset + number));
                let (front, listen) = if service == Service::Ingress {
                    (Some(FaultProxy::before(port(8_080)).await), port(8_080))
                } else {
                    (None, port(8_080))
                };
                let admin = match service {
                    Service::Ingress => port(9_090),
                    Service::Processor => port(9_093),
                    Service::Auditor => port(9_096),
                };
                std::fs::write(
                    folder.join(format!("{name}.toml")),
                    config(ground, &hops, &name, listen, admin),
                )?;
                let skewed = service == Service::Ingress && number == 1;
                let variables = if skewed { faketime(&args.faketime, &clock) } else { Vec::new() };
                let (folder, life) = (folder.clone(), Mutex::default());
                instances.push(Arc::new(Instance {
                    service,
                    name,
                    front,
                    admin,
                    hops,
                    folder,
                    variables,
                    life,
                }));
            }
        }
        Ok(Self { instances, clock })
    }

    pub(crate) fn of(&self, service: Service) -> Vec<Arc<Instance>> {
        self.instances.iter().filter(|instance| instance.service == service).cloned().collect()
    }

    /// How often processes of a service have ended.
    pub(crate) fn ends_of(&self, service: Service) -> usize {
        self.of(service).iter().map(|instance| instance.ends().len()).sum()
    }

    /// Whether some process has died at this point.
    pub(crate) fn died_at(&self, point: CrashPoint) -> bool {
        let order = format!("{}:", point.name());
        let ends = self.instances.iter().flat_map(|instance| instance.ends());
        ends.filter_map(|ended| ended.crashed_at).any(|at| at.starts_with(&order))
    }

    /// Sets the wall clock of the first ingress, which alone has one of its own.
    pub(crate) fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        std::fs::write(&self.clock, format!("{seconds:+}")).context("set the clock")
    }
}

fn faketime(library: &Path, clock: &Path) -> Vec<(String, String)> {
    let text = |path: &Path| path.display().to_string();
    [
        ("LD_PRELOAD", text(library)),
        ("FAKETIME_TIMESTAMP_FILE", text(clock)),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// One file for all three services, as everywhere.
fn config(
    ground: &Ground,
    hops: &[(Server, FaultProxy)],
    name: &str,
    listen: SocketAddr,
    admin: SocketAddr,
) -> String {
    let at = |server: Server| {
        let hop = hops.iter().find_map(|(to, proxy)| (*to == server).then_some(proxy.address));
        hop.unwrap_or_else(|| ground.address(server))
    };
    let (redis, rabbitmq, postgres) = (at(Server::Redis), at(Server::RabbitMq), at(Server::Postgres));
    format!(
        "[ingress]\nlisten = \"{listen}\"\nadmin_listen = \"{admin}\"\ncontrol_total_s = 2\n\
         [processor]\nadmin_listen = \"{admin}\"\ndatabase_url = \"postgres://countersign_processor@{postgres}/countersign\"\n\
         [auditor]\nadmin_listen = \"{admin}\"\ndatabase_url = \"postgres://countersign_auditor@{postgres}/countersign\"\n\
         every_s = 2\nhead_file = \"{name}.head\"\n[auditor.alerts]\nrunbook_base_url = \"https://runbooks.example\"\n\
         [auditor.alerts.routes.chaos]\nkind = \"webhook\"\nurl = \"file:alerts-url\"\nsecrets = [\"file:alerts\"]\n\
         [operator]\ndatabase_url = \"{}\"\n\
         [redis]\nurl = \"redis://{redis}/0\"\n\
         [replay]\nsecret = \"file:replay\"\n\
         [rabbitmq]\nurl = \"amqp://guest:guest@{rabbitmq}/%2f\"\n\
         [sources.stripe]\nsecrets = \"file:stripe\"\nown_account = \"{}\"\n\
         [sources.telegram]\nprovider = \"telegram\"\nsecrets = \"file:telegram\"\nown_account = \"{}\"\nlivemode = \"test\"\n",
        ground.database_url("countersign_operator"),
        stripe::ACCOUNT,
        telegram::BOT,
    )
}
