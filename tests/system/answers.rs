use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use countersign_tests::{Reply, System, eventually, now_s};
use ingress::Problem;
use testkit::fault_proxy::Flow;
use testkit::stripe;

const HEADER: &str = "Stripe-Signature";

/// Each slug that was answered, with its status.
type Said = BTreeSet<(u16, String)>;

#[tokio::test(flavor = "multi_thread")]
async fn p2_every_refusal_is_a_problem_with_its_slug() {
    let mut said = Said::new();
    what_a_delivery_is_refused_for(&mut said).await;
    what_a_caller_is_refused_for(&mut said).await;
    what_is_refused_while_the_broker_is_silent(&mut said).await;
    what_is_refused_without_the_cache(&mut said).await;
    let all = Problem::ALL.map(|problem| (problem.status(), problem.slug().to_owned()));
    assert_eq!(said, all.into_iter().collect());
}

fn note(said: &mut Said, reply: &Reply, status: u16, slug: &str) {
    assert_eq!((reply.status, reply.word()), (status, slug), "{reply:?}");
    assert_eq!(reply.content_type, "application/problem+json");
    assert_eq!(reply.body.get("status"), Some(&status.into()));
    said.insert((status, slug.to_owned()));
}

fn event(id: &str, age_s: i64, amount: i64) -> String {
    stripe::event(id, "charge.succeeded", now_s() - age_s, &stripe::charge("ch_1", amount))
}

fn live(id: &str) -> String {
    event(id, 0, 1000).replace("\"livemode\": false", "\"livemode\": true")
}

/// How many messages there are that are no control totals.
async fn numbered(system: &System) -> usize {
    let messages = system.vhost.peek(ports::Queue::Ledger, 100).await;
    messages.iter().filter(|message| message.header("sequence").is_some()).count()
}

async fn what_a_delivery_is_refused_for(said: &mut Said) {
    let mut system = System::new().await.with_more_config("sources.stripe", "livemode = \"test\"");
    let (ingress, admin) = system.start_ingress().await;
    let body = event("evt_1", 0, 1000);
    let signed_at = |at: i64| stripe::signature(stripe::SECRET, at, body.as_bytes());
    let good = signed_at(now_s());
    let forged = stripe::signature("whsec_of_somebody_else", now_s(), body.as_bytes());
    let (old, future) = (signed_at(now_s() - 700), signed_at(now_s() + 400));
    let large = vec![b' '; (1 << 20) + 1];
    let cases = [
        (Vec::<(&str, &str)>::new(), Vec::<u8>::from(body.clone()), 400, "signature-missing"),
        (vec![(HEADER, "v1=1")], body.clone().into(), 400, "signature-malformed"),
        (vec![(HEADER, &good), (HEADER, &good)], body.clone().into(), 400, "signature-malformed"),
        (vec![(HEADER, &forged)], body.clone().into(), 401, "signature-mismatch"),
        (vec![(HEADER, &old)], body.clone().into(), 401, "signature-expired"),
        (vec![(HEADER, &future)], body.clone().into(), 401, "signature-from-future"),
        (vec![(HEADER, &good), ("Content-Encoding", "gzip")], body.clone().into(), 415, "encoding-refused"),
        (vec![(HEADER, &good)], large, 413, "payload-too-large"),
    ];
    for (headers, body, status, slug) in cases {
        note(said, &system.post_raw(ingress, &headers, body).await, status, slug);
    }
    assert_eq!(numbered(&system).await, 0);
    assert!(system.redis.keys().is_empty(), "nothing was claimed");

    // What the books are told of: once, however often it comes.
    assert_eq!(system.post(ingress, &body).await.word(), "accepted");
    let reused = event("evt_1", 0, 2000);
    for (body, status, slug, repeated) in [
        ("not json", 400, "payload-invalid", "payload-invalid"),
        (&event("evt_2", 400, 1000), 400, "event-too-old", "parked"),
        (&live("evt_3"), 400, "event-wrong-mode", "parked"),
        (&reused, 409, "event-id-reused", "parked"),
    ] {
        note(said, &system.post(ingress, body).await, status, slug);
        assert_eq!(system.post(ingress, body).await.word(), repeated, "{slug}");
    }
    assert_eq!(numbered(&system).await, 5);

    let client = reqwest::Client::new();
    let got = client.get(format!("http://{ingress}/api/v1/billing/stripe/webhook")).send().await.unwrap();
    assert_eq!((got.status().as_u16(), got.headers()["allow"].to_str().unwrap()), (405, "POST"));
    assert!(got.text().await.unwrap().contains("urn:countersign:problem:method-not-allowed"));
    said.insert((405, "method-not-allowed".to_owned()));
    for path in ["/api/v1/billing/nobody/webhook", "/", "/metrics", "/api/v1/billing/stripe/webhook/"] {
        let got = client.post(format!("http://{ingress}{path}")).send().await.unwrap();
        assert_eq!(got.status().as_u16(), 404, "{path}");
        assert!(got.text().await.unwrap().contains("urn:countersign:problem:unknown-source"));
    }
    said.insert((404, "unknown-source".to_owned()));
    assert_eq!(system.metric(admin, "billing_webhook_invalid_sig_total").await, 4);
    assert_eq!(system.metric(admin, "webhooks_rejected_rate").await, 5);
    system.close().await;
}

