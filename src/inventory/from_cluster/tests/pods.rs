use super::*;
use crate::netpol::pod::PodKind;

fn mk_pod(namespace: &str, name: &str, app: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": namespace, "labels": {"app": app},
            "ownerReferences": [
                {"kind": "Other", "name": "x", "controller": false}, {"kind": "ReplicaSet", "name": "web-1", "controller": true},
            ],
        },
    })
}

fn mk_fake_with_pods() -> Fake {
    let fake = mk_fake();
    fake.lock().pods = vec![mk_pod("a", "web-1", "web"), mk_pod("b", "db-1", "db")];
    fake
}

async fn start_wanting(fake: &Fake) -> Arc<Cluster> {
    let cluster = Cluster::start_at(fake.client(), Timestamp::now, true, PACE);
    cluster.wait_until_synced().await;
    cluster
}

fn pods(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let state = cluster.snapshot(Timestamp::now()).namespace(namespace);
    state.pods.keys().map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn pods_are_followed_by_their_metadata_alone() {
    let fake = mk_fake_with_pods();
    let cluster = start_wanting(&fake).await;
    until("pods are watched", || cluster.pods() == PodWatch::Known && fake.open_watches() == 3).await;
    let accepted = fake.lock().accepted.clone();
    assert_eq!(accepted.len(), 2);
    assert!(
        accepted[0].contains(";as=PartialObjectMetadataList;") && accepted[1].contains(";as=PartialObjectMetadata;")
    );
    let a = cluster.snapshot(Timestamp::now()).namespace("a");
    let pod = &a.pods[&("web-1".to_owned(), PodKind::Pod)];
    assert_eq!((pod.namespace.as_str(), pod.labels["app"].as_str()), ("a", "web"));
    assert_eq!(pod.controller.as_ref().map(|of| (of.kind.as_str(), of.name.as_str())), Some(("ReplicaSet", "web-1")));

    fake.send(Kind::Pod, "ADDED", mk_pod("a", "web-2", "web"));
    fake.send(Kind::Pod, "DELETED", mk_pod("b", "db-1", "db"));
    until("the events are in", || pods(&cluster, "a") == ["web-1", "web-2"] && pods(&cluster, "b").is_empty()).await;
    let stats = cluster.stats(Kind::Pod).unwrap();
    assert!((stats.objects, stats.odd, stats.synced) == (2, 0, true) && stats.last_event.is_some());

    // The other lists leave them alone, and the other way round.
    fake.disconnect(true);
    fake.lock().pods = vec![mk_pod("a", "web-9", "web")];
    until("pods were listed anew", || pods(&cluster, "a") == ["web-9"] && fake.open_watches() == 3).await;
    assert_eq!(names(&cluster, "a"), ["x"]);
}

#[tokio::test]
async fn pods_are_watched_while_they_are_wanted() {
    let fake = mk_fake_with_pods();
    let cluster = start(&fake, PACE).await;
    assert_eq!((pods(&cluster, "a").len(), fake.requests("/pods")), (0, 0));
    cluster.want_pods(true);
    assert_ne!(cluster.pods(), PodWatch::Starting, "what was ready stays so");
    until("pods are known", || cluster.pods() == PodWatch::Known).await;
    assert_eq!((pods(&cluster, "a").len(), pods(&cluster, "b").len()), (1, 1));
    until("pods are watched", || fake.open_watches() == 3).await;
    cluster.want_pods(true);
    cluster.want_pods(false);
    until("pods are forgotten", || fake.open_watches() == 2 && pods(&cluster, "a").is_empty()).await;
    until("nothing is left of them", || !cluster.synced(Kind::Pod)).await;
    assert_eq!((cluster.pods(), cluster.stats(Kind::Pod)), (PodWatch::Off, None));
    assert_eq!(names(&cluster, "a"), ["x"]);
    cluster.want_pods(true);
    until("pods are known again", || cluster.pods() == PodWatch::Known && pods(&cluster, "a") == ["web-1"]).await;
}

#[tokio::test]
async fn pods_that_may_not_be_listed_are_in_doubt_and_hold_nothing_up() {
    let fake = mk_fake_with_pods();
    fake.lock().failures = vec![("/pods", 403); 1_000];
    let cluster = start_wanting(&fake).await;
    until("it has tried in vain", || matches!(cluster.pods(), PodWatch::InDoubt(_))).await;
    let now = Timestamp::now();
    let inventory = cluster.snapshot(now);
    assert!(inventory.age() < Duration::from_secs(10), "their absence ages nothing");
    let doubt = inventory.pods_in_doubt().unwrap();
    assert!(doubt.starts_with("cannot list: ") && !doubt.contains('\n'), "{doubt}");
    let stats = cluster.stats(Kind::Pod).unwrap();
    assert!(!stats.synced && stats.last_event.is_none());

    fake.lock().failures.clear();
    until("pods are known", || cluster.pods() == PodWatch::Known).await;
    assert_eq!(cluster.snapshot(now).pods_in_doubt(), None);
    // The right is taken away again: what is known stays, with the reason why it is old.
    fake.lock().failures = vec![("/pods", 403); 1_000];
    fake.disconnect(true);
    until("they are in doubt", || cluster.snapshot(now).pods_in_doubt().is_some()).await;
    assert_eq!(pods(&cluster, "a"), ["web-1"]);
}

#[tokio::test]
async fn the_start_waits_for_the_first_answer() {
    let fake = mk_fake_with_pods();
    fake.lock().down = true;
    let cluster = Cluster::start_at(fake.client(), Timestamp::now, true, PACE);
    assert_eq!(cluster.pods(), PodWatch::Starting);
    assert!(cluster.snapshot(Timestamp::now()).pods_in_doubt().is_some());
    until("it has failed", || matches!(cluster.pods(), PodWatch::InDoubt(_))).await;
}
