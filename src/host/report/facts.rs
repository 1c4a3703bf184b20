//! Facts of the VM: processes, sockets, disks, kernel, versions, configuration.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Enough, Teller};
use crate::config::MemberConfig;
use crate::galera::moment::Moment;
use crate::host::processes;

pub(super) fn tell(to: &mut Teller, config: &MemberConfig) -> Result<(), Enough> {
    tell_processes(to)?;
    to.lines("sockets.txt", sockets().into_iter())?;
    to.lines("disks.txt", disks(config).into_iter())?;
    tell_data_dir(to, &config.mariadb.data_dir)?;
    tell_kernel(to)
}

fn tell_processes(to: &mut Teller) -> Result<(), Enough> {
    let masking = to.masking.clone();
    let lines = processes::all().into_iter().map(|process| {
        let command = if process.arguments.is_empty() {
            format!("[{}]", process.name)
        } else {
            masking.command(&process.arguments)
        };
        let processes::Seen { pid, parent, user, state, resident_kib, .. } = process;
        format!("{pid:>8} {parent:>8} {user:>6} {state} {resident_kib:>10} {command}")
    });
    let head = format!("{:>8} {:>8} {:>6} S {:>10} command", "pid", "parent", "uid", "KiB");
    to.lines("processes.txt", std::iter::once(head).chain(lines))
}

/// TCP sockets as /proc shows them, addresses made readable.
fn sockets() -> Vec<String> {
    const STATES: [&str; 12] = [
        "?",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
    ];
    /// A server with many clients has many sockets.
    const MOST: usize = 2000;
    let mut lines = vec!["state        local                          remote".to_owned()];
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        lines.extend(text.lines().skip(1).take(MOST).filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
            let state = usize::from_str_radix(state, 16).ok().and_then(|s| STATES.get(s)).unwrap_or(&"?");
            Some(format!("{state:<12} {:<30} {}", endpoint(local)?, endpoint(remote)?))
        }));
    }
    lines
}

fn endpoint(hex: &str) -> Option<String> {
    let (address, port) = hex.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<u32> = (0..address.len() / 8)
        .filter_map(|at| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok())
        .collect();
    // Each word is in the machine's own order.
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(format!("{}:{port}", std::net::Ipv4Addr::from(four)));
    }
    let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(format!("[{}]:{port}", std::net::Ipv6Addr::from(sixteen)))
}

fn disks(config: &MemberConfig) -> Vec<String> {
    let paths = &config.paths;
    let mut lines = vec![format!("{:>12} {:>12} {:>12} {:>12}  directory", "MiB", "MiB free", "inodes", "free")];
    for dir in [
        &config.mariadb.data_dir,
        &paths.state_dir,
        &paths.log_dir,
        &paths.run_dir,
        &paths.tmp_dir,
        &PathBuf::from("/"),
    ] {
        lines.push(match nix::sys::statvfs::statvfs(dir.as_path()) {
            Ok(space) => {
                let mib = |blocks: u64| blocks.saturating_mul(space.fragment_size()) >> 20;
                let (all, free) = (mib(space.blocks()), mib(space.blocks_available()));
                let (inodes, left) = (space.files(), space.files_available());
                format!("{all:>12} {free:>12} {inodes:>12} {left:>12}  {}", dir.display())
            }
            Err(e) => format!("{}: {e}", dir.display()),
        });
    }
    lines
}

/// Names and sizes of what Galera left behind, and of the largest files; never a content.
fn tell_data_dir(to: &mut Teller, dir: &Path) -> Result<(), Enough> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) => return to.missing("data-directory.txt", &format!("{}: {e}", dir.display())),
    };
    let mut lines: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = [
                "GRA_",
                "galera.",
                "gvwstate",
                "grastate",
                "ib",
                "sst_",
                "wsrep_",
                "aria_log",
                "undo",
                "core",
                "xtrabackup_",
            ];
            let metadata = entry.metadata().ok().filter(|_| known.iter().any(|k| name.starts_with(k)))?;
            Some(format!("{:>14}  {}  {name}", metadata.size(), Moment::from(metadata.modified().ok()?).rfc3339()))
        })
        .collect();
    lines.sort_by(|a, b| a.get(14..).cmp(&b.get(14..)));
    to.lines("data-directory.txt", lines.into_iter())
}

