//! `include highlight(field, length, count)`: pieces of the texts in which the query found something, with what it found
//! between tags. A piece has at most `length` characters, tags not counted; begins and ends between words where there is
//! room; and has as many of the words found as fit. Pieces do not overlap and come in the order of the text.

use crate::compare::{self, Matching};
use crate::filter::{Filter, Test};
use crate::full_text::{Search, SearchedTerms, Wanted};
use crate::term::{FieldRef, Subject, Term};
use magpie_indexes::terms::{Analyzer, WordPlace};
use magpie_store::json::{Json, Object};
use std::collections::HashSet;
use std::ops::Range;

/// One item of the clause.
#[derive(Debug, Clone)]
pub(crate) struct Highlight {
    /// The field as it is named in the answer.
    pub(crate) name: String,
    pub(crate) field: FieldRef,
    /// What the query looks for in the field.
    pub(crate) finds: Vec<Find>,
    /// Most characters of a piece.
    pub(crate) length: usize,
    /// Most pieces of a row.
    pub(crate) count: usize,
    /// What stands before and behind what is found; those of the n-th thing that is looked for.
    pub(crate) tags: Vec<(String, String)>,
    /// The field whose value names a row in the answer; `None` for the id of its document.
    pub(crate) group_key: Option<FieldRef>,
}

/// Something that the query looks for in a field.
#[derive(Debug, Clone)]
pub(crate) struct Find {
    matching: Matching,
    test: Test,
}

/// What the parts of `filter` look for in `field` that can make a row fit; what must not be there is none.
pub(crate) fn finds(filter: &Filter, field: &FieldRef) -> Vec<Find> {
    let mut found = Vec::new();
    let mut todo = vec![filter];
    while let Some(next) = todo.pop() {
        match next {
            Filter::All | Filter::Not(_) => {}
            Filter::And(parts) | Filter::Or(parts) => todo.extend(parts.iter().rev()),
            Filter::Boost(inner, _) => todo.push(inner),
            Filter::Test { field: tested, matching, test } if tested == field => {
                found.push(Find { matching: *matching, test: test.clone() });
            }
            Filter::Test { .. } => {}
        }
    }
    found
}

/// A place in a text, in bytes, and the number of what was looked for there.
type Mark = (Range<usize>, usize);

impl Highlight {
    /// The pieces of a row, and under which name they stand in the answer.
    pub(crate) fn pieces(&self, subject: &Subject<'_>) -> Option<(String, Vec<String>)> {
        let mut pieces = Vec::new();
        self.field.any(subject, &mut |term| {
            if let Term::Text(text) = term {
                let room = self.count.saturating_sub(pieces.len());
                pieces.extend(self.pieces_of(text, room));
            }
            pieces.len() >= self.count
        });
        if pieces.is_empty() {
            return None;
        }
        let mut key = subject.id.map(str::to_owned);
        if let Some(group_key) = &self.group_key {
            key = None;
            group_key.any(subject, &mut |term| {
                key = Some(term.text().into_owned());
                true
            });
        }
        Some((key?, pieces))
    }

    fn pieces_of(&self, text: &str, count: usize) -> Vec<String> {
        let mut marks = Vec::new();
        let mut number = 0;
        for find in &self.finds {
            number += find.marks(text, number, &mut marks);
        }
        marks.sort_by_key(|(place, number)| (place.start, std::cmp::Reverse(place.end), *number));
        let mut end = 0;
        marks.retain(|(place, _)| {
            let is_free = place.start >= end && place.end > place.start;
            end = if is_free { place.end } else { end };
            is_free
        });
        let mut pieces = Vec::new();
        let (mut rest, mut from) = (marks.as_slice(), 0);
        while pieces.len() < count && !rest.is_empty() {
            let (piece, inside) = window(text, rest, from, self.length);
            from = piece.end;
            pieces.push(self.tagged(text, piece, rest.get(..inside).unwrap_or_default()));
            rest = rest.get(inside..).unwrap_or_default();
        }
        pieces
    }

