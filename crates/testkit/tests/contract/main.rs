//! The in-memory ports keep the contracts of the ports.

mod books;
mod bus;
mod replay;
