//! Everything is broken on purpose, while providers deliver; afterwards what they were answered is held against the books.
//!
//! Two ingresses, two processors and two auditors run as processes, each behind fault proxies of its own, on a Redis, a
//! RabbitMQ and a Postgres that belong to this run alone (`deploy/dev/chaos.sh` starts them). The seed chooses what breaks
//! when; a failing run leaves its log, its report and every service's log behind.
#![expect(clippy::print_stdout, reason = "a command that reports to a person")]

mod alerts;
mod books;
mod checker;
mod fault;
mod fleet;
mod ground;
mod load;
mod reader;
mod report;
mod told;
mod world;

use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Breaks everything on purpose and proves that nothing was lost and nothing doubled.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// What chooses the faults; printed, so that a run can be repeated.
    #[arg(long)]
    pub(crate) seed: u64,
    /// How long faults go on; each fault once, in an order that the seed chooses, if it is not said.
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
    /// No faults at all: watches memory, descriptors, connections, threads, depth and latency for drift.
    #[arg(long, requires = "minutes")]
    pub(crate) soak: bool,
    /// Events a second.
    #[arg(long, default_value_t = 30)]
    pub(crate) rate: u64,
    /// How far all ports are moved.
    #[arg(long)]
    pub(crate) offset: u16,
    /// Where logs and reports go.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// The library that gives one ingress another clock.
    #[arg(long)]
    pub(crate) faketime: PathBuf,
    /// Which revision of the code runs, for the report.
    #[arg(long, default_value = "unknown")]
    pub(crate) revision: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let stop = runtime::Stop::on_signals(Duration::ZERO)?;
        // What is left behind half-way ends its processes.
        let run = stop.soft.run_until_cancelled(world::run(&args));
        run.await.context("told to end")?
    })?;
    let path = report.write(&args.folder)?;
    println!("{report}");
    println!("written to {}", path.display());
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
