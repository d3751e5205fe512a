//! One law on one set of inputs: what has to come out, and what does.

use super::budget::Meter;
use super::likeness::{Likeness, likeness, same};
use super::report::{BrokenLaw, Counterexample, Law, TestedFunction, Unfinished};
use crate::function::{Emitted, FunctionError, FunctionSource, IndexFunction, Loads};
use magpie_store::Document;
use magpie_store::json::{Json, Object};

/// A law and what to try it on.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub law: Law,
    pub function: TestedFunction,
    /// The values of the group-by fields.
    pub key: Vec<Json>,
    pub inputs: Vec<Json>,
    /// Sizes of the parts, for associativity.
    pub split: Vec<usize>,
    /// Positions of the inputs, for commutativity.
    pub order: Vec<usize>,
    /// The field in which a tie was made up.
    pub tie: Option<String>,
    /// The document whose body the input is, for the map.
    pub document: Option<Document>,
}

/// What a trial gave.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub likeness: Likeness,
    pub got: Json,
    pub wanted: Json,
}

/// How the texts start that stand for errors among outputs.
pub(super) const FAILS: &str = "fails: ";
/// What the errors of scripts that look for a clock or for random numbers say.
const IMPURE: &str = "an index must be a pure function";

impl Trial {
    /// A law of the reduce.
    pub fn of_reduce(law: Law, key: &[Json], inputs: &[Json]) -> Self {
        Self {
            law,
            function: TestedFunction::Reduce,
            key: key.to_vec(),
            inputs: inputs.to_vec(),
            split: Vec::new(),
            order: Vec::new(),
            tie: None,
            document: None,
        }
    }

    /// That the maps give the same each time.
    pub fn of_map(document: &Document) -> Self {
        Self {
            function: TestedFunction::Map,
            document: Some(document.clone()),
            ..Self::of_reduce(Law::Determinism, &[], &[document.body_json().into()])
        }
    }

    /// The same without the inputs from `from` to before `to`; `None` when too little is left.
    pub fn without(&self, from: usize, to: usize) -> Option<Self> {
        let kept = |at: &usize| *at < from || *at >= to;
        let inputs: Vec<Json> = self
            .inputs
            .iter()
            .enumerate()
            .filter(|(at, _)| kept(at))
            .map(|(_, input)| input.clone())
            .collect();
        let mut begin = 0;
        let mut split = Vec::new();
        for size in &self.split {
            let end = begin + size;
            split.push((begin..end).filter(kept).count());
            begin = end;
        }
        split.retain(|size| *size > 0);
        let removed_before = |at: usize| at.min(to).saturating_sub(from);
        let order: Vec<usize> =
            self.order.iter().copied().filter(kept).map(|at| at - removed_before(at)).collect();
        let too_few = inputs.is_empty() || split.len() < self.split.len().min(2);
        let in_order = !order.is_empty() && order.is_sorted();
        (!too_few && !in_order).then(|| Self { inputs, split, order, ..self.clone() })
    }

    /// What is told of it when the law is broken.
    pub fn broken(self, verdict: Verdict, fields: &[String], hint: String) -> BrokenLaw {
        let key: Object = fields.iter().map(String::as_str).zip(self.key).collect();
        let Verdict { got, wanted, .. } = verdict;
        let counterexample = Counterexample {
            inputs: self.inputs,
            split: self.split,
            order: self.order,
            tie: self.tie,
            got,
            wanted,
        };
        let key = if self.function == TestedFunction::Map { Object::new() } else { key };
        BrokenLaw { law: self.law, function: self.function, key, counterexample, hint }
    }
}

/// The functions under test and what they may use.
pub(super) struct Bench<'b> {
    pub source: &'b dyn FunctionSource,
    pub loads: &'b mut dyn Loads,
    pub meter: Meter,
    function: Box<dyn IndexFunction>,
}

/// What the functions give; the outer error ends the check.
type Outcome<T> = Result<Result<T, FunctionError>, Unfinished>;

impl<'b> Bench<'b> {
    /// Compiles the functions.
    pub fn new(
        source: &'b dyn FunctionSource,
        loads: &'b mut dyn Loads,
        mut meter: Meter,
    ) -> Result<Self, Unfinished> {
        meter.charge()?;
        let function = create(source)?;
        Ok(Self { source, loads, meter, function })
    }

    /// Goes on with functions compiled anew, which have nothing in memory of the calls before.
    pub fn renew(&mut self) -> Result<(), Unfinished> {
        self.meter.charge()?;
        self.function = create(self.source)?;
        Ok(())
    }

    pub fn map(&mut self, document: &Document) -> Outcome<Vec<Emitted>> {
        self.meter.charge()?;
        Ok(self.function.map(document, self.loads))
    }

    pub fn reduce(&mut self, key: &[Json], values: &[Json]) -> Outcome<Json> {
        self.meter.charge()?;
        Ok(self.function.reduce(key, values))
    }

    fn finalize(&mut self, reduced: &Json) -> Outcome<Json> {
        self.meter.charge()?;
        Ok(self.function.finalize(reduced).map(|result| result.unwrap_or(Json::Null)))
    }

