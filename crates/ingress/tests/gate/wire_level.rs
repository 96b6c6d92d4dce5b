//! The real listener on port 0 over the gate in memory, spoken to byte by byte. Every request here is signed with the right
//! secret: wherever the server understood what was smuggled, it would be accepted and published.

use std::net::SocketAddr;
use std::time::Duration;

use ingress::{Limits, Proxies, ReplayPolicy, Shell};
use provider::telegram::CheckoutVerdict;
use runtime::TokioExecutor;
use runtime::admin::Serving;
use testkit::memory::bus::BusFault;
use testkit::memory::replay::ReplayFault;
use testkit::{stripe, telegram};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::World;

/// A connection that is to be closed is closed within this time.
const DEADLINE: Duration = Duration::from_secs(10);

/// Short, since tests wait for it.
const SLOW: Duration = Duration::from_millis(300);

const BODY_MAX_BYTES: usize = 128 * 1024;

const PATH: &str = "/api/v1/billing/stripe/webhook";

struct Server {
    world: World,
    address: SocketAddr,
    serving: Serving,
}

impl Server {
    fn start(trusted: &[&str]) -> Self {
        Self::over(World::new(TokioExecutor::handle(), ReplayPolicy::Open), trusted)
    }

    fn over(world: World, trusted: &[&str]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shell = Shell {
            gate: world.gate.clone(),
            handle: world.handle.clone(),
            proxies: Proxies(trusted.iter().map(|network| network.parse().unwrap()).collect()),
            limits: Limits {
                head_timeout: SLOW,
                body_max_bytes: BODY_MAX_BYTES,
                body_timeout: SLOW,
                drain: Duration::from_secs(1),
            },
        };
        let serving = shell.serve(listener).unwrap();
        Self { world, address, serving }
    }

    async fn stop(self) {
        self.serving.stop().await;
    }

    /// The signature's header line.
    fn signed(&self, body: &str) -> String {
        let now = self.world.handle.now().seconds();
        format!("Stripe-Signature: {}\r\n", stripe::signature(stripe::SECRET, now, body.as_bytes()))
    }

    /// A request that is accepted, with `more` header lines.
    fn genuine(&self, event_id: &str, more: &str) -> String {
        let body = self.world.body(event_id);
        let signed = self.signed(&body);
        let length = body.len();
        format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{signed}{more}Content-Length: {length}\r\n\r\n{body}")
    }

    /// Whatever the server says to `request` until it closes the connection, which it must.
    async fn until_closed(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that refuses need not read to the end; what it says is what counts.
        drop(stream.write_all(request).await);
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset closes it as well.
    let ended = timeout(DEADLINE, async { while let Ok(1..) = stream.read_buf(&mut said).await {} }).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ended.is_ok(), "the connection stays open after {said:?}");
    said
}

/// Reads up to and including `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut said = Vec::new();
    let read = async {
        while !said.ends_with(end.as_bytes()) {
            said.push(stream.read_u8().await.unwrap());
        }
    };
    let ended = timeout(DEADLINE, read).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ended.is_ok(), "{end:?} does not come after {said:?}");
    said
}

/// The status codes of all the answers.
fn statuses(said: &str) -> Vec<&str> {
    said.split("HTTP/1.1 ").skip(1).map(|answer| answer.split(' ').next().unwrap_or_default()).collect()
}

