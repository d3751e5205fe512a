//! The law check: whether the functions of an index keep the laws that folding them piece by piece needs, on the user's own
//! documents, before the index goes live.
//!
//! A reduce runs on pages of map outputs, then on its own outputs, again and again (`reduce_tree.rs`). That gives the right
//! result only if it keeps the laws of [`Law`]. A check maps a sample of documents, groups the outputs by key, and tries
//! each law on them in many splits and orders (`plan.rs`, `trial.rs`). A counterexample is made as small as it gets
//! (`shrink.rs`) and comes with a hint at the usual mistake (`hint.rs`). Sums of doubles that differ only in rounding are
//! told apart (`likeness.rs`).
//!
//! A check proves nothing: it finds what the sample shows. Everything in it is bounded (`budget.rs`), and `run.rs` puts it on
//! a thread of its own, so that a function that does not come back holds up nobody.

mod budget;
mod groups;
mod hint;
mod likeness;
mod mode;
mod plan;
mod report;
mod run;
mod sample;
mod shrink;
mod trial;

pub use budget::LawBudget;
pub(crate) use mode::LAWS;
pub use mode::LawMode;
pub use report::{BrokenLaw, Counterexample, Law, LawFailure, LawReport, TestedFunction, Unfinished};
pub(crate) use run::LawChecks;

use crate::faults::describe_key;
use crate::function::{FunctionSource, Loads, NoLoads};
use crate::limits::LAW_FAILURES_LISTED_MAX;
use budget::Meter;
use groups::{Group, Groups};
use likeness::Likeness;
use magpie_store::Document;
use magpie_store::json::Json;
use shrink::Shrink;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use trial::{Bench, Trial, Verdict};

/// Checks the functions that `source` makes on these documents, which should be ordered by id. It calls the functions on
/// the calling thread, so that needs the stack of [`crate::limits::SCRIPT_STACK_BYTES`] and waits for them; the budget is
/// looked at between calls. Maps that load documents get none.
#[must_use]
pub fn check(
    source: &dyn FunctionSource,
    documents: impl Iterator<Item = Document>,
    budget: LawBudget,
) -> LawReport {
    let mut report = LawReport::default();
    check_with(source, documents, &mut NoLoads, budget, Arc::default(), &mut |latest| {
        report = latest.clone();
    });
    report
}

/// [`check`] with loads. Tells of what it knows now and then, and in the end; ends soon after `given_up` is set.
pub(crate) fn check_with(
    source: &dyn FunctionSource,
    documents: impl Iterator<Item = Document>,
    loads: &mut dyn Loads,
    budget: LawBudget,
    given_up: Arc<AtomicBool>,
    tell: &mut dyn FnMut(&LawReport),
) {
    let meter = Meter::new(budget, given_up);
    let mut report = LawReport::default();
    match Bench::new(source, loads, meter) {
        Ok(bench) => {
            let fields = source.shape().group_by.clone().unwrap_or_default();
            let mut check = Check { bench, budget, fields, report, tell };
            let ended = check.run(documents);
            check.report.unfinished = ended.err();
            check.progress();
        }
        Err(unfinished) => {
            report.unfinished = Some(unfinished);
            tell(&report);
        }
    }
}

/// A check at work.
struct Check<'c, 'b> {
    bench: Bench<'b>,
    budget: LawBudget,
    fields: Vec<String>,
    report: LawReport,
    tell: &'c mut dyn FnMut(&LawReport),
}

impl Check<'_, '_> {
    fn run(&mut self, documents: impl Iterator<Item = Document>) -> Result<(), Unfinished> {
        let groups = self.map(documents)?;
        if self.bench.source.shape().group_by.is_none() || self.knows(Law::Determinism) {
            return Ok(());
        }
        let mut firsts = Vec::new();
        for group in groups {
            if let Some(reduced) = self.key(&group)? {
                firsts.push((group, reduced));
            }
            self.report.keys += 1;
            self.progress();
        }
        // Once more after all else, for what changes more slowly than calls follow each other.
        self.bench.renew()?;
        for (group, wanted) in firsts {
            if let Ok(got) = self.bench.reduce(&group.key, &group.values)? {
                self.compare(Trial::of_reduce(Law::Determinism, &group.key, &group.values), wanted, got)?;
            }
        }
        Ok(())
    }

