use std::path::Path;

use runtime::config::Document;

use super::*;

/// A folder with a good secret of each kind.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("pagerduty", "0123456789abcdef0123456789abcdef\n"),
        ("slack", "https://hooks.slack.com/services/T0/B0/hunter2\n"),
        ("plain", "http://hooks.example/hunter2\n"),
        ("siem", "https://siem.example/countersign\n"),
        ("whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n"),
        ("short", "whsec_hunter2=\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn read(text: &str) -> (Settings, Vec<String>) {
    let folder = folder();
    read_in(text, folder.path())
}

fn read_in(text: &str, folder: &Path) -> (Settings, Vec<String>) {
    let mut document = Document::parse(text, folder, core::iter::empty()).unwrap();
    let settings = document.section("auditor", Settings::read);
    (settings, document.finish().map_or_else(|problems| problems.0, |()| Vec::new()))
}

fn finding(check: &str, severity: Severity) -> OpenFinding {
    OpenFinding {
        key: "k".to_owned(),
        check: check.to_owned(),
        alert: "A".to_owned(),
        severity,
        summary: String::new(),
        probable_cause: None,
        difference: None,
        imbalance: false,
        details: [].into(),
        trace_ids: Vec::new(),
        opened_at: jiff::Timestamp::UNIX_EPOCH,
        acknowledged: false,
    }
}

#[test]
fn nothing_need_be_configured() {
    let (settings, problems) = read("");
    assert_eq!((settings.routes.len(), problems), (0, vec![]));
    assert_eq!(settings.remind_every, Duration::from_hours(4));
    assert!(Route::log().takes(&finding("balance", Severity::Info)));
}

#[test]
fn each_kind_of_route_is_read_with_what_it_takes() {
    let (settings, problems) = read(
        "[auditor.alerts]\nsource = \"eu\"\nrunbook_base_url = \"https://wiki.example/runbooks/\"\n\
         remind_every_s = 60\n\
         [auditor.alerts.routes.on-call]\nkind = \"pagerduty\"\nrouting_key = \"file:pagerduty\"\n\
         severities = [\"critical\", \"error\"]\n\
         [auditor.alerts.routes.finance]\nkind = \"slack\"\nurl = \"file:slack\"\nchecks = [\"balance\", \"audit\"]\n\
         [auditor.alerts.routes.siem]\nkind = \"webhook\"\nurl = \"file:siem\"\nsecrets = [\"file:whsec\"]\n",
    );
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(settings.runbook_base_url, "https://wiki.example/runbooks");
    assert_eq!((settings.source.as_str(), settings.remind_every.as_secs()), ("eu", 60));
    let [finance, on_call, siem] = settings.routes.as_slice() else { panic!("{settings:?}") };
    assert!(matches!(&on_call.target, Target::PagerDuty { url, .. } if *url == PAGERDUTY_URL));
    let takes = |route: &Route, check, severity| route.takes(&finding(check, severity));
    assert!(takes(on_call, "silence", Severity::Error) && !takes(on_call, "balance", Severity::Warning));
    assert!(takes(finance, "balance", Severity::Info) && takes(finance, "audit", Severity::Critical));
    assert!(!takes(finance, "transactions", Severity::Critical));
    assert!(takes(siem, "transactions", Severity::Info));
}

#[test]
fn every_problem_is_named_and_no_secret_is_shown() {
    let (_, problems) = read(
        "[auditor.alerts]\nsource = \"a b\"\ncolour = 1\n\
         [auditor.alerts.routes.log]\nkind = \"slack\"\nurl = \"file:slack\"\n\
         [auditor.alerts.routes.a]\nkind = \"pager\"\n\
         [auditor.alerts.routes.b]\nrouting_key = \"file:pagerduty\"\n\
         [auditor.alerts.routes.c]\nkind = \"pagerduty\"\nrouting_key = \"hunter2\"\nseverities = [\"grave\"]\n\
         [auditor.alerts.routes.d]\nkind = \"pagerduty\"\nrouting_key = \"file:slack\"\nurl = \"http://pd.example\"\n\
         [auditor.alerts.routes.e]\nkind = \"slack\"\nurl = \"file:plain\"\nchecks = [\"weather\"]\n\
         [auditor.alerts.routes.f]\nkind = \"webhook\"\nurl = \"file:siem\"\nsecrets = \"file:short\"\n\
         [auditor.alerts.routes.g]\nkind = \"webhook\"\nurl = \"file:absent\"\nsecrets = \"file:whsec\"\nchecks = []\n",
    );
    for expected in [
        "auditor.alerts.source:",
        "auditor.alerts.colour: unknown key",
        "auditor.alerts.runbook_base_url: is missing",
        "auditor.alerts.routes.log:",
        "auditor.alerts.routes.a.kind: \"pager\" is none of",
        "auditor.alerts.routes.b.kind: is missing",
        "auditor.alerts.routes.c.routing_key: a secret stands in a file",
        "auditor.alerts.routes.c.severities: \"grave\": none of critical",
        "auditor.alerts.routes.c.severities: names none",
        "auditor.alerts.routes.d.routing_key:",
        "auditor.alerts.routes.d.url: https:// is expected",
        "auditor.alerts.routes.e.url:",
        "auditor.alerts.routes.e.checks: \"weather\" is none of",
        "auditor.alerts.routes.f.secrets:",
        "auditor.alerts.routes.g.url:",
        "auditor.alerts.routes.g.checks: names none",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}: {problems:#?}");
    }
    assert_eq!(problems.len(), 16, "{problems:#?}");
    assert!(!problems.iter().any(|problem| problem.contains("hunter2")), "{problems:#?}");
}
