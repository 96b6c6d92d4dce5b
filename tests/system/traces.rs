//! What an engineer sees of a webhook: its trace, as a collector gets it from real processes.

use std::net::SocketAddr;

use countersign_tests::{Collector, Process, Seen, System, eventually, now_s};
use futures_util::stream::{self, StreamExt as _};
use testkit::servers::postgres::Role;
use testkit::stripe;

const REQUEST: &str = "POST /api/v1/billing/{source}/webhook";
const PUBLISH: &str = "publish countersign.events";
const PROCESS: &str = "process countersign.ledger";
const RECORD: &str = "INSERT event transaction delivery entry";
const SETTLE: &str = "ack countersign.ledger";

/// A system whose services export their spans.
struct Traced {
    system: System,
    collector: Collector,
    ingress: SocketAddr,
    ingress_process: Process,
}

impl Traced {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(more: &[(&str, &str)]) -> Self {
        let (system, collector) = (System::new().await, Collector::start());
        let variables: Vec<_> = collector.variables().into_iter().chain(more.iter().copied()).collect();
        let ingress_process = Process::start(&system, "ingress", &variables);
        system.ready(ingress_process.address("admin").await).await;
        let ingress = ingress_process.address("address").await;
        Self { system, collector, ingress, ingress_process }
    }

    async fn processor(&self, more: &[(&str, &str)]) -> Process {
        let variables: Vec<_> = self.collector.variables().into_iter().chain(more.iter().copied()).collect();
        let process = Process::start(&self.system, "processor", &variables);
        self.system.ready(process.address("admin").await).await;
        process
    }

    /// The request's span of an event, and its trace once that has as many spans.
    async fn trace_of(&self, event_id: &str, outcome: &str, spans: usize) -> Vec<Seen> {
        let request = self.collector.span("a request's span", |span| {
            let is = |name, value| span.attribute(name) == value;
            span.kind == "server" && is("event.id", event_id) && is("outcome", outcome)
        });
        self.collector.trace(&request.await.trace_id, spans).await
    }

    /// The trace that the books keep of an event.
    async fn trace_in_the_books(&self, event_id: &str) -> String {
        let client = self.system.database.connect(Role::Superuser).await;
        let query = "SELECT trace_id FROM countersign.event WHERE event_id = $1";
        client.query_one(query, &[&event_id]).await.unwrap().get(0)
    }

    async fn close(self) {
        drop(self.ingress_process);
        self.system.close().await;
        self.collector.stop().await;
    }
}

fn charge(n: i64, created_s: i64) -> String {
    let shown = stripe::charge(&format!("ch_{n}"), 1000);
    stripe::event(&format!("evt_{n}"), "charge.succeeded", created_s, &shown)
}

/// The spans of a trace as a tree: each with service, kind and name, below its parent, children by their names.
fn tree(spans: &[Seen]) -> String {
    fn below(spans: &[Seen], parent: &str, depth: usize, text: &mut String) {
        let mut children: Vec<&Seen> = spans.iter().filter(|span| span.parent == parent).collect();
        children.sort_by(|a, b| (&a.name, a.attribute("purpose")).cmp(&(&b.name, b.attribute("purpose"))));
        for span in children {
            let service = span.service.trim_start_matches("countersign-");
            let purpose = span.attribute("purpose");
            let line = format!("{}{service} {} {} {purpose}", "  ".repeat(depth), span.kind, span.name);
            text.push_str(line.trim_end());
            text.push('\n');
            below(spans, &span.span_id, depth + 1, text);
        }
    }
    let mut text = String::new();
    let known = |id: &str| spans.iter().any(|span| span.span_id == id);
    let mut tops: Vec<&str> =
        spans.iter().map(|span| span.parent.as_str()).filter(|parent| !known(parent)).collect();
    tops.dedup();
    for top in tops {
        below(spans, top, 0, &mut text);
    }
    text
}

fn named<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} is not in {spans:#?}"))
}

