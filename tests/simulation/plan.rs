//! A history before it happens: what is sent, by whom, and what goes wrong meanwhile. A function of the seed.

use core::time::Duration;
use std::collections::BTreeSet;

use ledger::{EventId, EventKey, Livemode, ProviderAccount, Source};
use testkit::simulation::STARTED_AT;
use testkit::{stripe, telegram};

use countersign_tests::Dice;

/// What the source's secret signs nothing of.
pub(crate) const NOT_THE_SECRET: &str = "whsec_of_somebody_else";

/// Nor does its token prove anything.
pub(crate) const NOT_THE_TOKEN: &str = "token-of-somebody-else";

/// A provider, and the source that is named like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Stripe,
    Telegram,
}

/// Something that is sent, however often.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) sender: Sender,
    pub(crate) kind: Kind,
    /// The event's id; of a body that is no event, nothing.
    pub(crate) event_id: String,
    /// The charge that it is about.
    pub(crate) charge_id: String,
    pub(crate) amount: i64,
    pub(crate) created_s: i64,
    pub(crate) body: String,
}

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A captured charge.
    Charge,
    /// The payment intent of a captured charge: another describer of the same money.
    Intent,
    /// A charge that is not captured: ignored.
    Uncaptured,
    /// A captured charge of the mode that its source is not for.
    WrongMode,
    /// A payment in Telegram.
    Payment,
    /// The question before one, which waits for its answer.
    Question,
    /// A body that is no event.
    Garbage,
    /// What nobody signed who may.
    Forgery,
}

/// Somebody who brings contents, each until it is taken, and then the next.
#[derive(Debug, Clone)]
pub(crate) struct Courier {
    pub(crate) contents: Vec<usize>,
    pub(crate) starts_after: Duration,
    /// The pause after the first failure; it doubles, up to `pause_max`.
    pub(crate) pause: Duration,
    pub(crate) pause_max: Duration,
    pub(crate) patience: Duration,
    /// How often it brings it again after it was taken.
    pub(crate) encores: u32,
    /// The pause before each of these.
    pub(crate) encore_after: Duration,
}

/// Something that goes wrong at an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// A service ends after so many turns of its tasks.
    Kill(Service, u32),
    /// A service is stopped as a rolling restart stops it.
    Stop(Service),
    /// A service stands still.
    Freeze(Service, Duration),
    /// A service's wall clock jumps.
    Clock(Service, i64),
    BusDown(Duration),
    BusCut,
    /// Nothing is bound to the exchange.
    Unbound(Duration),
    ReplayDown(Duration),
    ReplayFlushed,
    ReplaySpoilt,
    /// The cache falls back to what it was so long ago.
    ReplayRestored(Duration),
    BooksDown(Duration),
}

/// A process of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Ingress(usize),
    Processor(usize),
}

/// How often in a thousand an operation goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Between clients and ingresses.
    pub(crate) clients: u64,
    pub(crate) replay: u64,
    pub(crate) bus: u64,
    pub(crate) books: u64,
}

/// A whole history.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) ingresses: usize,
    pub(crate) processors: usize,
    /// Whether the gate refuses without the cache.
    pub(crate) closed: bool,
    pub(crate) in_flight_max: usize,
    pub(crate) window: Duration,
    pub(crate) contents: Vec<Content>,
    pub(crate) couriers: Vec<Courier>,
    pub(crate) weather: Weather,
    pub(crate) troubles: Vec<(Duration, Trouble)>,
    /// When everything heals.
    pub(crate) heals_after: Duration,
    /// The content whose recording kills its processor, if there is one.
    pub(crate) poison: Option<usize>,
    /// Whether an operator releases in the end what is parked.
    pub(crate) released: bool,
}

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Clients,
    Crashes,
    Freezes,
    Clocks,
    Bus,
    Replay,
    Books,
}

/// Which kinds of trouble a history has; some have none.
fn families(dice: &Dice) -> BTreeSet<Family> {
    if dice.permille(100) {
        return BTreeSet::new();
    }
    let often = [
        (Family::Clients, 400),
        (Family::Crashes, 400),
        (Family::Freezes, 200),
        (Family::Clocks, 300),
        (Family::Bus, 400),
        (Family::Replay, 400),
        (Family::Books, 400),
    ];
    often.into_iter().filter(|(_, permille)| dice.permille(*permille)).map(|(family, _)| family).collect()
}

fn weather(dice: &Dice, families: &BTreeSet<Family>) -> Weather {
    let of = |family| if families.contains(&family) { dice.pick(&[20, 100, 300, 600]) } else { 0 };
    Weather {
        clients: of(Family::Clients),
        replay: of(Family::Replay),
        bus: of(Family::Bus),
        books: of(Family::Books),
    }
}

