//! `release` and `dismiss`, without a processor: what is asked for, and what is not.

use core::time::Duration;

use bus_rabbitmq::RabbitMq;
use ledger::Reason;
use ledger_postgres::{PostgresBooks, Settings};
use ports::{Books as _, Bus as _, Decision, Queue};
use runtime::TokioExecutor;
use testkit::contract::books::samples::{accounts, booking, decided, delivery, evidence, keeping};
use testkit::servers::postgres::{Database, Role};
use testkit::servers::rabbitmq::Vhost;
use wire::BusMessage;

use crate::command::Configured;

/// An event that is parked, one that is booked, a message that does not decode, and the bus; nobody consumes.
struct Desk {
    database: Database,
    vhost: Vhost,
    configured: Configured,
}

impl Desk {
    async fn set_up() -> Self {
        let (database, vhost) = (Database::create().await, Vhost::fresh().await);
        let settings = Settings::new(database.url(Role::Processor));
        let books = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
        books.ensure_accounts(&accounts()).await.unwrap();
        let batch = [
            keeping(delivery(1, 1), "evt_parked", Reason::UnknownMoney),
            booking(delivery(1, 2), "evt_booked", &[("ch_1", 1099)]),
            evidence(delivery(1, 3), Some("evt_lost")),
        ];
        books.record(&batch).await.unwrap();
        let address = vhost.amqp_url().parse().unwrap();
        let bus = RabbitMq::connect(bus_rabbitmq::Settings::new(address, "test"), TokioExecutor::handle());
        while !bus.ready() {
            TokioExecutor::handle().sleep(Duration::from_millis(10)).await;
        }
        bus.close().await;
        let configured = configured(&database, vhost.amqp_url());
        Self { database, vhost, configured }
    }

    async fn count(&self, table: &str) -> i64 {
        let client = self.database.connect(Role::Superuser).await;
        client.query_one(&format!("SELECT count(*) FROM countersign.{table}"), &[]).await.unwrap().get(0)
    }
}

fn configured(database: &Database, amqp_url: &str) -> Configured {
    let operator = database.url(Role::Operator);
    Configured::new(&format!("[operator]\ndatabase_url = \"{operator}\"\n[rabbitmq]\nurl = \"{amqp_url}\"\n"))
}

#[tokio::test]
async fn an_action_is_put_down_once_and_the_processor_asked_each_time() {
    let desk = Desk::set_up().await;
    let release = ["release", "evt_parked", "--reason", "it is known now", "--wait", "0"];
    for _ in 0..2 {
        let ended = desk.configured.run(&release);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stdout.contains("asked for as action 1, not done yet"), "{}", ended.stdout);
    }
    assert_eq!(desk.count("operator_action").await, 1);
    let requests = desk.vhost.take(Queue::Ledger, 9).await;
    let keys: Vec<&str> = requests.iter().map(|request| request.routing_key.as_str()).collect();
    assert_eq!(keys, ["request.release", "request.release"]);
    assert_eq!(requests[0].property("message_id"), Some("action:1"));
    let dismiss = ["dismiss", "evt_parked", "--reason", "it never will be", "--wait", "0", "--json"];
    let dismissed = desk.configured.run(&dismiss).json();
    assert_eq!(
        (&dismissed[0]["action"], &dismissed[0]["status"], &dismissed[0]["done"]),
        (&2.into(), &"parked".into(), &false.into())
    );
    let story = desk.configured.run(&["event", "evt_parked"]).stdout;
    for told in ["What operators asked for", "it is known now", "countersign_operator", "not done yet"] {
        assert!(story.contains(told), "{told}: {story}");
    }
    desk.database.close().await;
}

