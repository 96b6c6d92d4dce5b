//! Verifies, claims and publishes webhooks
