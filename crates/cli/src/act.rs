//! `countersign release` and `countersign dismiss`: what is parked, decided by a person.
//!
//! The action is put down in the books, the processor is asked to carry it out, and what came of that is waited for. An
//! action that was put down before and not carried out is asked for again, so that the command can be repeated. Very many
//! are asked for in waves: requests stand in the queue that fresh events come through.

use core::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use handle::Handle;
use ledger::{ActionId, ActionKind, EventId, Outcome, Reason};
use ledger_postgres::{PostgresOperator, Settings};
use secrecy::ExposeSecret as _;
use wire::{InstanceId, Sequence};

use crate::config::{self, Acting};
use crate::ending::{Answer, Failure, complain};
use crate::output::print_either;
use crate::request::Requests;
use crate::when::Since;

mod outcome;

use outcome::{Line, Lines};

/// The pause between two looks at what has been done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What `release` is told.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["ids", "refusal", "delivery"])))]
pub(crate) struct Release {
    /// Ids of parked events
    #[arg(value_name = "ID", value_parser = EventId::parse)]
    ids: Vec<EventId>,
    /// Everything that is parked for this reason: event-too-old, …
    #[arg(long, value_name = "SLUG", value_parser = parked_for, requires = "since", conflicts_with_all = ["ids", "delivery"])]
    refusal: Option<Reason>,
    /// Of those, what was recorded since then: 2026-09-30T12:00:00Z, 2026-09-30, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,
    #[command(flatten)]
    told: Told,
}

/// What `dismiss` is told.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["ids", "delivery"])))]
pub(crate) struct Dismiss {
    /// Ids of parked events
    #[arg(value_name = "ID", value_parser = EventId::parse)]
    ids: Vec<EventId>,
    #[command(flatten)]
    told: Told,
}

/// What both are told.
#[derive(Debug, Args)]
struct Told {
    /// A message, as `countersign event` shows it: for an event whose id was reused, and for what became no event
    #[arg(long, value_name = "INSTANCE:SEQ", value_parser = Message::parse)]
    delivery: Vec<Message>,
    /// Why; it stays in the books
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// How long to wait until it is done, each 500 of them
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    wait: u32,
    /// How many are asked for before the processor has acted on those before them
    #[arg(long, hide = true, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=500))]
    wave: u16,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// A message of the bus, by its name.
#[derive(Debug, Clone, Copy)]
struct Message {
    instance: InstanceId,
    sequence: Sequence,
}

impl Message {
    fn parse(text: &str) -> Result<Self, String> {
        let named = text.split_once(':').and_then(|(instance, sequence)| {
            Some(Self { instance: InstanceId::parse(instance)?, sequence: Sequence(sequence.parse().ok()?) })
        });
        named.ok_or_else(|| "INSTANCE:SEQ is expected, as `countersign event` shows them".to_owned())
    }
}

fn parked_for(slug: &str) -> Result<Reason, String> {
    let of_parked = |reason: &Reason| reason.outcome() == Outcome::Parked;
    Reason::parse(slug).filter(of_parked).ok_or_else(|| {
        let slugs: Vec<&str> =
            Reason::ALL.iter().filter(|reason| of_parked(reason)).map(|reason| reason.as_str()).collect();
        format!("none of {}", slugs.join(", "))
    })
}

pub(crate) async fn release(arguments: &Release, handle: Handle) -> Result<Answer, Failure> {
    let Release { ids, refusal, since, told } = arguments;
    // clap asks for `--refusal` only where nothing excludes it.
    if since.is_some() && refusal.is_none() {
        return Err(Failure::Usage("--since belongs to --refusal".to_owned()));
    }
    let desk = Desk::open(ActionKind::Release, told, handle).await?;
    let mut lines = desk.named(ids).await?;
    if let (Some(reason), Some(since)) = (*refusal, *since) {
        let since =
            since.instant(desk.handle.now()).map_err(|error| Failure::Usage(format!("--since: {error}")))?;
        let parked = desk.books.parked_for(reason, since).await.context("look for what is parked")?;
        lines.extend(parked.into_iter().map(|target| Line::of(target, None)));
        if lines.is_empty() {
            complain(&format!("nothing is parked for {reason} since then"));
        }
    }
    desk.act(lines).await
}

pub(crate) async fn dismiss(arguments: &Dismiss, handle: Handle) -> Result<Answer, Failure> {
    let Dismiss { ids, told } = arguments;
    let desk = Desk::open(ActionKind::Dismiss, told, handle).await?;
    let lines = desk.named(ids).await?;
    desk.act(lines).await
}

/// Where an operator acts from.
struct Desk<'a> {
    kind: ActionKind,
    told: &'a Told,
    books: PostgresOperator,
    bus: bus_rabbitmq::Settings,
    handle: Handle,
}

