//! Processes, from /proc. A pid file proves nothing, in either direction (K3, K11).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::cluster::observation::{Process, ProcessMark};

/// One process as /proc shows it. Its start time tells it from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    /// Process id.
    pub pid: i32,
    started: u64,
}

impl Handle {
    /// The living process of this number; none if there is none, or only a zombie.
    pub fn of(pid: i32) -> Option<Handle> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may hold anything; the rest begins after the last bracket.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        // Field 22 of proc(5); two are gone before the bracket, one was the state.
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Handle { pid, started })
    }

    /// What tells this process from any other.
    pub fn mark(&self) -> ProcessMark {
        ProcessMark { pid: self.pid, started: self.started }
    }

    /// Whether this very process still lives.
    pub fn lives(&self) -> bool {
        Handle::of(self.pid) == Some(*self)
    }

    /// Sends a signal, if it still lives.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if !self.lives() {
            return Ok(());
        }
        gone_is_fine(kill(Pid::from_raw(self.pid), signal))
            .with_context(|| format!("send {signal} to process {}", self.pid))
    }

    /// Sends a signal to its whole process group, state transfer scripts included, if it leads one.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        let leads = nix::unistd::getpgid(Some(Pid::from_raw(self.pid))).is_ok_and(|g| g.as_raw() == self.pid);
        if !leads || !self.lives() {
            return self.signal(signal);
        }
        gone_is_fine(killpg(Pid::from_raw(self.pid), signal))
            .with_context(|| format!("send {signal} to process group {}", self.pid))
    }
}

