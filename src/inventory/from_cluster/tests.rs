use serde_json::{Value, json};

use self::fake::Fake;
use super::*;

mod fake;
mod pods;

const PACE: Pace = Pace {
    first_wait: Duration::from_millis(5),
    longest_wait: Duration::from_millis(40),
    healthy: Duration::from_secs(10),
    shortest_watch: Duration::ZERO,
    silence: Duration::from_secs(20),
    answer: Duration::from_secs(5),
    between_warnings: Duration::from_secs(60),
};

fn mk_namespace(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"team": "one"}}})
}

fn mk_policy(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}}})
}

fn mk_fake() -> Fake {
    let fake = Fake::default();
    fake.lock().namespaces = vec![mk_namespace("a"), mk_namespace("b")];
    fake.lock().policies = vec![mk_policy("a", "x")];
    fake
}

async fn start(fake: &Fake, pace: Pace) -> Arc<Cluster> {
    let cluster = Cluster::start_at(fake.client(), Timestamp::now, false, pace);
    cluster.wait_until_synced().await;
    until("both kinds are watched", || fake.open_watches() == 2).await;
    cluster
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

fn names(cluster: &Cluster, namespace: &str) -> Vec<String> {
    cluster.snapshot(Timestamp::now()).namespace(namespace).policies.keys().cloned().collect()
}

#[tokio::test]
async fn lists_and_then_follows_events() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    assert!(Kind::ALWAYS.into_iter().all(|kind| cluster.synced(kind)));
    assert_eq!(names(&cluster, "a"), ["x"]);
    assert_eq!(cluster.snapshot(Timestamp::now()).namespace("b").labels["team"], "one");

    fake.send(Kind::NetworkPolicy, "ADDED", mk_policy("b", "z"));
    fake.send(Kind::NetworkPolicy, "DELETED", mk_policy("a", "x"));
    fake.send(Kind::Namespace, "DELETED", mk_namespace("a"));
    until("the events are in", || names(&cluster, "b") == ["z"] && cluster.snapshot(Timestamp::now()).len() == 1).await;
    let stats = Kind::ALL.map(|kind| cluster.stats(kind).map(|stats| (stats.objects, stats.odd, stats.synced)));
    assert_eq!(stats, [Some((1, 0, true)), Some((1, 0, true)), None]);
    assert!(Kind::ALWAYS.into_iter().all(|kind| cluster.stats(kind).unwrap().last_event.is_some()));
    assert_eq!((cluster.pods(), fake.requests("pods")), (PodWatch::Off, 0));
    assert_eq!(fake.requests("resourceVersion=0"), 2, "watched from the version of the list");
    assert_eq!((fake.requests("limit=500"), fake.requests("allowWatchBookmarks=true")), (2, 2));
    assert_eq!(fake.requests("sendInitialEvents"), 0);
}

#[tokio::test]
async fn is_not_synced_and_trusted_by_nobody_until_both_lists_are_complete() {
    let fake = mk_fake();
    fake.lock().failures = vec![("networkpolicies", 403); 8];
    let cluster = Cluster::start_at(fake.client(), Timestamp::now, false, PACE);
    until("namespaces are there", || cluster.synced(Kind::Namespace)).await;
    assert!(!cluster.synced(Kind::NetworkPolicy));
    assert!(cluster.snapshot(Timestamp::now()).age() > Duration::from_secs(1_000_000_000));
    cluster.wait_until_synced().await;
    assert!(cluster.snapshot(Timestamp::now()).age() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_lost_connection_is_followed_by_a_list_that_replaces_everything() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    fake.lock().down = true;
    fake.disconnect(true);
    until("it has tried in vain", || fake.requests("limit=500") > 6).await;
    assert_eq!(names(&cluster, "a"), ["x"], "what is known stays, only its age grows");
    {
        let mut state = fake.lock();
        state.down = false;
        state.namespaces.remove(0);
        state.policies = vec![mk_policy("a", "new")];
    }
    until("it is back", || names(&cluster, "a") == ["new"] && fake.open_watches() == 2).await;
    until("the namespace is gone", || !cluster.snapshot(Timestamp::now()).namespace("a").known).await;
    fake.send(Kind::NetworkPolicy, "ADDED", mk_policy("a", "newer"));
    until("events arrive again", || names(&cluster, "a") == ["new", "newer"]).await;
}

#[tokio::test]
async fn a_watch_closed_in_good_order_goes_on_from_where_it_was() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    fake.send(Kind::NetworkPolicy, "ADDED", mk_policy("b", "z"));
    until("the event is in", || names(&cluster, "b") == ["z"]).await;
    fake.bookmark(Kind::Namespace);
    until("the bookmark is in", || {
        fake.disconnect(false);
        fake.requests("resourceVersion=1") > 0 && fake.requests("resourceVersion=2") > 0
    })
    .await;
    assert_eq!(fake.requests("limit=500"), 2, "no list beside the first ones");
}

