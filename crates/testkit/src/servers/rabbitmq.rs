//! `rabbitmq`: see the module above.
