//! Reading only the results whose keys can fit: a walk over the reduce keys in order that skips what cannot.
//!
//! A [`KeyFilter`] says for each group-by field which values may be of interest, as [`Span`]s of the ordered encoding. The
//! walk looks at a key and, when one of its values is in no span, goes on at the smallest key that could fit instead
//! (a loose index scan). So the rows that are read are about as many as fit, for any fields and not only the first.
//!
//! A filter may let more keys through than fit, never fewer.

use crate::error::IndexError;
use crate::key_spellings::{TEXT_ENDS, next_spelling};
use crate::keys::{Kind, Slot, rest};
use magpie_store::json::{Json, Number, ScriptNumber};
use magpie_store::kv::{Cursor, Direction, Row, Rows, Space, View};
use magpie_store::ordered;

/// How many rows are read one after the other before the walk jumps: a jump with a cursor costs a few rows, a new scan more.
const STEPS_BEFORE_JUMP: usize = 1;
const STEPS_BEFORE_SCAN: usize = 8;
/// The byte behind every encoding.
const BEHIND: u8 = 0xff;
/// Which keys of a map-reduce index to read. The default lets every key through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// For each group-by field in order the spans that its value must be in one of; `None` lets every value through.
    pub fields: Vec<Option<Vec<Span>>>,
}

/// Values of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span(Kinds);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kinds {
    /// Encodings from the first on and before the second.
    Between(Vec<u8>, Vec<u8>),
    /// Strings whatever the case of their letters: the lower case of each, and perhaps [`TEXT_ENDS`].
    Spellings(Vec<u8>),
}

impl Span {
    /// Null.
    #[must_use]
    pub fn null() -> Self {
        Self::one(&Json::Null)
    }

    /// A boolean.
    #[must_use]
    pub fn bool(value: bool) -> Self {
        Self::one(&Json::Bool(value))
    }

    /// NaN and the infinities.
    #[must_use]
    pub fn not_finite() -> [Self; 2] {
        let encoded = |number| encoded(&Json::ScriptNumber(number));
        [
            Self::one(&Json::ScriptNumber(ScriptNumber::NegativeInfinity)),
            Self(Kinds::Between(encoded(ScriptNumber::Infinity), behind(encoded(ScriptNumber::NaN)))),
        ]
    }

    /// Numbers from `low` to `high`, both included, doubles and BigInts; without a bound all on that side.
    #[must_use]
    pub fn numbers(low: Option<&Number>, high: Option<&Number>) -> Self {
        let lowest = || encoded(&Json::ScriptNumber(ScriptNumber::NegativeInfinity));
        let highest = || encoded(&Json::ScriptNumber(ScriptNumber::NaN));
        let from = low.map_or_else(lowest, |number| ordered::encode_both(number).0);
        let to = high.map_or_else(highest, |number| ordered::encode_both(number).1);
        Self(Kinds::Between(from, behind(to)))
    }

    /// Strings that begin with `low` or are greater, and begin with `high` or are smaller, byte by byte.
    #[must_use]
    pub fn texts(low: Option<&str>, high: Option<&str>) -> Self {
        let begin = |text: &str| {
            let mut bytes = encoded(&Json::from(text));
            bytes.truncate(bytes.len().saturating_sub(2));
            bytes
        };
        let mut to = begin(high.unwrap_or_default());
        to.push(BEHIND);
        Self(Kinds::Between(begin(low.unwrap_or_default()), to))
    }

