//! JSON values as bytes whose order is the value order, for keys of indexes.
//!
//! The value order is: null < false < true < numbers by exact value < strings bytewise < arrays < objects. Arrays
//! compare element by element, then the shorter first; objects compare like the array of their (key, value) pairs
//! sorted by key. Numbers compare by value however they are written: `1`, `1.0` and `1e0` have the same bytes, `-0`
//! those of `0`. The numbers of scripts stand among them by value: a BigInt next to the number it equals, on the far
//! side of zero, but never with the same bytes, as a script tells them apart; the infinities at the ends, and NaN behind all.
//!
//! Every encoding is prefix-free, so encodings can be strung together and still compare like the tuple of values.
//!
//! ```text
//! null    05            false  10            true  11
//! zero    21            positive  23 exponent digits 00            negative  20, then the rest inverted bit by bit
//!         exponent (of 0.d1d2.. x 10^e): -100..=100 as one byte 128 + e; below: 00, above: ff, then e + 2^23 in 3 bytes
//!         digits: pairs, each one byte 2 + value; an odd last digit is paired with 0
//! BigInt  zero 22; others as the number with the last byte 01
//! -Infinity  1f         Infinity  24         NaN  25
//! string  30 bytes (00 as 00 ff) 00 01
//! array   40 elements 00
//! object  50 (string value)* sorted by key 00
//! ```

use crate::error::StoreError;
use crate::json::{BigInt, Decimal, Json, Number, Object, ScriptNumber};
use crate::limits::{BIG_INT_DIGITS_MAX, JSON_DEPTH_MAX};
use std::cmp::Ordering;

const END: u8 = 0x00;
const NULL: u8 = 0x05;
const FALSE: u8 = 0x10;
const TRUE: u8 = 0x11;
const NEGATIVE_INFINITY: u8 = 0x1f;
const NEGATIVE: u8 = 0x20;
const ZERO: u8 = 0x21;
const BIG_ZERO: u8 = 0x22;
const POSITIVE: u8 = 0x23;
const INFINITY: u8 = 0x24;
const NAN: u8 = 0x25;
const STRING: u8 = 0x30;
const ARRAY: u8 = 0x40;
const OBJECT: u8 = 0x50;

/// Ends the digits of a BigInt.
const BIG_END: u8 = 0x01;
/// What a pair of digits is written as, less its value.
const PAIR: u8 = 2;
/// The greatest pair of digits as it is written.
const PAIR_MAX: u8 = PAIR + 99;
const ESCAPED_ZERO: u8 = 0xff;
const STRING_END: u8 = 0x01;
const EXPONENT_SHORT_MAX: i64 = 100;
const EXPONENT_BELOW: u8 = 0x00;
const EXPONENT_ABOVE: u8 = 0xff;
const EXPONENT_LONG_BIAS: i64 = 1 << 23;

/// Appends the encoding of `value`.
///
/// Exponents are kept within 23 bits, far more than [`crate::limits::NUMBER_EXPONENT_MAX`] and
/// [`crate::limits::NUMBER_CHARS_MAX`] allow at intake.
pub fn encode(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.push(NULL),
        Json::Bool(false) => out.push(FALSE),
        Json::Bool(true) => out.push(TRUE),
        Json::Number(number) => encode_number(&number.decimal(), NumberKind::Double, out),
        Json::ScriptNumber(number) => encode_script_number(number, out),
        Json::String(text) => encode_str(text, out),
        Json::Array(items) => {
            out.push(ARRAY);
            for item in items {
                encode(item, out);
            }
            out.push(END);
        }
        Json::Object(object) => {
            out.push(OBJECT);
            for (key, value) in sorted_pairs(object) {
                encode_str(key, out);
                encode(value, out);
            }
            out.push(END);
        }
    }
}