fn assert_attributes(span: &Seen, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(span.attribute(name), *value, "{name} of {span:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_webhook_is_one_trace_from_the_request_to_the_cached_result() {
    let shown = [("COUNTERSIGN_CFG__TELEMETRY__TRACE_URL", "https://traces.example/{trace_id}")];
    let traced = Traced::with(&shown).await;
    let processor = traced.processor(&shown).await;
    let stranger = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = charge(1, now_s());
    let signature = stripe::signature(stripe::SECRET, now_s(), body.as_bytes());
    let another = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let signature = ("Stripe-Signature", signature.as_str());
    let headers = [signature, ("traceparent", stranger), ("traceparent", another)];
    assert_eq!(traced.system.post_raw(traced.ingress, &headers, body).await.word(), "accepted");
    let spans = traced.trace_of("evt_1", "accepted", 9).await;
    assert_eq!(
        tree(&spans),
        "ingress server POST /api/v1/billing/{source}/webhook
  ingress client EVALSHA promote
  ingress client SET claim
  ingress producer publish countersign.events
    processor consumer process countersign.ledger
      processor client INSERT event transaction delivery entry
      processor client SET settle
      processor client ack countersign.ledger
      processor producer publish countersign.booked\n",
        "{spans:#?}"
    );
    assert_eq!(traced.trace_in_the_books("evt_1").await, spans[0].trace_id);
    assert!(spans.iter().all(|span| span.status == "unset"), "{spans:#?}");
    let [request, publish, process, record] =
        [REQUEST, PUBLISH, PROCESS, RECORD].map(|name| named(&spans, name));
    // Linked once, and never the parent: whoever sends a traceparent from the internet decides nothing.
    assert_eq!(request.parent, "");
    let of_stranger = ("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "00f067aa0ba902b7".to_owned());
    assert_eq!(request.links, [of_stranger]);
    // The books keep traces, not spans: the second half of a trace's id is its root's.
    assert_eq!(request.trace_id[16..], request.span_id);
    assert_eq!(process.links, [publish.named()]);
    assert_eq!(record.links, [process.named()]);
    let settle = named(&spans, SETTLE);
    assert_eq!(settle.links, [process.named()]);
    for (service, said, span) in [
        (&traced.ingress_process, "Processing Stripe webhook event", request),
        (&processor, "Recorded an event", process),
    ] {
        let log = service.log();
        let line = log.lines().find(|line| line.contains(said)).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (line["trace_id"].as_str(), line["span_id"].as_str()),
            (Some(&*span.trace_id), Some(&*span.span_id))
        );
        assert_eq!(line["trace_url"], format!("https://traces.example/{}", span.trace_id));
    }
    let event = [("source", "stripe"), ("event.id", "evt_1"), ("event.type", "charge.succeeded")];
    for span in [request, publish, process] {
        assert_attributes(span, &event);
    }
    assert_attributes(
        request,
        &[
            ("http.request.method", "POST"),
            ("http.route", "/api/v1/billing/{source}/webhook"),
            ("http.response.status_code", "200"),
            ("url.scheme", "http"),
            ("url.path", "/api/v1/billing/stripe/webhook"),
            ("outcome", "accepted"),
        ],
    );
    assert_conventions_of_messaging([publish, process, settle]);
    assert_attributes(process, &[("outcome", "booked"), ("settlement", "New")]);
    assert!(process.attribute("movement_key").contains("ch_1"), "{process:#?}");
    let namespace = format!("{}|countersign", traced.system.database.name());
    assert_attributes(
        record,
        &[
            ("db.system.name", "postgresql"),
            ("db.namespace", &namespace),
            ("db.query.summary", RECORD),
            ("server.address", "127.0.0.1"),
        ],
    );
    let claim = spans.iter().find(|span| span.attribute("purpose") == "claim").unwrap();
    assert_attributes(
        claim,
        &[("db.system.name", "redis"), ("db.operation.name", "SET"), ("outcome", "taken")],
    );
    traced.close().await;
}

fn assert_conventions_of_messaging([publish, process, settle]: [&Seen; 3]) {
    let key = "accepted.stripe.charge.succeeded";
    assert_attributes(
        publish,
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", &format!("countersign.events:{key}")),
            ("messaging.rabbitmq.destination.routing_key", key),
            ("server.address", "127.0.0.1"),
        ],
    );
    assert_attributes(
        process,
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", &format!("countersign.events:{key}:countersign.ledger")),
            ("messaging.rabbitmq.redelivered", "false"),
            ("messaging.message.id", publish.attribute("messaging.message.id")),
        ],
    );
    assert_attributes(
        settle,
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "settle"),
            ("messaging.operation.name", "ack"),
            ("messaging.destination.name", "countersign.ledger"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_a_trace_of_its_own_that_asks_the_cache_and_links_to_the_original() {
    let traced = Traced::new().await;
    let body = charge(1, now_s());
    assert_eq!(traced.system.post(traced.ingress, &body).await.word(), "accepted");
    assert_eq!(traced.system.post(traced.ingress, &body).await.word(), "replayed");
    let first = traced.trace_of("evt_1", "accepted", 4).await;
    let spans = traced.trace_of("evt_1", "replayed", 2).await;
    assert_ne!(first[0].trace_id, spans[0].trace_id);
    assert_eq!(
        tree(&spans),
        "ingress server POST /api/v1/billing/{source}/webhook\n  ingress client SET claim\n",
        "{spans:#?}"
    );
    assert_attributes(named(&spans, "SET"), &[("outcome", "replayed")]);
    let original = named(&first, REQUEST);
    assert_eq!(named(&spans, REQUEST).links, [original.named()], "{spans:#?}");

    // What the books say is of the same trace.
    let _processor = traced.processor(&[]).await;
    traced.system.told(traced.ingress, &body).await;
    let signature = stripe::signature(stripe::SECRET, now_s(), body.as_bytes());
    let senders = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("Stripe-Signature", signature.as_str()), ("traceparent", senders)];
    let told = traced.system.post_raw(traced.ingress, &headers, body).await;
    assert_eq!(told.body["result"]["outcome"], "booked", "{told:?}");
    let told =
        traced.collector.span("the duplicate that names its sender's trace", |span| span.links.len() == 2);
    assert_eq!(told.await.links[1], original.named());
    traced.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_refusal_is_one_span_and_no_error() {
    let traced = Traced::new().await;
    let body = charge(1, now_s());
    let forged = stripe::signature("whsec_of_somebody_else", now_s(), body.as_bytes());
    let stranger = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("Stripe-Signature", forged.as_str()), ("traceparent", stranger)];
    let refused = traced.system.post_raw(traced.ingress, &headers, body).await;
    assert_eq!(refused.word(), "signature-mismatch");
    let span = traced.collector.span("the request", |span| span.name == REQUEST).await;
    assert_eq!((span.status, span.parent.as_str(), span.links.len()), ("unset", "", 0), "{span:#?}");
    assert_attributes(
        &span,
        &[
            ("http.response.status_code", "401"),
            ("webhook.rejection.reason", "signature-mismatch"),
            ("outcome", "refused"),
            ("error.type", ""),
            ("event.id", ""),
        ],
    );
    assert_eq!(traced.collector.trace(&span.trace_id, 1).await.len(), 1);
    traced.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_with_evidence_is_one_trace_to_the_books_and_its_release_another_that_links_to_it() {
    let traced = Traced::new().await;
    let _processor = traced.processor(&[]).await;
    let stale = charge(1, now_s() - 600);
    assert_eq!(traced.system.post(traced.ingress, &stale).await.word(), "event-too-old");
    let spans = traced.trace_of("evt_1", "refused", 8).await;
    assert_eq!(
        tree(&spans),
        "ingress server POST /api/v1/billing/{source}/webhook
  ingress client EVALSHA promote
  ingress client SET claim
  ingress producer publish countersign.events
    processor consumer process countersign.ledger
      processor client INSERT event transaction delivery entry
      processor client SET settle
      processor client ack countersign.ledger\n",
        "{spans:#?}"
    );
    let (request, process) = (named(&spans, REQUEST), named(&spans, PROCESS));
    assert_attributes(
        request,
        &[("webhook.rejection.reason", "event-too-old"), ("http.response.status_code", "400")],
    );
    assert_attributes(process, &[("outcome", "parked"), ("reason", "event-too-old")]);
    assert!(spans.iter().all(|span| span.status == "unset"), "{spans:#?}");

    crate::processes::release(&traced.system, &["evt_1", "--reason", "the provider was late"]);
    let released = traced
        .collector
        .span("the release", |span| span.name == PROCESS && span.trace_id != request.trace_id)
        .await;
    assert_eq!((released.parent.as_str(), &released.links), ("", &vec![request.named()]), "{released:#?}");
    assert_attributes(
        &released,
        &[("event.id", "evt_1"), ("source", "stripe"), ("outcome", "booked"), ("action_id", "1")],
    );
    let spans = traced.collector.trace(&released.trace_id, 5).await;
    assert_eq!(
        tree(&spans),
        "processor consumer process countersign.ledger
  processor client INSERT operator_effect event_status transaction entry
  processor client SET settle
  processor client ack countersign.ledger
  processor producer publish countersign.booked\n",
        "{spans:#?}"
    );
    traced.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_after_a_crash_is_a_new_root_that_links_to_its_publishing() {
    let traced = Traced::new().await;
    let crashing = traced.processor(&[]).await;
    // The books are held, so that the processor has the message in hand and cannot commit it.
    let mut client = traced.system.database.connect(Role::Superuser).await;
    let holding = client.transaction().await.unwrap();
    holding.batch_execute("LOCK TABLE countersign.delivery IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert_eq!(traced.system.post(traced.ingress, &charge(1, now_s())).await.word(), "accepted");
    eventually("the processor waits for the books", async || {
        let waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND datname = current_database() AND usename LIKE '%processor%'";
        (traced.system.count(waiting).await > 0).then_some(())
    })
    .await;
    drop(crashing);
    drop(holding);
    drop(client);
    let _second = traced.processor(&[]).await;
    let again = traced.collector.span("the redelivery", |span| span.name == PROCESS).await;
    let original = traced.trace_of("evt_1", "accepted", 4).await;
    let publish = named(&original, PUBLISH);
    assert_ne!(again.trace_id, publish.trace_id);
    assert_eq!((again.parent.as_str(), &again.links), ("", &vec![publish.named()]), "{again:#?}");
    assert_attributes(&again, &[("messaging.rabbitmq.redelivered", "true"), ("outcome", "booked")]);
    assert_eq!(traced.trace_in_the_books("evt_1").await, publish.trace_id);
    let spans = traced.collector.trace(&again.trace_id, 5).await;
    assert_eq!(
        tree(&spans),
        "processor consumer process countersign.ledger
  processor client INSERT event transaction delivery entry
  processor client SET settle
  processor client ack countersign.ledger
  processor producer publish countersign.booked\n",
        "{spans:#?}"
    );
    assert_eq!(original.len(), 4, "{original:#?}");
    traced.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batchs_database_span_links_to_every_delivery_in_it() {
    const EVENTS: i64 = 40;
    let traced = Traced::new().await;
    for n in 0..EVENTS {
        assert_eq!(traced.system.post(traced.ingress, &charge(n, now_s())).await.word(), "accepted");
    }
    let _processor = traced.processor(&[]).await;
    let (processed, batches) = eventually("every delivery's span", async || {
        let (mut processed, mut batches) = (Vec::new(), Vec::new());
        for span in traced.collector.spans() {
            match span.name.as_str() {
                PROCESS => processed.push(span),
                RECORD => batches.push(span),
                _ => {}
            }
        }
        (i64::try_from(processed.len()).unwrap() >= EVENTS).then_some((processed, batches))
    })
    .await;
    assert!(batches.iter().any(|batch| batch.links.len() > 1), "no batch of several: {batches:#?}");
    for delivery in &processed {
        let of = batches.iter().filter(|batch| batch.links.contains(&delivery.named()));
        let of: Vec<_> = of.collect();
        assert_eq!(of.len(), 1, "{delivery:#?} in {batches:#?}");
        // Its own trace leads there too: as the parent of the transaction, or by a link to it.
        assert!(of[0].parent == delivery.span_id || delivery.links.contains(&of[0].named()), "{delivery:#?}");
    }
    for batch in batches.iter().filter(|batch| batch.links.len() > 1) {
        assert_eq!(batch.attribute("db.operation.batch.size"), batch.links.len().to_string());
    }
    traced.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_ratio_of_one_what_is_parked_is_recorded_all_the_same_and_links_to_its_trace() {
    let never = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.0")];
    let traced = Traced::with(&never).await;
    let processor = traced.processor(&never).await;
    assert_eq!(traced.system.post(traced.ingress, &charge(1, now_s())).await.word(), "accepted");
    assert_eq!(traced.system.post(traced.ingress, &charge(2, now_s() - 600)).await.word(), "event-too-old");
    let refused = traced.collector.span("the refusal", |span| span.name == "refused webhook").await;
    let parked = traced.collector.span("the parking", |span| span.name == "parked event").await;
    let original = traced.trace_in_the_books("evt_2").await;
    for (span, reason) in [(&refused, "webhook.rejection.reason"), (&parked, "reason")] {
        assert_eq!((span.parent.as_str(), span.links.len()), ("", 1), "{span:#?}");
        assert_eq!(span.links[0].0, original, "{span:#?}");
        assert_attributes(span, &[("event.id", "evt_2"), (reason, "event-too-old")]);
    }
    // What went its way is not recorded, and the books know its trace nevertheless.
    traced.system.recorded(2).await;
    assert_eq!(traced.trace_in_the_books("evt_1").await.len(), 32);
    drop(processor);
    assert_eq!(traced.collector.spans().len(), 2, "{:#?}", traced.collector.spans());
    traced.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_ratio_of_one_what_failed_is_recorded_once_however_often_it_is_tried() {
    let never = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.0")];
    let traced = Traced::with(&never).await;
    let processor = traced.processor(&never).await;
    let client = traced.system.database.connect(Role::Superuser).await;
    let withhold = "REVOKE INSERT ON countersign.delivery FROM countersign_processor";
    client.batch_execute(withhold).await.unwrap();
    assert_eq!(traced.system.post(traced.ingress, &charge(1, now_s())).await.word(), "accepted");
    eventually("the books are tried again and again", async || {
        let tried = processor.log().lines().filter(|line| line.contains("another version: waiting")).count();
        (tried >= 3).then_some(())
    })
    .await;
    client.batch_execute("GRANT INSERT ON countersign.delivery TO countersign_processor").await.unwrap();
    traced.system.recorded(1).await;
    let failed = traced.collector.span("the failure", |span| span.name == "failed event").await;
    let original = traced.trace_in_the_books("evt_1").await;
    assert_eq!((failed.parent.as_str(), failed.links.len()), ("", 1), "{failed:#?}");
    assert_eq!(failed.links[0].0, original, "{failed:#?}");
    assert_attributes(&failed, &[("event.id", "evt_1"), ("outcome", "failed")]);
    drop(processor);
    assert_eq!(traced.collector.spans().len(), 1, "{:#?}", traced.collector.spans());
    traced.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_costs_no_request_no_memory_and_no_time_at_the_end() {
    const REQUESTS: i64 = 600;
    const GROWTH_MAX_KIB: u64 = 48 << 10;
    let system = System::new().await;
    // The kernel takes connections for it and what is sent; nobody ever answers.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hanging.local_addr().unwrap());
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("RUST_LOG", "info")];
    let mut services = ["ingress", "processor"].map(|name| Process::start(&system, name, &variables));
    for service in &services {
        system.ready(service.address("admin").await).await;
    }
    let ingress = services[0].address("address").await;
    let load = async |events: core::ops::Range<i64>| {
        stream::iter(events)
            .for_each_concurrent(32, async |n| {
                assert_eq!(system.post(ingress, &charge(n, now_s())).await.word(), "accepted");
            })
            .await;
    };
    // Four spans each: more than the queue of 2,048 holds.
    load(0..REQUESTS).await;
    let before = services.each_ref().map(Process::resident_kib);
    load(REQUESTS..3 * REQUESTS).await;
    let after = services.each_ref().map(Process::resident_kib);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + GROWTH_MAX_KIB, "{before} KiB, then {after}");
    }
    let told = services[0].log().lines().filter(|line| line.contains("Spans cannot be exported")).count();
    assert_eq!(told, 1, "it is said once");
    let stopping = now_s();
    for service in &mut services {
        service.terminate();
        assert!(service.ended().await.success(), "{}", service.log());
    }
    assert!(now_s() - stopping < 20, "{} s to stop both", now_s() - stopping);
    drop(hanging);
    system.close().await;
}
