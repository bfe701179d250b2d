//! One fault after the other under a steady load: not one wrong verdict, and no failed request except while the API
//! server or etcd is away.

use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::harness::{Cluster, wait_until};
use super::load::{Load, prepare};
use super::replicas::{RELOAD, Replicas, ca, rules};
use super::report::say;
use super::run::{pause, quick, runtime};
use super::tally::{Leaks, Record, Span, Sum, sum};

/// How long after the API server or etcd is back a request may still fail for it: the API server goes to etcd by
/// connections that it takes up again at a pace of its own, and what was begun before still has to end.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Said once, whichever test comes first.
static HEADING: Once = Once::new();

/// The test bed under load, and what has been done to it.
pub(crate) struct Bench {
    // In the order in which they must go: first who asks, then who is asked.
    pub(crate) load: Load,
    pub(crate) replicas: Replicas,
    pub(crate) cluster: Cluster,
    leaks: Vec<(Instant, Leaks)>,
    phases: Vec<(&'static str, Span, Option<Span>)>,
    pub(crate) runtime: Runtime,
}

#[test]
fn faults_under_load() {
    let runtime = runtime();
    let cluster = Cluster::start();
    prepare(&cluster);
    let first = ca(Duration::from_secs(3600));
    let replicas = Replicas::start(&runtime, &cluster, &first);
    replicas.register(&cluster, &first.cert_pem);
    let mut bench = Bench::start(runtime, cluster, replicas, &first.cert_pem);

    bench.phase("no fault", |_| {
        pause(3, 10);
        None
    });
    bench.phase("SIGTERM and replacement of one", |bench| bench.replace());
    bench.phase("and of the other", |bench| bench.replace());
    bench.phase("certificate rotation", |bench| {
        bench.rotate_certificate(&first.cert_pem, |bench| {
            bench.replicas.renew(&bench.runtime, &first);
        })
    });
    let second = ca(Duration::from_secs(1800));
    bench.phase("CA rotation", |bench| {
        let both = format!("{}{}", first.cert_pem, second.cert_pem);
        bench.trust(&both);
        bench.rotate_certificate(&second.cert_pem, |bench| bench.replicas.renew(&bench.runtime, &second))
    });
    bench.phase("rule set reload, bad", Bench::bad_rules);
    bench.phase("rule set reload, good and back", Bench::good_rules);
    bench.phase("API server killed and restarted", |bench| {
        let from = Instant::now();
        bench.cluster.restart_api_server();
        Some(Span { from, to: Instant::now() + AFTERMATH })
    });
    bench.phase(if quick() { "etcd stopped for 3 s" } else { "etcd stopped for 10 s" }, |bench| {
        let from = Instant::now();
        bench.cluster.freeze_etcd();
        pause(3, 10);
        bench.cluster.thaw_etcd();
        Some(Span { from, to: Instant::now() + AFTERMATH })
    });
    bench.finish();
}

impl Bench {
    /// Puts registered replicas under load; direct requests trust `bundle`.
    pub(crate) fn start(runtime: Runtime, cluster: Cluster, replicas: Replicas, bundle: &str) -> Self {
        let load = Load::start(&runtime, &cluster, replicas.balancer.port(), bundle);
        let leaks = vec![(Instant::now(), Leaks::Denied)];
        Self { load, replicas, cluster, leaks, phases: Vec::new(), runtime }
    }

    /// A fault with undisturbed load before and after it; it returns while what was away.
    pub(crate) fn phase(&mut self, name: &'static str, fault: impl FnOnce(&mut Self) -> Option<Span>) {
        let from = Instant::now();
        pause(1, 3);
        let away = fault(self);
        // The aftermath is not yet afterwards.
        if let Some(away) = away {
            thread::sleep(away.to.saturating_duration_since(Instant::now()));
        }
        pause(1, 3);
        eprintln!("done: {name}, {:.1} s", from.elapsed().as_secs_f64());
        self.phases.push((name, Span { from, to: Instant::now() }, away));
    }

    fn replace(&mut self) -> Option<Span> {
        self.replicas.replace_the_eldest();
        None
    }

