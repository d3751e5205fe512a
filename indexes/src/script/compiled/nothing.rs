//! What a member of `null` or `undefined` is, told by the way on which the nothing came about.
//!
//! The written program of `rewrite/` goes along a chain of members again when it gave nothing; so does this.

use super::evaluate::place;
use super::machine::{Frame, Machine};
use super::program::Expr;
use super::value::{Outcome, Value, hand_over};
use std::cell::Cell;

/// Where a chain stands: at a value, or past the first nothing on its way.
enum Way<'a> {
    At(Value<'a>),
    Past(Value<'a>),
}

impl<'a> Machine<'a> {
    /// A member of an object that was null or undefined: `null` when something on the way to it is missing, `undefined`
    /// when it is null, or when the object is no member itself.
    #[cold]
    pub(super) fn nothing_of(&mut self, frame: &Frame<'a>, object: &'a Expr) -> Outcome<'a> {
        match has_way(object) {
            Some(true) => match self.way(frame, object)? {
                Way::Past(value) => Ok(value),
                Way::At(Value::Undefined) if is_link(object) => Ok(Value::Null),
                Way::At(_) => Ok(Value::Undefined),
            },
            Some(false) => Ok(Value::Undefined),
            None => hand_over(&"a member of nothing"),
        }
    }

    /// Goes along a chain of members again. Nothing is called on the way, so it ends where it did before.
    fn way(&mut self, frame: &Frame<'a>, expr: &'a Expr) -> Outcome<'a, Way<'a>> {
        let object = match expr {
            Expr::Field(_) | Expr::Slot(_) | Expr::Variable(_) | Expr::Global(_) | Expr::Element(..) => {
                return self.eval(frame, expr).map(Way::At);
            }
            Expr::Part(part) => {
                // An element that is only text is an object.
                return match frame.slots.get(place(part.element)).map(Cell::get) {
                    Some(Value::Undefined) => Ok(Way::Past(Value::Null)),
                    Some(Value::Null) => Ok(Way::Past(Value::Undefined)),
                    _ => self.element_part(frame, part).map(Way::At),
                };
            }
            Expr::Member(member) => &member.object,
            Expr::Index(sides) => &sides.0,
            _ => return hand_over(&"a member of nothing"),
        };
        let object = match self.way(frame, object)? {
            Way::At(Value::Undefined) => return Ok(Way::Past(Value::Null)),
            Way::At(Value::Null) => return Ok(Way::Past(Value::Undefined)),
            Way::At(object) => object,
            past @ Way::Past(_) => return Ok(past),
        };
        let value = match expr {
            Expr::Member(member) => self.named_member(object, &member.name, member.cache)?,
            Expr::Index(sides) => {
                let key = self.eval(frame, &sides.1)?;
                self.computed_member(object, key)?
            }
            _ => return hand_over(&"a member of nothing"),
        };
        Ok(Way::At(value))
    }
}

/// Whether an expression is a member.
fn is_link(expr: &Expr) -> bool {
    matches!(expr, Expr::Field(_) | Expr::Member(_) | Expr::Part(_) | Expr::Index(_))
}

/// Whether an expression is a variable or a chain of members that begins with one and whose names are literals or
/// variables; `None` when that is not known.
fn has_way(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Field(_)
        | Expr::Slot(_)
        | Expr::Variable(_)
        | Expr::Global(_)
        | Expr::Element(..)
        | Expr::Part(_) => Some(true),
        Expr::Member(member) => has_way(&member.object),
        Expr::Index(sides) if is_plain(&sides.1) => has_way(&sides.0),
        Expr::Index(_)
        | Expr::Undefined
        | Expr::Null
        | Expr::Call(_)
        | Expr::CallGlobal(..)
        | Expr::CallMethod(_)
        | Expr::CallNative(..)
        | Expr::Logic(..)
        | Expr::Conditional(_)
        | Expr::Comma(_)
        | Expr::Assign(_) => Some(false),
        _ => None,
    }
}

/// Whether a computed name is a literal or a variable.
pub(super) fn is_plain(key: &Expr) -> bool {
    matches!(
        key,
        Expr::Null
            | Expr::Bool(_)
            | Expr::Number(_)
            | Expr::Ascii(_)
            | Expr::Text(_)
            | Expr::Slot(_)
            | Expr::Variable(_)
            | Expr::Global(_)
            | Expr::Element(..)
    )
}