impl Plan {
    /// The history of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let dice = Dice::new(seed, 1);
        let families = families(&dice);
        let slow = dice.permille(150);
        let heals_after =
            Duration::from_secs(if slow { dice.between(300, 2_400) } else { dice.between(5, 40) });
        let (ingresses, processors) = (dice.pick(&[1, 2, 2, 3]), dice.pick(&[1, 1, 2]));
        // The gates disagree about an event's age, and the cache tells them nothing.
        let at_odds = dice.permille(40);
        let contents = contents(&dice, at_odds);
        let couriers = couriers(&dice, &contents, slow);
        let (contents, couriers) = with_updates(&Dice::new(seed, 3), contents, couriers, slow);
        let mut plan = Self {
            ingresses,
            processors,
            closed: dice.permille(200),
            in_flight_max: dice.pick(&[1, 2, 100, 100]),
            window: if slow { Duration::from_mins(5) } else { Duration::from_secs(10) },
            contents,
            couriers,
            weather: weather(&dice, &families),
            troubles: Vec::new(),
            heals_after,
            poison: None,
            released: dice.permille(300),
        };
        if families.contains(&Family::Crashes) && dice.permille(100) {
            plan.poison = Some(dice.index(plan.contents.len()));
        }
        for _ in 0..dice.between(0, 6) {
            let at = Duration::from_millis(dice.below(u64::try_from(heals_after.as_millis()).unwrap()));
            plan.troubles.extend(trouble(&dice, &families, &plan).map(|trouble| (at, trouble)));
        }
        if at_odds {
            (plan.ingresses, plan.closed) = (2, false);
            let begin = [Trouble::Clock(Service::Ingress(0), -200_000), Trouble::ReplayDown(heals_after)];
            plan.troubles.extend(begin.map(|trouble| (Duration::from_millis(1), trouble)));
        }
        plan
    }
}

fn trouble(dice: &Dice, families: &BTreeSet<Family>, plan: &Plan) -> Option<Trouble> {
    let ingress = Service::Ingress(dice.index(plan.ingresses));
    let service = if dice.permille(500) { ingress } else { Service::Processor(dice.index(plan.processors)) };
    let some_time = Duration::from_millis(dice.pick(&[100, 1_000, 5_000, 15_000, 30_000]));
    let turns = u32::try_from(dice.pick(&[0, 2, 5, 10, 30, 100]) + dice.below(20)).unwrap();
    let mut possible = Vec::new();
    if families.contains(&Family::Crashes) {
        possible.extend([
            Trouble::Kill(service, turns),
            Trouble::Kill(service, turns),
            Trouble::Stop(service),
        ]);
    }
    if families.contains(&Family::Freezes) {
        possible.push(Trouble::Freeze(service, some_time));
    }
    if families.contains(&Family::Clocks) {
        let ahead = dice.pick(&[5_i64, 900, 100_000, 200_000]);
        possible.push(Trouble::Clock(ingress, if dice.permille(500) { ahead } else { -ahead }));
    }
    if families.contains(&Family::Bus) {
        possible.extend([Trouble::BusDown(some_time), Trouble::BusCut]);
        // What kills its processor takes one delivery of whatever the other queues have in hand with it, and may in the end
        // bury the one message that always stands first there. It is parked like any dead letter, and released by a person.
        if plan.poison.is_none() {
            possible.push(Trouble::Unbound(some_time));
        }
    }
    if families.contains(&Family::Replay) {
        possible.extend([Trouble::ReplayDown(some_time), Trouble::ReplayFlushed, Trouble::ReplaySpoilt]);
        possible.push(Trouble::ReplayRestored(some_time));
    }
    if families.contains(&Family::Books) {
        possible.push(Trouble::BooksDown(some_time));
    }
    (!possible.is_empty()).then(|| dice.pick(&possible))
}