#[tokio::test]
async fn what_is_decided_already_is_said_so_and_nobody_is_asked() {
    let desk = Desk::set_up().await;
    let ended = desk.configured.run(&["release", "evt_booked", "--reason", "again"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.ends_with("evt_booked  stripe  -           booked already\n"), "{}", ended.stdout);
    let unknown = desk.configured.run(&["release", "evt_booked", "evt_none", "--reason", "again"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stdout.contains("unknown to the books"), "{}", unknown.stdout);
    let none = ["release", "--refusal", "event-too-old", "--since", "2h", "--reason", "an outage"];
    let none = desk.configured.run(&none);
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("nothing is parked for event-too-old"), "{}", none.stderr);
    assert_eq!((desk.count("operator_action").await, desk.vhost.depth(Queue::Ledger).await), (0, 0));
    desk.database.close().await;
}

#[tokio::test]
async fn a_reason_and_a_message_name_what_an_id_does_not() {
    let desk = Desk::set_up().await;
    let by_reason =
        ["release", "--refusal", "unknown-money", "--since", "1h", "--reason", "known", "--wait", "0"];
    let ended = desk.configured.run(&by_reason);
    assert!(ended.stdout.contains("evt_parked") && !ended.stdout.contains("evt_lost"), "{ended:?}");
    let story = desk.configured.run(&["event", "evt_lost", "--json"]).json();
    let lost = &story["evidence"][0];
    let name = format!("{}:{}", lost["instance"].as_str().unwrap(), lost["sequence"]);
    let dismiss = ["dismiss", "--delivery", &name, "--reason", "nothing in it", "--wait", "0", "--json"];
    let dismissed = desk.configured.run(&dismiss).json();
    assert_eq!((&dismissed[0]["name"], &dismissed[0]["parked_for"]), (&name.into(), &"undecodable".into()));
    assert_eq!(desk.count("operator_action").await, 2);
    desk.database.close().await;
}

#[tokio::test]
async fn without_the_bus_nothing_is_put_down() {
    let desk = Desk::set_up().await;
    let nowhere = configured(&desk.database, "amqp://guest:guest@127.0.0.1:1/%2f");
    let ended = nowhere.run(&["release", "evt_parked", "--reason", "it is known now"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("RabbitMQ at 127.0.0.1:1"), "{}", ended.stderr);
    assert_eq!(desk.count("operator_action").await, 0);
    desk.database.close().await;
}

impl Desk {
    /// With so many more events that are parked, and a processor's books.
    async fn with_parked(events: u64) -> (Self, PostgresBooks) {
        let desk = Self::set_up().await;
        let settings = Settings::new(desk.database.url(Role::Processor));
        let books = PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
        books.ensure_accounts(&accounts()).await.unwrap();
        let parked = |n| keeping(delivery(2, n), &format!("evt_thin_{n}"), Reason::ThinEvent);
        books.record(&(1..=events).map(parked).collect::<Vec<_>>()).await.unwrap();
        (desk, books)
    }
}

const RELEASE_THIN: [&str; 9] =
    ["release", "--refusal", "thin-event", "--since", "1h", "--reason", "known", "--wave", "3"];

#[tokio::test(flavor = "multi_thread")]
async fn very_many_are_released_in_waves_and_each_waits_for_the_one_before() {
    let (desk, books) = Desk::with_parked(7).await;
    let handle = TokioExecutor::handle();
    let acting = async {
        let (mut acted, mut most) = (0, 0);
        while acted < 7 {
            let requests = desk.vhost.take(Queue::Ledger, 9).await;
            let asked = desk.count("operator_action").await - acted;
            assert!(asked <= 3, "{asked} are asked for at once");
            most = most.max(requests.len());
            for request in &requests {
                let Ok(BusMessage::Request(request)) = BusMessage::decode(request.body().into()) else {
                    panic!("{request:?}")
                };
                let ignored = |event| decided(event, Decision::Keep(Reason::MovesNoMoney));
                books.act(request, &ignored).await.unwrap().unwrap();
                acted += 1;
            }
            handle.sleep(Duration::from_millis(10)).await;
        }
        most
    };
    let (ended, most) = std::thread::scope(|threads| {
        let run = threads.spawn(|| desk.configured.run(&RELEASE_THIN));
        let most = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(acting));
        (run.join().unwrap(), most)
    });
    assert_eq!((ended.code, most > 0), (Some(0), true), "{ended:?}");
    assert_eq!(ended.stdout.matches("released: ignored, moves-no-money").count(), 7, "{}", ended.stdout);
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        told,
        [3, 6, 7].map(|done| format!("countersign: release: {done} of 7 asked for and done")),
        "{}",
        ended.stderr
    );
    desk.database.close().await;
}

#[tokio::test]
async fn while_nobody_acts_no_second_wave_is_asked_for() {
    let (desk, _) = Desk::with_parked(7).await;
    let ended = desk.configured.run(&[&RELEASE_THIN[..], &["--wait", "0"]].concat());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("within 0 s: 4 more were not asked for"), "{}", ended.stderr);
    assert_eq!(ended.stdout.matches("not asked for yet").count(), 4, "{}", ended.stdout);
    assert_eq!((desk.count("operator_action").await, desk.vhost.depth(Queue::Ledger).await), (3, 3));
    desk.database.close().await;
}

#[test]
fn what_is_asked_for_in_the_wrong_words_is_64() {
    let configured = Configured::new("");
    let instance = format!("{}:x", "0".repeat(32));
    for arguments in [
        &["release", "--reason", "why"][..],
        &["release", "evt_1"],
        &["release", "evt_1", "--reason", ""],
        &["release", "--refusal", "event-too-old", "--reason", "why"],
        &["release", "--since", "2h", "evt_1", "--reason", "why"],
        &["release", "--refusal", "moves-no-money", "--since", "2h", "--reason", "why"],
        &["release", "--refusal", "event-too-old", "--since", "yesterday", "--reason", "why"],
        &["release", "evt_1", "--refusal", "event-too-old", "--since", "2h", "--reason", "why"],
        &["release", "--delivery", &instance, "--reason", "why"],
        &["dismiss", "--refusal", "event-too-old", "--since", "2h", "--reason", "why"],
        &["dismiss", "--reason", "why"],
    ] {
        let ended = configured.run(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{arguments:?}: {ended:?}");
    }
    let ended = configured.run(&["release", "evt_1", "--reason", "why"]);
    assert_eq!(ended.code, Some(64), "{ended:?}");
    for missing in ["operator.database_url", "rabbitmq.url"] {
        assert!(ended.stderr.contains(missing), "{missing}: {}", ended.stderr);
    }
}
