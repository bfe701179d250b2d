//! A namespace that is deleted must end, whatever the webhook thinks of its policies and whether or not it is there.
//!
//! There is no controller manager here, so this does what its namespace controller does, through the API and as often
//! as it takes: delete the policies as a collection, see that none is left, take the finalizer away.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Answer, Client, trust};
use super::harness::{Cluster, User, Webhook};
use super::manifests::{allow, default_deny, options};
use super::replicas::register;
use super::report::say;
use super::run::runtime;

const NAMESPACES: usize = 50;
/// Namespaces at once, as many as the real controller works on.
const WORKERS: usize = 10;
/// For each of them, from its creation to its end.
const LIMIT: Duration = Duration::from_secs(60);
/// Before the controller tries again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long the webhook is there between two restarts.
const UP: Duration = Duration::from_millis(300);

#[test]
fn namespaces_end() {
    let runtime = runtime();
    let cluster = Cluster::start();
    let mut webhook = Webhook::start(&options(&cluster));
    let bundle = fs::read_to_string(webhook.cert_dir().join("ca.crt")).expect("the CA");
    register(&cluster, webhook.port(), &bundle);
    let certificate = fs::read_to_string(cluster.api_certificate()).expect("the API server's certificate");
    let api = Client::new(cluster.api_port(), trust(&certificate, "h2"), Some(User::Admin.token()));
    let controller = Arc::new(Controller { api, retries: AtomicUsize::new(0) });

    say("Namespaces deleted with the webhook on: all must end");
    say(&format!("{:<32} {:>8} {:>8} {:>8} {:>12}", "webhook", "deleted", "ended", "retries", "longest"));
    runtime.block_on(all(&controller, "good", 0..NAMESPACES / 2));
    let done = AtomicBool::new(false);
    let restarts = thread::scope(|scope| {
        let restarting = scope.spawn(|| {
            let mut restarts = 0;
            while !done.load(Ordering::SeqCst) {
                // It kills the one that runs.
                webhook.restart();
                thread::sleep(UP);
                restarts += 1;
            }
            restarts
        });
        // Told also when an assertion fails, or the scope would wait for ever.
        let _done = SetAtEnd(&done);
        runtime.block_on(all(&controller, "restarting", NAMESPACES / 2..NAMESPACES));
        drop(_done);
        restarting.join().expect("the webhook can be restarted")
    });
    assert!(restarts > 1, "the webhook was restarted {restarts} times: this tried nothing");
}

struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn all(controller: &Arc<Controller>, webhook: &str, numbers: std::ops::Range<usize>) {
    let places = Arc::new(Semaphore::new(WORKERS));
    let count = numbers.len();
    let mut tasks = JoinSet::new();
    controller.retries.store(0, Ordering::SeqCst);
    for number in numbers {
        let (controller, places) = (Arc::clone(controller), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire().await.expect("open");
            controller.create_and_delete(&format!("gone-{number}")).await
        });
    }
    let took: Vec<Duration> = tasks.join_all().await;
    let longest = took.iter().max().expect("some").as_millis();
    let retries = controller.retries.load(Ordering::SeqCst);
    say(&format!("{webhook:<32} {count:>8} {:>8} {retries:>8} {longest:>9} ms", took.len()));
}

struct Controller {
    api: Client,
    retries: AtomicUsize,
}

impl Controller {
    /// A namespace from its creation to its end; returns how long the deletion took.
    async fn create_and_delete(&self, name: &str) -> Duration {
        let labels = json!({"kubernetes.io/metadata.name": name});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        let path = format!("/api/v1/namespaces/{name}");
        let policies = format!("/apis/networking.k8s.io/v1/namespaces/{name}/networkpolicies");
        self.until("POST", "/api/v1/namespaces", &namespace.to_string(), &[201, 409]).await;
        for policy in [default_deny(name, "default-deny", "Ingress, Egress"), allow(name, "web"), allow(name, "api")] {
            self.until("POST", &policies, &policy, &[201, 409]).await;
        }
        let begin = Instant::now();
        self.until("DELETE", &path, "", &[200, 202, 409]).await;
        let deleted = self.until("GET", &path, "", &[200]).await;
        let mut namespace: Value = serde_json::from_str(&deleted.body).expect("a namespace");
        assert_eq!(namespace["status"]["phase"], "Terminating", "{namespace}");
        loop {
            self.until("DELETE", &policies, "", &[200]).await;
            let left = self.until("GET", &policies, "", &[200]).await;
            let left: Value = serde_json::from_str(&left.body).expect("a list");
            if left["items"].as_array().is_some_and(Vec::is_empty) {
                break;
            }
            assert!(begin.elapsed() < LIMIT, "the policies of {name} do not go: {left}");
            tokio::time::sleep(AGAIN).await;
        }
        namespace["spec"]["finalizers"] = json!([]);
        self.until("PUT", &format!("{path}/finalize"), &namespace.to_string(), &[200, 404]).await;
        self.until("GET", &path, "", &[404]).await;
        begin.elapsed()
    }

    /// Asks until the answer is one of `expected`.
    async fn until(&self, method: &str, path: &str, body: &str, expected: &[u16]) -> Answer {
        let begin = Instant::now();
        loop {
            let answer = self.api.send(method, path, "application/yaml", body.to_owned()).await;
            match answer {
                Ok(answer) if expected.contains(&answer.status) => return answer,
                other => {
                    // Away is no verdict; a verdict would not change.
                    let denied = matches!(&other, Ok(answer) if answer.body.contains("denied the request"));
                    assert!(!denied && begin.elapsed() < LIMIT, "{method} {path}: {other:?}");
                }
            }
            self.retries.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(AGAIN).await;
        }
    }
}
