//! The contracts of the ports: called by the in-memory ones and by the real adapters.

pub mod books;
pub mod bus;
pub mod replay;
