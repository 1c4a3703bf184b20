//! Where incident reports lie: one folder each, the last few kept, and no more than the disk can spare.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::observe::free_bytes;
use super::random::random_uuid;
use crate::galera::moment::Moment;

/// So many are kept.
const KEPT: usize = 5;
/// All that are kept are no larger than this together; the oldest go first.
const LARGEST: u64 = 256 * 1024 * 1024;
/// Nothing is written where less would be left: the database needs the disk more.
const FLOOR: u64 = 256 * 1024 * 1024;

/// A folder for a new report: `20261121T083915Z-5b2c01ff`, open to its owner and group only.
pub fn begin(parent: &Path) -> Result<PathBuf> {
    if !parent.exists() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(parent);
        made.with_context(|| format!("make {}", parent.display()))?;
    }
    if free_bytes(parent).is_some_and(|free| free < FLOOR) {
        bail!("less than {} MiB are free in {}; nothing is written there", FLOOR >> 20, parent.display());
    }
    let now = Moment::from(SystemTime::now()).to_string().replace(['-', ':'], "").replace(' ', "T");
    let id = random_uuid()?.to_string();
    let dir = parent.join(format!("{now}Z-{}", id.get(..8).unwrap_or_default()));
    fs::DirBuilder::new().mode(0o750).create(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}

/// All reports here, oldest first.
pub fn kept(parent: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<PathBuf> = names.filter(|p| p.is_dir() && is_ours(p)).collect();
    found.sort();
    found
}

/// Whether one was begun here less than so long ago.
pub fn newer_than(parent: &Path, age: Duration) -> bool {
    let begun = kept(parent).pop().and_then(|dir| fs::metadata(dir).and_then(|m| m.modified()).ok());
    begun.is_some_and(|at| at.elapsed().is_ok_and(|passed| passed < age))
}

/// Nothing else in the folder is ever removed.
fn is_ours(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let digits = |text: Option<&str>| text.is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
    name.len() == 25
        && digits(name.get(..8))
        && name.get(8..9) == Some("T")
        && digits(name.get(9..15))
        && name.get(15..17) == Some("Z-")
        && name.get(17..).is_some_and(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Packs all of this folder but these into `bundle.tar.gz` in it, and removes what was packed.
///
/// The system's `tar` does it: every stemcell has it, for BOSH itself needs it, and it streams.
pub fn pack(dir: &Path, beside: &[&str]) -> Result<PathBuf> {
    let (parent, name) = dir.parent().zip(dir.file_name()).context("a report needs a folder of its own")?;
    // Outside of what is packed: tar minds a folder that changes under it.
    let unfinished = unfinished(dir);
    let bundle = dir.join("bundle.tar.gz");
    // New, and ours: what somebody else put there is not written over.
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(&unfinished);
    let output = Command::new("tar")
        .args(["--create", "--gzip", "--owner=0", "--group=0", "--directory"])
        .arg(parent)
        .arg(name)
        .stdin(Stdio::null())
        .stdout(file.with_context(|| format!("make {}", unfinished.display()))?)
        .output()
        .context("run tar")?;
    if !output.status.success() {
        let _ = fs::remove_file(&unfinished);
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("tar ended with {}: {}", output.status, said.lines().next().unwrap_or_default());
    }
    fs::rename(&unfinished, &bundle).with_context(|| format!("name {}", bundle.display()))?;
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.flatten() {
        let path = entry.path();
        let stays = path == bundle || beside.iter().any(|name| path.ends_with(name));
        match path.is_dir() {
            _ if stays => {}
            true => fs::remove_dir_all(&path)?,
            false => fs::remove_file(&path)?,
        }
    }
    Ok(bundle)
}

/// Opens a finished report to its owner's group, and removes the oldest ones.
pub fn finish(dir: &Path) -> Result<()> {
    close(dir)?;
    for entry in fs::read_dir(dir)?.flatten() {
        close(&entry.path())?;
    }
    let parent = dir.parent().context("a report needs a folder of its own")?;
    let mut all = kept(parent);
    let size = |dirs: &[PathBuf]| dirs.iter().map(|d| size_of(d)).sum::<u64>();
    while all.len() > KEPT || (all.len() > 1 && size(&all) > LARGEST) {
        let oldest = all.remove(0);
        fs::remove_dir_all(&oldest).with_context(|| format!("remove {}", oldest.display()))?;
        // Left where whoever packed it was killed meanwhile.
        let _ = fs::remove_file(unfinished(&oldest));
    }
    Ok(())
}

/// Where the bundle of this report is made.
fn unfinished(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    dir.with_file_name(format!(".{name}.unfinished"))
}

fn size_of(dir: &Path) -> u64 {
    fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|e| Some(e.metadata().ok()?.len())).sum()
}

/// Open to owner and group, whatever it is; a link is left alone, with what it points to.
fn close(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let mode = if meta.is_dir() { 0o750 } else { 0o640 };
    if !meta.is_symlink() {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("close {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h15_the_last_five_are_kept_and_nothing_else_is_touched() {
        let place = tempfile::tempdir().unwrap();
        let parent = place.path().join("incidents");
        fs::create_dir(&parent).unwrap();
        fs::create_dir(parent.join("mine")).unwrap();
        for day in 1..=7 {
            fs::create_dir(parent.join(format!("2026110{day}T000000Z-0000000{day}"))).unwrap();
        }
        let dir = begin(&parent).unwrap();
        fs::create_dir(dir.join("mysql-0")).unwrap();
        fs::write(dir.join("mysql-0/x.log"), "x").unwrap();
        fs::write(dir.join("report.txt"), "what").unwrap();
        let bundle = pack(&dir, &["report.txt"]).unwrap();
        finish(&dir).unwrap();
        assert!(bundle.exists() && dir.join("report.txt").exists() && !dir.join("mysql-0").exists());
        assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o640);
        let packed = Command::new("tar").arg("tzf").arg(&bundle).output().unwrap();
        let packed = String::from_utf8(packed.stdout).unwrap();
        assert!(packed.contains("/mysql-0/x.log") && packed.contains("/report.txt") && !packed.contains("unfinished"));
        let left = kept(&parent);
        assert_eq!(left.len(), 5);
        assert!(left.contains(&dir) && parent.join("mine").exists());
        assert!(newer_than(&parent, Duration::from_secs(60)) && !newer_than(place.path(), Duration::from_secs(60)));
    }

    #[test]
    fn c1_a_report_changes_nothing_that_a_link_points_to() {
        use std::os::unix::fs::symlink;

        let place = tempfile::tempdir().unwrap();
        let (parent, secret) = (place.path().join("incidents"), place.path().join("shadow"));
        fs::write(&secret, "root").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let dir = begin(&parent).unwrap();
        symlink(&secret, dir.join("report.txt")).unwrap();
        symlink(&secret, unfinished(&dir)).unwrap();
        assert!(pack(&dir, &["report.txt"]).is_err());
        fs::remove_file(unfinished(&dir)).unwrap();
        pack(&dir, &["report.txt"]).unwrap();
        finish(&dir).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "root");
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
