//! `deploy/`: a real API server takes it, the ServiceAccount may do what the server does and nothing else, and the
//! scripts do what they say.
//!
//! There is no node here that would run the Deployment, and no network of Services. So the test runs the server itself,
//! with the Deployment's arguments, what its volumes would hold and a token of its ServiceAccount, and lays three
//! patches over a copy of `deploy/` ([`stage`]). All else is as it is installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use self::stage::{DEPLOY, copy, find, mount_volumes, pod, refused, rendered, run, service_account, text};
use super::harness::{Cluster, Outcome, Registration, Webhook, WebhookOptions, wait_until};
use super::manifests::{allow, default_deny, policy};

pub(crate) mod stage;

const ACCOUNT: &str = "system:serviceaccount:portcullis:portcullis";
const BUT_THE_REGISTRATION: &str = "app.kubernetes.io/component!=registration";
/// The API server goes by a new registration, and the server by a new certificate, within a few seconds.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_manifests_say_what_they_should() {
    let cluster = Cluster::start();
    let objects = rendered(&cluster, DEPLOY);
    for object in &objects {
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], "portcullis", "{object}");
    }
    let deployment = &find(&objects, "Deployment", "portcullis")["spec"];
    assert_eq!(deployment["replicas"], 2);
    let pod = &deployment["template"]["spec"];
    let container = &pod["containers"][0];
    for (found, wanted) in [
        (&pod["serviceAccountName"], json!("portcullis")),
        (&pod["terminationGracePeriodSeconds"], json!(30)),
        (&pod["enableServiceLinks"], json!(false)),
        (&pod["securityContext"]["runAsNonRoot"], json!(true)),
        (&pod["securityContext"]["runAsUser"], json!(65532)),
        (&pod["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"})),
        (&pod["topologySpreadConstraints"][0]["topologyKey"], json!("kubernetes.io/hostname")),
        (&pod["volumes"][0]["secret"]["defaultMode"], json!(0o440)),
        (&container["image"], json!("ghcr.io/portcullis-dev/portcullis:0.1.0")),
        (&container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "ops"})),
        (&container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "ops"})),
        (&container["securityContext"]["readOnlyRootFilesystem"], json!(true)),
        (&container["securityContext"]["allowPrivilegeEscalation"], json!(false)),
        (&container["securityContext"]["capabilities"], json!({"drop": ["ALL"]})),
        (&container["resources"]["limits"], json!({"memory": "256Mi"})),
        (&find(&objects, "PodDisruptionBudget", "portcullis")["spec"]["minAvailable"], json!(1)),
    ] {
        assert_eq!(*found, wanted);
    }
    // Service, budget and policy mean the pods of the Deployment.
    let labels = &deployment["template"]["metadata"]["labels"];
    let spec = |kind: &str| &find(&objects, kind, "portcullis")["spec"];
    let selectors =
        [&spec("PodDisruptionBudget")["selector"], &spec("NetworkPolicy")["podSelector"], &deployment["selector"]];
    assert_eq!(spec("Service")["selector"], *labels);
    assert!(selectors.iter().all(|selector| selector["matchLabels"] == *labels), "{selectors:?}");

    let webhooks = &find(&objects, "ValidatingWebhookConfiguration", "portcullis")["webhooks"];
    for webhook in webhooks.as_array().expect("webhooks") {
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["timeoutSeconds"], 5);
        assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]));
    }
    let exempt =
        json!([{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "portcullis"]}]);
    assert_eq!(webhooks[0]["namespaceSelector"]["matchExpressions"], exempt);
    assert_eq!(webhooks[1]["namespaceSelector"], Value::Null);
}

#[test]
fn a_real_api_server_takes_all_of_it() {
    let cluster = Cluster::start();
    let folder = copy(&cluster, 443);
    cluster.kubectl(&["apply", "-f", text(&folder.join("base/namespace.yaml"))]).ok();
    let count = rendered(&cluster, text(&folder)).len();
    let lines = |outcome: Outcome| outcome.ok().stdout.lines().count();
    assert_eq!(lines(cluster.kubectl(&["apply", "--dry-run=server", "-k", text(&folder)])), count);
    assert_eq!(lines(cluster.kubectl(&["apply", "-k", text(&folder)])), count);
    assert_eq!(lines(cluster.kubectl(&["get", "-k", text(&folder), "-o", "name"])), count);

    // Nobody serves it: closed, and always to be opened again.
    cluster.wait_for_registrations();
    cluster.namespace("a").webhook_unavailable();
    cluster.kubectl(&["delete", "validatingwebhookconfiguration", "portcullis"]).ok();
    cluster.wait_for_registrations();
    cluster.namespace("a").ok();
}

