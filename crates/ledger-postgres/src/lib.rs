//! The books in Postgres: migrations, batch recording, reads