    /// The strings whose lower case is `folded`, or with `is_prefix` begins with it; `None` when they cannot be told.
    #[must_use]
    pub fn spellings(folded: &str, is_prefix: bool) -> Option<Self> {
        if !folded.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return None;
        }
        // The lower case of one letter may be `i` and a dot, which a prefix that ends with `i` begins.
        let told = if is_prefix { folded.trim_end_matches('i') } else { folded };
        if told.is_empty() && is_prefix {
            return None;
        }
        let mut letters = told.as_bytes().to_vec();
        if !is_prefix {
            letters.push(TEXT_ENDS);
        }
        Some(Self(Kinds::Spellings(letters)))
    }

    /// Arrays and objects, whose elements nobody looks at here.
    #[must_use]
    pub fn compound() -> Self {
        Self(Kinds::Between(encoded(&Json::Array(Vec::new())), vec![BEHIND]))
    }

    /// The values that are in a span of both lists, and perhaps some more.
    #[must_use]
    pub fn in_both(left: &[Self], right: &[Self]) -> Vec<Self> {
        let mut both = Vec::new();
        for a in left {
            for b in right {
                let shared = match (&a.0, &b.0) {
                    (Kinds::Between(from, to), Kinds::Between(other_from, other_to)) => {
                        Self(Kinds::Between(from.max(other_from).clone(), to.min(other_to).clone()))
                    }
                    (Kinds::Spellings(_), _) => a.clone(),
                    (_, Kinds::Spellings(_)) => b.clone(),
                };
                let is_empty = matches!(&shared.0, Kinds::Between(from, to) if from >= to);
                if !is_empty && !both.contains(&shared) {
                    both.push(shared);
                }
            }
        }
        both
    }

    fn one(value: &Json) -> Self {
        let encoded = encoded(value);
        Self(Kinds::Between(encoded.clone(), behind(encoded)))
    }

    /// The smallest encoding of this span that is not before `value`; `None` behind the last. It may be the first bytes
    /// of an encoding alone.
    fn next(&self, value: &[u8]) -> Option<Next> {
        match &self.0 {
            Kinds::Between(from, _) if value < from.as_slice() => Some(Next::At(from.clone())),
            Kinds::Between(_, to) => (value < to.as_slice()).then_some(Next::Here),
            Kinds::Spellings(letters) => {
                let mark = encoded(&Json::from("")).first().copied().unwrap_or_default();
                let first = value.first().copied().unwrap_or_default();
                if first > mark {
                    return None;
                }
                let text = if first == mark { value.get(1..).unwrap_or_default() } else { &[] };
                match next_spelling(letters, text)? {
                    Next::Here => Some(Next::Here),
                    Next::At(text) => Some(Next::At([&[mark], text.as_slice()].concat())),
                }
            }
        }
    }
}

/// Where the next value of a span is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is the value itself.
    Here,
    /// The first bytes of its encoding, or all.
    At(Vec<u8>),
}

fn encoded(value: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    ordered::encode(value, &mut bytes);
    bytes
}

/// The smallest bytes behind an encoding.
fn behind(mut encoding: Vec<u8>) -> Vec<u8> {
    encoding.push(0);
    encoding
}

/// What to do at a key.
enum Step {
    Take,
    SkipTo(Vec<u8>),
    End,
}

impl KeyFilter {
    /// Whether every key goes through.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.fields.iter().all(Option::is_none)
    }

    /// Whether a key goes through, given by its values.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] when it has fewer values than the filter has fields.
    pub fn lets_through(&self, key: &[Json]) -> Result<bool, IndexError> {
        let key: Vec<u8> = key.iter().flat_map(encoded).collect();
        Ok(matches!(self.step(&key)?, Step::Take))
    }

    /// Adds the smallest values that the fields from this one on may have, up to the first of any value. Only behind
    /// whole values: behind the beginning of one, it could be that of a larger one.
    fn add_smallest(&self, from: usize, key: &mut Vec<u8>) {
        for field in self.fields.get(from..).unwrap_or_default() {
            let nexts = field.iter().flatten().filter_map(|span| match span.next(&[]) {
                Some(Next::At(next)) => Some(next),
                _ => None,
            });
            let Some(smallest) = nexts.min() else { return };
            key.extend_from_slice(&smallest);
            if !is_whole(&smallest) {
                return;
            }
        }
    }

    /// No key before it goes through.
    fn first(&self) -> Vec<u8> {
        let mut first = Vec::new();
        self.add_smallest(0, &mut first);
        first
    }

    fn step(&self, key: &[u8]) -> Result<Step, IndexError> {
        let mut at = 0;
        for (number, field) in self.fields.iter().enumerate() {
            let value = key.get(at..).unwrap_or_default();
            let (_, length) = ordered::decode(value)?;
            let value = value.get(..length).unwrap_or_default();
            let mut nearest: Option<Vec<u8>> = None;
            let mut is_here = field.is_none();
            for span in field.iter().flatten() {
                match span.next(value) {
                    Some(Next::Here) => is_here = true,
                    Some(Next::At(next)) if nearest.as_ref().is_none_or(|nearest| next < *nearest) => {
                        nearest = Some(next);
                    }
                    _ => {}
                }
            }
            if !is_here {
                let before = key.get(..at).unwrap_or_default();
                return Ok(match nearest {
                    Some(next) => {
                        let mut target = [before, next.as_slice()].concat();
                        if is_whole(&next) {
                            self.add_smallest(number + 1, &mut target);
                        }
                        Step::SkipTo(target)
                    }
                    None if at == 0 => Step::End,
                    None => Step::SkipTo([before, &[BEHIND]].concat()),
                });
            }
            at += length;
        }
        Ok(Step::Take)
    }
}

