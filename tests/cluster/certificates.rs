//! Certificates that the replicas keep themselves, and an API server that shows one of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::{Value, json};

use super::harness::{Cluster, Registration, User, Webhook, WebhookOptions, wait_until};
use super::manifests::policy;
use super::pki::Ca;

const NAMESPACE: &str = "portcullis";
/// A replica reads the Secret every three seconds; the rest is for machines with more to do.
const SOON: Duration = Duration::from_secs(30);
const OPEN: &str = "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}";
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// A replica that keeps the Secret.
fn replica(kubeconfig: PathBuf, args: &[&str]) -> WebhookOptions {
    let own = ["--tls-secret=portcullis/portcullis-tls", "--tls-dns-name=127.0.0.1"];
    WebhookOptions { kubeconfig: Some(kubeconfig), ..WebhookOptions::default() }.args(&own).args(args)
}

/// A configuration with a webhook for each replica, without a CA: each request is judged by all of them.
fn register(cluster: &Cluster, replicas: &[&Webhook]) {
    let webhook = |(index, replica): (usize, &&Webhook)| {
        json!({
            "name": format!("validate{index}.portcullis.dev"),
            "clientConfig": {"url": format!("https://127.0.0.1:{}/validate", replica.port())},
            "rules": [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["networkpolicies"], "operations": ["CREATE"]}],
            "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
        })
    };
    let webhooks: Vec<Value> = replicas.iter().enumerate().map(webhook).collect();
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "portcullis"}, "webhooks": webhooks,
    });
    cluster.apply(&object.to_string()).ok();
}

/// The bundles of all webhooks, which are one.
fn registered(cluster: &Cluster) -> Option<String> {
    let template = "go-template={{range .webhooks}}{{with .clientConfig.caBundle}}{{base64decode .}}{{end}}|{{end}}";
    let get = cluster.kubectl(&["get", "validatingwebhookconfiguration", "portcullis", "-o", template]).ok();
    let bundles: Vec<&str> = get.stdout.trim_end_matches('|').split('|').collect();
    let first = bundles.first().filter(|first| !first.is_empty())?;
    bundles.iter().all(|bundle| bundle == first).then(|| (*first).to_owned())
}

fn secret(cluster: &Cluster, key: &str) -> String {
    let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
    cluster.kubectl(&["get", "secret", "portcullis-tls", "-n", NAMESPACE, "-o", &template]).ok().stdout
}

fn cas(bundle: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(bundle.as_bytes()).map(|ca| ca.expect("a certificate")).collect()
}

/// The certificate shown to a client that trusts `bundle` alone and goes by the address.
fn shown(replica: &Webhook, bundle: &str) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    for ca in cas(bundle) {
        roots.add(ca).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut tcp = TcpStream::connect(("127.0.0.1", replica.port())).map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
    while client.is_handshaking() {
        match client.complete_io(&mut tcp) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
    }
    Ok(client.peer_certificates().expect("a certificate")[0].clone().into_owned())
}

fn judge(cluster: &Cluster) {
    let open = policy("default", "open", OPEN);
    cluster.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &open).denied_by("allow-all-ingress");
}

