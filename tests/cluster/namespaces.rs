//! The rules about Namespaces, and the guard path that sees what a registration for `namespaces` does not.

use std::fs;

use serde_json::{Value, json};

use super::harness::{Cluster, Outcome, Registration, User, Webhook};
use super::manifests::{default_deny, options};

const KEY: &str = "team.example.com/firewall";
const EXEMPT: &str = "portcullis.dev/exempt";
const PROTECTED: &str = "protected-namespace-labels";

const RULES: &str = "
apiVersion: portcullis.dev/v1alpha1
kind: RuleSet
metadata: {name: namespaces}
spec:
  rules:
    - rule: protected-namespace-labels
      level: deny
      params:
        keys:
          - {key: team.example.com/firewall, subjects: {users: [admin], serviceAccounts: [ci/deployer]}}
          - {prefix: net.example.com/, subjects: {groups: [operators]}}
    - {rule: webhook-exemption, level: deny, params: {keys: [portcullis.dev/exempt], subjects: {users: [admin]}}}
    - {rule: protected-namespace, level: deny, params: {subjects: {users: [admin]}}}
    - rule: namespace-required-labels
      level: deny
      match: {namespaces: ['app-*']}
      params: {labels: [{key: team, pattern: 'team-[a-z]+'}], annotations: [{key: owner}]}
    - {rule: namespace-name, level: deny, params: {pattern: '[a-z-]+', reserved: [openshift-]}}
    - {rule: missing-default-deny, level: deny, match: {namespaceSelector: {matchLabels: {environment: production}}}}
    - {rule: namespace-needs-default-deny, level: warn}
";

/// A cluster in which the user `dev` may do to namespaces whatever changes their labels.
fn cluster() -> (Cluster, Webhook) {
    let cluster = Cluster::start();
    let resources = ["namespaces", "namespaces/status", "namespaces/finalize"];
    cluster.grant(User::Dev, &["get", "create", "update", "patch", "delete"], &resources);
    let file = cluster.folder().join("rules.yaml");
    fs::write(&file, RULES).expect("write the rule set");
    let webhook = Webhook::start(&options(&cluster).args(&["--config", file.to_str().expect("a path")]));
    (cluster, webhook)
}

/// The main webhook, which leaves alone what bears a label: the very request that sets it escapes.
fn main_webhook() -> Registration {
    let name = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]});
    let exempt = json!({"key": EXEMPT, "operator": "DoesNotExist"});
    let overrides = json!({"namespaceSelector": {"matchExpressions": [name, exempt]}});
    Registration { overrides, ..Registration::default() }
}

/// The guard: no selector, the subresources as well.
fn guard() -> Registration {
    let resources = ["namespaces", "namespaces/status", "namespaces/finalize"];
    Registration {
        name: "portcullis-guard".to_owned(),
        path: "/validate/labels".to_owned(),
        exempt: Vec::new(),
        rules: json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": resources, "operations": ["CREATE", "UPDATE"]}]),
        ..Registration::default()
    }
}

fn object(cluster: &Cluster, namespace: &str) -> Value {
    cluster.kubectl(&["get", "namespace", namespace, "-o", "json"]).ok().json()
}

fn label(cluster: &Cluster, namespace: &str, key: &str) -> Value {
    object(cluster, namespace)["metadata"]["labels"][key].clone()
}

/// The ways in which labels of a namespace that exists can be changed.
#[derive(Clone, Copy, Debug)]
enum Way {
    Label,
    Patch,
    Replace,
    StatusPatch,
    Status,
    Finalize,
}

impl Way {
    const ALL: [Self; 6] = [Self::Label, Self::Patch, Self::Replace, Self::StatusPatch, Self::Status, Self::Finalize];
    /// Those that a registration for `namespaces` never sees.
    const SUBRESOURCES: [Self; 3] = [Self::StatusPatch, Self::Status, Self::Finalize];

