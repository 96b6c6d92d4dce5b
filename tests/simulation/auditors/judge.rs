//! Whether a finding is true, by what was sent and what befell it; and whether what was lost is found.

use std::collections::BTreeSet;

use audit::{DeliveryRef, Fault, Finding, Instant};
use ledger::UnixMillis;
use testkit::memory::books::Pages;
use wire::{InstanceId, Sequence};

use super::rows::came_again;
use crate::plan::{Content, Kind, Sender};
use crate::witness::{Damage, Sent};
use crate::world::World;

/// Why a finding is false. Three kinds of findings are true in the best of histories, and these alone: an ingress that was
/// killed went silent; what the plan has parked waits for a person; genuine events that the plan makes refusable were refused.
/// Everything else is true only where the witness saw that damage.
pub(super) fn judge(world: &World, finding: &Finding) -> Result<(), &'static str> {
    let damaged = |damages: &[Damage]| {
        let seen = world.witness.violations();
        let damaged = seen.iter().any(|violation| damages.contains(&violation.damage));
        damaged.then_some(()).ok_or("nothing of the kind has happened")
    };
    finding.faults.iter().try_for_each(|fault| match fault {
        Fault::InstanceSilent => silent(world, finding),
        Fault::DeliveryMissing => missing(world, finding),
        Fault::EventsUndecided | Fault::EvidenceUndecided => undecided(world, finding),
        Fault::RefusalsPerHour | Fault::RefusalsAboveMean => refused(world, finding),
        // A control total was never dead but by its processors' fault.
        Fault::WindowMissing => world.is_worn().then_some(()).ok_or("every total arrives"),
        Fault::TotalsDiffer | Fault::NotZero | Fault::FewerLegs | Fault::MoreLegs => {
            damaged(&[Damage::Unbalanced])
        }
        Fault::RangeChanged => damaged(&[Damage::Rewritten]),
        Fault::BookedWithoutTransaction | Fault::TransactionWithoutEvent => damaged(&[Damage::WrongFate]),
        Fault::LegNumbers
        | Fault::MixedLivemode
        | Fault::NoHeader
        | Fault::ChainBroken
        | Fault::ChainShorter
        | Fault::ChainDiffers
        | Fault::ForeignHistory
        | Fault::HorizonStuck
        | Fault::MovementTwice
        | Fault::TypeRefused
        | Fault::TriggerMissing
        | Fault::TriggerDisabled
        | Fault::TriggerUnknown
        | Fault::FunctionChanged
        | Fault::ConstraintMissing
        | Fault::PrivilegeExcess
        | Fault::RoleExcess
        | Fault::OwnerChanged
        | Fault::DurabilityOff
        | Fault::NotSettled
        | Fault::BalanceDiffers
        | Fault::SourceSilent => Err("nothing here could do that"),
    })
}

fn silent(world: &World, finding: &Finding) -> Result<(), &'static str> {
    let (instance, _) = name(finding).ok_or("it names no ingress")?;
    if world.is_running(instance) {
        return Err("it is running");
    }
    let lost = world.is_worn() || world.sabotage.loses_totals();
    let said_its_last = world.witness.ended().contains(&instance);
    (!said_its_last || lost).then_some(()).ok_or("it has ended well")
}

fn missing(world: &World, finding: &Finding) -> Result<(), &'static str> {
    let (instance, sequence) = name(finding).ok_or("it names no message")?;
    let sent = world.witness.sent();
    let sent = sequence.and_then(|sequence| sent.get(&(instance, sequence))).ok_or("nobody sent it")?;
    sent.confirmed.ok_or("nobody was told that it is safe")?;
    (!world.is_queued(&sent.message_id)).then_some(()).ok_or("it waits in a queue")
}

fn undecided(world: &World, finding: &Finding) -> Result<(), &'static str> {
    let since = finding.since.as_ref().map(Instant::as_str).and_then(|text| text.parse().ok());
    let since = since.map(UnixMillis).ok_or("it says not since when")?;
    if world.handle.now().since_ms(since) < 15 * 60_000 {
        return Err("a person still has time");
    }
    let contents = &world.plan.contents;
    let any = |such: &dyn Fn(&Content) -> bool| contents.iter().any(such);
    let several = |such: &dyn Fn(&Content, &Content) -> bool| any(&|one| any(&|other| such(one, other)));
    let plausible = match finding.reason.as_ref().map(audit::Slug::as_str) {
        // Whether it is too old depends on when it comes, and on a clock.
        Some("event-too-old") => any(&|content| content.sender == Sender::Stripe),
        Some("event-wrong-mode") => any(&|content| content.kind == Kind::WrongMode),
        Some("payload-invalid") => any(&|content| content.kind == Kind::Garbage),
        Some("movement-conflict") => several(&Content::contradicts),
        Some("event-id-reused") => several(&Content::reuses_the_id_of),
        Some("dead-lettered") => world.plan.poison.is_some() || world.is_worn(),
        Some("refused-by-books") => world.sabotage.has_entries_refused(),
        _ => false,
    };
    plausible.then_some(()).ok_or("nothing should be parked for that")
}

fn refused(world: &World, finding: &Finding) -> Result<(), &'static str> {
    // Each content may be too old or of the wrong mode, and, for another process or another time, one of a used id.
    let contents = world.plan.contents.iter().filter(|content| content.sender == Sender::Stripe);
    let most = u64::try_from(2 * contents.count()).unwrap();
    finding.count.filter(|count| *count <= most).map(|_| ()).ok_or("so many cannot have been refused")
}

fn name(finding: &Finding) -> Option<(InstanceId, Option<Sequence>)> {
    let DeliveryRef { instance, sequence, .. } = finding.delivery.as_ref()?;
    let sequence = sequence.and_then(|sequence| u64::try_from(sequence).ok()).map(Sequence);
    Some((InstanceId::parse(instance.as_str())?, sequence))
}

/// The first message that somebody was told is safe, that is in no row, and that the last run of an auditor does not name.
/// What a killed ingress had not told of yet is named by its silence; of one that had told nothing at all nobody can know.
/// An event that came again since is not lost.
pub(crate) fn unnamed(world: &World, pages: &Pages) -> Option<String> {
    let last = world.audits.last();
    let named = |fault| {
        let of_it = last.iter().filter(move |finding| finding.faults.contains(&fault));
        of_it.filter_map(name).collect::<BTreeSet<_>>()
    };
    let (missing, silent) = (named(Fault::DeliveryMissing), named(Fault::InstanceSilent));
    let listed = |(instance, sequence): (InstanceId, Sequence)| {
        let totals = pages.totals.range((instance, 0)..=(instance, u64::MAX));
        totals
            .flat_map(|(_, total)| total.listed.iter().map(|one| (one, total.closed_at)))
            .find(|(one, _)| one.sequence == sequence)
    };
    let told_nothing = |instance| pages.totals.range((instance, 0)..=(instance, u64::MAX)).next().is_none();
    let is_named = |(instance, sequence): (InstanceId, Sequence)| match listed((instance, sequence)) {
        Some((one, closed_at)) => {
            came_again(pages, one, closed_at) || missing.contains(&(instance, Some(sequence)))
        }
        None => silent.contains(&(instance, None)) || told_nothing(instance),
    };
    let lost = |(id, sent): &(&(InstanceId, Sequence), &Sent)| {
        sent.confirmed.is_some() && !pages.deliveries.contains_key(*id)
    };
    let sent = world.witness.sent();
    let unnamed = sent.iter().filter(lost).find(|(id, _)| !is_named(**id));
    unnamed.map(|(_, sent)| format!("{} is lost, and no auditor says so", sent.message_id))
}
