//! Files for those parts that read them by their path: in memory where the system has such a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mariadb_galera::config::MemberConfig;
use serde_json::{Value, json};

/// A folder of this process alone. Nobody else may write it: root believes no configuration elsewhere.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // `ci/fuzz` names one, and removes it.
        let own = || std::env::temp_dir().join(format!("galera-fuzz.{}", std::process::id()));
        let folder = std::env::var_os("FUZZ_DIR").map_or_else(own, PathBuf::from);
        fs::create_dir_all(&folder).expect("make a folder");
        folder
    })
}

/// A file in it with this content.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, content).expect("write a file");
    path
}

/// It is not there any more.
pub fn without(name: &str) {
    let _ = fs::remove_file(folder().join(name));
}

/// A member all of whose files lie there, with agents on this port that know this password.
pub fn member(port: u16, password: &str) -> MemberConfig {
    let mut member: Value =
        serde_json::from_str(include_str!("../../spec/golden/member.json")).expect("the golden file is JSON");
    member["instance"] = json!("mysql/0");
    // Nobody listens at the other members' addresses, so they refuse at once.
    for (n, other) in member["cluster"]["members"].as_array_mut().into_iter().flatten().enumerate() {
        other["address"] = json!(format!("127.0.0.{}", n + 1));
    }
    member["agents"] = json!({ "port": port, "username": "fuzz", "password": password });
    for (part, name) in [("mariadb", "data_dir"), ("paths", "state_dir"), ("paths", "tmp_dir"), ("paths", "log_dir")] {
        let path = folder().join(name);
        fs::create_dir_all(&path).expect("make a folder");
        member[part][name] = json!(path);
    }
    let config = folder().join("config");
    fs::create_dir_all(&config).expect("make a folder");
    member["paths"]["run_dir"] = json!(folder());
    for (name, file) in [("socket", "none.sock"), ("error_log", "error.log"), ("defaults_file", "config/my.cnf")] {
        member["mariadb"][name] = json!(folder().join(file));
    }
    if let Some(all) = member.as_object_mut() {
        all.remove("hooks");
    }
    serde_json::from_value(member).expect("a member's configuration")
}
