//! How strings are spelt whose lower case is known: the ways to write each letter, and the next string after another.

use crate::key_filter::Next;

/// Letters beyond ASCII whose lower case is ASCII, and what it is.
const FOREIGN_LETTERS: [(&[u8], u8); 1] = [("\u{212a}".as_bytes(), b'k')];
/// Stands behind the last letter of a whole text; no letter of ASCII.
pub(crate) const TEXT_ENDS: u8 = 0xff;
const TEXT_END: &[u8] = &[0, 1];
/// The letters of ASCII that are spelt here, from the space on.
const PRINTABLE: &[u8] =
    b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

/// A letter as a text.
fn printable(letter: u8) -> Option<&'static [u8]> {
    let place = usize::from(letter.checked_sub(b' ')?);
    PRINTABLE.get(place..=place)
}

/// How a letter whose lower case is `folded` may be written in UTF-8: the spelling of this number, smallest first.
fn spelling(folded: u8, number: usize) -> Option<&'static [u8]> {
    if folded == TEXT_ENDS {
        return (number == 0).then_some(TEXT_END);
    }
    let upper = folded.to_ascii_uppercase();
    let cases = 1 + usize::from(upper != folded);
    match number {
        // An upper-case letter is nobody's lower case.
        _ if folded.is_ascii_uppercase() => None,
        0 => printable(upper),
        1 if cases == 2 => printable(folded),
        _ => FOREIGN_LETTERS
            .iter()
            .filter(|(_, lower)| *lower == folded)
            .map(|(letter, _)| *letter)
            .nth(number - cases),
    }
}

fn spellings_of(folded: u8) -> impl Iterator<Item = &'static [u8]> {
    (0..).map_while(move |number| spelling(folded, number))
}

/// The smallest spelling of `letters` that is not before `text`.
pub(crate) fn next_spelling(letters: &[u8], text: &[u8]) -> Option<Next> {
    if letters.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    // The letters that fit: where each begins and which of its spellings it is.
    let mut fitting: Vec<(usize, usize)> = Vec::with_capacity(letters.len());
    let mut at = 0;
    let higher = loop {
        let Some(of) = letters.get(fitting.len()) else { return Some(Next::Here) };
        let left = text.get(at..).unwrap_or_default();
        match spellings_of(*of).enumerate().find(|(_, spelling)| left.starts_with(spelling)) {
            Some((chosen, spelling)) => {
                fitting.push((at, chosen));
                at += spelling.len();
            }
            None => break spellings_of(*of).find(|spelling| *spelling > left),
        }
    };
    let build = |begin: usize, letter: &[u8], behind: usize| {
        let mut bytes = text.get(..begin).unwrap_or_default().to_vec();
        bytes.extend_from_slice(letter);
        let behind = letters.get(behind..).unwrap_or_default();
        behind.iter().filter_map(|of| spelling(*of, 0)).for_each(|first| bytes.extend_from_slice(first));
        Some(Next::At(bytes))
    };
    if let Some(letter) = higher {
        return build(at, letter, fitting.len() + 1);
    }
    for (number, (begin, chosen)) in fitting.iter().enumerate().rev() {
        if let Some(letter) = letters.get(number).and_then(|of| spelling(*of, chosen + 1)) {
            return build(*begin, letter, number + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_printable_letter_is_at_its_place() {
        assert!((b' '..=b'~').all(|letter| printable(letter) == Some(&[letter][..])));
        assert!([b'\n', 0x7f, TEXT_ENDS].iter().all(|letter| printable(*letter).is_none()));
    }

    #[test]
    fn every_letter_whose_lower_case_is_ascii_is_known() {
        for letter in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let mut lower = letter.to_lowercase();
            let (Some(folded), None) = (lower.next(), lower.next()) else { continue };
            if let Ok(folded) = u8::try_from(folded)
                && printable(folded).is_some()
            {
                let text = letter.to_string();
                assert!(spellings_of(folded).any(|spelling| spelling == text.as_bytes()), "{letter:?}");
            }
        }
        // Of those whose lower case has several letters, one begins with ASCII.
        let several = (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|letter| {
            let mut lower = letter.to_lowercase();
            lower.next().is_some_and(|first| first.is_ascii()) && lower.next().is_some()
        });
        assert_eq!(several.collect::<Vec<_>>(), ['\u{130}']);
    }
}