#[tokio::test]
async fn a_version_that_expired_leads_to_a_list() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    fake.lock().policies.push(mk_policy("a", "z"));
    let gone = json!({"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
    fake.send(Kind::NetworkPolicy, "ERROR", gone);
    until("it has listed", || names(&cluster, "a") == ["x", "z"]).await;

    fake.lock().policies.push(mk_policy("a", "zz"));
    fake.lock().failures = vec![("networkpolicies?&watch", 410)];
    fake.disconnect(false);
    until("it has listed again", || names(&cluster, "a") == ["x", "z", "zz"]).await;
}

#[tokio::test]
async fn lists_come_in_pages_and_as_a_whole_where_pages_expire() {
    let fake = mk_fake();
    fake.lock().policies = (0..1_201).map(|i| mk_policy("a", &format!("p{i}"))).collect();
    let cluster = start(&fake, PACE).await;
    assert_eq!(names(&cluster, "a").len(), 1_201);
    assert_eq!((fake.requests("continue=500"), fake.requests("continue=1000")), (1, 1));

    fake.lock().policies.pop();
    fake.lock().failures = vec![("continue=500", 410)];
    fake.disconnect(true);
    until("it has listed without pages", || names(&cluster, "a").len() == 1_200).await;
    assert_eq!(fake.requests("continue=1000"), 1);
}

#[tokio::test]
async fn one_odd_object_stops_neither_list_nor_watch() {
    let fake = mk_fake();
    fake.lock().policies.push(json!({"metadata": {"name": "odd", "namespace": "a"}, "spec": {"future": 1}}));
    let cluster = start(&fake, PACE).await;
    assert_eq!(names(&cluster, "a"), ["x"]);
    fake.send(Kind::NetworkPolicy, "ADDED", json!({"metadata": {"name": "odder", "namespace": "a"}, "spec": [5]}));
    fake.send(Kind::Namespace, "ADDED", json!({"metadata": {"name": "c", "labels": [1]}}));
    fake.send(Kind::NetworkPolicy, "ADDED", mk_policy("a", "z"));
    until("the last event is in", || names(&cluster, "a") == ["x", "z"]).await;
    until("the namespace was seen", || cluster.stats(Kind::Namespace).unwrap().odd == 1).await;
    let odd = cluster.snapshot(Timestamp::now()).namespace("a").odd.clone();
    assert_eq!(odd.keys().collect::<Vec<_>>(), ["odd", "odder"]);
    assert!(odd["odd"].contains("spec.future"), "{odd:?}");
    let counts = Kind::ALWAYS.map(|kind| cluster.stats(kind).map(|stats| (stats.objects, stats.odd)).unwrap());
    assert_eq!(counts, [(2, 1), (2, 2)]);
    assert_eq!(fake.requests("limit=500"), 2, "nothing was listed anew");
}

#[tokio::test]
async fn bookmarks_of_the_least_fresh_kind_tell_the_age() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    let age = || cluster.snapshot(Timestamp::now()).age();
    until("it is old", || age() > Duration::from_millis(300)).await;
    fake.bookmark(Kind::Namespace);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(age() > Duration::from_millis(300), "the other kind is as old as before");
    fake.bookmark(Kind::NetworkPolicy);
    until("both are fresh", || age() < Duration::from_millis(250)).await;
    let before_the_event = Timestamp::now().checked_sub(jiff::SignedDuration::from_mins(1)).unwrap();
    assert_eq!(cluster.snapshot(before_the_event).age(), Duration::ZERO);
}

#[tokio::test]
async fn silence_leads_to_a_list() {
    let fake = mk_fake();
    let cluster = start(&fake, Pace { silence: Duration::from_millis(200), ..PACE }).await;
    until("it has listed anew", || fake.requests("limit=500") >= 4).await;
    assert_eq!(names(&cluster, "a"), ["x"]);
}

#[tokio::test]
async fn the_watches_end_with_the_cluster() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    drop(cluster);
    until("no watch is open", || fake.open_watches() == 0).await;
}

#[tokio::test]
async fn a_live_read_sees_past_the_watch() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    fake.lock().policies = (0..501).map(|i| mk_policy("a", &format!("p{i}"))).collect();
    fake.lock().policies.push(json!({"metadata": {"name": "odd", "namespace": "a"}, "spec": {"future": 1}}));
    fake.lock().namespaces[1]["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    let live = |name: &str| cluster.live(name).unwrap();
    let a = live("a").await.unwrap();
    assert!(a.known && !a.terminating && a.labels["team"] == "one");
    assert_eq!((a.policies.len(), a.odd.len()), (501, 1));
    assert!(live("b").await.unwrap().terminating);
    assert_eq!(live("c").await.unwrap(), NamespaceState::gone("c"));
    assert_eq!(names(&cluster, "a"), ["x"], "the snapshot is the watch's");
    let live_reads: Vec<_> =
        fake.lock().requests.iter().filter(|request| request.contains("namespaces/")).cloned().collect();
    assert!(live_reads.len() >= 6 && live_reads.iter().all(|request| !request.contains("resourceVersion")));
}

#[tokio::test]
async fn a_live_read_that_fails_says_why_in_one_line() {
    let fake = mk_fake();
    let cluster = start(&fake, PACE).await;
    let live = |name: &str| cluster.live(name).unwrap();
    fake.lock().failures = vec![("/namespaces/a/networkpolicies", 500)];
    let reason = live("a").await.unwrap_err();
    assert!(reason.starts_with("listing the policies of a: ") && !reason.contains('\n'), "{reason}");
    fake.lock().failures = vec![("/api/v1/namespaces/a", 403)];
    assert!(live("a").await.unwrap_err().starts_with("reading namespace a: "));
    fake.lock().down = true;
    assert!(live("a").await.unwrap_err().contains("connection refused"));
    for name in ["", "../a", "a/b", "a?x=1"] {
        assert!(live(name).await.unwrap_err().contains("is no name of a namespace"));
    }
}

#[tokio::test]
async fn without_kubeconfig_or_cluster_there_is_a_clear_error() {
    let error = Cluster::client(Some(Path::new("/nowhere"))).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Kubeconfig { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere"));
}

#[tokio::test]
async fn a_kubeconfig_makes_a_client() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = "\
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
";
    std::fs::write(&path, text).unwrap();
    let client = Cluster::client(Some(&path)).await.unwrap();
    let error = live::read(client, "a".to_owned()).await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
}
