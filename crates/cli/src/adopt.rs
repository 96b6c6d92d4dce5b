//! `countersign adopt`: after a restore, what stands in the books is their history.

use anyhow::Context as _;
use audit_postgres::AuditStore;
use clap::Args;
use handle::Handle;
use jiff::Timestamp;

use crate::config;
use crate::ending::{Answer, Failure};
use crate::output::print;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Why it is right that history is another than the one that was sealed
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

pub(crate) async fn run(arguments: &Arguments, handle: &Handle) -> Result<Answer, Failure> {
    let config::Auditing { store, head_file } = config::auditor()?;
    let store = AuditStore::connect(&store).context("connect to the books")?;
    // Before anything is declared: what cannot be published would be a finding ever after.
    if let Some(file) = &head_file {
        file.prepare().context("open auditor.head_file")?;
    }
    let head = store.adopt(&arguments.reason).await.context("seal the books anew")?;
    print(&format!("adopted as checkpoint {} {}\n", head.height, head.digest))?;
    if let Some(file) = head_file {
        let now = Timestamp::from_millisecond(handle.now().0).context("read the clock")?;
        file.append(now, head).context("publish the head")?;
        print(&format!("published in {}\n", file.path().display()))?;
    }
    Ok(Answer::Yes)
}
