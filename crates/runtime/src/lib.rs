//! Configuration, telemetry, shutdown, admin listener, clock
