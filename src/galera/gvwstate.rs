//! `gvwstate.dat`: the last primary view that this member was in.
//!
//! Galera writes it at each primary view and removes it on every graceful stop. Started with one, it
//! waits for *exactly* the members of that view, without any time-out (gcomm/src/pc.cpp), which is
//! how the outage of requirement K1 came about. A file that does not parse fully counts as absent.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::uuid::Uuid;

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "gvwstate.dat";

/// A saved primary view, and who this member was in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SavedView {
    /// This member's UUID in the group.
    pub my_uuid: Uuid,
    /// The view's number; later views of one lineage have higher numbers.
    pub seq: u32,
    /// The member that represented the view.
    pub representative: Uuid,
    /// The members, in the file's order.
    pub members: Vec<Uuid>,
    /// Whether it was made primary with `pc.bootstrap`, or by restoring a saved view. Galera's own arithmetic
    /// and `--wsrep-new-cluster` leave 0 here (seen).
    #[serde(default)]
    pub bootstrap: bool,
}

/// What tells one view from any other: numbers alone do not, both sides of a split count on from the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ViewId {
    /// The member that represented the view.
    pub representative: Uuid,
    /// The view's number.
    pub seq: u32,
}

/// Why a `gvwstate.dat` says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbled(pub String);

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gvwstate.dat is garbled: {}", self.0)
    }
}

impl SavedView {
    /// Reads the text of the file. Only a whole primary view counts.
    pub fn parse(text: &str) -> Result<SavedView, Garbled> {
        let garbled = |what: &str| Garbled(what.to_owned());
        let uuid = |text: Option<&str>, what: &str| {
            let uuid: Uuid = text.unwrap_or_default().parse().map_err(|e| Garbled(format!("{what}: {e}")))?;
            // A nil UUID with the incarnation counted up is what an empty file becomes at a start.
            if uuid.same_member(Uuid::NIL) { Err(Garbled(format!("{what} is the nil UUID"))) } else { Ok(uuid) }
        };
        let (mut mine, mut id, mut members, mut inside, mut ended) = (None, None, Vec::new(), false, false);
        let mut bootstrap = false;
        for line in text.lines().map(str::trim) {
            let mut words = line.split_whitespace();
            match (words.next(), inside) {
                (Some("my_uuid:"), false) => mine = Some(uuid(words.next(), "my_uuid")?),
                (Some("#vwbeg"), false) => inside = true,
                (Some("#vwend"), true) => (inside, ended) = (false, true),
                (Some("view_id:"), true) => {
                    // 3 is V_PRIM in gcomm/src/view.hpp
                    if words.next() != Some("3") {
                        return Err(garbled("the view is not a primary one"));
                    }
                    let representative = uuid(words.next(), "view_id")?;
                    let seq =
                        words.next().and_then(|w| w.parse().ok()).ok_or_else(|| garbled("view_id has no number"))?;
                    id = Some((representative, seq));
                }
                (Some("bootstrap:"), true) => bootstrap = words.next() == Some("1"),
                (Some("member:"), true) => members.push(uuid(words.next(), "member")?),
                _ => {}
            }
        }
        let my_uuid = mine.ok_or_else(|| garbled("no my_uuid"))?;
        let (representative, seq) = id.ok_or_else(|| garbled("no view_id"))?;
        if !ended {
            return Err(garbled("the view does not end"));
        }
        if !members.iter().any(|m| m.same_member(my_uuid)) {
            return Err(garbled("my_uuid is not among the members"));
        }
        Ok(SavedView { my_uuid, seq, representative, members, bootstrap })
    }

    /// Whether both members saved the same view: same number and the same members.
    pub fn same_view(&self, other: &SavedView) -> bool {
        self.seq == other.seq && self.members.len() == other.members.len() && self.members.iter().all(|m| other.has(*m))
    }

    /// What tells this view from any other.
    pub fn id(&self) -> ViewId {
        ViewId { representative: self.representative, seq: self.seq }
    }

    /// Whether this member represented the view.
    pub fn represented_here(&self) -> bool {
        self.representative.same_member(self.my_uuid)
    }

    /// Whether the member was in this view.
    pub fn has(&self, member: Uuid) -> bool {
        self.members.iter().any(|m| m.same_member(member))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VIEW: &str = "my_uuid: 069ddd4c-b7c4-11e7-8000-a220eabab4ba\n#vwbeg\nview_id: 3 069ddd4c-b7c4-11e7-8000-a220eabab4ba 107\nbootstrap: 0\nmember: 069ddd4c-b7c4-11e7-8000-a220eabab4ba 0\nmember: 11247975-b7c4-11e7-8000-a220eabab4ba 0\n#vwend\n";

    #[test]
    fn a_saved_view() {
        let view = SavedView::parse(VIEW).unwrap();
        assert_eq!((view.seq, view.members.len()), (107, 2));
        assert!(view.has("11247975-b7c4-11e7-8003-a220eabab4ba".parse().unwrap()), "incarnations do not count");
    }

    #[test]
    fn k17_a_file_that_is_not_whole_counts_as_absent() {
        let torn = [
            "",
            "my_uuid: 069ddd4c-b7c4-11e7-8000-a220eabab4ba\n",
            VIEW.trim_end_matches("#vwend\n"),
            &VIEW.replace("view_id: 3", "view_id: 2"),
            &VIEW.replace("my_uuid: 0", "my_uuid: 1"),
            &VIEW.replace("069ddd4c-b7c4-11e7-8000-a220eabab4ba", "00000000-0000-0000-0001-000000000000"),
        ];
        for text in torn {
            assert!(SavedView::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_same_view_has_the_same_number_and_members() {
        let one = SavedView::parse(VIEW).unwrap();
        let mut restarted = one.clone();
        restarted.my_uuid = "11247975-b7c4-11e7-8001-a220eabab4ba".parse().unwrap();
        restarted.members.reverse();
        assert!(one.same_view(&restarted));
        restarted.seq += 1;
        assert!(!one.same_view(&restarted));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(my_uuid: |#vwbeg\n|view_id: 3 |member: |#vwend|[0-9a-f-]{0,36}|\n| ){0,20}") {
            let _ = SavedView::parse(&text);
        }

        #[test]
        fn every_cut_of_a_view_is_garbled_or_the_whole(cut in 0usize..280) {
            let cut = cut.min(VIEW.len());
            if let Ok(view) = SavedView::parse(&VIEW[..cut]) {
                prop_assert_eq!(view, SavedView::parse(VIEW).unwrap());
            }
        }
    }
}
