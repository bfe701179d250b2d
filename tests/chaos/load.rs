//! A steady load of requests whose right verdict is known: dry runs through the API server, and a few reviews that are
//! sent to the webhook itself, each over a new connection that goes by the CA bundle of that moment.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Answer, Client, trust};
use super::harness::{Cluster, User};
use super::manifests::{FINE, LEAKY, allow, default_deny, external};
use super::tally::{Kind, Record, Verdict};

/// Requests a second through the API server, and straight to the webhook.
const RATE: u32 = 60;
const DIRECT_RATE: u32 = 4;
/// Requests on their way at once. While the API server hangs there are no more.
const AT_ONCE: usize = 128;

const RULES: [&str; 3] = ["egress-private-cidr", "missing-default-deny", "protected-namespace-labels"];
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/NAMESPACE/networkpolicies?dryRun=All";

struct Shared {
    api: Vec<Client>,
    balancer: u16,
    trust: Mutex<Arc<ClientConfig>>,
    records: Mutex<Vec<Record>>,
    places: Arc<Semaphore>,
    turn: AtomicUsize,
    stop: AtomicBool,
}

/// The load, at work from its start until [`Load::stop`].
pub(crate) struct Load(Arc<Shared>);

/// What the requests speak of. Made before the webhook is registered.
pub(crate) fn prepare(cluster: &Cluster) {
    cluster.namespace("calm").ok();
    cluster.namespace("bare").ok();
    cluster.apply(&default_deny("calm", "default-deny", "Ingress, Egress")).ok();
}

impl Load {
    /// Begins to ask the API server of `cluster`, and the webhook through the port `balancer`, trusting `bundle`.
    pub(crate) fn start(runtime: &Runtime, cluster: &Cluster, balancer: u16, bundle: &str) -> Self {
        let certificate = fs::read_to_string(cluster.api_certificate()).expect("the API server's certificate");
        let api = trust(&certificate, "h2");
        let client = || Client::new(cluster.api_port(), Arc::clone(&api), Some(User::Admin.token()));
        let shared = Arc::new(Shared {
            api: vec![client(), client()],
            balancer,
            trust: Mutex::new(trust(bundle, "h2")),
            records: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            turn: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        for (rate, through_the_api) in [(RATE, true), (DIRECT_RATE, false)] {
            runtime.spawn(keep_asking(Arc::clone(&shared), rate, through_the_api));
        }
        Self(shared)
    }

    /// What direct requests trust from now on.
    pub(crate) fn trust(&self, bundle: &str) {
        *self.0.trust.lock().expect("trust") = trust(bundle, "h2");
    }

    /// Stops asking, waits for the answers that are due, and hands everything over.
    pub(crate) fn stop(self) -> Vec<Record> {
        self.0.stop.store(true, Ordering::SeqCst);
        let asked = Instant::now();
        while self.0.places.available_permits() < AT_ONCE && asked.elapsed() < Duration::from_secs(40) {
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.0.places.available_permits(), AT_ONCE, "requests that never end");
        std::mem::take(&mut *self.0.records.lock().expect("records"))
    }
}

async fn keep_asking(shared: Arc<Shared>, rate: u32, through_the_api: bool) {
    let mut tick = interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !shared.stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
            let kinds = Kind::THROUGH_THE_API;
            let kind = if through_the_api { kinds[turn % kinds.len()] } else { Kind::Direct };
            let begin = Instant::now();
            let answer = match kind {
                Kind::Direct => shared.ask_directly().await,
                _ => shared.ask_the_api(kind, turn).await,
            };
            let verdict = answer.unwrap_or_else(Verdict::None);
            shared.records.lock().expect("records").push(Record { kind, begin, end: Instant::now(), verdict });
            drop(place);
        });
    }
}

impl Shared {
    async fn ask_the_api(&self, kind: Kind, turn: usize) -> Result<Verdict, String> {
        let create = |namespace: &str, policy: String| {
            ("POST", POLICIES.replace("NAMESPACE", namespace), "application/yaml", policy)
        };
        let label = |key: &str| {
            let patch = json!({"metadata": {"labels": {key: "x"}}}).to_string();
            ("PATCH", "/api/v1/namespaces/calm?dryRun=All".to_owned(), "application/merge-patch+json", patch)
        };
        let (method, path, content, body) = match kind {
            Kind::Fine if turn.is_multiple_of(2) => create("calm", external("calm", "web", &[FINE])),
            Kind::Fine => create("calm", allow("calm", "web")),
            Kind::Leaky => create("calm", external("calm", "web", &[LEAKY])),
            Kind::Bare | Kind::Direct => create("bare", allow("bare", "web")),
            Kind::Label => label("team"),
            Kind::ProtectedLabel => label("net.example.com/zone"),
        };
        let client = &self.api[turn / 5 % self.api.len()];
        of_the_api(&client.send(method, &path, content, body).await?)
    }

    async fn ask_directly(&self) -> Result<Verdict, String> {
        let trust = Arc::clone(&self.trust.lock().expect("trust"));
        let client = Client::new(self.balancer, trust, None);
        of_the_webhook(&client.review("/validate?timeout=5s", review("bare").to_string()).await?)
    }
}

/// A review of a harmless policy.
pub(crate) fn review(namespace: &str) -> Value {
    let spec = json!({"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress"],
                      "ingress": [{"ports": [{"protocol": "TCP", "port": 8080}]}]});
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                        "metadata": {"name": "web", "namespace": namespace}, "spec": spec});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "chaos", "operation": "CREATE", "namespace": namespace, "name": "web", "dryRun": true,
        "kind": {"group": "networking.k8s.io", "version": "v1", "kind": "NetworkPolicy"},
        "resource": {"group": "networking.k8s.io", "version": "v1", "resource": "networkpolicies"},
        "userInfo": {"username": "admin", "groups": ["system:masters"]}, "object": object}})
}

fn of_the_api(answer: &Answer) -> Result<Verdict, String> {
    let warnings = answer.headers.get_all("warning").iter();
    let warnings: String = warnings.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    if warnings.contains("cannot judge") || answer.body.contains("cannot judge") {
        return Err(format!("{} {} {warnings}", answer.status, answer.body));
    }
    match answer.status {
        200 | 201 => Ok(Verdict::Allowed(rule_in(&warnings))),
        403 if answer.body.contains("denied the request") => denied(&answer.body),
        _ => Err(format!("{} {}", answer.status, answer.body)),
    }
}

/// The same of an answer of the webhook itself.
pub(crate) fn of_the_webhook(answer: &Answer) -> Result<Verdict, String> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match body["response"]["allowed"].as_bool() {
        _ if answer.status != 200 || answer.body.contains("cannot judge") => {
            Err(format!("{} {}", answer.status, answer.body))
        }
        Some(true) => Ok(Verdict::Allowed(rule_in(&body["response"]["warnings"].to_string()))),
        Some(false) => denied(&answer.body),
        None => Err(format!("no verdict: {}", answer.body)),
    }
}

fn denied(text: &str) -> Result<Verdict, String> {
    rule_in(text).map(Verdict::Denied).ok_or_else(|| format!("denied for another reason: {text}"))
}

fn rule_in(text: &str) -> Option<&'static str> {
    RULES.into_iter().find(|rule| text.contains(&format!("[{rule}]")))
}