    /// Tries the law. `None` when the inputs say nothing about it, because the function fails on them anyway.
    pub fn run(&mut self, trial: &Trial) -> Result<Option<Verdict>, Unfinished> {
        match trial.law {
            Law::Determinism => self.determinism(trial),
            Law::Purity => self.purity(trial),
            Law::Closure => self.closure(trial),
            Law::SingleValue => self.parts(trial, &[trial.inputs.len()]),
            Law::Associativity => self.parts(trial, &trial.split),
            Law::Commutativity => self.order(trial),
        }
    }

    fn determinism(&mut self, trial: &Trial) -> Result<Option<Verdict>, Unfinished> {
        let first = self.once(trial)?;
        if let Err(error) = &first {
            let asks_for_more = error.message.contains(IMPURE);
            return Ok(asks_for_more.then(|| Verdict {
                likeness: Likeness::Different,
                got: failed(error),
                wanted: Json::Null,
            }));
        }
        let wanted = settled(first);
        let got = settled(self.once(trial)?);
        // Not even the last bit may differ here.
        let likeness = if same(&wanted, &got) { Likeness::Equal } else { Likeness::Different };
        Ok(Some(Verdict { likeness, got, wanted }))
    }

    /// The function of the trial on its inputs.
    fn once(&mut self, trial: &Trial) -> Outcome<Json> {
        match (trial.function, trial.inputs.as_slice(), &trial.document) {
            (TestedFunction::Map, [body], Some(document)) => {
                let document = Document { body: body.to_string().into(), ..document.clone() };
                let emitted = self.map(&document)?;
                Ok(emitted
                    .map(|outputs| Json::Array(outputs.into_iter().map(|output| output.value).collect())))
            }
            (TestedFunction::Finalize, [reduced], _) => self.finalize(reduced),
            (_, inputs, _) => self.reduce(&trial.key, inputs),
        }
    }

    fn purity(&mut self, trial: &Trial) -> Result<Option<Verdict>, Unfinished> {
        self.meter.charge()?;
        let Ok((_, changed)) = self.function.reduce_watched(&trial.key, &trial.inputs) else {
            return Ok(None);
        };
        let likeness = if changed.is_some() { Likeness::Different } else { Likeness::Equal };
        Ok(Some(Verdict { likeness, got: changed.into(), wanted: Json::Null }))
    }

    fn closure(&mut self, trial: &Trial) -> Result<Option<Verdict>, Unfinished> {
        let Ok(output) = self.reduce(&trial.key, &trial.inputs)? else { return Ok(None) };
        let fields = self.source.shape().group_by.clone().unwrap_or_default();
        for (name, value) in fields.iter().zip(&trial.key) {
            let found = |from: &Json| field(from, name).cloned().unwrap_or(Json::Null);
            let is_given = trial.inputs.iter().all(|input| same(&found(input), value));
            if is_given && !same(&found(&output), value) {
                let wanted = Object::from_iter([(name.as_str(), value.clone())]).into();
                return Ok(Some(Verdict { likeness: Likeness::Different, got: output, wanted }));
            }
        }
        let verdict = |likeness, got| Verdict { likeness, got, wanted: Json::Null };
        Ok(Some(match self.reduce(&trial.key, std::slice::from_ref(&output))? {
            Ok(_) => verdict(Likeness::Equal, Json::Null),
            Err(error) => verdict(Likeness::Different, failed(&error)),
        }))
    }

    fn parts(&mut self, trial: &Trial, split: &[usize]) -> Result<Option<Verdict>, Unfinished> {
        let Ok(wanted) = self.reduce(&trial.key, &trial.inputs)? else { return Ok(None) };
        let mut rest = trial.inputs.as_slice();
        let mut outputs = Vec::with_capacity(split.len());
        for size in split {
            let Some((part, behind)) = rest.split_at_checked(*size) else { return Ok(None) };
            rest = behind;
            match self.reduce(&trial.key, part)? {
                Ok(output) => outputs.push(output),
                Err(error) => {
                    let got = failed(&error);
                    return Ok(Some(Verdict { likeness: Likeness::Different, got, wanted }));
                }
            }
        }
        let got = self.reduce(&trial.key, &outputs)?;
        Ok(Some(judged(wanted, settled(got), &trial.inputs)))
    }

    fn order(&mut self, trial: &Trial) -> Result<Option<Verdict>, Unfinished> {
        let Ok(wanted) = self.reduce(&trial.key, &trial.inputs)? else { return Ok(None) };
        let reordered: Vec<Json> =
            trial.order.iter().filter_map(|at| trial.inputs.get(*at)).cloned().collect();
        let got = self.reduce(&trial.key, &reordered)?;
        Ok(Some(judged(wanted, settled(got), &trial.inputs)))
    }
}

fn create(source: &dyn FunctionSource) -> Result<Box<dyn IndexFunction>, Unfinished> {
    source.create().map_err(|error| Unfinished::Broken { cause: error.to_string() })
}

fn failed(error: &FunctionError) -> Json {
    format!("{FAILS}{error}").into()
}

fn settled(outcome: Result<Json, FunctionError>) -> Json {
    outcome.unwrap_or_else(|error| failed(&error))
}

fn judged(wanted: Json, got: Json, inputs: &[Json]) -> Verdict {
    Verdict { likeness: likeness(&wanted, &got, inputs), got, wanted }
}

/// A field by its path with dots.
fn field<'j>(value: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}
