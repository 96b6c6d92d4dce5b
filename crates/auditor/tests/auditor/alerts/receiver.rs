//! A receiver of alerts: real HTTP, answers as it is told, keeps what it got.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use hyper::Uri;
use runtime::TokioExecutor;
use runtime::admin::Serving;
use runtime::config::SecretRef;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const DEADLINE: Duration = Duration::from_secs(30);

/// What a receiver answers: a status, and `Retry-After` if that is not empty.
pub(crate) type Answer = (u16, &'static str);

/// What it got.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

pub(crate) struct Receiver {
    base: String,
    answers: Answers,
    received: UnboundedReceiver<Received>,
    _serving: Serving,
}

type Answers = Arc<Mutex<VecDeque<Answer>>>;

impl Receiver {
    /// Answers 202.
    pub(crate) fn start() -> Self {
        let (sender, received) = unbounded_channel();
        let answers = Answers::default();
        let shared = Arc::clone(&answers);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(sender.clone()))
                .app_data(web::Data::new(Arc::clone(&shared)))
                .default_service(web::to(receive))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let base = format!("http://{}", server.addrs()[0]);
        Self { base, answers, received, _serving: Serving::spawn(server.run()) }
    }

    pub(crate) fn url(&self, path: &str) -> Uri {
        format!("{}{path}", self.base).parse().unwrap()
    }

    /// A reference to the URL, which stands in a file.
    pub(crate) fn url_file(&self, folder: &Path, path: &str) -> SecretRef {
        let file = folder.join(path.trim_start_matches('/'));
        std::fs::write(&file, format!("{}\n", self.url(path))).unwrap();
        SecretRef::File(file)
    }

    /// What it answers next, one after the other; then 202 again.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Received {
        let received = TokioExecutor::handle().within(DEADLINE, self.received.recv()).await;
        received.unwrap_or_else(|| panic!("nothing was received")).unwrap()
    }

    /// What came before now and was not looked at.
    pub(crate) fn rest(&mut self) -> Vec<Received> {
        core::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

async fn receive(
    request: HttpRequest,
    body: web::Bytes,
    sender: web::Data<UnboundedSender<Received>>,
    answers: web::Data<Answers>,
) -> HttpResponse {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let path = request.path().to_owned();
    let text = String::from_utf8(body.to_vec()).unwrap();
    // After the test nobody looks any more.
    drop(sender.send(Received { path, headers: headers.collect(), text }));
    let (status, retry_after) = answers.lock().unwrap().pop_front().unwrap_or((202, ""));
    let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap());
    if !retry_after.is_empty() {
        response.insert_header(("retry-after", retry_after));
    }
    if (300..400).contains(&status) {
        response.insert_header(("location", "/elsewhere"));
    }
    response.finish()
}