    /// The API server and the direct requests go by this bundle from now on.
    fn trust(&mut self, bundle: &str) {
        self.replicas.register(&self.cluster, bundle);
        self.load.trust(bundle);
    }

    /// Renews, and then gives the API server a reason to connect anew: it keeps its connections, and would not see a
    /// certificate that it does not trust.
    fn rotate_certificate(&mut self, bundle: &str, renew: impl FnOnce(&mut Self)) -> Option<Span> {
        renew(self);
        self.trust(&format!("{bundle}\n"));
        None
    }

    fn bad_rules(&mut self) -> Option<Span> {
        let hash = |view: &serde_json::Value| view["hash"].as_str().expect("a hash").to_owned();
        let before = self.hash();
        for bad in ["spec: [", &rules("sometimes")] {
            for view in self.replicas.publish_rules(bad, "failure") {
                assert_eq!(hash(&view), before, "a bad rule set is in force: {view}");
                assert!(view["lastError"].is_string(), "the reason is not told: {view}");
            }
        }
        None
    }

    fn good_rules(&mut self) -> Option<Span> {
        for (level, leaks) in [("warn", Leaks::Warned), ("deny", Leaks::Denied)] {
            let before = self.hash();
            let asked = Instant::now();
            self.leaks.push((asked, Leaks::Either));
            for view in self.replicas.publish_rules(&rules(level), "success") {
                assert!(view["lastError"].is_null() && view["hash"] != *before, "not in force: {view}");
            }
            self.leaks.push((Instant::now(), leaks));
            assert!(asked.elapsed() <= RELOAD, "a good rule set took {:?}", asked.elapsed());
            pause(1, 3);
        }
        None
    }

    fn hash(&self) -> String {
        let (_, view) = self.replicas.running[0].ops("/config").expect("/config");
        serde_json::from_str::<serde_json::Value>(&view).expect("JSON")["hash"].as_str().expect("a hash").to_owned()
    }

    /// Tells what each fault did, and fails if it did anything that it must not.
    pub(crate) fn finish(self) {
        wait_until(RELOAD, "two ready replicas", || (self.replicas.balancer.ready() == 2).then_some(()));
        let records = self.load.stop();
        HEADING.call_once(|| {
            say("Under load: wrong and failed must be 0; `away` failed while the API server or etcd was away, and may");
            let heads = ("fault", "requests", "wrong", "failed", "away", "p99 (ms)", "longest gap");
            let (fault, requests, wrong, failed, away, p99, gap) = heads;
            say(&format!("{fault:<32} {requests:>8} {wrong:>6} {failed:>7} {away:>5} {p99:>8} {gap:>12}"));
        });
        let mut bad = Vec::new();
        for (name, phase, away) in &self.phases {
            let sum = sum(&records, *phase, *away, &self.leaks);
            say(&line(name, &sum, &records, *phase));
            if sum.wrong + sum.failed > 0 || sum.requests == 0 {
                bad.push(format!("{name}:\n  {}", sum.examples.join("\n  ")));
            }
        }
        let logs: Vec<String> = self.replicas.running.iter().map(|webhook| warnings(&webhook.log())).collect();
        assert!(bad.is_empty(), "{}\nwarnings of the replicas:\n{}", bad.join("\n"), logs.join("\n---\n"));
    }
}

fn line(name: &str, sum: &Sum, records: &[Record], phase: Span) -> String {
    let took: Vec<Duration> = records
        .iter()
        .filter(|record| phase.from <= record.begin && record.begin < phase.to)
        .map(|record| record.end - record.begin)
        .collect();
    let p99 = if took.is_empty() { Duration::ZERO } else { super::report::p99(&took) };
    let Sum { requests, wrong, failed, failed_away, gap, .. } = sum;
    let (p99, gap) = (p99.as_millis(), gap.as_millis());
    format!("{name:<32} {requests:>8} {wrong:>6} {failed:>7} {failed_away:>5} {p99:>8} {gap:>9} ms")
}

/// The last lines of a log that are no mere information.
fn warnings(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("\"INFO\"")).collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
