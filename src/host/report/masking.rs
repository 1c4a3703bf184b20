//! Masks secrets. By the name of what holds them, by form (private keys, addresses with a password), and
//! by heart: those that this member knows are masked wherever they appear.

use serde_json::Value;

/// What stands in place of a secret.
pub const MASK: &str = "(masked)";
/// A name with one of these in it holds a secret.
const NAMES: [&str; 5] = ["passw", "secret", "key", "token", "auth"];
/// A shorter secret would mask half of a report; its name masks it.
const SHORTEST: usize = 5;

/// Masks texts.
#[derive(Debug, Clone, Default)]
pub struct Masking {
    known: Vec<String>,
}

/// Where in a text of several lines the masking is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Within {
    private_key: bool,
}

impl Masking {
    /// Masking that knows these secrets.
    pub fn of<'a>(secrets: impl Iterator<Item = &'a str>) -> Masking {
        let mut known: Vec<String> = Vec::new();
        for secret in secrets.filter(|s| s.chars().count() >= SHORTEST) {
            known.push(secret.to_owned());
            // As JSON writes it.
            let quoted = serde_json::to_string(secret).unwrap_or_default();
            known.extend(quoted.get(1..quoted.len().saturating_sub(1)).map(str::to_owned));
        }
        // The longest first: one may be the beginning of another.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known.dedup();
        Masking { known }
    }

    /// The beginning of a text.
    pub fn begin(&self) -> Within {
        Within::default()
    }

    /// The next line of a text.
    pub fn next(&self, within: &mut Within, line: &str) -> String {
        let line = without_keys(within, line);
        self.named(&self.by_heart(&line), false)
    }

    /// A line by itself.
    pub fn line(&self, line: &str) -> String {
        self.next(&mut Within::default(), line)
    }

    /// A text of several lines.
    pub fn lines(&self, text: &str) -> String {
        let mut within = Within::default();
        text.lines().map(|line| self.next(&mut within, line) + "\n").collect()
    }

    /// A configuration file: there, a value goes to the end of its line.
    pub fn configuration(&self, text: &str) -> String {
        let mut within = Within::default();
        let mut out = String::with_capacity(text.len());
        for line in text.lines() {
            let line = self.by_heart(&without_keys(&mut within, line));
            // A value of many options is a line of its own.
            let whole = !line.contains("provider_options") && !line.contains("provider-options");
            out.push_str(&self.named(&line, whole));
            out.push('\n');
        }
        out
    }

    /// JSON: by the names of its members, and every text in it like a line.
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .map(|(name, inner)| {
                    let masked = if is_secret(&name) { masked_whole(inner) } else { self.json(inner) };
                    (name, masked)
                })
                .collect(),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::String(text) => {
                let mut within = Within::default();
                let lines: Vec<String> = text.split('\n').map(|line| self.next(&mut within, line)).collect();
                Value::String(lines.join("\n"))
            }
            other => other,
        }
    }

    /// The words of a command line.
    pub fn command(&self, words: &[String]) -> String {
        let mut hidden = false;
        let database =
            words.first().is_some_and(|w| w.contains("mysql") || w.contains("mariadb") || w.contains("mariabackup"));
        let shown = words.iter().map(|word| {
            let (was_hidden, name) = (hidden, word.starts_with('-') && !word.contains('=') && is_secret(word));
            hidden = name;
            match word.strip_prefix("-p") {
                _ if was_hidden && !word.starts_with('-') => MASK.to_owned(),
                Some(password) if database && !password.is_empty() && !word.starts_with("--") => format!("-p{MASK}"),
                _ => match word.split_once('=') {
                    Some((name, _)) if is_secret(name) => format!("{}={MASK}", self.line(name)),
                    _ => self.line(word),
                },
            }
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn by_heart(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for secret in &self.known {
            if line.contains(secret.as_str()) {
                line = line.replace(secret.as_str(), MASK);
            }
        }
        line
    }

    /// `name = value`, `name: value`, `"name":"value"`, `IDENTIFIED BY 'value'`, `//user:value@`.
    fn named(&self, line: &str, whole: bool) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            out.push_str(word);
            rest = after;
            let value = if is_secret(word) {
                value_of(after).or_else(|| in_brackets(after))
            } else {
                identified_by(word, after).or_else(|| in_address(after))
            };
            if let Some((from, to)) = value {
                let to = if whole && is_secret(word) { after.len() } else { to };
                out.push_str(after.get(..from).unwrap_or_default());
                if to > from {
                    out.push_str(MASK);
                }
                rest = after.get(to..).unwrap_or_default();
            } else if let Some(c) = after.chars().next() {
                out.push(c);
                rest = after.get(c.len_utf8()..).unwrap_or_default();
            }
        }
        out
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

/// From where to where the value goes that follows a name, counted from the end of the name.
fn value_of(after: &str) -> Option<(usize, usize)> {
    let skipped = |text: &str, what: &[char]| text.len() - text.trim_start_matches(what).len();
    let mut from = skipped(after, &['"', '\'', '`', ' ', '\\']);
    let sign = after.get(from..)?.chars().next()?;
    matches!(sign, '=' | ':').then_some(())?;
    from += sign.len_utf8();
    let value = after.get(from..)?;
    from += skipped(value, &[' ', '\t']);
    let value = after.get(from..)?;
    let within = of_password(value);
    from += within;
    let value = value.get(within..)?;
    let quote = value.trim_start_matches('\\').chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let end = value.find(|c: char| c.is_whitespace() || matches!(c, ';' | ',' | '}' | '&' | '|' | '"' | '\''));
        return Some((from, from + end.unwrap_or(value.len())));
    };
    let opening = value.find(quote)? + 1;
    let (sign, text) = value.split_at_checked(opening)?;
    // A quote that is itself within quotes is closed by one like it.
    let end = if sign.len() > quote.len_utf8() { closing_within(text, sign) } else { closing(text, quote) };
    Some((from, from + opening + end))
}

/// How far a quoted text goes, its closing quote included; to the end where it is not closed.
fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            c if c == quote && !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The same for a quote with backslashes before it.
fn closing_within(text: &str, sign: &str) -> usize {
    let ends = text.match_indices(sign).find(|(at, _)| !text.get(..*at).is_some_and(|before| before.ends_with('\\')));
    ends.map_or(text.len(), |(at, sign)| at + sign.len())
}

fn identified_by(word: &str, after: &str) -> Option<(usize, usize)> {
    let by = word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("using") || word.eq_ignore_ascii_case("as");
    by.then(|| quoted(after, of_password(after)))?
}

/// `PASSWORD('value')`.
fn in_brackets(after: &str) -> Option<(usize, usize)> {
    after.trim_start().starts_with('(').then(|| quoted(after, of_password(after)))?
}

/// The text of SQL in quotes that begins at this byte.
fn quoted(after: &str, from: usize) -> Option<(usize, usize)> {
    let value = after.get(from..)?;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut end = 0;
    // SQL doubles a quote that is part of the text.
    while value.get(end..)?.starts_with(quote) {
        end += 1 + closing(value.get(end + 1..)?, quote);
    }
    Some((from, from + end))
}

/// How far the word `PASSWORD` and a bracket go at the beginning of a text, and the space around them: SQL writes them before
/// a password, or its hash.
fn of_password(text: &str) -> usize {
    const WORD: &str = "password";
    let begin = text.trim_start();
    let behind = match begin.get(..WORD.len()) {
        Some(word) if word.eq_ignore_ascii_case(WORD) => begin.get(WORD.len()..).unwrap_or_default().trim_start(),
        _ => begin,
    };
    let inside = behind.strip_prefix('(').map_or(behind, str::trim_start);
    text.len() - if inside.starts_with(['"', '\'']) { inside.len() } else { begin.len() }
}

/// `//user:password@`, the word being what comes before `:`.
fn in_address(after: &str) -> Option<(usize, usize)> {
    let value = after.strip_prefix(':')?;
    let end = value.find(|c: char| c.is_whitespace() || matches!(c, '/' | '@'))?;
    (value.get(end..)?.starts_with('@') && end > 0).then_some((1, 1 + end))
}

fn masked_whole(value: Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value,
        _ => Value::String(MASK.into()),
    }
}

