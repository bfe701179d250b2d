//! More requests at once than the webhook takes on, held at work by an API server that does not answer live reads.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::{Answer, Client, trust};
use super::harness::{Cluster, Webhook, wait_until};
use super::load::{of_the_webhook, review};
use super::manifests::options;
use super::report::say;
use super::run::runtime;
use super::tally::Verdict;

/// The webhook works on this many requests at once (`Limits::max_at_work`).
const AT_WORK: usize = 256;
const REQUESTS: usize = 400;
/// Fewer than the webhook takes on one connection, so that none waits on this side.
const ON_ONE_CONNECTION: usize = 100;

#[test]
fn what_is_too_much_is_refused_before_any_work() {
    let runtime = runtime();
    let mut cluster = Cluster::start();
    cluster.namespace("bare").ok();
    let webhook = Webhook::start(&options(&cluster));
    let ca = fs::read_to_string(webhook.cert_dir().join("ca.crt")).expect("the CA");
    let trust = trust(&ca, "h2");
    let clients: Vec<_> = (0..REQUESTS / ON_ONE_CONNECTION)
        .map(|_| Arc::new(Client::new(webhook.port(), Arc::clone(&trust), None)))
        .collect();
    let ask =
        |namespace: &str| runtime.block_on(clients[0].review("/validate?timeout=5s", review(namespace).to_string()));
    let verdict = |answer: Result<Answer, String>| answer.and_then(|answer| of_the_webhook(&answer));
    assert_eq!(verdict(ask("bare")), Ok(Verdict::Denied("missing-default-deny")));

    cluster.freeze_api_server();
    let answers = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for number in 0..REQUESTS {
            let client = Arc::clone(&clients[number % clients.len()]);
            tasks.spawn(async move {
                let begin = Instant::now();
                // Nobody has heard of it, so the webhook asks the API server.
                let answer = client.review("/validate?timeout=5s", review("unheard-of").to_string()).await;
                (begin.elapsed(), answer.expect("an answer to every request"))
            });
        }
        tasks.join_all().await
    });
    cluster.thaw_api_server();

    let (refused, judged): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.status == 429);
    let slowest = refused.iter().map(|(took, _)| *took).max().unwrap_or_default();
    say(&format!(
        "Overload: of {REQUESTS} requests at once that wait for a frozen API server {} were refused with 429, the last \
         after {} ms; {} were answered within their deadline",
        refused.len(),
        slowest.as_millis(),
        judged.len()
    ));
    assert_eq!(judged.len(), AT_WORK, "as many as are worked on at once are let in");
    for (took, answer) in &judged {
        assert!(answer.status == 200 && answer.body.contains("cannot judge"), "{answer:?}");
        assert!(*took < Duration::from_secs(5), "answered after the API server gave up: {took:?}");
    }
    for (_, answer) in &refused {
        assert!(answer.headers["retry-after"] == "1" && answer.body.contains("\"error\""), "{answer:?}");
    }
    // Those that were let in took 4 s each.
    assert!(slowest < Duration::from_secs(2), "refused late: {slowest:?}");
    wait_until(Duration::from_secs(20), "verdicts as before", || {
        (verdict(ask("bare")) == Ok(Verdict::Denied("missing-default-deny"))).then_some(())
    });
}
