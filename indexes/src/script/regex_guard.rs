//! Refuses regular expressions that can take exponential time.
//!
//! The engine's matcher backtracks and cannot be interrupted, so one unlucky text would stop the index for ever. The
//! classic cause is an unbounded repetition inside an unbounded repetition (`(a+)+`, `(.*,)*`), or alternatives inside
//! one (`(a|a)*`), followed by something that fails. Both are refused. Polynomial patterns (`.*.*x`) pass.

/// Checks a pattern.
///
/// # Errors
/// Says what the pattern does and what to do.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let mut groups: Vec<Group> = vec![Group::default()];
    let mut characters = pattern.chars().peekable();
    let mut last_group: Option<Group> = None;
    while let Some(c) = characters.next() {
        let closed = last_group.take();
        match c {
            '\\' => {
                characters.next();
            }
            '[' => skip_class(&mut characters),
            '(' => groups.push(Group::default()),
            ')' => {
                let inner = groups.pop().unwrap_or_default();
                if let Some(outer) = groups.last_mut() {
                    outer.repeats |= inner.repeats;
                    outer.alternatives |= inner.alternatives;
                }
                last_group = Some(inner);
            }
            '|' => {
                if let Some(group) = groups.last_mut() {
                    group.alternatives = true;
                }
            }
            '*' | '+' => repeat(&mut groups, closed)?,
            '{' => match braces(&mut characters) {
                Some(Braces::Range) => repeat(&mut groups, closed)?,
                // A fixed count leaves nothing to try, unless what it counts does.
                Some(Braces::Count) if closed.is_some_and(|inner| inner.repeats) => {
                    repeat(&mut groups, closed)?
                }
                _ => {}
            },
            _ => {}
        }
        if groups.is_empty() {
            groups.push(Group::default());
        }
    }
    Ok(())
}

#[derive(Default, Clone, Copy)]
struct Group {
    repeats: bool,
    alternatives: bool,
}

fn repeat(groups: &mut [Group], closed: Option<Group>) -> Result<(), String> {
    if closed.is_some_and(|inner| inner.repeats || inner.alternatives) {
        return Err("this regular expression repeats a group that itself repeats or has alternatives, which can take \
                    exponential time: use a pattern without nested repetition, or split the text first"
            .to_owned());
    }
    if let Some(group) = groups.last_mut() {
        group.repeats = true;
    }
    Ok(())
}

fn skip_class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            ']' => return,
            _ => {}
        }
    }
}

/// What stands in braces behind something that is repeated.
enum Braces {
    /// `{3}`
    Count,
    /// `{2,}`, `{2,5}`
    Range,
}

/// Looks at the rest of `{n,m}`; `None` when it is no repetition or repeats at most once.
fn braces(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Braces> {
    let inside: String = characters.clone().take_while(|c| *c != '}').take(20).collect();
    match inside.split_once(',') {
        Some((_, "")) => Some(Braces::Range),
        Some((_, most)) => most.parse::<u32>().is_ok_and(|most| most > 1).then_some(Braces::Range),
        None => inside.parse::<u32>().is_ok_and(|count| count > 1).then_some(Braces::Count),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn nested_repetition_is_refused() {
        for pattern in [
            "^(a+)+$",
            "(a*)*b",
            "(.*,)*x",
            "(a|aa)+$",
            "(?:x+y?)*z",
            "([a-z]+)*\\d",
            "(a+){2,}",
            "((a+)b)+",
            "(a{1,9}){9}",
        ] {
            assert!(check(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn ordinary_patterns_pass() {
        for pattern in [
            "^\\d{4}-\\d{2}$",
            "a+b*c?",
            "(foo|bar)",
            "[(a+)+]",
            "\\(a+\\)+",
            "^(\\w+)@(\\w+)\\.com$",
            "(ab)+",
            "x{2,}",
            "^(\\d{4}-)+$",
            "({)+",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }
}
