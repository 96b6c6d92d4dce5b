//! One run: everything starts, breaks, is mended, comes to rest, and is checked.

use core::time::Duration;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use countersign_tests::Dice;
use futures_util::future::join_all;
use ports::{CrashPoint, Handle};
use reqwest::Client;
use runtime::TokioExecutor;
use tokio_util::sync::CancellationToken;

use crate::Args;
use crate::alerts::Receiver;
use crate::books::{Books, FindingRow};
use crate::checker::{Phase, check};
use crate::fault::{Fault, mend};
use crate::fleet::{Fleet, Instance, Service, Size};
use crate::ground::Ground;
use crate::load::{CANARIES, Load};
use crate::reader;
use crate::report::{Report, Struck};
use crate::told::Spell;

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(100);

/// How long anything may take to come to rest on a machine that is busy.
const REST_WITHIN: Duration = Duration::from_mins(2);

/// How long a process may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(45);

/// How long the smoke faults may take on a machine that is busy; two to three minutes on one that is not.
const SMOKE_MINUTES: u64 = 8;

/// Between two faults.
const CALM: Duration = Duration::from_millis(700);

/// Everything that breaks.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) ground: Ground,
    pub(crate) dice: Dice,
    pub(crate) handle: Handle,
    http: Client,
}

impl World {
    pub(crate) async fn pause(&self, duration: Duration) {
        self.handle.sleep(duration).await;
    }

    /// Whether it holds within this time.
    pub(crate) async fn within(&self, limit: Duration, holds: impl AsyncFn() -> bool) -> bool {
        let until = self.handle.monotonic().saturating_add(limit);
        loop {
            if holds().await {
                return true;
            }
            if self.handle.monotonic() >= until {
                return false;
            }
            self.pause(LOOK).await;
        }
    }

    /// Waits until a process says that it is ready.
    pub(crate) async fn ready(&self, instance: &Instance) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", instance.admin);
        let ready = async || match self.http.get(&url).send().await {
            Ok(answer) => answer.status().is_success(),
            Err(_) => instance.keeps_ending(),
        };
        let ready = self.within(READY_WITHIN, ready).await && !instance.keeps_ending();
        ensure!(ready, "{} is not ready: {}", instance.name, instance.log().display());
        Ok(())
    }

    /// What lies in the queue of the ledger, in the unrouted one and in the dead one, given out or not.
    pub(crate) async fn depths(&self) -> Option<(u64, u64, u64)> {
        let arguments = ["ctl", "-q", "list_queues", "name", "messages", "--no-table-headers"];
        let listed = self.ground.servers(&arguments).await.ok()?;
        let depth = |queue: &str| {
            let line = listed.lines().find_map(|line| line.strip_prefix(queue)?.strip_prefix('\t'));
            line.and_then(|depth| depth.trim().parse().ok())
        };
        let dead = depth("countersign.dead").unwrap_or(0);
        let unrouted = depth("countersign.unrouted").unwrap_or(0);
        Some((depth("countersign.ledger")?, unrouted, dead))
    }

    /// What an operator types.
    async fn countersign(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(std::env::current_exe()?.with_file_name("countersign"));
        command.args(arguments).env("COUNTERSIGN_CONFIG", folder.join("processor-1.toml"));
        tokio::task::spawn_blocking(move || command.output()).await?.context("run countersign")
    }
}

