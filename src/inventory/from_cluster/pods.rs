//! The watch of pods, which runs only while the rule set asks for it.
//!
//! ```text
//! Cluster::want_pods ── wanted ──> while_wanted ── yes: follow(Pod) ──> Index
//!                                               └ no:  stopped, and all pods forgotten
//! ```
//!
//! No verdict rests on pods. So where they cannot be listed (the right to do so is one more than Portcullis needs
//! without them), everything else goes on, and whoever would have been told of them is told why not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::Shared;
use super::follow::follow;
use super::wire::Kind;

/// Until the first answer to a list.
pub(super) const NOT_YET: &str = "their list is not complete yet";

/// How it stands with the pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodWatch {
    /// Nobody asks for them.
    Off,
    /// They were asked for from the start, and nothing is known of them yet, be it good or bad.
    Starting,
    /// They are missing or old, and why.
    InDoubt(String),
    /// They are known.
    Known,
}

/// Whether pods are wanted, and what has become of it.
pub(super) struct Pods {
    wanted: watch::Sender<bool>,
    /// What went wrong last, until a list is complete.
    trouble: ArcSwapOption<String>,
    /// Whether there has been an answer to a list since the start. A server that is ready stays so when a reload
    /// brings the wish for pods: its verdicts are as good as before.
    answered: AtomicBool,
}

impl Pods {
    pub(super) fn new(wanted: bool) -> Self {
        let trouble = ArcSwapOption::empty();
        Self { wanted: watch::Sender::new(wanted), trouble, answered: AtomicBool::new(!wanted) }
    }

    /// Whether that is news.
    pub(super) fn want(&self, wanted: bool) {
        self.wanted.send_if_modified(|old| std::mem::replace(old, wanted) != wanted);
    }

    pub(super) fn are_wanted(&self) -> bool {
        *self.wanted.borrow()
    }

    pub(super) fn failed(&self, reason: String) {
        self.trouble.store(Some(Arc::new(reason)));
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(super) fn listed(&self) {
        self.trouble.store(None);
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(super) fn state(&self, synced: bool) -> PodWatch {
        if !self.are_wanted() {
            return PodWatch::Off;
        }
        match self.trouble.load_full() {
            Some(reason) => PodWatch::InDoubt(String::clone(&reason)),
            None if synced => PodWatch::Known,
            None if self.answered.load(Ordering::Relaxed) => PodWatch::InDoubt(NOT_YET.to_owned()),
            None => PodWatch::Starting,
        }
    }
}

/// Follows the pods whenever they are wanted, and forgets them when they no longer are.
pub(super) async fn while_wanted(shared: Arc<Shared>) {
    let mut wanted = shared.pods.wanted.subscribe();
    loop {
        until(&mut wanted, true).await;
        tokio::select! {
            () = follow(Arc::clone(&shared), Kind::Pod) => {}
            () = until(&mut wanted, false) => {}
        }
        shared.pods.trouble.store(None);
        shared.forget_pods();
        tracing::info!("pods are no longer watched");
    }
}

async fn until(wanted: &mut watch::Receiver<bool>, value: bool) {
    // The sender lives as long as this task, so this cannot fail.
    let _ = wanted.wait_for(|wanted| *wanted == value).await;
}
