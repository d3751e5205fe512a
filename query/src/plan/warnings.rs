//! What is odd about a query that is answered all the same, as the original answers it: told next to the answer.

use crate::ast::{Argument, Call, Condition, Left, Right, Value};

/// What is odd about a condition, each once, in the order of the text.
pub(super) fn of(condition: Option<&Condition>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(condition) = condition {
        visit(condition, &mut found);
    }
    found
}

fn add(found: &mut Vec<String>, warning: String) {
    if !found.contains(&warning) {
        found.push(warning);
    }
}

fn visit(condition: &Condition, found: &mut Vec<String>) {
    let has_minus = match condition {
        Condition::Compare { right: Right::Value(value), .. } => *value == Value::Minus,
        Condition::Between { low, high, .. } => *low == Value::Minus || *high == Value::Minus,
        Condition::In { values, .. } => values.contains(&Value::Minus),
        _ => false,
    };
    if has_minus {
        add(found, format!("In '{condition}', a minus sign without a number counts as 0"));
    }
    match condition {
        Condition::True => {}
        Condition::Compare { left, .. } | Condition::Between { left, .. } | Condition::In { left, .. } => {
            aggregate(left, found);
        }
        Condition::Call(Call { arguments, .. }) => {
            for argument in arguments {
                if let Argument::Condition(inner) = argument {
                    visit(inner, found);
                }
            }
        }
        Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| visit(part, found)),
        Condition::Not(inner) => visit(inner, found),
    }
}

/// `count()` and `sum(..)` without groups. With groups, both have become fields of these before.
fn aggregate(left: &Left, found: &mut Vec<String>) {
    let Left::Call(call) = left else { return };
    let meant = match call.name.to_lowercase().as_str() {
        "count" => "the field Count of each document",
        "sum" => "the field itself",
        _ => return,
    };
    let at = call.position;
    add(found, format!("{call} at {}:{} is {meant}, as there is no GROUP BY", at.line, at.column));
}
