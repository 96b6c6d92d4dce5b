//! `countersign-auditor`: proves, again and again, that the books balance.

use std::process::ExitCode;

use auditor::{App, Config};
use runtime::service;

const SERVICE: &str = "countersign-auditor";

fn main() -> ExitCode {
    let config = match service::configuration(SERVICE, Config::read) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    service::serve(SERVICE, &config.telemetry, config.drain, async |handle, stop| {
        let app = App::bind(&config, handle)?;
        tracing::info!(admin = %app.admin_address, "Listening");
        app.run(stop).await
    })
}
