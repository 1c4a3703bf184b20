//! Finds where a member stands whose `mariadbd` is down: by its files, by what the error log of its last life says, and
//! by `--wsrep-recover` where that must be asked.

use std::sync::atomic::AtomicBool;

use super::clock::boot;
use super::datadir::DataDir;
use super::mariadbd;
use crate::cluster::memory::{DataPrint, Memory};
use crate::cluster::observation::Disk;
use crate::cluster::standing::{
    AtRest, Doubt, Standing, Trace, after_recovery, at_rest, begun_unseen, recovery_failed,
};
use crate::config::MemberConfig;
use crate::galera::log_lines::begun_at;
use crate::galera::position::Position;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Where it stands.
    pub standing: Standing,
    /// What is known of its data besides.
    pub doubt: Doubt,
    /// What told of what happened to the data.
    pub trace: Trace,
    /// Where somebody began a component with it by hand, which nobody has written down; as far as the log tells.
    pub begun_unseen: Option<Option<Position>>,
    /// Tables without a file of their own.
    pub lacks_tables: Vec<String>,
    /// The data after the look at it, where that was still what it was when a join began.
    pub print: Option<DataPrint>,
}

/// Looks; this may take as long as the storage engine's recovery. Ends early once `stop` is set.
pub fn find(config: &MemberConfig, disk: &Disk, memory: &Memory, stop: &AtomicBool) -> Found {
    let datadir = DataDir::at(&config.mariadb.data_dir);
    // Only a join that has not ended needs to know whether its data was touched; it may be many files.
    let joins = memory.joining.is_some();
    let trace = Trace {
        print: if joins { datadir.print().ok() } else { None },
        half_copied: joins && datadir.half_copied(),
        copied: joins && memory.started.is_some_and(|mark| mariadbd::copied_in_life_of(config, mark.pid)),
        boot: boot(),
        ..Trace::said_by(&mariadbd::last_life(config), memory)
    };
    let (standing, doubt) = match at_rest(disk, memory, &trace) {
        AtRest::Stands(standing) => (standing, Doubt::None),
        AtRest::MustRecover(doubt) => match mariadbd::recover(config, stop) {
            Ok(recovered) => (after_recovery(disk, &recovered, memory, doubt), doubt),
            Err(e) => (recovery_failed(doubt, &format!("{e:#}")), doubt),
        },
    };
    // Recovery has written to the data that it looked at; from here on it is to stay the same again.
    let print = (doubt == Doubt::JoinBroke).then(|| datadir.print().ok()).flatten();
    let begun_unseen = begun_unseen(disk, memory, &trace).then(|| begun_at(&mariadbd::error_log_since(config, 0)));
    let lacks_tables = datadir.tables_without_file().unwrap_or_default();
    Found { standing, doubt, trace, begun_unseen, lacks_tables, print }
}
