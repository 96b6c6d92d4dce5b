//! Real processes against real servers.
