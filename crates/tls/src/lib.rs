#![doc = include_str!("../README.md")]

mod files;
mod outcome;
pub mod postgres;

pub use files::{Fault, Files, NoConfig, Tls, Unusable};

/// Makes ring the process' one cryptographic backend. First thing in every `main`; again does nothing.
pub fn install_backend() {
    // `Err` says that one is installed already, and ring is the only one in the tree.
    drop(rustls::crypto::ring::default_provider().install_default());
}
