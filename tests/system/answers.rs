use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use countersign_tests::{System, eventually, now_s};
use testkit::stripe;

#[tokio::test(flavor = "multi_thread")]
async fn p2_every_refusal_is_a_problem_with_its_slug() {
    let mut system = System::new().await;
    let (ingress, admin) = system.start_ingress().await;
    let body = stripe::event("evt_1", "charge.succeeded", now_s(), &stripe::charge("ch_1", 1000));
    let signed_at = |at: i64| stripe::signature(stripe::SECRET, at, body.as_bytes());
    let good = signed_at(now_s());
    let forged = stripe::signature("whsec_of_somebody_else", now_s(), body.as_bytes());
    let (old, future) = (signed_at(now_s() - 700), signed_at(now_s() + 400));
    let header = "Stripe-Signature";
    let large = vec![b' '; (1 << 20) + 1];
    let not_json = stripe::signature(stripe::SECRET, now_s(), b"not json");
    let cases = [
        (Vec::<(&str, &str)>::new(), Vec::<u8>::from(body.clone()), 400, "signature-missing"),
        (vec![(header, "v1=1")], body.clone().into(), 400, "signature-malformed"),
        (vec![(header, &good), (header, &good)], body.clone().into(), 400, "signature-malformed"),
        (vec![(header, &forged)], body.clone().into(), 401, "signature-mismatch"),
        (vec![(header, &old)], body.clone().into(), 401, "signature-expired"),
        (vec![(header, &future)], body.clone().into(), 401, "signature-from-future"),
        (vec![(header, &not_json)], b"not json".to_vec(), 400, "payload-invalid"),
        (vec![(header, &good), ("Content-Encoding", "gzip")], body.clone().into(), 415, "encoding-refused"),
        (vec![(header, &good)], large, 413, "payload-too-large"),
    ];
    for (headers, body, status, slug) in cases {
        let reply = system.post_raw(ingress, &headers, body).await;
        assert_eq!((reply.status, reply.word()), (status, slug), "{reply:?}");
        assert_eq!(reply.content_type, "application/problem+json");
        assert_eq!(reply.body["status"], status);
    }
    let client = reqwest::Client::new();
    let got = client.get(format!("http://{ingress}/api/v1/billing/stripe/webhook")).send().await.unwrap();
    assert_eq!((got.status().as_u16(), got.headers()["allow"].to_str().unwrap()), (405, "POST"));
    for path in ["/api/v1/billing/nobody/webhook", "/", "/metrics", "/api/v1/billing/stripe/webhook/"] {
        let got = client.post(format!("http://{ingress}{path}")).send().await.unwrap();
        assert_eq!(got.status().as_u16(), 404, "{path}");
        assert!(got.text().await.unwrap().contains("urn:countersign:problem:unknown-source"));
    }
    assert_eq!(system.metric(admin, "billing_webhook_invalid_sig_total").await, 4);
    assert_eq!(system.metric(admin, "webhooks_rejected_rate").await, 2);
    assert_eq!(system.vhost.depth(ports::Queue::Ledger).await, 0);
    assert!(system.redis.keys().is_empty());
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_given_up() {
    let mut system = System::new().await.with_more_config("ingress", "body_timeout_ms = 300");
    let (ingress, _) = system.start_ingress().await;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(ingress).unwrap();
        let head =
            "POST /api/v1/billing/stripe/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-timeout"), "{answer}");
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_hundred_clients_that_reset_between_claim_and_confirm_lose_nothing() {
    let mut system = System::new().await.with_more_config("rabbitmq", "confirm_timeout_ms = 60000");
    let proxy = system.behind_a_proxy().await;
    let (ingress, _) = system.start_ingress().await;
    let bodies: Vec<String> = (0..100)
        .map(|n| {
            let charge = stripe::charge(&format!("ch_{n}"), 100);
            stripe::event(&format!("evt_{n}"), "charge.succeeded", now_s(), &charge)
        })
        .collect();
    // No confirm comes through: each event is claimed, published, and waits.
    proxy.hold();
    let posted = bodies.clone();
    let streams =
        tokio::task::spawn_blocking(move || posted.iter().map(|body| posting(ingress, body)).collect());
    let streams: Vec<TcpStream> = streams.await.unwrap();
    eventually("each event is claimed", async || (system.redis.keys().len() == 100).then_some(())).await;
    for stream in streams {
        reset(&stream);
    }
    proxy.let_go();
    // Nobody sends again: what is booked now was not dropped with its client.
    system.start_processor().await;
    system.recorded(100).await;
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 100);
    for body in &bodies {
        system.told(ingress, body).await;
    }
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 100);
    system.close().await;
}

/// A connection over which a signed event was posted, its answer not yet read.
fn posting(ingress: SocketAddr, body: &str) -> TcpStream {
    let signature = stripe::signature(stripe::SECRET, now_s(), body.as_bytes());
    let mut stream = TcpStream::connect(ingress).unwrap();
    let head = format!(
        "POST /api/v1/billing/stripe/webhook HTTP/1.1\r\nHost: x\r\nStripe-Signature: {signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

/// Closes with RST instead of FIN, as a client does that is gone.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}
