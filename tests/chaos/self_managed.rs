//! Certificates that the replicas make, register and renew themselves, with lives so short that all of it happens here.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{shown, trust};
use super::faults::Bench;
use super::harness::{Cluster, Registration, wait_until};
use super::load::prepare;
use super::replicas::Replicas;
use super::report::say;
use super::run::{quick, runtime};

/// Seconds. A CA lives four times as long; the next one is added after two thirds of that.
const LIFE: u64 = 12;
const SOON: Duration = Duration::from_secs(60);

/// The bundle that is registered, unless it is empty.
fn registered(cluster: &Cluster) -> Option<String> {
    let template = "go-template={{range .webhooks}}{{with .clientConfig.caBundle}}{{base64decode .}}{{end}}{{end}}";
    let get = cluster.kubectl(&["get", "validatingwebhookconfiguration", "portcullis", "-o", template]);
    get.succeeded().then_some(get.stdout).filter(|bundle| !bundle.is_empty())
}

fn cas(bundle: &str) -> usize {
    bundle.matches("-----BEGIN CERTIFICATE-----").count()
}

#[test]
fn faults_with_self_managed_certificates() {
    let runtime = runtime();
    let cluster = Cluster::start();
    prepare(&cluster);
    let replicas = Replicas::start_self_managed(&runtime, &cluster, LIFE);
    cluster.register_trusting(replicas.balancer.port(), &Registration::default(), b"");
    let bundle = wait_until(SOON, "the replicas to register their CA", || registered(&cluster));
    cluster.wait_for_registrations();
    let mut bench = Bench::start(runtime, cluster, replicas, &bundle);

    let (mut leaves, mut bundles) = (BTreeSet::new(), vec![cas(&bundle)]);
    let name = if quick() { "self-managed: renewals" } else { "self-managed: renewals and CA" };
    bench.phase(name, |bench| {
        // From one CA over both to the other; in a short run a renewal is enough.
        let (limit, enough) = if quick() { (LIFE * 2, 1) } else { (LIFE * 6, 3) };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(limit) && (bundles.len() < enough || leaves.len() < 2) {
            let bundle = registered(&bench.cluster).expect("a bundle");
            bench.load.trust(&bundle);
            if bundles.last() != Some(&cas(&bundle)) {
                bundles.push(cas(&bundle));
            }
            for replica in &bench.replicas.running {
                let leaf = bench.runtime.block_on(shown(replica.port(), &trust(&bundle, "h2")));
                leaves.insert(leaf.expect("a certificate that fits the bundle"));
            }
            thread::sleep(Duration::from_millis(200));
        }
        None
    });
    bench.finish();
    say(&format!("  {} certificates were shown, and the bundle held {bundles:?} CAs", leaves.len()));
    assert!(leaves.len() >= 2, "nothing was renewed");
    assert!(quick() || bundles.starts_with(&[1, 2, 1]), "the CA was not replaced: {bundles:?}");
}
