//! The tool as it is run: the built binary, its output and its exit code.

#![expect(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helpers")]

mod actions;
mod auditing;
mod books;
mod command;
mod configuration;
mod sending;
mod vectors;
