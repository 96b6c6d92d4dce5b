//! Passes a crash point and says so: what `tests/crash.rs` looks at.
#![expect(clippy::print_stdout, reason = "a test reads it")]

use handle::CrashPoint;

fn main() {
    CrashPoint::ProcessorCommitted.pass();
    println!("passed");
}
