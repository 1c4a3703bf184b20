//! The members side by side, on 80 columns.

use crate::cluster::diagnosis::beside;
use crate::cluster::observation::{MemberView, Observation};
use crate::cluster::standing::Standing;

/// One row a member: what it does, and where it stands.
pub fn of(views: &[MemberView]) -> String {
    let rows: Vec<[String; 4]> = views.iter().map(row).collect();
    let head = ["instance", "state", "known by", "position"].map(String::from);
    let all: Vec<&[String; 4]> = std::iter::once(&head).chain(&rows).collect();
    let wide =
        |column: usize| all.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or_default();
    let (a, b, c) = (wide(0), wide(1), wide(2));
    let lines: Vec<String> =
        all.iter().map(|[w, x, y, z]| beside(&format!("{w:a$}  {x:b$}  {y:c$}  "), z).trim_end().to_owned()).collect();
    lines.join("\n")
}

fn row(view: &MemberView) -> [String; 4] {
    let name = view.member.name.clone();
    match view.seen() {
        None => [name, "not seen".into(), "-".into(), view.why_unseen().unwrap_or_default()],
        Some(seen) => {
            let (known_by, position) = match &seen.position {
                Standing::At { position, from } => (from.to_string(), position.to_string()),
                Standing::Empty => ("-".into(), "no data".into()),
                Standing::Unknown { detail, .. } => ("-".into(), format!("unknown: {detail}")),
            };
            [name, state(seen), known_by, position]
        }
    }
}

/// What the member does, in a word or two.
fn state(seen: &Observation) -> String {
    match (&seen.wsrep, seen.supervisor.present()) {
        (Some(wsrep), _) if !wsrep.on => "outside Galera".into(),
        (Some(wsrep), _) if wsrep.is_primary() => wsrep.local_state_comment.clone(),
        (Some(_), _) => "non-primary".into(),
        (None, Some(supervisor)) => format!("{:?}", supervisor.phase).to_lowercase(),
        (None, None) => "no supervisor".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::observation::Sight;
    use crate::cluster::situation::*;

    #[test]
    fn no_row_is_wider_than_a_terminal() {
        let why = "10.244.133.101:9200: the answer is not what this version understands".repeat(2);
        let unseen = MemberView { sight: Sight::Unusable(why), ..silent(1) };
        let told = of(&[seen(primary(0, 123_456_789_012, &[0])), unseen, seen(down(2, 9))]);
        assert!(told.lines().all(|l| l.chars().count() <= 80), "{told}");
        assert!(told.lines().count() > 4, "{told}");
    }
}
