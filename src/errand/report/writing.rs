//! Pieces of a report become files. Their names come from other VMs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::host::report::Piece;

/// The name of a member's folder.
pub(super) fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' }).collect()
}

/// Writes pieces into files.
pub(super) struct Writer<'a> {
    dir: &'a Path,
    files: BTreeMap<(String, String), File>,
    pub(super) missing: BTreeMap<String, Vec<String>>,
}

impl<'a> Writer<'a> {
    pub(super) fn below(dir: &'a Path) -> Writer<'a> {
        Writer { dir, files: BTreeMap::new(), missing: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, member: &str, piece: Piece) -> Result<()> {
        match piece {
            Piece::Text { file, text } => {
                let key = (member.to_owned(), file.clone());
                if !self.files.contains_key(&key) {
                    let opened = self.open(member, &file)?;
                    self.files.insert(key.clone(), opened);
                }
                let file = self.files.get_mut(&key).context("a file that was just opened")?;
                file.write_all(text.as_bytes()).with_context(|| format!("write below {}", self.dir.display()))
            }
            Piece::Missing { file, why } => {
                self.note(member, format!("{file}: {why}"));
                Ok(())
            }
            Piece::End => Ok(()),
        }
    }

    pub(super) fn note(&mut self, member: &str, why: String) {
        self.missing.entry(member.to_owned()).or_default().push(why);
    }

    /// A name comes from another VM: it stays below the member's folder.
    fn open(&self, member: &str, file: &str) -> Result<File> {
        let parts: Vec<&str> = file.split('/').collect();
        let fine = |part: &&str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        anyhow::ensure!(parts.len() <= 5 && parts.iter().all(fine), "a file of an agent is called {file:?}");
        let path = self.dir.join(slug(member)).join(file);
        let parent = path.parent().context("a file lies in a folder")?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(parent)
            .with_context(|| format!("make {}", parent.display()))?;
        let opened = OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
        opened.with_context(|| format!("write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(file: &str) -> Piece {
        Piece::Text { file: file.into(), text: "x\n".into() }
    }

    #[test]
    fn a_name_from_another_vm_stays_below_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::below(dir.path());
        for evil in ["../x", "/etc/x", "a//b", "a/../../x", ".bundle", "x\ny", ""] {
            assert!(writer.take("mysql/0", piece(evil)).is_err(), "{evil}");
        }
        writer.take("mysql/0", piece("config/mariadb/tls/ca.pem")).unwrap();
        writer.take("../../up", piece("x")).unwrap();
        assert!(
            dir.path().join("mysql-0/config/mariadb/tls/ca.pem").exists() && dir.path().join("------up/x").exists()
        );
    }
}
