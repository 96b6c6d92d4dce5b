//! `bus`: see the module above.
