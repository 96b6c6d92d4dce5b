//! `countersign findings`: what the auditor has found.

use anyhow::Context as _;
use audit_postgres::StoredFinding;
use clap::Args;

use crate::audits::store;
use crate::ending::{Answer, Failure};
use crate::output::print_either;
use crate::table::{Align, Table, instant};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only what stands open, oldest first; exit 1 if anything does
    #[arg(long)]
    open: bool,
    /// How many, newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let findings = store()?.findings(arguments.open, arguments.limit).await.context("read the findings")?;
    print_either(arguments.json, &findings, &table(&findings))?;
    Ok(Answer::from_bool(!arguments.open || findings.is_empty()))
}

/// One line for each; the summary last, for it is long.
pub(crate) fn table(findings: &[StoredFinding]) -> Table {
    let titles = ["id", "opened", "seen", "severity", "stands", "finding"];
    let mut table = Table::new(titles.map(|title| (title, Align::Left)));
    for finding in findings {
        let stands = match (finding.resolved_at, &finding.acknowledged) {
            (Some(at), _) => format!("resolved {}", instant(at)),
            (None, Some(acknowledged)) => format!("acknowledged by {}", acknowledged.by),
            (None, None) => "open".to_owned(),
        };
        table.row([
            finding.id.to_string(),
            instant(finding.opened_at),
            instant(finding.last_seen_at),
            finding.severity.clone(),
            stands,
            finding.summary.clone(),
        ]);
    }
    table
}
