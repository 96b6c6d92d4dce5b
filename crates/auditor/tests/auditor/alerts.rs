//! Alerts on a real database, to receivers over real HTTP.

pub(crate) mod away;
mod outbox;
mod receiver;
mod told;
mod trust;

use core::time::Duration;
use std::path::Path;

use audit_postgres::AuditStore;
use auditor::alert::{Alerts, Difference, Head, OpenFinding, Route, Settings, Severity, Standing, Target};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use runtime::TokioExecutor;
use runtime::config::SecretRef;
use testkit::servers::postgres::{Database, Role};
use tokio_util::sync::CancellationToken;

use receiver::Receiver;

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An installation's secrets, and who is told.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) settings: Settings,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            source: "test".to_owned(),
            runbook_base_url: "https://runbooks.example".to_owned(),
            retry_first: Duration::from_millis(100),
            timeout: Duration::from_secs(5),
            ..Settings::default()
        };
        Self { folder: tempfile::tempdir().unwrap(), settings }
    }

    pub(crate) fn secret(&self, name: &str, text: &str) -> SecretRef {
        let file = self.folder.path().join(name);
        std::fs::write(&file, format!("{text}\n")).unwrap();
        SecretRef::File(file)
    }

    pub(crate) fn route(&mut self, name: &str, target: Target) -> &mut Route {
        let route = Route { name: name.to_owned(), target, severities: None, checks: None };
        self.settings.routes.push(route);
        self.settings.routes.last_mut().unwrap()
    }

    pub(crate) fn pagerduty(&mut self, receiver: &Receiver) -> &mut Route {
        let routing_key = self.secret("routing-key", ROUTING_KEY);
        self.route("on-call", Target::PagerDuty { url: receiver.url("/v2/enqueue"), routing_key })
    }

    pub(crate) fn slack(&mut self, receiver: &Receiver) -> &mut Route {
        let url = receiver.url_file(self.path(), "/slack");
        self.route("finance", Target::Slack { url })
    }

    pub(crate) fn webhook(&mut self, receiver: &Receiver) -> &mut Route {
        let url = receiver.url_file(self.path(), "/hook");
        let secrets = vec![self.secret("whsec", SIGNING_SECRET)];
        self.route("siem", Target::Webhook { url, secrets })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn auditor(&self, database: &Database) -> AlertsOfOne {
        let mut registry = Registry::default();
        let store = AuditStore::connect(&audit_postgres::Settings::new(database.url(Role::Auditor))).unwrap();
        let alerts = Alerts::new(&self.settings, store, TokioExecutor::handle(), &mut registry).unwrap();
        AlertsOfOne { alerts, registry }
    }
}

/// The alerts of one auditor, with its metrics.
pub(crate) struct AlertsOfOne {
    pub(crate) alerts: Alerts,
    registry: Registry,
}

impl AlertsOfOne {
    /// Sends while `test` goes on.
    pub(crate) async fn sending<T>(&self, test: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        let (value, ()) = tokio::join!(
            async {
                let value = test.await;
                stop.cancel();
                value
            },
            self.alerts.run(&stop)
        );
        value
    }

    pub(crate) async fn stand(&self, database: &Database, open: &[OpenFinding]) {
        let client = database.connect(Role::Superuser).await;
        let row = client.query_one("SELECT clock_timestamp()::TEXT", &[]).await.unwrap();
        let as_of = row.get::<_, &str>(0).parse().unwrap();
        let head = Some(Head { height: 41, digest: "ab12".to_owned() });
        self.alerts.stand(&Standing { as_of, open: open.to_vec(), head }).await;
    }

    pub(crate) fn route_failing(&self, route: &str) -> bool {
        let begin = format!("auditor_alert_route_failing{{route=\"{route}\",");
        let metrics = self.metrics();
        metrics.lines().find(|line| line.starts_with(&begin)).unwrap().ends_with(" 1")
    }

    pub(crate) async fn until_failing(&self, route: &str) {
        self.until("the route is failing", || self.route_failing(route)).await;
    }

    pub(crate) async fn until_delivered(&self, route: &str, times: u32) {
        let line = format!("auditor_alert_deliveries_total{{route=\"{route}\",result=\"sent\"}} {times}\n");
        self.until(&line, || self.metrics().contains(&line)).await;
    }

    async fn until(&self, what: &str, is: impl Fn() -> bool) {
        let handle = TokioExecutor::handle();
        let deadline = handle.monotonic().saturating_add(Duration::from_secs(20));
        while !is() {
            assert!(handle.monotonic() < deadline, "{what}:\n{}", self.metrics());
            handle.sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// Live dollars do not balance.
pub(crate) fn imbalance() -> OpenFinding {
    OpenFinding {
        key: "balance/live/USD".to_owned(),
        check: "balance".to_owned(),
        alert: "LedgerImbalance".to_owned(),
        severity: Severity::Critical,
        summary: "Debits and credits of live USD differ".to_owned(),
        probable_cause: Some("an amount was edited".to_owned()),
        difference: Some(Difference { minor: 500, currency: Some("USD".to_owned()), livemode: true }),
        imbalance: true,
        details: [("transaction".to_owned(), "17".to_owned())].into(),
        trace_ids: vec!["4bf92f3577b34da6a3ce929d0e0e4736".to_owned()],
        opened_at: "2026-11-22T10:00:00Z".parse().unwrap(),
        acknowledged: false,
    }
}

/// Another one, milder.
pub(crate) fn silence() -> OpenFinding {
    OpenFinding {
        key: "silence/stripe".to_owned(),
        check: "silence".to_owned(),
        alert: "SourceSilent".to_owned(),
        severity: Severity::Warning,
        summary: "stripe has been quiet for 24 h".to_owned(),
        probable_cause: None,
        difference: None,
        imbalance: false,
        details: [].into(),
        trace_ids: Vec::new(),
        opened_at: "2026-11-22T11:00:00Z".parse().unwrap(),
        acknowledged: false,
    }
}
