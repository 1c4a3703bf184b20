//! The lines of a log, and of what was rotated away from it, that lie in a window of time.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{Enough, PIECE, Teller, Wanted};
use crate::galera::log_lines::own_words;
use crate::galera::moment::Moment;

/// A longer line is cut.
const LONGEST_LINE: u64 = 16 * 1024;
/// So much of a compressed log is read at most.
const MOST_UNPACKED: u64 = 512 * 1024 * 1024;

/// Tells the lines of a log in the window, at most so many bytes: where that is not enough, the newest.
pub(super) fn tell(to: &mut Teller, name: &str, path: &Path, wanted: &Wanted, most: u64) -> Result<(), Enough> {
    let mut left = most;
    // Newest first: what does not fit is the oldest.
    let mut parts: Vec<(PathBuf, u64, u64)> = Vec::new();
    let mut cut = false;
    for (file, packed) in rotated(path) {
        let changed = fs::metadata(&file).and_then(|m| m.modified()).map(Moment::from);
        match changed {
            Ok(changed) if changed < wanted.from => continue,
            Ok(_) => {}
            // One that nothing was ever written into; the server always writes.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !name.ends_with(".err.log") => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                to.missing(name, "there is no such file")?;
                continue;
            }
            Err(e) => {
                to.missing(name, &e.to_string())?;
                continue;
            }
        }
        if packed {
            parts.push((file, 0, left));
            left = 0;
            continue;
        }
        match stretch(&file, wanted) {
            Ok((from, end)) if end > from => {
                let begin = from.max(end.saturating_sub(left));
                cut |= begin > from;
                left = left.saturating_sub(end - begin);
                parts.push((file, begin, end));
            }
            Ok(_) => {}
            Err(e) => to.missing(name, &e.to_string())?,
        }
    }
    if cut {
        to.missing(name, &format!("only its newest {most} bytes of this time are here"))?;
    }
    for (file, begin, end) in parts.into_iter().rev() {
        let packed = file.extension().is_some_and(|e| e == "gz");
        let told =
            if packed { unpack(to, name, &file, wanted, end) } else { copy(to, name, &file, begin, end, wanted) };
        match told {
            Ok(told) => told?,
            Err(e) => to.missing(name, &format!("{}: {e}", file.display()))?,
        }
    }
    Ok(())
}

/// The log itself and what was rotated away from it, newest first; whether it is compressed.
fn rotated(path: &Path) -> Vec<(PathBuf, bool)> {
    const MOST: u32 = 14;
    let mut found = vec![(path.to_owned(), false)];
    for number in 1..=MOST {
        for (ending, packed) in [("", false), (".gz", true)] {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}{ending}"));
            if Path::new(&name).exists() {
                found.push((name.into(), packed));
            }
        }
    }
    found
}

/// From which byte to which the window goes. Logs grow in time, so this is looked for by halves.
fn stretch(path: &Path, wanted: &Wanted) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = first_at_or_after(&mut file, length, wanted.from)?;
    let to = first_at_or_after(&mut file, length, Moment(wanted.to.0.saturating_add(1)))?;
    Ok((from, to))
}

/// The byte at which the first line begins whose time is this or later; the length where there is none.
fn first_at_or_after(file: &mut File, length: u64, moment: Moment) -> io::Result<u64> {
    let (mut low, mut high) = (0, length);
    while low < high {
        let middle = low + (high - low) / 2;
        match next_time(file, middle, high)? {
            // All the rest has no time of its own: it belongs to what is before.
            None => high = middle,
            Some((begins, at)) if at < moment => low = begins + 1,
            Some(_) => high = middle,
        }
    }
    // The line itself begins at or after `low`.
    Ok(next_time(file, low, length)?.map_or(length, |(begins, _)| begins))
}

