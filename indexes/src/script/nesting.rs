//! Refuses source text that would make a recursive parser recurse too deeply, before any parser sees it.
//!
//! The engine's parser and compiler recurse once or more for each level of the syntax tree, and a Rust stack overflow
//! ends the process. A level comes from a bracket, or without brackets from an operator, a keyword or a link in a
//! chain (`1+1+1..`, `!!!..`, `a?b:c?d:..`, `if(a)if(b)..`, `x=>y=>..`, `a.b.c..`). Both are counted on tokens, always
//! rather too high: the sum over all open brackets bounds the depth of the tree that any parser can build.

use super::errors::{limit_error, position_of};
use super::tokens::{Token, TokenKind};
use crate::function::FunctionError;
use crate::limits::{SCRIPT_DEPTH_MAX, SCRIPT_NESTING_MAX};

/// What kind of bracket is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// The script itself, a block, a function or class body: commas there may be comma operators.
    Block,
    /// An object literal or pattern, an array, the arguments of a call: commas there separate siblings.
    Siblings,
    /// A parenthesis that may hold a comma expression.
    Group,
}

struct Level {
    bracket: Bracket,
    /// Links and operators since the last place where the tree surely returned to this level.
    run: usize,
}

/// Checks the depth of a script.
///
/// # Errors
/// A limit error with the position of the token that went too deep.
pub(super) fn check(source: &str, tokens: &[Token<'_>]) -> Result<(), FunctionError> {
    let mut levels = vec![Level { bracket: Bracket::Block, run: 0 }];
    let mut depth = 0_usize;
    let mut previous: Option<&Token<'_>> = None;
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        let opens = opened(token, previous, levels.last().map_or(Bracket::Block, |level| level.bracket));
        if closes(token)
            && levels.len() > 1
            && let Some(level) = levels.pop()
        {
            depth = depth.saturating_sub(level.run);
        }
        if let Some(level) = levels.last_mut() {
            if resets(token, previous, next, level.bracket) {
                depth = depth.saturating_sub(level.run);
                level.run = 0;
            }
            let links = weight(token, previous);
            level.run += links;
            depth += links;
        }
        if let Some(bracket) = opens {
            levels.push(Level { bracket, run: 0 });
        }
        if levels.len() > SCRIPT_NESTING_MAX + 1 || depth > SCRIPT_DEPTH_MAX {
            let message = format!(
                "the script is nested too deeply: at most {SCRIPT_NESTING_MAX} open brackets and {SCRIPT_DEPTH_MAX} \
                 operators in one expression are allowed; split it into smaller functions or statements"
            );
            return Err(limit_error(message, position_of(source, token.start)));
        }
        previous = Some(token);
    }
    Ok(())
}

/// Which bracket the token opens, if any.
fn opened(token: &Token<'_>, previous: Option<&Token<'_>>, around: Bracket) -> Option<Bracket> {
    match token.kind {
        TokenKind::TemplateHead | TokenKind::TemplateMiddle if token.text.ends_with("${") => {
            Some(Bracket::Group)
        }
        TokenKind::Punctuator => match token.text {
            "(" if previous.is_some_and(|p| p.ends_operand() && !p.is("}")) => Some(Bracket::Siblings),
            "(" => Some(Bracket::Group),
            "[" => Some(Bracket::Siblings),
            "{" if opens_object(previous, around) => Some(Bracket::Siblings),
            "{" => Some(Bracket::Block),
            _ => None,
        },
        _ => None,
    }
}

/// Whether `{` after this token surely opens an object literal or a pattern. Saying no is the careful answer.
fn opens_object(previous: Option<&Token<'_>>, around: Bracket) -> bool {
    let Some(previous) = previous else { return false };
    match previous.kind {
        TokenKind::Word => matches!(previous.text, "return" | "const" | "let" | "var"),
        TokenKind::Punctuator => match previous.text {
            ")" | "]" | "}" | "{" | ";" | "=>" | "++" | "--" => false,
            ":" => around == Bracket::Siblings,
            _ => true,
        },
        _ => false,
    }
}

fn closes(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::TemplateMiddle | TokenKind::TemplateTail => true,
        TokenKind::Punctuator => matches!(token.text, ")" | "]" | "}"),
        _ => false,
    }
}

/// Whether the syntax tree surely returns to the level of the bracket before this token or with it.
fn resets(
    token: &Token<'_>,
    previous: Option<&Token<'_>>,
    next: Option<&Token<'_>>,
    bracket: Bracket,
) -> bool {
    if token.is(";") {
        // `if (a) b; else if (c) d; else ..` goes on nesting after its semicolons.
        return !next.is_some_and(|n| n.kind == TokenKind::Word && n.text == "else");
    }
    if token.is(",") {
        return bracket == Bracket::Siblings;
    }
    if token.kind != TokenKind::Word || bracket != Bracket::Block {
        return false;
    }
    // A word that cannot continue a statement begins one, after a block or after a line break that ends a statement.
    let continues = ["else", "catch", "finally", "while", "instanceof", "in", "of"].contains(&token.text);
    let Some(previous) = previous else { return false };
    if continues {
        return false;
    }
    previous.is("}") || (token.after_newline && previous.ends_operand() && !previous.closes_head)
}

/// How many levels of the tree the token can add.
fn weight(token: &Token<'_>, previous: Option<&Token<'_>>) -> usize {
    match token.kind {
        TokenKind::Word => match token.text {
            // A function costs the compiler several times as much stack as an operator.
            "function" | "class" => 4,
            "new" | "typeof" | "void" | "delete" | "await" | "yield" | "if" | "else" | "for" | "while"
            | "do" | "with" | "try" | "switch" | "in" | "instanceof" | "of" | "extends" | "async" => 1,
            _ => 0,
        },
        TokenKind::Punctuator => match token.text {
            ")" | "]" | "}" | ";" | "{" => 0,
            "(" | "[" => usize::from(previous.is_some_and(Token::ends_operand)),
            "=>" => 4,
            _ => 1,
        },
        // A tagged template is a link of a call chain.
        TokenKind::TemplateHead => usize::from(previous.is_some_and(Token::ends_operand)),
        _ => 0,
    }
}
