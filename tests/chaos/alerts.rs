//! Whom the auditors alert: what they say is kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context as _;

/// A receiver of alerts, with all that it was told.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Listens until the runtime ends.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = web::Data::from(Arc::clone(&bodies));
        let server =
            HttpServer::new(move || App::new().app_data(kept.clone()).default_service(web::to(take)))
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .context("listen for alerts")?;
        let address = *server.addrs().first().context("an address")?;
        tokio::runtime::Handle::current().spawn(server.run());
        Ok(Self { address, bodies })
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn take(kept: web::Data<Mutex<Vec<String>>>, body: String) -> HttpResponse {
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    HttpResponse::Ok().finish()
}
