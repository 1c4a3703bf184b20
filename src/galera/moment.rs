//! Moments as logs write them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since 1970 in UTC. MariaDB writes its error log in the VM's local time; BOSH's
/// VMs have UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// From a text such as `2026-11-21T08:39:15.123Z` or `2026-11-21 08:39`.
    pub fn parse(text: &str) -> Option<Moment> {
        let text = text.trim();
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        // People leave the seconds out, or the time of day.
        let whole = match digits {
            8 => format!("{text} 00:00:00"),
            12 => format!("{}:00", text.trim_end_matches('Z')),
            _ => text.to_owned(),
        };
        Some(Moment::from(humantime::parse_rfc3339_weak(&whole).ok()?))
    }

    /// The time at the beginning of a line, and what follows it: `2017-10-21 21:57:32 1 [Note] ...`,
    /// `171021 21:56:54 mysqld_safe ...`, or as our own logs write it. MariaDB pads the hour with a space.
    pub fn of_line(line: &str) -> Option<(Moment, &str)> {
        let short = |line: &'_ str| -> Option<(String, usize)> {
            let (date, clock) = (line.get(..6)?, line.get(7..15)?);
            date.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
            let (year, month, day) = (date.get(..2)?, date.get(2..4)?, date.get(4..6)?);
            Some((format!("20{year}-{month}-{day} {}", clock.replace(' ', "0")), 15))
        };
        let long = |line: &'_ str| -> Option<(String, usize)> {
            let clock = line.get(11..19)?;
            Some((format!("{} {}", line.get(..10)?, clock.replace(' ', "0")), 19))
        };
        let (text, mut end) = long(line).filter(|(t, _)| Moment::parse(t).is_some()).or_else(|| short(line))?;
        let mut moment = Moment::parse(&text)?;
        let fraction = line.get(end..)?.strip_prefix('.').unwrap_or_default();
        let fraction: String = fraction.chars().take_while(char::is_ascii_digit).collect();
        if !fraction.is_empty() {
            end += 1 + fraction.len();
            let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
            moment.0 += thousandths.parse::<u64>().unwrap_or_default();
        }
        let rest = line.get(end..).unwrap_or_default();
        Some((moment, rest.strip_prefix('Z').unwrap_or(rest).trim_start()))
    }

    /// This one.
    pub fn now() -> Moment {
        Moment::from(SystemTime::now())
    }

    /// So much before.
    pub fn before(self, by: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after another one, in milliseconds; 0 if it is not after it.
    pub fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time of day.
    pub fn clock(self) -> String {
        self.to_string().split_off(11)
    }

    /// As other programs read it.
    pub fn rfc3339(self) -> String {
        humantime::format_rfc3339_millis(SystemTime::from(self)).to_string()
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Moment {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or_default())
    }
}

impl From<Moment> for SystemTime {
    fn from(moment: Moment) -> SystemTime {
        // The last second that a time of four-digit years can show.
        const LAST: u64 = 253_402_300_799_000;
        UNIX_EPOCH + Duration::from_millis(moment.0.min(LAST))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_rfc3339_seconds(SystemTime::from(*self)).to_string();
        f.write_str(&text.replace('T', " ").replace('Z', ""))
    }
}

/// A duration as people say it: `37 s`, `2 min 5 s`, `1 d 23 h`.
pub fn in_words(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_time() {
        let at = Moment::parse("2017-10-21T21:57:32Z").unwrap();
        for line in [
            "2017-10-21 21:57:32 140046406944640 [Note] x",
            "2017-10-21T21:57:32.000Z INFO x",
            "171021 21:57:32 mysqld_safe x",
            "2017-10-21 21:57:32",
        ] {
            assert_eq!(Moment::of_line(line).map(|(m, _)| m), Some(at), "{line}");
        }
        let (early, rest) = Moment::of_line("261121  0:39:29 [ERROR] mysqld got signal 11 ;").unwrap();
        assert_eq!((early.to_string().as_str(), rest), ("2026-11-21 00:39:29", "[ERROR] mysqld got signal 11 ;"));
        assert_eq!(Moment::of_line("2026-11-21  8:39:15 0 [Note] x").unwrap().0.clock(), "08:39:15");
        let (precise, rest) = Moment::of_line("2026-11-21T08:39:15.25Z x").unwrap();
        assert_eq!((precise.0 % 1000, rest), (250, "x"));
        for line in ["", "\t0: 08bc8243, mysql/0", "View:", "2026-13-41 25:61:61 x", "1234567890 x", "é26121  0:39:29"]
        {
            assert_eq!(Moment::of_line(line), None, "{line}");
        }
        assert_eq!(Moment::parse("2017-10-21 21:57").unwrap().since(Moment::parse("2017-10-21").unwrap()), 79_020_000);
    }

    #[test]
    fn durations_in_words() {
        let words = [5, 37_000, 125_000, 7_500_000, 169_200_000].map(in_words);
        assert_eq!(words, ["5 ms", "37 s", "2 min 5 s", "2 h 5 min", "1 d 23 h"]);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "[0-9 :.TZ-]{0,30}\\PC{0,6}") {
            let _ = Moment::of_line(&line);
        }
    }
}
