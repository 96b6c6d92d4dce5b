//! Auditors: the checks of `audit` over what the books in memory hold, at any instant of a history and at its end. `guards`
//! and `silence` are left out: these books have no schema, and no history lasts for a week.

mod journal;
mod judge;
mod rows;
mod sealed;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit::{
    CheckResult, Checkpoint, ContinuityRows, Digest, Fault, Finding, Head, Height, HorizonRow, Limits,
    LinkRow, PublishedRow, RangeFacts, RangeRow, Totals, check_backlog, check_balance, check_completeness,
    check_continuity, check_coverage, check_rejections, check_transactions,
};
use ledger::UnixMillis;
use testkit::memory::books::Pages;

use crate::sabotage::Sabotage;
use crate::witness::Damage;
use crate::world::World;
use journal::Journal;
pub(crate) use judge::unnamed;
use rows::Snapshot;

/// When everything is due, and nothing is forgotten yet.
pub(crate) const ALL_DUE: Duration = Duration::from_mins(40);

/// What the auditors of a history share, and what they found.
pub(crate) struct Audits {
    limits: Limits,
    journal: Mutex<Journal>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The table of checkpoints.
    chain: Vec<Checkpoint>,
    /// What each auditor has published outside.
    heads: BTreeMap<usize, Head>,
    /// All that was ever found.
    faults: BTreeSet<Fault>,
    /// What the last run found.
    last: Vec<Finding>,
}

/// What a run says, and what it would seal.
struct Run {
    findings: Vec<Finding>,
    unsealed: Option<Checkpoint>,
}

impl Audits {
    pub(crate) fn new(sabotage: Sabotage) -> Arc<Self> {
        let limits = sabotage.limits(Limits::default());
        Arc::new(Self { limits, journal: Mutex::default(), state: Mutex::default() })
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books committed something.
    pub(crate) fn committed(&self, pages: &Pages, now: UnixMillis) {
        self.journal().note(pages, now);
    }

    /// All that was ever found.
    pub(crate) fn faults(&self) -> BTreeSet<Fault> {
        self.state().faults.clone()
    }

    /// What was found at last.
    pub(crate) fn last(&self) -> Vec<Finding> {
        self.state().last.clone()
    }

    /// How high the chain is.
    pub(crate) fn height(&self) -> usize {
        self.state().chain.len()
    }

    fn run(&self, number: usize, pages: &Pages, now: UnixMillis) -> Run {
        let journal = self.journal();
        let (chain, published) = {
            let state = self.state();
            (state.chain.clone(), state.heads.get(&number).copied())
        };
        let limits = &self.limits;
        let snapshot = Snapshot { pages, journal: &journal, limits, now };
        let totals = snapshot.totals();
        let (continuity, unsealed) = continuity(&snapshot, &chain, published);
        let results = [
            check_balance(&totals),
            check_transactions(&snapshot.transactions()),
            check_continuity(&continuity, limits),
            check_completeness(&snapshot.completeness(), limits),
            check_coverage(&snapshot.coverage()),
            check_backlog(&snapshot.backlog(), limits),
            check_rejections(&snapshot.rejections(), limits),
        ];
        let findings = CheckResult::all(results).findings().to_vec();
        let disputed = findings.iter().any(|finding| finding.check.is_of_history());
        Run { findings, unsealed: unsealed.filter(|_| !disputed) }
    }

    /// Adds a checkpoint, unless another auditor has sealed that height meanwhile; either way the head goes outside.
    fn seal(&self, number: usize, checkpoint: Option<Checkpoint>) {
        let mut state = self.state();
        if let Some(checkpoint) = checkpoint
            && checkpoint.height == height(&state.chain, 1)
        {
            state.chain.push(checkpoint);
        }
        if let Some(last) = state.chain.last() {
            let head = Head { height: last.height, digest: last.digest };
            state.heads.insert(number, head);
        }
    }
}

fn height(chain: &[Checkpoint], more: usize) -> Height {
    Height(i64::try_from(chain.len() + more).unwrap())
}

/// The sealed ranges read again, the chain, and what would be sealed next: everything that is committed.
fn continuity(
    snapshot: &Snapshot<'_>,
    chain: &[Checkpoint],
    published: Option<Head>,
) -> (ContinuityRows, Option<Checkpoint>) {
    let end = snapshot.journal.xid + 1;
    let ends: Vec<i64> = chain.iter().map(|checkpoint| checkpoint.hi).chain([end]).collect();
    let mut found = sealed::facts(snapshot.pages, snapshot.journal, &ends);
    let next = found.pop().filter(|facts: &RangeFacts| facts.rows() > 0);
    let next = next.map(|facts| Checkpoint::seal(chain.last(), end, facts));
    let before = core::iter::once(Totals::default()).chain(chain.iter().map(|one| one.totals.clone()));
    let ranges = chain.iter().cloned().zip(before).zip(found);
    let ranges = ranges.map(|((checkpoint, before), found)| RangeRow {
        checkpoint,
        before,
        found,
        rewritten: Vec::new(),
    });
    let link = |one: &Checkpoint| LinkRow {
        height: one.height,
        lo: one.lo,
        hi: one.hi,
        digest: one.digest,
        previous_digest: one.previous_digest,
        adopted: false,
    };
    let digest_at = |head: Head| -> Option<Digest> {
        chain.iter().find(|one| one.height == head.height).map(|one| one.digest)
    };
    let published =
        published.map(|head| PublishedRow { head, found: digest_at(head), height: height(chain, 0) });
    let horizon = HorizonRow { sealed: chain.last().map(|last| last.hi), xmin: end, oldest_above: None };
    let rows = ContinuityRows {
        ranges: ranges.collect(),
        chain: chain.iter().map(link).collect(),
        published,
        horizon,
    };
    (rows, next)
}

/// One auditor's runs, at instants that the seed chooses, until the history ends.
pub(crate) async fn auditor(world: Arc<World>, number: usize) {
    let soon = u64::try_from(world.plan.heals_after.as_millis()).unwrap();
    let later = [1_000, 60_000, 2_500_000, 10_000_000];
    for pause in [world.chance.below(soon), world.chance.pick(&later)] {
        world.handle.sleep(Duration::from_millis(pause)).await;
        run(&world, number).await;
    }
}

/// One run: what is found must be true.
pub(crate) async fn run(world: &World, number: usize) {
    let (audits, now) = (&world.audits, world.handle.now());
    let Run { findings, unsealed } = world.books_seen(|pages| audits.run(number, pages, now));
    for finding in &findings {
        if let Err(why) = judge::judge(world, finding) {
            world.witness.object(Damage::FalseFinding, format!("{}: {why}", finding.key));
        }
    }
    {
        let mut state = audits.state();
        state.faults.extend(findings.iter().flat_map(|finding| finding.faults.iter().copied()));
        state.last = findings;
    }
    // Between its verdict and its seal another may seal, or it dies.
    world.handle.sleep(Duration::from_millis(world.chance.pick(&[0, 1, 3_000]))).await;
    if !world.chance.permille(200) {
        audits.seal(number, unsealed);
    }
}
