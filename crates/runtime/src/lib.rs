#![doc = include_str!("../README.md")]

pub mod admin;
pub mod config;
mod executor;
pub mod http;
pub mod sections;
pub mod service;
mod stop;
pub mod telemetry;

pub use executor::TokioExecutor;
pub use stop::Stop;
/// First thing in every `main`.
pub use tls::install_backend as install_tls;

/// Exit code of a refused configuration or command line (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
