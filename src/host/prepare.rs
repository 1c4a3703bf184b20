//! Directories, ownership and the empty data directory. Idempotent: it may run at any moment and again,
//! because after a reboot BOSH runs no pre-start and `/var/vcap/sys/run` is empty.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid, User};

use super::files::rename_durably;
use super::observe::free_bytes;
use crate::config::MemberConfig;

/// The user to run as.
pub fn user(name: &str) -> Result<User> {
    User::from_name(name)
        .with_context(|| format!("look up user {name}"))?
        .with_context(|| format!("there is no user {name} on this VM"))
}

/// Makes directories that belong to `owner`, and takes files from everybody else. As root only; anybody
/// else must find them as they should be.
pub fn directories(owner: &str, directories: &[&Path], private_files: &[PathBuf]) -> Result<()> {
    let root = Uid::effective().is_root();
    let owner = user(owner)?;
    for directory in directories {
        fs::create_dir_all(directory).with_context(|| format!("make directory {}", directory.display()))?;
        if root {
            own(directory, &owner, 0o750)?;
        }
    }
    for file in private_files.iter().filter(|f| f.exists()) {
        if root {
            own(file, &owner, 0o600)?;
        }
    }
    Ok(())
}

fn own(path: &Path, owner: &User, mode: u32) -> Result<()> {
    chown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("give {} to {}", path.display(), owner.name))
}

/// A log file that this program's user may append to, whoever made it.
pub fn log_file(config: &MemberConfig, path: &Path) -> Result<()> {
    if Uid::effective().is_root() {
        directories(&config.mariadb.user, &[&config.paths.log_dir, &config.paths.run_dir], &[])?;
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.with_context(|| format!("open {}", path.display()))?;
        own(path, &user(&config.mariadb.user)?, 0o640)?;
    }
    Ok(())
}

/// Gives up root for good. What needs root must have been done before.
pub fn become_user(name: &str) -> Result<()> {
    let wanted = user(name)?;
    if Uid::effective() == wanted.uid {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        bail!("this must run as {name} or as root, which it gives up");
    }
    let name = std::ffi::CString::new(wanted.name.as_str()).context("user name")?;
    nix::unistd::initgroups(&name, wanted.gid)
        .and_then(|()| nix::unistd::setgid(wanted.gid))
        .and_then(|()| nix::unistd::setuid(wanted.uid))
        .with_context(|| format!("become {}", wanted.name))?;
    if Uid::effective() != wanted.uid || Gid::effective() != wanted.gid {
        bail!("could not become {}", wanted.name);
    }
    Ok(())
}

/// Everything of a member that needs root.
pub fn member(config: &MemberConfig) -> Result<()> {
    let parent = config.mariadb.data_dir.parent().context("mariadb.data_dir has no parent directory")?;
    let paths = &config.paths;
    if let Some(disk) = &paths.persistent_disk {
        mounted(disk)?;
    }
    directories(
        &config.mariadb.user,
        &[parent, &paths.state_dir, &paths.run_dir, &paths.log_dir, &paths.tmp_dir],
        &paths.private_files,
    )
}

/// Whether the persistent disk is there. Without it a database would be begun on the VM's own disk, and be gone
/// with the VM.
fn mounted(disk: &Path) -> Result<()> {
    // A bind mount, as containers have it, is on the same device as what is above it.
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let disk = fs::canonicalize(disk).unwrap_or_else(|_| disk.to_owned());
    if mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == disk)) {
        return Ok(());
    }
    bail!(
        "the persistent disk is not mounted at {}; nothing is written to the VM's own disk in its place",
        disk.display()
    );
}

/// Whether there is room for what an empty data directory grows to at once. One that has data is started
/// whatever its disk has left: the server says what it lacks.
pub fn room(config: &MemberConfig) -> Result<()> {
    let (data_dir, needed) = (&config.mariadb.data_dir, config.mariadb.initial_bytes);
    let parent = data_dir.parent().context("mariadb.data_dir has no parent directory")?;
    let free = free_bytes(parent).unwrap_or(u64::MAX);
    if !data_dir.exists() && free < needed {
        bail!(
            "{} has {} MiB free, and redo log and gcache alone take {} MiB: give it a larger disk, or make them smaller",
            parent.display(),
            free >> 20,
            needed >> 20
        );
    }
    Ok(())
}

/// Initialises the data directory if it is absent or empty: beside it first, then renamed, so that a
/// crash in between never leaves half of one. Returns whether anything was done.
pub fn data_directory(config: &MemberConfig) -> Result<bool> {
    let data_dir = &config.mariadb.data_dir;
    let occupied = match fs::read_dir(data_dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) => {
            return Err(e).with_context(|| format!("read data directory {}", data_dir.display()));
        }
    };
    if occupied {
        return Ok(false);
    }
    let beside = data_dir.with_extension("initialising");
    if beside.exists() {
        fs::remove_dir_all(&beside)
            .with_context(|| format!("remove what an interrupted initialisation left in {}", beside.display()))?;
    }
    fs::create_dir(&beside)
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(0o750)))
        .with_context(|| format!("make {}", beside.display()))?;
    let output = Command::new(&config.mariadb.install_program)
        .arg(format!("--defaults-file={}", config.mariadb.defaults_file.display()))
        .arg(format!("--datadir={}", beside.display()))
        .args(["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"])
        .arg(format!("--auth-root-socket-user={}", config.mariadb.admin_user))
        .current_dir(&beside)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", config.mariadb.install_program.display()))?;
    if !output.status.success() {
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let lines = || said.lines().map(str::trim).filter(|l| !l.is_empty());
        let why = lines().find(|l| l.contains("ERROR")).or(lines().next_back()).unwrap_or("it said nothing");
        bail!("{} ended with {}: {why}", config.mariadb.install_program.display(), output.status);
    }
    rename_durably(&beside, data_dir)?;
    Ok(true)
}