    /// Gives a label a value, or takes the label away, as somebody.
    fn set(self, cluster: &Cluster, user: User, namespace: &str, key: &str, value: Option<&str>) -> Outcome {
        let patch = json!({"metadata": {"labels": {key: value}}}).to_string();
        let written = value.map_or_else(|| format!("{key}-"), |value| format!("{key}={value}"));
        let path = format!("/api/v1/namespaces/{namespace}");
        let put = |path: &str| {
            let mut object = object(cluster, namespace);
            match value {
                Some(value) => object["metadata"]["labels"][key] = value.into(),
                None => drop(object["metadata"]["labels"].as_object_mut().expect("labels").remove(key)),
            }
            cluster.kubectl_stdin_as(user, &["replace", "--raw", path, "-f", "-"], &object.to_string())
        };
        let patched = |more: &[&str]| {
            cluster.kubectl_as(user, &[&["patch", "namespace", namespace, "--type=merge", "-p", &patch], more].concat())
        };
        match self {
            Self::Label => cluster.kubectl_as(user, &["label", "namespace", namespace, &written, "--overwrite"]),
            Self::Patch => patched(&[]),
            Self::Replace => put(&path),
            Self::StatusPatch => patched(&["--subresource=status"]),
            Self::Status => put(&format!("{path}/status")),
            Self::Finalize => put(&format!("{path}/finalize")),
        }
    }
}

#[test]
fn no_way_leads_an_ordinary_user_to_a_protected_label() {
    let (cluster, webhook) = cluster();
    cluster.namespace_with("shop", &[("net.example.com/zone", "a")]).ok();
    cluster.register(&webhook, &main_webhook());

    // Without the guard three of the ways are open, and a label may hide its own setting.
    Way::Label.set(&cluster, User::Dev, "shop", KEY, Some("x")).denied_by(PROTECTED);
    for (way, value) in Way::SUBRESOURCES.into_iter().zip(["x", "y", "z"]) {
        way.set(&cluster, User::Dev, "shop", KEY, Some(value)).ok();
        assert_eq!(label(&cluster, "shop", KEY), value, "{way:?}");
    }
    Way::Label.set(&cluster, User::Dev, "shop", EXEMPT, Some("true")).ok();
    Way::Label.set(&cluster, User::Admin, "shop", EXEMPT, None).ok();
    Way::Label.set(&cluster, User::Admin, "shop", KEY, None).ok();

    // With it none is.
    cluster.register(&webhook, &guard());
    for way in Way::ALL {
        way.set(&cluster, User::Dev, "shop", KEY, Some("x")).denied_by(PROTECTED);
        way.set(&cluster, User::Dev, "shop", "net.example.com/zone", Some("b")).denied_by(PROTECTED);
        way.set(&cluster, User::Dev, "shop", "net.example.com/zone", None).denied_by(PROTECTED);
        way.set(&cluster, User::Dev, "shop", EXEMPT, Some("true")).denied_by("webhook-exemption");
        way.set(&cluster, User::Dev, "kube-system", KEY, Some("x")).denied_by(PROTECTED);
        assert_eq!(label(&cluster, "shop", KEY), Value::Null, "{way:?}");
    }
    assert_eq!(label(&cluster, "shop", "net.example.com/zone"), "a");

    // What is nobody's concern goes on, and so do those who may.
    for (way, value) in Way::ALL.into_iter().zip(["a", "b", "c", "d", "e", "f"]) {
        way.set(&cluster, User::Dev, "shop", "team", Some(value)).ok();
        way.set(&cluster, User::Admin, "shop", KEY, Some(value)).ok();
        assert_eq!([label(&cluster, "shop", "team"), label(&cluster, "shop", KEY)], [value, value], "{way:?}");
    }
    // With the rights of `dev`, and entitled or not by who they are.
    let as_account = |account: &str| {
        let account = format!("--as=system:serviceaccount:{account}");
        cluster.kubectl(&[
            "label",
            "namespace",
            "shop",
            "team.example.com/firewall-",
            &account,
            "--as-group=developers",
        ])
    };
    as_account("ci:other").denied_by(PROTECTED);
    as_account("ci:deployer").ok();
    let created =
        |key: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new", "labels": {key: "x"}}});
    let create = |key: &str| cluster.kubectl_stdin_as(User::Dev, &["create", "-f", "-"], &created(key).to_string());
    create(KEY).denied_by(PROTECTED).stderr_has("dev sets label team.example.com/firewall to \"x\"");
    create(EXEMPT).denied_by("webhook-exemption").stderr_has("only user admin may set it");
    create("team").ok();
}

