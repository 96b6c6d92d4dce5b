//! `countersign verify`: the auditor's verdict, now.

use core::fmt;
use std::collections::BTreeSet;

use anyhow::Context as _;
use audit::{Kind, Report, Verdict};
use audit_postgres::{AuditStore, Audited, Order, Progress, RunId, Standing};
use clap::Args;
use serde::Serialize;

use crate::config;
use crate::ending::{Answer, Failure, complain};
use crate::output::print_either;
use crate::table;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Read everything, not only what no checkpoint seals
    #[arg(long)]
    full: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// The newest checkpoint.
#[derive(Debug, Serialize)]
struct Head {
    height: i64,
    digest: String,
}

/// A report and the number under which it stands in `audit_run`, if it could be recorded.
#[derive(Debug, Serialize)]
struct Concluded<'r> {
    audit_run: Option<i64>,
    /// The head of the chain of checkpoints, with what this run sealed; absent before the first.
    head: Option<Head>,
    #[serde(flatten)]
    report: &'r Report,
}

impl fmt::Display for Concluded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        if let Some(number) = self.audit_run {
            writeln!(f, "recorded as audit run {number}")?;
        }
        let head = self.head.as_ref().map(|head| (head.height, head.digest.as_str()));
        writeln!(f, "{}", table::head(head))
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let config::Auditing { store, head_file } = config::auditor()?;
    let kind = if arguments.full { Kind::Full } else { Kind::Incremental };
    let store = AuditStore::connect(&store).context("could not check")?;
    let published = match &head_file {
        Some(file) => file.last().context("could not check")?,
        None => None,
    };
    let order = Order { published, progress: Some(progress), ..kind.into() };
    let Audited { recorded, report, standing } = store.run(order).await.context("could not check")?;
    if let Err(error) = &recorded {
        complain(&format!("the verdict could not be recorded: {error}"));
    }
    let acknowledged = match &standing {
        Ok(standing) => acknowledged(standing),
        Err(error) => {
            complain(&format!("what stands open could not be brought up to date: {error}"));
            BTreeSet::new()
        }
    };
    let head = standing.ok().and_then(|standing| standing.head);
    let head = head.map(|head| Head { height: head.height.0, digest: head.digest.to_string() });
    let audit_run = recorded.ok().map(|RunId(number)| number);
    let concluded = Concluded { audit_run, head, report: &report };
    print_either(arguments.json, &concluded, &concluded)?;
    // Whoever acknowledges a finding knows; imbalanced books stay imbalanced all the same.
    let news = report.findings.iter().filter(|finding| !acknowledged.contains(finding.key.as_str())).count();
    let left_out = report.checks.iter().any(|check| check.left_out > 0);
    Ok(Answer::from_bool(news == 0 && !left_out && report.verdict == Verdict::Balanced))
}

fn acknowledged(standing: &Standing) -> BTreeSet<String> {
    let open = standing.open.iter().filter(|finding| finding.acknowledged.is_some());
    open.map(|finding| finding.key.clone()).collect()
}

/// Of what takes a while, how far it has come.
fn progress(progress: Progress) {
    if progress.rows < progress.rows_total {
        complain(&format!("verified {} of {} sealed rows", progress.rows, progress.rows_total));
    }
}
