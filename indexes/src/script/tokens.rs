//! A JavaScript scanner that is exact or refuses: whatever it accepts, it cuts into the same tokens as a full parser.
//!
//! Two things need tokens before the engine's parser may see the text: the depth check (`nesting.rs`), because that
//! parser recurses, and the canonical text (`canonical.rs`). The one hard question of JavaScript scanning is whether
//! `/` divides or opens a regular expression. Where the tokens before it do not settle that, the scanner refuses the
//! script instead of guessing: a wrong guess could hide brackets from the depth check.

use super::errors::{compile_error, position_of};
use crate::function::FunctionError;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An identifier, a keyword, or a private name with its `#`.
    Word,
    /// A number, BigInts included.
    Number,
    /// A quoted string.
    String,
    /// A whole template without substitutions, or its piece up to `${`.
    TemplateHead,
    /// The piece of a template between `}` and `${`.
    TemplateMiddle,
    /// The piece of a template from `}` to the closing back quote.
    TemplateTail,
    /// A regular expression with its flags.
    Regex,
    /// Everything else: operators and brackets.
    Punctuator,
}

/// One token of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'s> {
    /// What it is.
    pub kind: TokenKind,
    /// Its text, verbatim.
    pub text: &'s str,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Whether a line break stands between it and the token before it.
    pub after_newline: bool,
    /// For `)`: whether it closes the head of an `if`, `while`, `for` or `with`.
    pub closes_head: bool,
}

impl Token<'_> {
    /// Whether it is this punctuator.
    pub fn is(&self, text: &str) -> bool {
        self.kind == TokenKind::Punctuator && self.text == text
    }

    /// Whether an expression can end with it, so that a following `(` calls and a following `/` divides. Exact except
    /// for `}`, which the caller has to treat by itself.
    pub fn ends_operand(&self) -> bool {
        match self.kind {
            TokenKind::Word => !PREFIX_WORDS.contains(&self.text),
            TokenKind::Punctuator => matches!(self.text, ")" | "]" | "}"),
            TokenKind::TemplateHead => self.text.len() > 1 && self.text.ends_with('`'),
            TokenKind::TemplateMiddle => false,
            _ => true,
        }
    }
}

/// Keywords after which an operand follows.
const PREFIX_WORDS: [&str; 15] = [
    "return",
    "typeof",
    "instanceof",
    "in",
    "new",
    "delete",
    "void",
    "throw",
    "case",
    "do",
    "else",
    "extends",
    "if",
    "while",
    "for",
];

/// Words that are operators in some places and names in others.
const CONTEXTUAL_WORDS: [&str; 3] = ["of", "yield", "await"];

/// Punctuators, longest first.
const PUNCTUATORS: [&str; 58] = [
    ">>>=", "...", "===", "!==", "**=", "<<=", ">>=", ">>>", "&&=", "||=", "??=", "=>", "==", "!=", "<=",
    ">=", "&&", "||", "??", "?.", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<", ">>",
    "**", "{", "}", "(", ")", "[", "]", ";", ",", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "!", "~",
    "?", ":", "=", ".", "@",
];

/// Cuts a whole script into tokens.
///
/// # Errors
/// A compile error with its position when the text has a character that no token begins with, an unfinished string,
/// template, comment or regular expression, or a `/` whose meaning the tokens before it do not settle.
pub(super) fn scan(source: &str) -> Result<Vec<Token<'_>>, FunctionError> {
    let mut scanner = Scanner { source, at: 0, tokens: Vec::new(), brackets: Vec::new(), newline: false };
    if source.starts_with("#!") {
        return Err(compile_error("a script cannot begin with #!", position_of(source, 0)));
    }
    while scanner.next_token()? {}
    Ok(scanner.tokens)
}

/// An open bracket.
enum Open {
    /// `(`, and whether a head keyword stands before it.
    Round { head: bool },
    /// `[` or `{`.
    Other,
    /// `${` of a template.
    Substitution,
}

struct Scanner<'s> {
    source: &'s str,
    at: usize,
    tokens: Vec<Token<'s>>,
    brackets: Vec<Open>,
    newline: bool,
}

