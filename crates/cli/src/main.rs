#![doc = include_str!("../README.md")]

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use runtime::TokioExecutor;

mod acknowledge;
mod act;
mod adopt;
mod assert_balance;
mod audits;
mod balances;
mod check_signature;
mod config;
mod ending;
mod event;
mod events;
mod evidence;
mod findings;
mod migrate;
mod output;
mod request;
mod send;
mod table;
mod trace;
mod tree;
mod verify;
mod when;

use ending::{Answer, Failure};

/// The operator's tool of Countersign. COUNTERSIGN_CONFIG names its configuration.
///
/// Exit codes: 0 as hoped; 1 the answer is no (findings, a refusal, an unexpected answer, something stays parked, nothing
/// found); 2 it could not be done; 64 the command line, the configuration or a secret is wrong.
#[derive(Debug, Parser)]
#[command(name = "countersign", version)]
enum Command {
    /// Bring the database to the schema of this version
    Migrate,
    /// Run the auditor's checks now, and say what they find
    Verify(verify::Arguments),
    /// The auditor's last runs and their verdicts
    Audits(audits::Arguments),
    /// What the auditor has found: the newest, or all that stands open
    Findings(findings::Arguments),
    /// Take note of an open finding: no more reminders, and no obstacle to sealing what is new
    Acknowledge(acknowledge::Arguments),
    /// Declare what stands in the books now to be their history, after a restore: seal it anew
    Adopt(adopt::Arguments),
    /// Put down what a provider says that it holds, for the auditor to compare the books with
    AssertBalance(assert_balance::Arguments),
    /// The trial balance, by provider account, mode and currency
    Balances(balances::Arguments),
    /// The newest events and what became of them
    Events(events::Arguments),
    /// One event's whole story: deliveries, refusals, actions, transactions, entries, trace
    Event(event::Arguments),
    /// The life of what a webhook brought, as a tree with durations: receipt, batch, transactions, actions, audits
    Trace(trace::Arguments),
    /// Have what is parked processed again, past every gate; once, however often it is asked for
    Release(act::Release),
    /// Put away what is parked and will never be booked
    Dismiss(act::Dismiss),
    /// Send signed test deliveries to the ingress
    Send(send::Arguments),
    /// Say why a delivery is or is not authentic: ok, or the slug of the refusal
    CheckSignature(check_signature::Arguments),
}

fn main() -> ExitCode {
    runtime::install_tls();
    match Command::try_parse() {
        Ok(command) => ending::exit(execute(command)),
        Err(error) => ending::exit_of_clap(&error),
    }
}

fn execute(command: Command) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(async {
        let handle = TokioExecutor::handle();
        match command {
            Command::Migrate => migrate::run().await,
            Command::Verify(arguments) => verify::run(&arguments).await,
            Command::Audits(arguments) => audits::run(&arguments).await,
            Command::Findings(arguments) => findings::run(&arguments).await,
            Command::Acknowledge(arguments) => acknowledge::run(&arguments).await,
            Command::Adopt(arguments) => adopt::run(&arguments, &handle).await,
            Command::AssertBalance(arguments) => assert_balance::run(&arguments, handle).await,
            Command::Balances(arguments) => balances::run(&arguments, handle).await,
            Command::Events(arguments) => events::run(&arguments, handle).await,
            Command::Event(arguments) => event::run(&arguments, handle).await,
            Command::Trace(arguments) => trace::run(&arguments, handle).await,
            Command::Release(arguments) => act::release(&arguments, handle).await,
            Command::Dismiss(arguments) => act::dismiss(&arguments, handle).await,
            Command::Send(arguments) => send::run(&arguments, &handle).await,
            Command::CheckSignature(arguments) => check_signature::run(&arguments, &handle),
        }
    })
}
