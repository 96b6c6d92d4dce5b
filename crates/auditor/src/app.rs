//! The composition: the same for `main` and for tests on port 0.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use audit_postgres::{AuditStore, HeadFile, Settings};
use handle::Handle;
use prometheus_client::registry::Registry;
use runtime::Stop;
use runtime::admin::{Admin, Readiness, Serving};
use secrecy::ExposeSecret as _;

use crate::alert::Alerts;
use crate::{Auditor, Config, Metrics, Schedule, on_demand};

/// An auditor with its admin listener bound and no run begun.
#[derive(Debug)]
pub struct App {
    /// Health and metrics.
    pub admin_address: SocketAddr,
    admin: Serving,
    auditor: Arc<Auditor>,
    alerts: Alerts,
    every: Duration,
    full: Schedule,
}

impl App {
    /// Binds and composes; connects when the first run does.
    pub fn bind(config: &Config, handle: Handle) -> anyhow::Result<Self> {
        let settings = Settings {
            tls: config.database_tls.clone(),
            limits: config.limits.clone(),
            tail_rows: config.tail_rows,
            ..Settings::new(config.database_url.expose_secret())
        };
        let store = AuditStore::connect(&settings).context("open the books")?;
        // Its own connections: a full run may hold the others for minutes.
        let outbox = AuditStore::connect(&settings).context("open the outbox")?;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, handle.clone());
        let alerts = Alerts::new(&config.alerts, outbox, handle.clone(), &mut registry)
            .context("prepare the alerts")?;
        let admin =
            Admin::bind(config.admin_listen).with_context(|| format!("bind {}", config.admin_listen))?;
        let admin_address = admin.address;
        let head_file = config.head_file.as_ref().map(HeadFile::new);
        match &head_file {
            Some(file) => {
                file.prepare().context("open auditor.head_file, where the head of the chain is published")?;
            }
            None => tracing::warn!("The head of the chain is published nowhere: auditor.head_file is empty"),
        }
        let ready = readiness(store.clone());
        let auditor = Auditor { store, metrics, alerts: alerts.clone(), head_file, handle };
        let auditor = Arc::new(auditor);
        let on_demand = on_demand::route(config.audit_token.clone(), Arc::clone(&auditor));
        let admin = admin.serve_with(registry, ready, on_demand).context("listen for health and metrics")?;
        Ok(Self { admin_address, admin, auditor, alerts, every: config.every, full: config.full.clone() })
    }

    /// Audits until the soft stop; a run under way is finished, or given up at the hard one: it only reads.
    pub async fn run(mut self, stop: Stop) -> anyhow::Result<()> {
        let working = async {
            tokio::join!(
                self.auditor.run_every(self.every, &self.full, &stop.soft),
                self.alerts.run(&stop.soft)
            )
        };
        let ended = tokio::select! {
            ((), ()) = working => Ok(()),
            error = self.admin.failed() => Err(error).context("serve health and metrics"),
            () = stop.hard.cancelled() => {
                tracing::warn!("Stopped with a run under way; nothing is lost");
                Ok(())
            }
        };
        self.admin.stop().await;
        ended
    }
}

fn readiness(store: AuditStore) -> Readiness {
    Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { vec![("postgres", store.ready().await.map_err(|error| error.to_string()))] })
    })
}
