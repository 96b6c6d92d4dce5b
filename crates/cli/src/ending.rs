//! How a command ends, and the exit code that says so.

use std::process::ExitCode;

use runtime::EXIT_USAGE;
use runtime::config::Problems;

/// It could not be done: nothing was learnt.
const EXIT_FAILED: u8 = 2;

/// What a command that did its work found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As hoped: exit 0.
    Yes,
    /// Findings, a refusal, an unexpected answer, nothing found: exit 1.
    No,
}

impl Answer {
    pub(crate) const fn from_bool(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, the configuration or a secret is wrong: exit 64.
    Usage(String),
    /// Something that it needs did not work: exit 2.
    Failed(anyhow::Error),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Usage(problems.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// The exit code; what went wrong goes to standard error.
pub(crate) fn exit(ended: Result<Answer, Failure>) -> ExitCode {
    match ended {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::FAILURE,
        Err(Failure::Usage(text)) => {
            complain(text.trim_end());
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failure::Failed(error)) => {
            complain(&format!("{error:#}"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Help and the version are answers; anything else that clap says is about the command line.
pub(crate) fn exit_of_clap(error: &clap::Error) -> ExitCode {
    match error.print() {
        Ok(()) if error.use_stderr() => ExitCode::from(EXIT_USAGE),
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(EXIT_FAILED),
    }
}

/// A line for the person at the terminal; never part of a command's answer.
#[expect(clippy::print_stderr, reason = "the command line speaks to a person")]
pub(crate) fn complain(text: &str) {
    eprintln!("countersign: {text}");
}