const EXPLAIN: &str =
    "apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nspec: {extends: builtin, explainChanges: warn}\n";

type Right = (String, String, String);

/// Verb, group and resource of every rule.
fn rights(rules: &Value) -> BTreeSet<Right> {
    let all = |value: &Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|text| text.as_str().expect("text").to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in rules.as_array().expect("rules") {
        for verb in all(&rule["verbs"]) {
            for group in all(&rule["apiGroups"]) {
                rights.extend(
                    all(&rule["resources"]).into_iter().map(|resource| (verb.clone(), group.clone(), resource)),
                );
            }
        }
    }
    rights
}

/// What the API server saw the ServiceAccount do.
fn done(log: &Path) -> BTreeSet<Right> {
    let log = fs::read_to_string(log).expect("read the audit log");
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events
        .map(|event| {
            assert_ne!(event["responseStatus"]["code"], 403, "{event}");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            assert!(object["resource"].is_string() && object["subresource"].is_null(), "{event}");
            (text(&event["verb"]), text(&object["apiGroup"]), text(&object["resource"]))
        })
        .collect()
}

#[test]
fn its_role_is_what_the_server_does_and_nothing_else() {
    let audit = tempfile::tempdir().expect("temporary folder");
    let (rules, log) = (audit.path().join("policy.json"), audit.path().join("log"));
    let only = json!([{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}]);
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": only});
    fs::write(&rules, policy.to_string()).expect("write the audit policy");
    let flags = [format!("--audit-policy-file={}", text(&rules)), format!("--audit-log-path={}", text(&log))];
    let cluster = Cluster::start_with(&flags.each_ref().map(String::as_str));
    let folder = copy(&cluster, 443);
    cluster.kubectl(&["apply", "-k", text(&folder), "-l", BUT_THE_REGISTRATION]).ok();
    cluster.namespace("a").ok();

    let (kubeconfig, token) = service_account(&cluster);
    let webhook = Webhook::start(&WebhookOptions { kubeconfig: Some(kubeconfig.clone()), ..WebhookOptions::default() });
    cluster.register(&webhook, &Registration::default());
    // The denial is confirmed by a live read.
    cluster.apply(&allow("a", "web")).denied_by("missing-default-deny");
    cluster.apply(&default_deny("a", "default-deny", "Ingress, Egress")).ok();
    cluster.apply(&allow("a", "web")).ok();
    let granted = rights(&find(&rendered(&cluster, DEPLOY), "ClusterRole", "portcullis")["rules"]);
    assert_eq!(done(&log), granted);

    // The right to watch pods is one more, for those who ask to be told of changes, and is used by nobody else.
    let explaining = format!("{DEPLOY}/components/explain-changes");
    cluster.kubectl(&["apply", "-k", &explaining]).ok();
    let more = rights(&find(&rendered(&cluster, &explaining), "ClusterRole", "portcullis-explain-changes")["rules"]);
    let with_pods = &granted | &more;
    let config = cluster.folder().join("explain.yaml");
    fs::write(&config, EXPLAIN).expect("write a rule set");
    let allowed = ["auth", "can-i", "watch", "pods", "--all-namespaces", "--as", ACCOUNT];
    wait_until(SOON, "the right to be granted", || cluster.kubectl(&allowed).succeeded().then_some(()));
    let options = WebhookOptions { kubeconfig: Some(kubeconfig), ..WebhookOptions::default() };
    drop(webhook);
    let _webhook = Webhook::start(&options.args(&["--config", text(&config)]));
    wait_until(SOON, "the pods to be watched", || (done(&log) == with_pods).then_some(()));

    // Nothing comes from elsewhere but what everybody may: ask about oneself.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "portcullis"}});
    let create = ["create", "-f", "-", "-o", "json", "--token", &token];
    let all = cluster.kubectl_stdin(&create, &review.to_string()).ok().json();
    let mut all = rights(&all["status"]["resourceRules"]);
    all.retain(|(_, _, resource)| !resource.starts_with("selfsubject"));
    assert_eq!(all, with_pods);
    for what in
        ["get secrets", "create namespaces", "patch validatingwebhookconfigurations", "get pods", "create events"]
    {
        let (verb, resource) = what.split_once(' ').expect("two words");
        for by in [["--token", &token], ["--as", ACCOUNT]] {
            let asked = [&["auth", "can-i", verb, resource, "-n", "portcullis"][..], &by].concat();
            cluster.kubectl(&asked).failed().stdout_has("no");
        }
    }
}

