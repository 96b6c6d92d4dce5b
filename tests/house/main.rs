//! The house rules that the compiler does not know: who may depend on whom, what is used, what it is licensed under,
//! and that every document says what is there.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod dependencies;
mod documents;
mod fields;
