//! Who the writer is, and whose clients must go. Pure.

use std::collections::BTreeMap;

/// What HAProxy says at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// The number of the writer; none before the first client.
    pub writer: Option<u32>,
    /// The servers of each backend.
    pub servers: Vec<Server>,
}

/// A server in HAProxy's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `mariadb`, or `inactive` for clients that do not write.
    pub backend: String,
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// Sessions that it has now.
    pub sessions: u32,
    /// Whether HAProxy sends clients there.
    pub up: bool,
}

/// Reads the answers to `show table mariadb` and `show stat`. What is not understood is not there.
pub fn read(table: &str, statistics: &str) -> Sight {
    let writer = table.split_whitespace().find_map(|word| word.strip_prefix("server_id=")?.parse().ok());
    let mut lines = statistics.lines().map(|line| line.trim_start_matches("# "));
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let servers = lines.filter_map(|line| {
        let fields: BTreeMap<&str, &str> = header.iter().copied().zip(line.split(',')).collect();
        // Type 2: a server; the others are sums over frontends and backends.
        (fields.get("type") == Some(&"2")).then_some(())?;
        Some(Server {
            backend: (*fields.get("pxname")?).to_owned(),
            name: (*fields.get("svname")?).to_owned(),
            number: fields.get("sid")?.parse().ok()?,
            sessions: fields.get("scur")?.parse().ok()?,
            up: fields.get("status")?.starts_with("UP") || fields.get("status")?.starts_with("no check"),
        })
    });
    Sight { writer: writer.filter(|w| *w != 0), servers: servers.collect() }
}

impl Sight {
    /// The servers that clients are on and should not be: another proxy may have moved the writer while this one
    /// still saw the old one as fit, and two writers would only run into each other's locks. Nobody has to go
    /// while the writer itself is unfit: then HAProxy is about to find another.
    pub fn misplaced(&self) -> Vec<String> {
        let Some(writer) = self.writer else {
            return Vec::new();
        };
        if !self.servers.iter().any(|s| s.backend == "mariadb" && s.number == writer && s.up) {
            return Vec::new();
        }
        let wrong = |s: &&Server| {
            s.sessions > 0
                && match s.backend.as_str() {
                    "mariadb" => s.number != writer,
                    "inactive" => s.number == writer,
                    _ => false,
                }
        };
        self.servers.iter().filter(wrong).map(|s| format!("{}/{}", s.backend, s.name)).collect()
    }
}

/// The writer to begin with: the one that another proxy tells, since its clients are there; else the one that
/// this proxy remembers; else nobody, and HAProxy takes the first that is fit. Where others differ, the one that
/// most of them tell.
pub fn to_begin_with(told: &[u32], remembered: Option<u32>, known: impl Fn(u32) -> bool) -> Option<u32> {
    let mut votes: BTreeMap<u32, usize> = BTreeMap::new();
    for number in told.iter().filter(|n| known(**n)) {
        *votes.entry(*number).or_default() += 1;
    }
    let most = votes.into_iter().max_by_key(|(number, count)| (*count, std::cmp::Reverse(*number)));
    most.map(|(number, _)| number).or(remembered.filter(|n| known(*n)))
}

/// The content of the writer's file, as HAProxy's `map_int_int` reads it.
pub fn file_of(writer: Option<u32>) -> String {
    format!("1 {}\n", writer.unwrap_or_default())
}

/// Reads it back.
pub fn remembered(text: &str) -> Option<u32> {
    text.strip_prefix("1 ")?.trim().parse().ok().filter(|n| *n != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "# table: mariadb, type: integer, size:1, used:1\n0x7f1a: key=1 use=0 exp=0 server_id=2 server_key=mysql-1\n";
    const STATISTICS: &str = "# pxname,svname,scur,status,sid,type,\nmariadb,FRONTEND,9,OPEN,0,0,\n\
        mariadb,mysql-0,4,UP,1,2,\nmariadb,mysql-1,5,UP 2/3,2,2,\nmariadb,mysql-2,0,DOWN,3,2,\nmariadb,BACKEND,9,UP,0,1,\n\
        inactive,mysql-1,1,no check,2,2,\ninactive,mysql-2,1,no check,3,2,\n";

    #[test]
    fn what_haproxy_says_is_read() {
        let sight = read(TABLE, STATISTICS);
        assert_eq!(sight.writer, Some(2));
        let names: Vec<String> = sight.servers.iter().map(|s| format!("{}/{} {}", s.backend, s.name, s.up)).collect();
        assert_eq!(
            names,
            [
                "mariadb/mysql-0 true",
                "mariadb/mysql-1 true",
                "mariadb/mysql-2 false",
                "inactive/mysql-1 true",
                "inactive/mysql-2 true"
            ]
        );
        assert_eq!(sight.servers[1].sessions, 5);
        assert_eq!(read("# table: mariadb, type: integer, size:1, used:0\n", "rubbish"), Sight::default());
    }

    #[test]
    fn no_client_stays_beside_the_writer() {
        for (table, statistics, misplaced) in [
            (TABLE, STATISTICS.to_owned(), vec!["mariadb/mysql-0", "inactive/mysql-1"]),
            (TABLE, STATISTICS.replace("mysql-0,4", "mysql-0,0"), vec!["inactive/mysql-1"]),
            // The writer is unfit, and HAProxy has not found another yet.
            (TABLE, STATISTICS.replace("UP 2/3", "DOWN"), vec![]),
            ("", STATISTICS.to_owned(), vec![]),
        ] {
            assert_eq!(read(table, &statistics).misplaced(), misplaced);
        }
    }

    #[test]
    fn m3_a_start_keeps_the_writer() {
        let known = |n: u32| (1..=3).contains(&n);
        for (told, own, expected) in [
            (&[][..], None, None),
            (&[], Some(2), Some(2)),
            (&[3], Some(2), Some(3)),
            (&[3, 2, 3], None, Some(3)),
            (&[2, 3], Some(3), Some(2)),
            // Members that are gone.
            (&[9], Some(7), None),
            (&[0], Some(1), Some(1)),
        ] {
            assert_eq!(to_begin_with(told, own, known), expected, "{told:?} {own:?}");
        }
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        for writer in [None, Some(1), Some(77)] {
            assert_eq!(remembered(&file_of(writer)), writer);
        }
        assert_eq!(remembered("rubbish"), None);
    }
}
