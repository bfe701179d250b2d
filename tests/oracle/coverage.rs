//! What random clusters have to have in them, told from the objects alone.

use serde_json::Value;

/// A feature of an object, and how to see that it has it.
pub(crate) type Feature = (&'static str, fn(&Value) -> bool);

pub(crate) const FEATURES: [Feature; 60] = [
    ("a Namespace with labels", |object| is(object, "Namespace") && object["metadata"]["labels"].is_object()),
    ("a Namespace without labels", |object| is(object, "Namespace") && object["metadata"]["labels"].is_null()),
    ("no namespace", |object| !is(object, "Namespace") && object["metadata"].get("namespace").is_none()),
    ("a null namespace", |object| object["metadata"].get("namespace").is_some_and(Value::is_null)),
    ("Pod", |object| is(object, "Pod")),
    ("Deployment", |object| is(object, "Deployment")),
    ("ReplicaSet", |object| is(object, "ReplicaSet")),
    ("StatefulSet", |object| is(object, "StatefulSet")),
    ("DaemonSet", |object| is(object, "DaemonSet")),
    ("Job", |object| is(object, "Job")),
    ("CronJob", |object| is(object, "CronJob")),
    ("ReplicationController", |object| is(object, "ReplicationController")),
    ("another's kind", |object| is(object, "Service") || is(object, "PodGroup")),
    ("another's NetworkPolicy", |object| object["apiVersion"] == "projectcalico.org/v3"),
    ("hostNetwork", |object| any(object, "hostNetwork", Value::is_boolean)),
    ("podIP alone", |object| object["status"]["podIP"].is_string() && object["status"]["podIPs"].is_null()),
    ("podIPs of both families", |object| list(&object["status"]["podIPs"]).len() == 2),
    ("a sidecar with ports", |object| any(object, "restartPolicy", Value::is_string)),
    ("one name for two ports", |object| twice(&object["spec"]["containers"], "name")),
    ("a container's port of no protocol", |object| any(object, "containerPort", Value::is_number)),
    ("a container's port of UDP", |object| !is_policy(object) && any(object, "protocol", |value| value == "UDP")),
    ("a label without a value", |object| any(object, "app", |value| value == "")),
    ("a null label", |object| any(object, "app", Value::is_null)),
    ("a policy on its way out", |object| object["metadata"]["deletionTimestamp"].is_string()),
    ("no podSelector", |object| is_policy(object) && object["spec"].get("podSelector").is_none()),
    ("a null podSelector", |object| is_policy(object) && object["spec"].get("podSelector").is_some_and(Value::is_null)),
    ("an empty podSelector", |object| is_policy(object) && is_empty(&object["spec"]["podSelector"])),
    ("no policyTypes", |object| is_policy(object) && object["spec"].get("policyTypes").is_none()),
    ("null policyTypes", |object| is_policy(object) && object["spec"].get("policyTypes").is_some_and(Value::is_null)),
    ("empty policyTypes", |object| is_empty(&object["spec"]["policyTypes"])),
    ("one policyType", |object| list(&object["spec"]["policyTypes"]).len() == 1),
    ("both policyTypes", |object| list(&object["spec"]["policyTypes"]).len() == 2),
    ("rules of a direction that is not in policyTypes", |object| {
        object["spec"]["policyTypes"] == serde_json::json!(["Ingress"]) && !list(&object["spec"]["egress"]).is_empty()
    }),
    ("no ingress", |object| is_policy(object) && object["spec"].get("ingress").is_none()),
    ("empty egress and no policyTypes", |object| {
        is_empty(&object["spec"]["egress"]) && object["spec"].get("policyTypes").is_none()
    }),
    ("an empty rule", |object| rules(object).iter().any(|rule| is_empty(rule))),
    ("a null rule", |object| rules(object).iter().any(|rule| rule.is_null())),
    ("no peers", |object| rules(object).iter().any(|rule| rule.get("from").is_none() && rule.get("to").is_none())),
    ("empty peers", |object| rules(object).iter().any(|rule| is_empty(&rule["from"]))),
    ("several peers", |object| rules(object).iter().any(|rule| list(&rule["to"]).len() > 1)),
    ("podSelector alone", |object| peers(object).iter().any(|peer| has(peer, "podSelector", "namespaceSelector"))),
    ("namespaceSelector alone", |object| {
        peers(object).iter().any(|peer| has(peer, "namespaceSelector", "podSelector"))
    }),
    ("both selectors", |object| {
        peers(object).iter().any(|peer| peer["podSelector"].is_object() && peer["namespaceSelector"].is_object())
    }),
    ("every namespace", |object| peers(object).iter().any(|peer| is_empty(&peer["namespaceSelector"]))),
    ("matchLabels and matchExpressions", |object| {
        let spec = &object["spec"]["podSelector"];
        spec["matchLabels"].is_object() && spec["matchExpressions"].is_array()
    }),
    ("In", |object| any(object, "operator", |value| value == "In")),
    ("NotIn", |object| any(object, "operator", |value| value == "NotIn")),
    ("Exists", |object| any(object, "operator", |value| value == "Exists")),
    ("DoesNotExist with empty values", |object| {
        any(object, "matchExpressions", |value| {
            list(value).iter().any(|one| one["operator"] == "DoesNotExist" && is_empty(&one["values"]))
        })
    }),
    ("a v4 block", |object| any_text(object, "cidr", |text| text.starts_with("10."))),
    ("a v6 block", |object| any_text(object, "cidr", |text| text.starts_with("fd00:"))),
    ("an IPv4-mapped block", |object| any_text(object, "cidr", |text| text.starts_with("::ffff:"))),
    ("leading zeros", |object| any_text(object, "cidr", |text| text.starts_with('0') && text.contains("/0"))),
    ("bits beyond the prefix", |object| {
        any_text(object, "cidr", |text| text.ends_with("/8") && !text.contains(".0.0.0"))
    }),
    ("several excepts", |object| any(object, "except", |value| list(value).len() > 1)),
    ("a port by name", |object| is_policy(object) && any(object, "port", Value::is_string)),
    ("a port range", |object| any(object, "endPort", Value::is_number)),
    ("a protocol without a port", |object| {
        rules(object)
            .iter()
            .any(|rule| list(&rule["ports"]).iter().any(|port| port["protocol"].is_string() && port["port"].is_null()))
    }),
    ("a port without a protocol", |object| {
        rules(object).iter().any(|rule| {
            list(&rule["ports"]).iter().any(|port| port["port"].is_number() && port.get("protocol").is_none())
        })
    }),
    ("SCTP in a rule", |object| is_policy(object) && any(object, "protocol", |value| value == "SCTP")),
];

fn is(object: &Value, kind: &str) -> bool {
    object["kind"] == kind
}

fn is_policy(object: &Value) -> bool {
    object["apiVersion"] == "networking.k8s.io/v1"
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `{}` or `[]`.
fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn has(peer: &Value, this: &str, and_not: &str) -> bool {
    peer[this].is_object() && peer[and_not].is_null()
}

fn rules(object: &Value) -> Vec<&Value> {
    list(&object["spec"]["ingress"]).iter().chain(list(&object["spec"]["egress"])).collect()
}

fn peers(object: &Value) -> Vec<&Value> {
    rules(object).into_iter().flat_map(|rule| list(&rule["from"]).iter().chain(list(&rule["to"]))).collect()
}

/// Whether a field of that name, at any depth, is so.
fn any(value: &Value, field: &str, so: fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any(item, field, so)),
        Value::Object(entries) => {
            entries.get(field).is_some_and(so) || entries.values().any(|inner| any(inner, field, so))
        }
        _ => false,
    }
}

fn any_text(value: &Value, field: &str, so: fn(&str) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_text(item, field, so)),
        Value::Object(entries) => {
            entries.get(field).and_then(Value::as_str).is_some_and(so)
                || entries.values().any(|inner| any_text(inner, field, so))
        }
        _ => false,
    }
}

/// Whether ports of two containers have one name.
fn twice(containers: &Value, field: &str) -> bool {
    let names = list(containers).iter().flat_map(|container| list(&container["ports"])).map(|port| &port[field]);
    let names: Vec<&Value> = names.filter(|name| name.is_string()).collect();
    names.iter().enumerate().any(|(index, name)| names[..index].contains(name))
}