const OPEN: &str = "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}";

/// The first webhook denies and exempts; the second is asked about labels wherever they are changed.
fn main_and_guard(cluster: &Cluster, webhook: &mut Webhook) {
    let label = |namespace: &str, value: &str| {
        cluster.kubectl(&["label", "namespace", namespace, &format!("a={value}"), "--overwrite"])
    };
    let finalize = || {
        let mut namespace = cluster.kubectl(&["get", "namespace", "team-a", "-o", "json"]).ok().json();
        namespace["metadata"]["labels"]["a"] = json!("finalized");
        cluster.kubectl_stdin(
            &["replace", "--raw", "/api/v1/namespaces/team-a/finalize", "-f", "-"],
            &namespace.to_string(),
        )
    };
    cluster
        .apply(&policy("team-a", "open", OPEN))
        .denied_by("allow-all-ingress")
        .stderr_has("\"validate.portcullis.dev\" denied the request");
    for exempt in ["kube-system", "portcullis"] {
        cluster.apply(&policy(exempt, "open", OPEN)).ok();
    }
    label("team-a", "1").ok();
    label("kube-system", "1").ok();
    finalize().ok();

    webhook.kill();
    cluster.apply(&policy("portcullis", "other", OPEN)).ok();
    cluster.kubectl(&["delete", "netpol", "open", "-n", "kube-system"]).ok();
    cluster.kubectl(&["delete", "netpol", "open", "other", "-n", "portcullis"]).ok();
    label("kube-system", "2").webhook_unavailable().stderr_has("\"guard.portcullis.dev\"");
    finalize().failed().stderr_has("\"guard.portcullis.dev\"");
    webhook.restart();
}

/// A rule set of one's own gets to the running server, and the guard goes by it where the main webhook does not look.
fn own_rules(cluster: &Cluster, deployment: &Value) {
    let rules = json!({
        "apiVersion": "portcullis.dev/v1alpha1", "kind": "RuleSet", "metadata": {"name": "own"},
        "spec": {"extends": "builtin", "rules": [{"rule": "webhook-exemption", "level": "deny", "params": {"keys": ["skip"]}}]},
    });
    let file = cluster.folder().join("own-rules.yaml");
    fs::write(&file, rules.to_string().replace("\"deny\"", "\"never\"")).expect("write a rule set");
    let said = refused(cluster, "install.sh", &["--no-wait", "--rules", text(&file)]);
    assert!(said.contains("`level`") && !said.contains("==>"), "{said}");
    fs::write(&file, rules.to_string()).expect("write a rule set");
    run(cluster, "install.sh", &["--no-wait", "--rules", text(&file)]);
    mount_volumes(cluster, deployment);
    wait_until(SOON, "the guard to go by the new rules", || {
        let outcome = cluster.kubectl(&["label", "namespace", "kube-system", "skip=yes", "--dry-run=server"]);
        (outcome.is_denied() && outcome.stderr.contains("\"guard.portcullis.dev\" denied")).then_some(())
    });
}

#[test]
fn its_own_policies_pass_its_own_rules() {
    let check = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["check", &format!("{DEPLOY}/base"), "-o", "json"])
            .args(args)
            .output();
        serde_json::from_slice::<Value>(&output.expect("run portcullis").stdout).expect("JSON")["summary"].clone()
    };
    let rules = tempfile::tempdir().expect("temporary folder");
    for file in ["rules.yaml", "own-policy.yaml"] {
        fs::copy(format!("{DEPLOY}/base/{file}"), rules.path().join(file)).expect("copy a rule set");
    }
    let with = check(&["--config", text(rules.path())]);
    assert_eq!((&with["deny"], &with["warn"], &with["cannotJudge"]), (&json!(0), &json!(0), &json!(0)), "{with}");
    // The one that is exempt, with its reason, is what the built-in rules deny.
    assert_eq!(check(&[])["deny"], json!(1));
}

