//! Numbers as JavaScript prints, reads and converts them, in the same way as the engine does.

use super::text::is_space;

/// Whole numbers below this print as integers do.
const PLAIN_INTEGERS: f64 = 1e15;

/// ToInt32: the low 32 bits of the whole part.
pub(super) fn to_int32(number: f64) -> i32 {
    const MODULUS: f64 = 4_294_967_296.0;
    if !number.is_finite() {
        return 0;
    }
    let whole = if number.abs() < MODULUS { number.trunc() } else { number.trunc() % MODULUS };
    #[expect(clippy::cast_possible_truncation, reason = "wrapping around is what is asked for")]
    let wrapped = whole as i64 as i32;
    wrapped
}

/// ToUint32.
pub(super) fn to_uint32(number: f64) -> u32 {
    to_int32(number).cast_unsigned()
}

/// The number as an index, if it is a whole number that can be one.
pub(super) fn to_index(number: f64) -> Option<usize> {
    if (0.0..4_294_967_295.0).contains(&number) && number.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
        return Some(number as usize);
    }
    None
}

/// ToIntegerOrInfinity, with all that is too large for an `i64` at its ends.
pub(super) fn to_integer(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast takes NaN to 0 and stays within the ends")]
    let integer = number as i64;
    integer
}

/// A length as a number.
pub(super) fn of_len(len: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
    let number = len as f64;
    number
}

/// A relative index: negative ones count from the end; the result is within `0..=len`.
pub(super) fn relative(integer: i64, len: usize) -> usize {
    let from_end = usize::try_from(integer.unsigned_abs()).unwrap_or(usize::MAX);
    if integer < 0 { len.saturating_sub(from_end) } else { from_end.min(len) }
}

/// Whether a number is one that the engine may hold as a 32-bit integer.
pub(super) fn is_int32(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() <= 2_147_483_648.0 && !(number == 0.0 && number.is_sign_negative())
}

/// The whole number that a number is, if it prints as one; 0 for -0.
pub(super) fn to_small(number: f64) -> Option<i64> {
    if number.fract() == 0.0 && number.abs() < PLAIN_INTEGERS {
        #[expect(clippy::cast_possible_truncation, reason = "just checked")]
        return Some(number as i64);
    }
    None
}

/// Appends the number as JavaScript prints it; -0 as 0.
pub(super) fn print(number: f64, out: &mut Vec<u8>) {
    if number.fract() == 0.0 && number.abs() < PLAIN_INTEGERS {
        #[expect(clippy::cast_possible_truncation, reason = "just checked")]
        print_integer(number as i64, out);
    } else if number.is_finite() {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(number).as_bytes());
    } else if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
}

fn print_integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    let mut rest = value.unsigned_abs();
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or(&[]));
}

/// StringToNumber, with the engine's peculiarities.
pub(super) fn of_text(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    match text {
        "" => return 0.0,
        "-Infinity" => return f64::NEG_INFINITY,
        "Infinity" | "+Infinity" => return f64::INFINITY,
        _ => {}
    }
    if text.starts_with(['i', 'I']) {
        return f64::NAN;
    }
    let radix = match text.as_bytes() {
        [b'0', b'b' | b'B', ..] => 2,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'x' | b'X', ..] => 16,
        _ => return fast_float2::parse(text).unwrap_or(f64::NAN),
    };
    let digits = text.get(2..).unwrap_or("");
    if digits.is_empty() {
        return f64::NAN;
    }
    if let Ok(value) = u32::from_str_radix(digits, radix) {
        return f64::from(value);
    }
    digits
        .bytes()
        .try_fold(0.0_f64, |sum, byte| {
            let digit = char::from(byte).to_digit(radix)?;
            Some(sum.mul_add(f64::from(radix), f64::from(digit)))
        })
        .unwrap_or(f64::NAN)
}

/// `x ** y`. The engine computes it in three ways, by whether it holds base and exponent as integers, which does not
/// show in a value; `None` when they differ.
pub(super) fn power(base: f64, exponent: f64) -> Option<f64> {
    let result = if base.abs() == 1.0 && exponent.is_infinite() { f64::NAN } else { base.powf(exponent) };
    let same = |other: f64| other.to_bits() == result.to_bits() || (other.is_nan() && result.is_nan());
    let Some(whole) = as_int32(exponent) else { return Some(result) };
    if !same(base.powi(whole)) {
        return None;
    }
    let exact =
        as_int32(base).zip(u32::try_from(whole).ok()).and_then(|(base, whole)| base.checked_pow(whole));
    exact.is_none_or(|exact| same(f64::from(exact))).then_some(result)
}

/// The 32-bit integer that a number is.
fn as_int32(number: f64) -> Option<i32> {
    if !is_int32(number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "just checked")]
    let whole = number as i64;
    i32::try_from(whole).ok()
}

#[cfg(test)]
mod tests {
    use super::{of_text, power, print, relative, to_index, to_int32, to_uint32};

    #[test]
    fn integers_wrap_around() {
        for (number, expected) in [
            (0.0, 0),
            (-0.0, 0),
            (1.9, 1),
            (-1.9, -1),
            (2_147_483_648.0, i32::MIN),
            (-2_147_483_649.0, i32::MAX),
            (4_294_967_296.0, 0),
            (1e21, -559_939_584),
            (9_007_199_254_740_993.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, 0),
        ] {
            assert_eq!(to_int32(number), expected, "{number}");
        }
        assert_eq!(to_uint32(-1.0), u32::MAX);
        assert_eq!(to_index(-0.0), Some(0));
        assert_eq!(to_index(1.5), None);
        assert_eq!(to_index(4_294_967_295.0), None);
        assert_eq!(relative(-2, 5), 3);
        assert_eq!(relative(i64::MIN, 5), 0);
        assert_eq!(relative(i64::MAX, 5), 5);
    }

    #[test]
    fn numbers_print_as_in_javascript() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-12.0, "-12"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e21, "1e+21"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (5e-324, "5e-324"),
        ] {
            let mut out = Vec::new();
            print(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn text_reads_as_in_the_engine() {
        for (text, expected) in [
            ("", 0.0),
            (" \n12\u{feff}", 12.0),
            ("0x1F", 31.0),
            ("0b101", 5.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-Infinity", f64::NEG_INFINITY),
            ("0xffffffffff", 1_099_511_627_775.0),
        ] {
            assert_eq!(of_text(text), expected, "{text}");
        }
        for text in ["1_0", "12px", "infinity", "0x", "- 1", "1 2", "0xg"] {
            assert!(of_text(text).is_nan(), "{text}");
        }
        assert_eq!(power(2.0, 10.0), Some(1024.0));
        assert_eq!(power(3.0, 40.0), Some(3_f64.powf(40.0)));
    }
}
