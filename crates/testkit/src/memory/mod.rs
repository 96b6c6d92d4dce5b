//! The ports in memory: the same contracts, no server.

pub mod books;
pub mod bus;
pub mod replay;
