//! `galera-ctl timeline FOLDER`: a timeline from logs alone, wherever they came from. It needs no cluster, no
//! configuration, and no rights but to read the folder.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use flate2::read::MultiGzDecoder;

use super::Window;
use crate::cli::Exit;
use crate::cluster::timeline::{Known, Source, SourceKind, Timeline};
use crate::host::files::write_atomically;

/// More of one file is not read, in bytes; the end counts, and of a packed file the beginning.
const LARGEST: u64 = 256 * 1024 * 1024;
/// How deep folders are looked into: a bundle has one for each member.
const DEPTH: usize = 3;

/// What is wanted.
#[derive(Debug, Clone, Args)]
pub struct Wants {
    /// A folder of error logs and journals, or one log; folders in it are members
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Write the page with the picture here
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    window: Window,
}

impl Wants {
    /// Prints the timeline, and writes the page.
    pub fn run(&self) -> Result<Exit> {
        let mut sources = Vec::new();
        let is_folder = fs::metadata(&self.folder).with_context(|| format!("read {}", self.folder.display()))?.is_dir();
        let root = if is_folder { self.folder.as_path() } else { self.folder.parent().unwrap_or(Path::new(".")) };
        if is_folder {
            look_into(&self.folder, root, DEPTH, &mut sources)?;
        } else {
            sources.extend(source(&self.folder, root)?);
        }
        let (from, to) = self.window.said();
        let timeline = Timeline::of(&sources, Known { from, to, ..Known::default() });
        if timeline.is_empty() {
            bail!("{}: no error log or journal there tells of anything in this time", self.folder.display());
        }
        crate::say!("{}", timeline.text().trim_end());
        if let Some(path) = &self.html {
            // By root, in a folder that may be another user's: no link is followed.
            if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
                bail!("{} is there already, and is no file: choose another name", path.display());
            }
            write_atomically(path, timeline.html().as_bytes(), 0o644)?;
        }
        Ok(Exit::Done)
    }
}

fn look_into(dir: &Path, root: &Path, depth: usize, sources: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && depth > 1 {
            look_into(&path, root, depth - 1, sources)?;
        } else if path.is_file() {
            sources.extend(source(&path, root)?);
        }
    }
    Ok(())
}

/// A file that may tell something, by its name.
fn source(path: &Path, root: &Path) -> Result<Option<Source>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    // `x.log.3` is what was rotated away.
    let plain = plain.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
    let journal = plain.ends_with(".jsonl");
    // Our own logs say in other words what the journals say.
    let ours = ["galera-start", "galera-agent", "drain", "timeline", "report", "missing", "matrix"]
        .iter()
        .any(|o| plain.starts_with(o));
    let log = !ours && [".log", ".err", ".txt"].iter().any(|ending| plain.ends_with(ending));
    if !journal && !log {
        return Ok(None);
    }
    let text = read(path, name.ends_with(".gz")).with_context(|| format!("read {}", path.display()))?;
    let file = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    let folder = path.parent().filter(|parent| *parent != root).and_then(Path::file_name);
    let stem = plain.split('.').next().unwrap_or(plain);
    let member = folder.map_or_else(|| stem.to_owned(), |folder| folder.to_string_lossy().into_owned());
    let kind = if journal { SourceKind::Journal } else { SourceKind::ErrorLog };
    Ok(Some(Source { member, file, kind, text }))
}

fn read(path: &Path, packed: bool) -> std::io::Result<String> {
    use std::io::{Seek, SeekFrom};
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path)?;
    if packed {
        MultiGzDecoder::new(file).take(LARGEST).read_to_end(&mut bytes)?;
    } else {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LARGEST)))?;
        file.take(LARGEST).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_folders_or_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mysql-1")).unwrap();
        for name in [
            "a.err.log",
            "b.log.1",
            "mysql-1/journal.jsonl",
            "mysql-1/mariadb.err.log",
            "mysql-1/galera-start.log",
            "x.png",
        ] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let mut sources = Vec::new();
        look_into(dir.path(), dir.path(), DEPTH, &mut sources).unwrap();
        let found: Vec<(&str, &str)> = sources.iter().map(|s| (s.member.as_str(), s.file.as_str())).collect();
        assert_eq!(
            found,
            [
                ("a", "a.err.log"),
                ("b", "b.log.1"),
                ("mysql-1", "mysql-1/journal.jsonl"),
                ("mysql-1", "mysql-1/mariadb.err.log")
            ]
        );
    }
}
