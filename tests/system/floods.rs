//! Much of what is worth nothing, and the one delivery behind it.

use std::net::SocketAddr;

use countersign_tests::{System, eventually, now_s};
use futures_util::stream::{self, StreamExt as _};
use testkit::stripe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Requests under way at a time.
const AT_ONCE: usize = 64;

fn body(id: &str) -> String {
    stripe::event(id, "charge.succeeded", now_s(), &stripe::charge(&format!("ch_of_{id}"), 100))
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_behind_a_thousand_forgeries_through_one_proxy_a_genuine_delivery_is_accepted() {
    let mut system = System::new().await.with_more_config("ingress", "trusted_proxies = [\"127.0.0.0/8\"]");
    let (ingress, admin) = system.start_ingress().await;
    let client = ("X-Forwarded-For", "203.0.113.7");
    let forgeries = stream::iter(0..1_000).for_each_concurrent(AT_ONCE, async |n| {
        let forged = stripe::signature("whsec_of_somebody_else", now_s(), body("evt_forged").as_bytes());
        let reply =
            system.post_raw(ingress, &[client, ("Stripe-Signature", &forged)], body("evt_forged")).await;
        assert!(["signature-mismatch", "too-many-failures"].contains(&reply.word()), "{n}: {reply:?}");
    });
    let genuine = async {
        eventually("the flood is on", async || {
            let line = "webhooks_answered_total{source=\"stripe\",answer=\"signature-mismatch\"}";
            (system.metric(admin, line).await > 100).then_some(())
        })
        .await;
        let body = body("evt_genuine");
        let signature = stripe::signature(stripe::SECRET, now_s(), body.as_bytes());
        system.post_raw(ingress, &[client, ("Stripe-Signature", &signature)], body).await
    };
    let ((), reply) = futures_util::future::join(forgeries, genuine).await;
    assert_eq!((reply.status, reply.word()), (200, "accepted"), "{reply:?}");
    system.start_processor().await;
    system.recorded(1).await;
    assert_eq!(system.count("SELECT FROM countersign.delivery").await, 1);
    system.close().await;
}

/// How often the flood repeats its request over each of its connections. A hundred thousand times, without servers, are in the
/// tests of the ingress.
const REPEATS: usize = 500;
const CONNECTIONS: usize = 16;

/// Sends one request again and again over one connection, without waiting for answers; gives how many were 200.
async fn repeat(ingress: SocketAddr, request: &[u8]) -> usize {
    let (mut reader, mut writer) = TcpStream::connect(ingress).await.unwrap().into_split();
    let send = async {
        for _ in 0..REPEATS {
            writer.write_all(request).await.unwrap();
        }
    };
    let receive = async {
        let (mut unread, mut answered, mut good) = (Vec::new(), 0, 0);
        while answered < REPEATS {
            assert!(reader.read_buf(&mut unread).await.unwrap() > 0, "the connection was closed");
            while let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
                // A head, before it what was left of the body of the answer before.
                let head: Vec<u8> = unread.drain(..end + 4).collect();
                answered += 1;
                good += usize::from(String::from_utf8_lossy(&head).contains("HTTP/1.1 200 OK"));
            }
        }
        good
    };
    futures_util::future::join(send, receive).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_one_valid_request_sent_over_and_over_leaves_few_rows_and_delays_no_other() {
    let mut system = System::new().await;
    let (ingress, admin) = system.start_ingress().await;
    system.start_processor().await;
    let repeated = body("evt_repeated");
    assert_eq!(system.post(ingress, &repeated).await.word(), "accepted");
    let signature = stripe::signature(stripe::SECRET, now_s(), repeated.as_bytes());
    let request = format!(
        "POST /api/v1/billing/stripe/webhook HTTP/1.1\r\nHost: {ingress}\r\nStripe-Signature: {signature}\r\n\
         Content-Length: {}\r\n\r\n{repeated}",
        repeated.len()
    );
    let flood = futures_util::future::join_all((0..CONNECTIONS).map(|_| repeat(ingress, request.as_bytes())));
    let fresh = async {
        eventually("the flood is on", async || {
            let replayed = "webhooks_answered_total{source=\"stripe\",answer=\"replayed\"}";
            (system.metric(admin, replayed).await > 100).then_some(())
        })
        .await;
        let body = body("evt_fresh");
        assert_eq!(system.post(ingress, &body).await.word(), "accepted");
        eventually("the fresh event is booked while the flood goes on", async || {
            let booked = "SELECT FROM countersign.event WHERE event_id = 'evt_fresh' AND outcome = 'booked'";
            (system.count(booked).await == 1).then_some(())
        })
        .await;
    };
    let (answers, ()) = futures_util::future::join(flood, fresh).await;
    assert_eq!(answers.iter().sum::<usize>(), CONNECTIONS * REPEATS);
    let mut rows = 0;
    for table in
        ["delivery", "event", "event_status", "transaction", "entry", "event_transaction", "refusal_count"]
    {
        rows += system.count(&format!("SELECT FROM countersign.{table}")).await;
    }
    // Six of them are those of the fresh event.
    assert!(rows <= 15, "{rows} rows");
    system.close().await;
}
