//! One kind, listed and then watched for as long as its task lives.
//!
//! ```text
//!        ┌──────────────── any error: wait (200 ms … 5 s) ───────────────┐
//!        v                                                               │
//!      list ── all pages ──> swap in as a whole ──> watch from there ────┤
//!                                                     ^  │ event, bookmark: index, touch
//!                                                     └──┘ closed in good order: watch on
//! ```
//!
//! kube's own `watcher` keeps bookmarks to itself, and without them the age of a quiet cluster
//! cannot be told. After an error this lists anew rather than resuming: that tells the age at once,
//! and survives an etcd restored to an earlier revision, where a watch would wait for events that
//! never come. The same goes for silence: an API server of 1.20 that was restarted sends no
//! bookmarks for a kind until its first event, and a dead connection looks just like that.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use tokio::time::{sleep, timeout};

use super::Shared;
use super::index::Event;
use super::live::one_line;
use super::wire::{Kind, Page, Raw, list_request, watch_request};

/// Objects a page: the bound client-go uses, some hundred kB.
pub(super) const PAGE_SIZE: u32 = 500;

/// How fast and how patient. Other values are for tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Wait after the first error.
    pub(super) first_wait: Duration,
    /// Longest wait: an inventory must not lag behind an API server that is back.
    pub(super) longest_wait: Duration,
    /// A session that lived this long was healthy: the next error starts with the first wait again.
    pub(super) healthy: Duration,
    /// A watch the server closes earlier than this counts as an error, or the two would spin.
    pub(super) shortest_watch: Duration,
    /// No event and no bookmark for so long: list anew. Bookmarks come about once a minute.
    pub(super) silence: Duration,
    /// The answer to a request: one page of a list, the head of a watch.
    pub(super) answer: Duration,
    /// Between two warnings about the same outage.
    pub(super) between_warnings: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(5),
            healthy: Duration::from_secs(10),
            shortest_watch: Duration::from_secs(1),
            silence: Duration::from_secs(90),
            answer: Duration::from_secs(30),
            between_warnings: Duration::from_secs(60),
        }
    }
}

/// What ended a session.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("cannot list: {}", one_line(.0))]
    List(kube::Error),
    #[error("cannot watch: {}", one_line(.0))]
    Watch(kube::Error),
    #[error("the watch broke off: {}", one_line(.0))]
    Broken(kube::Error),
    #[error("the answer to a list cannot be read: {0}")]
    Unreadable(serde_json::Error),
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    #[error("neither event nor bookmark for {0:?}")]
    Silence(Duration),
    #[error("the server closed the watch after {0:?}")]
    ShortWatch(Duration),
    #[error("the server no longer has the events since the last one seen")]
    Expired,
}

impl Trouble {
    fn of(error: kube::Error, otherwise: fn(kube::Error) -> Self) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 410 => Self::Expired,
            _ => otherwise(error),
        }
    }

    /// Nothing is wrong with the API server as far as can be told: there is only a list to be made.
    const fn is_routine(&self) -> bool {
        matches!(self, Self::Expired | Self::Silence(_))
    }
}

/// Lists and watches without end.
pub(super) async fn follow(shared: Arc<Shared>, kind: Kind) {
    let mut outage = Outage::default();
    let mut wait = shared.pace.first_wait;
    loop {
        let began = Instant::now();
        let Err(trouble) = session(&shared, kind, &mut outage).await;
        if began.elapsed() >= shared.pace.healthy {
            wait = shared.pace.first_wait;
        }
        outage.tell(kind, &trouble, shared.pace.between_warnings);
        if kind == Kind::Pod && !trouble.is_routine() {
            shared.pods.failed(trouble.to_string());
        }
        sleep(jittered(wait)).await;
        wait = (wait * 2).min(shared.pace.longest_wait);
    }
}

/// One list, and watches from there on until something breaks.
async fn session(shared: &Shared, kind: Kind, outage: &mut Outage) -> Result<Infallible, Trouble> {
    let mut version = list(shared, kind).await?;
    loop {
        let opened = Instant::now();
        watch(shared, kind, &mut version, outage).await?;
        let lived = opened.elapsed();
        if lived < shared.pace.shortest_watch {
            return Err(Trouble::ShortWatch(lived));
        }
    }
}

/// Replaces what is known of the kind; returns the version to watch from.
async fn list(shared: &Shared, kind: Kind) -> Result<String, Trouble> {
    // What the list says was true when it was asked for, or later.
    let asked = (shared.now)();
    let (objects, version) = match pages(shared, kind, Some(PAGE_SIZE)).await {
        // The pages took longer than the server keeps their version: one page of everything.
        Err(Trouble::Expired) => pages(shared, kind, None).await?,
        other => other?,
    };
    shared.apply(Event::Listed(kind, objects));
    shared.touch(kind, asked);
    Ok(version)
}

