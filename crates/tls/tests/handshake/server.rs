//! A server of one test: started, waited for, ended with it.

use core::time::Duration;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use runtime::TokioExecutor;

/// Longer than any server takes that starts at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process and all that it starts.
pub(crate) struct Server {
    child: Child,
    /// `INT`, `KILL`.
    ending: &'static str,
}

impl Server {
    /// What it says stands in `log` in the folder.
    pub(crate) fn start(mut command: Command, ending: &'static str, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let errors = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0).spawn().unwrap();
        Self { child, ending }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let killed = Command::new("kill").args(["-s", self.ending, "--", &group]).status();
        assert!(killed.is_ok_and(|status| status.success()) || std::thread::panicking(), "not killed");
        drop(self.child.wait());
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let handle = TokioExecutor::handle();
    let holding = async {
        while !condition() {
            handle.sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(handle.within(PATIENCE, holding).await.is_some(), "in vain: {what}");
}

pub(crate) async fn until_listening(port: u16) {
    until("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
}

/// `program` as whoever runs the test, or as `user` where that is root and the program refuses it.
pub(crate) fn as_user(user: &str, program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let words = [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
    command.args(words).args(["--", program]);
    command
}

/// Gives the folder to who runs the server.
pub(crate) fn hand_over(folder: &Path, user: &str) {
    if is_root() {
        run(Command::new("chown").args(["-R", user]).arg(folder));
    }
}

pub(crate) fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
