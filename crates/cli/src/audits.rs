//! `countersign audits`: the auditor's last runs.

use anyhow::Context as _;
use audit_postgres::{AuditStore, RunSummary, Settings};
use clap::Args;
use secrecy::ExposeSecret as _;

use crate::config;
use crate::ending::{Answer, Failure};
use crate::output::print_either;
use crate::table::{Align, Table, instant};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let runs = store()?.runs(arguments.limit).await.context("read the runs")?;
    print_either(arguments.json, &runs, &table(&runs))?;
    Ok(Answer::Yes)
}

/// The auditor's tables, as an operator.
pub(crate) fn store() -> Result<AuditStore, Failure> {
    let config::Database { url, tls } = config::operator()?;
    let settings = Settings { tls, ..Settings::new(url.expose_secret()) };
    Ok(AuditStore::connect(&settings).context("connect to the books")?)
}

fn table(runs: &[RunSummary]) -> Table {
    let left =
        ["run", "began", "took", "kind", "verdict", "above", "snapshot"].map(|title| (title, Align::Left));
    let mut table = Table::new(left.into_iter().chain([("findings", Align::Right)]));
    for run in runs {
        let took = run.finished_at.duration_since(run.started_at);
        table.row([
            run.id.to_string(),
            instant(run.started_at),
            format!("{} ms", took.as_millis()),
            run.kind.clone(),
            run.error.clone().unwrap_or_else(|| run.verdict.clone()),
            run.floor.map_or_else(|| "-".to_owned(), |height| format!("checkpoint {height}")),
            run.snapshot.clone(),
            run.findings.map_or_else(|| "-".to_owned(), |findings| findings.to_string()),
        ]);
    }
    table
}