/// The line without private keys, which may lie in one line or in many.
fn without_keys(within: &mut Within, line: &str) -> String {
    const END: &str = "PRIVATE KEY-----";
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    loop {
        if within.private_key {
            let Some((_, after)) = rest.split_once("-----END").and_then(|(_, r)| r.split_once(END)) else { return out };
            within.private_key = false;
            rest = after;
        }
        let begins = rest.match_indices("-----BEGIN").find(|(at, _)| {
            let header = rest.get(at + 5..).unwrap_or_default();
            header.split_once("-----").is_some_and(|(kind, _)| kind.ends_with("PRIVATE KEY"))
        });
        let Some((at, _)) = begins else {
            out.push_str(rest);
            return out;
        };
        out.push_str(rest.get(..at).unwrap_or_default());
        out.push_str("(a private key, masked)");
        within.private_key = true;
        rest = rest.get(at + 5..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_masked_by_name_by_form_and_by_heart() {
        let masking = Masking::of(["by-heart\"1", "tiny"].into_iter());
        for (line, shown) in [
            ("password = p1", "password = (masked)"),
            ("--password=p1 --port=3306", "--password=(masked) --port=3306"),
            ("wsrep_sst_auth=u:p1", "wsrep_sst_auth=(masked)"),
            (r#"{"api_token":"p1","port":1}"#, r#"{"api_token":(masked),"port":1}"#),
            (r#"{"a":"{\"secret\": \"p1\"}"}"#, r#"{"a":"{\"secret\": (masked)}"}"#),
            (
                "base_port = 4567; socket.ssl_key = /k p; gcs.x = 1",
                "base_port = 4567; socket.ssl_key = (masked) p; gcs.x = 1",
            ),
            ("CREATE USER 'x' IDENTIFIED BY 'p''1' x", "CREATE USER 'x' IDENTIFIED BY (masked) x"),
            (
                "set password for x@'%' = password('p1') and SET PASSWORD = PASSWORD(\"p1\")",
                "set password for x@'%' = password((masked)) and SET PASSWORD = PASSWORD((masked))",
            ),
            ("alter user x identified by \"p1\" and", "alter user x identified by (masked) and"),
            ("Duplicate entry '1' for key 'PRIMARY' on query", "Duplicate entry '1' for key 'PRIMARY' on query"),
            ("identified by password '*p1' and", "identified by password (masked) and"),
            (
                "identified via ed25519 as password('p1') or via x using PASSWORD ( 'p1' )",
                "identified via ed25519 as password((masked)) or via x using PASSWORD ( (masked) )",
            ),
            (
                "see http://me:p1@host/x and tcp://10.0.0.1:4567",
                "see http://me:(masked)@host/x and tcp://10.0.0.1:4567",
            ),
            ("x by-heart\"1 y by-heart\\\"1", "x (masked) y (masked)"),
            ("Master_Password: 'a b' and more", "Master_Password: (masked) and more"),
            ("WSREP: Member 0.0 (mysql/0) synced with group.", "WSREP: Member 0.0 (mysql/0) synced with group."),
            ("view: 746e46f3-8f76-11e7-9c1c-a220eabab4ba:7 tiny", "view: 746e46f3-8f76-11e7-9c1c-a220eabab4ba:7 tiny"),
            (
                "pre -----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY----- post",
                "pre (a private key, masked) post",
            ),
        ] {
            assert_eq!(masking.line(line), shown, "{line}");
        }
    }

    #[test]
    fn a_configuration_is_masked_to_the_end_of_the_line() {
        let text = "[mysqld]\nport = 1\nserver_password = a b; c\nwsrep_provider_options = socket.ssl_key=/k;gcs.x=2\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n";
        let shown = "[mysqld]\nport = 1\nserver_password = (masked)\nwsrep_provider_options = socket.ssl_key=(masked);gcs.x=2\n(a private key, masked)\n\n\n-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n";
        assert_eq!(Masking::default().configuration(text), shown);
    }

    #[test]
    fn json_is_masked_by_its_names() {
        let value = serde_json::json!({"agents": {"password": "p", "port": 1, "tls": {"private_key": ["k"], "ca": "/x"}}, "users": [{"name": "a", "password": "q"}], "said": "password=z", "auth": null});
        let shown = serde_json::json!({"agents": {"password": MASK, "port": 1, "tls": {"private_key": MASK, "ca": "/x"}}, "users": [{"name": "a", "password": MASK}], "said": "password=(masked)", "auth": null});
        assert_eq!(Masking::default().json(value), shown);
    }

    #[test]
    fn command_lines() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (line, shown) in [
            ("mysql -psecret1 -h x", "mysql -p(masked) -h x"),
            ("tool --auth u:p -v", "tool --auth (masked) -v"),
            ("ps -please", "ps -please"),
            ("curl tcp://me:secret1@h/?auth=1", "curl tcp://me:(masked)@h/?auth=(masked)"),
            (
                "mariadbd --defaults-file=/x --master-password=p",
                "mariadbd --defaults-file=/x --master-password=(masked)",
            ),
        ] {
            assert_eq!(Masking::default().command(&words(line)), shown);
        }
    }

    proptest! {
        #[test]
        fn a_value_of_a_secret_name_never_shows(name in "[a-z_]{0,6}(password|SECRET|ssl_key|token|sst_auth)[a-z_]{0,4}", sign in "=|: | = |\": \"", value in "[A-Za-z0-9#%+!~-]{6,20}", tail in "[ ;,][a-z ]{0,9}") {
            let line = format!("x {name}{sign}{value}{tail}");
            prop_assert!(!Masking::default().line(&line).contains(&value), "{line}");
        }

        #[test]
        fn no_line_makes_it_panic(line in "(password|key|by|=|:|'|\"|\\\\|-----BEGIN|PRIVATE KEY-----|-----END|@|//| |\\PC){0,20}") {
            let _ = Masking::default().line(&line);
            let _ = Masking::default().configuration(&line);
        }
    }
}
