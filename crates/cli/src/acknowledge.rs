//! `countersign acknowledge`: a person takes note of a finding.

use anyhow::Context as _;
use clap::Args;

use crate::audits::store;
use crate::ending::{Answer, Failure, complain};
use crate::findings::table;
use crate::output::print_either;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The finding's number, as `countersign findings` shows it
    id: i64,
    /// What is known about it
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let store = store()?;
    let finding =
        store.acknowledge(arguments.id, &arguments.reason).await.context("take note of the finding")?;
    match finding {
        Some(finding) => {
            print_either(arguments.json, &finding, &table(core::slice::from_ref(&finding)))?;
            Ok(Answer::Yes)
        }
        None => {
            complain(&format!("finding {} does not stand open", arguments.id));
            Ok(Answer::No)
        }
    }
}
