//! `countersign-ingress`: verifies, claims and publishes webhooks.

use std::process::ExitCode;

use ingress::{App, Config};
use runtime::service;

const SERVICE: &str = "countersign-ingress";

fn main() -> ExitCode {
    let config = match service::configuration(SERVICE, Config::read) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    service::serve(SERVICE, &config.telemetry.clone(), config.limits.drain, async |handle, stop| {
        let app = App::bind(config, handle)?;
        tracing::info!(address = %app.address, admin = %app.admin_address, "Listening");
        app.run(stop).await
    })
}