impl<'a> Desk<'a> {
    async fn open(kind: ActionKind, told: &'a Told, handle: Handle) -> Result<Self, Failure> {
        let Acting { database: config::Database { url, tls }, bus } = config::acting()?;
        let settings = Settings { tls, ..Settings::new(url.expose_secret()) };
        let books = PostgresOperator::connect(&settings, handle.clone()).await;
        Ok(Self { kind, told, books: books.context("connect to the books")?, bus, handle })
    }

    /// What goes by these ids and by `--delivery`; of what the books do not know it is said.
    async fn named(&self, ids: &[EventId]) -> Result<Vec<Line>, Failure> {
        let mut lines = Vec::new();
        for id in ids {
            let targets = self.books.events_of_id(id).await.context("look for the event")?;
            if targets.is_empty() {
                lines.push(Line::unknown(id.to_string()));
            }
            lines.extend(targets.into_iter().map(|target| Line::of(target, None)));
        }
        for Message { instance, sequence } in &self.told.delivery {
            let name = format!("{instance}:{sequence}");
            let target = self.books.delivery(*instance, *sequence).await.context("look for the message")?;
            lines.push(match target {
                Some(target) => Line::of(target, Some(name)),
                None => Line::unknown(name),
            });
        }
        Ok(lines)
    }

    /// Asks for it all, waits, and tells.
    async fn act(&self, mut lines: Vec<Line>) -> Result<Answer, Failure> {
        if lines.iter().any(Line::is_parked) {
            let requests = Requests::connect(self.bus.clone(), self.handle.clone()).await?;
            let asked = self.ask_in_waves(&requests, &mut lines).await;
            requests.close().await;
            asked?;
        }
        let answer = Answer::from_bool(!lines.is_empty() && lines.iter().all(Line::is_decided));
        let lines = Lines(self.kind, lines);
        print_either(self.told.json, &lines.1, &lines)?;
        Ok(answer)
    }

    /// Asks for what stands parked, some at a time, and for more only when those are done.
    async fn ask_in_waves(&self, requests: &Requests, lines: &mut [Line]) -> anyhow::Result<()> {
        let mut parked: Vec<&mut Line> = lines.iter_mut().filter(|line| line.is_parked()).collect();
        let (all, size, wait) = (parked.len(), usize::from(self.told.wave), self.told.wait);
        let mut asked: usize = 0;
        for wave in parked.chunks_mut(size) {
            self.ask(requests, wave).await?;
            asked = asked.saturating_add(wave.len());
            let learnt = self.handle.within(Duration::from_secs(wait.into()), self.learn(wave)).await;
            let rest = all.saturating_sub(asked);
            match learnt {
                Some(learnt) => {
                    learnt?;
                    if all > size {
                        complain(&format!("{}: {asked} of {all} asked for and done", self.kind));
                    }
                }
                None if rest > 0 => {
                    complain(&format!(
                        "the processor has not done what it was asked within {wait} s: {rest} more were not asked for"
                    ));
                    break;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Puts the actions down and asks the processor for them.
    async fn ask(&self, requests: &Requests, lines: &mut [&mut Line]) -> anyhow::Result<()> {
        let targets: Vec<_> = lines.iter().filter_map(|line| line.target.clone()).collect();
        let asked = self.books.ask(self.kind, &targets, &self.told.reason).await;
        let asked = asked.context("put the actions down")?;
        for (line, asked) in lines.iter_mut().filter(|line| line.target.is_some()).zip(asked) {
            line.ask(&asked);
        }
        let mut actions: Vec<ActionId> = lines.iter().filter_map(|line| line.action).collect();
        actions.sort_unstable();
        actions.dedup();
        let published = requests.ask_for_all(&actions, self.kind).await;
        published.context("the actions stand in the books, but the processor was not asked: run this again")
    }

    /// Looks until everything asked for has been done.
    async fn learn(&self, lines: &mut [&mut Line]) -> anyhow::Result<()> {
        loop {
            let open: Vec<ActionId> = lines.iter().filter_map(|line| line.open()).collect();
            if open.is_empty() {
                return Ok(());
            }
            let effects = self.books.effects(&open).await.context("look for what has been done")?;
            for line in lines.iter_mut() {
                line.learn(&effects);
            }
            if lines.iter().any(|line| line.open().is_some()) {
                self.handle.sleep(LOOK_EVERY).await;
            }
        }
    }
}
