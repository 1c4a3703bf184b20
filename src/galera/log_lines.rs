//! Lines of MariaDB's error log that tell what Galera is at while SQL is closed.

/// Whether the log's last word is that the component is primary; none where it says nothing about it.
pub fn in_primary_component(log: &str) -> Option<bool> {
    const MARK: &str = "New COMPONENT: primary = ";
    log.lines().rev().find_map(|line| {
        let (_, after) = line.split_once(MARK)?;
        Some(after.starts_with("yes"))
    })
}

/// The line by which Galera says that this life leads nowhere, where there is one: the process goes on,
/// and never becomes Synced. Seen when two members receive IST at the same moment.
pub fn must_restart(log: &str) -> Option<&str> {
    log.lines().rev().find(|line| line.contains("[ERROR]") && line.contains("node restart required"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k8_the_last_component_counts() {
        let no =
            "2017-10-21 21:57:52 1 [Note] WSREP: New COMPONENT: primary = no, bootstrap = no, my_idx = 0, memb_num = 3";
        let yes = no.replace("= no, b", "= yes, b");
        assert_eq!(in_primary_component(&format!("{yes}\nx\n{no}\n")), Some(false));
        assert_eq!(in_primary_component(&format!("{no}\n{yes}\nx")), Some(true));
        assert_eq!(in_primary_component("nothing"), None);
    }

    #[test]
    fn a_failed_transfer_is_told_from_an_ordinary_one() {
        let failed = "2026-11-21  0:39:29 2 [ERROR] WSREP: Receiving IST failed, node restart required: IST receiver reported failure: 'IST didn't contain all write sets, expected last: 12 last received: 11' (71)";
        assert_eq!(must_restart(&format!("x\n{failed}\ny")), Some(failed));
        assert_eq!(must_restart("2026-11-21  0:39:29 2 [Note] WSREP: IST received: 746e46f3:12"), None);
    }
}
