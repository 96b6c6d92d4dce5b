//! The frame of a service's `main`: configuration, telemetry, stop signals, exit code.

use core::time::Duration;
use std::process::ExitCode;

use handle::Handle;

use crate::config::{Document, Problems};
use crate::sections::Telemetry;
use crate::{EXIT_USAGE, Stop, TokioExecutor, telemetry};

/// The configuration of a service, or the exit code with which it ends: 64 and every problem on standard error, or 0
/// after `--check-config` or `--version`.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line speaks to a person")]
pub fn configuration<C>(
    service: &str,
    read: impl FnOnce(Document) -> Result<C, Problems>,
) -> Result<C, ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check_only = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--check-config"] => true,
        ["--version"] => {
            println!("{service} {}", env!("CARGO_PKG_VERSION"));
            return Err(ExitCode::SUCCESS);
        }
        _ => {
            eprintln!(
                "usage: {service} [--check-config | --version]   (configuration: {})",
                crate::config::FILE_VARIABLE
            );
            return Err(ExitCode::from(EXIT_USAGE));
        }
    };
    match Document::load(None).and_then(read) {
        Ok(_) if check_only => {
            println!("the configuration is good");
            Err(ExitCode::SUCCESS)
        }
        Ok(config) => Ok(config),
        Err(problems) => {
            eprint!("{problems}");
            Err(ExitCode::from(EXIT_USAGE))
        }
    }
}

/// Runs a service under telemetry and stop signals; fails if it fails.
pub fn serve(
    service: &'static str,
    telemetry: &Telemetry,
    drain: Duration,
    run: impl AsyncFnOnce(Handle, Stop) -> anyhow::Result<()>,
) -> ExitCode {
    tls::install_backend();
    let _telemetry = telemetry::start(service, telemetry);
    let ended =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into).and_then(
            |runtime| {
                runtime.block_on(async { run(TokioExecutor::handle(), Stop::on_signals(drain)?).await })
            },
        );
    match ended {
        Ok(()) => {
            tracing::info!(service, "Stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(service, error = format!("{error:#}"), "Failed");
            ExitCode::FAILURE
        }
    }
}