/// Appends the encoding of a string; the same bytes as [`encode`] of [`Json::String`].
pub fn encode_str(text: &str, out: &mut Vec<u8>) {
    out.push(STRING);
    let mut runs = text.as_bytes().split(|byte| *byte == 0);
    if let Some(first) = runs.next() {
        out.extend_from_slice(first);
    }
    for run in runs {
        out.extend_from_slice(&[0, ESCAPED_ZERO]);
        out.extend_from_slice(run);
    }
    out.extend_from_slice(&[0, STRING_END]);
}

/// The encodings of a number as a double and as a BigInt with that value, smaller first. A number that is not whole has
/// no BigInt; its second encoding is that of no value.
#[must_use]
pub fn encode_both(number: &Number) -> (Vec<u8>, Vec<u8>) {
    let decimal = number.decimal();
    let (mut double, mut big) = (Vec::new(), Vec::new());
    encode_number(&decimal, NumberKind::Double, &mut double);
    encode_number(&decimal, NumberKind::BigInt, &mut big);
    if double <= big { (double, big) } else { (big, double) }
}

/// Compares in the value order described above; equal exactly when the encodings are.
#[must_use]
pub fn compare(left: &Json, right: &Json) -> Ordering {
    match (left, right) {
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        (Json::Number(a), Json::Number(b)) => a.cmp_value(b),
        (Json::ScriptNumber(a), Json::ScriptNumber(b)) => a.cmp(b),
        (Json::Number(a), Json::ScriptNumber(b)) => number_with_script_number(a, b),
        (Json::ScriptNumber(a), Json::Number(b)) => number_with_script_number(b, a).reverse(),
        (Json::String(a), Json::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Json::Array(a), Json::Array(b)) => {
            let unequal = a.iter().zip(b).map(|(x, y)| compare(x, y)).find(|order| order.is_ne());
            unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Json::Object(a), Json::Object(b)) => {
            let pairs = sorted_pairs(a).into_iter().zip(sorted_pairs(b));
            let unequal = pairs
                .map(|((x, p), (y, q))| x.as_bytes().cmp(y.as_bytes()).then_with(|| compare(p, q)))
                .find(|order| order.is_ne());
            unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Json) -> u8 {
    match value {
        Json::Null => 0,
        Json::Bool(_) => 1,
        Json::Number(_) | Json::ScriptNumber(_) => 2,
        Json::String(_) => 3,
        Json::Array(_) => 4,
        Json::Object(_) => 5,
    }
}

fn sorted_pairs(object: &Object) -> Vec<(&str, &Json)> {
    let mut pairs: Vec<_> = object.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| key.as_bytes());
    pairs
}

fn number_with_script_number(number: &Number, script: &ScriptNumber) -> Ordering {
    match script.decimal() {
        Some(decimal) => {
            let when_equal = if decimal.negative { Ordering::Greater } else { Ordering::Less };
            number.decimal().cmp(&decimal).then(when_equal)
        }
        None if *script == ScriptNumber::NegativeInfinity => Ordering::Greater,
        None => Ordering::Less,
    }
}

fn encode_script_number(number: &ScriptNumber, out: &mut Vec<u8>) {
    match number {
        ScriptNumber::NaN => out.push(NAN),
        ScriptNumber::Infinity => out.push(INFINITY),
        ScriptNumber::NegativeInfinity => out.push(NEGATIVE_INFINITY),
        ScriptNumber::BigInt(_) => {
            if let Some(decimal) = number.decimal() {
                encode_number(&decimal, NumberKind::BigInt, out);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NumberKind {
    Double,
    BigInt,
}

fn encode_number(number: &Decimal, kind: NumberKind, out: &mut Vec<u8>) {
    let big = kind == NumberKind::BigInt;
    if number.digits.is_empty() {
        out.push(if big { BIG_ZERO } else { ZERO });
        return;
    }
    out.push(if number.negative { NEGATIVE } else { POSITIVE });
    let begin = out.len();
    encode_exponent(number.exponent, out);
    for pair in number.digits.chunks(2) {
        let tens = pair.first().copied().unwrap_or(0);
        let ones = pair.get(1).copied().unwrap_or(0);
        out.push(PAIR + tens * 10 + ones);
    }
    out.push(if big { BIG_END } else { END });
    if number.negative {
        for byte in out.iter_mut().skip(begin) {
            *byte = !*byte;
        }
    }
}

fn encode_exponent(exponent: i64, out: &mut Vec<u8>) {
    if exponent.abs() <= EXPONENT_SHORT_MAX {
        out.push(u8::try_from(exponent + 128).unwrap_or(128));
        return;
    }
    out.push(if exponent < 0 { EXPONENT_BELOW } else { EXPONENT_ABOVE });
    let biased = (exponent.clamp(1 - EXPONENT_LONG_BIAS, EXPONENT_LONG_BIAS - 1)) + EXPONENT_LONG_BIAS;
    out.extend(biased.to_be_bytes().iter().skip(5));
}

/// Reads one value from the start of `bytes`; also gives how many bytes it took.
///
/// Numbers come back in a canonical spelling: an integer has no fraction and, unless more than 21 zeros end it, no
/// exponent. Objects come back sorted by key.
///
/// # Errors
/// [`StoreError::Corrupt`] when the bytes are not what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<(Json, usize), StoreError> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn corrupt(&self, what: &str) -> StoreError {
        StoreError::Corrupt(format!("ordered value: {what} at byte {}", self.at))
    }

    fn byte(&mut self) -> Result<u8, StoreError> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| self.corrupt("it ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn value(&mut self, depth: usize) -> Result<Json, StoreError> {
        if depth > 4 * JSON_DEPTH_MAX {
            return Err(self.corrupt("nested too deep"));
        }
        match self.byte()? {
            NULL => Ok(Json::Null),
            FALSE => Ok(Json::Bool(false)),
            TRUE => Ok(Json::Bool(true)),
            ZERO => Ok(Json::from(0_i64)),
            BIG_ZERO => Ok(Json::from(BigInt::ZERO)),
            NEGATIVE_INFINITY => Ok(Json::ScriptNumber(ScriptNumber::NegativeInfinity)),
            INFINITY => Ok(Json::ScriptNumber(ScriptNumber::Infinity)),
            NAN => Ok(Json::ScriptNumber(ScriptNumber::NaN)),
            NEGATIVE => self.number(true),
            POSITIVE => self.number(false),
            STRING => Ok(Json::String(self.string()?)),
            ARRAY => {
                let mut items = Vec::new();
                while !self.at_end() {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Json::Array(items))
            }
            OBJECT => self.object(depth),
            _ => Err(self.corrupt("unknown type byte before")),
        }
    }

    /// Takes the end mark if it comes next.
    fn at_end(&mut self) -> bool {
        let end = self.bytes.get(self.at) == Some(&END);
        self.at += usize::from(end);
        end
    }

    fn object(&mut self, depth: usize) -> Result<Json, StoreError> {
        let mut pairs: Vec<(String, Json)> = Vec::new();
        while !self.at_end() {
            if self.byte()? != STRING {
                return Err(self.corrupt("no string as key before"));
            }
            let key = self.string()?;
            if pairs.last().is_some_and(|(previous, _)| previous.as_bytes() >= key.as_bytes()) {
                return Err(self.corrupt("keys out of order before"));
            }
            let value = self.value(depth + 1)?;
            pairs.push((key, value));
        }
        Ok(Json::Object(Object::from_distinct(pairs)))
    }

    fn string(&mut self) -> Result<String, StoreError> {
        let mut text = Vec::new();
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or(&[]);
            let run =
                rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.corrupt("endless string"))?;
            text.extend_from_slice(rest.get(..run).unwrap_or(&[]));
            self.at += run + 1;
            match self.byte()? {
                ESCAPED_ZERO => text.push(0),
                STRING_END => break,
                _ => return Err(self.corrupt("unknown escape before")),
            }
        }
        String::from_utf8(text).map_err(|_| self.corrupt("a string that is not UTF-8 before"))
    }

    fn number(&mut self, negative: bool) -> Result<Json, StoreError> {
        let flip = if negative { 0xff } else { 0x00 };
        let exponent = match self.byte()? ^ flip {
            mark @ (EXPONENT_BELOW | EXPONENT_ABOVE) => {
                let mut biased = 0_i64;
                for _ in 0..3 {
                    biased = biased * 256 + i64::from(self.byte()? ^ flip);
                }
                let exponent = biased - EXPONENT_LONG_BIAS;
                if exponent.abs() <= EXPONENT_SHORT_MAX || (exponent < 0) != (mark == EXPONENT_BELOW) {
                    return Err(self.corrupt("exponent in the wrong form before"));
                }
                exponent
            }
            short => {
                let exponent = i64::from(short) - 128;
                if exponent.abs() > EXPONENT_SHORT_MAX {
                    return Err(self.corrupt("exponent in the wrong form before"));
                }
                exponent
            }
        };
        let (digits, kind) = self.digits(flip)?;
        if kind == NumberKind::BigInt {
            return self.big_int(negative, exponent, &digits);
        }
        Ok(Json::Number(Number::from_valid_text(&canonical_text(negative, exponent, &digits))))
    }

    /// A BigInt of these digits and as many zeros behind them as the exponent says.
    fn big_int(&self, negative: bool, exponent: i64, digits: &[u8]) -> Result<Json, StoreError> {
        let places = usize::try_from(exponent).ok();
        let places = places.filter(|places| (digits.len()..=BIG_INT_DIGITS_MAX).contains(places));
        let places = places.ok_or_else(|| self.corrupt("a BigInt with a fraction, or too long, before"))?;
        let sign = if negative { "-" } else { "" };
        let figures: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let text = format!("{sign}{figures}{}", "0".repeat(places - digits.len()));
        text.parse::<BigInt>().map(Json::from).map_err(|_| self.corrupt("no BigInt before"))
    }

    fn digits(&mut self, flip: u8) -> Result<(Vec<u8>, NumberKind), StoreError> {
        let mut digits = Vec::new();
        let kind = loop {
            match self.byte()? ^ flip {
                END => break NumberKind::Double,
                BIG_END => break NumberKind::BigInt,
                pair @ PAIR..=PAIR_MAX => digits.extend_from_slice(&[(pair - PAIR) / 10, (pair - PAIR) % 10]),
                _ => return Err(self.corrupt("no digit pair before")),
            }
        };
        if digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.first().is_none_or(|digit| *digit == 0) || digits.last() == Some(&0) {
            return Err(self.corrupt("digits not in canonical form before"));
        }
        Ok((digits, kind))
    }
}

/// The JSON spelling of `0.digits x 10^exponent`.
fn canonical_text(negative: bool, exponent: i64, digits: &[u8]) -> String {
    /// More zeros than this are written as an exponent.
    const ZEROS_MAX: usize = 21;
    let sign = if negative { "-" } else { "" };
    let figures: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
    match usize::try_from(exponent) {
        Ok(places) if places >= figures.len() && places - figures.len() <= ZEROS_MAX => {
            format!("{sign}{figures}{}", "0".repeat(places - figures.len()))
        }
        Ok(places) if places > 0 && places < figures.len() => {
            let (whole, fraction) = figures.split_at(places);
            format!("{sign}{whole}.{fraction}")
        }
        _ if (-5..=0).contains(&exponent) => {
            let zeros = usize::try_from(-exponent).unwrap_or(0);
            format!("{sign}0.{}{figures}", "0".repeat(zeros))
        }
        _ => {
            let (first, rest) = figures.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{point}{rest}e{:+}", exponent - 1)
        }
    }
}