/// The first line with a time that begins at or after this byte, and before that one.
fn next_time(file: &mut File, from: u64, before: u64) -> io::Result<Option<(u64, Moment)>> {
    let start = from.saturating_sub(1);
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(PIECE, file);
    let (mut at, mut line) = (start, Vec::new());
    if from > 0 {
        // What is left of the line before; nothing but its end, if a line begins exactly here.
        at += u64::try_from(reader.read_until(b'\n', &mut line)?).unwrap_or_default();
    }
    while at < before {
        line.clear();
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(time) = time_of(&String::from_utf8_lossy(&line)) {
            return Ok(Some((at, time)));
        }
        at += u64::try_from(read).unwrap_or_default();
    }
    Ok(None)
}

/// The time of a line of a log, or of a journal.
fn time_of(line: &str) -> Option<Moment> {
    match line.strip_prefix("{\"at\":\"") {
        Some(rest) => Moment::parse(rest.split('"').next()?),
        None => Moment::of_line(line).map(|(at, _)| at),
    }
}

fn copy(to: &mut Teller, name: &str, path: &Path, begin: u64, end: u64, _: &Wanted) -> io::Result<Result<(), Enough>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(begin))?;
    let mut lines = Lines { reader: BufReader::new(file.take(end - begin)), statement: false };
    Ok(to.lines(name, std::iter::from_fn(|| lines.next())))
}

fn unpack(to: &mut Teller, name: &str, path: &Path, wanted: &Wanted, most: u64) -> io::Result<Result<(), Enough>> {
    let unpacked = MultiGzDecoder::new(File::open(path)?).take(MOST_UNPACKED);
    let (mut lines, mut left, mut inside) = (Lines { reader: BufReader::new(unpacked), statement: false }, most, false);
    let told = to.lines(
        name,
        std::iter::from_fn(|| {
            loop {
                let line = lines.next()?;
                if let Some(at) = time_of(&line) {
                    inside = at >= wanted.from && at <= wanted.to;
                }
                let size = u64::try_from(line.len()).unwrap_or(u64::MAX);
                if inside {
                    left = left.checked_sub(size)?;
                    return Some(line);
                }
            }
        }),
    );
    if told.is_ok() && left < LONGEST_LINE {
        return Ok(to.missing(name, &format!("{} was cut", path.display())));
    }
    Ok(told)
}

/// Lines of bytes that may be no text, each cut where it is too long.
struct Lines<R> {
    reader: BufReader<R>,
    /// Within the statement that a crash printed.
    statement: bool,
}

impl<R: Read> Lines<R> {
    fn next(&mut self) -> Option<String> {
        loop {
            let line = self.read()?;
            // A server that crashes prints the statement that it was at, of however many lines, and that may hold data.
            if line.starts_with("Query (") {
                self.statement = true;
                return Some("Query: (left out: it may hold data)".into());
            }
            // The server tells the statement of a DDL that failed, and the password of a user may be in it.
            if let Some((before, statement)) = failed_ddl(&line) {
                self.statement = !AFTER_STATEMENT.iter().any(|end| statement.contains(end));
                return Some(format!("{before} Query: (left out: it may hold data)"));
            }
            self.statement &= !line.starts_with("Connection ID (thread ID)") && time_of(&line).is_none();
            if !self.statement {
                return Some(line);
            }
        }
    }

