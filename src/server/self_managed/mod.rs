//! A CA and a serving certificate that the replicas make, keep in a Secret, register and renew themselves.
//!
//! ```text
//!              ┌──────────── every replica, every few seconds ────────────┐
//! Secret ──────┤ read ── Material ── Supply ──────────────> server::tls   │
//!    ^         │            │                                             │
//!    │         │            v     the one that holds the Lease            │
//!    └── write ┼───── plan::next <── Trust <── register ── caBundle ──────┼──> webhook configuration
//!              └───────────────────────────────────────────────────────────┘
//! ```
//!
//! Without the API server everybody goes on with what was read last. Rights needed: see
//! `deploy/components/self-managed-certificates/rbac.yaml`.

mod cluster;
mod lease;
mod material;
mod plan;

use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::cluster::{Cluster, Registered, Written};
use self::lease::Standing;
use self::material::Material;
pub use self::plan::{LIFETIME, SHORTEST_LIFETIME};
use self::plan::{Terms, Trust};
use super::certs::Spec;
use super::tls::{Supply, TlsOptions};

/// How often the Secret is read. One object by its name: cheap for the API server, and soon enough beside [`LIFETIME`].
const POLL: Duration = Duration::from_secs(3);
/// For all that a look at the cluster asks for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where and how certificates are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Of the Secret and the Lease.
    pub namespace: String,
    /// Of the Secret; the Lease has the same.
    pub secret: String,
    /// The ValidatingWebhookConfiguration whose webhooks get the CA bundle.
    pub configuration: String,
    /// Names of the serving certificate.
    pub spec: Spec,
    /// Life of a serving certificate; a CA lives four times as long.
    pub life: Duration,
    /// Tells this replica from others.
    pub identity: String,
}

/// The upkeep at work. It ends when this is dropped.
pub struct SelfManaged {
    name: String,
    supply: watch::Receiver<Supply>,
    stop: CancellationToken,
    lease: AbortOnDropHandle<()>,
    _keep: AbortOnDropHandle<()>,
}

impl SelfManaged {
    /// Begins. Must be called inside a tokio runtime; `now` is the wall clock.
    #[must_use]
    pub fn start(client: Client, options: Options, now: fn() -> Timestamp) -> Self {
        let Options { namespace, secret, configuration, spec, life, identity } = options;
        let name = format!("Secret {namespace}/{secret}");
        let (supply, supplied) = watch::channel(Supply::default());
        let (standing, held) = watch::channel(Standing::Other);
        let stop = CancellationToken::new();
        let upkeep = Upkeep {
            cluster: Cluster::new(client.clone(), &namespace, &secret, &configuration),
            name: name.clone(),
            terms: Terms { spec, life },
            held,
            supply,
            memory: None,
            trust: Trust::Unknown,
        };
        let hold = lease::hold(client, namespace, secret, identity, standing, stop.clone());
        Self {
            name,
            supply: supplied,
            stop,
            lease: AbortOnDropHandle::new(tokio::spawn(hold)),
            _keep: AbortOnDropHandle::new(tokio::spawn(upkeep.keep(now))),
        }
    }

    /// What the server is to serve.
    #[must_use]
    pub fn tls(&self) -> TlsOptions {
        TlsOptions::Supplied { name: self.name.clone(), supply: self.supply.clone() }
    }

    /// Gives the Lease back, so that no other replica has to wait for its end.
    pub async fn stop(self) {
        /// The Lease ends by itself soon enough.
        const PATIENCE: Duration = Duration::from_secs(2);
        self.stop.cancel();
        // Whoever waits for the process to end has waited long enough.
        let _ = timeout(PATIENCE, self.lease).await;
    }
}

/// One replica's part.
struct Upkeep {
    cluster: Cluster,
    name: String,
    terms: Terms,
    held: watch::Receiver<Standing>,
    supply: watch::Sender<Supply>,
    /// What was good last.
    memory: Option<Material>,
    trust: Trust,
}

