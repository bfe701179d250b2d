//! The inventory of a live cluster, kept by two watches, and a third one of pods while the rule set asks for it.
//!
//! ```text
//!               ┌ list, watch /api/v1/namespaces ─────────┐ events
//! API server ───┤                                          ├────────> Index ── published ──> snapshot(): O(1)
//!               ├ list, watch …/networkpolicies ──────────┤ (follow)  (pure)   (ArcSwap)
//!               ├ list, watch /api/v1/pods, metadata ─────┘ while wanted (pods)
//!               └ get + list of one namespace ── live()
//! ```
//!
//! Objects are read as JSON with their spec untouched ([`wire`]): k8s-openapi's types drop fields
//! they do not know, which would turn a peer kind of a future Kubernetes into "everyone".
//!
//! Needed in the cluster: get, list and watch on namespaces, list and watch on networkpolicies; list and watch on
//! pods where they are wanted.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::follow::Pace;
use self::index::{Event, Index};
pub use self::pods::PodWatch;
use self::pods::{NOT_YET, Pods};
pub use self::wire::Kind;
use super::{Inventory, NamespaceState, Source};
use crate::object::Subject;

mod follow;
mod index;
mod live;
mod pods;
#[cfg(test)]
mod tests;
mod wire;

/// Long enough for a TLS handshake with a busy API server, short enough for the next try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request is a few hundred bytes; a write that takes longer goes nowhere.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is dead: watches carry a bookmark about once a minute. Just above the
/// watches' own bound, which has the better message.
const READ_TIMEOUT: Duration = Duration::from_secs(95);

/// Why there is no cluster to take an inventory of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig {path} cannot be used: {reason}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: KubeconfigError,
    },
    /// In a pod without a service account.
    #[error("KUBERNETES_SERVICE_HOST is set, but the service account cannot be read ({0}); mount its token")]
    InCluster(#[from] kube::config::InClusterError),
    /// Neither here nor there.
    #[error("no cluster to talk to: give a kubeconfig, or run inside a cluster (KUBERNETES_SERVICE_HOST is not set)")]
    Nowhere,
    /// The client cannot be built from the configuration.
    #[error("the cluster's address or credentials cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// What is known of one kind, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindStats {
    /// Which.
    pub kind: Kind,
    /// Objects that count: policies that are not being deleted, namespaces that exist.
    pub objects: usize,
    /// Objects that exist and cannot be read.
    pub odd: usize,
    /// Whether its list has been complete once.
    pub synced: bool,
    /// The last event, bookmark or list.
    pub last_event: Option<Timestamp>,
}

/// The inventory of a live cluster. Its watches end when it is dropped.
pub struct Cluster {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

/// What the watches write and the reviews read.
struct Shared {
    client: Client,
    now: fn() -> Timestamp,
    pace: Pace,
    index: Mutex<Index>,
    published: ArcSwap<Inventory>,
    /// Milliseconds of the last sign of life by [`Kind`]; zero before the first list.
    touched: [AtomicI64; Kind::ALL.len()],
    synced: watch::Sender<[bool; Kind::ALL.len()]>,
    pods: Pods,
}

impl Cluster {
    /// A client for the given kubeconfig, or else for the cluster this runs in.
    ///
    /// # Errors
    /// When there is no such file, no cluster around, or what either says cannot be used.
    pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, Error> {
        let config = match kubeconfig {
            Some(path) => {
                let broken = |reason| Error::Kubeconfig { path: path.display().to_string(), reason };
                let file = Kubeconfig::read_from(path).map_err(broken)?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(broken)?
            }
            None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => Config::incluster()?,
            None => return Err(Error::Nowhere),
        };
        Self::client_of(config)
    }

    /// A client with these credentials, and with the timeouts that keep it from waiting for ever.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn client_of(mut config: Config) -> Result<Client, Error> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.write_timeout = Some(WRITE_TIMEOUT);
        // Or the time a pooled connection was idle would count against its next request.
        config.reset_reader_on_write = true;
        // The watches have a pace of their own, and a live read has no time for a second try.
        config.default_retry = false;
        let agent = hyper::header::HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        config.headers.push((hyper::header::USER_AGENT, agent));
        Ok(Client::try_from(config)?)
    }

    /// Begins to watch, pods too where they are `wanted`. Must be called inside a tokio runtime; `now` is the wall
    /// clock.
    #[must_use]
    pub fn start(client: Client, now: fn() -> Timestamp, pods_wanted: bool) -> Arc<Self> {
        Self::start_at(client, now, pods_wanted, Pace::default())
    }

