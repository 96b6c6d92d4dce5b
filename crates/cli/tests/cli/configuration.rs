//! Mistakes of whoever types or configures.

use std::path::Path;

use crate::command::{Configured, countersign};

#[test]
fn three_mistakes_are_all_named_and_nothing_is_done() {
    let configured = Configured::new(
        "[operator]\ndatabase_url = 5\ncolour = \"red\"\n[operater]\ndatabase_url = \"postgres://x@localhost/x\"\n",
    );
    for arguments in [&["balances"][..], &["events"], &["event", "evt_1"]] {
        let ended = configured.run(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{arguments:?}");
        for mistake in ["operator.database_url", "operator.colour", "operater"] {
            assert!(ended.stderr.contains(mistake), "{mistake}: {}", ended.stderr);
        }
    }
}

#[test]
fn mistakes_in_what_sending_needs_are_all_named() {
    let configured = Configured::new(
        "[ingress]\nlisten = \"nowhere\"\nbody_max_bytes = 1\n[sources.stripe]\nsecrets = \"whsec_in_the_file\"\ncolour = 1\n",
    );
    let ended = configured.run(&["send", "--source", "stripe", "--event", "charge.succeeded"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""));
    for mistake in ["ingress.listen", "sources.stripe.secrets", "sources.stripe.colour"] {
        assert!(ended.stderr.contains(mistake), "{mistake}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("whsec_in_the_file"), "a secret is never printed");
    assert!(!ended.stderr.contains("body_max_bytes"), "that is for the ingress to judge: {}", ended.stderr);
}

#[test]
fn a_command_asks_for_no_more_than_its_own_section() {
    let configured = Configured::new(
        "[auditor]\ndatabase_url = \"postgres://countersign_auditor@127.0.0.1:1/countersign\"\nevery_s = 60\n\
         [replay]\nsecret = \"file:not-for-the-auditor\"\n",
    );
    assert_eq!(configured.run(&["verify"]).code, Some(2));
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_0() {
    for arguments in [&[][..], &["verfy"], &["verify", "--fast"], &["event"], &["events", "--status", "lost"]]
    {
        let ended = countersign(None, arguments, b"");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["send", "--help"]] {
        let ended = countersign(None, arguments, b"");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn without_a_configuration_every_command_says_so() {
    for command in ["migrate", "verify", "balances", "events"] {
        let ended = countersign(None, &[command], b"");
        assert_eq!(ended.code, Some(64), "{command}");
        assert!(ended.stderr.contains("COUNTERSIGN_CONFIG"), "{}", ended.stderr);
    }
}

#[test]
fn the_development_configuration_is_good() {
    let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev/countersign.toml");
    let arguments = ["send", "--source", "stripe", "--event", "charge.succeeded", "--print"];
    let ended = countersign(Some(&dev), &arguments, b"");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(
        ended.stdout.contains("'http://127.0.0.1:8080/api/v1/billing/stripe/webhook'"),
        "{}",
        ended.stdout
    );
}
