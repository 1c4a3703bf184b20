//! MariaDB's data directory: what lies in it, and the few files of Galera that we change.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::files::{read_if_there, remove_durably, rename_durably, write_atomically};
use crate::cluster::memory::DataPrint;
use crate::cluster::observation::{ABANDONED, Disk, File, KEPT};
use crate::galera::grastate::{self, Grastate};
use crate::galera::gvwstate::{self, SavedView};
use crate::galera::position::Position;
use crate::galera::recovery::{CACHE_FILE_NAME, cache_history};
use crate::galera::uuid::Uuid;

/// Databases that an initialised server has by itself.
const OWN_DATABASES: [&str; 4] = ["mysql", "performance_schema", "sys", "test"];

/// Files at the top of a data directory that hold no data: Galera's, and those of the scripts of state transfers.
const NO_DATA: [&str; 12] = [
    "grastate.dat",
    "gvwstate.dat",
    "galera.cache",
    "gcache.page",
    ".pid",
    ".conf",
    ".sst",
    "sst_in_progress",
    "rsync_sst",
    "xtrabackup_",
    "mariadb_backup_",
    "GRA_",
];

/// MariaDB's log of two-phase commits, the four bytes that it begins with, and what its length is a multiple of.
const COMMIT_LOG: &str = "tc.log";
const COMMIT_LOG_MARK: [u8; 4] = [254, 0x23, 0x05, 0x74];
const COMMIT_LOG_PAGE: u64 = 4096;

/// Where the scripts of state transfers keep the numbers of their processes.
const TRANSFER_PIDS: [&str; 3] = ["wsrep_sst.pid", "rsync_sst.pid", "stunnel.pid"];

