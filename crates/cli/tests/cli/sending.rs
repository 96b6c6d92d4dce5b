//! `send`, to a receiver that verifies as the ingress does.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;

use serde_json::Value;
use signature::{Freshness, Request, Scheme, Secret, verify};

use crate::command::{Configured, Ended};

const SECRETS: &str = "whsec_first\nwhsec_second\n";

/// Answers as many deliveries as it was told, then gives their bodies.
#[derive(Debug)]
struct Receiver {
    address: SocketAddr,
    receiving: JoinHandle<Vec<Value>>,
}

impl Receiver {
    fn of(deliveries: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiving = std::thread::spawn(move || {
            let mut known = BTreeSet::new();
            (0..deliveries).map(|_| receive(&listener.accept().unwrap().0, &mut known)).collect()
        });
        Self { address, receiving }
    }

    fn configured(&self) -> Configured {
        let listen = self.address;
        Configured::new(&format!(
            "[ingress]\nlisten = \"{listen}\"\n[sources.shop]\nprovider = \"stripe\"\nsecrets = [\"file:secrets\"]\n"
        ))
        .with("secrets", SECRETS)
    }

    /// Sends with these flags: what it came to, and what was received.
    fn hears(self, flags: &[&str]) -> (Ended, Vec<Value>) {
        let arguments = [&["send", "--source", "shop", "--event", "charge.succeeded"], flags].concat();
        let ended = self.configured().run(&arguments);
        (ended, self.receiving.join().unwrap())
    }
}

fn receive(mut stream: &TcpStream, known: &mut BTreeSet<String>) -> Value {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "POST /api/v1/billing/shop/webhook HTTP/1.1\r\n");
    let (mut signature, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "stripe-signature" => value.clone_into(&mut signature),
            "content-length" => length = value.parse().unwrap(),
            "content-type" => assert_eq!(value, "application/json"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let event: Value = serde_json::from_slice(&body).unwrap();
    let (code, answer) = answer(&signature, &body, known, &event);
    let length = answer.len();
    write!(stream, "HTTP/1.1 {code} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}")
        .unwrap();
    event
}

/// With the first secret only, on the machine's clock, and with no patience for what is older than five minutes.
fn answer(signature: &str, body: &[u8], known: &mut BTreeSet<String>, event: &Value) -> (u16, String) {
    let problem = |slug: &str| format!("{{\"type\":\"urn:countersign:problem:{slug}\"}}");
    let secret = Secret::parse(b"whsec_first", Scheme::Stripe).unwrap();
    let headers = [("stripe-signature", signature.as_bytes())];
    let now_unix_s = now_s();
    let freshness = Freshness::of(Scheme::Stripe);
    let id = event["id"].as_str().unwrap();
    match verify(Scheme::Stripe, &Request { headers: &headers, body }, &[secret], freshness, now_unix_s) {
        Err(refused) => (401, problem(refused.slug())),
        Ok(_) if event["created"].as_i64().unwrap() < now_unix_s - 300 => (400, problem("event-too-old")),
        Ok(_) if known.insert(id.to_owned()) => {
            (200, format!("{{\"status\":\"accepted\",\"event_id\":\"{id}\"}}"))
        }
        Ok(_) => (200, format!("{{\"status\":\"replayed\",\"event_id\":\"{id}\",\"result\":{{\"a\":1}}}}")),
    }
}

fn now_s() -> i64 {
    let now = Command::new("date").arg("+%s").output().unwrap().stdout;
    String::from_utf8(now).unwrap().trim().parse().unwrap()
}

#[test]
fn a_delivery_is_signed_now_with_the_first_secret() {
    let flags = ["--id", "evt_mine", "--object", "ch_mine", "--amount", "500", "--currency", "jpy"];
    let (ended, events) = Receiver::of(1).hears(&flags);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout, "accepted           200 evt_mine\n");
    let object = &events[0]["data"]["object"];
    assert_eq!(
        (&object["id"], &object["amount"], &object["currency"]),
        (&"ch_mine".into(), &500.into(), &"jpy".into())
    );
}