    /// Notes when functions that were compiled anew give something else than those before.
    fn compare(&mut self, trial: Trial, wanted: Json, got: Json) -> Result<(), Unfinished> {
        if likeness::same(&wanted, &got) || self.knows(trial.law) {
            return Ok(());
        }
        self.found(trial, Verdict { likeness: Likeness::Different, got, wanted })
    }

    fn progress(&mut self) {
        self.report.calls = self.bench.meter.calls;
        (self.tell)(&self.report);
    }

    /// Maps the documents, each several times, and gives the keys with most outputs.
    fn map(&mut self, documents: impl Iterator<Item = Document>) -> Result<Vec<Group>, Unfinished> {
        let mut groups = Groups::default();
        let mut firsts = Vec::new();
        for document in documents.take(self.budget.documents_max) {
            self.report.documents += 1;
            let trial = Trial::of_map(&document);
            self.attempt(trial.clone())?;
            match self.bench.map(&document)? {
                Ok(emitted) => {
                    self.report.outputs += emitted.len();
                    let values = emitted.iter().map(|output| output.value.clone()).collect();
                    firsts.push((document, trial, Json::Array(values)));
                    emitted.into_iter().for_each(|output| groups.add(output));
                }
                Err(error) => {
                    self.failure(format!("document '{}'", document.id), TestedFunction::Map, &error);
                }
            }
        }
        self.bench.renew()?;
        for (document, trial, wanted) in firsts {
            if let Ok(emitted) = self.bench.map(&document)? {
                let got = emitted.into_iter().map(|output| output.value).collect();
                self.compare(trial, wanted, Json::Array(got))?;
            }
        }
        self.progress();
        Ok(groups.largest(self.budget.keys_max, self.budget.values_per_key_max))
    }

    /// Tries all laws on one key, and gives the reduced value of its outputs.
    fn key(&mut self, group: &Group) -> Result<Option<Json>, Unfinished> {
        for trial in plan::trials(&group.key, &group.values) {
            self.attempt(trial)?;
            if self.knows(Law::Determinism) {
                return Ok(None);
            }
        }
        let reduced = match self.bench.reduce(&group.key, &group.values)? {
            Ok(reduced) => reduced,
            Err(error) => {
                let subject = format!("key {}", describe_key(&self.fields, &group.key));
                self.failure(subject, TestedFunction::Reduce, &error);
                return Ok(None);
            }
        };
        if self.bench.source.shape().finalizes {
            let inputs = std::slice::from_ref(&reduced);
            let trial = Trial::of_reduce(Law::Determinism, &group.key, inputs);
            self.attempt(Trial { function: TestedFunction::Finalize, ..trial })?;
        }
        Ok(Some(reduced))
    }

    /// Tries one law, unless it is known not to hold or stands on one that is.
    fn attempt(&mut self, trial: Trial) -> Result<(), Unfinished> {
        let stands_on_closure = matches!(trial.law, Law::SingleValue | Law::Associativity);
        if self.knows(trial.law) || (stands_on_closure && self.knows(Law::Closure)) {
            return Ok(());
        }
        match self.bench.run(&trial)? {
            Some(verdict) if verdict.likeness != Likeness::Equal => self.found(trial, verdict),
            _ => Ok(()),
        }
    }

    /// Notes a law that does not hold, with the smallest counterexample.
    fn found(&mut self, trial: Trial, verdict: Verdict) -> Result<(), Unfinished> {
        let is_inexact = verdict.likeness == Likeness::Inexact;
        if is_inexact && self.report.inexact.iter().any(|known| known.law == trial.law) {
            return Ok(());
        }
        let (trial, verdict, ended) = Shrink::new(&mut self.bench, trial, verdict, &self.fields).run();
        if is_inexact {
            self.report.inexact.push(trial.broken(verdict, &self.fields, hint::inexact()));
        } else {
            let hint = hint::broken(&trial, &verdict, self.bench.source.canonical_text());
            self.report.inexact.retain(|known| known.law != trial.law);
            self.report.broken.push(trial.broken(verdict, &self.fields, hint));
        }
        self.progress();
        ended
    }

    /// Whether a law is known not to hold.
    fn knows(&self, law: Law) -> bool {
        self.report.broken.iter().any(|broken| broken.law == law)
    }

    fn failure(&mut self, subject: String, function: TestedFunction, error: &crate::FunctionError) {
        if self.report.failures.len() < LAW_FAILURES_LISTED_MAX {
            self.report.failures.push(LawFailure { subject, function, message: error.to_string() });
        }
    }
}
