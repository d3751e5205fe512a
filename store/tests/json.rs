//! What the JSON intake accepts, what it refuses and where it says the mistake is, and that writing is exact.

#![cfg(test)]

use magpie_store::json::{
    BigInt, Json, Number, Object, ScriptNumber, parse, parse_stored, parse_stored_object,
};
use magpie_store::limits::{JSON_DEPTH_MAX, NUMBER_CHARS_MAX};
use proptest::prelude::*;

fn parsed(text: &str) -> Json {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn accepted_texts_come_back_compact_and_digit_for_digit() {
    for (text, compact) in [
        ("null", "null"),
        (" \t\r\n true \n", "true"),
        ("false", "false"),
        ("0", "0"),
        ("-0", "-0"),
        ("-0.0", "-0.0"),
        ("1.0", "1.0"),
        ("1E5", "1E5"),
        ("1e+05", "1e+05"),
        ("1e-99999", "1e-99999"),
        ("9007199254740993", "9007199254740993"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551616", "18446744073709551616"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        (r#""""#, r#""""#),
        (r#""\u0041\/\b\f\n\r\t\"\\""#, r#""A/\b\f\n\r\t\"\\""#),
        (r#""\u0000\u001F""#, r#""\u0000\u001f""#),
        (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
        (r#""\uD7FF\uE000\uFFFF""#, "\"\u{d7ff}\u{e000}\u{ffff}\""),
        ("\"\u{7f}\u{2028}\u{10ffff}\"", "\"\u{7f}\u{2028}\u{10ffff}\""),
        ("\"\u{feff}\"", "\"\u{feff}\""),
        ("[ ]", "[]"),
        ("[1 , [ 2,null ] ]", "[1,[2,null]]"),
        ("{ }", "{}"),
        (r#"{"b":1,"a":{"":[]},"__proto__":2}"#, r#"{"b":1,"a":{"":[]},"__proto__":2}"#),
        (r#"{"a":1,"A":2}"#, r#"{"a":1,"A":2}"#),
    ] {
        assert_eq!(parsed(text).to_string(), compact);
        let mut bytes = Vec::new();
        parsed(text).write_to(&mut bytes);
        assert_eq!(bytes, compact.as_bytes());
    }
}

#[test]
fn refused_texts_are_refused_at_the_right_place() {
    for (text, line, column, message) in [
        ("", 1, 1, "expected a JSON value, but the text ends"),
        ("  ", 1, 3, "the text ends"),
        ("\u{feff}1", 1, 1, "byte order mark"),
        ("1 2", 1, 3, "expected the end of the text, but found '2'"),
        ("{}x", 1, 3, "expected the end of the text, but found 'x'"),
        ("nul", 1, 1, "true, false and null are the only bare words"),
        ("True", 1, 1, "expected a JSON value, but found 'T'"),
        ("NaN", 1, 1, "found 'N'"),
        ("undefined", 1, 1, "found 'u'"),
        ("'a'", 1, 1, "found '''"),
        ("+1", 1, 1, "found '+'"),
        (".5", 1, 1, "found '.'"),
        ("01", 1, 1, "does not begin with 0"),
        ("-01", 1, 1, "does not begin with 0"),
        ("-", 1, 2, "expected a digit, but the text ends"),
        ("-Infinity", 1, 2, "expected a digit, but found 'I'"),
        ("1.", 1, 3, "expected a digit after the decimal point"),
        ("1.e5", 1, 3, "expected a digit after the decimal point, but found 'e'"),
        ("1e", 1, 3, "expected a digit in the exponent"),
        ("1e+", 1, 4, "expected a digit in the exponent"),
        ("0x10", 1, 2, "expected the end of the text, but found 'x'"),
        ("1_000", 1, 2, "found '_'"),
        ("1e100000", 1, 1, "number_exponent_max"),
        ("1e-100000", 1, 1, "number_exponent_max"),
        ("1e99999999999999999999", 1, 1, "number_exponent_max"),
        ("\"a", 1, 3, "at the end of a string, but the text ends"),
        ("\"a\nb\"", 1, 3, "U+000A stands raw in a string; write it as \\u000a"),
        ("\"\u{0}\"", 1, 2, "U+0000"),
        (r#""\x41""#, 1, 3, "after a backslash, but found 'x'"),
        ("\"\\", 1, 3, "after a backslash, but the text ends"),
        (r#""\u12g4""#, 1, 6, "four hexadecimal digits after \\u, but found 'g'"),
        (r#""\u+123""#, 1, 4, "four hexadecimal digits"),
        (r#""\u12""#, 1, 6, "four hexadecimal digits"),
        (r#""ab\ud800""#, 1, 4, "\\ud800 is half of a surrogate pair"),
        (r#""\ud800x""#, 1, 2, "half of a surrogate pair"),
        (r#""\ud800\n""#, 1, 2, "half of a surrogate pair"),
        (r#""\udc00\ud800""#, 1, 2, "\\udc00 is half of a surrogate pair"),
        (r#""\ud800\u0041""#, 1, 2, "\\ud800 is half of a surrogate pair"),
        (r#""\ud800\ud800\udc00""#, 1, 2, "half of a surrogate pair"),
        ("[", 1, 2, "expected a JSON value, but the text ends"),
        ("[1", 1, 3, "expected ',' or ']' after an array element, but the text ends"),
        ("[1,]", 1, 4, "expected a JSON value, but found ']'"),
        ("[,1]", 1, 2, "expected a JSON value, but found ','"),
        ("[1 2]", 1, 4, "expected ',' or ']' after an array element, but found '2'"),
        ("[1}", 1, 3, "but found '}'"),
        ("{", 1, 2, "expected a key in double quotes, but the text ends"),
        ("{a:1}", 1, 2, "expected a key in double quotes, but found 'a'"),
        ("{1:1}", 1, 2, "expected a key in double quotes"),
        (r#"{"a" 1}"#, 1, 6, "expected ':' after a key, but found '1'"),
        (r#"{"a":}"#, 1, 6, "expected a JSON value, but found '}'"),
        (r#"{"a":1,}"#, 1, 8, "expected a key in double quotes, but found '}'"),
        (r#"{"a":1 "b":2}"#, 1, 8, "expected ',' or '}' after an object member"),
        (r#"{"a":1]"#, 1, 7, "expected ',' or '}'"),
        ("/* c */ 1", 1, 1, "found '/'"),
        ("1 // c", 1, 3, "found '/'"),
        ("\u{a0}1", 1, 1, "found '\u{a0}'"),
        ("\u{b}1", 1, 1, "found the character U+000B"),
        ("{\n  \"\u{e4}\u{1f600}\": x\n}", 2, 9, "found 'x'"),
        ("{\"a\":1,\r\n\"a\":2}", 2, 1, "the key 'a' stands twice"),
        (r#"{"a":{"b":1,"\u0062":2}}"#, 1, 13, "the key 'b' stands twice"),
    ] {
        let error = parse(text.as_bytes()).expect_err(text);
        assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        assert!(error.message.contains(message), "{text:?}: {error}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_at_the_first_bad_byte() {
    for (text, column) in [
        (&b"\xff"[..], 1),
        (b"\"\xc3\xa4\xc3\"", 3),
        (b"\"\xc0\x80\"", 2),
        (b"\"\xed\xa0\x80\"", 2),
        (b"\"\xf4\x90\x80\x80\"", 2),
        (b"\"abc\xe2\x82", 5),
    ] {
        let error = parse(text).expect_err("not UTF-8");
        assert_eq!((error.line, error.column), (1, column), "{error}");
        assert!(error.message.contains("not UTF-8"));
    }
    let error = parse(b"[\n \xff]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid JSON at line 2, column 2: the text is not UTF-8: byte 0xff cannot stand here"
    );
}

#[test]
fn duplicates_are_found_in_large_objects_too() {
    for count in [2, 15, 16, 17, 18, 40, 1000] {
        let keys: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        let text = |keys: &[String]| format!("{{{}}}", keys.join(","));
        assert_eq!(parsed(&text(&keys)).as_object().unwrap().len(), count);
        for repeated in [0, count / 2, count - 1] {
            let mut twice = keys.clone();
            twice.push(keys[repeated].clone());
            let error = parse(text(&twice).as_bytes()).unwrap_err();
            assert!(error.message.contains(&format!("'k{repeated}' stands twice")), "{error}");
            assert_eq!(error.column as usize, text(&keys).len() + 1);
        }
    }
}

#[test]
fn depth_and_number_length_limits_are_exact() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert!(parse(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        let error = parse(nested(JSON_DEPTH_MAX + 1).as_bytes()).unwrap_err();
        assert!(error.message.contains("nested deeper than 100 levels"), "{error}");
        assert_eq!(error.column as usize, JSON_DEPTH_MAX * open.len() + 1);
    }
    assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
    assert!(parse(&[b'7'; NUMBER_CHARS_MAX]).is_ok());
    assert!(parse(&[b'7'; NUMBER_CHARS_MAX + 1]).unwrap_err().message.contains("number_chars_max"));
    // Depth counts what encloses, not what came before.
    assert!(parse(format!("[{}]", vec!["[]"; 1000].join(",")).as_bytes()).is_ok());
}

#[test]
fn damaged_stored_text_gives_an_empty_object() {
    assert_eq!(parse_stored_object(r#"{"a":1}"#).get("a"), Some(&Json::from(1_i64)));
    for damaged in ["", "{", "[]", "1", "{\"a\":1}}", &"{\"a\":".repeat(100_000)] {
        assert!(parse_stored_object(damaged).is_empty());
    }
}

#[test]
fn doubles_print_as_in_javascript() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (100.0, "100"),
        (1e21, "1e+21"),
        (-1e21, "-1e+21"),
        (1.5e300, "1.5e+300"),
        (123_456_789_012_345_680_000.0, "123456789012345680000"),
        (999_999_999_999_999_900_000.0, "999999999999999900000"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (0.000_001, "0.000001"),
        (0.000_001_234, "0.000001234"),
        (1e-7, "1e-7"),
        (1.25e-9, "1.25e-9"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
    ] {
        let number = Number::from_f64(value).unwrap();
        assert_eq!(number.to_string(), text);
        assert_eq!(parsed(text), Json::Number(number));
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Number::from_f64(value), None);
    }
}

#[test]
fn integers_are_recognised_however_they_are_written() {
    for (text, value) in [
        ("2.0", Some(2)),
        ("20e-1", Some(2)),
        ("2e3", Some(2000)),
        ("-0", Some(0)),
        ("0e5", Some(0)),
        ("9223372036854775807.0", Some(i64::MAX)),
        ("-9223372036854775808e0", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("1e19", None),
        ("0.5", None),
        ("0.05", None),
        ("1e99999", None),
        ("1e-99999", None),
    ] {
        assert_eq!(parsed(text).as_i64(), value, "{text}");
    }
}

/// Any JSON value, strings and keys with characters from all planes included.
fn any_json() -> impl Strategy<Value = Json> {
    let number = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", Number::from_f64),
        (any::<i128>(), 0_u32..400).prop_map(|(m, e)| Number::from_valid_text(&format!("{m}.50E-{e}"))),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number.prop_map(Json::Number),
        any::<String>().prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|pairs| Json::Object(pairs.into_iter().collect::<Object>())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(parse(text.as_bytes()), Ok(value.clone()));
        let stored = Json::Object([("v", value.clone())].into_iter().collect());
        prop_assert_eq!(parse_stored_object(&stored.to_string()).remove("v"), Some(value));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = parse(&bytes) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
        }
    }

    #[test]
    fn every_truncation_of_a_container_is_refused(value in any_json(), cut in any::<prop::sample::Index>()) {
        let text = Json::Array(vec![value]).to_string();
        let cut = cut.index(text.len());
        prop_assert!(parse(&text.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn text_of_json_like_characters_never_panics(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\u dtrfalsn\u{e4}]{0,40}") {
        if let Ok(value) = parse(text.as_bytes()) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
        }
    }
}

#[test]
fn numbers_of_scripts_are_stored_tagged_and_leave_as_strings() {
    let big = |text: &str| Json::from(text.parse::<BigInt>().unwrap());
    for (value, stored, wire) in [
        (big("0"), "0n", "\"0\""),
        (big("-5905512001181577600"), "-5905512001181577600n", "\"-5905512001181577600\""),
        (
            big("170141183460469231731687303715884105728"),
            "170141183460469231731687303715884105728n",
            "\"170141183460469231731687303715884105728\"",
        ),
        (Json::ScriptNumber(ScriptNumber::NaN), "NaN", "\"NaN\""),
        (Json::ScriptNumber(ScriptNumber::Infinity), "Infinity", "\"Infinity\""),
        (Json::ScriptNumber(ScriptNumber::NegativeInfinity), "-Infinity", "\"-Infinity\""),
    ] {
        let object =
            Json::Object(Object::from_iter([("a", Json::Array(vec![value.clone(), Json::from(1_i64)]))]));
        let mut text = Vec::new();
        object.write_stored_to(&mut text);
        assert_eq!(String::from_utf8(text.clone()).unwrap(), format!("{{\"a\":[{stored},1]}}"));
        assert_eq!(parse_stored(&text).unwrap(), object, "a script gets back what it gave");
        assert_eq!(object.to_string(), format!("{{\"a\":[{wire},1]}}"));
        assert!(parse(stored.as_bytes()).is_err(), "{stored} is no JSON at the door");
    }
    for damaged in ["1.5n", "1e3n", "-n", "Nan", "n", "--Infinity", "1nn"] {
        assert!(parse_stored(damaged.as_bytes()).is_err(), "{damaged}");
    }
}
