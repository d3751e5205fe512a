//! Which run of the machine this is, so that a killed process can be told from a power cut

use std::num::NonZeroU64;

/// Where Linux names the boot, as a random UUID.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A number that is another one after each boot; `None` where the system does not tell.
#[must_use]
pub fn number() -> Option<NonZeroU64> {
    number_of(&std::fs::read_to_string(BOOT_ID).ok()?)
}

/// 64 of the random bits of a UUID.
fn number_of(uuid: &str) -> Option<NonZeroU64> {
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    NonZeroU64::new(u64::from_str_radix(&digits, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_number() {
        assert_eq!(number(), number());
        assert_eq!(
            number_of("0b1c5e0c-3f0e-4e5b-9a52-1f7c9f0f8d11\n"),
            NonZeroU64::new(0x0b1c_5e0c_3f0e_4e5b)
        );
        assert_eq!(number_of(""), None);
    }
}
