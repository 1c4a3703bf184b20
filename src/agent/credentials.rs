//! Who may see and act: one user, known by a password.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::prelude::{BASE64_STANDARD, Engine};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// What Basic auth must show: one of these.
#[derive(Debug)]
pub(super) struct Credentials(Vec<String>);

impl Credentials {
    /// This user with this password, or with the one before, while a deployment changes it.
    pub(super) fn of(username: &str, password: &Secret, previous: Option<&Secret>) -> Credentials {
        let accepted = [Some(password), previous].into_iter().flatten();
        Credentials(accepted.map(|password| format!("{username}:{}", password.reveal())).collect())
    }

    /// Whether a request shows them, compared in constant time.
    pub(super) fn shown_in(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| BASE64_STANDARD.decode(encoded.trim()).ok());
        given.is_some_and(|given| self.0.iter().any(|known| given.ct_eq(known.as_bytes()).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g15_only_the_password_and_the_one_before_are_accepted() {
        let secret = |text: &str| serde_json::from_value::<Secret>(text.into()).unwrap();
        let (new, old) = (secret("new"), secret("old"));
        for (shown, previous, accepted) in [
            ("Basic me:new", None, true),
            ("basic me:new", Some(&old), true),
            ("Basic me:old", Some(&old), true),
            ("Basic me:old", None, false),
            ("Basic me:", None, false),
            ("Basic you:new", Some(&old), false),
            ("Bearer me:new", Some(&old), false),
        ] {
            let (scheme, words) = shown.split_once(' ').unwrap();
            let value = format!("{scheme} {}", BASE64_STANDARD.encode(words)).parse().unwrap();
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            assert_eq!(Credentials::of("me", &new, previous).shown_in(&headers), accepted, "{shown}, {previous:?}");
        }
        assert!(!Credentials::of("me", &new, None).shown_in(&HeaderMap::new()));
    }
}