/// What the kernel says of memory and disks, as far as this user may read it.
fn tell_kernel(to: &mut Teller) -> Result<(), Enough> {
    let mut lines = Vec::new();
    for (name, path) in [
        ("load", "/proc/loadavg"),
        ("up", "/proc/uptime"),
        ("memory", "/proc/meminfo"),
        ("pressure of cpu", "/proc/pressure/cpu"),
        ("pressure of io", "/proc/pressure/io"),
        ("pressure of memory", "/proc/pressure/memory"),
        ("killed for want of memory", "/proc/vmstat"),
    ] {
        let text = fs::read_to_string(path).unwrap_or_default();
        let kept = text.lines().filter(|l| path != "/proc/vmstat" || l.starts_with("oom_kill"));
        lines.extend(kept.map(|line| format!("{name}: {line}")));
    }
    to.lines("kernel.txt", lines.into_iter())?;
    match kernel_messages() {
        Ok(messages) => to.lines("kernel-messages.txt", messages.into_iter()),
        Err(e) => to.missing("kernel-messages.txt", &format!("/dev/kmsg: {e}")),
    }
}

fn kernel_messages() -> io::Result<Vec<String>> {
    const WORDS: [&str; 14] = [
        "oom",
        "out of memory",
        "killed process",
        "i/o error",
        "ext4-fs error",
        "xfs",
        "blk_update",
        "remount",
        "hung",
        "blocked for more",
        "mariadbd",
        "mysqld",
        "nf_conntrack",
        "segfault",
    ];
    const MOST: usize = 500;
    let mut device = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/kmsg")?;
    let (mut found, mut record) = (std::collections::VecDeque::new(), vec![0; 8192]);
    loop {
        match device.read(&mut record) {
            Ok(0) => break,
            Ok(read) => {
                let text = String::from_utf8_lossy(record.get(..read).unwrap_or_default()).into_owned();
                let line = text.lines().next().unwrap_or_default().to_owned();
                let small = line.to_ascii_lowercase();
                if WORDS.iter().any(|word| small.contains(word)) {
                    found.push_back(line);
                    if found.len() > MOST {
                        found.pop_front();
                    }
                }
            }
            // A record that was overwritten meanwhile.
            Err(e) if e.raw_os_error() == Some(nix::libc::EPIPE) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(found.into())
}

pub(super) fn tell_versions(to: &mut Teller, config: &MemberConfig) -> Result<(), Enough> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut lines = vec![
        format!("mariadb-galera {}", env!("CARGO_PKG_VERSION")),
        format!("mariadbd: {}", version_of(&config.mariadb.program)),
        format!("kernel: {}", read("/proc/version")),
    ];
    let os = read("/etc/os-release");
    lines.extend(os.lines().filter(|l| l.starts_with("PRETTY_NAME")).map(str::to_owned));
    for name in ["deployment", "name", "id", "az"] {
        lines.push(format!("bosh {name}: {}", read(&format!("/var/vcap/instance/{name}"))));
    }
    to.lines("versions.txt", lines.into_iter())
}

/// What a program says of itself, if it does so soon.
fn version_of(program: &Path) -> String {
    const LIMIT: Duration = Duration::from_secs(1);
    let child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return format!("{}: {e}", program.display()),
    };
    let begun = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if begun.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return "it does not say so in time".into();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut said = String::new();
    let _ = child.stdout.take().map(|out| out.take(500).read_to_string(&mut said));
    said.trim().to_owned()
}

/// The rendered configuration in this directory, masked.
pub(super) fn tell_configuration(to: &mut Teller, dir: &Path) -> Result<(), Enough> {
    let job = dir.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    for (path, name) in files_below(dir) {
        to.small_file(&format!("config/{job}/{name}"), &path, true)?;
    }
    Ok(())
}

/// The files of a directory and of those in it.
fn files_below(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let names = |dir: &Path| {
        let mut entries: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
        entries.sort();
        entries
    };
    for path in names(dir) {
        let deeper = if path.is_dir() { names(&path) } else { vec![path.clone()] };
        for file in deeper.into_iter().filter(|f| f.is_file()) {
            if let Ok(name) = file.strip_prefix(dir) {
                let name = name.to_string_lossy().into_owned();
                found.push((file, name));
            }
        }
    }
    found
}

/// A file as text, as far as it is not larger than that.
pub(super) fn read_small(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_made_readable() {
        let four = endpoint("0100007F:2BCB");
        assert_eq!(four.as_deref(), Some("127.0.0.1:11211"));
        assert_eq!(endpoint("00000000000000000000000001000000:0050").as_deref(), Some("[::1]:80"));
        assert_eq!(endpoint("xyz"), None);
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert!(version_of(Path::new("/nowhere")).contains("/nowhere"));
    }
}
