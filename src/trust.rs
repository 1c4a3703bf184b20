//! What root may believe, and where it may write: only what nobody but root can change under its hands. Most folders
//! of a VM belong to the user that runs the database, and whoever gets hold of that user must not get root with it.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::Uid;

/// The bit of a folder in which everybody removes and renames only what is his own.
const STICKY: u32 = 0o1000;
/// Others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;
const FORMAT: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
/// So many links a way may have, as the kernel has it.
const MOST_LINKS: u32 = 40;

/// Whether nobody but root and ourselves can change this file, by writing it or by putting another one in its place.
/// Returns it as it is called without links.
pub fn only_ours(path: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(path).context("look at it")?;
    for at in real.ancestors() {
        let (meta, shown) = (fs::symlink_metadata(at).context("look at it")?, at.display());
        let ours = meta.uid() == 0 || meta.uid() == Uid::effective().as_raw();
        ensure!(ours, "{shown} belongs to another user than root");
        let open = meta.mode() & OTHERS_WRITE != 0 && !(meta.is_dir() && meta.mode() & STICKY != 0);
        ensure!(!open, "others than its owner may write {shown}");
    }
    Ok(real)
}

/// How far root may go on a way.
#[derive(Debug)]
pub enum Way {
    /// To its end: nobody but root can change what leads there.
    Whole(OwnedFd),
    /// To a folder that somebody else can write. What lies in it is for those who own it.
    Theirs,
}

/// Opens a folder, and makes it where it is missing and `make` says so, without following what another user put there.
pub fn folder(path: &Path, make: bool) -> Result<Way> {
    walk(path, make).with_context(|| format!("{} {}", if make { "make" } else { "open" }, path.display()))
}

fn walk(path: &Path, make: bool) -> Result<Way> {
    ensure!(path.is_absolute(), "expected an absolute path");
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = || open("/", flags, Mode::empty()).context("open /");
    let (mut at, mut ahead, mut links) = (root()?, reversed(path), 0);
    while let Some(name) = ahead.pop() {
        if !only_root_writes(&at)? {
            return Ok(Way::Theirs);
        }
        match fstatat(&at, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            // Root's own links are followed: /var/vcap/sys is one on a stemcell.
            Ok(stat) if stat.st_mode & FORMAT == LINK => {
                links += 1;
                ensure!(stat.st_uid == 0 && links <= MOST_LINKS, "{} is a link of another user", name.display());
                let target = PathBuf::from(readlinkat(&at, name.as_os_str())?);
                if target.is_absolute() {
                    at = root()?;
                }
                ahead.extend(reversed(&target));
                continue;
            }
            Err(Errno::ENOENT) if make => match mkdirat(&at, name.as_os_str(), Mode::from_bits_truncate(0o755)) {
                Err(Errno::EEXIST) => {}
                made => made?,
            },
            other => drop(other?),
        }
        at = openat(&at, name.as_os_str(), flags, Mode::empty()).with_context(|| name.display().to_string())?;
    }
    Ok(Way::Whole(at))
}

fn reversed(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// Whether nobody else can put anything in place of what root looks at in this folder.
pub fn only_root_writes(folder: &OwnedFd) -> Result<bool> {
    let stat = fstat(folder)?;
    Ok(stat.st_uid == 0 && (stat.st_mode & OTHERS_WRITE == 0 || stat.st_mode & STICKY != 0))
}

/// Opens a file in this folder, whoever can write there, and nothing that lies elsewhere: no link, and no second name
/// of another file.
pub fn file_in(folder: &OwnedFd, name: &Path, flags: OFlag, mode: u32) -> Result<OwnedFd> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(folder, name, flags, Mode::from_bits_truncate(mode)) {
        Err(Errno::ELOOP) => bail!("{} is a link", name.display()),
        opened => opened?,
    };
    let stat = fstat(&file)?;
    ensure!(stat.st_mode & FORMAT == REGULAR, "{} is no file", name.display());
    // A second name may have been taken away after the first was opened.
    let named = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let same = (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino);
    ensure!(same && named.st_nlink == 1, "{} is not what it was, or has other names as well", name.display());
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn c1_a_way_is_gone_as_far_as_root_alone_can_change_it() {
        if !Uid::effective().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str| dir.path().join(name);
        let whole = |path: &Path, make| matches!(folder(path, make), Ok(Way::Whole(_)));
        assert!(whole(&of("a/b"), true) && of("a/b").is_dir(), "made");
        assert!(folder(&of("none"), false).is_err());
        symlink("a/../a/b", of("own")).unwrap();
        assert!(whole(&of("own"), false), "a link of root's is followed");
        fs::create_dir(of("theirs")).unwrap();
        chown(of("theirs"), Some(65_534), None).unwrap();
        symlink("/etc", of("theirs/x")).unwrap();
        assert!(whole(&of("theirs"), false), "it is itself where root put it");
        for path in ["theirs/x", "theirs/new"] {
            assert!(matches!(folder(&of(path), true), Ok(Way::Theirs)), "{path}");
        }
        assert!(!of("theirs/new").exists());
        for (bits, far) in [(0o770, false), (0o1777, true), (0o750, true)] {
            mode(&of("a"), bits);
            assert_eq!(whole(&of("a/b"), false), far, "{bits:o}");
        }
        std::os::unix::fs::lchown(of("own"), Some(65_534), None).unwrap();
        mode(dir.path(), 0o1777);
        assert!(format!("{:#}", folder(&of("own"), false).unwrap_err()).contains("is a link of another user"));
    }

    #[test]
    fn c1_a_file_is_believed_that_nobody_else_can_write_or_replace() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str| dir.path().join(name);
        fs::create_dir(of("a")).unwrap();
        fs::write(of("a/x"), "").unwrap();
        symlink("a", of("link")).unwrap();
        assert_eq!(only_ours(&of("link/x")).unwrap(), fs::canonicalize(of("a/x")).unwrap());
        for (path, bits, why) in [("a/x", 0o660, "may write"), ("a", 0o777, "may write"), ("a", 0o775, "may write")] {
            let before = fs::metadata(of(path)).unwrap().permissions();
            mode(&of(path), bits);
            assert!(only_ours(&of("a/x")).unwrap_err().to_string().contains(why), "{path} {bits:o}");
            fs::set_permissions(of(path), before).unwrap();
        }
        if Uid::effective().is_root() {
            for path in ["a/x", "a"] {
                chown(of(path), Some(65_534), None).unwrap();
                assert!(only_ours(&of("a/x")).unwrap_err().to_string().contains("another user"), "{path}");
                chown(of(path), Some(0), None).unwrap();
            }
        }
    }

    #[test]
    fn c1_a_file_is_opened_where_it_is_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = open(dir.path(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        let append = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND;
        let opened = |name: &str| file_in(&folder, Path::new(name), append, 0o640);
        assert!(opened("log").is_ok());
        fs::write(dir.path().join("secret"), "").unwrap();
        symlink("secret", dir.path().join("link")).unwrap();
        fs::hard_link(dir.path().join("secret"), dir.path().join("second")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("pipe"), Mode::S_IRWXU).unwrap();
        for name in ["link", "second", "pipe"] {
            assert!(opened(name).is_err(), "{name}");
        }
    }
}
