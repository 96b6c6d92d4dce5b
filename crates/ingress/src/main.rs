//! Verifies, claims and publishes webhooks

fn main() {}