/// Runs it all.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    let handle = TokioExecutor::handle();
    let ground = Ground::new(args.offset)?;
    let alerts = Receiver::start()?;
    let fleet = Fleet::new(args, &ground, alerts.address).await?;
    let http = Client::builder().timeout(Duration::from_secs(2)).build()?;
    let world = World { fleet, ground, dice: Dice::new(args.seed, 1), handle: handle.clone(), http };
    let supervised: Vec<_> = world
        .fleet
        .instances
        .iter()
        .map(|instance| handle.spawn("supervise", Arc::clone(instance).supervise(handle.clone())))
        .collect();
    for instance in &world.fleet.instances {
        world.ready(instance).await?;
    }
    let over = CancellationToken::new();
    let reading = handle.spawn("read", reader::read(world.ground.clone(), handle.clone(), over.clone()));
    let fronts = world.fleet.of(Service::Ingress).iter().filter_map(|one| one.front.clone()).collect();
    let load = Load::new(handle.clone(), fronts, Dice::new(args.seed, 2))?;
    let telling = handle.spawn("load", Arc::clone(&load).run(args.rate));

    let (mut wrong, mut drift, mut struck) = (Vec::new(), Vec::new(), Vec::new());
    if args.soak {
        drift = soak(&world, &load, args.minutes.unwrap_or(1), &mut wrong).await;
    } else {
        struck = strike(&world, &load, args, &mut wrong).await;
        if let Err(broken) = mend(&world).await {
            wrong.push(format!("not mended: {broken:#}"));
        }
    }
    load.finish();
    // Within the time, and not by a panic.
    if handle.within(REST_WITHIN, telling).await.flatten() != Some(true) {
        wrong.push("some events were never taken".to_owned());
        load.give_up();
    }
    if !world.within(REST_WITHIN, async || world.depths().await == Some((0, 0, 0))).await {
        wrong.push(format!("queues never empty: {:?}", world.depths().await));
    }

    let told = load.log.copy();
    let books = Books::read(&world.ground).await?;
    let at_rest = check(&told, &books, Phase::AtRest);
    release(&world, &args.folder, &books, &mut wrong).await?;
    let released_books = Books::read(&world.ground).await?;
    let released = check(&told, &released_books, Phase::Released);
    verify(&world, &args.folder, &mut wrong).await?;
    over.cancel();
    let seen = reading.await.context("the reader panicked")?;
    for instance in &world.fleet.instances {
        instance.leave();
    }
    for ended in supervised {
        handle
            .within(REST_WITHIN, ended)
            .await
            .context("a process did not end when it was asked to")?
            .transpose()?;
    }
    ends(&world, &mut wrong);
    leaks(&world, &alerts, &mut wrong)?;

    let books = Books::read(&world.ground).await?;
    let false_findings = books.findings.iter().filter(|finding| !is_true(finding)).cloned().collect();
    std::fs::write(args.folder.join("told.json"), serde_json::to_vec(&told)?)?;
    Ok(Report {
        seed: args.seed,
        revision: args.revision.clone(),
        seconds: load.now_ms() / 1000,
        requests: told.iter().map(|one| one.attempts.len()).sum(),
        struck,
        at_rest,
        released,
        reader: seen,
        deliveries: books.deliveries,
        buried: books.buried,
        findings: books.findings,
        false_findings,
        alerts: alerts.bodies().len(),
        wrong,
        drift,
    })
}

/// Faults in an order that the seed chooses: the smoke ones once, one after the other, or all of them again and again for as
/// long as is asked for, and then sometimes two at once.
async fn strike(world: &World, load: &Load, args: &Args, wrong: &mut Vec<String>) -> Vec<Struck> {
    let (mut struck, mut broken) = (Vec::new(), Vec::new());
    let (mut left, minutes) = match args.minutes {
        None => (Fault::smoke(), SMOKE_MINUTES),
        Some(minutes) => (Vec::new(), minutes),
    };
    world.pause(CALM * 4).await;
    while load.now_ms() < minutes * 60_000 {
        if left.is_empty() {
            if args.minutes.is_none() {
                break;
            }
            left = Fault::all();
        }
        let first = left.swap_remove(world.dice.index(left.len()));
        let second = if args.minutes.is_some() { beside(&world.dice, first, &mut left) } else { None };
        let faults: Vec<Fault> = [Some(first), second].into_iter().flatten().collect();
        let name = joined(&faults);
        let (at_ms, ingresses_ended) = (load.now_ms(), world.fleet.ends_of(Service::Ingress));
        let struck_at = join_all(faults.iter().map(|fault| fault.strike(world))).await;
        let mut notes = Vec::new();
        for (fault, note) in faults.iter().zip(struck_at) {
            notes.push(note.unwrap_or_else(|error| {
                wrong.push(format!("{fault}: {error:#}"));
                "failed".to_owned()
            }));
        }
        let (note, spell) = (joined(&notes), load.log.between(at_ms, load.now_ms()));
        // A crash that was ordered long ago may come now.
        let untouched = world.fleet.ends_of(Service::Ingress) == ingresses_ended;
        if untouched && faults.iter().all(|fault| fault.spares_answers()) {
            all_answered(&name, &spell, wrong);
        }
        only_our_words(&name, &spell, wrong);
        println!("{:>5} s  {name}: {note}", at_ms / 1000);
        let names = faults.iter().map(Fault::to_string).collect();
        struck.push(Struck { faults: names, at_ms, note, spell });
        broken.extend(faults);
        // What was broken must be whole before the next.
        for instance in &world.fleet.instances {
            if let Err(error) = world.ready(instance).await {
                wrong.push(format!("after {name}: {error:#}"));
            }
        }
        world.pause(CALM).await;
    }
    if args.minutes.is_none() {
        for fault in left {
            wrong.push(format!("no time was left for {fault}"));
        }
    }
    for point in CrashPoint::ALL {
        let ordered = broken.contains(&Fault::Crash(point));
        // Whether there is an alert to send is not ours to say.
        if ordered && !world.fleet.died_at(point) && point != CrashPoint::AuditorAlertSent {
            wrong.push(format!("{}: nobody ever came there", Fault::Crash(point)));
        }
    }
    struck
}

