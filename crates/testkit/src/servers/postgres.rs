//! `postgres`: see the module above.