/// Waits until both webhooks have one bundle that fits `wanted`.
fn wait_for_bundle(cluster: &Cluster, what: &str, wanted: impl Fn(&[CertificateDer<'static>]) -> bool) -> String {
    wait_until(SOON, what, || registered(cluster).filter(|bundle| wanted(&cas(bundle))))
}

fn both_show_one(replicas: [&Webhook; 2], bundle: &str) -> CertificateDer<'static> {
    wait_until(SOON, "both replicas to show one certificate", || {
        let [one, other] = replicas.map(|replica| shown(replica, bundle));
        (one.is_ok() && one == other).then(|| one.expect("it is"))
    })
}

/// `damage` is a patch of the Secret.
fn left_alone_where_somebody_else_keeps_it(cluster: &Cluster, replicas: [&Webhook; 2], damage: &str) {
    let annotate = |value: &str| {
        cluster.kubectl(&["annotate", "secret", "portcullis-tls", "-n", NAMESPACE, value]).ok();
    };
    annotate("cert-manager.io/certificate-name=portcullis");
    cluster.kubectl(&["patch", "secret", "portcullis-tls", "-n", NAMESPACE, "-p", damage]).ok();
    wait_until(SOON, "the refusal to be noted", || {
        let noted = |replica: &Webhook| replica.ops("/readyz?verbose").map(|(_, lines)| lines);
        let refused = |replica: &Webhook| noted(replica).is_some_and(|lines| lines.contains("is kept by cert-manager"));
        replicas.iter().any(|replica| refused(replica)).then_some(())
    });
    assert_eq!(secret(cluster, "tls.crt"), "broken");
    annotate("cert-manager.io/certificate-name-");
    wait_until(SOON, "the certificate to be repaired", || (secret(cluster, "tls.crt") != "broken").then_some(()));
}

#[test]
fn two_replicas_keep_one_secret() {
    let mut cluster = Cluster::start();
    let options = replica(cluster.kubeconfig(User::Admin), &[]);
    // There is no place for the Secret yet: they wait, and say for what.
    let mut one = Webhook::launch(&options);
    wait_until(SOON, "the reason why it is not ready", || {
        let (status, lines) = one.ops("/readyz")?;
        (status == 503
            && lines.contains("[-]tls not ready: waiting for a certificate from Secret portcullis/portcullis-tls; "))
        .then_some(())
    });
    cluster.namespace(NAMESPACE).ok();
    let mut other = Webhook::start(&options);
    wait_until(SOON, "the first to be ready", || one.is_ready().then_some(()));
    let made = |replica: &Webhook| replica.log().matches("there is no CA with its key").count();
    assert_eq!(made(&one) + made(&other), 1, "one of them writes");
    let first = secret(&cluster, "ca.crt");
    assert_eq!(both_show_one([&one, &other], &first), cas(&secret(&cluster, "tls.crt"))[0]);

    // The registration comes later, and somebody spoils it.
    register(&cluster, &[&one, &other]);
    assert_eq!(wait_for_bundle(&cluster, "the bundle", |cas| cas.len() == 1), first);
    cluster.wait_for_registrations();
    judge(&cluster);
    let patch = json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": ""}]).to_string();
    cluster.kubectl(&["patch", "validatingwebhookconfiguration", "portcullis", "--type=json", "-p", &patch]).ok();
    wait_for_bundle(&cluster, "the bundle to be mended", |cas| cas.len() == 1);

    // Deleted: made anew, and what is in use stays trusted.
    cluster.kubectl(&["delete", "secret", "portcullis-tls", "-n", NAMESPACE]).ok();
    let both = wait_for_bundle(&cluster, "both CAs", |cas| cas.len() == 2);
    assert!(both.starts_with(&first), "{both}");
    cluster.wait_for_registrations();
    judge(&cluster);
    // Damaged: repaired.
    let patch = json!({"stringData": {"tls.crt": "broken"}}).to_string();
    cluster.kubectl(&["patch", "secret", "portcullis-tls", "-n", NAMESPACE, "-p", &patch]).ok();
    wait_until(SOON, "the certificate to be repaired", || {
        secret(&cluster, "tls.crt").starts_with("-----BEGIN CERTIFICATE-----").then_some(())
    });
    both_show_one([&one, &other], &both);

    left_alone_where_somebody_else_keeps_it(&cluster, [&one, &other], &patch);

    // Without the API server they go on, and afterwards whoever is left looks after it.
    cluster.stop_api_server();
    both_show_one([&one, &other], &both);
    wait_until(SOON, "the trouble to be noted", || {
        one.ops("/readyz?verbose").filter(|(_, lines)| lines.contains("[+]tls ok (reading Secret")).map(drop)
    });
    cluster.restart_api_server();
    // One of the two has the Lease, so one of the two deaths leaves it with a holder that is gone.
    for (count, dies) in [(3, &mut one), (4, &mut other)] {
        dies.kill();
        cluster.kubectl(&["delete", "secret", "portcullis-tls", "-n", NAMESPACE]).ok();
        wait_for_bundle(&cluster, "the other to add a CA", |cas| cas.len() == count);
        dies.restart();
    }
    for replica in [&one, &other] {
        assert!(!replica.log().contains("PRIVATE KEY"), "a key is in the log");
    }
}

/// Renewal and the change of the CA, with lives so short that both happen while requests come in.
#[test]
fn nothing_fails_while_certificates_and_ca_change() {
    /// Seconds; a CA lives for 96, is followed by another after 64, and leaves the bundle at its end.
    const LIFE: u64 = 24;
    let cluster = Cluster::start();
    cluster.namespace(NAMESPACE).ok();
    let life = format!("--tls-lifetime={LIFE}s");
    let options = replica(cluster.kubeconfig(User::Admin), &[&life]);
    let (one, other) = (Webhook::start(&options), Webhook::start(&options));
    register(&cluster, &[&one, &other]);
    let first = wait_for_bundle(&cluster, "the bundle", |cas| cas.len() == 1);
    cluster.wait_for_registrations();

    let (mut leaves, mut bundles, mut requests) = (BTreeSet::new(), Vec::new(), 0);
    let begun = Instant::now();
    let done = loop {
        judge(&cluster);
        requests += 1;
        let bundle = registered(&cluster).expect("one bundle for both");
        for replica in [&one, &other] {
            let leaf = shown(replica, &bundle).unwrap_or_else(|error| panic!("{error} after {:?}", begun.elapsed()));
            leaves.insert(leaf.to_vec());
        }
        if bundles.last() != Some(&bundle) {
            bundles.push(bundle);
        }
        // Once more with the old CA gone.
        if bundles.len() >= 3 && cas(&bundles[2]).len() == 1 {
            break true;
        }
        if begun.elapsed() > Duration::from_secs(LIFE * 6) {
            break false;
        }
    };
    judge(&cluster);
    let counts: Vec<usize> = bundles.iter().map(|bundle| cas(bundle).len()).collect();
    eprintln!("{requests} requests, {} certificates, CAs {counts:?}, in {:?}", leaves.len(), begun.elapsed());
    assert!(done && counts == [1, 2, 1], "{counts:?}");
    assert!(bundles[0] == first && bundles[1].starts_with(&first) && bundles[1].ends_with(&bundles[2]));
    assert!(leaves.len() >= 5 && requests >= 20, "{} certificates, {requests} requests", leaves.len());
}

type Right = (String, String, String);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Verb, group and resource of all rules in a file of `deploy/`.
fn granted(cluster: &Cluster, file: &str) -> BTreeSet<Right> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let read = cluster.kubectl(&["annotate", "--local", "-f", file, "-o", "json", "nothing-"]).ok().stdout;
    let mut rights = BTreeSet::new();
    for object in serde_json::Deserializer::from_str(&read).into_iter::<Value>() {
        for rule in list(&object.expect("JSON")["rules"]) {
            for verb in list(&rule["verbs"]) {
                for resource in list(&rule["resources"]) {
                    rights.insert((text(&verb), text(&rule["apiGroups"][0]), text(&resource)));
                }
            }
        }
    }
    rights
}

