//! The providers: they tell each event until it is taken, sign it anew each time, tell some twice, and are imitated.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use countersign_tests::{Dice, now_s};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ports::Handle;
use reqwest::Client;
use serde_json::{Value, json};
use testkit::fault_proxy::FaultProxy;
use testkit::{stripe, telegram};

use crate::told::{Answer, Attempt, Kind, Log, Money, Told};

/// How long a provider waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Its first pause; it doubles up to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How often what is refused for good is tried, should nothing be decided each time.
const TRIES_MAX: u32 = 60;

/// Strings that must leave the ingress nowhere.
pub(crate) const CANARIES: [&str; 3] = ["jenny.rosen@example.com", "4242 4242 4242 4242", "_secret_QZ8n1x"];

/// The providers' side.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) log: Log,
    handle: Handle,
    client: Client,
    fronts: Vec<FaultProxy>,
    dice: Dice,
    began: Duration,
    over: AtomicBool,
    given_up: AtomicBool,
}

/// What is sent, and by whom.
struct Letter {
    told: Told,
    body: String,
    forged: bool,
}

impl Load {
    pub(crate) fn new(handle: Handle, fronts: Vec<FaultProxy>, dice: Dice) -> anyhow::Result<Arc<Self>> {
        let client = Client::builder().timeout(PATIENCE).build()?;
        let (began, log) = (handle.monotonic(), Log::default());
        let (over, given_up) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Arc::new(Self { log, handle, client, fronts, dice, began, over, given_up }))
    }

    /// Milliseconds since the run began.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = self.handle.monotonic().saturating_sub(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells no more new events; what was begun is told to its end.
    pub(crate) fn finish(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Nothing is tried any more.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Tells `rate` events a second until it is told to finish, and returns when all of them are answered for good: whether no
    /// teller panicked.
    pub(crate) async fn run(self: Arc<Self>, rate: u64) -> bool {
        let mut telling = FuturesUnordered::new();
        let mut number = 0;
        let interval = Duration::from_micros(1_000_000 / rate.max(1));
        while !self.over.load(Ordering::Relaxed) {
            number += 1;
            let story = self.story(number);
            let load = Arc::clone(&self);
            telling.push(self.handle.spawn("a story", async move {
                // Another content under an id must find that id taken.
                let (after, first): (Vec<_>, Vec<_>) =
                    story.into_iter().partition(|letter| letter.told.kind == Kind::Reused);
                join_all(first.into_iter().map(|letter| load.tell(letter))).await;
                join_all(after.into_iter().map(|letter| load.tell(letter))).await;
            }));
            self.handle.sleep(interval).await;
        }
        let mut well = true;
        while let Some(told) = telling.next().await {
            well &= told.is_some();
        }
        well
    }

    /// The events that belong together: mostly one.
    fn story(&self, n: u64) -> Vec<Letter> {
        let amount = i64::try_from(self.dice.between(1, 100_000)).unwrap_or(1);
        let (charge_id, event_id) = (format!("ch_{n}"), format!("evt_{n}"));
        let money = Some(Money { object_id: charge_id.clone(), amount_minor: amount });
        let charge = stripe::charge(&charge_id, amount);
        let charged = |id: &str, age_s: i64| stripe::event(id, "charge.succeeded", now_s() - age_s, &charge);
        let of = |kind, event_id: &str, money: Option<Money>, body: String| Letter {
            told: Told { source: "stripe", event_id: event_id.to_owned(), kind, money, attempts: Vec::new() },
            body,
            forged: kind == Kind::Forged,
        };
        let genuine = of(Kind::Genuine, &event_id, money.clone(), charged(&event_id, 0));
        match self.dice.below(100) {
            0..60 => vec![genuine],
            60..72 => {
                let other = format!("evt_{n}_intent");
                let intent = stripe::payment_intent(&charge_id, amount);
                let body = stripe::event(&other, "payment_intent.succeeded", now_s(), &intent);
                vec![genuine, of(Kind::Genuine, &other, money, body)]
            }
            72..84 => vec![Self::stars(n, amount)],
            84..89 => vec![of(Kind::Forged, &event_id, money, charged(&event_id, 0))],
            89..92 => {
                let body = format!("no event, number {n}");
                vec![of(Kind::Malformed, &event_id, None, body)]
            }
            92..95 => {
                let mut charge = charge.clone();
                if let Some(captured) = charge.pointer_mut("/amount_captured") {
                    *captured = json!(-amount);
                }
                let body = stripe::event(&event_id, "charge.succeeded", now_s(), &charge);
                vec![of(Kind::Unreadable, &event_id, money, body)]
            }
            95..97 => vec![of(Kind::Stale, &event_id, money, charged(&event_id, 400))],
            _ => {
                // Of another charge, so that neither can stand in for the other.
                let other_id = format!("ch_{n}_other");
                let other = stripe::charge(&other_id, amount + 1);
                let body = stripe::event(&event_id, "charge.succeeded", now_s(), &other);
                let money = Some(Money { object_id: other_id, amount_minor: amount + 1 });
                vec![genuine, of(Kind::Reused, &event_id, money, body)]
            }
        }
    }

    fn stars(n: u64, stars: i64) -> Letter {
        let update = u32::try_from(n).unwrap_or(u32::MAX);
        let money = Some(Money { object_id: format!("stars_{update}"), amount_minor: stars });
        let event_id = format!("{}:{update}", telegram::BOT);
        let told = Told { source: "telegram", event_id, kind: Kind::Genuine, money, attempts: Vec::new() };
        Letter { told, body: telegram::payment(update, now_s(), stars), forged: false }
    }

    /// Tells one event until it is answered for good; some are told again, or twice at once.
    async fn tell(&self, letter: Letter) {
        let place = self.log.note(letter.told.clone());
        let genuine = matches!(letter.told.kind, Kind::Genuine | Kind::Unreadable);
        if genuine && self.dice.permille(50) {
            futures_util::join!(self.attempt(place, &letter), self.attempt(place, &letter));
        }
        let (mut pause, mut tries) = (PAUSE.0, 0);
        while !self.given_up.load(Ordering::Relaxed) {
            let answer = self.attempt(place, &letter).await;
            tries += 1;
            let done = if genuine { answer.is_success() } else { !answer.is_open() || tries > TRIES_MAX };
            if done {
                break;
            }
            let jitter = Duration::from_millis(self.dice.below(100));
            self.handle.sleep(pause.saturating_add(jitter)).await;
            pause = pause.saturating_mul(2).min(PAUSE.1);
        }
        while self.dice.permille(150) && !self.given_up.load(Ordering::Relaxed) {
            self.handle.sleep(Duration::from_millis(self.dice.below(3_000))).await;
            self.attempt(place, &letter).await;
        }
    }

    async fn attempt(&self, place: usize, letter: &Letter) -> Answer {
        let ingress = self.dice.index(self.fronts.len());
        let at_ms = self.now_ms();
        let answer = self.post(ingress, letter).await.unwrap_or(Answer::Unknown);
        let took_ms = self.now_ms().saturating_sub(at_ms);
        self.log.attempted(place, Attempt { at_ms, took_ms, ingress, answer: answer.clone() });
        answer
    }

    async fn post(&self, ingress: usize, letter: &Letter) -> Option<Answer> {
        let front = self.fronts.get(ingress)?.address;
        let source = letter.told.source;
        let url = format!("http://{front}/api/v1/billing/{source}/webhook");
        let mut request = self.client.post(url).body(letter.body.clone());
        request = match source {
            "telegram" => request.header(telegram::HEADER, telegram::TOKEN),
            _ if letter.forged && self.dice.permille(300) => request,
            _ => {
                let secret = if letter.forged { "whsec_of_a_forger" } else { stripe::SECRET };
                request.header("Stripe-Signature", stripe::signature(secret, now_s(), letter.body.as_bytes()))
            }
        };
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let body: Value = response.json().await.ok()?;
        let text = |key: &str| body.get(key)?.as_str();
        let slug = text("type").and_then(|urn| urn.strip_prefix("urn:countersign:problem:"));
        let word = slug.or(text("status")).unwrap_or("no-word-of-ours").to_owned();
        Some(Answer::Said { status, word })
    }
}
