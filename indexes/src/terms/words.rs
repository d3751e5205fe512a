//! Text as words, as the original's standard analyzer cuts it: letters and digits make words, and some of what stands
//! between two of them joins them: `o'neil`, `at&t`, `a@b.com`, `foo.bar`, `2024-01-15`. Words are lower-cased and English
//! stop words left out. Source: the grammar of Lucene's classic standard tokenizer, and the terms that a live server made
//! of the texts in the tests below.

use super::instant;
use super::value::{Term, fold};
use std::borrow::Cow;
use std::ops::Range;

/// Words that are left out. Source: the stop words of Lucene's standard analyzer.
const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
    "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to",
    "was", "will", "with",
];

/// The longest and shortest parts of words that [`Analyzer::NGram`] makes, in characters. Source: the original's defaults.
const GRAM_CHARS: std::ops::RangeInclusive<usize> = 2..=6;

/// How the texts of a field become terms, under the name that definitions have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Analyzer {
    /// Words as at the top of this file.
    #[default]
    Standard,
    /// Runs of letters in lower case.
    Simple,
    /// The same without stop words.
    Stop,
    /// What stands between blanks, as it is.
    Whitespace,
    /// What stands between blanks, in lower case.
    LowerCaseWhitespace,
    /// The whole text.
    Keyword,
    /// The whole text in lower case.
    LowerCaseKeyword,
    /// All parts of 2 to 6 characters of the words of `Standard`.
    NGram,
}

/// A term of a text and where it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordPlace {
    /// Its place, in bytes.
    pub bytes: Range<usize>,
    /// The term as it is kept.
    pub word: String,
}

impl Analyzer {
    /// All of them by their names in definitions.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("StandardAnalyzer", Self::Standard),
        ("RavenStandardAnalyzer", Self::Standard),
        ("SimpleAnalyzer", Self::Simple),
        ("StopAnalyzer", Self::Stop),
        ("WhitespaceAnalyzer", Self::Whitespace),
        ("LowerCaseWhitespaceAnalyzer", Self::LowerCaseWhitespace),
        ("KeywordAnalyzer", Self::Keyword),
        ("LowerCaseKeywordAnalyzer", Self::LowerCaseKeyword),
        ("NGramAnalyzer", Self::NGram),
    ];

    /// By the name that a definition has, which may be that of a .NET type with its assembly.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.split(',').next().unwrap_or_default().trim();
        let name = name.rsplit('.').next().unwrap_or_default();
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, analyzer)| *analyzer)
    }

    /// Whether the terms of texts are in lower case.
    #[must_use]
    pub fn folds(self) -> bool {
        !matches!(self, Self::Whitespace | Self::Keyword)
    }

    /// The terms of a text in its order. A point in time is one term.
    #[must_use]
    pub fn words(self, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        self.cut(text, &mut |word, _| words.push(word));
        words
    }

    /// The terms of a text in its order, with the place of each; parts of a word stand where the word does.
    #[must_use]
    pub fn places(self, text: &str) -> Vec<WordPlace> {
        let mut places = Vec::new();
        self.cut(text, &mut |word, bytes| places.push(WordPlace { bytes, word }));
        places
    }

    fn cut(self, text: &str, add: &mut dyn FnMut(String, Range<usize>)) {
        let lower = |word: &str| fold(word).into_owned();
        if instant::parse(text).is_some() {
            return add(if self.folds() { lower(text) } else { text.to_owned() }, 0..text.len());
        }
        match self {
            Self::Standard => standard(text, add),
            Self::Simple => parts(text, is_letter, &mut |word, bytes| add(lower(word), bytes)),
            Self::Stop => parts(text, is_letter, &mut |word, bytes| {
                let word = lower(word);
                if !STOP_WORDS.contains(&word.as_str()) {
                    add(word, bytes);
                }
            }),
            Self::Whitespace => parts(text, is_shown, &mut |word, bytes| add(word.to_owned(), bytes)),
            Self::LowerCaseWhitespace => parts(text, is_shown, &mut |word, bytes| add(lower(word), bytes)),
            Self::Keyword => add(text.to_owned(), 0..text.len()),
            Self::LowerCaseKeyword => add(lower(text), 0..text.len()),
            Self::NGram => standard(text, &mut |word, bytes| {
                grams(&word).into_iter().for_each(|gram| add(gram, bytes.clone()));
            }),
        }
    }

    /// The terms by which a term of a field is found: `test` is asked for each until it holds.
    pub fn any(self, term: &Term<'_>, test: &mut dyn FnMut(&Term<'_>) -> bool) -> bool {
        match term {
            Term::Text(text) if !text.is_empty() && instant::parse(text).is_none() => {
                self.words(text).iter().any(|word| test(&Term::Text(word)))
            }
            other => test(other),
        }
    }
}

