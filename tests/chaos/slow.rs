//! A thousand slow clients of each kind, and floods: others are served as before, and memory stays bounded.
//!
//! Two servers run side by side, one attacked, one not, and are asked in turn: whatever else this machine does slows both.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::attackers::{Attack, Attackers};
use super::client::{Client, trust};
use super::harness::{Webhook, WebhookOptions, wait_until};
use super::load::{of_the_webhook, review};
use super::manifests::default_deny;
use super::report::{p99, say};
use super::run::{quick, runtime};
use super::tally::Verdict;

const CONNECTIONS: usize = 1000;
/// Connections that flood: what they have open together is many times what the webhook reads at once.
const FLOODERS: usize = 100;
/// Connections that the webhook holds at once (`Transport::max_connections`).
const MOST: usize = 4096;
/// More memory than before, at most.
const MEMORY_KIB: u64 = 64 * 1024;
/// Up to here the 99th percentile may be whatever a busy machine makes of it.
const FLOOR: Duration = Duration::from_millis(10);
/// How often a kind is measured when a machine's hiccup may have spoilt it.
const ATTEMPTS: usize = 3;
/// A slow client has 10 s for its first request; an answer that was due has a moment more.
const CLOSED_WITHIN: Duration = Duration::from_secs(15);

struct Bench {
    runtime: Runtime,
    attacked: Webhook,
    other: Webhook,
    ca: [String; 2],
    clients: [Client; 2],
    /// Of the attacked server, before anybody attacked.
    memory_kib: u64,
    /// How many this process may have; as many as one likes if `None`.
    open_files: Option<u64>,
    _folder: TempDir,
}

/// A shell's usual 1,024 are not enough for as many connections. Returns what can be had.
fn raise_open_files() -> Option<u64> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).expect("more open files");
    most
}

#[test]
fn slow_and_greedy_clients() {
    let bench = Bench::start();
    say(&format!(
        "Slow and greedy clients: p99 at most twice the other server's or {} ms, memory within {} MiB more",
        FLOOR.as_millis(),
        MEMORY_KIB / 1024
    ));
    say(&format!(
        "{:<32} {:>8} {:>8} {:>10} {:>10} {:>12}",
        "clients", "open", "requests", "p99 (us)", "other's", "memory (MiB)"
    ));
    if quick() {
        bench.withstands("all eight kinds, in turn", &Attack::SLOW, CONNECTIONS);
    } else {
        for attack in Attack::SLOW {
            bench.withstands(attack.name(), &[attack], CONNECTIONS);
        }
    }
    for attack in [Attack::StreamFlood, Attack::RapidResets] {
        bench.withstands(attack.name(), &[attack], FLOODERS);
    }
    bench.has_a_cap_on_connections();
}

