//! Crash points kill what a developer builds, and are absent from what is released.
#![expect(clippy::unwrap_used, reason = "a failed expectation is how a test reports")]

use std::process::{Command, Output};

use handle::CrashPoint;

/// Runs the example as it is built for `profile`, told to die at the point that it passes.
fn passes(profile: &[&str]) -> Output {
    Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--package", "countersign-handle", "--example", "passes"])
        .args(profile)
        .env(CrashPoint::VARIABLE, CrashPoint::ProcessorCommitted.name())
        .output()
        .unwrap()
}

#[test]
fn a_crash_point_kills_a_development_build_and_is_absent_from_a_release() {
    let developed = passes(&[]);
    assert!(!developed.status.success() && developed.stdout.is_empty(), "{developed:?}");
    let released = passes(&["--release"]);
    assert!(released.status.success(), "{released:?}");
    assert_eq!(released.stdout, b"passed\n");
}

#[test]
fn every_crash_point_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = CrashPoint::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), CrashPoint::ALL.len());
    for name in names {
        assert!(
            ["ingress-", "processor-", "auditor-"].iter().any(|service| name.starts_with(service)),
            "{name}"
        );
    }
}
