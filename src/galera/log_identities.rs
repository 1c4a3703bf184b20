//! Who is who in an error log: Galera names members by the beginning of a UUID, which changes with each
//! start that restores no view.

use std::collections::BTreeMap;

/// What a log tells of identifiers. Keys are the first eight digits of a member's UUID in the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    /// The last one of the member that wrote the log.
    pub own: Option<String>,
    /// All that it had.
    pub all_own: Vec<String>,
    /// Its name (`wsrep_node_name`), where the log says it.
    pub name: Option<String>,
    /// Addresses by identifier.
    pub addresses: BTreeMap<String, String>,
    /// Names by identifier.
    pub names: BTreeMap<String, String>,
}

impl Identities {
    /// Reads one line.
    pub(super) fn learn(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once("WSREP: (")
            && rest.contains("://")
            && let Some(id) = prefix(rest)
        {
            self.is_mine(id);
        }
        for mark in ["connection established to ", "declaring ", "forgetting ", "suspecting node: "] {
            if let Some((_, rest)) = line.split_once(mark)
                && let (Some(id), Some(address)) = (prefix(rest), address(rest))
            {
                self.addresses.insert(id.to_owned(), address.to_owned());
            }
        }
        if let Some((before, id)) = line.split_once(" with ID ")
            && let (Some((_, server)), Some(id)) = (before.split_once("WSREP: Server "), prefix(id))
            && let Some(name) = server.split_whitespace().next()
        {
            self.is_mine(id);
            self.name = Some(name.to_owned());
            self.names.insert(id.to_owned(), name.to_owned());
        }
        // A view's list: `\t0: 08bc8243-e587-11f1-a737-b333856f80e8, mysql/0`
        if line.starts_with('\t')
            && let Some((number, rest)) = line.trim().split_once(": ")
            && number.bytes().all(|b| b.is_ascii_digit())
            && let (Some(id), Some((_, name))) = (prefix(rest), rest.split_once(", "))
            && !name.trim().is_empty()
        {
            self.names.insert(id.to_owned(), name.trim().to_owned());
        }
    }

    fn is_mine(&mut self, id: &str) {
        if !self.all_own.iter().any(|known| known == id) {
            self.all_own.push(id.to_owned());
        }
        self.own = Some(id.to_owned());
    }
}

/// The identifier at the beginning of a text, as Galera shortens it: `069ddd4c` or `08bc8243-a737`.
pub(super) fn short_id(text: &str) -> Option<&str> {
    prefix(text)?;
    let end = text.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(text.len());
    text.get(..end)
}

/// The first eight digits, where the text begins with an identifier.
pub fn prefix(text: &str) -> Option<&str> {
    let id = text.get(..8).filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let next = text.as_bytes().get(8);
    next.is_none_or(|b| !b.is_ascii_alphanumeric()).then_some(id)
}

fn address(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let end = rest.find([' ', ',', ')', '\'']).unwrap_or(rest.len());
    let (host, _) = rest.get(..end)?.rsplit_once(':')?;
    Some(host.trim_matches(['[', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_who_in_galera_3_and_4() {
        let mut known = Identities::default();
        for line in [
            "2017-10-21 21:57:33 1 [Note] WSREP: (069ddd4c, 'tcp://0.0.0.0:4567') connection established to 26d54452 tcp://10.62.154.13:4567",
            "2026-11-21  8:39:16 0 [Note] WSREP: (08bc8243-a737, 'ssl://0.0.0.0:4567') connection established to 09271dee-9209 ssl://[fd00::3]:4567",
            "2026-11-21  8:39:16 0 [Note] WSREP: (08bc8243-a737, 'tcp://0.0.0.0:4567') listening at tcp://0.0.0.0:4567",
            "2026-11-21  8:39:15 2 [Note] WSREP: Server mysql/0 connected to cluster at position 08bcfbd2-e587-11f1-a1ed-9ad8e8b03f2e:1 with ID 08bc8243-e587-11f1-a737-b333856f80e8",
            "\t1: 09271dee-e587-11f1-9209-a26a00134b1e, mysql/2",
        ] {
            known.learn(line);
        }
        assert_eq!(known.all_own, ["069ddd4c", "08bc8243"]);
        assert_eq!(known.name.as_deref(), Some("mysql/0"));
        assert_eq!(
            (known.addresses["26d54452"].as_str(), known.addresses["09271dee"].as_str()),
            ("10.62.154.13", "fd00::3")
        );
        assert_eq!(known.names["09271dee"], "mysql/2");
        assert_eq!(
            (prefix("deadbeefx"), prefix("dead"), short_id("08bc8243-a737,0")),
            (None, None, Some("08bc8243-a737"))
        );
    }
}
