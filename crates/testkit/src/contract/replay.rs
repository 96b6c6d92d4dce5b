//! `replay`: see the module above.
