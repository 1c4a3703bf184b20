//! What `mariadbd --wsrep-recover` and the preamble of `galera.cache` say about the position.

use super::position::Position;
use super::uuid::Uuid;

/// The file that holds the write-set cache, in the data directory.
pub const CACHE_FILE_NAME: &str = "galera.cache";

/// What a run of `--wsrep-recover` told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// The storage engine's position.
    At(Position),
    /// It ran, and the storage engine knows no position: nil UUID or seqno -1.
    Nothing,
}

/// Finds `WSREP: Recovered position: uuid:seqno[,gtid]` in the output; the last such line counts.
///
/// With the binary log on, MariaDB appends `,domain-server-seq`; Pacemaker's agent keeps that and
/// then compares strings.
pub fn recovered_position(output: &str) -> Option<Recovered> {
    const MARK: &str = "Recovered position";
    output.lines().rev().find_map(|line| {
        let (before, after) = line.split_once(MARK)?;
        before.contains("WSREP").then_some(())?;
        let text = after.trim_start_matches(':').split_whitespace().next()?;
        let text = text.split(',').next()?;
        match text.parse() {
            Ok(position) => Some(Recovered::At(position)),
            Err(_) => {
                let (uuid, seqno) = text.split_once(':')?;
                let _: Uuid = uuid.parse().ok()?;
                let _: i64 = seqno.parse().ok()?;
                Some(Recovered::Nothing)
            }
        }
    })
}

/// The history in the preamble of `galera.cache`: a second witness, which Galera does not zero when
/// it zeroes `grastate.dat`.
pub fn cache_history(preamble: &[u8]) -> Option<Uuid> {
    let text: String =
        preamble.iter().take(1024).take_while(|b| b.is_ascii() && **b != 0).map(|b| *b as char).collect();
    let gid = text.lines().find_map(|line| line.strip_prefix("GID:"))?;
    let uuid: Uuid = gid.trim().parse().ok()?;
    (!uuid.is_nil()).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "746e46f3-8f76-11e7-9c1c-a220eabab4ba";

    #[test]
    fn g5_the_recovered_position_with_and_without_a_gtid() {
        for line in [
            format!("2026-01-01  1:02:03 0 [Note] WSREP: Recovered position: {UUID}:20626756"),
            format!("2026-01-01  1:02:03 0 [Note] WSREP: Recovered position: {UUID}:20626756,0-1-21"),
            format!("171021 21:57:32 mysqld_safe WSREP: Recovered position {UUID}:20626756"),
        ] {
            let output = format!("noise\n{line}\nmore noise");
            assert_eq!(
                recovered_position(&output),
                Some(Recovered::At(format!("{UUID}:20626756").parse().unwrap())),
                "{line}"
            );
        }
    }

    #[test]
    fn a_storage_engine_that_knows_nothing() {
        let nil = Uuid::NIL;
        assert_eq!(recovered_position(&format!("WSREP: Recovered position: {nil}:-1")), Some(Recovered::Nothing));
        assert_eq!(recovered_position(&format!("WSREP: Recovered position: {nil}:4")), Some(Recovered::Nothing));
        assert_eq!(recovered_position("WSREP: Recovered position: rubbish"), None);
        assert_eq!(recovered_position(""), None);
    }

    #[test]
    fn the_history_in_the_cache_preamble() {
        let preamble = format!("Version: 2\nGID: {UUID}\nseqno_min: 3\nseqno_max: 9\noffset: 1280\nsynced: 1\n\n\0\0");
        assert_eq!(cache_history(preamble.as_bytes()), UUID.parse().ok());
        assert_eq!(cache_history(b""), None);
        assert_eq!(cache_history(format!("GID: {}\n", Uuid::NIL).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_the_parsers_panic(text in "(WSREP: )?(Recovered position:? ?)?.{0,60}", bytes: Vec<u8>) {
            let _ = recovered_position(&text);
            let _ = cache_history(&bytes);
        }
    }
}
