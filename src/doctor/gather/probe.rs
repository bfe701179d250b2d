//! The probe: a dry run of a policy that allows all. Nothing is stored, and the webhook declares that it has no side
//! effects, so that the API server asks it.

use hyper::Request;
use kube::client::Body;
use serde_json::{Value, json};

use super::api::{Api, failed, in_time};
use crate::doctor::facts::{Answer, Gap, Known};

pub(super) async fn probe(api: &Api, namespace: &str) -> Known<Answer> {
    let permission = format!("create networkpolicies.networking.k8s.io in {namespace}");
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies?dryRun=All");
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "portcullis-doctor-probe"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    });
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(Body::from(policy.to_string().into_bytes()));
    let request = request.map_err(|error| failed(&permission, &error))?;
    // Not by the usual way: that throws the warnings away.
    let response = in_time(&permission, api.client().send(request)).await?;
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.filter_map(|value| warning(value.to_str().ok()?)).collect();
    let status = response.status();
    let body = in_time(&permission, response.into_body().collect_bytes()).await?;
    if status.is_success() {
        return Ok(Answer::Admitted(warnings));
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or("no reason given").replace(char::is_control, " ");
    if message.contains("denied the request") {
        Ok(Answer::Denied(message))
    } else if message.contains("failed calling webhook") {
        Ok(Answer::Unavailable(message))
    } else if status == 403 && message.contains("cannot create resource") {
        Err(Gap::Forbidden(permission))
    } else {
        Ok(Answer::Refused(message))
    }
}

/// The text of a header `299 - "text"`, in which quotes and backslashes are escaped.
fn warning(header: &str) -> Option<String> {
    let (_, quoted) = header.split_once('"')?;
    Some(quoted.strip_suffix('"')?.replace("\\\"", "\"").replace("\\\\", "\\"))
}
