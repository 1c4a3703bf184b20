//! `grastate.dat`: what Galera knows about its position after a clean stop.
//!
//! Galera's own parser is permissive: a missing, empty or garbled file means to it "new history,
//! safe to bootstrap" (galera/src/saved_state.cpp), and a node started on that makes an empty
//! cluster. Ours is not: a file that does not say everything is [`Garbled`], and never evidence.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::position::Position;
use super::uuid::Uuid;

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "grastate.dat";

/// The content of a well-formed `grastate.dat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grastate {
    /// The file's format, `2.1` in all versions that we know.
    pub version: String,
    /// The history; nil when the data may be inconsistent (SST, DDL or an abort was under way).
    pub uuid: Uuid,
    /// The last transaction after a clean stop; -1 while running and after a crash.
    pub seqno: i64,
    /// Galera's belief that this node left last. Evidence only together with a position.
    pub safe_to_bootstrap: bool,
}

/// Why a `grastate.dat` says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbled(pub String);

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grastate.dat is garbled: {}", self.0)
    }
}

impl Grastate {
    /// Reads the text of the file; comments and unknown lines are skipped as Galera skips them.
    pub fn parse(text: &str) -> Result<Grastate, Garbled> {
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim())
                .ok_or_else(|| Garbled(format!("no line `{key}:`")))
        };
        let uuid = value("uuid")?;
        let seqno = value("seqno")?;
        Ok(Grastate {
            version: value("version")?.to_owned(),
            uuid: uuid.parse().map_err(|e| Garbled(format!("uuid: {e}")))?,
            seqno: seqno.parse().map_err(|_| Garbled(format!("seqno is no number: {seqno:.40?}")))?,
            safe_to_bootstrap: match value("safe_to_bootstrap")? {
                "0" => false,
                "1" => true,
                other => {
                    return Err(Garbled(format!("safe_to_bootstrap is neither 0 nor 1: {other:.40?}")));
                }
            },
        })
    }

    /// The position after a clean stop. Meaningless while `mariadbd` runs: a donor's pause writes a
    /// seqno too.
    pub fn clean_position(&self) -> Option<Position> {
        Position::from_raw(self.uuid, self.seqno)
    }

    /// Whether `safe_to_bootstrap: 1` may be believed: Galera keeps the flag when it zeroes the
    /// UUID and the seqno, and such a flag says nothing.
    pub fn validly_safe(&self) -> bool {
        self.safe_to_bootstrap && self.clean_position().is_some()
    }

    /// The file's text, as Galera writes it.
    pub fn render(&self) -> String {
        format!(
            "# GALERA saved state\nversion: {}\nuuid:    {}\nseqno:   {}\nsafe_to_bootstrap: {}\n",
            self.version,
            self.uuid,
            self.seqno,
            u8::from(self.safe_to_bootstrap)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLEAN: &str = "# GALERA saved state\nversion: 2.1\nuuid:    746e46f3-8f76-11e7-9c1c-a220eabab4ba\nseqno:   13\nsafe_to_bootstrap: 1\n";

    #[test]
    fn g5_the_position_after_a_clean_stop() {
        let state = Grastate::parse(CLEAN).unwrap();
        assert_eq!(state.clean_position().unwrap().to_string(), "746e46f3-8f76-11e7-9c1c-a220eabab4ba:13");
        assert!(state.validly_safe());
        assert_eq!(state.render(), CLEAN);
    }

    #[test]
    fn g6_a_crashed_member_has_no_clean_position() {
        assert_eq!(Grastate::parse(&CLEAN.replace("13", "-1")).unwrap().clean_position(), None);
    }

    #[test]
    fn a_flag_on_a_nil_history_or_without_a_seqno_is_not_believed() {
        for text in
            [CLEAN.replace("13", "-1"), CLEAN.replace("746e46f3-8f76-11e7-9c1c-a220eabab4ba", &Uuid::NIL.to_string())]
        {
            assert!(!Grastate::parse(&text).unwrap().validly_safe());
        }
    }

    #[test]
    fn what_galera_reads_as_safe_we_read_as_garbled() {
        for text in [
            "",
            "\0\0\0\0",
            "# GALERA saved state\n",
            "version: 2.1\nuuid: x\nseqno: 1\nsafe_to_bootstrap: 1",
            &CLEAN.replace("safe_to_bootstrap: 1", ""),
            &CLEAN.replace("seqno:   13", "seqno:   "),
            &CLEAN.replace(": 1\n", ": 2\n"),
        ] {
            assert!(Grastate::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(uuid: u128, seqno: i64, safe: bool) {
            let state = Grastate { version: "2.1".into(), uuid: Uuid::from_u128(uuid), seqno, safe_to_bootstrap: safe };
            prop_assert_eq!(Grastate::parse(&state.render()), Ok(state));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = Grastate::parse(&text);
        }
    }
}
