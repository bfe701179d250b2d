//! The rule set in force, and its reload.
//!
//! ```text
//! every INTERVAL: read ── same content as last time? ── wait
//!                  └ changed ── read again after SETTLE: still changing? ── wait
//!                                └ settled ── load, bind ── good: swapped in whole
//!                                                         └ bad: the last good one stays, the reason is told
//! ```
//!
//! Content is compared, not times or names: a mounted ConfigMap changes by a swap of symbolic links that
//! watches of files do not see.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::rule_set::{self, LoadedBound};
use crate::config::load::fingerprint;
use crate::engine::Bound;
use crate::server::Metrics;

/// How often the files are read. A change is in force within twice this.
pub(super) const INTERVAL: Duration = Duration::from_secs(3);
/// How long a change has to stand still: whoever writes several files, or one file slowly, is waited for.
const SETTLE: Duration = Duration::from_millis(100);

/// The rule set in force, with how it came about.
pub(super) struct Keeper {
    path: Option<PathBuf>,
    source: String,
    bound: Arc<ArcSwap<Bound>>,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

struct State {
    /// Of the content last looked at, good or bad.
    seen: String,
    last_reload: Timestamp,
    last_error: Option<String>,
}

/// What a look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing has changed.
    Same,
    /// It is still changing.
    Unsettled,
    /// A new rule set is in force.
    Reloaded,
    /// What is there now is refused.
    Refused,
}

impl Keeper {
    /// The rule set to start with.
    ///
    /// # Errors
    /// Every problem, one a line: there is no last good one yet.
    pub(super) fn start(path: Option<PathBuf>, metrics: Arc<Metrics>, now: Timestamp) -> Result<Self, String> {
        let (loaded, seen) = match &path {
            None => (rule_set::load(None)?, String::new()),
            Some(path) => {
                let reading = rule_set::read(path);
                let seen = fingerprint(&reading);
                let usable = rule_set::usable(path, reading);
                (usable.map_err(|problems| rule_set::refused(path, &problems))?, seen)
            }
        };
        warn_of(&loaded.warnings);
        metrics.set_config(&loaded.bound.hash);
        metrics.set_config_last_reload(now);
        Ok(Self {
            path,
            source: loaded.source,
            bound: Arc::new(ArcSwap::from_pointee(loaded.bound)),
            state: Mutex::new(State { seen, last_reload: now, last_error: None }),
            metrics,
        })
    }

    /// The rule set in force, which changes under the reader's hands at a reload.
    pub(super) fn bound(&self) -> Arc<ArcSwap<Bound>> {
        Arc::clone(&self.bound)
    }

    /// Looks at the files once.
    pub(super) fn look(&self, now: Timestamp) -> Look {
        let Some(path) = &self.path else { return Look::Same };
        let first = fingerprint(&rule_set::read(path));
        if first == self.state().seen {
            return Look::Same;
        }
        std::thread::sleep(SETTLE);
        let reading = rule_set::read(path);
        if fingerprint(&reading) != first {
            return Look::Unsettled;
        }
        self.take(rule_set::usable(path, reading), first, now)
    }

    fn take(&self, loaded: Result<LoadedBound, String>, seen: String, now: Timestamp) -> Look {
        let mut state = self.state();
        state.seen = seen;
        match loaded {
            Ok(LoadedBound { bound, warnings, .. }) => {
                warn_of(&warnings);
                info!(source = self.source, hash = bound.hash, rules = bound.rule_set.rules.len(), "rule set reloaded");
                self.metrics.set_config(&bound.hash);
                self.metrics.config_reloaded(now);
                self.bound.store(Arc::new(bound));
                state.last_reload = now;
                state.last_error = None;
                Look::Reloaded
            }
            Err(problems) => {
                error!(source = self.source, "the changed rule set is refused, the last good one stays in force");
                problems.lines().for_each(|problem| error!("{problem}"));
                self.metrics.config_reload_failed();
                state.last_error = Some(problems);
                Look::Refused
            }
        }
    }

    /// What `/config` shows.
    pub(super) fn view(&self) -> Value {
        // Held for all of it, so that a rule set is never shown with another's times.
        let state = self.state();
        let bound = self.bound.load();
        json!({
            "hash": bound.hash,
            "source": self.source,
            "lastReload": state.last_reload.to_string(),
            "lastError": state.last_error,
            "ruleSet": bound.rule_set,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files until it is dropped, and tells of each new rule set in force. The built-in one never changes.
    pub(super) async fn keep(self: Arc<Self>, interval: Duration, clock: fn() -> Timestamp, reloaded: impl Fn(&Bound)) {
        while self.path.is_some() {
            tokio::time::sleep(interval).await;
            let keeper = Arc::clone(&self);
            // Reading files blocks, and a folder on a network may do so for long.
            match tokio::task::spawn_blocking(move || keeper.look(clock())).await {
                Ok(Look::Reloaded) => reloaded(&self.bound.load()),
                Ok(Look::Same | Look::Unsettled | Look::Refused) => {}
                Err(error) => error!(%error, "the rule set could not be looked at"),
            }
        }
    }
}

fn warn_of(warnings: &[String]) {
    warnings.iter().for_each(|warning| warn!("{warning}"));
}

#[cfg(test)]
mod tests;
