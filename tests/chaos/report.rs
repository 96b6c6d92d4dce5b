//! What a run came to, for a person and for a program.

use core::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use crate::books::FindingRow;
use crate::checker::Verdict;
use crate::reader::Seen;
use crate::told::Spell;

/// A fault, or two at once, and how requests fared meanwhile.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Struck {
    pub(crate) faults: Vec<String>,
    pub(crate) at_ms: u64,
    /// What it was aimed at, and whether it was met.
    pub(crate) note: String,
    pub(crate) spell: Spell,
}

/// Everything.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) revision: String,
    pub(crate) seconds: u64,
    pub(crate) requests: usize,
    pub(crate) struck: Vec<Struck>,
    /// When all had come to rest.
    pub(crate) at_rest: Verdict,
    /// When an operator had released what was put aside, twice.
    pub(crate) released: Verdict,
    pub(crate) reader: Seen,
    pub(crate) deliveries: i64,
    /// Messages that were delivered too often and buried; released with the others.
    pub(crate) buried: i64,
    pub(crate) findings: Vec<FindingRow>,
    /// Those of them that are about nothing.
    pub(crate) false_findings: Vec<FindingRow>,
    /// How often the auditors told somebody.
    pub(crate) alerts: usize,
    /// Everything else that must not be.
    pub(crate) wrong: Vec<String>,
    /// How sizes and latency drifted, of a soak.
    pub(crate) drift: Vec<String>,
}

impl Report {
    pub(crate) fn is_clean(&self) -> bool {
        self.at_rest.is_clean()
            && self.released.is_clean()
            && self.reader.faults.is_empty()
            && self.reader.snapshots > 0
            && self.at_rest.acknowledged > 0
            && self.false_findings.is_empty()
            && self.wrong.is_empty()
    }

    /// Writes it beside the logs.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join("report.json");
        std::fs::write(&path, serde_json::to_vec_pretty(self)?).context("write the report")?;
        Ok(path)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, revision, seconds, requests, at_rest, released, reader, .. } = self;
        for Struck { faults, at_ms, note, spell } in &self.struck {
            let answers: Vec<String> =
                spell.answers.iter().map(|(word, count)| format!("{word} {count}")).collect();
            let (fault, at_s, slowest) = (faults.join(" and "), at_ms / 1000, spell.slowest_ms);
            writeln!(
                f,
                "  {at_s:>4} s  {fault:<54} {note:<54} slowest {slowest:>5} ms  {}",
                answers.join(", ")
            )?;
        }
        for line in &self.drift {
            writeln!(f, "  {line}")?;
        }
        writeln!(
            f,
            "seed {seed}, revision {revision}: {} faults in {seconds} s, {requests} requests",
            self.struck.iter().map(|struck| struck.faults.len()).sum::<usize>()
        )?;
        let Verdict { attempted, acknowledged, recovered, set_aside, .. } = at_rest;
        writeln!(
            f,
            "  attempted {attempted}  acknowledged {acknowledged}  recovered {recovered}  set aside {set_aside}"
        )?;
        for (when, verdict) in [("at rest", at_rest), ("released", released)] {
            let Verdict { lost, duplicated, unexpected, .. } = verdict;
            let counts = (lost.len(), duplicated.len(), unexpected.len());
            writeln!(f, "  {when:<9} lost {}  duplicated {}  unexpected {}", counts.0, counts.1, counts.2)?;
            for line in lost.iter().chain(duplicated).chain(unexpected).take(50) {
                writeln!(f, "    {line}")?;
            }
        }
        let (findings, alerts) = (self.findings.len(), self.alerts);
        writeln!(
            f,
            "  findings {findings}, false ones {}; alerts sent {alerts}; buried and released {}",
            self.false_findings.len(),
            self.buried
        )?;
        for finding in &self.false_findings {
            writeln!(f, "    {}: {}", finding.key, finding.summary)?;
        }
        writeln!(
            f,
            "  books balanced in each of {} snapshots, and nothing of them changed: {}",
            reader.snapshots,
            reader.faults.is_empty()
        )?;
        for line in reader.faults.iter().take(20).chain(&self.wrong) {
            writeln!(f, "    {line}")?;
        }
        write!(f, "{}", if self.is_clean() { "nothing lost, nothing doubled" } else { "NOT AS PROMISED" })
    }
}
