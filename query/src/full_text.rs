//! `search()`: what is looked for in the terms of a field. A field that is indexed for search, and every field of a dynamic
//! query, has the words of its texts (`magpie_indexes::terms::Analyzer`); other fields are searched by their whole values.

use crate::term::{FieldRef, Subject, Term, fold};
use magpie_indexes::terms::Analyzer;

/// Which terms the searched field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchedTerms {
    /// What an analyzer makes of its texts.
    Analyzed(Analyzer),
    /// Whole values in lower case.
    Folded,
    /// Whole values as they are.
    Original,
}

/// What is looked for in one field.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) wanted: Vec<Wanted>,
    /// Whether all must be found instead of any.
    pub(crate) all: bool,
    pub(crate) terms: SearchedTerms,
}

#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// Any term, null included.
    Any,
    /// Terms that follow each other; never empty.
    Phrase(Vec<String>),
    /// A term with more before it, behind it, or both.
    Part { text: String, more_before: bool, more_behind: bool },
}

impl Search {
    /// From the second argument of `search()`: words between blanks, with `*` before or behind for more, and double quotes
    /// around phrases.
    pub(crate) fn new(text: &str, all: bool, terms: SearchedTerms) -> Self {
        let mut wanted = Vec::new();
        for (number, part) in text.split('"').enumerate() {
            if number % 2 == 1 {
                wanted.extend(phrase(part, terms));
            } else {
                wanted.extend(part.split_whitespace().filter_map(|word| Wanted::of_word(word, terms)));
            }
        }
        Self { wanted, all, terms }
    }

    /// Whether the field has what is looked for.
    pub(crate) fn holds(&self, field: &FieldRef, subject: &Subject<'_>) -> bool {
        let found = self.found(field, subject);
        if self.all { found > 0 && found == self.wanted.len() } else { found > 0 }
    }

    /// How much of what is looked for the field has.
    pub(crate) fn found(&self, field: &FieldRef, subject: &Subject<'_>) -> usize {
        let mut is_there = false;
        let mut terms: Vec<String> = Vec::new();
        let mut add = |term: &Term<'_>| {
            if !matches!(term, Term::Null) {
                let text = if self.terms == SearchedTerms::Folded { term.folded() } else { term.text() };
                terms.push(text.into_owned());
            }
            false
        };
        field.any(subject, &mut |term| {
            is_there = true;
            match self.terms {
                SearchedTerms::Analyzed(analyzer) => analyzer.any(term, &mut add),
                SearchedTerms::Folded | SearchedTerms::Original => add(term),
            }
        });
        self.wanted.iter().filter(|wanted| is_there && wanted.is_in(&terms)).count()
    }
}

fn phrase(text: &str, terms: SearchedTerms) -> Option<Wanted> {
    let found = match terms {
        // Parts of words are found one by one.
        SearchedTerms::Analyzed(Analyzer::NGram) => vec![fold(text).into_owned()],
        SearchedTerms::Analyzed(analyzer) => analyzer.words(text),
        SearchedTerms::Folded => vec![fold(text).into_owned()],
        SearchedTerms::Original => vec![text.to_owned()],
    };
    (!found.is_empty() && !text.is_empty()).then_some(Wanted::Phrase(found))
}

impl Wanted {
    /// `None` when nothing of it is looked for, as with stop words.
    fn of_word(word: &str, terms: SearchedTerms) -> Option<Self> {
        let (more_before, text) = word.strip_prefix('*').map_or((false, word), |rest| (true, rest));
        let (more_behind, text) = text.strip_suffix('*').map_or((false, text), |rest| (true, rest));
        match (text.is_empty(), more_before || more_behind) {
            (true, _) => Some(Self::Any),
            (false, false) => phrase(text, terms),
            (false, true) => {
                let folds = match terms {
                    SearchedTerms::Analyzed(analyzer) => analyzer.folds(),
                    SearchedTerms::Folded => true,
                    SearchedTerms::Original => false,
                };
                let text = if folds { fold(text).into_owned() } else { text.to_owned() };
                Some(Self::Part { text, more_before, more_behind })
            }
        }
    }

    fn is_in(&self, terms: &[String]) -> bool {
        match self {
            Self::Any => true,
            Self::Phrase(phrase) => terms.windows(phrase.len()).any(|window| window == phrase),
            Self::Part { .. } => terms.iter().any(|term| self.fits(term)),
        }
    }

    /// Whether it is this term alone.
    pub(crate) fn fits(&self, term: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Phrase(phrase) => matches!(phrase.as_slice(), [only] if only == term),
            Self::Part { text, more_before, more_behind } => match (more_before, more_behind) {
                (true, true) => term.contains(text.as_str()),
                (true, false) => term.ends_with(text.as_str()),
                (false, _) => term.starts_with(text.as_str()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Analyzer, Search, SearchedTerms};
    use crate::term::{FieldRef, Step, Subject};
    use magpie_store::json::{Json, Object};

    fn holds(text: &str, terms: &str, all: bool, by: SearchedTerms) -> bool {
        let fields = Object::from_iter([("t", Json::from(text))]);
        let subject = Subject { id: None, fields: &fields, metadata: None };
        let field = FieldRef::Path(vec![Step::Member("t".to_owned())]);
        Search::new(terms, all, by).holds(&field, &subject)
    }

    #[test]
    fn words_parts_and_phrases_are_found() {
        for (terms, all, expected) in [
            ("data", false, true),
            ("DATA none", false, true),
            ("data none", true, false),
            ("data small", true, true),
            ("da*", false, true),
            ("*ig", false, true),
            ("*mal*", false, true),
            ("s*l", false, false),
            ("sma**", false, false),
            ("\"big data\"", false, true),
            ("\"data big\"", false, false),
            ("\"small data\" big", true, true),
            ("big,data", false, true),
            ("data,big", false, false),
            ("not", false, false),
            ("", false, false),
            ("", true, false),
            ("*", false, true),
        ] {
            let found =
                holds("Big data is not small Data", terms, all, SearchedTerms::Analyzed(Analyzer::Standard));
            assert_eq!(found, expected, "{terms} {all}");
        }
    }

    #[test]
    fn other_fields_are_searched_by_their_whole_values() {
        for (terms, folded, original) in [
            ("big", false, false),
            ("big data", false, false),
            ("\"big data\"", true, false),
            ("\"Big Data\"", true, true),
            ("BIG*", true, false),
            ("Big*", true, true),
            ("*ta", true, true),
            ("*", true, true),
        ] {
            assert_eq!(holds("Big Data", terms, false, SearchedTerms::Folded), folded, "{terms}");
            assert_eq!(holds("Big Data", terms, false, SearchedTerms::Original), original, "{terms}");
        }
    }
}