fn grams(word: &str) -> Vec<String> {
    let starts: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
    let of_length = |length: usize| {
        let ends = starts.iter().skip(length);
        starts.iter().zip(ends).filter_map(|(start, end)| word.get(*start..*end)).map(str::to_owned)
    };
    GRAM_CHARS.flat_map(of_length).collect()
}

/// Runs of characters that are `in_word`.
fn parts(text: &str, in_word: fn(char) -> bool, add: &mut dyn FnMut(&str, Range<usize>)) {
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find(in_word)) {
        let start = at + start;
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        at = start + length;
        add(rest.get(..length).unwrap_or_default(), start..at);
    }
}

fn is_shown(c: char) -> bool {
    !c.is_whitespace()
}

fn standard(text: &str, add: &mut dyn FnMut(String, Range<usize>)) {
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find(is_in_word)) {
        let start = at + start;
        let rest = text.get(start..).unwrap_or_default();
        let runs = runs(rest);
        let (kind, length) = longest(rest, &runs);
        let word = rest.get(..length.max(1)).unwrap_or(rest);
        at = start + word.len();
        let folded = fold(word);
        if !STOP_WORDS.contains(&folded.as_ref()) {
            add(kind.shown(folded), start..at);
        }
    }
}

/// What kind of word it is, which tells how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Letters joined by `'`.
    Apostrophe,
    /// Single letters, each with a dot behind it.
    Acronym,
}

impl Kind {
    fn shown(self, word: Cow<'_, str>) -> String {
        match self {
            Self::Plain => word.into_owned(),
            Self::Apostrophe => word.strip_suffix("'s").unwrap_or(&word).to_owned(),
            Self::Acronym => word.replace('.', ""),
        }
    }
}

/// Letters and digits that follow each other, and where the next ones begin that only one character keeps apart.
#[derive(Debug)]
struct Run<'t> {
    text: &'t str,
    /// Where it ends, in bytes from the beginning of the first run.
    end: usize,
    /// The character between it and the next one.
    joint: Option<char>,
}

impl Run<'_> {
    fn has_digit(&self) -> bool {
        self.text.contains(is_digit)
    }

    fn is_letters(&self) -> bool {
        !self.has_digit()
    }
}

fn is_in_word(c: char) -> bool {
    is_letter(c) || is_digit(c)
}

/// Letters, those of Chinese and Japanese included, which are a word each.
fn is_letter(c: char) -> bool {
    c.is_alphabetic()
}

/// Digits of all scripts. Fractions, raised, circled and Roman ones are none.
fn is_digit(c: char) -> bool {
    let is_none = matches!(
        c,
        '\u{b2}' | '\u{b3}' | '\u{b9}'
            | '\u{bc}'..='\u{be}'
            | '\u{2070}'..='\u{218b}'
            | '\u{2460}'..='\u{24ff}'
            | '\u{2776}'..='\u{2793}'
            | '\u{3000}'..='\u{33ff}'
    );
    c.is_numeric() && !is_none
}

/// Characters that are a word each. Source: `CJ` of the grammar.
fn is_alone(c: char) -> bool {
    matches!(
        c,
        '\u{3040}'..='\u{312f}'
            | '\u{31f0}'..='\u{31ff}'
            | '\u{3300}'..='\u{337f}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{ff65}'..='\u{ff9f}'
    )
}

