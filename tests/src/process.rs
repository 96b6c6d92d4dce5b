//! Services as processes of their own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{System, eventually};

/// A service running as a process; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// Where cargo puts the binaries: beside the folder of the test that runs.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join(name);
    assert!(binary.exists(), "{} is not built: `cargo build --workspace`", binary.display());
    binary
}

impl Process {
    /// Starts `countersign-<service>` with the configuration of `system`; its standard error goes to a file.
    pub fn start(system: &System, service: &str, variables: &[(&str, &str)]) -> Self {
        let config = system.folder().join(format!("{service}.toml"));
        std::fs::write(&config, system.config_text()).unwrap();
        let log = system.folder().join(format!("{service}.log"));
        let child = Command::new(binary(&format!("countersign-{service}")))
            .env("COUNTERSIGN_CONFIG", config)
            .env("RUST_LOG", "debug,lapin::returned_messages=off")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// An address that it has logged when it began to listen, under the field `name`.
    pub async fn address(&self, name: &str) -> SocketAddr {
        eventually("the service listens", async || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("\"Listening\""))?;
            let fields: serde_json::Value = serde_json::from_str(line).ok()?;
            fields[name].as_str()?.parse().ok()
        })
        .await
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let killed = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
    }

    /// The memory that it has in use, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the process ends", async || child.try_wait().unwrap()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