/// A kubeconfig with a token of the ServiceAccount.
fn service_account(cluster: &Cluster) -> PathBuf {
    let token = cluster.kubectl(&["create", "token", "portcullis", "-n", NAMESPACE]).ok().stdout;
    let mut config: Value =
        serde_json::from_slice(&fs::read(cluster.kubeconfig(User::Admin)).expect("read")).expect("JSON");
    config["users"][0]["user"] = json!({"token": token.trim()});
    let file = cluster.folder().join("replica.kubeconfig");
    fs::write(&file, config.to_string()).expect("write");
    file
}

#[test]
fn the_rights_of_the_component_are_what_is_used() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (rules, log) = (folder.path().join("policy.json"), folder.path().join("log"));
    let account = format!("system:serviceaccount:{NAMESPACE}:portcullis");
    let only = json!([{"level": "Metadata", "omitStages": ["RequestReceived"], "users": [account]}, {"level": "None"}]);
    fs::write(&rules, json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": only}).to_string())
        .expect("write");
    let flags = [format!("--audit-policy-file={}", rules.display()), format!("--audit-log-path={}", log.display())];
    let cluster = Cluster::start_with(&flags.each_ref().map(String::as_str));
    cluster.namespace(NAMESPACE).ok();
    let files =
        ["base/rbac.yaml", "components/self-managed-certificates/rbac.yaml"].map(|file| format!("{DEPLOY}/{file}"));
    for file in &files {
        cluster.kubectl(&["apply", "-f", file]).ok();
    }
    let webhook = Webhook::start(&replica(service_account(&cluster), &["--tls-lifetime=12s"]));
    register(&cluster, &[&webhook]);
    wait_for_bundle(&cluster, "the bundle", |cas| cas.len() == 1);
    let first = secret(&cluster, "tls.crt");
    wait_until(SOON, "a renewal", || (secret(&cluster, "tls.crt") != first).then_some(()));
    cluster.wait_for_registrations();
    judge(&cluster);
    // The Lease is renewed after ten seconds.
    std::thread::sleep(Duration::from_secs(3));

    let events = fs::read_to_string(&log).expect("read the audit log");
    let mut done = BTreeSet::new();
    for event in events.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        assert_ne!(event["responseStatus"]["code"], 403, "{event}");
        let object = &event["objectRef"];
        done.insert((text(&event["verb"]), text(&object["apiGroup"]), text(&object["resource"])));
    }
    // Nothing in the base but reading namespaces and policies, of which not every right has been needed here.
    let base = granted(&cluster, &files[0]);
    let done: BTreeSet<Right> = done.difference(&base).cloned().collect();
    assert_eq!(done, granted(&cluster, &files[1]));
    for what in ["delete secrets/portcullis-tls", "get secrets/other", "list secrets", "patch leases/other"] {
        let (verb, object) = what.split_once(' ').expect("two words");
        let asked = ["auth", "can-i", verb, object, "-n", NAMESPACE, "--as", &account];
        cluster.kubectl(&asked).failed().stdout_has("no");
    }
}

