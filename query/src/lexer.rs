//! Text to tokens, one at a time, with line and column. Nothing is tokenised ahead, because a JavaScript body in the
//! middle of a query follows other rules: [`Scanner::skip_script`] steps over it.

use crate::ast::Position;
use magpie_store::json::Number;

/// A place in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    offset: usize,
    line: u32,
    column: u32,
}

impl Mark {
    pub(crate) fn position(self) -> Position {
        Position { line: self.line, column: self.column }
    }
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// A bare word: keyword, name, method.
    Word(&'a str),
    /// A quoted string, unescaped.
    Quoted(String),
    /// `$name`, without the sign.
    Parameter(&'a str),
    /// A number without exponent.
    Number(Number),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// A string with an escape that does not exist.
    BadEscape,
    /// Anything else, also a string without end.
    Unknown,
    /// The end of the query.
    End,
}

/// A token with its place.
#[derive(Debug, Clone)]
pub(crate) struct Lexeme<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) start: Mark,
    end: Mark,
}

/// Reads tokens from a text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    mark: Mark,
    peeked: Option<Lexeme<'a>>,
}

/// Words that the grammar uses; as names they need quotes.
const RESERVED: [&str; 36] = [
    "all",
    "and",
    "as",
    "asc",
    "ascending",
    "between",
    "by",
    "declare",
    "desc",
    "descending",
    "distinct",
    "false",
    "filter",
    "filter_limit",
    "from",
    "function",
    "group",
    "in",
    "include",
    "index",
    "limit",
    "load",
    "not",
    "null",
    "offset",
    "or",
    "order",
    "select",
    "timeseries",
    "true",
    "update",
    "where",
    "with",
    "match",
    "exact",
    "array",
];

/// Symbols, longest first.
const SYMBOLS: [&str; 18] =
    ["==", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", "*", ";"];

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '@'
}

fn continues_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-' || c == '@'
}

/// Whether `name` can stand without quotes wherever a name is expected.
pub(crate) fn is_plain_word(name: &str) -> bool {
    name.chars().next().is_some_and(starts_word)
        && name.chars().all(continues_word)
        && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, mark: Mark { offset: 0, line: 1, column: 1 }, peeked: None }
    }

    /// The next token, which stays the next one.
    pub(crate) fn peek(&mut self) -> &Lexeme<'a> {
        let lexeme = self.peeked.take().unwrap_or_else(|| self.read());
        self.peeked.insert(lexeme)
    }

    /// The next token, taken.
    pub(crate) fn take(&mut self) -> Lexeme<'a> {
        let lexeme = self.peeked.take().unwrap_or_else(|| self.read());
        self.mark = lexeme.end;
        lexeme
    }

    /// The character that the next token starts with. Arithmetic goes by it, since `-5` behind an operand is an operator
    /// and a number.
    pub(crate) fn next_char(&mut self) -> Option<char> {
        let start = self.peek().start;
        self.rest(start).chars().next()
    }

    /// Takes that character alone.
    pub(crate) fn take_char(&mut self) {
        let start = self.peek().start;
        let bytes = self.rest(start).chars().next().map_or(0, char::len_utf8);
        self.mark = self.advance(start, bytes);
        self.peeked = None;
    }

    /// Whether a parenthesis follows the next token.
    pub(crate) fn is_call_next(&mut self) -> bool {
        let end = self.peek().end;
        self.rest(self.skip_blank(end)).starts_with('(')
    }

    /// The text between two places.
    pub(crate) fn between(&self, start: Mark, end: Mark) -> &'a str {
        self.text.get(start.offset..end.offset).unwrap_or("")
    }

    /// The place behind the last token taken.
    pub(crate) fn here(&self) -> Mark {
        self.mark
    }

    /// What an error message shows of the token at `start`: its text up to the next blank. `None` at the end.
    pub(crate) fn shown(&self, lexeme: &Lexeme<'a>) -> Option<String> {
        let text = match lexeme.token {
            Token::End => return None,
            Token::Symbol(_) | Token::Unknown | Token::BadEscape => {
                let rest = self.text.get(lexeme.start.offset..).unwrap_or("");
                rest.split(char::is_whitespace).next().unwrap_or("")
            }
            _ => self.between(lexeme.start, lexeme.end),
        };
        Some(text.chars().take(crate::limits::ERROR_TOKEN_CHARS_MAX).collect())
    }

    fn rest(&self, mark: Mark) -> &'a str {
        self.text.get(mark.offset..).unwrap_or("")
    }

    /// The place `bytes` behind `mark`.
    fn advance(&self, mut mark: Mark, bytes: usize) -> Mark {
        let end = mark.offset + bytes;
        for c in self.text.get(mark.offset..end).unwrap_or("").chars() {
            if c == '\n' {
                mark.line = mark.line.saturating_add(1);
                mark.column = 1;
            } else {
                mark.column = mark.column.saturating_add(1);
            }
        }
        mark.offset = end;
        mark
    }

    /// Steps over blanks and comments. A block comment without end reaches to the end of the text.
    fn skip_blank(&self, mut mark: Mark) -> Mark {
        loop {
            let rest = self.rest(mark);
            let blank = rest.len() - rest.trim_start().len();
            let bytes = if blank > 0 {
                blank
            } else if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(comment) = rest.strip_prefix("/*") {
                comment.find("*/").map_or(rest.len(), |at| at + 4)
            } else {
                return mark;
            };
            mark = self.advance(mark, bytes);
        }
    }

    fn read(&self) -> Lexeme<'a> {
        let start = self.skip_blank(self.mark);
        let rest = self.rest(start);
        let (token, bytes) = match rest.chars().next() {
            None => (Token::End, 0),
            Some('\'' | '"') => quoted(rest),
            Some('$') => parameter(rest),
            Some(c) if starts_word(c) => {
                let word = run(rest, continues_word);
                (Token::Word(word), word.len())
            }
            Some(c) if c.is_ascii_digit() || c == '-' => number(rest),
            Some(c) => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => (Token::Symbol(symbol), symbol.len()),
                None => (Token::Unknown, c.len_utf8()),
            },
        };
        Lexeme { token, start, end: self.advance(start, bytes) }
    }

    /// Steps over a JavaScript block and gives its text with the braces; the next token must be `{`. `None`, and
    /// nothing skipped, when the braces do not match up.
    pub(crate) fn skip_script(&mut self) -> Option<&'a str> {
        let start = self.peek().start;
        let length = script_length(self.rest(start))?;
        let end = self.advance(start, length);
        self.peeked = None;
        self.mark = end;
        Some(self.between(start, end))
    }
}

