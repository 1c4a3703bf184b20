//! Reading and writing files so that a crash at any moment leaves the old or the new content.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file atomically: temporary file in the same folder, fsync, rename, fsync of the folder.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    write(path, content, mode).with_context(|| format!("write {}", path.display()))
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder_of(path);
    let mut temporary =
        tempfile::Builder::new().prefix(".new-").permissions(fs::Permissions::from_mode(mode)).tempfile_in(folder)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// Renames within one file system, durably.
pub fn rename_durably(from: &Path, to: &Path) -> Result<()> {
    let renamed = fs::rename(from, to).and_then(|()| sync_folder(folder_of(to)));
    renamed.with_context(|| format!("rename {} to {}", from.display(), to.display()))
}

/// Writes all to disk that other programs left in memory on the file system of this path.
pub fn sync_disk_of(path: &Path) -> Result<()> {
    let opened = File::open(path).with_context(|| format!("open {}", path.display()))?;
    nix::unistd::syncfs(&opened).with_context(|| format!("sync the disk of {}", path.display()))
}

/// Removes a file durably; one that is not there is no error.
pub fn remove_durably(path: &Path) -> Result<()> {
    let removed = match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.and_then(|()| sync_folder(folder_of(path))),
    };
    removed.with_context(|| format!("remove {}", path.display()))
}

/// Reads a text file, none if it is not there. Bytes that are no text are replaced, for parsers to find.
pub fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_disk_that_cannot_be_synced_is_named() {
        let dir = tempfile::tempdir().unwrap();
        sync_disk_of(dir.path()).unwrap();
        let gone = dir.path().join("gone");
        assert!(format!("{:#}", sync_disk_of(&gone).unwrap_err()).contains(&gone.display().to_string()));
    }

    #[test]
    fn a_file_is_replaced_whole_and_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        remove_durably(&path).unwrap();
        remove_durably(&path).unwrap();
        assert_eq!(read_if_there(&path).unwrap(), None);
    }

    #[test]
    fn an_error_names_the_file() {
        let error = write_atomically(Path::new("/nowhere/at/all"), b"", 0o600).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/at/all"));
    }
}
