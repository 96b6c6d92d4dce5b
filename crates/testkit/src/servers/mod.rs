//! The private servers of the tests: a database, a key prefix, a vhost for each test.

pub mod postgres;
pub mod rabbitmq;
pub mod redis;
