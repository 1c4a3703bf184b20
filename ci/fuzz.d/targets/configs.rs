//! Configuration files. What is wrong with one is an error that names the place, and shows no password.

#![no_main]

use fuzz::{SECRET, disk, mutate, parts};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use mariadb_galera::arbitrator_config::ArbitratorConfig;
use mariadb_galera::config::{
    AgentConfig, BadConfig, BootstrapConfig, Config, MemberConfig, SeedConfig, has_key, load,
};
use mariadb_galera::proxy::config::ProxyConfig;
use mariadb_galera::small_config;

const KINDS: &[&str] = &["member", "agent", "proxy", "small", "arbitrator", "seed", "bootstrap"];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, KINDS)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, content)) = parts(data) else { return Corpus::Reject };
    match kind {
        "member" => drop(of::<MemberConfig>(content).map(|config| member(&config))),
        "agent" => drop(of::<AgentConfig>(content)),
        "proxy" => drop(of::<ProxyConfig>(content).map(|c| (c.writer_file(), c.name_of(1).len()))),
        "small" => small(content),
        "arbitrator" => {
            if let Some(config) = of::<ArbitratorConfig>(content) {
                assert!(config.me().is_some());
            }
        }
        "seed" => drop(of::<SeedConfig>(content)),
        "bootstrap" => drop(of::<BootstrapConfig>(content)),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

/// Reads it as the programs do.
fn of<C: Config>(content: &[u8]) -> Option<C> {
    let path = disk::file("config.yml", content);
    load::<C>(&path).map_err(|e| told(&e)).ok()
}

/// Where every password of the seeds is the planted one, an error that shows it shows a password.
fn told(error: &BadConfig) {
    let error = error.to_string();
    let file = format!("configuration {}: ", disk::folder().join("config.yml").display());
    let what = error.strip_prefix(&file).filter(|what| !what.trim().is_empty());
    assert!(what.is_some_and(|what| !shows(what)), "an error without a place, or one that shows a secret: {error}");
}

/// A wrong value is told. Only what stood at a password's key, or in a file that is no YAML at all, must not be.
fn shows(what: &str) -> bool {
    let (place, words) = what.split_once(": ").unwrap_or(("", what));
    let value = words.contains(SECRET) || (words.starts_with("invalid type: ") && words.contains('`'));
    value && (place.ends_with("password") || place == "is not YAML")
}

fn member(config: &MemberConfig) {
    let (me, others) = config.split().expect("a checked configuration has this member");
    assert!(me.name == config.instance && others.len() + 1 == config.cluster.members.len());
    let _ = config.timeouts.of_recovery();
    // What a program prints of its configuration, if it ever does.
    assert!(format!("{config:?}").contains("password: (secret)"));
}

fn small(content: &[u8]) {
    let path = disk::file("config.yml", content);
    let _ = has_key(&path, "paths").map_err(|e| told(&e));
    let Ok(known) = small_config::load(&path).map_err(|e| told(&e)) else { return };
    let _ = (known.user(), known.private_files().len());
    if let Ok(whom) = known.whom() {
        assert!(!whom.cluster.members.is_empty());
    }
    if let Ok(config) = known.member() {
        member(&config);
    }
}
