//! The operator's hooks: executables that are told what happens (S20). Each runs by itself, without a shell,
//! with its facts in the environment and as JSON on stdin, and not for longer than its limit.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::config::Hooks;
use crate::log;
use crate::trust;

/// When a hook runs. Each has a folder of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// The diagnosis of the cluster changed.
    OnDiagnosis,
    /// A member is about to be made primary; a failure of this hook prevents that.
    PreBootstrap,
    /// The cluster is back.
    PostBootstrap,
    /// A recovery failed.
    OnFailed,
}

impl Hook {
    /// The name of its folder.
    pub fn folder(self) -> &'static str {
        match self {
            Hook::OnDiagnosis => "on-diagnosis",
            Hook::PreBootstrap => "pre-bootstrap",
            Hook::PostBootstrap => "post-bootstrap",
            Hook::OnFailed => "on-failed",
        }
    }
}

/// A hook that ran, or should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The executable.
    pub hook: PathBuf,
    /// What went wrong, if anything, in words.
    pub failed: Option<String>,
    /// The end of what it said.
    pub said: String,
}

impl Ran {
    /// Whether it did what it should.
    pub fn succeeded(&self) -> bool {
        self.failed.is_none()
    }

    /// In a sentence: `hook x ended with exit status: 3; it said: ...`.
    pub fn sentence(&self) -> String {
        let said = self.said.lines().last().map(|l| format!("; it said: {l}")).unwrap_or_default();
        let how = self.failed.as_deref().unwrap_or("did its work");
        format!("hook {} {how}{said}", self.hook.display())
    }
}

/// The most that is kept of what a hook says, in bytes; the rest is read and dropped.
const MOST_SAID: usize = 16 * 1024;
/// How often a running hook is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs all executables of this kind, one after the other, in the order of their names. `meanwhile` is called
/// again and again while one runs.
pub fn run(hooks: &Hooks, kind: Hook, facts: &Value, meanwhile: &mut dyn FnMut()) -> Vec<Ran> {
    let mut all = Vec::new();
    for hook in found(&hooks.directory, kind) {
        let (failed, said) = match start(&hook, kind, facts) {
            Ok(child) => finish(child, hooks.timeout, meanwhile),
            Err(e) => (Some(format!("was not run: {e:#}")), String::new()),
        };
        for line in said.lines() {
            log::info("hook.said", &[("hook", &hook.display()), ("line", &line)]);
        }
        let ran = Ran { hook, failed, said };
        match &ran.failed {
            None => log::info("hook.ran", &[("hook", &ran.hook.display())]),
            Some(why) => log::warn("hook.failed", &[("hook", &ran.hook.display()), ("why", why)]),
        }
        all.push(ran);
    }
    all
}

/// The executables of this kind. A `*` in the directory stands for every folder there, so that each job on the
/// VM may bring hooks of its own.
fn found(directory: &str, kind: Hook) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/")];
    for part in Path::new(directory).components().skip(1).map(|c| c.as_os_str()) {
        folders = match part.to_str() {
            Some("*") => folders.iter().flat_map(|f| entries(f)).filter(|f| f.is_dir()).collect(),
            _ => folders.iter().map(|f| f.join(part)).collect(),
        };
    }
    let files = folders.iter().flat_map(|f| entries(&f.join(kind.folder())));
    files.filter(|f| f.metadata().is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.sort();
    found
}

fn start(hook: &Path, kind: Hook, facts: &Value) -> Result<Child> {
    // What others than root and ourselves may write, or put there, is not run: it would get our rights.
    let mut command = Command::new(trust::only_ours(hook)?);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("GALERA_EVENT", kind.folder());
    for (name, value) in facts.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.replace('\0', ""),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        command.env(format!("GALERA_{}", name.to_ascii_uppercase()), value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/").process_group(0);
    let mut child = command.spawn().context("start it")?;
    let (stdin, facts) = (child.stdin.take(), facts.to_string());
    // One that does not read must not hold this up; its pipe breaks when it ends.
    std::thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(facts.as_bytes())));
    Ok(child)
}

