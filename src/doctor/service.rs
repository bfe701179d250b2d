//! The Service that the API server calls.

use super::Check;
use super::facts::{Facts, Gap};
use super::registration::Webhook;

const ID: &str = "webhook-service";
/// What the API server takes where nothing is said.
const DEFAULT_PORT: i32 = 443;

/// None for a webhook that is called by URL.
pub(super) fn check(webhook: &Webhook<'_>, facts: &Facts) -> Option<Check> {
    let named = webhook.hook.client_config.service.as_ref()?;
    let service = facts.services.get(&(named.namespace.clone(), named.name.clone()))?;
    let told = format!("Service {}/{}", named.namespace, named.name);
    let port = named.port.unwrap_or(DEFAULT_PORT);
    let check = match (&service.ports, &service.ready) {
        (Err(Gap::Absent(_)), _) => Check::error(
            ID,
            format!("{told} does not exist"),
            "deploy/install.sh makes it; or name the right one in the registration",
        ),
        (Err(gap), _) => Check::unknown(ID, gap),
        (Ok(ports), _) if !ports.contains(&port) => Check::error(
            ID,
            format!("{told} has no port {port}, only {ports:?}"),
            "name one of its ports in the registration",
        ),
        // A Service without Endpoints has nobody behind it either.
        (_, Err(Gap::Absent(_)) | Ok(0)) => {
            let repair =
                format!("kubectl -n {} get deployment,pods,endpointslices: why is no replica ready?", named.namespace);
            Check::error(ID, format!("{told} has no ready endpoint: nobody answers"), repair)
        }
        (_, Err(gap)) => Check::unknown(ID, gap),
        (_, Ok(1)) => Check::warning(
            ID,
            format!("{told} has one ready endpoint: when it goes, nobody answers"),
            "run two replicas, on different nodes",
        ),
        (_, Ok(ready)) => Check::ok(ID, format!("{told} has {ready} ready endpoints")),
    };
    Some(check.about(webhook))
}
