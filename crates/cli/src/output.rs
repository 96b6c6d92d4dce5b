//! Standard output: a command's answer, for people or for programs.

use core::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Prints `text` as it is. A reader that has seen enough (`countersign events | head`) is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a value as one JSON document if a program asks, else the words for people.
pub(crate) fn print_either(json: bool, value: &impl Serialize, words: &impl Display) -> anyhow::Result<()> {
    if json {
        let text = serde_json::to_string_pretty(value).context("write the answer as JSON")?;
        print(&format!("{text}\n"))
    } else {
        print(&words.to_string())
    }
}
