//! MariaDB's data directory: what lies in it, and the few files of Galera that we change.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::files::{read_if_there, rename_durably, write_atomically};
use crate::cluster::observation::{Disk, File};
use crate::galera::grastate::{self, Grastate};
use crate::galera::gvwstate::{self, SavedView};
use crate::galera::position::Position;
use crate::galera::recovery::{CACHE_FILE_NAME, cache_history};

/// Databases that an initialised server has by itself.
const OWN_DATABASES: [&str; 4] = ["mysql", "performance_schema", "sys", "test"];

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
        let path = self.path.join(grastate::FILE_NAME);
        if let File::Present(state) = self.look().grastate
            && state.uuid == position.history()
        {
            return Ok(());
        }
        let before = match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            other => other.with_context(|| format!("read {}", path.display()))?,
        };
        write_atomically(&keep_in.join("grastate.dat.aside"), &before, 0o640)?;
        let confirmed =
            Grastate { version: "2.1".into(), uuid: position.history(), seqno: -1, safe_to_bootstrap: false };
        write_atomically(&path, confirmed.render().as_bytes(), 0o640)
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

    /// Gives the data up: moves it beside, under this name, or deletes it where nothing is to be kept.
    /// Returns where it is kept.
    pub fn abandon(&self, keep_as: Option<&str>) -> Result<Option<PathBuf>> {
        // Out of the way in one step; what a crash leaves behind is then no data directory any more.
        let aside = self.path.with_extension(keep_as.unwrap_or("abandoned-and-not-kept"));
        rename_durably(&self.path, &aside)?;
        if keep_as.is_some() {
            return Ok(Some(aside));
        }
        fs::remove_dir_all(&aside).with_context(|| format!("delete {}", aside.display()))?;
        Ok(None)
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
    use crate::galera::uuid::Uuid;

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
    fn g14_abandoned_data_is_kept_beside() {
        let (temp, _) = dir();
        let dir = DataDir::at(temp.path().join("data"));
        for keep in [Some("abandoned-1"), None] {
            fs::create_dir_all(temp.path().join("data/shop")).unwrap();
            fs::write(temp.path().join("data/shop/t.ibd"), "12345").unwrap();
            assert_eq!(dir.size().unwrap(), 5);
            let kept = dir.abandon(keep).unwrap();
            assert_eq!(kept.is_some(), keep.is_some());
            assert!(!temp.path().join("data").exists());
        }
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "what is not kept is gone");
        assert_eq!(fs::read(temp.path().join("data.abandoned-1/shop/t.ibd")).unwrap(), b"12345");
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
