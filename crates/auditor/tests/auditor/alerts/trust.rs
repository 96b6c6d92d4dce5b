//! Over TLS.

use std::sync::Arc;

use auditor::alert::Target;
use rcgen::{CertificateParams, KeyPair};
use runtime::config::SecretRef;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use testkit::servers::postgres::Database;
use tls::{Files, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Scene, imbalance};

/// A certificate for `localhost`, vouched for by itself, with its key.
fn certificate() -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap(), key)
}

fn trusting(scene: &Scene, name: &str, pem: &str) -> Tls {
    let SecretRef::File(file) = scene.secret(name, pem) else { unreachable!("it is a file") };
    Tls::read(&Files { ca: Some(file), ..Files::default() }).unwrap()
}

/// The first request of a client that trusts, answered.
async fn first_request(listener: &TcpListener, acceptor: &TlsAcceptor) -> String {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        // One who does not trust hangs up.
        let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0, "cut short");
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        return String::from_utf8(request).unwrap();
    }
}

#[tokio::test]
async fn over_tls_nobody_is_told_whom_the_ca_file_does_not_vouch_for() {
    tls::install_backend();
    let database = Database::create().await;
    let (ours, key) = certificate();
    let (others, _) = certificate();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![ours.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());

    let mut scene = Scene::new();
    let url = scene.secret("url", &url);
    scene.route("chat", Target::Slack { url });
    scene.settings.tls = trusting(&scene, "others.pem", &others.pem());
    let distrustful = scene.auditor(&database);
    distrustful.stand(&database, &[imbalance()]).await;
    let refused = "auditor_alert_deliveries_total{route=\"chat\",result=\"retried\"} 1";
    let until_refused = async {
        let handle = runtime::TokioExecutor::handle();
        while !distrustful.metrics().contains(refused) {
            handle.sleep(core::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        request = first_request(&listener, &acceptor) => panic!("it was told: {request}"),
        () = distrustful.sending(until_refused) => {}
    }

    scene.settings.tls = trusting(&scene, "ours.pem", &ours.pem());
    let trusting = scene.auditor(&database);
    let request = trusting.sending(first_request(&listener, &acceptor)).await;
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("LedgerImbalance"), "{request}");
    database.close().await;
}