#[test]
fn install_renew_and_uninstall() {
    let cluster = Cluster::start();
    cluster.namespace("team-a").ok();
    let folder = copy(&cluster, 443);
    let said = run(&cluster, "install.sh", &["--no-wait", "--no-probe", "--image", "registry.example:5000/p:2"]);
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("no {what:?} in\n{said}"));
    assert!(at("deployment.apps/portcullis created") < at("secret/portcullis-tls serverside-applied"));
    assert!(
        at("portcullis-tls serverside")
            < at("validatingwebhookconfiguration.admissionregistration.k8s.io/portcullis c")
    );
    let get = |kind: &str, path: &str| {
        let path = format!("jsonpath={{{path}}}");
        cluster.kubectl(&["get", kind, "-n", "portcullis", "-o", &path]).ok().stdout
    };
    assert_eq!(get("deployment/portcullis", ".spec.template.spec.containers[0].image"), "registry.example:5000/p:2");
    assert_eq!(get("secret/portcullis-tls", ".type"), "kubernetes.io/tls");
    assert!(!get("secret/portcullis-tls", ".data").contains("ca.key"));

    // Now somebody serves it, and the second run proves it.
    let deployment = find(&rendered(&cluster, DEPLOY), "Deployment", "portcullis").clone();
    let mut webhook = pod(&cluster, &deployment);
    copy(&cluster, webhook.port());
    let certificate = get("secret/portcullis-tls", ".data");
    let said = run(&cluster, "install.sh", &["--no-wait"]);
    assert!(said.contains("keeping the certificate") && said.contains("[allow-all-ingress]"), "{said}");
    assert!(said.contains("networkpolicy.networking.k8s.io/portcullis-probe-good created (server dry run)"), "{said}");
    let said = run(&cluster, "install.sh", &["--no-wait"]);
    assert!(!said.contains(" configured") && !said.contains(" serverside-applied"), "{said}");
    assert_eq!(get("secret/portcullis-tls", ".data"), certificate);
    main_and_guard(&cluster, &mut webhook);
    own_rules(&cluster, &deployment);

    // Old and new certificate are trusted until the new one is everywhere.
    let denied = || cluster.apply(&policy("team-a", "open", OPEN)).is_denied().then_some(());
    run(&cluster, "install.sh", &["--no-wait", "--renew"]);
    assert_ne!(get("secret/portcullis-tls", ".data"), certificate);
    mount_volumes(&cluster, &deployment);
    run(&cluster, "install.sh", &["--no-wait", "--no-probe"]);
    wait_until(SOON, "the server to show the new certificate", denied);

    let said = run(&cluster, "uninstall.sh", &["--no-wait"]);
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with("validatingwebhookconfiguration") && first.ends_with("deleted"), "{said}");
    let objects = rendered(&cluster, text(&folder));
    for object in objects.iter().filter(|object| object["kind"] != "Namespace") {
        cluster.kubectl_stdin(&["get", "-f", "-"], &object.to_string()).failed().stderr_has("NotFound");
    }
    assert_eq!(get("namespace/portcullis", ".status.phase"), "Terminating");
    assert_eq!(get("secrets", ".items"), "[]");
    run(&cluster, "uninstall.sh", &["--no-wait"]);
    cluster.apply(&policy("team-a", "open", OPEN)).ok();
    install_over_a_left_registration(&cluster, &folder);
}

/// The namespace was deleted, the registration was not: the guard would refuse the namespace that its server needs.
fn install_over_a_left_registration(cluster: &Cluster, folder: &Path) {
    let mut namespace = cluster.kubectl(&["get", "namespace", "portcullis", "-o", "json"]).ok().json();
    namespace["spec"]["finalizers"] = json!([]);
    let finalize = ["replace", "--raw", "/api/v1/namespaces/portcullis/finalize", "-f", "-"];
    cluster.kubectl_stdin(&finalize, &namespace.to_string()).ok();
    cluster.kubectl(&["apply", "-f", text(&folder.join("base/webhook.yaml"))]).ok();
    cluster.wait_for_registrations();
    cluster.kubectl(&["create", "namespace", "portcullis"]).webhook_unavailable();
    let said = run(cluster, "install.sh", &["--no-wait", "--no-probe"]);
    assert!(said.contains("removing a registration that nobody serves"), "{said}");
    assert!(said.contains("namespace/portcullis created"), "{said}");
}