fn finish(mut child: Child, limit: Duration, meanwhile: &mut dyn FnMut()) -> (Option<String>, String) {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let (out, err) = (child.stdout.take().map(kept), child.stderr.take().map(kept));
    let begun = Instant::now();
    let ended: Option<ExitStatus> = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if begun.elapsed() > limit => break None,
            Ok(None) => std::thread::sleep(LOOK_EVERY.min(limit)),
            Err(_) => break None,
        }
        meanwhile();
    };
    // Whatever it left behind ends with it.
    if let Ok(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let failed = match ended {
        Some(status) if status.success() => None,
        Some(status) => Some(format!("ended with {status}")),
        None => {
            let _ = child.wait();
            Some(format!("was killed: it took longer than {}", humantime::format_duration(limit)))
        }
    };
    // A process that left the group may still have the pipe; nobody waits for it.
    let said = [out, err].into_iter().flatten().filter_map(|pipe| pipe.recv_timeout(Duration::from_secs(1)).ok());
    (failed, said.collect())
}

/// Reads a pipe to its end, and keeps the beginning.
fn kept(mut pipe: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (done, said) = channel();
    std::thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            let room = MOST_SAID.saturating_sub(text.len()).min(read);
            text.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
        let _ = done.send(String::from_utf8_lossy(&text).into_owned());
    });
    said
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hook(dir: &Path, name: &str, script: &str, mode: u32) {
        let folder = dir.join("job/hooks/pre-bootstrap");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run_all(dir: &Path, facts: Value) -> Vec<Ran> {
        let hooks = Hooks { directory: format!("{}/*/hooks", dir.display()), timeout: Duration::from_millis(700) };
        run(&hooks, Hook::PreBootstrap, &facts, &mut || ())
    }

    #[test]
    fn s20_hooks_run_in_order_with_their_facts_and_without_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        hook(dir.path(), "1", "echo \"$GALERA_EVENT $GALERA_PROOF\"; cat", 0o750);
        hook(dir.path(), "2", "echo no >&2; exit 3", 0o750);
        hook(dir.path(), "README", "exit 1", 0o640);
        let ran = run_all(dir.path(), serde_json::json!({"proof": "$(touch /tmp/x); 'y", "n": {"deep": 1}}));
        assert_eq!(ran.len(), 2);
        assert_eq!(
            ran[0].said,
            "pre-bootstrap $(touch /tmp/x); 'y\n{\"n\":{\"deep\":1},\"proof\":\"$(touch /tmp/x); 'y\"}"
        );
        assert!(ran[0].succeeded());
        assert!(ran[1].sentence().ends_with("2 ended with exit status: 3; it said: no"), "{}", ran[1].sentence());
    }

    #[test]
    fn s20_a_hook_ends_at_its_limit_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        hook(dir.path(), "1", "sleep 60 & echo $!; wait", 0o750);
        let begun = Instant::now();
        let ran = run_all(dir.path(), Value::Null);
        assert!(begun.elapsed() < Duration::from_secs(5) && ran[0].sentence().contains("longer than"), "{ran:?}");
        let child = ran[0].said.trim().parse().unwrap();
        let gone = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            crate::host::processes::Handle::of(child).is_none()
        });
        assert!(gone, "its child was killed with it");
    }

    #[test]
    fn c1_a_hook_that_others_may_write_is_not_run() {
        let dir = tempfile::tempdir().unwrap();
        hook(dir.path(), "1", "exit 0", 0o777);
        assert!(run_all(dir.path(), Value::Null)[0].sentence().contains("was not run: others"), "and counts as failed");
        // Nor one whose folder they may write, where they could put another one in its place.
        hook(dir.path(), "1", "exit 0", 0o750);
        fs::set_permissions(dir.path().join("job/hooks"), fs::Permissions::from_mode(0o777)).unwrap();
        let ran = run_all(dir.path(), Value::Null);
        assert!(ran[0].sentence().contains("others than its owner may write"), "{}", ran[0].sentence());
        assert_eq!(found("/nowhere/*/hooks", Hook::OnFailed), Vec::<PathBuf>::new());
    }
}