    /// A piece of the text with its marks between tags.
    fn tagged(&self, text: &str, piece: Range<usize>, marks: &[Mark]) -> String {
        let mut out = String::new();
        let mut at = piece.start;
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        for (place, number) in marks {
            let end = place.end.min(piece.end);
            let tags = number.checked_rem(self.tags.len()).and_then(|number| self.tags.get(number));
            let (before, behind) = tags.map_or(("", ""), |(before, behind)| (before, behind));
            for text in [part(at, place.start), before, part(place.start, end), behind] {
                out.push_str(text);
            }
            at = end;
        }
        out.push_str(part(at, piece.end));
        out
    }
}

impl Find {
    /// Adds what is found in a text; gives how many things are looked for.
    fn marks(&self, text: &str, first: usize, marks: &mut Vec<Mark>) -> usize {
        if let Test::Search(search) = &self.test {
            return searched(search, text, first, marks);
        }
        let places = places(text, self.matching.analyzer());
        let found = places.into_iter().filter(|place| self.fits(&Term::Text(&place.word)));
        marks.extend(found.map(|place| (place.bytes, first)));
        1
    }

    fn fits(&self, term: &Term<'_>) -> bool {
        let matching = self.matching;
        let text = || compare::compared(term, matching);
        match &self.test {
            Test::Equal(operand) => compare::equals(term, operand, matching),
            Test::In(set) => set.contains(term, matching),
            Test::AllIn(operands) => {
                operands.iter().any(|operand| compare::is_listed(term, operand, matching))
            }
            Test::StartsWith(affix) | Test::EndsWith(affix) if affix.is_empty() => false,
            Test::StartsWith(prefix) => text().starts_with(prefix),
            Test::EndsWith(suffix) => text().ends_with(suffix),
            Test::Pattern(pattern) => pattern.is_match(&text()),
            // Ranges and the like are about a value as a whole.
            Test::Exists
            | Test::NotEqual(_)
            | Test::Range { .. }
            | Test::Between { .. }
            | Test::Search(_) => false,
        }
    }
}

/// The words of a text; the whole text where no analyzer cuts it.
fn places(text: &str, analyzer: Option<Analyzer>) -> Vec<WordPlace> {
    match analyzer {
        Some(analyzer) => analyzer.places(text),
        None => vec![WordPlace { bytes: 0..text.len(), word: text.to_owned() }],
    }
}

fn searched(search: &Search, text: &str, first: usize, marks: &mut Vec<Mark>) -> usize {
    let mut words = match search.terms {
        SearchedTerms::Analyzed(analyzer) => places(text, Some(analyzer)),
        SearchedTerms::Folded | SearchedTerms::Original => places(text, None),
    };
    if search.terms == SearchedTerms::Folded {
        for place in &mut words {
            place.word = crate::term::fold(&place.word).into_owned();
        }
    }
    for (number, wanted) in (first..).zip(&search.wanted) {
        match wanted {
            // It is found in every row, and marks nothing in it.
            Wanted::Any => {}
            Wanted::Phrase(phrase) => {
                for window in words.windows(phrase.len()) {
                    if window.iter().map(|place| &place.word).eq(phrase.iter()) {
                        marks.extend(window.iter().map(|place| (place.bytes.clone(), number)));
                    }
                }
            }
            part @ Wanted::Part { .. } => {
                let found = words.iter().filter(|place| part.fits(&place.word));
                marks.extend(found.map(|place| (place.bytes.clone(), number)));
            }
        }
    }
    search.wanted.len()
}

