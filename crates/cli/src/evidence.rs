//! `countersign events --evidence`: messages that made no event and wait for a person.

use core::fmt;

use anyhow::Context as _;
use ledger_postgres::{PostgresReader, UndecidedRow};
use serde::Serialize;

use crate::ending::{Answer, Failure};
use crate::output::print_either;
use crate::table::{Align, Table, instant};

/// The whole answer.
#[derive(Debug, Serialize)]
struct Listed {
    evidence: Vec<Message>,
    /// How many there are, listed or not.
    undecided_evidence: u64,
}

/// One of them, with the name that `release --delivery` takes.
#[derive(Debug, Serialize)]
struct Message {
    message: String,
    #[serde(flatten)]
    row: UndecidedRow,
}

/// Lists them, oldest first.
pub(crate) async fn run(reader: &PostgresReader, limit: u32, json: bool) -> Result<Answer, Failure> {
    let rows = reader.undecided_evidence(limit).await.context("read the evidence")?;
    let undecided_evidence =
        reader.parked_money().await.context("read what stands parked")?.undecided_evidence;
    let named = |row: UndecidedRow| Message { message: format!("{}:{}", row.instance, row.sequence), row };
    let listed = Listed { evidence: rows.into_iter().map(named).collect(), undecided_evidence };
    print_either(json, &listed, &listed)?;
    Ok(Answer::Yes)
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["recorded", "reason", "source", "event", "message"];
        let mut table = Table::new(titles.map(|title| (title, Align::Left)));
        for Message { message, row } in &self.evidence {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let (source, event_id) = (or_none(&row.source), or_none(&row.event_id));
            table.row([instant(row.recorded_at), row.reason.clone(), source, event_id, message.clone()]);
        }
        write!(f, "{table}")?;
        writeln!(f, "undecided: {} in all", self.undecided_evidence)
    }
}
