//! The loop over the in-memory ports, in virtual time.
#![expect(clippy::unwrap_used, reason = "tests")]

mod announcements;
mod aside;
mod booking;
mod gate;
mod operators;
mod outages;
mod sources;
mod totals;
mod world;
