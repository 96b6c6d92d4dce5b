//! `countersign-processor`: books what the bus delivers, once.

use std::process::ExitCode;

use processor::{App, Config};
use runtime::service;

const SERVICE: &str = "countersign-processor";

fn main() -> ExitCode {
    let config = match service::configuration(SERVICE, Config::read) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    service::serve(SERVICE, &config.telemetry.clone(), config.drain, async |handle, stop| {
        let app = App::bind(config, handle)?;
        tracing::info!(admin = %app.admin_address, "Listening");
        app.run(stop).await
    })
}