#[test]
fn several_events_are_different_and_a_repeated_one_is_the_same() {
    let (ended, events) = Receiver::of(4).hears(&["--count", "2", "--repeat"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let words: Vec<&str> = ended.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(words, ["accepted", "replayed", "accepted", "replayed"]);
    assert!(ended.stdout.lines().nth(1).unwrap().ends_with(r#" {"a":1}"#), "{}", ended.stdout);
    assert_eq!(events[0], events[1]);
    assert_ne!(events[1]["id"], events[2]["id"]);
    assert_ne!(events[1]["data"]["object"]["id"], events[2]["data"]["object"]["id"]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the pace is time that really passes")]
fn many_events_at_a_time_and_paced_are_summed_up() {
    let began = std::time::Instant::now();
    let flags = ["--count", "9", "--concurrency", "3", "--rate", "20", "--repeat", "--summary"];
    let (ended, events) = Receiver::of(18).hears(&flags);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 9);
    // The ninth is due after eight twentieths of a second.
    assert!(began.elapsed() >= std::time::Duration::from_millis(400));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("18 answers in "), "{}", ended.stdout);
    let counted: Vec<Vec<&str>> =
        lines[2..].iter().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(counted, [["accepted", "200", "9"], ["replayed", "200", "9"]], "{}", ended.stdout);
}

#[test]
fn a_refused_forgery_is_as_hoped() {
    let (ended, _) = Receiver::of(1).hears(&["--forge", "--id", "evt_forged"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "signature-mismatch 401 evt_forged\n"));
}

#[test]
fn a_refused_stale_delivery_is_as_hoped() {
    let (ended, _) = Receiver::of(1).hears(&["--age", "700", "--id", "evt_old"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "signature-expired  401 evt_old\n"));
}

#[test]
fn a_refused_stale_event_is_as_hoped_if_its_age_was_asked_for() {
    let (ended, _) = Receiver::of(1).hears(&["--created-ago", "600", "--id", "evt_late"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "event-too-old      400 evt_late\n"));
    let (ended, events) = Receiver::of(1).hears(&["--created-ago", "60"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let age_s = now_s() - events[0]["created"].as_i64().unwrap();
    assert!((60..120).contains(&age_s), "{age_s}");
}

/// A bot's configuration, and what is sent of `event_type` with these flags, as curl would send it.
fn telegram(event_type: &str, flags: &[&str]) -> Ended {
    let text = "[sources.bot]\nprovider = \"telegram\"\nsecrets = [\"file:secrets\"]\nown_account = \"7000000001\"\n\
                livemode = \"test\"\n";
    let configured = Configured::new(text).with("secrets", "token-of-this-test\n");
    configured.run(&[&["send", "--source", "bot", "--event", event_type, "--print"], flags].concat())
}

#[test]
fn an_update_carries_the_token_and_an_amount_in_stars_unless_told_otherwise() {
    let ended = telegram("successful_payment", &["--id", "7000000001:17", "--amount", "75"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("-H 'X-Telegram-Bot-Api-Secret-Token: token-of-this-test'"), "{ended:?}");
    assert!(ended.stdout.contains("{\"update_id\":17,\n\"message\":{"), "{ended:?}");
    for shown in ["\"currency\":\"XTR\"", "\"total_amount\":75", "\"telegram_payment_charge_id\":\"tpc_17\""]
    {
        assert!(ended.stdout.contains(shown), "{shown}: {ended:?}");
    }
    let fiat = telegram("successful_payment", &["--currency", "EUR", "--object", "tpc_1"]);
    assert!(fiat.stdout.contains("\"provider_payment_charge_id\":\"ch_1\""), "{fiat:?}");
    assert!(!telegram("refunded_payment", &["--forge"]).stdout.contains("token-of-this-test"));
}

#[test]
fn what_telegram_never_says_cannot_be_sent() {
    for (event_type, flags, reason) in [
        ("successful_payment", &["--age", "5"][..], "--created-ago"),
        ("pre_checkout_query", &["--created-ago", "5"], "when it was made"),
        ("successful_payment", &["--id", "evt_1"], "7000000001:NUMBER"),
        ("charge.succeeded", &[], "successful_payment"),
    ] {
        let ended = telegram(event_type, flags);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
    }
}

#[test]
fn another_answer_than_the_hoped_one_is_a_failure() {
    let receiver = Receiver::of(1);
    let arguments = ["send", "--source", "shop", "--event", "charge.succeeded"];
    let ended = receiver.configured().with("secrets", "whsec_second\n").run(&arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    receiver.receiving.join().unwrap();
}

#[test]
fn a_printed_request_is_not_sent() {
    let (ended, _) = Receiver::of(0).hears(&["--print", "--count", "2", "--url", "http://example.com/edge/"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 2);
    for line in ended.stdout.lines() {
        assert!(
            line.starts_with("curl -sS -H 'Content-Type: application/json' -H 'Stripe-Signature: t="),
            "{line}"
        );
        assert!(line.ends_with(" 'http://example.com/edge/api/v1/billing/shop/webhook'"), "{line}");
    }
}

#[test]
fn what_cannot_be_sent_says_why() {
    let configured = Receiver::of(0).configured();
    let nobody = ["--url", "http://127.0.0.1:1"];
    for (arguments, code, reason) in [
        (["--source", "shops", "--event", "charge.succeeded"], 64, "shop"),
        (["--source", "shop", "--event", "charge.dispute"], 64, "charge.succeeded"),
        (["--source", "shop", "--event", "charge.succeeded"], 2, "127.0.0.1:1"),
    ] {
        let ended = configured.run(&[&["send"], &arguments[..], &nobody].concat());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
    }
    let nowhere = ["send", "--source", "shop", "--event", "charge.succeeded", "--url", "127.0.0.1:8080"];
    assert_eq!(configured.run(&nowhere).code, Some(64));
    let twice = ["send", "--source", "shop", "--event", "charge.succeeded", "--id", "evt_1", "--count", "2"];
    assert_eq!(configured.run(&twice).code, Some(64));
}