/// Whether the bytes are the encoding of one value, and not only its beginning.
fn is_whole(encoding: &[u8]) -> bool {
    matches!(ordered::decode(encoding), Ok((_, length)) if length == encoding.len())
}

/// Where a walk reads.
enum Reading<'v> {
    /// With a cursor, and where it has to go before it reads.
    Cursor(Box<dyn Cursor + 'v>, Option<Vec<u8>>),
    /// With a scan, and another one after each jump.
    Scan(Rows<'v>),
}

impl<'v> Reading<'v> {
    fn new(view: &'v dyn View, slot: Slot, first: &[u8]) -> Self {
        match view.cursor(Space::Index, &slot.range_of(Kind::Result).1) {
            Some(cursor) => Self::Cursor(cursor, Some(slot.key(Kind::Result, first))),
            None => Self::Scan(rows_from(view, slot, first)),
        }
    }

    fn next(&mut self) -> Result<Option<Row>, IndexError> {
        Ok(match self {
            Self::Cursor(cursor, first) => match first.take() {
                Some(first) => cursor.seek(&first)?,
                None => cursor.next()?,
            },
            Self::Scan(rows) => rows.next().transpose()?,
        })
    }
}

/// The result rows that a filter lets through, in the order of their keys.
pub(crate) struct KeyWalk<'v> {
    view: &'v dyn View,
    slot: Slot,
    filter: KeyFilter,
    reading: Reading<'v>,
    ended: bool,
    /// How many rows may be read; whether it ended there shows in [`Self::gave_up`].
    rows_max: u64,
    /// How often the walk jumped, and how many rows it has read.
    pub work: (u64, u64),
}

impl<'v> KeyWalk<'v> {
    /// Walks over the results of a build.
    pub fn new(view: &'v dyn View, slot: Slot, filter: KeyFilter) -> Self {
        let reading = Reading::new(view, slot, &filter.first());
        Self { view, slot, filter, reading, ended: false, rows_max: u64::MAX, work: (0, 0) }
    }

    /// Reads no more than so many rows.
    pub fn with_rows_max(mut self, rows_max: u64) -> Self {
        self.rows_max = rows_max;
        self
    }

    /// Whether it ended because it had read too many rows.
    pub fn gave_up(&self) -> bool {
        self.work.1 >= self.rows_max
    }

    fn read(&mut self) -> Result<Option<Row>, IndexError> {
        if self.gave_up() {
            return Ok(None);
        }
        let row = self.reading.next()?;
        self.work.1 += u64::from(row.is_some());
        Ok(row)
    }