impl Bench {
    fn start() -> Self {
        let (runtime, open_files) = (runtime(), raise_open_files());
        let folder = TempDir::with_prefix("portcullis-slow-").expect("a folder");
        let inventory = folder.path().join("inventory.yaml");
        let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: calm}\n";
        fs::write(&inventory, format!("{namespace}{}", default_deny("calm", "default-deny", "Ingress, Egress")))
            .expect("the inventory");
        let options = WebhookOptions::default().args(&["--inventory", inventory.to_str().expect("a path")]);
        let [attacked, other] = [(); 2].map(|()| Webhook::start(&options));
        let servers = [&attacked, &other];
        let ca = servers.map(|server| fs::read_to_string(server.cert_dir().join("ca.crt")).expect("the CA"));
        let clients = [0, 1].map(|index| Client::new(servers[index].port(), trust(&ca[index], "h2"), None));
        let mut bench = Self { runtime, attacked, other, ca, clients, memory_kib: 0, open_files, _folder: folder };
        // The first requests are slower, and take memory that stays.
        bench.runtime.block_on(bench.ask(500));
        bench.memory_kib = bench.attacked.memory_kib();
        bench
    }

    /// Asks both servers in turn, and returns how long each took.
    async fn ask(&self, rounds: usize) -> [Vec<Duration>; 2] {
        let mut took = [Vec::with_capacity(rounds), Vec::with_capacity(rounds)];
        for round in 0..rounds {
            let (namespace, expected) = match round % 2 {
                0 => ("calm", Verdict::Allowed(None)),
                _ => ("bare", Verdict::Denied("missing-default-deny")),
            };
            for (client, took) in self.clients.iter().zip(&mut took) {
                let body = review(namespace).to_string();
                let begin = Instant::now();
                let answer = client.review("/validate?timeout=5s", body).await.expect("an answer");
                took.push(begin.elapsed());
                assert_eq!(of_the_webhook(&answer), Ok(expected.clone()));
            }
        }
        took
    }

    fn withstands(&self, name: &str, attacks: &[Attack], count: usize) {
        let mut attempt = 1;
        loop {
            let attackers = self.runtime.block_on(Attackers::start(attacks, count, self.attacked.port(), &self.ca[0]));
            let begin = Instant::now();
            let open = attackers.held();
            let fresh = Client::new(self.attacked.port(), trust(&self.ca[0], "h2"), None);
            let answer = self.runtime.block_on(fresh.review("/validate", review("bare").to_string()));
            assert!(answer.is_ok_and(|answer| answer.status == 200), "{name}: a new client is not served");
            let (took, memory_kib) = self.measure();
            let [here, there] = [p99(&took[0]), p99(&took[1])];
            let good = here <= (2 * there).max(FLOOR);
            if good || attempt == ATTEMPTS {
                let more = self.tell(name, open, &took, memory_kib);
                assert!(good, "{name}: a p99 of {here:?}, and of {there:?} without");
                assert!(more <= MEMORY_KIB, "{name}: {more} KiB more than before");
                assert!(
                    attacks.contains(&Attack::RapidResets) || open * 10 >= count * 9,
                    "{name}: only {open} are open"
                );
                self.closes(name, attackers, begin);
                return;
            }
            eprintln!("{name}: {here:?} against {there:?}, measured again");
            self.runtime.block_on(attackers.end());
            attempt += 1;
        }
    }

    /// A line of the summary; returns how much more memory that was than before, in KiB.
    fn tell(&self, name: &str, open: usize, took: &[Vec<Duration>; 2], memory_kib: u64) -> u64 {
        let more = memory_kib.saturating_sub(self.memory_kib);
        let (requests, here, there) = (took[0].len(), p99(&took[0]).as_micros(), p99(&took[1]).as_micros());
        let memory = format!("+{}.{}", more / 1024, more % 1024 * 10 / 1024);
        say(&format!("{name:<32} {open:>8} {requests:>8} {here:>10} {there:>10} {memory:>12}"));
        more
    }

    /// How long requests take on either server, and the most memory that the attacked one had meanwhile.
    fn measure(&self) -> ([Vec<Duration>; 2], u64) {
        const ROUNDS: usize = 100;
        let mut took = [Vec::new(), Vec::new()];
        let mut memory_kib = self.attacked.memory_kib();
        let begin = Instant::now();
        // Slow clients last 10 s, and some of that has gone into connecting.
        let longest = Duration::from_secs(if quick() { 3 } else { 5 });
        while begin.elapsed() < longest && took[0].len() < 2000 {
            for (all, more) in took.iter_mut().zip(self.runtime.block_on(self.ask(ROUNDS))) {
                all.extend(more);
            }
            memory_kib = memory_kib.max(self.attacked.memory_kib());
        }
        (took, memory_kib)
    }

    /// The server ends what makes no progress by itself; in a short run nobody waits for that.
    fn closes(&self, name: &str, mut attackers: Attackers, begin: Instant) {
        attackers.give_up();
        if !quick() {
            let left = CLOSED_WITHIN.saturating_sub(begin.elapsed());
            wait_until(left, &format!("the server to close every connection ({name})"), || {
                (attackers.held() == 0).then_some(())
            });
        }
        self.runtime.block_on(attackers.end());
    }

    /// Over the cap new connections wait until there is a place, and those that exist go on.
    fn has_a_cap_on_connections(&self) {
        if self.open_files.is_some_and(|most| most < MOST as u64 + 1024) {
            say("skipped: the cap on connections, which takes more open files than this user may have (ulimit -Hn)");
            return;
        }
        for attempt in 1..=ATTEMPTS {
            let (open, took, memory_kib, waited) = self.over_the_cap();
            let [here, there] = [p99(&took[0]), p99(&took[1])];
            let good = here <= (2 * there).max(FLOOR);
            if good || attempt == ATTEMPTS {
                self.tell("all connections taken", open, &took, memory_kib);
                say(&format!("  one more had to wait for a place for {} ms", waited.as_millis()));
                assert!(good, "with all places taken: a p99 of {here:?}, and of {there:?} without");
                break;
            }
            eprintln!("all connections taken: {here:?} against {there:?}, measured again");
        }
        assert!(self.other.is_ready() && self.attacked.is_ready());
    }
    /// With all places taken by silent clients: how many they are, how long others' requests take, the memory, and how
    /// long a new client waits.
    fn over_the_cap(&self) -> (usize, [Vec<Duration>; 2], u64, Duration) {
        let begin = Instant::now();
        let silent = Attackers::start(&[Attack::Silent], MOST + 100, self.attacked.port(), &self.ca[0]);
        let attackers = self.runtime.block_on(silent);
        let (asked, new) = (Instant::now(), Client::new(self.attacked.port(), trust(&self.ca[0], "h2"), None));
        let served = self.runtime.spawn(async move {
            // More than once: its own patience with connecting is shorter than the silent ones'.
            for _ in 0..5 {
                if let Ok(answer) = new.review("/validate", review("bare").to_string()).await {
                    return Some((Instant::now(), answer.status));
                }
            }
            None
        });
        let open = attackers.held();
        let (took, memory_kib) = self.measure();
        let served = self.runtime.block_on(async { timeout(Duration::from_secs(30), served).await });
        let (served, status) = served.expect("in time").expect("no panic").expect("served once there is a place");
        self.runtime.block_on(attackers.end());
        assert_eq!(status, 200);
        // No place is given back before the first silent client has had its 10 s.
        let since = served - begin;
        assert!(since > Duration::from_millis(9500), "a connection over the cap was served: after {since:?}");
        (open, took, memory_kib, served - asked)
    }
}
