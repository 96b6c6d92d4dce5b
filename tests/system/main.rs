//! The whole way of an event, through real servers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod answers;
mod aside;
mod backpressure;
mod crashes;
mod floods;
mod outages;
mod privacy;
mod processes;
mod traces;
mod upgrades;
mod way;