impl Upkeep {
    async fn keep(mut self, now: fn() -> Timestamp) {
        // Short lives are for trying out, and need more looks.
        let poll = POLL.min(self.terms.life / 60);
        loop {
            let looked = timeout(PATIENCE, self.look(now())).await;
            let trouble =
                looked.unwrap_or_else(|_| Err(format!("no answer about {} in {PATIENCE:?}", self.name))).err();
            self.tell(trouble);
            tokio::select! {
                () = tokio::time::sleep(poll) => {}
                // Whoever has just got the Lease should not wait; without a holder the sleep goes on.
                Ok(()) = self.held.changed() => {}
            }
        }
    }

    /// Reads the Secret, improves it if that is up to this replica, and shows what is good.
    async fn look(&mut self, now: Timestamp) -> Result<(), String> {
        let standing = self.held.borrow().clone();
        let found = self.cluster.read().await?;
        let stored = found.as_ref().and_then(|secret| secret.data.as_ref());
        let mut material = Material::read(|key| Some(stored?.get(key)?.0.as_slice()));
        if standing == Standing::Held {
            let next = plan::next(&material, self.memory.as_ref(), &self.trust, &self.terms, now);
            if let Some(next) = next.map_err(|error| error.to_string())? {
                if self.cluster.write(found, &next.material).await? == Written::Conflict {
                    return Ok(());
                }
                for reason in next.reasons {
                    tracing::info!(secret = self.name, "{reason}");
                }
                material = next.material;
            }
        }
        let bundle = material.bundle();
        self.show(material, now, &standing)?;
        match standing {
            Standing::Held => self.register(bundle, now).await,
            Standing::Other => {
                self.trust = Trust::Unknown;
                Ok(())
            }
            Standing::Failed(reason) => Err(reason),
        }
    }

    /// Hands the pair to the server, if it is a good one.
    fn show(&mut self, material: Material, now: Timestamp, standing: &Standing) -> Result<(), String> {
        let Some(leaf) = material.servable(now) else {
            if let Standing::Failed(reason) = standing {
                return Err(reason.clone());
            }
            return Err(format!("{} has no valid certificate; the replica with the Lease makes one", self.name));
        };
        let pair = std::sync::Arc::clone(&leaf.issued);
        self.supply.send_if_modified(|supply| {
            let same = supply.pair.as_ref().is_some_and(|shown| shown.cert_pem == pair.cert_pem);
            if !same {
                supply.pair = Some(pair);
            }
            !same
        });
        self.memory = Some(material);
        Ok(())
    }

    async fn register(&mut self, bundle: String, now: Timestamp) -> Result<(), String> {
        let registered = self.cluster.register(&bundle).await.inspect_err(|_| self.trust = Trust::Unknown)?;
        self.trust = match (registered, &self.trust) {
            (Registered::No, _) => Trust::Unregistered,
            (Registered::Conflict, _) => Trust::Unknown,
            (Registered::Already, Trust::Registered { bundle: known, since }) if *known == bundle => {
                Trust::Registered { bundle, since: *since }
            }
            (Registered::Already | Registered::Now, _) => Trust::Registered { bundle, since: now },
        };
        if registered == Registered::Now {
            tracing::info!("the CA bundle of the webhook configuration was brought up to date");
        }
        Ok(())
    }

    /// Says once what is wrong, and once that it no longer is.
    fn tell(&self, trouble: Option<String>) {
        let changed = self.supply.send_if_modified(|supply| {
            let changed = supply.trouble != trouble;
            supply.trouble.clone_from(&trouble);
            changed
        });
        match (changed, trouble) {
            (true, Some(reason)) if self.supply.borrow().pair.is_none() => {
                tracing::info!(reason, "waiting for a certificate");
            }
            (true, Some(reason)) => {
                tracing::warn!(reason, "the certificate cannot be looked after; what is there stays in use");
            }
            (true, None) => tracing::info!(secret = self.name, "the certificate is looked after"),
            (false, _) => {}
        }
    }
}