/// Whether this file defines a table that InnoDB keeps in a file of its own: not a view, not a table of partitions.
fn is_innodb(definition: &Path) -> std::io::Result<bool> {
    /// `DB_TYPE_INNODB`, after the two bytes by which such a file begins and its version.
    const INNODB: u8 = 12;
    let mut head = [0; 4];
    fs::File::open(definition)?.read_exact(&mut head)?;
    Ok(matches!(head, [0xfe, 0x01, _, INNODB]))
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// The data directory at this path.
    pub fn at(path: impl Into<PathBuf>) -> DataDir {
        DataDir { path: path.into() }
    }

    /// Looks at everything in it that tells something about the position.
    pub fn look(&self) -> Disk {
        let mut unreadable = None;
        let mut fault = |what: &str, e: std::io::Error| {
            unreadable.get_or_insert(format!("{what} in {}: {e}", self.path.display()));
        };
        let mut text = |name: &str| {
            read_if_there(&self.path.join(name)).unwrap_or_else(|e| {
                fault(name, e);
                None
            })
        };
        let grastate = parsed(text(grastate::FILE_NAME), |t| Grastate::parse(t).map_err(|g| g.0));
        let saved_view = parsed(text(gvwstate::FILE_NAME), |t| SavedView::parse(t).map_err(|g| g.0));
        let (initialised, user_databases) = match self.databases() {
            Ok(found) => {
                (found.iter().any(|d| d == "mysql"), found.iter().any(|d| !OWN_DATABASES.contains(&d.as_str())))
            }
            Err(e) => {
                fault("databases", e);
                (false, false)
            }
        };
        Disk {
            initialised,
            user_databases,
            grastate,
            saved_view,
            cache_history: self.cache_preamble().and_then(|p| cache_history(&p)),
            unreadable,
        }
    }

    fn databases(&self) -> std::io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // `lost+found` and dot directories are not databases; nor is what InnoDB marks with `#`.
            if entry.file_type()?.is_dir() && !name.starts_with(['.', '#']) && name != "lost+found" {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn cache_preamble(&self) -> Option<Vec<u8>> {
        let mut preamble = Vec::new();
        let cache = fs::File::open(self.path.join(CACHE_FILE_NAME)).ok()?;
        cache.take(1024).read_to_end(&mut preamble).ok()?;
        Some(preamble)
    }

    /// The data as it is: a number that changes when any file of it does. Galera's own files and those by which the
    /// scripts of state transfers know each other are not data.
    pub fn print(&self) -> std::io::Result<DataPrint> {
        let mut found: Vec<(PathBuf, u64, i64, i64)> = Vec::new();
        self.walk(&self.path, &mut found)?;
        found.sort();
        let mut hasher = DefaultHasher::new();
        found.hash(&mut hasher);
        Ok(DataPrint(hasher.finish()))
    }

    fn walk(&self, folder: &Path, found: &mut Vec<(PathBuf, u64, i64, i64)>) -> std::io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, meta) = (entry.path(), entry.metadata()?);
            let name = entry.file_name().to_string_lossy().into_owned();
            if folder == self.path && NO_DATA.iter().any(|mark| name.contains(mark)) {
                continue;
            }
            if meta.is_dir() {
                self.walk(&path, found)?;
            } else {
                found.push((path, meta.len(), meta.ctime(), meta.ctime_nsec()));
            }
        }
        Ok(())
    }

    /// Whether mariabackup was about to write a full copy here: it makes this folder before it removes anything.
    pub fn half_copied(&self) -> bool {
        self.path.join(".sst").exists()
    }

    /// Whether this table, `schema/table`, is defined here and its file is gone.
    pub fn lacks(&self, table: &str) -> bool {
        let Some((schema, name)) = table.split_once('/').filter(|(schema, name)| {
            [schema, name].iter().all(|part| !part.is_empty() && !part.contains('/') && !part.starts_with('.'))
        }) else {
            return false;
        };
        let there = |name: &str, kind: &str| self.path.join(schema).join(format!("{name}.{kind}")).exists();
        // A partition has a file of its own, and shares its table's definition.
        let defined = name.split_once("#P#").or_else(|| name.split_once("#p#")).map_or(name, |(table, _)| table);
        there(defined, "frm") && !there(name, "ibd") && !there(name, "isl")
    }

    /// The tables of InnoDB without a file of their own, as `schema/table`; the first few of them.
    pub fn tables_without_file(&self) -> std::io::Result<Vec<String>> {
        const MOST: usize = 20;
        let mut found = Vec::new();
        for schema in self.databases()? {
            for entry in fs::read_dir(self.path.join(&schema))? {
                let path = entry?.path();
                let Some(name) = path.file_stem().and_then(|n| n.to_str()).filter(|n| !n.starts_with('#')) else {
                    continue;
                };
                let table = format!("{schema}/{name}");
                let definition = path.extension().is_some_and(|e| e == "frm");
                if definition && self.lacks(&table) && is_innodb(&path).unwrap_or(false) {
                    found.push(table);
                }
            }
        }
        found.sort();
        found.truncate(MOST);
        Ok(found)
    }

    /// Whether the log of two-phase commits is there and MariaDB cannot read it: empty, cut off, or without its mark. After
    /// a clean end there is none.
    pub fn torn_commit_log(&self) -> std::io::Result<bool> {
        let mut file = match fs::File::open(self.path.join(COMMIT_LOG)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let (length, mut mark) = (file.metadata()?.len(), [0; COMMIT_LOG_MARK.len()]);
        Ok(length == 0
            || length % COMMIT_LOG_PAGE != 0
            || file.read_exact(&mut mark).is_err()
            || mark != COMMIT_LOG_MARK)
    }

    /// Moves a torn log of two-phase commits out of MariaDB's sight, which then makes a new one, and keeps it.
    pub fn set_commit_log_aside(&self) -> Result<()> {
        rename_durably(&self.path.join(COMMIT_LOG), &self.path.join("tc.log.damaged"))
    }

    /// Removes the process numbers that scripts of state transfers left here, while none of them runs: a later process
    /// with such a number would be taken for them, and waited for.
    pub fn forget_transfers(&self) -> Result<()> {
        TRANSFER_PIDS.iter().try_for_each(|name| remove_durably(&self.path.join(name)))
    }

    /// What was kept aside of this member's data, and lies beside it.
    pub fn kept_aside(&self) -> Vec<PathBuf> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Vec::new() };
        let prefix = format!("{}.", name.to_string_lossy());
        let aside = |path: &PathBuf| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(KEPT) || rest.starts_with(ABANDONED))
        };
        let entries = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> = entries.filter(aside).collect();
        found.sort();
        found
    }

    /// Moves the saved view out of Galera's sight, and keeps it: a start without one waits for a
    /// primary component with Galera's own time-out in place of none.
    pub fn set_view_aside(&self, keep_in: &Path) -> Result<()> {
        let from = self.path.join(gvwstate::FILE_NAME);
        if !from.try_exists().with_context(|| format!("look for {}", from.display()))? {
            return Ok(());
        }
        rename_durably(&from, &self.path.join("gvwstate.dat.aside"))?;
        let kept = fs::read(self.path.join("gvwstate.dat.aside")).context("read gvwstate.dat.aside")?;
        write_atomically(&keep_in.join("gvwstate.dat.aside"), &kept, 0o640)
    }

    /// The saved view's bytes, to be put back after a stop that removes it.
    pub fn copy_view(&self) -> Result<Option<Vec<u8>>> {
        Ok(read_if_there(&self.path.join(gvwstate::FILE_NAME)).context("read gvwstate.dat")?.map(String::into_bytes))
    }

    /// Puts back a saved view.
    pub fn put_view_back(&self, view: &[u8]) -> Result<()> {
        write_atomically(&self.path.join(gvwstate::FILE_NAME), view, 0o640)
    }

    /// Where `grastate.dat` knows no history and a person decided to go on from here all the same: keeps the
    /// file aside, and writes one that says the history, so that Galera takes the start position for it.
    pub fn confirm_history(&self, position: Position, keep_in: &Path) -> Result<()> {
        // Galera takes a seqno in its file for true, whatever it is told at its start.
        if let File::Present(state) = self.look().grastate
            && state.uuid == position.history()
            && state.clean_position().is_none_or(|claimed| claimed == position)
        {
            return Ok(());
        }
        self.claim_no_more_than(position.history(), keep_in)
    }

    /// Where it is not known what the disk has, `grastate.dat` claims no position either: Galera would have an incremental
    /// transfer go on from there. What it said is kept aside.
    pub fn withdraw_claim(&self, keep_in: &Path) -> Result<()> {
        match self.look().grastate {
            File::Present(state) if state.clean_position().is_some() => self.claim_no_more_than(state.uuid, keep_in),
            _ => Ok(()),
        }
    }

    fn claim_no_more_than(&self, history: Uuid, keep_in: &Path) -> Result<()> {
        let path = self.path.join(grastate::FILE_NAME);
        let before = match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            other => other.with_context(|| format!("read {}", path.display()))?,
        };
        write_atomically(&keep_in.join("grastate.dat.aside"), &before, 0o640)?;
        let confirmed = Grastate { version: "2.1".into(), uuid: history, seqno: -1, safe_to_bootstrap: false };
        write_atomically(&path, confirmed.render().as_bytes(), 0o640)
    }

    /// Keeps what Galera knows of a history aside, so that it begins a new one: a person said so.
    pub fn forget_history(&self, keep_in: &Path) -> Result<()> {
        let path = self.path.join(grastate::FILE_NAME);
        if let Some(before) = read_if_there(&path).with_context(|| format!("read {}", path.display()))? {
            write_atomically(&keep_in.join("grastate.dat.aside"), before.as_bytes(), 0o640)?;
            remove_durably(&path)?;
        }
        remove_durably(&self.path.join(CACHE_FILE_NAME))
    }

    /// How many bytes the data takes.
    pub fn size(&self) -> Result<u64> {
        fn below(path: &Path) -> std::io::Result<u64> {
            let mut bytes = 0;
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let meta = entry.metadata()?;
                bytes += if meta.is_dir() { below(&entry.path())? } else { meta.len() };
            }
            Ok(bytes)
        }
        below(&self.path).with_context(|| format!("measure {}", self.path.display()))
    }

    /// Moves the data beside, under this name, in one step: what a crash leaves behind is then no data directory any
    /// more. Returns where it is.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf> {
        let aside = self.path.with_extension(name);
        rename_durably(&self.path, &aside)?;
        Ok(aside)
    }

    /// Marks the node as safe to bootstrap, without which Galera refuses `--wsrep-new-cluster`. Only a
    /// well-formed `grastate.dat` of a known history is changed.
    pub fn allow_bootstrap(&self) -> Result<()> {
        match self.look().grastate {
            File::Present(state) if state.uuid.is_nil() => {
                bail!("grastate.dat knows no history; Galera would begin a new one")
            }
            File::Present(state) if state.safe_to_bootstrap => Ok(()),
            File::Present(state) => {
                let allowed = Grastate { safe_to_bootstrap: true, ..state };
                write_atomically(&self.path.join(grastate::FILE_NAME), allowed.render().as_bytes(), 0o640)
            }
            File::Absent => bail!("grastate.dat is missing; Galera would begin a new history"),
            File::Garbled(why) => {
                bail!("grastate.dat is garbled ({why}); Galera would begin a new history")
            }
        }
    }
}