#[tokio::test]
async fn genuine_requests_one_after_the_other_are_all_accepted() {
    let server = Server::start(&[]);
    let requests = ["evt_1", "evt_2", "evt_3"].map(|id| server.genuine(id, "")).concat();
    let requests = requests + &server.genuine("evt_4", "Connection: close\r\n");
    let said = server.until_closed(requests.as_bytes()).await;
    assert_eq!(statuses(&said), ["200"; 4], "{said}");
    assert_eq!(server.world.published(), 4);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_two_servers_could_read_differently_is_refused_and_nothing_behind_it_is_read() {
    let server = Server::start(&[]);
    let hidden = server.genuine("evt_hidden", "");
    let body = server.world.body("evt_1");
    let (signed, length) = (server.signed(&body), body.len());
    let whole = format!("0\r\n\r\n{hidden}");
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let head = |line: &str| format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{signed}{line}\r\n\r\n");
    let (many, huge) = ("X: y\r\n".repeat(97), "y".repeat(129 * 1024));
    let requests = [
        ("CL.TE", head(&format!("Content-Length: {}\r\nTransfer-Encoding: chunked", whole.len())) + &whole),
        ("TE.CL", head(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}")) + &body),
        (
            "TE and a true CL",
            head(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}")) + &chunked,
        ),
        ("two lengths", head(&format!("Content-Length: {length}\r\nContent-Length: 0")) + &body),
        ("one length twice", head(&format!("Content-Length: {length}\r\nContent-Length: {length}")) + &body),
        ("a list of lengths", head(&format!("Content-Length: {length}, {length}")) + &body),
        ("a signed length", head(&format!("Content-Length: +{length}")) + &body),
        ("a negative length", head("Content-Length: -1") + &body),
        ("a length that overflows", head("Content-Length: 99999999999999999999") + &body),
        ("two codings", head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") + &chunked),
        ("a list of codings", head("Transfer-Encoding: identity, chunked") + &chunked),
        ("an unknown coding", head("Transfer-Encoding: xchunked") + &chunked),
        ("identity", head("Transfer-Encoding: identity") + &body),
        ("a space before the colon", head("Transfer-Encoding : chunked") + &chunked),
        ("a folded line", head(&format!("X: a\r\n b\r\nContent-Length: {length}")) + &body),
        ("a folded coding", head("Transfer-Encoding:\r\n chunked") + &chunked),
        ("a bare CR", head(&format!("X: a\rb\r\nContent-Length: {length}")) + &body),
        ("a zero byte", head(&format!("X: a\0b\r\nContent-Length: {length}")) + &body),
        ("two hosts", head(&format!("Host: y\r\nContent-Length: {length}")) + &body),
        ("no host", head(&format!("Content-Length: {length}")).replace("Host: x\r\n", "") + &body),
        ("a coding in 1.0", head("Transfer-Encoding: chunked").replace("1.1", "1.0") + &chunked),
        ("too many headers", head(&format!("{many}Content-Length: {length}")) + &body),
        ("a huge head", head(&format!("X: {huge}\r\nContent-Length: {length}")) + &body),
        ("a chunk of no size", head("Transfer-Encoding: chunked") + &format!("x\r\n{body}\r\n0\r\n\r\n")),
        (
            "a chunk longer than it says",
            head("Transfer-Encoding: chunked") + &format!("1\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk size that overflows",
            head("Transfer-Encoding: chunked") + &format!("1{length:016x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "HTTP/2 at once",
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", head(&format!("Content-Length: {length}")) + &body),
        ),
    ];
    for (name, request) in requests {
        let said = server.until_closed((request + &hidden).as_bytes()).await;
        assert!(statuses(&said).len() <= 1, "{name}: {said}");
        assert!(statuses(&said).iter().all(|status| status.starts_with('4')), "{name}: {said}");
        assert_eq!(server.world.published(), 0, "{name}: {said}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_as_to_a_proxy_or_for_another_protocol_is_at_no_route() {
    let server = Server::start(&[]);
    let plain = server.genuine("evt_1", "");
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    for request in [
        plain.replacen(PATH, &format!("http://x{PATH}"), 1),
        plain.replacen(PATH, &format!("https://user@elsewhere:1{PATH}"), 1),
        server.genuine("evt_1", h2c),
        server.genuine("evt_1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ] {
        let said = server.until_closed(request.as_bytes()).await;
        assert_eq!(statuses(&said), ["404"], "{said}");
        assert!(said.contains("urn:countersign:problem:unknown-source"), "{said}");
        assert_eq!(server.world.published(), 0);
    }
    server.stop().await;
}

/// RFC 9112 section 2.2 lets a recipient take a line feed alone for the end of a line, and actix does. It is one request
/// however it is read: lines end at the same places.
#[tokio::test]
async fn line_feeds_alone_make_one_request_and_never_two() {
    let server = Server::start(&[]);
    let (request, body) = (server.genuine("evt_1", "Connection: close\r\n"), server.world.body("evt_1"));
    let (head, _) = request.split_at(request.len() - body.len());
    let said = server.until_closed((head.replace("\r\n", "\n") + &body).as_bytes()).await;
    assert_eq!(statuses(&said), ["200"], "{said}");
    let hidden = server.genuine("evt_hidden", "").replace("\r\n", "\n");
    let both = head.replace("\r\nContent-Length", "\nTransfer-Encoding: chunked\r\nContent-Length");
    let said = server.until_closed((both + "0\n\n" + &hidden).as_bytes()).await;
    assert_eq!(statuses(&said), ["400"], "{said}");
    assert_eq!(server.world.published(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_chunked_body_is_counted_as_it_comes() {
    let server = Server::start(&[]);
    let body = server.world.body("evt_1");
    let signed = server.signed(&body);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\n{signed}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunks = |text: &str| {
        let chunks = text.as_bytes().chunks(100).map(|chunk| {
            let size = chunk.len();
            format!("{size:x}\r\n{}\r\n", String::from_utf8_lossy(chunk))
        });
        chunks.collect::<String>() + "0\r\n\r\n"
    };
    let said = server.until_closed((head.clone() + &chunks(&body)).as_bytes()).await;
    assert_eq!(statuses(&said), ["200"], "{said}");
    let said = server.until_closed((head + &chunks(&" ".repeat(BODY_MAX_BYTES + 1))).as_bytes()).await;
    // A reset may overtake the answer: the server does not read the rest.
    assert!(matches!(statuses(&said).as_slice(), ["413"] | []), "{said}");
    assert_eq!(
        server.world.metric("webhooks_answered_total{source=\"stripe\",answer=\"payload-too-large\"}"),
        "1"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_declared_too_long_is_refused_before_it_comes() {
    let server = Server::start(&[]);
    let length = BODY_MAX_BYTES + 1;
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let said = server.until_closed(head.as_bytes()).await;
    assert_eq!(statuses(&said), ["413"], "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_or_a_body_that_dribbles_is_cut_off() {
    let server = Server::start(&[]);
    let request = server.genuine("evt_1", "");
    for (end, statuses_expected) in [(20, ["408"]), (request.len() - 1, ["408"])] {
        let said = server.until_closed(&request.as_bytes()[..end]).await;
        assert_eq!(statuses(&said), statuses_expected, "{said}");
    }
    assert_eq!(server.world.published(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let server = Server::start(&[]);
    let (request, body) = (
        server.genuine("evt_1", "Expect: 100-continue\r\nConnection: close\r\n"),
        server.world.body("evt_1"),
    );
    let (head, body) = request.as_bytes().split_at(request.len() - body.len());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head).await.unwrap();
    let said = read_until(&mut stream, "\r\n\r\n").await;
    assert_eq!(statuses(&said), ["100"]);
    stream.write_all(body).await.unwrap();
    let said = read_to_end(&mut stream).await;
    assert_eq!(statuses(&said), ["200"], "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_failing_caller_behind_a_trusted_proxy_gets_a_small_body_and_another_caller_does_not() {
    let server = Server::start(&["127.0.0.0/8"]);
    let request = |caller: &str, body: &str, signed: &str| {
        let length = body.len();
        let from = format!("X-Forwarded-For: 198.51.100.1, {caller}\r\nConnection: close\r\n");
        format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{from}{signed}Content-Length: {length}\r\n\r\n{body}")
    };
    let long = server.world.body("evt_1") + &" ".repeat(65_536);
    let forged = request("203.0.113.9", "{}", "");
    assert_eq!(statuses(&server.until_closed(forged.as_bytes()).await), ["400"]);
    let limited = request("203.0.113.9", &long, &server.signed(&long));
    let said = server.until_closed(limited.as_bytes()).await;
    assert!(matches!(statuses(&said).as_slice(), ["413"] | []), "{said}");
    let other = request("203.0.113.10", &long, &server.signed(&long));
    assert_eq!(statuses(&server.until_closed(other.as_bytes()).await), ["200"]);
    let short = server.world.body("evt_2");
    let genuine = request("203.0.113.9", &short, &server.signed(&short));
    assert_eq!(statuses(&server.until_closed(genuine.as_bytes()).await), ["200"]);
    let freed = request("203.0.113.9", &long, &server.signed(&long));
    assert_eq!(statuses(&server.until_closed(freed.as_bytes()).await), ["200"]);
    server.stop().await;
}

#[tokio::test]
async fn a_reply_is_the_body_of_a_success_and_of_nothing_else() {
    let handle = TokioExecutor::handle();
    let sources = vec![crate::telegram::gate(CheckoutVerdict::Approve)];
    let server = Server::over(World::of(handle, ReplayPolicy::Open, sources), &[]);
    let body = telegram::pre_checkout_query(7, "771000001", 75);
    let length = body.len();
    let head = |token: &str| {
        let path = "/api/v1/billing/telegram/webhook";
        let token = format!("{}: {token}\r\nConnection: close", telegram::HEADER);
        format!("POST {path} HTTP/1.1\r\nHost: x\r\n{token}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let answer = r#"{"method":"answerPreCheckoutQuery","pre_checkout_query_id":"771000001","ok":true}"#;
    server.world.bus.inject([BusFault::Refused]);
    let said = server.until_closed(head(telegram::TOKEN).as_bytes()).await;
    assert!(statuses(&said) == ["503"] && said.contains("urn:countersign:problem:not-durable"), "{said}");
    for _ in 0..2 {
        let said = server.until_closed(head(telegram::TOKEN).as_bytes()).await;
        assert!(statuses(&said) == ["200"] && said.ends_with(&format!("\r\n\r\n{answer}")), "{said}");
        assert!(said.to_lowercase().contains("content-type: application/json\r\n"), "{said}");
    }
    let said = server.until_closed(head("another-token").as_bytes()).await;
    assert!(statuses(&said) == ["401"] && !said.contains("answerPreCheckoutQuery"), "{said}");
    assert_eq!(server.world.published(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_delivery_in_flight_says_when_to_come_again() {
    let world = World::new(TokioExecutor::handle(), ReplayPolicy::Closed);
    let server = Server::over(world, &[]);
    server.world.replay.inject([ReplayFault::AnswerLost]);
    let request = server.genuine("evt_1", "Connection: close\r\n");
    assert_eq!(statuses(&server.until_closed(request.as_bytes()).await), ["503"]);
    let said = server.until_closed(request.as_bytes()).await;
    let seconds = said.to_lowercase();
    let seconds = seconds.split("retry-after: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    // Of ten, however long the first request took.
    let seconds: Option<u32> = seconds.and_then(|seconds| seconds.parse().ok());
    assert!(statuses(&said) == ["409"] && seconds.is_some_and(|s| (1..=10).contains(&s)), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn requests_are_measured_by_method_route_and_status_and_no_stranger_makes_a_new_label() {
    let server = Server::start(&[]);
    let genuine = server.genuine("evt_1", "Connection: close\r\n");
    server.until_closed(genuine.as_bytes()).await;
    let strange = "BREW /teapot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&server.until_closed(strange.as_bytes()).await), ["404"]);
    let count = |method: &str, route: &str, status: u16| {
        server.world.metric(&format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"{method}\",\
             http_route=\"{route}\",http_response_status_code=\"{status}\"}}"
        ))
    };
    assert_eq!(count("POST", "/api/v1/billing/{source}/webhook", 200), "1");
    assert_eq!(count("POST", "/api/v1/billing/{source}/webhook", 503), "0");
    assert_eq!(count("_OTHER", "other", 404), "1");
    assert_eq!(server.world.metric("http_server_active_requests{http_request_method=\"POST\"}"), "0");
    server.stop().await;
}