fn gone_is_fine(sent: nix::Result<()>) -> nix::Result<()> {
    match sent {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}

/// Where a server reads its options that was not told where: as distributions start it.
const DISTRIBUTIONS: [&str; 2] = ["/etc/mysql/my.cnf", "/etc/my.cnf"];

/// Whether a server with these arguments has this defaults file.
fn reads(arguments: &[String], defaults_file: &Path) -> bool {
    match arguments.iter().find_map(|a| a.strip_prefix("--defaults-file=")) {
        Some(given) => Path::new(given) == defaults_file,
        None => DISTRIBUTIONS.iter().any(|d| Path::new(d) == defaults_file),
    }
}

/// The `mariadbd` that runs with this defaults file, and what its command line tells.
pub fn find_mariadbd(defaults_file: &Path) -> Option<(Handle, Process)> {
    let mut found: Vec<(Handle, Process)> = pids()
        .filter_map(|pid| {
            let arguments = arguments_of(pid)?;
            let server = Path::new(arguments.first()?).file_name().is_some_and(|n| n == "mariadbd" || n == "mysqld");
            (server && reads(&arguments, defaults_file)).then_some(())?;
            let handle = Handle::of(pid)?;
            Some((handle, described(handle.mark(), &arguments)))
        })
        .collect();
    // A recovery beside a server would be the lesser fact.
    found.sort_by_key(|(handle, process)| (process.recovering, handle.started));
    found.into_iter().next()
}

/// The `garbd` that runs with this working directory, and the name of its group.
pub fn find_garbd(workdir: &Path) -> Option<(Handle, String)> {
    let wanted = format!("--workdir={}", workdir.display());
    pids().find_map(|pid| {
        let arguments = arguments_of(pid)?;
        let garbd = Path::new(arguments.first()?).file_name().is_some_and(|n| n == "garbd");
        (garbd && arguments.contains(&wanted)).then_some(())?;
        let group = arguments.iter().find_map(|a| a.strip_prefix("--group="))?;
        Some((Handle::of(pid)?, group.to_owned()))
    })
}

/// In the environment of each `mariadbd` that is started here, and of all that it starts: its data directory.
pub const BELOW_MARIADBD: &str = "MARIADB_GALERA_BELOW";
/// What forks while it is killed is met in another round.
const ROUNDS: usize = 5;

/// Ends what a `mariadbd` left behind when it died, none if one runs on this data directory. The scripts of state transfers
/// live on, hold the port, and keep the other side's transfer waiting; so does what they started, which need not be in
/// their group: `timeout` makes one of its own. Returns how many there were.
pub fn end_orphaned_transfers(defaults_file: &Path, data_dir: &Path) -> Option<usize> {
    if find_mariadbd(defaults_file).is_some() {
        return None;
    }
    let mut ended = 0;
    for _ in 0..ROUNDS {
        // One that was begun by somebody else than us has no mark: then a script's group tells what is below it.
        let scripts = pids().filter(|pid| arguments_of(*pid).is_some_and(|a| transfers(&a, data_dir)));
        let groups: Vec<Pid> = scripts.filter_map(|pid| nix::unistd::getpgid(Some(Pid::from_raw(pid))).ok()).collect();
        let marked: Vec<i32> = pids().filter(|pid| is_below(*pid, data_dir)).collect();
        if groups.is_empty() && marked.is_empty() {
            break;
        }
        ended += marked.len().max(groups.len());
        for group in &groups {
            let _ = killpg(*group, Signal::SIGKILL);
        }
        for pid in &marked {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Some(ended)
}

fn is_below(pid: i32, data_dir: &Path) -> bool {
    let mark = [BELOW_MARIADBD.as_bytes(), b"=", data_dir.as_os_str().as_bytes()].concat();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|b| *b == 0).any(|variable| variable == mark) && Handle::of(pid).is_some()
}

fn transfers(arguments: &[String], data_dir: &Path) -> bool {
    arguments.iter().take(3).any(|word| word.contains("wsrep_sst_"))
        && arguments.iter().any(|word| Path::new(word) == data_dir)
}

fn described(mark: ProcessMark, arguments: &[String]) -> Process {
    let has = |name: &str| arguments.iter().any(|a| a.replace('_', "-") == name);
    let value = |wanted: &str| {
        let pairs = arguments.iter().filter_map(|a| a.split_once('='));
        pairs.filter(|(name, _)| name.replace('_', "-") == wanted).map(|(_, value)| value).next_back()
    };
    Process {
        pid: mark.pid,
        started: mark.started,
        new_cluster: has("--wsrep-new-cluster"),
        recovering: has("--wsrep-recover"),
        start_position: value("--wsrep-start-position").and_then(|p| p.parse().ok()),
        group: value("--wsrep-cluster-name").map(str::to_owned),
        state_transfer: descendants(mark.pid).iter().any(|child| {
            arguments_of(*child).is_some_and(|a| a.iter().take(3).any(|word| word.contains("wsrep_sst_")))
        }),
    }
}

/// The process of this program that was given this file, and not one that it forked itself.
pub fn find_program(program: &str, file: &Path) -> Option<Handle> {
    let runs = |pid: i32| {
        let arguments = arguments_of(pid).unwrap_or_default();
        let named = arguments.first().is_some_and(|a| Path::new(a).file_name().is_some_and(|n| n == program));
        named && arguments.iter().any(|a| Path::new(a) == file)
    };
    pids().filter(|pid| runs(*pid) && !parent_of(*pid).is_some_and(runs)).find_map(Handle::of)
}

/// Ends this program, with all that it started, where it was told to connect to this socket. Whether there was one.
pub fn end_clients_of(program: &Path, socket: &Path) -> bool {
    let wanted = format!("--socket={}", socket.display());
    let client = |pid: &i32| {
        arguments_of(*pid)
            .is_some_and(|a| a.first().is_some_and(|first| Path::new(first) == program) && a.contains(&wanted))
    };
    // It leads its group; a process that it forked and that has its arguments still goes with it.
    let found: Vec<Handle> = pids().filter(client).filter_map(Handle::of).collect();
    for handle in &found {
        let _ = handle.signal_group(Signal::SIGKILL);
    }
    !found.is_empty()
}

/// All processes below this one.
fn descendants(pid: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = pids().filter_map(|p| Some((p, parent_of(p)?))).collect();
    let mut below = vec![pid];
    let mut at = 0;
    while let Some(parent) = below.get(at).copied() {
        below.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(child, _)| *child));
        at += 1;
    }
    below.split_off(1)
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn arguments_of(pid: i32) -> Option<Vec<String>> {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<String> =
        raw.split(|b| *b == 0).filter(|a| !a.is_empty()).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
    (!arguments.is_empty()).then_some(arguments)
}

/// A process as a report shows it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Process id.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// The user that it runs as.
    pub user: u32,
    /// One letter of proc(5): `D` waits for a disk.
    pub state: char,
    /// Memory.
    pub resident_kib: u64,
    /// Its short name.
    pub name: String,
    /// Its command line; none of a thread of the kernel.
    pub arguments: Vec<String>,
}