fn parsed<T>(text: Option<String>, parse: impl FnOnce(&str) -> Result<T, String>) -> File<T> {
    match text {
        None => File::Absent,
        Some(text) => parse(&text).map_or_else(File::Garbled, File::Present),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, DataDir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        (temp, dir)
    }

    #[test]
    fn an_empty_directory_and_none_at_all_have_no_data() {
        let (temp, dir) = dir();
        assert!(!dir.look().has_data() && !dir.look().initialised);
        assert!(!DataDir::at(temp.path().join("nowhere")).look().has_data());
    }

    #[test]
    fn somebodys_database_is_data() {
        let (temp, dir) = dir();
        fs::create_dir(temp.path().join("mysql")).unwrap();
        assert!(dir.look().initialised && !dir.look().has_data());
        fs::create_dir(temp.path().join("shop")).unwrap();
        assert!(dir.look().has_data());
    }

    #[test]
    fn t14_a_table_whose_file_is_gone_is_found_by_its_definition() {
        let dir = tempfile::tempdir().unwrap();
        let schema = dir.path().join("ledger");
        fs::create_dir(&schema).unwrap();
        let (innodb, aria) = ([0xfe, 0x01, 0x0a, 12, 0], [0xfe, 0x01, 0x0a, 42, 0]);
        for (name, bytes) in [
            ("entries.frm", &innodb[..]),
            ("whole.frm", &innodb),
            ("whole.ibd", b"x"),
            ("elsewhere.frm", &innodb),
            ("elsewhere.isl", b"x"),
            ("other.frm", &aria),
            ("view.frm", b"TYPE=VIEW"),
            ("#sql-1.frm", &innodb),
        ] {
            fs::write(schema.join(name), bytes).unwrap();
        }
        let data = DataDir::at(dir.path());
        assert_eq!(data.tables_without_file().unwrap(), ["ledger/entries"]);
        for (table, lacks) in [
            ("ledger/entries", true),
            ("ledger/entries#P#p0", true),
            ("ledger/whole", false),
            ("ledger/dropped", false),
            ("../etc", false),
            ("entries", false),
        ] {
            assert_eq!(data.lacks(table), lacks, "{table}");
        }
    }

    #[test]
    fn k17_a_view_is_set_aside_and_kept() {
        let (temp, dir) = dir();
        let keep = tempfile::tempdir().unwrap();
        dir.set_view_aside(keep.path()).unwrap();
        fs::write(temp.path().join("gvwstate.dat"), "view").unwrap();
        assert_eq!(dir.copy_view().unwrap().unwrap(), b"view");
        dir.set_view_aside(keep.path()).unwrap();
        assert_eq!(dir.look().saved_view, File::Absent);
        assert_eq!(fs::read(keep.path().join("gvwstate.dat.aside")).unwrap(), b"view");
    }

    #[test]
    fn g14_data_is_kept_beside_and_found_there() {
        let (temp, _) = dir();
        let dir = DataDir::at(temp.path().join("data"));
        fs::create_dir_all(temp.path().join("data/shop")).unwrap();
        fs::write(temp.path().join("data/shop/t.ibd"), "12345").unwrap();
        fs::create_dir(temp.path().join("data.initialising")).unwrap();
        assert_eq!(dir.size().unwrap(), 5);
        let kept = dir.set_aside("kept-1").unwrap();
        assert!(!temp.path().join("data").exists());
        assert_eq!(fs::read(kept.join("shop/t.ibd")).unwrap(), b"12345");
        assert_eq!(dir.kept_aside(), [kept]);
    }

    #[test]
    // A1: what tells whether a join has touched the data.
    fn a1_the_print_changes_with_the_data_and_with_nothing_else() {
        let (temp, dir) = dir();
        fs::create_dir(temp.path().join("shop")).unwrap();
        for file in ["ibdata1", "shop/t.ibd", "grastate.dat"] {
            fs::write(temp.path().join(file), "x").unwrap();
        }
        let print = dir.print().unwrap();
        for file in ["grastate.dat", "gvwstate.dat", "wsrep_sst.pid", "rsync_sst_complete", "galera.cache"] {
            fs::write(temp.path().join(file), "something else").unwrap();
        }
        fs::create_dir(temp.path().join(".sst")).unwrap();
        assert_eq!(dir.print().unwrap(), print, "none of these is data");
        assert!(dir.half_copied());
        let touched = |change: &dyn Fn()| {
            let before = dir.print().unwrap();
            change();
            assert_ne!(dir.print().unwrap(), before);
        };
        touched(&|| fs::write(temp.path().join("shop/t.ibd"), "xy").unwrap());
        touched(&|| fs::write(temp.path().join("shop/new.ibd"), "").unwrap());
        touched(&|| fs::remove_file(temp.path().join("ibdata1")).unwrap());
    }

    #[test]
    fn t11_a_commit_log_is_torn_that_mariadb_cannot_read() {
        let (temp, dir) = dir();
        let path = temp.path().join("tc.log");
        assert!(!dir.torn_commit_log().unwrap(), "there is none after a clean end");
        let whole = |length: usize| [&COMMIT_LOG_MARK[..], &vec![0; length - 4]].concat();
        for (content, torn) in [
            (Vec::new(), true),
            (vec![254, 0x23], true),
            (whole(4100), true),
            (vec![0; 24_576], true),
            (whole(24_576), false),
        ] {
            fs::write(&path, &content).unwrap();
            assert_eq!(dir.torn_commit_log().unwrap(), torn, "{} bytes", content.len());
        }
        dir.set_commit_log_aside().unwrap();
        assert!(!path.exists() && temp.path().join("tc.log.damaged").exists());
    }

    #[test]
    fn t3_process_numbers_of_transfers_are_forgotten_and_nothing_else() {
        let (temp, dir) = dir();
        for name in ["wsrep_sst.pid", "rsync_sst.pid", "stunnel.pid", "mariadbd.pid"] {
            fs::write(temp.path().join(name), "1").unwrap();
        }
        dir.forget_transfers().unwrap();
        dir.forget_transfers().unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_history_is_confirmed_and_what_was_there_is_kept() {
        let (temp, dir) = dir();
        let keep = tempfile::tempdir().unwrap();
        let path = temp.path().join("grastate.dat");
        let position: Position = "746e46f3-8f76-11e7-9c1c-a220eabab4ba:9".parse().unwrap();
        for before in [
            "",
            "garbage",
            &Grastate { version: "2.1".into(), uuid: Uuid::NIL, seqno: -1, safe_to_bootstrap: true }.render(),
        ] {
            fs::write(&path, before).unwrap();
            dir.confirm_history(position, keep.path()).unwrap();
            assert_eq!(fs::read_to_string(keep.path().join("grastate.dat.aside")).unwrap(), before);
            let state = dir.look().grastate.present().cloned().unwrap();
            assert_eq!((state.uuid, state.seqno, state.safe_to_bootstrap), (position.history(), -1, false));
        }
        fs::remove_file(&path).unwrap();
        dir.confirm_history(position, keep.path()).unwrap();
        dir.allow_bootstrap().unwrap();
    }

    #[test]
    // Galera would go on from the seqno of its file by an incremental transfer.
    fn a_claim_of_which_nothing_is_known_is_withdrawn() {
        let (temp, dir) = dir();
        let keep = tempfile::tempdir().unwrap();
        let path = temp.path().join("grastate.dat");
        let state =
            |seqno| Grastate { version: "2.1".into(), uuid: Uuid::from_u128(7), seqno, safe_to_bootstrap: false };
        for (claimed, kept) in [(13, true), (-1, false)] {
            fs::write(&path, state(claimed).render()).unwrap();
            dir.withdraw_claim(keep.path()).unwrap();
            assert_eq!(dir.look().grastate, File::Present(state(-1)), "{claimed}");
            let aside = keep.path().join("grastate.dat.aside");
            assert_eq!(fs::read_to_string(&aside).is_ok_and(|said| said == state(claimed).render()), kept, "{claimed}");
            let _ = fs::remove_file(aside);
        }
        fs::remove_file(&path).unwrap();
        dir.withdraw_claim(keep.path()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn only_a_known_history_is_allowed_to_bootstrap() {
        let (temp, dir) = dir();
        let path = temp.path().join("grastate.dat");
        assert!(dir.allow_bootstrap().is_err());
        fs::write(&path, "").unwrap();
        assert!(dir.allow_bootstrap().is_err());
        let state = |uuid: u128| Grastate {
            version: "2.1".into(),
            uuid: Uuid::from_u128(uuid),
            seqno: -1,
            safe_to_bootstrap: false,
        };
        fs::write(&path, state(0).render()).unwrap();
        assert!(dir.allow_bootstrap().is_err());
        fs::write(&path, state(7).render()).unwrap();
        dir.allow_bootstrap().unwrap();
        assert_eq!(dir.look().grastate, File::Present(Grastate { safe_to_bootstrap: true, ..state(7) }));
    }

    #[test]
    fn a_directory_that_cannot_be_read_counts_as_data() {
        let (temp, _) = dir();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let disk = DataDir::at(&file).look();
        assert!(disk.unreadable.is_some() && disk.has_data());
    }
}
