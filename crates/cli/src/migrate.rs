//! `countersign migrate`: the schema.

use anyhow::Context as _;
use ledger_postgres::{Applied, Settings, migrate_as};
use secrecy::ExposeSecret as _;

use crate::config;
use crate::ending::{Answer, Failure};
use crate::output::print;

pub(crate) async fn run() -> Result<Answer, Failure> {
    let config::Database { url, tls } = config::owner()?;
    let settings = Settings { tls, ..Settings::new(url.expose_secret()) };
    let Applied { from, to } = migrate_as(&settings).await.context("migrate the database")?;
    if from == to {
        print(&format!("the schema has version {to} already\n"))?;
    } else {
        print(&format!("the schema went from version {from} to {to}\n"))?;
    }
    Ok(Answer::Yes)
}