/// All processes.
pub fn all() -> Vec<Seen> {
    let mut found: Vec<Seen> = pids()
        .filter_map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let field = |name: &str| {
                let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
                line.split_whitespace().next()
            };
            Some(Seen {
                pid,
                parent: field("PPid")?.parse().ok()?,
                user: field("Uid")?.parse().ok()?,
                state: field("State")?.chars().next()?,
                resident_kib: field("VmRSS").and_then(|kib| kib.parse().ok()).unwrap_or_default(),
                name: field("Name")?.to_owned(),
                arguments: arguments_of(pid).unwrap_or_default(),
            })
        })
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// How many bytes the state transfer scripts below a server, and all that they started, have made the disk write;
/// none where no script runs. Only this is progress: a script that waits looks around every second, and a joiner
/// that waits talks to its group.
pub fn transferred(server: i32) -> Option<u64> {
    let below = descendants(server);
    let script = |pid: &i32| arguments_of(*pid).is_some_and(|a| a.iter().take(3).any(|w| w.contains("wsrep_sst_")));
    below.iter().any(script).then(|| below.iter().map(|pid| of_io(*pid, &["write_bytes"])).sum())
}

/// How far the programs have come that send a state transfer out of this server, by the mark of each; none where no
/// script of a donor runs. The scripts themselves, and mariabackup, are at something also while nothing is sent.
pub fn given(server: i32) -> Option<BTreeMap<(i32, u64), u64>> {
    const SENDERS: [&str; 5] = ["socat", "rsync", "openssl", "stunnel", "stunnel4"];
    let scripts = donor_scripts(server);
    let sends = |pid: &i32| {
        let program = arguments_of(*pid).and_then(|a| Path::new(a.first()?).file_name()?.to_str().map(str::to_owned));
        program.is_some_and(|name| SENDERS.contains(&name.as_str()))
    };
    let below = scripts.iter().flat_map(|script| descendants(*script)).filter(sends);
    let come = below.filter_map(|pid| {
        let handle = Handle::of(pid)?;
        Some(((pid, handle.started), of_io(pid, &["rchar", "wchar"])))
    });
    (!scripts.is_empty()).then(|| come.collect())
}

fn donor_scripts(server: i32) -> Vec<i32> {
    let script = |pid: &i32| arguments_of(*pid).is_some_and(|a| gives(&a));
    descendants(server).into_iter().filter(script).collect()
}

fn gives(arguments: &[String]) -> bool {
    let role = |pair: &[String]| matches!(pair, [name, value] if name == "--role" && value == "donor");
    arguments.iter().take(3).any(|word| word.contains("wsrep_sst_")) && arguments.windows(2).any(role)
}

/// Ends the scripts by which this server gives its state, with all that they started; the server goes on without.
pub fn end_giving(server: i32) -> usize {
    let scripts = donor_scripts(server);
    let all: BTreeSet<i32> = scripts.iter().flat_map(|pid| descendants(*pid)).chain(scripts.iter().copied()).collect();
    for handle in all.iter().filter_map(|pid| Handle::of(*pid)) {
        let _ = handle.signal(Signal::SIGKILL);
    }
    scripts.len()
}

/// How many bytes a process has read and written so far, sockets left out where the kernel counts them apart. It grows
/// while a storage engine recovers, and not while it merely computes.
pub fn moved(pid: i32) -> u64 {
    of_io(pid, &["rchar", "wchar", "read_bytes", "write_bytes"])
}

/// How many bytes it has had its disk read and write.
pub fn stored(pid: i32) -> u64 {
    of_io(pid, &["read_bytes", "write_bytes"])
}

