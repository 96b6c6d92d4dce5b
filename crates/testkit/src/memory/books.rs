//! `books`: see the module above.
