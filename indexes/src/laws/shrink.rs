//! Making a counterexample smaller as long as the same law stays broken in the same way: first fewer inputs, then a simpler
//! split or order, then fewer fields, fewer elements and small numbers.

use super::likeness::differing;
use super::report::{Law, Unfinished};
use super::trial::{Bench, FAILS, Trial, Verdict};
use crate::limits::LAW_SHRINK_TRIALS_MAX;
use magpie_store::json::{Json, Object};
use std::collections::BTreeSet;

/// Numbers that are simpler than others, the simplest first.
const SIMPLE: [i64; 4] = [0, 1, 2, 3];

/// A counterexample that gets smaller.
pub(super) struct Shrink<'s, 'b> {
    bench: &'s mut Bench<'b>,
    trial: Trial,
    verdict: Verdict,
    /// The names of the group-by fields, which stay as they are.
    fields: &'s [String],
    trials_left: usize,
}

/// What becomes of the attempts.
type Tried = Result<bool, Unfinished>;

impl<'s, 'b> Shrink<'s, 'b> {
    pub fn new(bench: &'s mut Bench<'b>, trial: Trial, verdict: Verdict, fields: &'s [String]) -> Self {
        Self { bench, trial, verdict, fields, trials_left: LAW_SHRINK_TRIALS_MAX }
    }

    /// The smallest that was found within the limits. When the check must end meanwhile, it says so, too.
    pub fn run(mut self) -> (Trial, Verdict, Result<(), Unfinished>) {
        let ended = self.shrink();
        (self.trial, self.verdict, ended)
    }

    fn shrink(&mut self) -> Result<(), Unfinished> {
        loop {
            let fewer = self.fewer_inputs()?;
            let simpler = self.simpler_arrangement()? | self.simpler_values()?;
            if !fewer && !simpler {
                return Ok(());
            }
        }
    }

    /// Takes `candidate` if the law is broken by it as it was.
    fn take(&mut self, candidate: Trial) -> Tried {
        if self.trials_left == 0 {
            return Ok(false);
        }
        self.trials_left -= 1;
        let Some(verdict) = self.bench.run(&candidate)? else { return Ok(false) };
        if verdict.likeness != self.verdict.likeness || !is_like(&verdict, &self.verdict) {
            return Ok(false);
        }
        self.trial = candidate;
        self.verdict = verdict;
        Ok(true)
    }

    /// Removes runs of inputs, long ones first.
    fn fewer_inputs(&mut self) -> Tried {
        let mut progress = false;
        let mut size = self.trial.inputs.len() / 2;
        while size > 0 {
            let mut from = 0;
            while from < self.trial.inputs.len() {
                if let Some(smaller) = self.trial.without(from, from + size)
                    && self.take(smaller)?
                {
                    progress = true;
                } else {
                    from += size;
                }
            }
            size /= 2;
        }
        Ok(progress)
    }

    /// Joins parts, and tries the order in which only two neighbours change places.
    fn simpler_arrangement(&mut self) -> Tried {
        let mut progress = false;
        let mut at = 0;
        while self.trial.split.len() > 2 && at + 1 < self.trial.split.len() {
            let mut split = self.trial.split.clone();
            let joined = split.remove(at);
            if let Some(next) = split.get_mut(at) {
                *next += joined;
            }
            if self.take(Trial { split, ..self.trial.clone() })? {
                progress = true;
            } else {
                at += 1;
            }
        }
        let count = self.trial.order.len();
        let is_swap = |order: &[usize]| order.iter().enumerate().filter(|(at, to)| at != *to).count() == 2;
        if count > 2 && !is_swap(&self.trial.order) {
            for at in 0..count - 1 {
                let mut order: Vec<usize> = (0..count).collect();
                order.swap(at, at + 1);
                if self.take(Trial { order, ..self.trial.clone() })? {
                    return Ok(true);
                }
            }
        }
        Ok(progress)
    }

    fn simpler_values(&mut self) -> Tried {
        let mut progress = self.fewer_fields()?;
        for at in 0..self.trial.inputs.len() {
            // After a step that worked, the steps of the simpler value are tried from the same place on.
            let mut step = 0;
            while self.trials_left > 0 {
                let Some(input) = self.trial.inputs.get(at) else { break };
                let mut steps = Vec::new();
                self.steps(input, true, &mut steps);
                let Some(simpler) = steps.into_iter().nth(step) else { break };
                let mut candidate = self.trial.clone();
                if let Some(place) = candidate.inputs.get_mut(at) {
                    *place = simpler;
                }
                if self.take(candidate)? {
                    progress = true;
                } else {
                    step += 1;
                }
            }
        }
        Ok(progress)
    }

