//! Which replica writes. The Lease keeps the others from trying as well; that two never overwrite each other does not
//! rest on it but on resource versions.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseCreateMode, LeaseManager, LeaseParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a holder that has gone silent keeps the Lease, in seconds: renewal has months, so there is no hurry.
const DURATION: u64 = 15;
/// How long before the end the holder renews it, in seconds.
const GRACE: u64 = 5;
/// Before trying again after an error.
const PAUSE: Duration = Duration::from_secs(3);

/// How it stands with the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody else has it, or nobody knows yet.
    Other,
    /// This replica has it.
    Held,
    /// It could not be asked for.
    Failed(String),
}

/// Holds the Lease whenever it is to be had, until `stop`; then it is given back.
pub(super) async fn hold(
    client: Client,
    namespace: String,
    name: String,
    identity: String,
    standing: watch::Sender<Standing>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let params = LeaseParams::new(identity.clone(), DURATION, GRACE);
        let asked = LeaseManager::new(client.clone(), &name, &namespace, params, LeaseCreateMode::AutoCreate);
        // Any error ends the manager: a new one finds its own hold again, and creates a Lease that was deleted.
        let failed = tokio::select! {
            () = stop.cancelled() => return,
            manager = asked => match manager {
                Ok(manager) => follow(&manager, &standing, &stop).await,
                Err(error) => Some(error.to_string()),
            }
        };
        let Some(reason) = failed else { return };
        standing.send_replace(Standing::Failed(format!("the Lease {namespace}/{name}: {reason}")));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Follows the changes of hands until something fails, and returns what; nothing when asked to stop.
async fn follow(
    manager: &LeaseManager,
    standing: &watch::Sender<Standing>,
    stop: &CancellationToken,
) -> Option<String> {
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                if *standing.borrow() == Standing::Held && let Err(error) = manager.release().await {
                    tracing::debug!(%error, "the Lease was not given back");
                }
                return None;
            }
            changed = manager.changed() => match changed {
                Ok(held) => standing.send_replace(if held { Standing::Held } else { Standing::Other }),
                Err(error) => return Some(error.to_string()),
            },
        };
    }
}
