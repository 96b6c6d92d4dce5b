//! Whoever sends: as a provider does, again and again, signed anew each time, until it is answered with success.

use core::time::Duration;
use std::sync::Arc;

use futures_util::future::join;
use ingress::{Answer, Arrival, Gate, Problem};
use ledger::UnixMillis;
use testkit::{stripe, telegram};

use crate::plan::{Courier, Kind, NOT_THE_SECRET, NOT_THE_TOKEN, Sender};
use crate::witness::Damage;
use crate::world::World;

/// Who is not answered by then never is.
const FOR_EVER: Duration = Duration::from_hours(48);

/// How often a refusal for good is believed to be none.
const REFUSALS_MAX: u32 = 3;

/// One line of the clients' log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) content: usize,
    pub(crate) began: Duration,
    pub(crate) outcome: Outcome,
}

/// What a client learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered(Answer),
    /// A timeout, a reset: nobody knows.
    Unknown,
}

pub(crate) async fn courier(world: Arc<World>, number: usize) {
    let courier = world.plan.couriers[number].clone();
    world.handle.sleep(courier.starts_after).await;
    for content in &courier.contents {
        bring(&world, &courier, *content).await;
    }
}

/// Brings one content until it is taken, or has been refused for good.
async fn bring(world: &Arc<World>, courier: &Courier, content: usize) {
    let (mut pause, mut encores, mut refusals) = (courier.pause, courier.encores, 0);
    loop {
        let began = world.handle.monotonic();
        if began > FOR_EVER {
            let event_id = &world.plan.contents[content].event_id;
            return world.witness.object(Damage::Stuck, format!("{event_id} is never answered"));
        }
        let outcome = attempt(world, content, courier.patience).await;
        world.log(Attempt { content, began, outcome: outcome.clone() });
        match outcome {
            Outcome::Answered(answer) if answer.status() == 200 => {
                if encores == 0 {
                    return;
                }
                encores -= 1;
                pause = courier.pause;
                world.handle.sleep(courier.encore_after).await;
                continue;
            }
            Outcome::Answered(Answer::Refused(problem)) if is_for_good(problem) => {
                refusals += 1;
                if refusals == REFUSALS_MAX {
                    return;
                }
            }
            Outcome::Answered(_) | Outcome::Unknown => {}
        }
        world.handle.sleep(pause).await;
        pause = (pause * 2).min(courier.pause_max);
    }
}

pub(crate) fn is_for_good(problem: Problem) -> bool {
    problem.status() < 500 && !matches!(problem, Problem::DeliveryInFlight { .. } | Problem::TooManyFailures)
}

/// One request, over a network that loses and repeats.
async fn attempt(world: &Arc<World>, content: usize, patience: Duration) -> Outcome {
    let (dice, trouble) = (&world.dice, world.weather().clients);
    if dice.permille(trouble / 2) {
        // It never arrives.
        world.handle.sleep(patience).await;
        return Outcome::Unknown;
    }
    if dice.permille(trouble / 4) {
        // Something on the way repeats it.
        let (first, _) = join(request(world, content, patience), request(world, content, patience)).await;
        return first;
    }
    let outcome = request(world, content, patience).await;
    // The answer may be lost.
    if dice.permille(trouble / 2) { Outcome::Unknown } else { outcome }
}

async fn request(world: &Arc<World>, content: usize, patience: Duration) -> Outcome {
    let Some((process, gate)) = world.some_ingress() else { return Outcome::Unknown };
    let header = header(world, content);
    // Who hangs up takes the handler of the request along, and nothing else.
    let hangs_up = world.dice.permille(world.weather().clients / 4);
    let hangs_up = hangs_up.then(|| Duration::from_millis(world.dice.below(30)));
    let (at, handle) = (Arc::clone(world), process.handle());
    let handler = process.handle().spawn("request", async move {
        let handling = handle_request(&at, &gate, content, (header, handle.now()));
        match hangs_up {
            None => Some(handling.await),
            Some(after) => handle.within(after, handling).await,
        }
    });
    match world.handle.within(patience, handler).await.flatten().flatten() {
        Some(answer) => Outcome::Answered(answer),
        None => Outcome::Unknown,
    }
}

/// What proves the sender; or, of a forgery, does not.
fn header(world: &World, content: usize) -> (String, Vec<u8>) {
    let of = &world.plan.contents[content];
    let forged = of.kind == Kind::Forgery;
    match of.sender {
        Sender::Stripe => {
            let secret = if forged { NOT_THE_SECRET } else { stripe::SECRET };
            let signature = stripe::signature(secret, world.handle.now().seconds(), of.body.as_bytes());
            ("Stripe-Signature".to_owned(), signature.into_bytes())
        }
        Sender::Telegram => {
            let token = if forged { NOT_THE_TOKEN } else { telegram::TOKEN };
            (telegram::HEADER.to_owned(), token.as_bytes().to_vec())
        }
    }
}

async fn handle_request(
    world: &World,
    gate: &Arc<Gate>,
    content: usize,
    (header, received_at): ((String, Vec<u8>), UnixMillis),
) -> Answer {
    world.witness.begins(content);
    let entry = match gate.enter(None).await {
        Ok(entry) => entry,
        Err(problem) => return Answer::Refused(problem),
    };
    let arrival = Arrival {
        source: world.plan.contents[content].sender.name().to_owned(),
        headers: vec![header],
        body: world.bodies[content].clone(),
        received_at,
        entry,
    };
    let response = gate.deliver(arrival).await;
    world.witness.answers(content, &response);
    response.answer
}