async fn pages(shared: &Shared, kind: Kind, limit: Option<u32>) -> Result<(Vec<Raw>, String), Trouble> {
    let mut params = ListParams { limit, ..ListParams::default() };
    let mut objects = Vec::new();
    loop {
        let request = list_request(kind, &params).map_err(|error| Trouble::List(error_of(error)))?;
        let text = timeout(shared.pace.answer, shared.client.request_text(request))
            .await
            .map_err(|_| Trouble::NoAnswer(shared.pace.answer))?
            .map_err(|error| Trouble::of(error, Trouble::List))?;
        let page: Page = serde_json::from_str(&text).map_err(Trouble::Unreadable)?;
        objects.extend(page.items.unwrap_or_default());
        match page.metadata.next.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok((objects, page.metadata.resource_version)),
        }
    }
}

/// Watches until the server closes in good order, which it does every few minutes.
async fn watch(shared: &Shared, kind: Kind, version: &mut String, outage: &mut Outage) -> Result<(), Trouble> {
    let silence = shared.pace.silence;
    // Under the five minutes that proxies like to cut at, and not for all replicas at once.
    let seconds = 240 + u32::try_from(random() % 50).unwrap_or_default();
    let params = WatchParams::default().timeout(seconds);
    let request = watch_request(kind, &params, version).map_err(|error| Trouble::Watch(error_of(error)))?;
    let events = timeout(shared.pace.answer, shared.client.request_events::<Raw>(request))
        .await
        .map_err(|_| Trouble::NoAnswer(shared.pace.answer))?
        .map_err(|error| Trouble::of(error, Trouble::Watch))?;
    outage.over(kind);
    let mut events = pin!(events);
    loop {
        let next = timeout(silence, events.try_next()).await.map_err(|_| Trouble::Silence(silence))?;
        let Some(event) = next.map_err(|error| Trouble::of(error, Trouble::Broken))? else { return Ok(()) };
        let at = (shared.now)();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                advance(version, object.resource_version());
                shared.apply(Event::Applied(kind, object));
            }
            WatchEvent::Deleted(object) => {
                advance(version, object.resource_version());
                shared.apply(Event::Deleted(kind, object));
            }
            WatchEvent::Bookmark(bookmark) => advance(version, Some(&bookmark.metadata.resource_version)),
            WatchEvent::Error(status) => return Err(Trouble::of(kube::Error::Api(status), Trouble::Broken)),
        }
        shared.touch(kind, at);
    }
}

fn advance(version: &mut String, to: Option<&str>) {
    if let Some(to) = to {
        to.clone_into(version);
    }
}

fn error_of(error: kube::core::request::Error) -> kube::Error {
    kube::Error::BuildRequest(error)
}

/// Between three quarters of the wait and all of it, so that replicas do not come back in step.
fn jittered(wait: Duration) -> Duration {
    let quarter = wait / 4;
    let nanos = u64::try_from(quarter.as_nanos()).unwrap_or(u64::MAX).max(1);
    wait - quarter + Duration::from_nanos(random() % nanos)
}

/// A random number: the standard library seeds each of these hashers anew. No verdict depends on it.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// What is known of the outage that is on, so that it fills no log.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    warned: Option<Instant>,
    failures: u32,
}

impl Outage {
    fn tell(&mut self, kind: Kind, trouble: &Trouble, between: Duration) {
        if trouble.is_routine() {
            tracing::debug!(kind = kind.as_str(), reason = %trouble, "listing the cluster anew");
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.failures += 1;
        let (kind, failures, for_seconds) = (kind.as_str(), self.failures, since.elapsed().as_secs());
        if self.warned.is_none_or(|warned| warned.elapsed() >= between) {
            self.warned = Some(Instant::now());
            tracing::warn!(kind, failures, for_seconds, reason = %trouble, "the cluster cannot be watched; trying again");
        } else {
            tracing::debug!(kind, failures, for_seconds, reason = %trouble, "the cluster cannot be watched; trying again");
        }
    }

    /// A watch is open. The next warning still waits its time, or a watch that opens and breaks
    /// in turn would fill the log.
    fn over(&mut self, kind: Kind) {
        if let Some(since) = self.since.take() {
            let (kind, failures, for_seconds) = (kind.as_str(), self.failures, since.elapsed().as_secs());
            tracing::info!(kind, failures, for_seconds, "the cluster is watched again");
            self.failures = 0;
        }
    }
}
