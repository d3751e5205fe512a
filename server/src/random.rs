//! Random names: database ids and document ids for commands that name none.
//!
//! The operating system's generator is the only source. Nothing below the server draws random numbers.

use std::fmt::Write as _;

/// Draws `N` random bytes.
///
/// # Errors
/// When the operating system has no randomness to give.
fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|cause| RandomError(cause.to_string()))?;
    Ok(bytes)
}

/// The operating system's random generator failed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random numbers: {0}")]
pub struct RandomError(String);

/// A new database id: 128 random bits as 22 characters of base64.
///
/// # Errors
/// [`RandomError`] when the operating system has no randomness to give.
pub fn database_id() -> Result<String, RandomError> {
    Ok(base64(&bytes::<16>()?))
}

/// A new document id: a version 4 UUID such as `0b1c5e0c-3f0e-4e5b-9a52-1f7c9f0f8d11`.
///
/// # Errors
/// [`RandomError`] when the operating system has no randomness to give.
pub fn uuid() -> Result<String, RandomError> {
    let mut value = u128::from_be_bytes(bytes::<16>()?);
    value = (value & !(0xf << 76)) | (0x4 << 76);
    value = (value & !(0x3 << 62)) | (0x2 << 62);
    let mut text = String::with_capacity(36);
    for (place, digit) in format!("{value:032x}").chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    Ok(text)
}

/// A number to start a sequence of pseudo-random numbers from.
///
/// # Errors
/// [`RandomError`] when the operating system has no randomness to give.
pub fn seed() -> Result<u64, RandomError> {
    Ok(u64::from_be_bytes(bytes::<8>()?))
}

/// Eight random hexadecimal digits, to tell folders apart.
///
/// # Errors
/// [`RandomError`] when the operating system has no randomness to give.
pub fn folder_suffix() -> Result<String, RandomError> {
    let mut text = String::new();
    for byte in bytes::<4>()? {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Base64 with the standard alphabet, without padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| (group << 8) | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let sextet = (group >> (18 - 6 * place)) & 0x3f;
            if let Some(letter) = ALPHABET.get(sextet as usize) {
                text.push(char::from(*letter));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base64, database_id, uuid};

    #[test]
    fn base64_follows_the_standard_without_padding() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (&[255, 239], "/+8"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn ids_have_their_fixed_forms_and_differ() {
        let (first, second) = (database_id().unwrap(), database_id().unwrap());
        assert_eq!(first.len(), 22);
        assert_ne!(first, second);
        let id = uuid().unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"));
    }
}
