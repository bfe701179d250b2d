//! One namespace read past every cache.

use futures::future::join;
use kube::Client;
use kube::api::{GetParams, ListParams};
use kube::core::Request;

use super::follow::PAGE_SIZE;
use super::index::{put_namespace, put_policy};
use super::wire::{Kind, Page, Raw};
use crate::inventory::NamespaceState;

/// Reads a Namespace and its policies, at the same time. Without a resourceVersion both are quorum
/// reads: they see every write that was acknowledged before.
pub(super) async fn read(client: Client, name: String) -> Result<NamespaceState, String> {
    // The name becomes part of a path.
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Err(format!("{name:?} is no name of a namespace"));
    }
    let (namespace, policies) = join(namespace(&client, &name), policies(&client, &name)).await;
    let Some(object) = namespace? else { return Ok(NamespaceState::gone(&name)) };
    let mut state = put_namespace(&NamespaceState::unseen(&name), &object)
        .map_err(|reason| format!("namespace {name} cannot be read: {reason}"))?;
    for policy in policies? {
        put_policy(&mut state, &policy);
    }
    Ok(state)
}

async fn namespace(client: &Client, name: &str) -> Result<Option<Raw>, String> {
    let failed = |error: &dyn std::error::Error| format!("reading namespace {name}: {}", one_line(error));
    let request =
        Request::new(Kind::Namespace.path()).get(name, &GetParams::default()).map_err(|error| failed(&error))?;
    match client.request_text(request).await {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| failed(&error)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

async fn policies(client: &Client, namespace: &str) -> Result<Vec<Raw>, String> {
    let failed = |error: &dyn std::error::Error| format!("listing the policies of {namespace}: {}", one_line(error));
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    let mut params = ListParams::default().limit(PAGE_SIZE);
    let mut found = Vec::new();
    loop {
        let request = Request::new(path.as_str()).list(&params).map_err(|error| failed(&error))?;
        let text = client.request_text(request).await.map_err(|error| failed(&error))?;
        let page: Page = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        found.extend(page.items.unwrap_or_default());
        match page.metadata.next.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}

/// An error with its causes, without line breaks. hyper's own messages say little.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text.replace(|c: char| c.is_control(), " ")
}