#[test]
fn the_component_takes_the_place_of_the_mounted_certificate() {
    let cluster = Cluster::start();
    let copied = Command::new("cp").args(["-R", DEPLOY]).arg(cluster.folder()).status().expect("run cp");
    assert!(copied.success());
    let overlay = cluster.folder().join("overlay");
    fs::create_dir(&overlay).expect("make a folder");
    let kustomization = "resources: [../deploy]\ncomponents: [../deploy/components/self-managed-certificates]\n";
    fs::write(overlay.join("kustomization.yaml"), kustomization).expect("write");
    let yaml = cluster.kubectl(&["kustomize", overlay.to_str().expect("UTF-8")]).ok().stdout;
    let all = cluster.kubectl_stdin(&["annotate", "--local", "-f", "-", "-o", "json", "nothing-"], &yaml).ok().stdout;
    let objects: Vec<Value> =
        serde_json::Deserializer::from_str(&all).into_iter().map(|object| object.expect("JSON")).collect();
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("a Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let args = pod["containers"][0]["args"].to_string();
    assert!(!args.contains("--tls-cert") && !args.contains("--tls-key"), "{args}");
    assert!(args.contains("\"--tls-secret=portcullis/portcullis-tls\""), "{args}");
    for list in [&pod["volumes"], &pod["containers"][0]["volumeMounts"]] {
        let names: Vec<&Value> = list.as_array().expect("a list").iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["rules"]);
    }
    // The program takes these arguments.
    let said = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(pod["containers"][0]["args"].as_array().expect("arguments").iter().map(text))
        .arg("--config=/nowhere")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .expect("run portcullis");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("--config") || said.contains("/nowhere"), "{said}");
}

/// What tells the API server which certificate to show to whom.
fn admission_configuration(folder: &Path, users: &[(u16, &str)]) -> PathBuf {
    let file = |name: &str, value: &Value| {
        fs::write(folder.join(name), value.to_string()).expect("write");
        folder.join(name)
    };
    let users: Vec<Value> = users
        .iter()
        .map(|(port, name)| {
            let path = |kind: &str| folder.join(format!("{name}.{kind}"));
            json!({"name": format!("127.0.0.1:{port}"), "user": {"client-certificate": path("crt"), "client-key": path("key")}})
        })
        .collect();
    let kubeconfig = file("webhooks.kubeconfig", &json!({"apiVersion": "v1", "kind": "Config", "users": users}));
    let plugin = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": kubeconfig});
    let plugins = json!([{"name": "ValidatingAdmissionWebhook", "configuration": plugin}]);
    file(
        "admission.json",
        &json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}),
    )
}

#[test]
fn the_api_server_is_let_in_by_its_certificate_and_nobody_else() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let callers = Ca::new("callers");
    for name in ["kube-apiserver", "stranger"] {
        callers.caller(name, &[]).write(folder.path(), name);
    }
    fs::write(folder.path().join("callers.crt"), &callers.pem).expect("write");
    let ca = format!("--client-ca={}", folder.path().join("callers.crt").display());
    let start = || Webhook::start(&WebhookOptions::default().args(&[&ca, "--client-name=kube-apiserver"]));
    // Their inventories are in memory, so they can be there before the cluster that is told of their ports.
    let [known, estranged, unknown] = [start(), start(), start()];
    let users = [(known.port(), "kube-apiserver"), (estranged.port(), "stranger")];
    let file = admission_configuration(folder.path(), &users);
    let cluster = Cluster::start_with(&[&format!("--admission-control-config-file={}", file.display())]);

    cluster.register(&known, &Registration::default());
    judge(&cluster);
    let open = policy("default", "open", OPEN);
    let refused = |webhook: &Webhook| {
        cluster.register(webhook, &Registration::default());
        cluster.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &open).webhook_unavailable()
    };
    refused(&estranged);
    assert!(estranged.log().contains("its certificate has no name of --client-name"), "{}", estranged.log());
    refused(&unknown).stderr_has("certificate");
    // What the client is told may arrive before the line is written.
    wait_until(SOON, "the refusal in the log", || {
        unknown.log().contains("a caller without a certificate of --client-ca was refused").then_some(())
    });
}
