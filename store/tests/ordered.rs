//! The order-preserving encoding: byte order is value order, nothing is a prefix of something else, all comes back.

#![cfg(test)]

use magpie_store::json::{BigInt, Json, Number, Object, ScriptNumber, parse_stored};
use magpie_store::ordered::{compare, decode, encode, encode_str};
use proptest::prelude::*;
use std::cmp::Ordering;

fn encoded(value: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes);
    bytes
}

fn parsed(text: &str) -> Json {
    parse_stored(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// From smallest to largest; those on one line are equal.
const ASCENDING: &[&[&str]] = &[
    &["null"],
    &["false"],
    &["true"],
    &["-Infinity"],
    &["-1e99999"],
    &["-1e101"],
    &["-1e100", "-10e99"],
    &["-18446744073709551616n"],
    &["-18446744073709551616"],
    &["-10n"],
    &["-10", "-1e1", "-10.0"],
    &["-9.99"],
    &["-9.9"],
    &["-1.01"],
    &["-1", "-1.0", "-0.1e1"],
    &["-0.99"],
    &["-1e-100"],
    &["-1e-101"],
    &["-1e-99999"],
    &["0", "-0", "0.0", "-0.00", "0e7"],
    &["0n", "-0n"],
    &["1e-99999"],
    &["1e-102"],
    &["1e-101"],
    &["1e-100"],
    &["0.0999"],
    &["0.1", "1e-1", "0.10"],
    &["0.11"],
    &["1", "1.0", "1e0", "10e-1", "0.1E+1"],
    &["1n"],
    &["1.5"],
    &["9"],
    &["10"],
    &["99"],
    &["99n"],
    &["100"],
    &["100n"],
    &["101"],
    &["9007199254740992"],
    &["9007199254740993"],
    &["9007199254740993n"],
    &["9223372036854775807"],
    &["9223372036854775808", "9223372036854775808.0"],
    &["1e99"],
    &["1e100"],
    &["1e101"],
    &["1e99999"],
    &["Infinity"],
    &["NaN"],
    &["\"\""],
    &["\"\\u0000\""],
    &["\"\\u0000\\u0000\""],
    &["\"\\u0000a\""],
    &["\"\\u0001\""],
    &["\"1\""],
    &["\"A\""],
    &["\"a\""],
    &["\"a\\u0000\""],
    &["\"a\\u0000b\""],
    &["\"a\\u0001\""],
    &["\"aa\""],
    &["\"b\""],
    &["\"\u{e4}\""],
    &["\"\u{ffff}\""],
    &["\"\u{10ffff}\""],
    &["[]"],
    &["[null]"],
    &["[null,null]"],
    &["[1]", "[1.0]"],
    &["[1,null]"],
    &["[1,2]"],
    &["[2]"],
    &["[\"a\"]"],
    &["[\"a\",1]"],
    &["[\"aa\"]"],
    &["[[]]"],
    &["[{}]"],
    &["{}"],
    &["{\"a\":null}"],
    &["{\"a\":1}"],
    &["{\"a\":1,\"b\":0}", "{\"b\":0,\"a\":1}"],
    &["{\"a\":2}"],
    &["{\"aa\":0}"],
    &["{\"b\":null}"],
];

#[test]
fn the_table_of_the_value_order_holds_pair_by_pair() {
    let rows: Vec<(usize, Json)> = ASCENDING
        .iter()
        .enumerate()
        .flat_map(|(rank, texts)| texts.iter().map(move |text| (rank, parsed(text))))
        .collect();
    for (left_rank, left) in &rows {
        for (right_rank, right) in &rows {
            let expected = left_rank.cmp(right_rank);
            assert_eq!(compare(left, right), expected, "{left} {right}");
            assert_eq!(encoded(left).cmp(&encoded(right)), expected, "{left} {right}");
        }
    }
}

#[test]
fn numbers_come_back_in_one_spelling() {
    for (text, canonical) in [
        ("1.0", "1"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("12.50", "12.5"),
        ("-0.00001", "-0.00001"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("123e-9", "1.23e-7"),
        ("1e21", "1000000000000000000000"),
        ("1e22", "1e+22"),
        (
            "12345678901234567890123456789012345678901234567890",
            "12345678901234567890123456789012345678901234567890",
        ),
        ("-15e98", "-1.5e+99"),
    ] {
        let bytes = encoded(&parsed(text));
        let (value, used) = decode(&bytes).unwrap();
        assert_eq!((value.to_string().as_str(), used), (canonical, bytes.len()), "{text}");
    }
}

#[test]
fn the_layout_is_as_documented() {
    for (text, bytes) in [
        ("null", &[0x05][..]),
        ("false", &[0x10]),
        ("true", &[0x11]),
        ("0", &[0x21]),
        ("7", &[0x23, 129, 72, 0]),
        ("1234.5", &[0x23, 132, 14, 36, 52, 0]),
        ("-7", &[0x20, !129, !72, !0]),
        ("0n", &[0x22]),
        ("7n", &[0x23, 129, 72, 1]),
        ("-7n", &[0x20, !129, !72, !1]),
        ("-Infinity", &[0x1f]),
        ("Infinity", &[0x24]),
        ("NaN", &[0x25]),
        ("1e200", &[0x23, 0xff, 0x80, 0x00, 201, 12, 0]),
        ("1e-200", &[0x23, 0x00, 0x7f, 0xff, 57, 12, 0]),
        ("\"a\\u0000\"", &[0x30, b'a', 0, 0xff, 0, 1]),
        ("[null,[]]", &[0x40, 0x05, 0x40, 0, 0]),
        ("{\"b\":true,\"a\":0}", &[0x50, 0x30, b'a', 0, 1, 0x21, 0x30, b'b', 0, 1, 0x11, 0]),
    ] {
        assert_eq!(encoded(&parsed(text)), bytes, "{text}");
    }
}

#[test]
fn damaged_bytes_are_refused() {
    for bytes in [
        &[][..],
        &[0x00],
        &[0x06],
        &[0xff],
        &[0x23],
        &[0x23, 129],
        &[0x23, 129, 0],
        &[0x23, 129, 72],
        &[0x23, 129, 2, 0],
        &[0x23, 129, 6, 12, 0],
        &[0x23, 129, 12, 2, 0],
        &[0x23, 129, 102, 0],
        &[0x23, 20, 72, 0],
        &[0x23, 250, 72, 0],
        &[0x23, 0xff, 0x80, 0, 5, 72, 0],
        &[0x23, 0x00, 0x80, 0, 201, 72, 0],
        // A BigInt with a fraction, and one that is too long.
        &[0x23, 128, 12, 1],
        &[0x23, 129, 17, 1],
        &[0x23, 0xff, 0x81, 0, 0, 12, 1],
        &[0x30],
        &[0x30, b'a'],
        &[0x30, b'a', 0],
        &[0x30, b'a', 0, 2],
        &[0x30, 0xff, 0, 1],
        &[0x40],
        &[0x40, 0x05],
        &[0x50, 0x05, 0x05, 0],
        &[0x50, 0x30, b'b', 0, 1, 0x05, 0x30, b'a', 0, 1, 0x05, 0],
        &[0x50, 0x30, b'a', 0, 1, 0x05, 0x30, b'a', 0, 1, 0x05, 0],
        &[0x50, 0x30, b'a', 0, 1, 0],
        &[0x40; 100_000],
    ] {
        assert!(decode(bytes).is_err(), "{:?}", &bytes[..bytes.len().min(12)]);
    }
}

fn any_number() -> impl Strategy<Value = Number> {
    prop_oneof![
        (-50_i64..50).prop_map(Number::from),
        any::<i64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", Number::from_f64),
        (-999_i64..1000, -130_i32..130).prop_map(|(m, e)| Number::from_valid_text(&format!("{m}e{e}"))),
        (-99_i64..100, 0_u32..100).prop_map(|(w, f)| Number::from_valid_text(&format!("{w}.{f:02}"))),
    ]
}

fn any_script_number() -> impl Strategy<Value = ScriptNumber> {
    prop_oneof![
        (-50_i128..50).prop_map(ScriptNumber::from),
        any::<i128>().prop_map(ScriptNumber::from),
        any::<i64>().prop_map(|n| ScriptNumber::from(BigInt::from(n).pow(9))),
        prop::sample::select(vec![ScriptNumber::NaN, ScriptNumber::Infinity, ScriptNumber::NegativeInfinity]),
    ]
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any_number().prop_map(Json::Number),
        any_script_number().prop_map(Json::ScriptNumber),
        "[\u{0}\u{1}ab\u{e4}\u{ffff}]{0,4}".prop_map(Json::String),
        any::<String>().prop_map(Json::String),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec(("[ab\u{0}]{0,2}", inner), 0..4)
                .prop_map(|pairs| Json::Object(pairs.into_iter().collect::<Object>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn byte_order_is_value_order(left in any_json(), right in any_json()) {
        let order = compare(&left, &right);
        prop_assert_eq!(encoded(&left).cmp(&encoded(&right)), order);
        prop_assert_eq!(compare(&right, &left), order.reverse());
    }

    #[test]
    fn numbers_compare_like_exact_values(left in any_number(), right in any_number()) {
        let (left, right) = (Json::Number(left), Json::Number(right));
        prop_assert_eq!(encoded(&left).cmp(&encoded(&right)), compare(&left, &right));
        let (x, y) = (left.as_number().unwrap().as_f64(), right.as_number().unwrap().as_f64());
        // Rounding to doubles can make neighbours equal, never turn them around.
        if let Some(rounded @ (Ordering::Less | Ordering::Greater)) = x.partial_cmp(&y) {
            prop_assert_eq!(compare(&left, &right), rounded);
        }
    }

    #[test]
    fn values_come_back_equal(value in any_json(), tail in any::<Vec<u8>>()) {
        let bytes = encoded(&value);
        let (back, used) = decode(&[&bytes[..], &tail].concat()).unwrap();
        prop_assert_eq!(used, bytes.len());
        prop_assert_eq!(compare(&back, &value), Ordering::Equal);
        prop_assert_eq!(encoded(&back), bytes);
    }

    #[test]
    fn no_encoding_is_a_prefix_of_another(left in any_json(), right in any_json()) {
        let (left, right) = (encoded(&left), encoded(&right));
        prop_assert!(left == right || !left.starts_with(&right));
    }

    #[test]
    fn tuples_compare_like_their_parts(a in any_json(), b in any_json(), c in any_json(), d in any_json()) {
        let expected = compare(&a, &c).then_with(|| compare(&b, &d));
        prop_assert_eq!([encoded(&a), encoded(&b)].concat().cmp(&[encoded(&c), encoded(&d)].concat()), expected);
    }

    #[test]
    fn strings_alone_encode_alike(text in any::<String>()) {
        let mut bytes = Vec::new();
        encode_str(&text, &mut bytes);
        prop_assert_eq!(bytes, encoded(&Json::String(text)));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_a_panic(bytes in any::<Vec<u8>>()) {
        if let Ok((value, used)) = decode(&bytes) {
            prop_assert_eq!(encoded(&value), &bytes[..used]);
        }
    }
}