    /// Removes fields, each from all inputs at once, so that they stay alike.
    fn fewer_fields(&mut self) -> Tried {
        let mut paths = BTreeSet::new();
        self.trial.inputs.iter().for_each(|input| self.paths(input, &[], &mut paths));
        let mut progress = false;
        for path in paths {
            let mut candidate = self.trial.clone();
            candidate.inputs.iter_mut().for_each(|input| remove(input, &path));
            // A field within one that is gone is gone with it.
            if candidate.inputs != self.trial.inputs && self.take(candidate)? {
                progress = true;
            }
        }
        Ok(progress)
    }

    /// The paths of all fields that may go; an array stands for its elements.
    fn paths(&self, value: &Json, above: &[String], paths: &mut BTreeSet<Vec<String>>) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields.iter().filter(|(name, _)| !self.is_kept(name, above.is_empty())) {
                    let path = [above, &[name.to_owned()]].concat();
                    self.paths(value, &path, paths);
                    // Without the field that reduce changes, nothing would be left to see.
                    let changed = self.verdict.got.as_str().filter(|_| self.trial.law == Law::Purity);
                    if !changed.is_some_and(|changed| is_in(name, changed)) {
                        paths.insert(path);
                    }
                }
            }
            Json::Array(items) => items.iter().for_each(|item| self.paths(item, above, paths)),
            _ => {}
        }
    }

    /// All values that are one step simpler: with an element less, or a smaller number.
    fn steps(&self, value: &Json, is_top: bool, steps: &mut Vec<Json>) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields.iter().filter(|(name, _)| !self.is_kept(name, is_top)) {
                    let mut inner = Vec::new();
                    self.steps(value, false, &mut inner);
                    steps.extend(inner.into_iter().map(|simpler| with(fields, name, simpler)));
                }
            }
            Json::Array(items) => {
                for at in 0..items.len() {
                    let kept = items.iter().enumerate().filter(|(other, _)| *other != at);
                    steps.push(Json::Array(kept.map(|(_, item)| item.clone()).collect()));
                }
                for (at, item) in items.iter().enumerate() {
                    let mut inner = Vec::new();
                    self.steps(item, false, &mut inner);
                    steps.extend(inner.into_iter().map(|simpler| {
                        let mut items = items.clone();
                        if let Some(place) = items.get_mut(at) {
                            *place = simpler;
                        }
                        Json::Array(items)
                    }));
                }
            }
            // The order of numbers is what commutativity may be about: they stay apart as they are.
            Json::Number(number) if self.trial.law != Law::Commutativity => {
                let simpler = SIMPLE.iter().take_while(|simple| number.as_i64() != Some(**simple));
                steps.extend(simpler.map(|simple| Json::from(*simple)));
            }
            _ => {}
        }
    }

    /// Whether a field stays as it is: those of the key, and the one that a tie was made in.
    fn is_kept(&self, name: &str, is_top: bool) -> bool {
        let first = |path: &str| path.split(['.', '[']).next().unwrap_or_default().to_owned();
        let is_key = is_top && self.fields.iter().any(|field| first(field) == name);
        is_key || self.trial.tie.as_deref().is_some_and(|tie| is_in(name, tie))
    }
}

/// Whether a law is broken in the way it was before: in the same fields or some of them, and not by an error or a
/// `NaN` that only came up because something was taken away.
fn is_like(verdict: &Verdict, before: &Verdict) -> bool {
    let is_error = |value: &Json| value.as_str().is_some_and(|text| text.starts_with(FAILS));
    let has_nan = |verdict: &Verdict| holds_nan(&verdict.got) || holds_nan(&verdict.wanted);
    if is_error(&verdict.got) != is_error(&before.got) || (has_nan(verdict) && !has_nan(before)) {
        return false;
    }
    let known = differing(&before.wanted, &before.got);
    known.is_empty() || differing(&verdict.wanted, &verdict.got).iter().all(|name| known.contains(name))
}

fn holds_nan(value: &Json) -> bool {
    match value {
        Json::ScriptNumber(number) => number.as_big_int().is_none(),
        Json::String(text) => text == "NaN",
        Json::Array(items) => items.iter().any(holds_nan),
        Json::Object(fields) => fields.iter().any(|(_, value)| holds_nan(value)),
        _ => false,
    }
}

/// Whether a name is part of a path such as `values[0].total`.
fn is_in(name: &str, path: &str) -> bool {
    path.split(['.', '[']).any(|part| part == name)
}

/// Removes the field at the path, in each element where there is an array.
fn remove(value: &mut Json, path: &[String]) {
    let Some((name, rest)) = path.split_first() else { return };
    match value {
        Json::Object(fields) if rest.is_empty() => {
            fields.remove(name);
        }
        Json::Object(fields) => {
            if let Some(inner) = fields.get_mut(name) {
                remove(inner, rest);
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| remove(item, path)),
        _ => {}
    }
}

fn with(fields: &Object, name: &str, value: Json) -> Json {
    let mut fields = fields.clone();
    fields.insert(name, value);
    fields.into()
}