impl<'s> Scanner<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or("")
    }

    fn fail<T>(&self, message: &str, at: usize) -> Result<T, FunctionError> {
        Err(compile_error(message, position_of(self.source, at)))
    }

    /// Moves past white space and comments; remembers whether there was a line break.
    fn skip_blanks(&mut self) -> Result<(), FunctionError> {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                let length = rest.find(is_line_end).unwrap_or(rest.len());
                self.at += length;
            } else if let Some(body) = rest.strip_prefix("/*") {
                let Some(length) = body.find("*/") else {
                    return self.fail("this comment is never closed", self.at);
                };
                self.newline |= body.get(..length).is_some_and(|text| text.contains(is_line_end));
                self.at += length + 4;
            } else {
                match rest.chars().next() {
                    Some(c) if is_line_end(c) => {
                        self.newline = true;
                        self.at += c.len_utf8();
                    }
                    Some(c) if is_blank(c) => self.at += c.len_utf8(),
                    _ => return Ok(()),
                }
            }
        }
    }

    fn next_token(&mut self) -> Result<bool, FunctionError> {
        self.skip_blanks()?;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(false) };
        let second = rest.chars().nth(1);
        if is_name_start(first) || (first == '#' && second.is_some_and(is_name_start)) {
            let name = rest.strip_prefix('#').unwrap_or(rest);
            let length = name.find(|c| !is_name_part(c)).unwrap_or(name.len());
            self.push(TokenKind::Word, length + rest.len() - name.len(), false);
        } else if first.is_ascii_digit() || (first == '.' && second.is_some_and(|c| c.is_ascii_digit())) {
            let length = number_length(rest);
            self.push(TokenKind::Number, length, false);
        } else if first == '"' || first == '\'' {
            let length = self.string_length(rest, first)?;
            self.push(TokenKind::String, length, false);
        } else if first == '`' {
            self.template(TokenKind::TemplateHead)?;
        } else if first == '/' && self.slash_opens_regex()? {
            let length = self.regex_length(rest)?;
            self.push(TokenKind::Regex, length, false);
        } else {
            self.punctuator(rest)?;
        }
        Ok(true)
    }

    fn push(&mut self, kind: TokenKind, length: usize, closes_head: bool) {
        let text = self.source.get(self.at..self.at + length).unwrap_or("");
        self.tokens.push(Token { kind, text, start: self.at, after_newline: self.newline, closes_head });
        self.newline = false;
        self.at += length;
    }

    fn punctuator(&mut self, rest: &'s str) -> Result<(), FunctionError> {
        if rest.starts_with('}') && matches!(self.brackets.last(), Some(Open::Substitution)) {
            self.brackets.pop();
            // The piece that follows belongs to the template; whether it is a middle or a tail shows at its end.
            return self.template(TokenKind::TemplateTail);
        }
        // `a?.5:b` is a condition with the number .5 in it.
        let conditional =
            rest.strip_prefix("?.").is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        let found =
            if conditional { Some("?") } else { PUNCTUATORS.into_iter().find(|text| rest.starts_with(text)) };
        let Some(text) = found else {
            let character: String = rest.chars().take(1).collect();
            return self.fail(&format!("unexpected character '{character}'"), self.at);
        };
        let mut closes_head = false;
        match text {
            "(" => self.brackets.push(Open::Round { head: self.head_keyword_before() }),
            "[" | "{" => self.brackets.push(Open::Other),
            ")" => closes_head = matches!(self.brackets.pop(), Some(Open::Round { head: true })),
            "]" | "}" => {
                self.brackets.pop();
            }
            _ => {}
        }
        self.push(TokenKind::Punctuator, text.len(), closes_head);
        Ok(())
    }

    /// Whether the last token is a keyword whose parenthesis is followed by a statement.
    fn head_keyword_before(&self) -> bool {
        self.tokens.last().is_some_and(|token| {
            token.kind == TokenKind::Word
                && matches!(token.text, "if" | "while" | "for" | "with")
                && !self.is_property_name()
        })
    }

    /// Whether the last token, a word, is the name of a property: `a.if`.
    fn is_property_name(&self) -> bool {
        self.tokens.iter().rev().nth(1).is_some_and(|token| token.is(".") || token.is("?."))
    }

    fn slash_opens_regex(&self) -> Result<bool, FunctionError> {
        let Some(last) = self.tokens.last() else { return Ok(true) };
        match last.kind {
            TokenKind::Word if self.is_property_name() => Ok(false),
            TokenKind::Word if CONTEXTUAL_WORDS.contains(&last.text) => self.ambiguous_slash(),
            TokenKind::Word => Ok(PREFIX_WORDS.contains(&last.text)),
            TokenKind::Punctuator => match last.text {
                ")" => Ok(last.closes_head),
                "]" => Ok(false),
                "}" => self.ambiguous_slash(),
                "++" | "--" => {
                    let before = self.tokens.iter().rev().nth(1);
                    let postfix = before.is_some_and(|token| token.ends_operand() && !token.is("}"));
                    if postfix && !last.after_newline { Ok(false) } else { self.ambiguous_slash() }
                }
                _ => Ok(true),
            },
            TokenKind::TemplateHead | TokenKind::TemplateMiddle | TokenKind::TemplateTail => {
                Ok(!last.ends_operand())
            }
            _ => Ok(false),
        }
    }

    fn ambiguous_slash(&self) -> Result<bool, FunctionError> {
        self.fail(
            "this / could divide or begin a regular expression: put parentheses around the regular expression, or \
             around what is divided",
            self.at,
        )
    }

    fn string_length(&self, rest: &str, quote: char) -> Result<usize, FunctionError> {
        let mut escaped = false;
        for (offset, c) in rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                return Ok(offset + 1);
            } else if c == '\n' || c == '\r' {
                break;
            }
        }
        self.fail("this string is never closed", self.at)
    }

    fn regex_length(&self, rest: &str) -> Result<usize, FunctionError> {
        let (mut escaped, mut in_class) = (false, false);
        for (offset, c) in rest.char_indices().skip(1) {
            if is_line_end(c) {
                break;
            }
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '[' => in_class = true,
                ']' => in_class = false,
                '/' if !in_class => {
                    let flags = rest.get(offset + 1..).unwrap_or("");
                    return Ok(offset + 1 + flags.find(|c| !is_name_part(c)).unwrap_or(flags.len()));
                }
                _ => {}
            }
        }
        self.fail("this regular expression is never closed", self.at)
    }

    /// Takes a piece of a template, whose first character is the back quote or the brace.
    fn template(&mut self, kind: TokenKind) -> Result<(), FunctionError> {
        let rest = self.rest();
        let mut escaped = false;
        let mut dollar = false;
        for (offset, c) in rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
                dollar = false;
                continue;
            } else if c == '`' {
                self.push(kind, offset + 1, false);
                return Ok(());
            } else if c == '{' && dollar {
                let kind = if kind == TokenKind::TemplateTail { TokenKind::TemplateMiddle } else { kind };
                self.push(kind, offset + 1, false);
                self.brackets.push(Open::Substitution);
                return Ok(());
            }
            dollar = c == '$' && !escaped;
        }
        self.fail("this template is never closed", self.at)
    }
}

/// How long the number at the start of `rest` is. Takes too much rather than too little: the parser judges it.
fn number_length(rest: &str) -> usize {
    let prefixed = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| rest.starts_with(prefix));
    let mut last = ' ';
    let mut seen_point = false;
    for (offset, c) in rest.char_indices() {
        let sign = (c == '+' || c == '-') && (last == 'e' || last == 'E') && !prefixed;
        let point = c == '.' && !prefixed && !seen_point && !matches!(last, 'e' | 'E' | '+' | '-');
        if !(is_name_part(c) || sign || point) {
            return offset;
        }
        seen_point |= point || last == 'e' || last == 'E';
        last = c;
    }
    rest.len()
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\u{feff}') || (!c.is_ascii() && c.is_whitespace())
}

fn is_name_start(c: char) -> bool {
    is_name_part(c) && !c.is_ascii_digit()
}

fn is_name_part(c: char) -> bool {
    c == '$' || c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && !is_blank(c) && !is_line_end(c))
}
