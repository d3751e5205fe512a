//! `search()`: text as words. Fields and terms are cut into words at Unicode's word borders and lower-cased; English
//! stop words are left out on both sides, as the original's standard analyzer does.

use crate::term::{FieldRef, Subject, Term, fold};
use unicode_segmentation::UnicodeSegmentation;

/// Words that are not looked for. Source: the stop words of Lucene's standard analyzer.
const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
    "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to",
    "was", "will", "with",
];

/// What is looked for in one field.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    wanted: Vec<Wanted>,
    /// Whether all must be found instead of any.
    all: bool,
}

#[derive(Debug, Clone)]
enum Wanted {
    Word(String),
    /// A word with `*` for any characters, cut at these.
    Wildcard(Vec<String>),
    /// Words that follow each other.
    Phrase(Vec<String>),
}

/// The words of a text without stop words.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.unicode_words()
        .map(|word| fold(word).into_owned())
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
}

impl Search {
    /// From the second argument of `search()`: words between blanks, with `*` as a wildcard and double quotes around
    /// phrases.
    pub(crate) fn new(terms: &str, all: bool) -> Self {
        let mut wanted = Vec::new();
        for (number, part) in terms.split('"').enumerate() {
            if number % 2 == 1 {
                let phrase: Vec<String> = words(part).collect();
                if !phrase.is_empty() {
                    wanted.push(Wanted::Phrase(phrase));
                }
                continue;
            }
            for term in part.split_whitespace() {
                if term.contains('*') {
                    let pieces = fold(term).split('*').map(str::to_owned).collect();
                    wanted.push(Wanted::Wildcard(pieces));
                } else {
                    wanted.extend(words(term).map(Wanted::Word));
                }
            }
        }
        Self { wanted, all }
    }

    /// Whether the field has what is looked for.
    pub(crate) fn holds(&self, field: &FieldRef, subject: &Subject<'_>) -> bool {
        let found = self.found(field, subject);
        if self.all { found > 0 && found == self.wanted.len() } else { found > 0 }
    }

    /// How much of what is looked for the field has.
    pub(crate) fn found(&self, field: &FieldRef, subject: &Subject<'_>) -> usize {
        let mut found = vec![false; self.wanted.len()];
        field.any(subject, &mut |term| {
            if matches!(term, Term::Null) {
                return false;
            }
            let words: Vec<String> = words(&term.text()).collect();
            for (found, wanted) in found.iter_mut().zip(&self.wanted) {
                *found = *found || wanted.is_in(&words);
            }
            found.iter().all(|found| *found)
        });
        found.into_iter().filter(|found| *found).count()
    }
}

impl Wanted {
    fn is_in(&self, words: &[String]) -> bool {
        match self {
            Self::Word(wanted) => words.contains(wanted),
            Self::Wildcard(pieces) => words.iter().any(|word| fits(word, pieces)),
            Self::Phrase(phrase) => words.windows(phrase.len()).any(|window| window == phrase),
        }
    }
}

/// Whether a word is these pieces with anything between them.
fn fits(word: &str, pieces: &[String]) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return false };
    let Some(mut left) = word.strip_prefix(first.as_str()) else { return false };
    let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
    for piece in middle {
        match left.find(piece.as_str()) {
            Some(at) => left = left.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::{Search, words};
    use crate::term::{FieldRef, Step, Subject};
    use magpie_store::json::{Json, Object};

    #[test]
    fn words_are_those_of_unicode_in_lower_case() {
        let found: Vec<String> = words("The Quick-brown fox's 3.5 ÉTÉ, at 日本!").collect();
        assert_eq!(found, ["quick", "brown", "fox's", "3.5", "été", "日", "本"]);
    }

    #[test]
    fn terms_wildcards_and_phrases_are_found() {
        let fields = Object::from_iter([("t", Json::from("Big data is not small Data"))]);
        let subject = Subject { id: None, fields: &fields, metadata: None };
        let field = FieldRef::Path(vec![Step::Member("t".to_owned())]);
        for (terms, all, holds) in [
            ("data", false, true),
            ("DATA none", false, true),
            ("data none", true, false),
            ("data small", true, true),
            ("da*", false, true),
            ("*ig", false, true),
            ("s*l*", false, true),
            ("s*x*", false, false),
            ("\"big data\"", false, true),
            ("\"data big\"", false, false),
            ("\"small data\" big", true, true),
            ("not", false, false),
            ("", false, false),
            ("", true, false),
            ("*", false, true),
        ] {
            assert_eq!(Search::new(terms, all).holds(&field, &subject), holds, "{terms} {all}");
        }
    }
}