/// Its pods may run on for as long as they are given, so the guard does not look away.
#[test]
fn one_on_its_way_out_gets_no_protected_label_and_gets_out() {
    let (cluster, webhook) = cluster();
    cluster.namespace("shop").ok();
    cluster.register(&webhook, &main_webhook());
    cluster.register(&webhook, &guard());
    cluster.kubectl_as(User::Dev, &["delete", "namespace", "shop"]).ok();
    assert_eq!(object(&cluster, "shop")["status"]["phase"], "Terminating");
    for way in Way::ALL {
        way.set(&cluster, User::Dev, "shop", KEY, Some("x")).denied_by(PROTECTED);
    }
    // As the namespace controller does it.
    let mut finalized = object(&cluster, "shop");
    finalized["spec"]["finalizers"] = json!([]);
    let finalize = ["replace", "--raw", "/api/v1/namespaces/shop/finalize", "-f", "-"];
    cluster.kubectl_stdin_as(User::Dev, &finalize, &finalized.to_string()).ok();
    cluster.kubectl_as(User::Dev, &["delete", "namespace", "shop", "--ignore-not-found"]).ok();
    cluster.kubectl(&["get", "namespace", "shop"]).failed().stderr_has("NotFound");
}

#[test]
fn namespaces_are_held_to_their_rules() {
    let (cluster, webhook) = cluster();
    cluster.namespace_with("old", &[("environment", "test")]).ok();
    cluster.namespace_with("app-old", &[]).ok();
    cluster.register(&webhook, &main_webhook());
    cluster.register(&webhook, &guard());

    // Created with a reminder, told once though both webhooks have it.
    let reminded = cluster.namespace("shop").ok();
    let reminder =
        "[namespace-needs-default-deny] metadata.name: no default deny yet: `portcullis template namespace shop`";
    assert_eq!(reminded.warnings(), [reminder], "{reminded}");
    cluster.namespace("shop-1").denied_by("namespace-name").stderr_has("does not match `[a-z-]+`");
    cluster.namespace("openshift-x").denied_by("namespace-name").stderr_has("`openshift-`, which is reserved");

    // Labels that ask for a default deny, by whichever way they come.
    for way in Way::ALL {
        way.set(&cluster, User::Dev, "old", "environment", Some("production"))
            .denied_by("namespace-needs-default-deny")
            .stderr_has("namespace old has no default deny for Ingress and Egress, and its labels now ask for one");
    }
    Way::Label.set(&cluster, User::Dev, "old", "environment", Some("staging")).ok();
    cluster.apply(&default_deny("old", "default-deny", "Ingress, Egress")).ok();
    Way::Label.set(&cluster, User::Dev, "old", "environment", Some("production")).ok();

    // Required labels and annotations: old namespaces are not blamed for what they lack.
    let required = "namespace-required-labels";
    cluster.namespace("app-new").denied_by(required).stderr_has("metadata.labels[team]: the label team is missing");
    Way::Label.set(&cluster, User::Dev, "app-old", "team", Some("a")).denied_by(required).stderr_has("`team-[a-z]+`");
    Way::Label.set(&cluster, User::Dev, "app-old", "tier", Some("a")).ok();
    Way::Label.set(&cluster, User::Dev, "app-old", "team", Some("team-a")).ok();
    for way in Way::ALL {
        way.set(&cluster, User::Dev, "app-old", "team", None).denied_by(required);
    }
    let annotate = |text: &str| cluster.kubectl_as(User::Dev, &["annotate", "namespace", "app-old", text]);
    annotate("owner=ada").ok();
    annotate("owner-").denied_by(required).stderr_has("metadata.annotations[owner]");
    annotate("other=x").ok();

    // Not to be deleted, but by those who may.
    Way::Label.set(&cluster, User::Dev, "shop", "portcullis.dev/protected", Some("true")).ok();
    let delete = |user: User, name: &str| cluster.kubectl_as(user, &["delete", "namespace", name]);
    delete(User::Dev, "shop").denied_by("protected-namespace").stderr_has("only user admin may delete it");
    delete(User::Dev, "app-old").ok();
    delete(User::Admin, "shop").ok();
}