/// What befalls a process while a server is broken, or the other way round; half of the time, and of the faults that are left.
fn beside(dice: &Dice, fault: Fault, left: &mut Vec<Fault>) -> Option<Fault> {
    if fault.stands_alone() || dice.permille(500) {
        return None;
    }
    let fits = |other: &Fault| !other.stands_alone() && other.is_of_a_server() != fault.is_of_a_server();
    let fitting: Vec<usize> = (0..left.len()).filter(|index| left.get(*index).is_some_and(fits)).collect();
    (!fitting.is_empty()).then(|| left.swap_remove(dice.pick(&fitting)))
}

fn joined(parts: &[impl ToString]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// One request in a thousand may fail while nothing between the providers and the broker is touched.
fn all_answered(fault: &str, spell: &Spell, wrong: &mut Vec<String>) {
    let all: usize = spell.answers.values().sum();
    let failed = spell.of(&["unknown", "not-durable", "overloaded", "replay-state-unavailable"]);
    if failed * 1000 > all {
        let whole = "with the broker and the ingresses whole";
        wrong.push(format!("{fault}: {failed} of {all} requests failed, {whole}"));
    }
}

fn only_our_words(fault: &str, spell: &Spell, wrong: &mut Vec<String>) {
    let foreign = spell.of(&["no-word-of-ours"]);
    if foreign > 0 {
        wrong.push(format!("{fault}: {foreign} answers without a word of ours"));
    }
}

/// An operator releases whatever was put aside, twice: the second time changes nothing.
async fn release(world: &World, folder: &Path, books: &Books, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let parked = books.events.values().filter(|row| row.status == "parked");
    let reasons: BTreeSet<&str> = parked.filter_map(|row| row.reason.as_deref()).collect();
    let buried = (books.buried > 0).then_some("dead-lettered");
    for reason in reasons.into_iter().chain(buried) {
        for _ in 0..2 {
            let what = ["release", "--refusal", reason, "--since", "1d", "--reason", "chaos is over"];
            // A busy machine may take longer for each wave than an operator would wait, who then runs it again.
            let output = world.countersign(folder, &[&what[..], &["--wait", "600"]].concat()).await?;
            // 1 says that something stays parked, as money does that cannot be read; the books tell whether it should.
            if !matches!(output.status.code(), Some(0 | 1)) {
                wrong.push(format!("release of {reason}: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    Ok(())
}

/// The auditor's last word, on all the books.
async fn verify(world: &World, folder: &Path, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let output = world.countersign(folder, &["verify", "--full"]).await?;
    if !matches!(output.status.code(), Some(0 | 1)) {
        wrong.push(format!("verify: {}", String::from_utf8_lossy(&output.stderr)));
    }
    if String::from_utf8_lossy(&output.stdout).contains("imbalance") {
        wrong.push("verify says that the books are imbalanced".to_owned());
    }
    Ok(())
}

/// Whether a finding tells of something that was really done here.
fn is_true(finding: &FindingRow) -> bool {
    match finding.check.as_str() {
        // Stale events and reused ids are refused in numbers; unreadable money waits for a person, in a long run for longer
        // than it may; nobody can be audited while the database is away.
        "rejections" | "backlog" | "audit" => true,
        // An ingress that was killed never said its last word.
        "completeness" => finding.key.contains("silent"),
        // How a full disk is played.
        "guards" => finding.key.contains("disk_is_full"),
        _ => false,
    }
}

/// How every process ended: by our hand, or well.
fn ends(world: &World, wrong: &mut Vec<String>) {
    for instance in &world.fleet.instances {
        for ended in instance.ends().iter().filter(|ended| !ended.planned) {
            wrong.push(format!("{} ended by itself: {ended}", instance.name));
        }
    }
}

/// Nothing planted stands in a log or an alert, and nothing panicked.
fn leaks(world: &World, alerts: &Receiver, wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let mut texts: Vec<(String, String)> =
        alerts.bodies().into_iter().map(|body| ("an alert".to_owned(), body)).collect();
    for instance in &world.fleet.instances {
        let log = String::from_utf8_lossy(&std::fs::read(instance.log())?).into_owned();
        if log.contains("panicked") {
            wrong.push(format!("{} panicked", instance.name));
        }
        texts.push((instance.name.clone(), log));
    }
    for (place, text) in texts {
        for canary in CANARIES.iter().filter(|canary| text.contains(**canary)) {
            wrong.push(format!("{place} says {canary}"));
        }
    }
    Ok(())
}

/// What a soak looks at.
struct Sample {
    sizes: Vec<(String, Size)>,
    p99: Duration,
    depth: u64,
    connections: u64,
}

/// Load without faults: what is taken must stay the same. Says how it was, and what grew.
async fn soak(world: &World, load: &Load, minutes: u64, wrong: &mut Vec<String>) -> Vec<String> {
    // The first minute fills caches and pools.
    let (interval, mut samples) = (Duration::from_secs(10), Vec::new());
    while load.now_ms() < minutes * 60_000 {
        let from_ms = load.now_ms();
        world.pause(interval).await;
        samples.push(sample(world, load, from_ms).await);
    }
    let warm = samples.get(samples.len() / 4..).unwrap_or_default();
    let (Some(first), Some(last)) = (warm.first(), warm.last()) else { return Vec::new() };
    let mut lines = vec![format!(
        "p99 {:?} then {:?}; queue {} then {}; connections to Postgres {} then {}",
        first.p99, last.p99, first.depth, last.depth, first.connections, last.connections
    )];
    for ((name, was), (_, is)) in first.sizes.iter().zip(&last.sizes) {
        lines.push(format!(
            "{name}: {} KiB then {} KiB; {} descriptors then {}; {} threads then {}",
            was.resident_kib, is.resident_kib, was.descriptors, is.descriptors, was.threads, is.threads
        ));
        if is.resident_kib > was.resident_kib.saturating_mul(3) / 2 + 16 * 1024 {
            wrong.push(format!("{name} grew from {} to {} KiB", was.resident_kib, is.resident_kib));
        }
        if is.descriptors > was.descriptors + 32 || is.threads > was.threads + 8 {
            wrong.push(format!("{name} took more and more descriptors or threads"));
        }
    }
    if last.p99 > first.p99.saturating_mul(3).max(Duration::from_millis(500)) {
        wrong.push(format!("p99 went from {:?} to {:?}", first.p99, last.p99));
    }
    if last.depth > first.depth + 1000 || last.connections > first.connections + 16 {
        wrong.push("the queue or the connections grew".to_owned());
    }
    lines
}

async fn sample(world: &World, load: &Load, from_ms: u64) -> Sample {
    let sizes =
        world.fleet.instances.iter().filter_map(|one| Some((one.name.clone(), one.size()?))).collect();
    let connections = match world.ground.superuser().await {
        Ok(client) => {
            let row = client
                .query_one("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'countersign%'", &[])
                .await;
            row.ok().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok()).unwrap_or_default()
        }
        Err(_) => 0,
    };
    let depth = world.ground.depth("countersign.ledger").await.unwrap_or_default();
    Sample { sizes, p99: load.log.between(from_ms, load.now_ms()).p99(), depth, connections }
}
