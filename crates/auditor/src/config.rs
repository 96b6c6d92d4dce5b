//! The configuration of the auditor.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use runtime::config::{Document, Problems};
use runtime::sections::{self, Tls};
use secrecy::SecretString;

/// Everything that the auditor is told.
#[derive(Debug)]
pub struct Config {
    /// Health and metrics.
    pub admin_listen: SocketAddr,
    /// The books, as role `countersign_auditor`.
    pub database_url: SecretString,
    /// Whom to trust over TLS and as whom to appear.
    pub database_tls: Tls,
    /// From the start of a run to the start of the next.
    pub every: Duration,
    /// How long a stop may take; a run under way is finished in that time or given up.
    pub drain: Duration,
}

impl Config {
    /// Reads it; reports every problem.
    pub fn read(mut document: Document) -> Result<Self, Problems> {
        document.skip(&["redis", "replay", "rabbitmq", "sources", "ingress", "processor", "operator"]);
        let database_tls = sections::postgres_tls(&mut document);
        let config = document.section("auditor", |s| Self {
            admin_listen: s.address("admin_listen", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9083)),
            database_url: sections::database_url(s, "database_url"),
            database_tls,
            every: Duration::from_secs(s.integer("every_s", 60, 1..=3_600)),
            drain: Duration::from_secs(s.integer("drain_s", 25, 1..=600)),
        });
        document.finish()?;
        Ok(config)
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
        assert_eq!(config.admin_listen.port(), 9083);
    }

    #[test]
    fn every_problem_is_reported_and_other_services_sections_are_none() {
        let text = "[auditor]\nevery_s = 0\ncolour = 1\n[rabbitmq]\nurl = \"amqp://localhost\"\n[nobody]\n";
        let problems = read(text).unwrap_err().0;
        for key in ["auditor.every_s", "auditor.colour", "auditor.database_url", "nobody"] {
            assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key}: {problems:?}");
        }
        assert_eq!(problems.len(), 4, "{problems:?}");
    }
}
