//! Lines of MariaDB's error log that tell what Galera is at while SQL is closed.

/// Whether the log's last word is that the component is primary; none where it says nothing about it.
pub fn in_primary_component(log: &str) -> Option<bool> {
    const MARK: &str = "New COMPONENT: primary = ";
    log.lines().rev().find_map(|line| {
        let (_, after) = line.split_once(MARK)?;
        Some(after.starts_with("yes"))
    })
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
}
