//! The fields of elements that are only text: found by their names once, and then by what stands between them.

use super::evaluate::place;
use super::machine::Frame;
use super::program::Rows;
use super::scanner::Scanner;
use super::value::{Outcome, Value, hand_over};
use std::cell::Cell;

/// Most fields of an element that are taken from its text.
pub(super) const FIELDS_MAX: usize = 16;

/// What stood around the fields of the loop's element before: where the same text stands, it needs no reading. For each
/// field, in the order of the text: what stands between the field before, or the beginning, and its value; and which
/// field it is.
pub(super) type Guesses<'a> = &'a [Cell<(&'a [u8], usize)>];

/// What a row's text gave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// The fields were taken.
    Taken,
    /// The element is needed as an object.
    Object,
}

/// Takes the fields of an object's text; behind the whole text if it is `nested` in an array's.
#[inline]
pub(super) fn scan<'a>(
    frame: &Frame<'a>,
    rows: &'a Rows,
    scanner: &mut Scanner<'a>,
    nested: bool,
    guesses: Guesses<'a>,
) -> Outcome<'a, Fit> {
    let fit = scan_fields(frame, rows, scanner, nested, guesses);
    fit.map_or_else(|| hand_over(&"damaged JSON text"), Ok)
}

fn scan_fields<'a>(
    frame: &Frame<'a>,
    rows: &'a Rows,
    scanner: &mut Scanner<'a>,
    nested: bool,
    guesses: Guesses<'a>,
) -> Option<Fit> {
    let mut count = 0;
    while count < rows.fields.len() {
        let guess = guesses.get(count)?;
        let (between, guessed) = guess.get();
        let known = (!between.is_empty() && scanner.take_all(between)).then_some(guessed);
        let number = match known {
            Some(number) => number,
            None => {
                let begin = scanner.place();
                match next_field(rows, scanner)? {
                    Next::Field(number) => {
                        guess.set((scanner.since(begin), number));
                        number
                    }
                    Next::End => {
                        clear_others(frame, rows, guesses.get(..count).unwrap_or(&[]));
                        return Some(Fit::Taken);
                    }
                    Next::Escapes => return Some(Fit::Object),
                }
            }
        };
        let field = rows.fields.get(number)?;
        let value = scanner.short_value()?;
        match value {
            Value::RawRecord(_) => return Some(Fit::Object),
            Value::RawList(_) if nested || !field.walked => return Some(Fit::Object),
            _ => frame.slots.get(place(field.slot))?.set(value),
        }
        count += 1;
    }
    if !nested {
        return Some(Fit::Taken);
    }
    if count == 0 && !scanner.take(b'{') {
        return None;
    }
    scanner.end_of_container(1).map(|()| Fit::Taken)
}

/// What is not there is undefined.
fn clear_others(frame: &Frame<'_>, rows: &Rows, found: &[Cell<(&[u8], usize)>]) {
    for (number, field) in rows.fields.iter().enumerate() {
        if found.iter().all(|found| found.get().1 != number)
            && let Some(slot) = frame.slots.get(place(field.slot))
        {
            slot.set(Value::Undefined);
        }
    }
}

/// What comes next of an object that is looked for.
enum Next {
    /// The value of this field.
    Field(usize),
    /// Its end, which was taken.
    End,
    /// A name with escapes.
    Escapes,
}

/// Goes to the value of the next field, from the beginning of an object or from behind a value.
fn next_field(rows: &Rows, scanner: &mut Scanner<'_>) -> Option<Next> {
    if scanner.take(b'{') {
        if scanner.take(b'}') {
            return Some(Next::End);
        }
    } else if scanner.take(b'}') {
        return Some(Next::End);
    } else if !scanner.take(b',') {
        return None;
    }
    loop {
        if !scanner.take(b'"') {
            return None;
        }
        let (name, _, escaped) = scanner.string()?;
        if !scanner.take(b':') {
            return None;
        }
        if escaped {
            return Some(Next::Escapes);
        }
        if let Some(number) = rows.fields.iter().position(|field| *field.name == *name) {
            return Some(Next::Field(number));
        }
        scanner.skip()?;
        if scanner.take(b'}') {
            return Some(Next::End);
        }
        if !scanner.take(b',') {
            return None;
        }
    }
}
