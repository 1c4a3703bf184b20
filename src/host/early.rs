//! Telling what ends a program before its own log is open. monit 5.2.5 gives what it starts and stops /dev/null for
//! stderr, so that a line there is read by nobody.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown};

use crate::log::{self, Level};
use crate::trust::{self, Way};

/// Where the VM's own log listens.
const SYSLOG: &str = "/dev/log";
/// Facility daemon (3), severity error (3).
const DAEMON_ERROR: u8 = 3 * 8 + 3;

/// Tells why a program failed: in its log, or in the VM's where that cannot be written.
pub fn tell(program: &str, log: &Path, why: &str) {
    let event = format!("{}.failed", program.trim_start_matches("galera-"));
    let line = log::now_line(Level::Error, &event, &[("why", &why)]);
    if let Err(e) = append(log, &line) {
        let _ = to_syslog(Path::new(SYSLOG), program, &format!("{why} (not in its log: {e:#})"));
    }
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = if Uid::effective().is_root() {
        opened_by_root(path)?
    } else {
        OpenOptions::new().create(true).append(true).mode(0o640).open(path)?
    };
    Ok(file.write_all(line.as_bytes())?)
}

/// Root opens a log in a folder that another user may write: only what lies there, and a new one is that user's.
fn opened_by_root(path: &Path) -> Result<File> {
    let (parent, name) = path.parent().zip(path.file_name()).context("a log needs a folder")?;
    let Way::Whole(folder) = trust::folder(parent, false)? else {
        bail!("{} lies in a folder that others than root can write", parent.display());
    };
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND;
    let open = |flags| trust::file_in(&folder, Path::new(name), flags, 0o640);
    match open(flags) {
        Err(e) if e.downcast_ref() == Some(&Errno::ENOENT) => {
            let (new, of) = (open(flags | OFlag::O_CREAT | OFlag::O_EXCL)?, fstat(&folder)?);
            fchown(&new, Some(Uid::from_raw(of.st_uid)), Some(Gid::from_raw(of.st_gid)))?;
            // As BOSH makes a job's folder: root's, and open for the group.
            fchmod(&new, Mode::from_bits_truncate(0o660))?;
            Ok(new.into())
        }
        other => Ok(other?.into()),
    }
}

fn to_syslog(socket: &Path, program: &str, what: &str) -> std::io::Result<()> {
    let line = format!("<{DAEMON_ERROR}>{program}[{}]: {}", std::process::id(), what.replace('\n', " "));
    let to = UnixDatagram::unbound()?;
    to.set_nonblocking(true)?;
    to.send_to(line.as_bytes(), socket).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn d5_a_failure_is_told_in_the_log_before_that_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("galera-start.log");
        for n in 1..=2 {
            tell("galera-start", &log, "no disk");
            let text = fs::read_to_string(&log).unwrap();
            assert_eq!(text.lines().count(), n);
            assert!(text.contains(" ERROR start.failed instance=- position=- why=\"no disk\""), "{text}");
        }
    }

    #[test]
    fn d5_the_vms_own_log_has_it_where_the_log_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let heard = UnixDatagram::bind(dir.path().join("log")).unwrap();
        to_syslog(&dir.path().join("log"), "galera-start", "a\nb").unwrap();
        let mut buffer = [0; 200];
        let length = heard.recv(&mut buffer).unwrap();
        let expected = format!("<27>galera-start[{}]: a b", std::process::id());
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);
    }

    #[test]
    fn c1_root_writes_no_log_through_a_link_and_leaves_none_that_its_user_cannot_write() {
        if !Uid::effective().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (theirs, secret) = (dir.path().join("log"), dir.path().join("shadow"));
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(65_534), Some(65_534)).unwrap();
        fs::write(&secret, "root").unwrap();
        symlink(&secret, theirs.join("link")).unwrap();
        fs::hard_link(&secret, theirs.join("second")).unwrap();
        assert!(append(&theirs.join("link"), "x").is_err() && append(&theirs.join("second"), "x").is_err());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "root");
        append(&theirs.join("new"), "x").unwrap();
        assert_eq!(fs::metadata(theirs.join("new")).unwrap().uid(), 65_534);
        chown(&theirs, Some(0), None).unwrap();
        append(&theirs.join("another"), "x").unwrap();
        let meta = fs::metadata(theirs.join("another")).unwrap();
        assert_eq!((meta.gid(), meta.permissions().mode() & 0o777), (65_534, 0o660));
    }
}
