//! Which member an identifier of Galera, or an address, names.

use std::collections::BTreeMap;

use super::{Known, Read, Source};
use crate::galera::log_identities::prefix;

/// What is known of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the first eight digits of an identifier.
    by_id: BTreeMap<String, String>,
    by_address: BTreeMap<String, String>,
    /// The lane of a file's member, where its own log names it otherwise.
    by_file: BTreeMap<String, String>,
    /// The same for whatever else this member wrote.
    by_member: BTreeMap<String, String>,
    expected: Vec<String>,
}

impl Names {
    pub(super) fn of(read: &[Read], known: &Known) -> Names {
        let mut names = Names::default();
        for member in known.cluster.iter().flat_map(|c| &c.members) {
            names.by_address.insert(member.address.clone(), member.name.clone());
            names.expected.push(member.name.clone());
        }
        for one in read {
            for (id, name) in &one.identities.names {
                names.by_id.insert(id.clone(), name.clone());
            }
        }
        for one in read {
            let source = one.source;
            let own_address = one.identities.own.as_ref().and_then(|id| one.identities.addresses.get(id));
            // A configuration knows best; then the log itself; then its file.
            let by_address = own_address.and_then(|a| names.by_address.get(a)).cloned();
            let own = match (names.expected.contains(&source.member), by_address, &one.identities.name) {
                (true, _, _) => source.member.clone(),
                (_, Some(name), _) => name,
                (_, None, Some(name)) => name.clone(),
                (_, None, None) => source.member.clone(),
            };
            for id in &one.identities.all_own {
                names.by_id.insert(id.clone(), own.clone());
            }
            if let Some(address) = own_address {
                names.by_address.entry(address.clone()).or_insert_with(|| own.clone());
            }
            names.by_member.insert(source.member.clone(), own.clone());
            names.by_file.insert(source.file.clone(), own);
        }
        for (name, id) in &known.identifiers {
            if let Some(id) = prefix(id) {
                names.by_id.insert(id.to_owned(), name.clone());
            }
        }
        for (id, address) in read.iter().flat_map(|one| &one.identities.addresses) {
            if let Some(name) = names.by_id.get(id) {
                names.by_address.entry(address.clone()).or_insert_with(|| name.clone());
            }
        }
        for (id, address) in read.iter().flat_map(|one| &one.identities.addresses) {
            let name = names.by_address.get(address).unwrap_or(address).clone();
            names.by_id.entry(id.clone()).or_insert(name);
        }
        names
    }

    /// The lane of a text's member.
    pub(super) fn lane(&self, source: &Source) -> String {
        let own = self.by_file.get(&source.file).or_else(|| self.by_member.get(&source.member));
        own.unwrap_or(&source.member).clone()
    }

    /// All lanes: the expected members first, then whoever wrote something besides.
    pub(super) fn lanes(&self, sources: &[Source]) -> Vec<String> {
        let mut lanes = self.expected.clone();
        let mut others: Vec<String> = sources.iter().map(|s| self.lane(s)).collect();
        others.sort();
        for name in others {
            if !lanes.contains(&name) {
                lanes.push(name);
            }
        }
        lanes
    }

    /// The name of whoever has this address.
    pub(super) fn at_address<'a>(&'a self, address: &'a str) -> &'a str {
        self.by_address.get(address).map_or(address, String::as_str)
    }

    /// A text with identifiers in it replaced by names.
    pub(super) fn translated(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut inside_word) = (text, false);
        while let Some(c) = rest.chars().next() {
            let known = prefix(rest).filter(|_| !inside_word).and_then(|id| self.by_id.get(id));
            match known {
                Some(name) => {
                    out.push_str(name);
                    let end = rest.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(rest.len());
                    rest = rest.get(end..).unwrap_or_default();
                    inside_word = false;
                }
                None => {
                    out.push(c);
                    inside_word = c.is_ascii_alphanumeric() || c == '-';
                    rest = rest.get(c.len_utf8()..).unwrap_or_default();
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_names_and_histories_do_not() {
        let names = Names {
            by_id: [("08bc8243", "mysql/0"), ("09271dee", "mysql/2")].map(|(a, b)| (a.into(), b.into())).into(),
            ..Names::default()
        };
        for (text, shown) in [
            ("suspects 08bc8243-a737 at x", "suspects mysql/0 at x"),
            ("08bc8243-e587-11f1-a737-b333856f80e8,09271dee.", "mysql/0,mysql/2."),
            ("746e46f3-8f76-11e7-9c1c-a220eabab4ba:7", "746e46f3-8f76-11e7-9c1c-a220eabab4ba:7"),
            ("x08bc8243 08bc82431 a-08bc8243 ü08bc8243", "x08bc8243 08bc82431 a-08bc8243 ümysql/0"),
        ] {
            assert_eq!(names.translated(text), shown);
        }
    }
}