fn contents(dice: &Dice, first_is_old: bool) -> Vec<Content> {
    let mut contents: Vec<Content> = Vec::new();
    for n in 0..dice.between(1, 5) {
        let mut of = Draft {
            kind: Kind::Charge,
            event_id: format!("evt_{n}"),
            charge_id: format!("ch_{n}"),
            amount: i64::try_from(1_000 + n * 100).unwrap(),
            created_s: STARTED_AT.seconds() - dice.pick(&[0_i64, 0, 1, 200, 290]),
        };
        let before =
            (!contents.is_empty()).then(|| dice.pick(&contents)).filter(|one| one.kind == Kind::Charge);
        match (dice.below(20), before) {
            (0, _) => of.kind = Kind::Uncaptured,
            (1, _) => of.kind = Kind::WrongMode,
            (2, _) => of.kind = Kind::Garbage,
            (3 | 4, _) => of.kind = Kind::Forgery,
            (5 | 6, _) => of.created_s = STARTED_AT.seconds() - 301,
            // Another describer of the same money, in agreement.
            (7..=9, Some(other)) => {
                (of.kind, of.charge_id, of.amount) = (Kind::Intent, other.charge_id, other.amount);
            }
            // The same money with another amount.
            (10, Some(other)) => of.charge_id = other.charge_id,
            // Another content under a used id.
            (11 | 12, Some(other)) => of.event_id = other.event_id,
            _ => {}
        }
        if first_is_old && n == 0 {
            (of.kind, of.created_s) = (Kind::Charge, STARTED_AT.seconds() - 301);
        }
        contents.push(of.content());
    }
    contents
}

struct Draft {
    kind: Kind,
    event_id: String,
    charge_id: String,
    amount: i64,
    created_s: i64,
}

impl Draft {
    /// With the body that says it, of the fields of Stripe's API reference that are kept.
    fn content(self) -> Content {
        let Self { kind, event_id, charge_id, amount, created_s } = self;
        let (event_type, object) = match kind {
            Kind::Intent => (
                "payment_intent.succeeded",
                format!(
                    r#"{{"id":"pi_of_{charge_id}","object":"payment_intent","amount":{amount},"amount_received":{amount},"created":1794999980,"currency":"usd","latest_charge":"{charge_id}","livemode":false,"status":"succeeded"}}"#
                ),
            ),
            Kind::Charge
            | Kind::Uncaptured
            | Kind::WrongMode
            | Kind::Payment
            | Kind::Question
            | Kind::Garbage
            | Kind::Forgery => {
                let captured = kind != Kind::Uncaptured;
                let amount_captured = if captured { amount } else { 0 };
                (
                    "charge.succeeded",
                    format!(
                        r#"{{"id":"{charge_id}","object":"charge","amount":{amount},"amount_captured":{amount_captured},"amount_refunded":0,"captured":{captured},"created":1794999990,"currency":"usd","livemode":false,"paid":true,"refunded":false,"status":"succeeded"}}"#
                    ),
                )
            }
        };
        let livemode = kind == Kind::WrongMode;
        let body = if kind == Kind::Garbage {
            garbage(amount, &event_id)
        } else {
            format!(
                r#"{{"id":"{event_id}","object":"event","api_version":"2026-10-28.endive","created":{created_s},"data":{{"object":{object}}},"livemode":{livemode},"pending_webhooks":1,"type":"{event_type}"}}"#
            )
        };
        Content { sender: Sender::Stripe, kind, event_id, charge_id, amount, created_s, body }
    }
}

impl Content {
    /// The event's identity.
    pub(crate) fn key(&self) -> EventKey {
        EventKey {
            source: self.sender.source(),
            account: self.sender.account(),
            livemode: Livemode::from_bool(self.kind == Kind::WrongMode),
            event_id: EventId::parse(&self.event_id).unwrap(),
        }
    }
}

impl Content {
    /// Whether it shows the same money with another amount.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        other.charge_id == self.charge_id && other.amount != self.amount
    }

    /// Whether it is another content under the same id.
    pub(crate) fn reuses_the_id_of(&self, other: &Self) -> bool {
        other.event_id == self.event_id && other.amount != self.amount
    }
}

impl Sender {
    /// The source's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Telegram => "telegram",
        }
    }

    pub(crate) fn source(self) -> Source {
        Source::parse(self.name()).unwrap()
    }

    /// The source's own account.
    pub(crate) fn account(self) -> ProviderAccount {
        let account = match self {
            Self::Stripe => stripe::ACCOUNT,
            Self::Telegram => telegram::BOT,
        };
        ProviderAccount::parse(account).unwrap()
    }
}

/// No event: of another shape, cut off, no JSON, nothing.
fn garbage(number: i64, about: &str) -> String {
    match number / 100 % 3 {
        0 => format!("{{\"no\":\"event {about}\"}}"),
        1 => format!("{{\"id\":\"{about}\",\"obj"),
        _ => format!("{about} \u{0}\u{fffd}"),
    }
}

/// When what was taken is brought again, in milliseconds: also after the users' replay TTL.
const SLOW: &[u64] = &[0, 11_000, 599_000, 601_000];

