//! Running the binary.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Runs the tool with `stdin` and with `config` as its configuration, if any; nothing else of the environment.
pub(crate) fn countersign<S: AsRef<OsStr>>(config: Option<&Path>, arguments: &[S], stdin: &[u8]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.env_clear().args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(config) = config {
        command.env("COUNTERSIGN_CONFIG", config);
    }
    let mut child = command.spawn().unwrap();
    // A child that refuses its arguments reads nothing.
    drop(child.stdin.take().unwrap().write_all(stdin));
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A configuration in a folder of its own.
#[derive(Debug)]
pub(crate) struct Configured(TempDir);

impl Configured {
    /// With this text.
    pub(crate) fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("countersign.toml"), text).unwrap();
        Self(folder)
    }

    /// Puts a file beside it.
    pub(crate) fn with(self, name: &str, content: &str) -> Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    /// Runs the tool with it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        countersign(Some(&self.0.path().join("countersign.toml")), arguments, b"")
    }
}