/// The piece for the first of `marks`, not before `from`, and how many of them are in it.
fn window(text: &str, marks: &[Mark], from: usize, length: usize) -> (Range<usize>, usize) {
    let chars = |from: usize, to: usize| text.get(from..to).unwrap_or_default().chars().count();
    let Some((first, _)) = marks.first() else { return (from..from, 0) };
    let mut inside = 1;
    while marks.get(inside).is_some_and(|(next, _)| chars(first.start, next.end) <= length) {
        inside += 1;
    }
    let last = marks.get(inside - 1).map_or(first.end, |(place, _)| place.end);
    let used = chars(first.start, last);
    if used >= length {
        let end = text.get(first.start..).unwrap_or_default().char_indices().nth(length);
        return (first.start..end.map_or(text.len(), |(at, _)| first.start + at).min(last), inside);
    }
    // A third of what is left stands before the first mark, so that it is seen in its sentence; more, if little is behind.
    let start = back(text, from, first.start, (length - used) / 3);
    let next = marks.get(inside).map(|(next, _)| next.start);
    let end = forward(text, last, length - chars(start, last), next);
    let start = back(text, from, first.start, length.saturating_sub(chars(first.start, end)));
    let piece = text.get(start..end).unwrap_or_default();
    let blank = piece.len() - piece.trim_start().len();
    (start + blank..start + piece.trim_end().len().max(blank), inside)
}

/// The beginning of a word at most `count` characters before `at`, and not before `from`.
fn back(text: &str, from: usize, at: usize, count: usize) -> usize {
    let before = text.get(from..at).unwrap_or_default();
    let start = match count.checked_sub(1) {
        Some(last) => before.char_indices().rev().nth(last).map_or(0, |(start, _)| start),
        None => before.len(),
    };
    let room = before.get(start..).unwrap_or_default();
    // At its own beginning the room may start in the middle of a word.
    let is_between =
        before.get(..start).unwrap_or_default().chars().next_back().is_none_or(char::is_whitespace);
    match (is_between && (start > 0 || is_start(text, from)), room.find(char::is_whitespace)) {
        (true, _) => from + start,
        (false, Some(blank)) => from + start + blank,
        (false, None) => at,
    }
}

fn is_start(text: &str, at: usize) -> bool {
    text.get(..at).unwrap_or_default().chars().next_back().is_none_or(char::is_whitespace)
}

/// The end of a word at most `count` characters behind `at`, and not behind the beginning of the next mark.
fn forward(text: &str, at: usize, count: usize, next: Option<usize>) -> usize {
    let rest = text.get(at..next.unwrap_or(text.len())).unwrap_or_default();
    match rest.char_indices().nth(count) {
        None => at + rest.len(),
        Some((end, c)) if c.is_whitespace() => at + end,
        Some((end, _)) => at + rest.get(..end).and_then(|room| room.rfind(char::is_whitespace)).unwrap_or(0),
    }
}

/// The pieces of all rows, by field and row.
#[derive(Debug)]
pub(crate) struct Highlightings(Vec<Found>);

/// The pieces of one field.
#[derive(Debug)]
struct Found {
    field: String,
    names: HashSet<String>,
    rows: Vec<(String, Json)>,
}

impl Highlightings {
    pub(crate) fn new(items: &[Highlight]) -> Self {
        let found =
            |item: &Highlight| Found { field: item.name.clone(), names: HashSet::new(), rows: Vec::new() };
        Self(items.iter().map(found).collect())
    }

    /// Adds the pieces of one row for the n-th item of the clause. Of rows with one name, the first counts.
    pub(crate) fn add(&mut self, item: usize, row: String, pieces: Vec<String>) {
        if let Some(found) = self.0.get_mut(item)
            && found.names.insert(row.clone())
        {
            found.rows.push((row, Json::Array(pieces.into_iter().map(Json::from).collect())));
        }
    }