fn couriers(dice: &Dice, contents: &[Content], slow: bool) -> Vec<Courier> {
    let mut couriers = Vec::new();
    for content in 0..contents.len() {
        for _ in 0..dice.pick(&[1, 1, 2, 3]) {
            let starts_after = Duration::from_millis(dice.pick(&[0, 0, 1, 1_000, 5_000]));
            couriers.push(Courier {
                contents: vec![content],
                starts_after,
                pause: if slow {
                    Duration::from_mins(2)
                } else {
                    Duration::from_millis(dice.between(100, 4_000))
                },
                pause_max: if slow { Duration::from_hours(1) } else { Duration::from_secs(30) },
                patience: Duration::from_millis(dice.pick(&[5, 1_000, 10_000, 10_000, 20_000])),
                encores: u32::try_from(dice.pick(&[0, 0, 1, 2])).unwrap(),
                // Beyond the users' replay TTL only where time is cheap: windows are long there.
                encore_after: Duration::from_millis(dice.pick(if slow {
                    SLOW
                } else {
                    &[0, 10, 2_000, 11_000]
                })),
            });
        }
    }
    couriers
}

/// With a bot's updates, in many histories: its server sends one after the other, and forgers send what they like.
fn with_updates(
    dice: &Dice,
    mut contents: Vec<Content>,
    mut couriers: Vec<Courier>,
    slow: bool,
) -> (Vec<Content>, Vec<Courier>) {
    if !dice.permille(400) {
        return (contents, couriers);
    }
    let courier = |contents| Courier {
        contents,
        starts_after: Duration::from_millis(dice.pick(&[0, 1, 2_000])),
        pause: Duration::from_millis(dice.between(100, 4_000)),
        pause_max: if slow { Duration::from_mins(2) } else { Duration::from_secs(30) },
        patience: Duration::from_millis(dice.pick(&[1_000, 10_000, 20_000])),
        encores: u32::try_from(dice.pick(&[0, 0, 1])).unwrap(),
        encore_after: Duration::from_millis(dice.pick(&[0, 10, 2_000])),
    };
    let mut in_order = Vec::new();
    let first = contents.len();
    for n in 0..dice.between(1, 4) {
        let update = update(dice, u32::try_from(n).unwrap(), &contents[first..]);
        if update.kind == Kind::Forgery {
            couriers.push(courier(vec![contents.len()]));
        } else {
            in_order.push(contents.len());
        }
        contents.push(update);
    }
    couriers.push(courier(in_order));
    (contents, couriers)
}

fn update(dice: &Dice, number: u32, before: &[Content]) -> Content {
    let (mut id, stars) = (number, 10 + i64::from(number));
    let created_s = STARTED_AT.seconds() - dice.pick(&[0, 0, 100, 400]);
    let mut kind = Kind::Payment;
    match dice.below(10) {
        0 | 1 => kind = Kind::Question,
        2 => kind = Kind::Garbage,
        3 => kind = Kind::Forgery,
        // Another content under a used id.
        4 if before.last().is_some_and(|last| last.kind == Kind::Payment) => id = number - 1,
        _ => {}
    }
    let event_id = format!("{}:{id}", telegram::BOT);
    let body = match kind {
        Kind::Question => telegram::pre_checkout_query(id, &question_id(&event_id), stars),
        Kind::Garbage => garbage(stars * 100, &event_id),
        Kind::Charge | Kind::Intent | Kind::Uncaptured | Kind::WrongMode | Kind::Payment | Kind::Forgery => {
            telegram::payment(id, created_s, stars)
        }
    };
    let charge_id = format!("stars_{id}");
    Content { sender: Sender::Telegram, kind, event_id, charge_id, amount: stars, created_s, body }
}

/// The id by which the question of an update is answered.
pub(crate) fn question_id(event_id: &str) -> String {
    format!("question-{event_id}")
}

impl Plan {
    /// Whether nothing goes wrong with the cache or with whoever holds claims in it.
    pub(crate) fn is_steady_for_replay(&self) -> bool {
        self.weather.replay == 0
            && self.poison.is_none()
            && self.troubles.iter().all(|(_, trouble)| match trouble {
                Trouble::Kill(..)
                | Trouble::Freeze(..)
                | Trouble::Clock(..)
                | Trouble::ReplayDown(_)
                | Trouble::ReplayFlushed
                | Trouble::ReplaySpoilt
                | Trouble::ReplayRestored(_) => false,
                Trouble::Stop(_)
                | Trouble::BusDown(_)
                | Trouble::BusCut
                | Trouble::Unbound(_)
                | Trouble::BooksDown(_) => true,
            })
    }
}
