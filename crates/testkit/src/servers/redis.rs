//! `redis`: see the module above.