/// The runs at the beginning of a text that one character joins.
fn runs(text: &str) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let mut start = 0;
    loop {
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.find(|c| !is_in_word(c) || is_alone(c)).unwrap_or(rest.len());
        if length == 0 {
            break;
        }
        let (run, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let mut next = behind.chars();
        let joint = next.next().filter(|c| "._-/,@&'".contains(*c));
        let joint = joint.filter(|_| next.next().is_some_and(|c| is_in_word(c) && !is_alone(c)));
        start += length;
        runs.push(Run { text: run, end: start, joint });
        match joint {
            Some(joint) => start += joint.len_utf8(),
            None => break,
        }
    }
    runs
}

/// The longest word that begins with the first run, and its length in bytes; of equally long ones the first rule counts.
fn longest(text: &str, runs: &[Run<'_>]) -> (Kind, usize) {
    let Some(first) = runs.first() else {
        // A character that is a word of its own.
        return (Kind::Plain, text.chars().next().map_or(1, char::len_utf8));
    };
    let end = |count: usize| count.checked_sub(1).and_then(|last| runs.get(last)).map_or(0, |run| run.end);
    let letters = joined(runs, &['\''], Run::is_letters);
    let mut best = (Kind::Plain, first.end);
    let mut take = |kind: Kind, length: usize| {
        if length > best.1 {
            best = (kind, length);
        }
    };
    if letters > 1 {
        take(Kind::Apostrophe, end(letters));
    }
    take(Kind::Acronym, acronym(text));
    if joined(runs.get(..2).unwrap_or_default(), &['&', '@'], Run::is_letters) == 2 {
        take(Kind::Plain, end(2));
    }
    take(Kind::Plain, end(email(runs)));
    take(Kind::Plain, end(joined(runs, &['.'], |_| true)));
    take(Kind::Plain, end(number(runs)));
    best
}

/// How many runs from the first are `fit` and joined by one of these.
fn joined<'t>(runs: &[Run<'t>], joints: &[char], fit: impl Fn(&Run<'t>) -> bool) -> usize {
    let mut count = 0;
    for run in runs {
        if !fit(run) {
            break;
        }
        count += 1;
        if run.joint.is_none_or(|joint| !joints.contains(&joint)) {
            break;
        }
    }
    count
}

/// The length of at least two single letters with a dot behind each; 0 when there are none.
fn acronym(text: &str) -> usize {
    let mut length = 0;
    let mut letters = 0;
    let mut chars = text.chars();
    while let (Some(letter), Some('.')) = (chars.next(), chars.next()) {
        if !is_letter(letter) || is_alone(letter) {
            break;
        }
        letters += 1;
        length += letter.len_utf8() + 1;
    }
    if letters > 1 { length } else { 0 }
}

