//! Where in which history a member stands.
//!
//! Sequence numbers of different histories must never be compared (G12): galera_initiator, the
//! pxc-release errand and several operators did, and the wrong node won. So [`Position`] has no
//! order; the only ways to compare go through [`Position::against`] and [`OneHistory`], which
//! answer only within one history.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::uuid::Uuid;

/// A transaction's number within its history. Galera's -1 (undefined) is not a `Seqno`.
pub type Seqno = u64;

/// `uuid:seqno`: the last transaction that a member has of one history. The UUID is never nil.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    history: Uuid,
    seqno: Seqno,
}

/// Two positions belong to different histories, so neither is ahead of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DifferentHistories {
    /// The history of the first position.
    pub one: Uuid,
    /// The history of the second.
    pub other: Uuid,
}

impl fmt::Display for DifferentHistories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {} are different histories", self.one, self.other)
    }
}

impl Position {
    /// A position, unless the history is nil: what stands on the nil UUID is not known.
    pub fn new(history: Uuid, seqno: Seqno) -> Option<Position> {
        (!history.is_nil()).then_some(Position { history, seqno })
    }

    /// From Galera's raw pair, where nil and negative mean "unknown".
    pub fn from_raw(history: Uuid, seqno: i64) -> Option<Position> {
        Seqno::try_from(seqno).ok().and_then(|seqno| Position::new(history, seqno))
    }

    /// The history's UUID.
    pub fn history(self) -> Uuid {
        self.history
    }

    /// The sequence number, meaningful within [`Position::history`] only.
    pub fn seqno(self) -> Seqno {
        self.seqno
    }

    /// How this position stands against another one of the same history.
    pub fn against(self, other: Position) -> Result<Ordering, DifferentHistories> {
        if self.history == other.history {
            Ok(self.seqno.cmp(&other.seqno))
        } else {
            Err(DifferentHistories { one: self.history, other: other.history })
        }
    }
}

/// The text was not a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAPosition(String);

impl fmt::Display for NotAPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected uuid:seqno with a UUID that is not nil and a seqno from 0, found {:?}", self.0)
    }
}

impl std::error::Error for NotAPosition {}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Position, NotAPosition> {
        let parsed = text.split_once(':').and_then(|(uuid, seqno)| {
            // "+5" would pass as a number, but Galera never writes it.
            let digits = !seqno.is_empty() && seqno.bytes().all(|b| b.is_ascii_digit());
            Position::new(uuid.parse().ok()?, digits.then(|| seqno.parse().ok())??)
        });
        parsed.ok_or_else(|| NotAPosition(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Position {
    type Error = NotAPosition;

    fn try_from(text: String) -> Result<Position, NotAPosition> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.history, self.seqno)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Several owners' positions that were found to be of one history, and may therefore be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneHistory<T> {
    history: Uuid,
    entries: Vec<(T, Seqno)>,
}

impl<T> OneHistory<T> {
    /// All positions, if there is at least one and all are of one history.
    pub fn of(entries: impl IntoIterator<Item = (T, Position)>) -> Result<OneHistory<T>, Option<DifferentHistories>> {
        let mut entries = entries.into_iter();
        let (owner, first) = entries.next().ok_or(None)?;
        let mut all = OneHistory { history: first.history, entries: vec![(owner, first.seqno)] };
        for (owner, next) in entries {
            first.against(next).map_err(Some)?;
            all.entries.push((owner, next.seqno));
        }
        Ok(all)
    }

    /// The history that all share.
    pub fn history(&self) -> Uuid {
        self.history
    }

    /// The highest sequence number.
    pub fn highest(&self) -> Seqno {
        self.entries.iter().map(|(_, seqno)| *seqno).max().unwrap_or_default()
    }

    /// The owners that stand at the highest sequence number, in the order in which they came.
    pub fn furthest(&self) -> impl Iterator<Item = &T> {
        let highest = self.highest();
        self.entries.iter().filter(move |(_, seqno)| *seqno == highest).map(|(owner, _)| owner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "746e46f3-8f76-11e7-9c1c-a220eabab4ba";
    const B: &str = "846e46f3-8f76-11e7-9c1c-a220eabab4ba";

    fn at(text: &str) -> Position {
        text.parse().unwrap()
    }

    #[test]
    fn g12_positions_are_compared_as_numbers_and_within_one_history_only() {
        assert_eq!(at(&format!("{A}:9")).against(at(&format!("{A}:10"))), Ok(Ordering::Less));
        assert!(at(&format!("{A}:9")).against(at(&format!("{B}:10"))).is_err());
    }

    #[test]
    fn what_galera_means_as_unknown_is_no_position() {
        for bad in [
            format!("{A}:-1"),
            format!("{}:5", Uuid::NIL),
            format!("{A}:"),
            format!("{A}:+5"),
            A.to_string(),
            String::new(),
            format!("{A}:18446744073709551616"),
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
        assert_eq!(Position::from_raw(A.parse().unwrap(), -1), None);
        assert_eq!(Position::from_raw(Uuid::NIL, 5), None);
    }

    #[test]
    fn the_furthest_of_one_history() {
        let all = OneHistory::of([
            ("a", at(&format!("{A}:9"))),
            ("b", at(&format!("{A}:10"))),
            ("c", at(&format!("{A}:10"))),
        ])
        .unwrap();
        assert_eq!(all.furthest().collect::<Vec<_>>(), [&"b", &"c"]);
        assert!(OneHistory::of([("a", at(&format!("{A}:9"))), ("b", at(&format!("{B}:1")))]).is_err());
        assert_eq!(OneHistory::<&str>::of([]), Err(None));
    }

    proptest! {
        #[test]
        fn text_and_back(uuid in 1u128.., seqno: u64) {
            let position = Position::new(Uuid::from_u128(uuid), seqno).unwrap();
            prop_assert_eq!(position.to_string().parse::<Position>(), Ok(position));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,90}") {
            let _ = text.parse::<Position>();
        }
    }
}