fn run(text: &str, wanted: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

fn parameter(rest: &str) -> (Token<'_>, usize) {
    let name = run(rest.get(1..).unwrap_or(""), |c| c.is_alphanumeric() || c == '_');
    if name.is_empty() { (Token::Unknown, 1) } else { (Token::Parameter(name), 1 + name.len()) }
}

fn number(rest: &str) -> (Token<'_>, usize) {
    let sign = usize::from(rest.starts_with('-'));
    let whole = run(rest.get(sign..).unwrap_or(""), |c| c.is_ascii_digit() || c == '_');
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    // Behind a minus, `_0` is a name.
    if !whole.starts_with(|c: char| c.is_ascii_digit()) {
        return (Token::Unknown, 1);
    }
    let mut bytes = sign + whole.len();
    let behind = rest.get(bytes..).unwrap_or("");
    let fraction = behind.strip_prefix('.').map_or("", |text| run(text, |c| c.is_ascii_digit()));
    let trimmed = digits.trim_start_matches('0');
    let mut text = String::with_capacity(digits.len() + fraction.len() + 2);
    text.push_str(if sign == 1 { "-" } else { "" });
    text.push_str(if trimmed.is_empty() { "0" } else { trimmed });
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
        bytes += 1 + fraction.len();
    } else if behind.starts_with('.') && !behind.get(1..).unwrap_or_default().starts_with(starts_word) {
        // `5.` is 5.0.
        text.push_str(".0");
        bytes += 1;
    }
    (Token::Number(Number::from_valid_text(&text)), bytes)
}

fn quoted(rest: &str) -> (Token<'_>, usize) {
    let mut chars = rest.char_indices().peekable();
    let Some((_, quote)) = chars.next() else { return (Token::End, 0) };
    let mut text = String::new();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                text.push(quote);
                continue;
            }
            return (Token::Quoted(text), at + quote.len_utf8());
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match chars.next() {
            Some((_, 'n')) => '\n',
            Some((_, 't')) => '\t',
            Some((_, 'r')) => '\r',
            Some((_, 'b')) => '\u{8}',
            Some((_, 'f')) => '\u{c}',
            Some((_, escaped @ ('\'' | '"' | '\\'))) => escaped,
            Some((at, 'u')) => match escaped_code(rest.get(at + 1..).unwrap_or_default()) {
                Some((code, length)) => {
                    for _ in 0..length {
                        chars.next();
                    }
                    code
                }
                None => return (Token::BadEscape, rest.len()),
            },
            Some(_) => return (Token::BadEscape, rest.len()),
            None => break,
        });
    }
    (Token::Unknown, rest.len())
}

/// The character whose four hexadecimal digits stand at the start of `text`, and how many bytes it takes. A pair of
/// surrogates is one character; half a pair is none.
fn escaped_code(text: &str) -> Option<(char, usize)> {
    let unit = |text: &str| {
        let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(text)?;
    if let Some(Ok(code)) = char::decode_utf16([first]).next() {
        return Some((code, 4));
    }
    let second = unit(text.get(4..)?.strip_prefix("\\u")?)?;
    match char::decode_utf16([first, second]).next() {
        Some(Ok(code)) => Some((code, 10)),
        _ => None,
    }
}

/// The length of the JavaScript block at the start of `text`, braces included. It knows strings, template strings,
/// comments and, by the character before, regular expressions; it does not otherwise read the script.
fn script_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    let mut before = b'{';
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match (byte, next) {
            (b'{', _) => depth += 1,
            (b'}', _) => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            (b'\'' | b'"' | b'`', _) => at = literal_end(bytes, at, byte)?,
            (b'/', Some(b'/')) => at += bytes.get(at..)?.iter().position(|b| *b == b'\n')?,
            (b'/', Some(b'*')) => at += text.get(at + 2..)?.find("*/")? + 3,
            (b'/', _) if b"(,=:[!&|?{};+-*%<>~^".contains(&before) => at = literal_end(bytes, at, b'/')?,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
        at += 1;
    }
    None
}

/// The place of the `quote` that ends the literal at `start`.
fn literal_end(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
}