/// How many runs are an address of electronic mail; 0 when none are.
fn email(runs: &[Run<'_>]) -> usize {
    let name = joined(runs, &['.', '-', '_'], |_| true);
    let Some(last) = name.checked_sub(1).and_then(|last| runs.get(last)) else { return 0 };
    if last.joint != Some('@') {
        return 0;
    }
    let host = joined(runs.get(name..).unwrap_or_default(), &['.', '-'], |_| true);
    if host > 1 { name + host } else { 0 }
}

/// How many runs are one word because every other one has a digit; 0 when none are.
fn number(runs: &[Run<'_>]) -> usize {
    let alternating = |with_digit: usize| {
        let mut count = 0;
        for (at, run) in runs.iter().enumerate() {
            if at % 2 == with_digit && !run.has_digit() {
                break;
            }
            count += 1;
            if run.joint.is_none_or(|joint| !"._-/,".contains(joint)) {
                break;
            }
        }
        if count > 1 { count } else { 0 }
    };
    alternating(0).max(alternating(1))
}

#[cfg(test)]
mod tests {
    use super::Analyzer;

    /// What a live RavenDB 7.1.5 made of these texts, in the order of the terms.
    #[test]
    fn words_are_those_of_the_original() {
        for (text, expected) in [
            ("fox's O'Neil's rock'n'roll dog' 'cat' it's", "cat dog fox it o'neil rock'n'roll"),
            ("U.S.A. I.B.M a.b.c. e.g.", "abc eg i.b.m usa"),
            ("AT&T foo@bar Q&A R&D", "at&t foo@bar q&a r&d"),
            ("joe.smith@mail.example.com x_y@z.org a@b", "a@b joe.smith@mail.example.com x_y@z.org"),
            (
                "www.example.com foo.bar. 3.14 1,000 1,000.5 a,b",
                "1,000 1,000.5 3.14 b foo.bar www.example.com",
            ),
            (
                "wi-fi e-5 5-e ab-12-cd 12-ab-34 x-y-z 2024-01-15 10:20:30 a/b/1 1/2/3",
                "1/2/3 10 12-ab-34 20 2024-01-15 30 5-e ab-12-cd b/1 e-5 fi wi x y z",
            ),
            ("under_score under_1 _lead trail_ __", "lead score trail under under_1"),
            ("C++ c# .net $5 50% #tag", "5 50 c net tag"),
            ("日本語 テスト 한국어 文字", "ス テ ト 字 文 日 本 語 한국어"),
            ("Ünïcode ÉTÉ straße ñ", "straße été ñ ünïcode"),
            ("it's o’neil don’t ‘quoted’", "don it neil o quoted t"),
            ("a-b.c_d/e,f 1a2b a1.b2-c3", "1a2b a1.b2-c3 b.c d e f"),
            ("users/1-A orders/42", "orders/42 users/1-a"),
            ("foo\tbar\nbaz", "bar baz foo"),
            ("naïve café re-do co-op", "café co do naïve op re"),
            ("#1 no1 1st 2nd", "1 1st 2nd no1"),
            ("can't won't I'm we'll", "can't i'm we'll won't"),
            ("ｆｕｌｌ ﬁ", "ﬁ ｆｕｌｌ"),
            ("x1-y2_z3.w", "x1-y2_z3.w"),
            ("1.2.3.4 v1.2.3 1.a.2", "1.2.3.4 1.a.2 v1.2.3"),
            ("ABC.DEF abc.Def.", "abc.def"),
            ("the The THE there theirs with will", "theirs"),
            ("½ ² a²", ""),
            ("2024-01-15T10:00:00.0000000Z", "2024-01-15t10:00:00.0000000z"),
        ] {
            let mut found = Analyzer::Standard.words(text);
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn each_analyzer_has_its_terms() {
        let text = "The Quick, re-do a@b.com";
        for (name, expected) in [
            ("WhitespaceAnalyzer", "The|Quick,|re-do|a@b.com"),
            ("Lucene.Net.Analysis.WhitespaceAnalyzer, Lucene.Net", "The|Quick,|re-do|a@b.com"),
            ("LowerCaseWhitespaceAnalyzer", "the|quick,|re-do|a@b.com"),
            ("SimpleAnalyzer", "the|quick|re|do|a|b|com"),
            ("StopAnalyzer", "quick|re|do|b|com"),
            ("KeywordAnalyzer", "The Quick, re-do a@b.com"),
            ("LowerCaseKeywordAnalyzer", "the quick, re-do a@b.com"),
            ("RavenStandardAnalyzer", "quick|re|do|a@b.com"),
        ] {
            assert_eq!(Analyzer::named(name).unwrap().words(text).join("|"), expected, "{name}");
        }
        assert_eq!(Analyzer::NGram.words("été x ab"), ["ét", "té", "été", "ab"]);
        assert_eq!(Analyzer::named("NoSuchAnalyzer"), None);
    }

    #[test]
    fn any_text_is_cut_to_its_end() {
        for text in [
            "", ".", "a", "a.", "a.b", "'", "a'", "a''b", "a@", "@a", "a&&b", "a&b&c", "é.é.", "1.", "日",
            "日.a", "a日b",
        ] {
            assert!(Analyzer::Standard.words(text).iter().all(|word| !word.is_empty()), "{text}");
        }
        assert_eq!(Analyzer::Standard.words("x日y ٣٤"), ["x", "日", "y", "٣٤"]);
        assert_eq!(Analyzer::Standard.words("x&y&z"), ["x&y", "z"]);
    }
}
