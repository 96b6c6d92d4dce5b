//! The adapters over TLS to servers that the tests start themselves: a Redis, a Postgres, a RabbitMQ.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed expectation is how a test reports")]

mod authority;
mod postgres;
mod rabbitmq;
mod redis;
mod server;
