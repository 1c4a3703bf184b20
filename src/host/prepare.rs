//! Directories, ownership and the empty data directory. Idempotent: it may run at any moment and again,
//! because after a reboot BOSH runs no pre-start and `/var/vcap/sys/run` is empty.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, User, fchown};

use super::files::{rename_durably, sync_disk_of};
use super::observe::free_bytes;
use crate::config::MemberConfig;
use crate::trust::{self, Way};

/// The user to run as.
pub fn user(name: &str) -> Result<User> {
    User::from_name(name)
        .with_context(|| format!("look up user {name}"))?
        .with_context(|| format!("there is no user {name} on this VM"))
}

/// What a program needs on its VM before it does anything.
#[derive(Debug, Default)]
pub struct Needs<'a> {
    /// Directories that belong to its user.
    pub directories: Vec<&'a Path>,
    /// Files that nobody else may read.
    pub private_files: &'a [PathBuf],
    /// Those of them that say what root does. They stay root's: its user reads them, and cannot write them.
    pub configuration: Vec<&'a Path>,
}

impl Needs<'_> {
    /// What only root can do, and nothing where another user could have put a link in the way.
    fn as_root(&self, owner: &User) -> Result<()> {
        for directory in &self.directories {
            // Where others can write it is left to the owner, who gets no more by a link than is his already.
            if let Way::Whole(folder) = trust::folder(directory, true)? {
                give(&folder, owner.uid, owner.gid, 0o750)
                    .with_context(|| format!("give {} to {}", directory.display(), owner.name))?;
            }
        }
        for file in self.private_files.iter().filter(|f| f.exists()) {
            let (parent, name) = file.parent().zip(file.file_name()).context("a private file has no folder")?;
            if let Way::Whole(folder) = trust::folder(parent, false)?
                && trust::only_root_writes(&folder)?
            {
                let (user, mode) =
                    if self.is_configuration(file) { (Uid::from_raw(0), 0o640) } else { (owner.uid, 0o600) };
                trust::file_in(&folder, Path::new(name), OFlag::O_RDONLY, 0)
                    .and_then(|open| give(&open, user, owner.gid, mode))
                    .with_context(|| format!("close {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Also one that another program was given, or this one at another time: each of ours is such a file.
    fn is_configuration(&self, file: &Path) -> bool {
        self.configuration.contains(&file) || file.extension().is_some_and(|kind| kind == "yml")
    }

    /// The rest, as the user that we are now.
    fn as_owner(&self) -> Result<()> {
        for directory in &self.directories {
            let mut folder = fs::DirBuilder::new();
            let made = folder.recursive(true).mode(0o750).create(directory);
            made.with_context(|| format!("make directory {}", directory.display()))?;
        }
        for file in self.private_files.iter().filter(|f| !self.is_configuration(f)) {
            if fs::metadata(file).is_ok_and(|meta| meta.uid() == Uid::effective().as_raw()) {
                fs::set_permissions(file, fs::Permissions::from_mode(0o600))
                    .with_context(|| format!("close {}", file.display()))?;
            }
        }
        Ok(())
    }
}

/// Gives an open file or folder away; one that belongs to somebody else already is left to him.
fn give(open: &OwnedFd, owner: Uid, group: Gid, mode: u32) -> Result<()> {
    let found = fstat(open)?;
    let now = Uid::from_raw(found.st_uid);
    ensure!(now.is_root() || now == owner, "it belongs to user {now}");
    // A disk that takes no write is no reason not to look at what is on it.
    if now == owner && found.st_gid == group.as_raw() && found.st_mode & 0o7777 == mode {
        return Ok(());
    }
    fchown(open, Some(owner), Some(group))?;
    Ok(fchmod(open, Mode::from_bits_truncate(mode))?)
}

/// Makes what is needed and gives root up for good: as root only what root must do, the rest as this user.
pub fn give_up_root(name: &str, needs: &[Needs]) -> Result<()> {
    if Uid::effective().is_root() {
        let owner = user(name)?;
        needs.iter().try_for_each(|needs| needs.as_root(&owner))?;
    }
    become_user(name)?;
    needs.iter().try_for_each(Needs::as_owner)
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

/// What a member needs, where its disk is there. `configuration` says which files its programs were given.
pub fn of_member<'a>(config: &'a MemberConfig, configuration: &[&'a Path]) -> Result<Needs<'a>> {
    let parent = config.mariadb.data_dir.parent().context("mariadb.data_dir has no parent directory")?;
    let paths = &config.paths;
    if let Some(disk) = &paths.persistent_disk {
        mounted(disk)?;
    }
    Ok(Needs {
        directories: vec![parent, &paths.state_dir, &paths.run_dir, &paths.log_dir, &paths.tmp_dir],
        private_files: &paths.private_files,
        configuration: configuration.iter().copied().chain([&*paths.seed_file]).collect(),
    })
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
    // Its tables' definitions are files that nobody else syncs.
    sync_disk_of(&beside)?;
    rename_durably(&beside, data_dir)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    /// What root gives to `nobody`, in a folder with this layout.
    struct Vm(tempfile::TempDir);

    impl Vm {
        fn new() -> Option<Vm> {
            Uid::effective().is_root().then(|| Vm(tempfile::tempdir().unwrap()))
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// A folder that is not root's.
        fn theirs(&self, name: &str) {
            fs::create_dir_all(self.at(name)).unwrap();
            chown(self.at(name), Some(nobody().uid.as_raw()), None).unwrap();
        }

        fn prepare(&self, directories: &[&str], private: &[&str], configuration: &[&str]) -> Result<()> {
            let [directories, private_files, configuration] =
                [directories, private, configuration].map(|names| names.iter().map(|n| self.at(n)).collect::<Vec<_>>());
            let needs = Needs {
                directories: directories.iter().map(|d| &**d).collect(),
                private_files: &private_files,
                configuration: configuration.iter().map(|c| &**c).collect(),
            };
            needs.as_root(&nobody())
        }

        fn stat(&self, name: &str) -> (u32, u32) {
            let meta = fs::metadata(self.at(name)).unwrap();
            (meta.uid(), meta.mode() & 0o777)
        }
    }

    fn nobody() -> User {
        user("nobody").unwrap()
    }

    #[test]
    fn c1_root_gives_away_nothing_that_a_link_points_to() {
        let Some(vm) = Vm::new() else { return };
        vm.theirs("store/mariadb");
        fs::create_dir(vm.at("etc")).unwrap();
        fs::write(vm.at("shadow"), "root").unwrap();
        let before = (vm.stat("etc"), vm.stat("shadow"));
        // What `vcap` may do in a folder that it owns.
        symlink(vm.at("etc"), vm.at("store/mariadb/galera")).unwrap();
        symlink(vm.at("shadow"), vm.at("store/mariadb/key")).unwrap();
        fs::hard_link(vm.at("shadow"), vm.at("store/mariadb/second")).unwrap();
        let directories = ["store/mariadb", "store/mariadb/galera", "store/mariadb/galera/below"];
        vm.prepare(&directories, &["store/mariadb/key", "store/mariadb/second"], &[]).unwrap();
        assert_eq!((vm.stat("etc"), vm.stat("shadow")), before);
        assert!(fs::read_dir(vm.at("etc")).unwrap().next().is_none());
        // Nor where the database's user got at what leads there.
        symlink(vm.at("etc"), vm.at("run")).unwrap();
        std::os::unix::fs::lchown(vm.at("run"), Some(nobody().uid.as_raw()), None).unwrap();
        assert!(vm.prepare(&["run"], &[], &[]).is_err());
        assert_eq!(vm.stat("etc"), before.0);
    }

    #[test]
    fn c1_root_makes_what_only_root_can_make() {
        let Some(vm) = Vm::new() else { return };
        vm.prepare(&["store/mariadb", "store/mariadb/galera"], &[], &[]).unwrap();
        let nobody = nobody().uid.as_raw();
        assert_eq!((vm.stat("store").0, vm.stat("store/mariadb")), (0, (nobody, 0o750)));
        assert!(!vm.at("store/mariadb/galera").exists(), "its owner makes that");
        // As BOSH leaves it for a job: open for the group.
        fs::create_dir(vm.at("log")).unwrap();
        fs::set_permissions(vm.at("log"), fs::Permissions::from_mode(0o770)).unwrap();
        vm.prepare(&["log"], &[], &[]).unwrap();
        assert_eq!(vm.stat("log"), (nobody, 0o750));
    }

    #[test]
    fn c1_a_configuration_stays_roots_and_a_key_is_its_users_alone() {
        let Some(vm) = Vm::new() else { return };
        for name in ["member.yml", "key", "galera-agent.yml"] {
            fs::write(vm.at(name), "").unwrap();
        }
        vm.prepare(&[], &["member.yml", "key", "none", "galera-agent.yml"], &["member.yml", "seed.yml"]).unwrap();
        assert_eq!(vm.stat("galera-agent.yml"), (0, 0o640), "another program was given that");
        assert_eq!(vm.stat("member.yml"), (0, 0o640));
        assert_eq!(fs::metadata(vm.at("member.yml")).unwrap().gid(), nobody().gid.as_raw());
        assert_eq!(vm.stat("key"), (nobody().uid.as_raw(), 0o600));
    }
}