async fn what_a_caller_is_refused_for(said: &mut Said) {
    let mut system = System::new()
        .await
        .with_more_config("ingress", "trusted_proxies = [\"127.0.0.0/8\"]\nbody_timeout_ms = 1500");
    let (ingress, _) = system.start_ingress().await;
    let stranger = ("X-Forwarded-For", "203.0.113.9");
    note(said, &system.post_raw(ingress, &[stranger], "{}").await, 400, "signature-missing");
    // It failed once: now it has few places, and each of these requests takes one for as long as its body may take.
    let slow = tokio::task::spawn_blocking(move || {
        let stalling = (0..40).map(|_| {
            let mut stream = TcpStream::connect(ingress).unwrap();
            let head = "POST /api/v1/billing/stripe/webhook HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\
                Content-Length: 100\r\n\r\nhalf";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        });
        let streams: Vec<TcpStream> = stalling.collect();
        let answers = streams.into_iter().map(|mut stream| {
            let mut answer = String::new();
            // What the server leaves unread may make it reset the connection.
            drop(stream.read_to_string(&mut answer));
            answer
        });
        answers.collect::<Vec<String>>()
    });
    let answers = slow.await.unwrap();
    for (status, slug) in [(408, "body-timeout"), (429, "too-many-failures")] {
        let told = |answer: &&String| {
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(&format!("problem:{slug}\""))
        };
        assert!(answers.iter().any(|answer| told(&answer)), "{slug}: {answers:?}");
        said.insert((status, slug.to_owned()));
    }
    system.close().await;
}

async fn what_is_refused_while_the_broker_is_silent(said: &mut Said) {
    // Clients are told to come again before any publish is given up: its place stays taken.
    let mut system = System::new()
        .await
        .with_more_config("rabbitmq", "confirm_timeout_ms = 60000")
        .with_more_config("ingress", "in_flight_max = 2\npatience_ms = 3000");
    let proxy = system.behind_a_proxy().await;
    let (ingress, _) = system.start_ingress().await;
    let bodies = ["evt_1", "evt_2", "evt_3"].map(|id| event(id, 0, 1000));
    proxy.set(Flow::HoldAnswers);
    let claimed = async |events: usize| {
        eventually("events are claimed", async || (system.redis.keys().len() == events).then_some(())).await;
    };
    let first = system.post(ingress, &bodies[0]);
    let others = async {
        claimed(1).await;
        let again = system.post(ingress, &bodies[0]).await;
        let second = system.post(ingress, &bodies[1]);
        let third = async {
            claimed(2).await;
            system.post(ingress, &bodies[2]).await
        };
        let (second, third) = futures_util::future::join(second, third).await;
        (again, second, third)
    };
    let (first, (again, second, third)) = futures_util::future::join(first, others).await;
    note(said, &first, 503, "not-durable");
    note(said, &again, 409, "delivery-in-flight");
    note(said, &second, 503, "not-durable");
    note(said, &third, 503, "overloaded");
    for reply in [first, again, second, third] {
        let seconds: u32 = reply.retry_after.unwrap().parse().unwrap();
        assert!((1..=10).contains(&seconds), "{seconds}");
    }
    proxy.set(Flow::Pass);
    system.close().await;
}

async fn what_is_refused_without_the_cache(said: &mut Said) {
    let system = System::new().await;
    std::fs::write(system.folder().join("redis"), system.redis.url_of_user("+@all")).unwrap();
    let mut system =
        system.with_redis_at("file:redis").with_more_config("ingress", "without_replay_state = \"closed\"");
    let (ingress, _) = system.start_ingress().await;
    // From now on its user may only ask whether it is there.
    system.redis.url_of_user("+ping");
    let reply = system.post(ingress, &event("evt_1", 0, 1000)).await;
    note(said, &reply, 503, "replay-state-unavailable");
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
    proxy.set(Flow::HoldAnswers);
    let posted = bodies.clone();
    let streams =
        tokio::task::spawn_blocking(move || posted.iter().map(|body| posting(ingress, body)).collect());
    let streams: Vec<TcpStream> = streams.await.unwrap();
    eventually("each event is claimed", async || (system.redis.keys().len() == 100).then_some(())).await;
    for stream in streams {
        reset(&stream);
    }
    proxy.set(Flow::Pass);
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
