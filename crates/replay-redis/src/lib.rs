//! Claims on events, sealed, in Redis
