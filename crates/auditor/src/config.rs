//! The configuration of the auditor.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use std::path::PathBuf;

use audit::Limits;
use audit_postgres::HeadFile;
use runtime::config::{Document, Problems, Section};
use runtime::sections::{self, Tls};
use secrecy::{SecretSlice, SecretString};

use crate::schedule::FULL_AT;
use crate::{NoSchedule, Schedule, alert};

/// Everything that the auditor is told.
#[derive(Debug)]
pub struct Config {
    /// Health and metrics.
    pub admin_listen: SocketAddr,
    /// The books, as role `countersign_auditor`.
    pub database_url: SecretString,
    /// Whom to trust over TLS and as whom to appear.
    pub database_tls: Tls,
    /// From the start of an incremental run to the start of the next.
    pub every: Duration,
    /// When a full run is due.
    pub full: Schedule,
    /// Where the head of the chain is published; only in log, metrics and alerts if there is none.
    pub head_file: Option<PathBuf>,
    /// How many sealed rows an incremental run reads again at least.
    pub tail_rows: u64,
    /// What is too long, too many, too much.
    pub limits: Limits,
    /// Who may ask for an audit by `POST /audit`: whoever has this; nobody if there is none.
    pub audit_token: Option<SecretSlice<u8>>,
    /// Who is told.
    pub alerts: alert::Settings,
    /// How long a stop may take; a run under way is finished in that time or given up.
    pub drain: Duration,
    /// What people are shown of traces.
    pub telemetry: sections::Telemetry,
}

impl Config {
    /// Reads it; reports every problem.
    pub fn read(mut document: Document) -> Result<Self, Problems> {
        document.skip(&["redis", "replay", "rabbitmq", "sources", "ingress", "processor", "operator"]);
        let database_tls = sections::postgres_tls(&mut document);
        let telemetry = sections::telemetry(&mut document);
        let config = document.section("auditor", |s| Self {
            admin_listen: s.address("admin_listen", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9083)),
            database_url: sections::database_url(s, "database_url"),
            database_tls,
            every: Duration::from_secs(s.integer("every_s", 60, 1..=3_600)),
            full: schedule(s),
            head_file: s.path_or("head_file", HeadFile::DEFAULT_PATH),
            tail_rows: s.integer("tail_rows", 10_000, 0..=10_000_000),
            limits: Limits::read(|key, default, range| s.integer(key, default, range)),
            audit_token: s.names().iter().any(|key| key == "audit_token").then(|| s.secret("audit_token")),
            alerts: alert::Settings { trace_url: telemetry.trace_url.clone(), ..alert::Settings::read(s) },
            drain: Duration::from_secs(s.integer("drain_s", 25, 1..=600)),
            telemetry,
        });
        document.finish()?;
        Ok(config)
    }
}

/// `full_at`, a cron expression, in the time zone `full_zone`.
fn schedule(section: &mut Section<'_>) -> Schedule {
    let at = section.text("full_at").unwrap_or_else(|| FULL_AT.to_owned());
    let zone = section.text("full_zone").unwrap_or_else(|| "UTC".to_owned());
    match Schedule::parse(&at, &zone) {
        Ok(schedule) => schedule,
        Err(none) => {
            let key = match none {
                NoSchedule::Expression(_) => "full_at",
                NoSchedule::Zone(_) => "full_zone",
            };
            section.problem(key, none);
            Schedule::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Config, Problems> {
        Config::read(Document::parse(text, Path::new("/nowhere"), core::iter::empty()).unwrap())
    }

    #[test]
    fn only_the_database_must_be_named() {
        let config =
            read("[auditor]\ndatabase_url = \"postgres://countersign_auditor@localhost/countersign\"\n")
                .unwrap();
        assert_eq!(config.every, Duration::from_mins(1));
        assert_eq!(config.head_file.as_deref(), Some(Path::new("/var/lib/countersign/head")));
        assert_eq!(config.admin_listen.port(), 9083);
        assert_eq!((config.limits, config.tail_rows), (Limits::default(), 10_000));
    }

    #[test]
    fn the_head_goes_where_the_configuration_says_and_nowhere_if_it_says_so() {
        for (path, expected) in [("head", Some(Path::new("/nowhere/head"))), ("", None)] {
            let config = read(&format!(
                "[auditor]\ndatabase_url = \"postgres://a@localhost/b\"\nhead_file = \"{path}\"\n"
            ));
            assert_eq!(config.unwrap().head_file.as_deref(), expected);
        }
    }

    #[test]
    fn alerts_know_where_a_trace_can_be_looked_at() {
        let config = read(
            "[auditor]\ndatabase_url = \"postgres://a@localhost/b\"\n\
             [telemetry]\ntrace_url = \"https://t.example/{trace_id}\"\n",
        );
        let trace_url = config.unwrap().alerts.trace_url.map(|url| url.of("4bf9"));
        assert_eq!(trace_url.as_deref(), Some("https://t.example/4bf9"));
    }

    #[test]
    fn every_problem_is_reported_and_other_services_sections_are_none() {
        let text = "[auditor]\nevery_s = 0\nfull_at = \"61 2 * * *\"\ncolour = 1\n[rabbitmq]\nurl = \"amqp://localhost\"\n[nobody]\n";
        let problems = read(text).unwrap_err().0;
        for key in ["auditor.every_s", "auditor.full_at", "auditor.colour", "auditor.database_url", "nobody"]
        {
            assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key}: {problems:?}");
        }
        assert_eq!(problems.len(), 5, "{problems:?}");
    }
}
