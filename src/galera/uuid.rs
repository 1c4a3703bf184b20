//! The 128-bit identifiers that Galera uses for histories and for group members.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A UUID in Galera's text form, `8-4-4-4-12` lower or upper case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(u128);

impl Uuid {
    /// What Galera writes where it knows no history.
    pub const NIL: Uuid = Uuid(0);

    /// A UUID from its number; for tests and for ids that are drawn at random.
    pub const fn from_u128(value: u128) -> Uuid {
        Uuid(value)
    }

    /// Whether this is the nil UUID.
    pub fn is_nil(self) -> bool {
        self.0 == 0
    }

    /// Whether two *group member* UUIDs name the same member across restarts.
    ///
    /// A member that restores a saved view counts up the incarnation in bytes 8 and 9 of its UUID,
    /// and Galera leaves these bytes out when it compares (gcomm/src/view.cpp).
    pub fn same_member(self, other: Uuid) -> bool {
        const INCARNATION: u128 = 0xffff << 48;
        self.0 & !INCARNATION == other.0 & !INCARNATION
    }
}

/// The text was not a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAUuid(String);

impl fmt::Display for NotAUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a UUID such as 746e46f3-8f76-11e7-9c1c-a220eabab4ba, found {:?}", self.0)
    }
}

impl std::error::Error for NotAUuid {}

impl FromStr for Uuid {
    type Err = NotAUuid;

    fn from_str(text: &str) -> Result<Uuid, NotAUuid> {
        let not = || NotAUuid(text.chars().take(60).collect());
        let groups: Vec<&str> = text.split('-').collect();
        let shape = groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12]);
        if !shape || !text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) {
            return Err(not());
        }
        u128::from_str_radix(&groups.concat(), 16).map(Uuid).map_err(|_| not())
    }
}

impl TryFrom<String> for Uuid {
    type Error = NotAUuid;

    fn try_from(text: String) -> Result<Uuid, NotAUuid> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> String {
        uuid.to_string()
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (n >> 96) as u32,
            (n >> 80) as u16,
            (n >> 64) as u16,
            (n >> 48) as u16,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_text_form_of_galera_is_a_uuid() {
        for good in ["746e46f3-8f76-11e7-9c1c-a220eabab4ba", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(good.parse::<Uuid>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "746e46f3",
            "746e46f38f7611e79c1ca220eabab4ba",
            "746e46f3-8f76-11e7-9c1c-a220eabab4bg",
            "+46e46f3-8f76-11e7-9c1c-a220eabab4ba",
            "746e46f3-8f76-11e7-9c1c-a220eabab4ba ",
        ] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_member_is_the_same_after_its_incarnation_was_counted_up() {
        let before: Uuid = "069ddd4c-b7c4-11e7-8000-a220eabab4ba".parse().unwrap();
        let after: Uuid = "069ddd4c-b7c4-11e7-8001-a220eabab4ba".parse().unwrap();
        let other: Uuid = "069ddd4d-b7c4-11e7-8000-a220eabab4ba".parse().unwrap();
        assert!(before.same_member(after) && !before.same_member(other));
    }

    proptest! {
        #[test]
        fn text_and_back(n: u128) {
            prop_assert_eq!(Uuid::from_u128(n).to_string().parse::<Uuid>(), Ok(Uuid::from_u128(n)));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = text.parse::<Uuid>();
        }
    }
}
