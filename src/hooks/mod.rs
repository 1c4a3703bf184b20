//! BOSH's lifecycle hooks of job `mariadb`: they ask the rules of [`crate::cluster`], wait within their bounds,
//! and tell what for. BOSH itself bounds none of them.

pub mod gate;
pub mod post_deploy;
pub mod post_start;
pub mod post_stop;

use crate::say;
use std::time::Duration;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells what is waited for: each new sentence once, and the present one again now and then.
struct Teller {
    last: String,
    told: std::time::Instant,
}

/// How often an unchanged sentence is told again.
const TELL_EVERY: Duration = Duration::from_secs(30);

impl Teller {
    fn new() -> Teller {
        Teller { last: String::new(), told: std::time::Instant::now() }
    }

    fn tell(&mut self, instance: &str, what: &str) {
        if self.last != what || self.told.elapsed() >= TELL_EVERY {
            say!("{} {instance} {what}", crate::log::now());
            (self.last, self.told) = (what.to_owned(), std::time::Instant::now());
        }
    }
}
