//! The binary: its log lines, its signals, its exit codes.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use testkit::servers::postgres::Role;

use crate::books::{balanced, damage, heal};

const DEADLINE: Duration = Duration::from_secs(30);

/// A running auditor; killed if the test fails.
struct Process {
    child: Child,
    lines: Receiver<Value>,
}

impl Process {
    fn start(config: &Path, database_url: &str) -> Self {
        let mut child = command(config)
            .env("AUDITOR_TEST_DATABASE_URL", database_url)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines() {
                // After the test nobody listens any more.
                drop(send.send(serde_json::from_str(&line.unwrap()).unwrap()));
            }
        });
        Self { child, lines }
    }

    /// The next log line with this message.
    fn until_logged(&self, message: &str) -> Value {
        loop {
            let line =
                self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("never logged: {message}"));
            if line["message"] == message {
                return line;
            }
        }
    }

    fn terminate(mut self) -> Option<i32> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already if all went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-auditor"));
    command.env("COUNTERSIGN_CONFIG", config).env_remove("RUST_LOG");
    command
}

fn output(config: &Path, argument: &str) -> Output {
    command(config).env("AUDITOR_TEST_DATABASE_URL", "postgres://localhost").arg(argument).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_when_books_balance_and_when_not_and_sigterm_ends_it_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("countersign.toml");
    let text = "[auditor]\nhead_file = \"head\"\nadmin_listen = \"127.0.0.1:0\"\ndatabase_url = \"env:AUDITOR_TEST_DATABASE_URL\"\nevery_s = 1\n";
    std::fs::write(&config, text).unwrap();

    let database = balanced().await;
    let process = Process::start(&config, &database.url(Role::Auditor));
    assert_eq!(process.until_logged("Ledger balance verified")["level"], "INFO");

    damage(&database).await;
    let line = process.until_logged("LEDGER IMBALANCE DETECTED!");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["difference_minor"], 500);
    assert_eq!(line["currency"], "USD");
    assert_eq!(line["livemode"], true);
    assert_eq!(line["transactions"], "1");

    let alert = process.until_logged("CRITICAL: Ledger imbalance - manual review required");
    assert_eq!((&alert["level"], &alert["alert"]), (&json!("ERROR"), &json!("LedgerImbalance")));
    assert_eq!(alert["difference_minor"], 500);
    assert_eq!(alert["difference"], "5.00 USD live");

    heal(&database).await;
    process.until_logged("Ledger balance verified");
    assert_eq!(process.until_logged("A finding has healed")["key"], alert["key"]);
    assert_eq!(process.terminate(), Some(0));
    database.close().await;
}

#[test]
fn an_auditor_that_cannot_publish_the_head_does_not_start_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("countersign.toml");
    let text = "[auditor]\nadmin_listen = \"127.0.0.1:0\"\ndatabase_url = \"postgres://localhost\"\nhead_file = \"gone/head\"\n";
    std::fs::write(&config, text).unwrap();
    let ended = command(&config).output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success(), "{log}");
    assert!(log.contains("auditor.head_file") && log.contains("gone/head"), "{log}");
}

#[test]
fn a_configuration_is_checked_and_a_bad_one_is_refused_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("countersign.toml");
    std::fs::write(&config, "[auditor]\ndatabase_url = \"env:AUDITOR_TEST_DATABASE_URL\"\n").unwrap();
    assert_eq!(output(&config, "--check-config").status.code(), Some(0));

    std::fs::write(&config, "[auditor]\nevery_s = 0\n").unwrap();
    let refused = output(&config, "--check-config");
    assert_eq!(refused.status.code(), Some(64));
    let problems = String::from_utf8(refused.stderr).unwrap();
    assert!(problems.contains("auditor.every_s") && problems.contains("auditor.database_url"), "{problems}");
}