    /// The first row from `target` on.
    fn skip_to(&mut self, target: &[u8]) -> Result<Option<Row>, IndexError> {
        let steps = match &self.reading {
            Reading::Cursor(..) => STEPS_BEFORE_JUMP,
            Reading::Scan(_) => STEPS_BEFORE_SCAN,
        };
        for _ in 0..steps {
            match self.read()? {
                None => return Ok(None),
                Some(row) if rest(&row.0)? >= target => return Ok(Some(row)),
                Some(_) => {}
            }
        }
        self.work.0 += 1;
        match &mut self.reading {
            Reading::Cursor(_, first) => *first = Some(self.slot.key(Kind::Result, target)),
            Reading::Scan(rows) => *rows = rows_from(self.view, self.slot, target),
        }
        self.read()
    }

    fn advance(&mut self) -> Result<Option<Row>, IndexError> {
        let mut row = self.read()?;
        while let Some(found) = row {
            match self.filter.step(rest(&found.0)?)? {
                Step::Take => return Ok(Some(found)),
                Step::SkipTo(target) => row = self.skip_to(&target)?,
                Step::End => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Iterator for KeyWalk<'_> {
    type Item = Result<Row, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.advance().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

fn rows_from<'v>(view: &'v dyn View, slot: Slot, key: &[u8]) -> Rows<'v> {
    let to = slot.range_of(Kind::Result).1;
    view.scan(Space::Index, &slot.key(Kind::Result, key), &to, Direction::Forward)
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::BigInt;
    use magpie_store::kv::memory::MemoryKv;
    use magpie_store::kv::{Batch, Durability, Kv, ScanCursor};
    use proptest::prelude::*;

    const SLOT: Slot = Slot(7);

    fn value() -> impl Strategy<Value = Json> {
        prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-20_i64..20).prop_map(Json::from),
            (-2_i64..3).prop_map(|n| Json::from(BigInt::from(n))),
            (-4_i64..5).prop_map(|n| Number::from_f64(n as f64 / 2.0).into()),
            Just(Json::ScriptNumber(ScriptNumber::NaN)),
            "[aAkK\u{212a}iİ\u{0}é0]{0,3}".prop_map(Json::from),
            Just(Json::from(vec![Json::from("a")])),
        ]
    }