    /// As clients get them: the pieces by the name of the row, by field.
    pub(crate) fn into_json(self) -> Object {
        let mut fields = Object::new();
        for found in self.0 {
            fields.insert(found.field, Object::from_distinct(found.rows));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::{Find, Highlight};
    use crate::compare::{Matching, Operand};
    use crate::filter::Test;
    use crate::full_text::{Search, SearchedTerms};
    use crate::term::FieldRef;
    use magpie_indexes::terms::Analyzer;

    fn highlight(test: Test, length: usize, count: usize) -> Highlight {
        Highlight {
            name: "t".to_owned(),
            field: FieldRef::Id,
            finds: vec![Find { matching: Matching::Words(Analyzer::Standard), test }],
            length,
            count,
            tags: vec![("<".to_owned(), ">".to_owned()), ("[".to_owned(), "]".to_owned())],
            group_key: None,
        }
    }

    fn search(words: &str, analyzer: Analyzer) -> Test {
        Test::Search(Box::new(Search::new(words, false, SearchedTerms::Analyzed(analyzer))))
    }

    const TEXT: &str = "A fox is a small animal. The fox is red and quick; a FOX lives in dens of its own.";

    #[test]
    fn what_is_found_stands_between_tags_in_pieces_of_some_length() {
        for (words, length, count, expected) in [
            (
                "fox",
                200,
                1,
                "A <fox> is a small animal. The <fox> is red and quick; a <FOX> lives in dens of its own.",
            ),
            ("fox", 20, 9, "A <fox> is a small|The <fox> is red and|a <FOX> lives in dens"),
            ("fox", 20, 1, "A <fox> is a small"),
            ("fox", 3, 9, "<fox>|<fox>|<FOX>"),
            ("fox", 2, 9, "<fo>|<fo>|<FO>"),
            ("fox", 20, 0, ""),
            ("red fox", 30, 9, "[fox] is a small animal. The [fox]|is <red> and quick; a [FOX] lives"),
            ("\"red and quick\"", 30, 9, "is <red> and <quick>; a FOX lives"),
            ("an*", 20, 9, "<animal>. The fox is"),
            ("*imal", 20, 9, "<animal>. The fox is"),
            ("*", 20, 9, ""),
            ("cat", 20, 9, ""),
        ] {
            let pieces = highlight(search(words, Analyzer::Standard), length, count).pieces_of(TEXT, count);
            assert_eq!(pieces.join("|"), expected, "{words} {length} {count}");
        }
    }

    #[test]
    fn whatever_is_found_is_marked_and_nothing_is_longer_than_asked() {
        for text in
            [TEXT, "fox", "foxfox fox", "  fox  ", "é fox ü\u{1f600} fox\n\nfox", "x".repeat(300).as_str()]
        {
            for length in 1..90 {
                let all = highlight(search("fox", Analyzer::Standard), length, 99);
                let pieces = all.pieces_of(text, 99);
                let words = Analyzer::Standard.words(text).iter().filter(|word| *word == "fox").count();
                let marks = pieces.iter().map(|piece| piece.matches('<').count()).sum::<usize>();
                assert_eq!(marks, words, "{text:?} {length} {pieces:?}");
                for piece in pieces {
                    let plain = piece.replace(['<', '>'], "");
                    assert!(plain.chars().count() <= length && text.contains(&plain), "{piece:?} {length}");
                }
            }
        }
    }

    #[test]
    fn comparisons_mark_as_well() {
        for (test, expected) in [
            (Test::Equal(Operand::new(&"Fox".into())), "A <fox>"),
            (Test::StartsWith("ani".to_owned()), "<animal>. The"),
            (Test::NotEqual(Operand::new(&"fox".into())), ""),
            (Test::Exists, ""),
        ] {
            let pieces = highlight(test, 12, 1).pieces_of(TEXT, 1);
            assert!(pieces.join("|").contains(expected), "{pieces:?} {expected}");
            assert_eq!(pieces.is_empty(), expected.is_empty());
        }
        let parts = highlight(search("nima", Analyzer::NGram), 20, 1).pieces_of(TEXT, 1);
        assert_eq!(parts, ["<animal>. The fox is"]);
    }
}
