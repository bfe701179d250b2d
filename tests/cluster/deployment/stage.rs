//! `deploy/` on a cluster that has no nodes and no network of Services.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Deserializer, Value, json};

use super::super::harness::{Cluster, User, Webhook, WebhookOptions};

pub(super) const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// What `kubectl kustomize` makes of a folder.
pub(super) fn rendered(cluster: &Cluster, folder: &str) -> Vec<Value> {
    let yaml = cluster.kubectl(&["kustomize", folder]).ok().stdout;
    // The way to have kubectl turn YAML into JSON that asks no server.
    let json = cluster.kubectl_stdin(&["annotate", "--local", "-f", "-", "-o", "json", "nothing-"], &yaml).ok().stdout;
    Deserializer::from_str(&json).into_iter().map(|object| object.expect("JSON")).collect()
}

#[track_caller]
pub(super) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let wanted = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().find(wanted).unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// A copy of `deploy/` for this cluster: the Service leads to this machine, the registrations to `port` there. The
/// certificate is still checked against the Service's name. Before 1.21 a PodDisruptionBudget was a beta.
pub(super) fn copy(cluster: &Cluster, port: u16) -> PathBuf {
    let folder = cluster.folder().join("deploy");
    fs::create_dir_all(&folder).expect("make the copy's folder");
    for entry in fs::read_dir(DEPLOY).expect("read deploy/").map(|entry| entry.expect("read deploy/")) {
        // Components are for overlays.
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).expect("copy deploy/");
        }
    }
    let local =
        json!([{"op": "replace", "path": "/spec", "value": {"type": "ExternalName", "externalName": "localhost"}}]);
    let ports = [0, 1].map(
        |index| json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig/service/port"), "value": port}),
    );
    let mut patches = vec![
        json!({"target": {"kind": "Service"}, "patch": local.to_string()}),
        json!({"target": {"kind": "ValidatingWebhookConfiguration"}, "patch": json!(ports).to_string()}),
    ];
    if cluster.version() < (1, 21) {
        let older = json!([{"op": "replace", "path": "/apiVersion", "value": "policy/v1beta1"}]);
        patches.push(json!({"target": {"kind": "PodDisruptionBudget"}, "patch": older.to_string()}));
    }
    let file = folder.join("kustomization.yaml");
    let text = fs::read_to_string(&file).expect("read kustomization.yaml");
    assert!(!text.contains("\npatches:"), "kustomization.yaml has patches of its own: add to them");
    fs::write(&file, format!("{text}patches: {}\n", Value::from(patches))).expect("write kustomization.yaml");
    folder
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A kubeconfig with a token of the ServiceAccount, and the token.
pub(super) fn service_account(cluster: &Cluster) -> (PathBuf, String) {
    let token = cluster.kubectl(&["create", "token", "portcullis", "-n", "portcullis"]).ok().stdout.trim().to_owned();
    let admin = fs::read(cluster.kubeconfig(User::Admin)).expect("read a kubeconfig");
    let mut config: Value = serde_json::from_slice(&admin).expect("JSON");
    config["users"][0]["user"] = json!({"token": token});
    let file = cluster.folder().join("service-account.kubeconfig");
    fs::write(&file, config.to_string()).expect("write a kubeconfig");
    (file, token)
}

/// Files as the kubelet mounts them: links into a folder of their own, all switched at once through `..data`.
fn mount(folder: &Path, files: &[(&str, String)]) {
    let version = format!("..{}", fs::read_dir(folder).map_or(0, Iterator::count));
    fs::create_dir_all(folder.join(&version)).expect("make a volume");
    for (name, content) in files {
        fs::write(folder.join(&version).join(name), content).expect("fill a volume");
        symlink(Path::new("..data").join(name), folder.join(name)).ok();
    }
    symlink(&version, folder.join("..data_tmp")).expect("link a volume");
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("switch a volume");
}

/// Mounts what the Deployment's volumes hold now.
pub(super) fn mount_volumes(cluster: &Cluster, deployment: &Value) -> PathBuf {
    let root = cluster.folder().join("pod");
    let get = |kind: &str, name: &str, template: &str| {
        cluster.kubectl(&["get", kind, name, "-n", "portcullis", "-o", template]).ok().stdout
    };
    let volumes = &deployment["spec"]["template"]["spec"]["volumes"];
    let (secret, rules) = (&volumes[0]["secret"], &volumes[1]["configMap"]);
    let items = secret["items"].as_array().expect("items");
    let files: Vec<_> = items
        .iter()
        .map(|item| {
            let (key, path) = (item["key"].as_str().expect("key"), item["path"].as_str().expect("path"));
            let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
            (path, get("secret", secret["secretName"].as_str().expect("name"), &template))
        })
        .collect();
    mount(&root.join("tls"), &files);
    let template = "go-template={{index .data \"rules.yaml\"}}";
    let rules = get("configmap", rules["name"].as_str().expect("name"), template);
    mount(&root.join("rules"), &[("rules.yaml", rules)]);
    root
}

/// The container of the Deployment, as far as there is one without a node.
pub(super) fn pod(cluster: &Cluster, deployment: &Value) -> Webhook {
    let root = mount_volumes(cluster, deployment);
    let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("arguments");
    let args: Vec<_> = args.iter().map(|arg| arg.as_str().expect("text")).collect();
    // These the harness gives by itself, with other addresses.
    let given = ["serve", "--listen=0.0.0.0:8443", "--ops-listen=0.0.0.0:8080", "--log-format=json"];
    assert!(given.iter().all(|arg| args.contains(arg)), "{args:?}");
    let own = args.iter().filter(|arg| !given.contains(arg)).map(|arg| arg.replace("/etc/portcullis", text(&root)));
    let kubeconfig = Some(service_account(cluster).0);
    Webhook::start(&WebhookOptions { kubeconfig, args: own.collect(), ..WebhookOptions::default() })
}

/// Runs a script of the copy, which must work, and returns what it said.
#[track_caller]
pub(super) fn run(cluster: &Cluster, script: &str, args: &[&str]) -> String {
    let (worked, said) = start(cluster, script, args);
    assert!(worked, "{script} {args:?} failed\n{said}");
    said
}

/// The same for one that must fail.
#[track_caller]
pub(super) fn refused(cluster: &Cluster, script: &str, args: &[&str]) -> String {
    let (worked, said) = start(cluster, script, args);
    assert!(!worked, "{script} {args:?} should fail\n{said}");
    said
}

fn start(cluster: &Cluster, script: &str, args: &[&str]) -> (bool, String) {
    let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let tools = given("KUBEBUILDER_ASSETS")
        .or_else(|| given("PORTCULLIS_TEST_CLUSTER"))
        .or_else(|| given("HOME").map(|home| home.join(".cache/portcullis/test-cluster")))
        .unwrap_or_default();
    let path = env::join_paths([tools].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())));
    let output = Command::new("timeout")
        .arg("120")
        .arg(cluster.folder().join("deploy").join(script))
        .args(args)
        .env("PATH", path.expect("a search path"))
        .env("HOME", cluster.folder())
        .env("KUBECONFIG", cluster.kubeconfig(User::Admin))
        .env("PORTCULLIS", env!("CARGO_BIN_EXE_portcullis"))
        .output()
        .expect("run a script");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), said)
}