    /// The rest of a line that is too long is left out: nobody could tell what it belongs to.
    fn read(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).ok()?;
        if read == 0 {
            return None;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else {
            self.reader.skip_until(b'\n').ok()?;
        }
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}

/// What stands behind the statement of a DDL: as Galera tells that it ignores its failure, and as the applier told it before.
const AFTER_STATEMENT: [&str; 2] = ["', Error_code: ", "', Internal MariaDB error code: "];

/// What is before the statement of a DDL that failed, and the statement.
fn failed_ddl(line: &str) -> Option<(&str, &str)> {
    let before = own_words(line);
    (before.len() < line.len() && before.contains(" on query.")).then(|| line.split_at(before.len()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::{Masking, Piece};
    use super::*;

    fn line(minute: u64) -> String {
        format!("2020-11-21 10:{minute:02}:00 0 [Note] line {minute}\n  more of {minute}\n")
    }

    fn told(path: &Path, from: &str, to: &str, most: u64) -> (String, Vec<String>) {
        let (mut text, mut missing) = (String::new(), Vec::new());
        let mut take = |piece| {
            match piece {
                Piece::Text { text: more, .. } => text.push_str(&more),
                Piece::Missing { why, .. } => missing.push(why),
                Piece::End => {}
            }
            Ok(())
        };
        let wanted = Wanted { from: Moment::parse(from).unwrap(), to: Moment::parse(to).unwrap(), largest: 1 << 20 };
        let mut teller = Teller { masking: Masking::default(), left: 1 << 20, take: &mut take };
        tell(&mut teller, "x.err.log", path, &wanted, most).unwrap();
        (text, missing)
    }

    #[test]
    fn only_the_window_and_what_was_rotated_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, (30..60).map(line).collect::<String>()).unwrap();
        let packed = File::create(dir.path().join("x.log.1.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packed.write_all((0..30).map(line).collect::<String>().as_bytes()).unwrap();
        packed.finish().unwrap();
        let (text, missing) = told(&path, "2020-11-21 10:28:00", "2020-11-21 10:31:30", 100_000);
        assert_eq!((text, missing), ((28..32).map(line).collect(), vec![]));
        for (from, to, lines) in [(40, 40, 40..41), (0, 10, 0..11), (58, 59, 58..60), (31, 30, 0..0)] {
            let at = |minute: u64| format!("2020-11-21 10:{minute:02}:00");
            assert_eq!(
                told(&path, &at(from), &at(to), 100_000).0,
                lines.map(line).collect::<String>(),
                "{from} to {to}"
            );
        }
        let (text, missing) = told(&path, "2020-11-21 10:40:00", "2020-11-21 10:50:00", 90);
        assert!(
            text.ends_with(&line(50)) && text.len() <= 91 && missing[0].contains("newest 90 bytes"),
            "{text} {missing:?}"
        );
        assert_eq!(told(&dir.path().join("none.log"), "2020-11-21", "2026-11-22", 9).1, ["there is no such file"]);
    }

    #[test]
    fn c4_statements_of_a_ddl_whose_failure_is_ignored_are_left_out() {
        let of = |statement: &str| {
            format!(
                "2026-12-01 12:56:21 9 [Warning] WSREP: Ignoring error 'Operation CREATE USER failed for 'app'@'%'' on query. Default database: ''. Query: '{statement}', Error_code: 1396\n"
            )
        };
        let log = of("create user app@'%' identified by 'secret1'")
            + &of("create user app@'%'\nidentified by 'secret2'")
            + "2026-12-01 12:56:22 9 [ERROR] Slave SQL: Error 'x' on query. Default database: ''. Query: 'create user a identified by\n'secret3'', Internal MariaDB error code: 1396\n"
            + "2026-12-01 12:56:22 0 [Note] WSREP: x\n";
        let mut lines = Lines { reader: BufReader::new(log.as_bytes()), statement: false };
        let told: Vec<String> = std::iter::from_fn(|| lines.next()).collect();
        assert!(told.iter().all(|line| !line.contains("secret")), "{told:?}");
        assert!(told.len() == 4 && told[0].contains("Operation CREATE USER failed"), "{told:?}");
    }

    #[test]
    fn statements_of_a_crash_are_left_out() {
        let long = "x".repeat(usize::try_from(LONGEST_LINE).unwrap()) + "secret3";
        let log = format!(
            "a line\nQuery (0x7f): SELECT 'secret1',\n'secret2'\n\nConnection ID (thread ID): 9\n{long}\nthe last\n"
        );
        let mut lines = Lines { reader: BufReader::new(log.as_bytes()), statement: false };
        let told: Vec<String> = std::iter::from_fn(|| lines.next()).collect();
        assert!(told.iter().all(|line| !line.contains("secret")), "{told:?}");
        let whole = told.iter().filter(|line| !line.starts_with('x')).map(String::as_str);
        let expected = ["a line", "Query: (left out: it may hold data)", "Connection ID (thread ID): 9", "the last"];
        assert_eq!(whole.collect::<Vec<_>>(), expected);
    }
}
