//! The canonical text of a script: equal texts surely mean the same.
//!
//! It is the script's tokens, verbatim, with one blank between two tokens, or a line break where the source has one
//! that could end a statement. Comments and all other white space are gone. Blanks between tokens never mean anything
//! in JavaScript, so two scripts with one canonical text differ in formatting only.

use super::tokens::{Token, TokenKind};

/// The canonical text of a scanned script.
pub(super) fn canonical(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    let mut previous: Option<&Token<'_>> = None;
    for token in tokens {
        if let Some(before) = previous
            && !joins_template(before, token)
        {
            text.push(if newline_matters(before, token) { '\n' } else { ' ' });
        }
        text.push_str(token.text);
        previous = Some(token);
    }
    text
}

/// Inside a template's substitution nothing is put next to the braces, so that the text stays short.
fn joins_template(before: &Token<'_>, token: &Token<'_>) -> bool {
    let opens = matches!(before.kind, TokenKind::TemplateHead | TokenKind::TemplateMiddle)
        && before.text.ends_with("${");
    opens || matches!(token.kind, TokenKind::TemplateMiddle | TokenKind::TemplateTail)
}

/// Whether the line break between two tokens could end a statement. Saying yes is the careful answer.
fn newline_matters(before: &Token<'_>, token: &Token<'_>) -> bool {
    if !token.after_newline {
        return false;
    }
    let goes_on =
        before.kind == TokenKind::Punctuator && !matches!(before.text, ")" | "]" | "}" | "++" | "--");
    let continues =
        token.kind == TokenKind::Punctuator && matches!(token.text, "}" | ")" | "]" | "," | ";" | "." | "?.");
    !goes_on && !continues
}

#[cfg(test)]
mod tests {
    use super::super::tokens::scan;
    use super::canonical;

    fn of(source: &str) -> String {
        canonical(&scan(source).unwrap())
    }

    #[test]
    fn formatting_and_comments_do_not_count() {
        let plain = "map('Orders', o => ({ total: o.price * 2, id: id(o) }))";
        for same in [
            "map('Orders',o=>({total:o.price*2,id:id(o)}))",
            "// orders\nmap('Orders', /* one */ o => ({\n  total: o.price * 2,\n  id: id(o)\n}))\n\n",
            "\tmap ( 'Orders' , o => ( { total : o . price * 2 , id : id ( o ) } ) )",
            "map('Orders', o =>\r\n({ total: o.price\n.valueOf }))"
                .replace("\n.valueOf", " * 2, id: id(o)")
                .as_str(),
        ] {
            assert_eq!(of(same), of(plain), "{same}");
        }
    }

    #[test]
    fn whatever_may_matter_is_kept() {
        for (one, other) in [
            ("return\nx", "return x"),
            ("a\n++b", "a++\nb"),
            ("a\n++b", "a++b"),
            ("a + +b", "a ++ b"),
            ("a - -b", "a -- b"),
            ("x = 'a // b'", "x = 'a'"),
            ("x = \"a  b\"", "x = \"a b\""),
            ("x = 'a'", "x = \"a\""),
            ("x = `a  ${b}`", "x = `a ${b}`"),
            ("x = `a ${ 'b  c' }`", "x = `a ${ 'b c' }`"),
            ("x = `// ${b}`", "x = ``"),
            ("x = /a  b/", "x = /a b/"),
            ("x = /[/'\"]/.test(y) // c", "x = /[/'\"]/.test(z) // c"),
            ("x = /a//b", "x = /a/"),
            ("let x\nlet y", "let x let y"),
            ("a\n(b)", "a(b)"),
            ("a\n[b]", "a[b]"),
            ("a\n/b/g", "a\n/b/h"),
            ("a = b\n`c`", "a = b`c`"),
            ("if (a) b\nelse c", "if (a) b else c"),
            ("1 .x", "1.x"),
            ("x/*\n*/y", "x y"),
            ("a ? .5 : 1", "a ?.b"),
            ("u\u{e9}", "ue\u{301}"),
        ] {
            assert_ne!(of(one), of(other), "{one} / {other}");
        }
    }

    #[test]
    fn canonical_text_is_its_own_canonical_text() {
        for source in [
            "return\nx",
            "a\n++b",
            "x = /[/'\"]/.test(y) / 2 / /x/.y",
            "f(`a${`b${c}d`}e${ {f: 1}.f }`)",
            "if (a) /re/.exec(b); (c) / d",
            "a = 1.5e+3 + .5 - 0x1F / 2_000 + 1..toString()",
            "class A { #x = 1; get y() { return this.#x } }\nmap('X', d => d?.a ?? d?.[0])",
            "a >>>= b >>> c >> d ?? e ** f",
            "for (;;) { x-->0 }",
        ] {
            let once = of(source);
            assert_eq!(of(&once), once, "{source}");
        }
    }

    #[test]
    fn what_the_scanner_cannot_settle_is_refused() {
        for source in [
            "{}\n/a/.test(b)",
            "yield /a/",
            "x = {} / 2",
            "a\n++/b/.c",
            "`abc",
            "'a\nb'",
            "/abc",
            "/* x",
            "a # b",
        ] {
            assert!(scan(source).is_err(), "{source}");
        }
    }
}
