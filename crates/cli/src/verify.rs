//! `countersign verify`: the auditor's verdict, now.

use core::fmt;

use anyhow::Context as _;
use audit::{Kind, Report};
use audit_postgres::{AuditStore, Audited, RunId, Settings};
use clap::Args;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::config;
use crate::ending::{Answer, Failure, complain};
use crate::output::print_either;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Read everything, not only what no checkpoint seals
    #[arg(long)]
    full: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// A report and the number under which it stands in `audit_run`, if it could be recorded.
#[derive(Debug, Serialize)]
struct Concluded<'r> {
    audit_run: Option<i64>,
    #[serde(flatten)]
    report: &'r Report,
}

impl fmt::Display for Concluded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        self.audit_run.map_or(Ok(()), |number| writeln!(f, "recorded as audit run {number}"))
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let config::Database { url, tls } = config::auditor()?;
    let settings = Settings { tls, ..Settings::new(url.expose_secret()) };
    let kind = if arguments.full { Kind::Full } else { Kind::Incremental };
    let store = AuditStore::connect(&settings).context("could not check")?;
    let Audited { recorded, report } = store.run(kind).await.context("could not check")?;
    if let Err(error) = &recorded {
        complain(&format!("the verdict could not be recorded: {error}"));
    }
    let concluded = Concluded { audit_run: recorded.ok().map(|RunId(number)| number), report: &report };
    print_either(arguments.json, &concluded, &concluded)?;
    Ok(Answer::from_bool(report.findings_total() == 0))
}