    fn start_at(client: Client, now: fn() -> Timestamp, pods_wanted: bool, pace: Pace) -> Arc<Self> {
        let shared = Arc::new(Shared {
            client,
            now,
            pace,
            index: Mutex::default(),
            published: ArcSwap::default(),
            touched: Default::default(),
            synced: watch::Sender::new([false; Kind::ALL.len()]),
            pods: Pods::new(pods_wanted),
        });
        let spawn = |kind| tokio::spawn(follow::follow(Arc::clone(&shared), kind)).abort_handle();
        let mut tasks = Vec::from(Kind::ALWAYS.map(spawn));
        tasks.push(tokio::spawn(pods::while_wanted(Arc::clone(&shared))).abort_handle());
        Arc::new(Self { shared, tasks })
    }

    /// Begins to watch pods, or ends it and forgets them.
    pub fn want_pods(&self, wanted: bool) {
        self.shared.pods.want(wanted);
    }

    /// How it stands with the pods.
    #[must_use]
    pub fn pods(&self) -> PodWatch {
        self.shared.pods.state(self.synced(Kind::Pod))
    }

    /// Whether the list of that kind has been complete once; for pods, since they are watched.
    #[must_use]
    pub fn synced(&self, kind: Kind) -> bool {
        self.shared.synced(kind)
    }

    /// Waits until every kind is there that verdicts rest on.
    pub async fn wait_until_synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = synced.wait_for(|kinds| Kind::ALWAYS.iter().all(|kind| kinds[kind.index()])).await;
    }

    /// What is known of a kind; `None` of pods while nobody asks for them.
    #[must_use]
    pub fn stats(&self, kind: Kind) -> Option<KindStats> {
        if kind == Kind::Pod && !self.shared.pods.are_wanted() {
            return None;
        }
        let (objects, odd) = self.shared.lock().count(kind);
        let (synced, last_event) = (self.synced(kind), self.shared.last_event(kind));
        Some(KindStats { kind, objects, odd, synced, last_event })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Source for Cluster {
    /// Before the first lists it is as old as time itself, so that nobody trusts it. Pods do not count: no verdict
    /// rests on them.
    fn snapshot(&self, now: Timestamp) -> Inventory {
        let oldest =
            Kind::ALWAYS.map(|kind| self.shared.last_event(kind).unwrap_or(Timestamp::UNIX_EPOCH)).into_iter().min();
        let age = oldest.map_or(Duration::ZERO, |oldest| now.duration_since(oldest).unsigned_abs());
        // An event that came after the review began leaves nothing to age.
        let age = if oldest.is_some_and(|oldest| oldest > now) { Duration::ZERO } else { age };
        let inventory = Inventory::clone(&self.shared.published.load()).aged(age).with_pods_by_metadata();
        match self.pods() {
            PodWatch::Off | PodWatch::Known => inventory,
            PodWatch::Starting => inventory.with_pods_in_doubt(NOT_YET.to_owned()),
            PodWatch::InDoubt(reason) => inventory.with_pods_in_doubt(reason),
        }
    }

    fn live(&self, namespace: &str) -> Option<BoxFuture<'static, Result<NamespaceState, String>>> {
        let client = self.shared.client.clone();
        Some(live::read(client, namespace.to_owned()).boxed())
    }

    /// The watch brings what was admitted, once it has been stored.
    fn admitted(&self, _subject: &Subject) {}
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        // The index is rebuilt by the next list, so a panic elsewhere does not spoil it for good.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event in, and shows the result to the reviews.
    fn apply(&self, event: Event) {
        let kind = event.kind();
        let listed = matches!(event, Event::Listed(..));
        let oddities = {
            let mut index = self.lock();
            let oddities = index.apply(event);
            self.published.store(Arc::new(index.inventory().clone()));
            oddities
        };
        for odd in oddities {
            tracing::warn!(
                kind = kind.as_str(),
                namespace = odd.namespace,
                name = odd.name,
                reason = odd.reason,
                "an object in the cluster cannot be read and is left out of the inventory"
            );
        }
        if listed {
            self.synced.send_if_modified(|kinds| !std::mem::replace(&mut kinds[kind.index()], true));
            if kind == Kind::Pod {
                self.pods.listed();
            }
        }
    }

    fn synced(&self, kind: Kind) -> bool {
        self.synced.borrow()[kind.index()]
    }

    /// As if no pod had ever been seen.
    fn forget_pods(&self) {
        let mut index = self.lock();
        index.forget_pods();
        self.published.store(Arc::new(index.inventory().clone()));
        self.synced.send_modify(|kinds| kinds[Kind::Pod.index()] = false);
        self.touched[Kind::Pod.index()].store(0, Ordering::Relaxed);
    }

    /// Something was heard of that kind at that time.
    fn touch(&self, kind: Kind, at: Timestamp) {
        self.touched[kind.index()].fetch_max(at.as_millisecond(), Ordering::Relaxed);
    }

    fn last_event(&self, kind: Kind) -> Option<Timestamp> {
        let millis = self.touched[kind.index()].load(Ordering::Relaxed);
        (millis != 0).then(|| Timestamp::from_millisecond(millis).ok()).flatten()
    }
}