    /// A view with cursors, as the store on disk has them.
    struct WithCursors<'v>(&'v dyn View);

    impl View for WithCursors<'_> {
        fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, magpie_store::kv::KvError> {
            self.0.get(space, key)
        }

        fn scan<'a>(&'a self, space: Space, from: &[u8], to: &[u8], direction: Direction) -> Rows<'a> {
            self.0.scan(space, from, to, direction)
        }

        fn cursor<'a>(&'a self, space: Space, to: &[u8]) -> Option<Box<dyn Cursor + 'a>> {
            Some(Box::new(ScanCursor::new(self.0, space, Vec::new(), to.to_vec())))
        }
    }

    fn fold(text: &str) -> String {
        text.chars().flat_map(char::to_lowercase).collect()
    }

    type Test = Box<dyn Fn(&Json) -> bool>;
    /// A span, and whether a value surely is in it.
    type Tested = (Span, Test);

    fn tested(kind: u8, text: &str, low: i64, high: i64) -> Option<Tested> {
        let text = fold(text);
        Some(match kind {
            0 => (
                Span::spellings(&text, false)?,
                Box::new(move |v| v.as_str().is_some_and(|v| fold(v) == text)),
            ),
            1 => (
                Span::spellings(&text, true)?,
                Box::new(move |v| v.as_str().is_some_and(|v| fold(v).starts_with(&text))),
            ),
            2 => {
                let (from, to) = (Number::from(low), Number::from(high));
                let span = Span::numbers(Some(&from), Some(&to));
                (
                    span,
                    Box::new(move |v| match v {
                        Json::Number(v) => v.cmp_value(&from).is_ge() && v.cmp_value(&to).is_le(),
                        other => other
                            .as_big_int()
                            .is_some_and(|v| *v >= BigInt::from(low) && *v <= BigInt::from(high)),
                    }),
                )
            }
            3 => (Span::null(), Box::new(Json::is_null)),
            4 => (Span::compound(), Box::new(|v| v.as_array().is_some())),
            _ => {
                let (low, high) = (text.clone(), format!("{text}k"));
                (
                    Span::texts(Some(&low), Some(&high)),
                    Box::new(move |v| v.as_str().is_some_and(|v| v >= low.as_str() && v <= high.as_str())),
                )
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Nothing that fits is skipped, the order stays, and without spans everything is read.
        #[test]
        fn the_walk_finds_what_fits(
            keys in prop::collection::vec((value(), value()), 0..60),
            asked in prop::collection::vec((0_u8..6, "[akiK]{0,2}", -6_i64..6, -6_i64..6, 0_usize..2), 0..4),
        ) {
            let kv = MemoryKv::new();
            let mut batch = Batch::new();
            for (first, second) in &keys {
                let key = [encoded(first), encoded(second)].concat();
                batch.put(Space::Index, SLOT.key(Kind::Result, &key), vec![1]);
            }
            kv.commit(batch, Durability::Buffered).unwrap();
            let mut fields: Vec<Option<Vec<Span>>> = vec![None, None];
            let mut tests: [Vec<Test>; 2] = [Vec::new(), Vec::new()];
            for (kind, text, low, high, field) in asked {
                if let Some((span, test)) = tested(kind, &text, low, high) {
                    fields[field].get_or_insert_default().push(span);
                    tests[field].push(test);
                }
            }
            let fits = |key: &[u8]| {
                let values = crate::faults::decode_key(key).unwrap();
                values.iter().zip(&tests).all(|(value, tests)| tests.is_empty() || tests.iter().any(|t| t(value)))
            };
            let snapshot = kv.snapshot();
            let all: Vec<_> = KeyWalk::new(snapshot.as_ref(), SLOT, KeyFilter::default())
                .map(|row| rest(&row.unwrap().0).unwrap().to_vec())
                .collect();
            let distinct: std::collections::BTreeSet<_> =
                keys.iter().map(|(a, b)| [encoded(a), encoded(b)].concat()).collect();
            prop_assert_eq!(all.len(), distinct.len());
            let wanted: Vec<_> = all.into_iter().filter(|key| fits(key)).collect();
            for view in [snapshot.as_ref(), &WithCursors(snapshot.as_ref())] {
                let read: Vec<_> = KeyWalk::new(view, SLOT, KeyFilter { fields: fields.clone() })
                    .map(|row| rest(&row.unwrap().0).unwrap().to_vec())
                    .filter(|key| fits(key))
                    .collect();
                prop_assert_eq!(&read, &wanted);
            }
        }
    }

    #[test]
    fn the_rows_that_are_read_are_about_those_that_fit() {
        let kv = MemoryKv::new();
        let mut batch = Batch::new();
        for user in 0..200 {
            for day in 0..100 {
                let key =
                    [encoded(&format!("Users/{user}").as_str().into()), encoded(&Json::from(day as i64))];
                batch.put(Space::Index, SLOT.key(Kind::Result, &key.concat()), vec![1]);
            }
        }
        kv.commit(batch, Durability::Buffered).unwrap();
        let snapshot = kv.snapshot();
        let days = |low: i64, high: i64| {
            Some(vec![Span::numbers(Some(&Number::from(low)), Some(&Number::from(high)))])
        };
        let user = || Some(vec![Span::spellings("users/77", false).unwrap()]);
        let count = |fields, wanted: usize, read_max: u64| {
            let mut walk = KeyWalk::new(snapshot.as_ref(), SLOT, KeyFilter { fields });
            assert_eq!(walk.by_ref().map(Result::unwrap).count(), wanted);
            assert!(walk.work.1 <= read_max, "{:?}", walk.work);
        };
        count(vec![user(), None], 100, 130);
        count(vec![user(), days(90, 95)], 6, 40);
        // Not the first field: a jump or two for each user.
        count(vec![None, days(50, 50)], 200, 200 * 22);
        count(vec![Some(Vec::new())], 0, 1);
    }
}