/// The sum of these lines of /proc/PID/io; those of the children that it has reaped are in it.
fn of_io(pid: i32, keys: &[&str]) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    io.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(key, _)| keys.contains(key))
        .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_script_is_known_by_its_data_directory() {
        let of = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let script = of(
            "/bin/bash -ue /usr/bin/wsrep_sst_rsync --role joiner --datadir /var/vcap/store/mariadb/data/ --parent 7",
        );
        assert!(transfers(&script, Path::new("/var/vcap/store/mariadb/data")));
        assert!(!transfers(&script, Path::new("/var/vcap/store/other")));
        assert!(!transfers(&of("grep wsrep_sst /var/log"), Path::new("/var/vcap/store/mariadb/data")));
        assert!(!gives(&script) && gives(&of("/bin/bash -ue /usr/bin/wsrep_sst_rsync --role donor --datadir /x/")));
    }

    #[test]
    fn t3_what_left_its_group_and_its_parent_is_ended_with_the_scripts() {
        use std::os::unix::process::CommandExt;

        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        // As a script does it: `timeout` has a group of its own, and its parent is gone.
        let mut script = std::process::Command::new("sh")
            .args(["-c", "timeout 60 sleep 60 & echo $!"])
            .env(BELOW_MARIADBD, &data)
            .process_group(0)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        use std::io::{BufRead, BufReader};
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let timeout: i32 = said.trim().parse().unwrap();
        script.wait().unwrap();
        assert!(Handle::of(timeout).is_some());
        let nobody = Path::new("/nowhere/my.cnf");
        assert_eq!(end_orphaned_transfers(nobody, Path::new("/nowhere")), Some(0), "of another data directory");
        assert!(end_orphaned_transfers(nobody, &data).is_some_and(|ended| ended >= 1));
        let gone = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Handle::of(timeout).is_none()
        });
        assert!(gone);
        assert_eq!(end_orphaned_transfers(nobody, &data), Some(0));
    }

    #[test]
    fn g3_a_server_is_known_by_its_defaults_file_as_distributions_start_it_too() {
        let of = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) = (Path::new("/var/vcap/my.cnf"), Path::new("/etc/mysql/my.cnf"));
        let given = of("/x/mariadbd --defaults-file=/var/vcap/my.cnf");
        let bare = of("/usr/sbin/mariadbd --wsrep_start_position=x:1");
        assert_eq!([reads(&given, ours), reads(&given, theirs)], [true, false]);
        assert_eq!([reads(&bare, ours), reads(&bare, theirs)], [false, true]);
    }

    #[test]
    fn a_client_is_ended_with_its_group_by_its_program_and_socket() {
        use std::os::unix::process::CommandExt;

        let dir = tempfile::tempdir().unwrap();
        let (program, socket) = (dir.path().join("upgrade"), dir.path().join("sock"));
        let ours = format!("--socket={}", socket.display());
        // Its shell has the program's name, and what does the work is below it.
        let mut child = std::process::Command::new("sh")
            .arg0(&program)
            .args(["-c", "sleep 60; :", "--", &ours])
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while descendants(pid).is_empty() {
            std::thread::yield_now();
        }
        let below = descendants(pid);
        assert!(!end_clients_of(&program, Path::new("/nowhere")) && !end_clients_of(Path::new("/other"), &socket));
        assert!(end_clients_of(&program, &socket));
        child.wait().unwrap();
        let gone = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            below.iter().all(|pid| Handle::of(*pid).is_none())
        });
        assert!(gone);
        assert!(!end_clients_of(&program, &socket));
    }

    #[test]
    fn a_handle_is_of_one_process_only() {
        let own = i32::try_from(std::process::id()).unwrap();
        let handle = Handle::of(own).unwrap();
        assert!(handle.lives());
        assert!(!Handle { started: handle.started + 1, ..handle }.lives(), "a reused number is another process");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        assert_eq!(Handle::of(pid), None);
    }

    #[test]
    fn k3_k6_what_a_command_line_tells() {
        let arguments: Vec<String> = [
            "/var/vcap/packages/mariadb/bin/mysqld",
            "--wsrep_start_position=746e46f3-8f76-11e7-9c1c-a220eabab4ba:20626756",
            "--wsrep-new-cluster",
        ]
        .map(String::from)
        .into();
        let process = described(ProcessMark { pid: 0, started: 0 }, &arguments);
        assert_eq!(process.start_position.unwrap().seqno(), 20_626_756);
        assert!(process.new_cluster && !process.recovering);
    }
}
