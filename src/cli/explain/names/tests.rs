use super::*;
use crate::inventory::Inventory;
use crate::inventory::from_files::load;
use crate::manifest;

const CLUSTER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: shop}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: both, namespace: shop}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: both, namespace: shop}}
---
{apiVersion: v1, kind: Pod, metadata: {name: agent, namespace: infra}, spec: {hostNetwork: true}, status: {podIP: 10.1.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: proxy, namespace: infra}, spec: {hostNetwork: true}, status: {podIP: 10.1.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done-1, namespace: infra}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done-2, namespace: infra}, status: {podIP: 10.0.0.2}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: infra}}
---
{apiVersion: v1, kind: Pod, metadata: {name: here}}
"#;

fn inventory() -> Inventory {
    let loaded = load(&manifest::parse("cluster.yaml", CLUSTER), "default");
    assert_eq!(loaded.problems, [""; 0]);
    loaded.inventory
}

fn find(text: &str) -> Result<String, String> {
    let inventory = inventory();
    let world = inventory.world(true);
    let found = Names::new(&world, "default").find(text);
    found.map(|Found { end, note }| note.unwrap_or_else(|| end.to_string()))
}

fn told(text: &str) -> String {
    find(text).expect_err("unknown")
}

#[test]
fn a_name_means_the_pod_else_the_only_workload() {
    assert_eq!(find("shop/web").as_deref(), Ok("shop/web"));
    assert_eq!(find("shop/api").as_deref(), Ok("shop/Deployment/api"));
    assert_eq!(find("here").as_deref(), Ok("default/here"));
    assert_eq!(
        told("shop/both"),
        "shop/both is several workloads: shop/Deployment/both, shop/StatefulSet/both; name one"
    );
}

#[test]
fn a_kind_is_taken_as_kubectl_takes_it() {
    for kind in ["Deployment", "deployment", "DEPLOYMENTS", "deploy"] {
        assert_eq!(find(&format!("shop/{kind}/web")).as_deref(), Ok("shop/Deployment/web"), "{kind}");
    }
    assert_eq!(find("shop/po/web").as_deref(), Ok("shop/web"));
    assert_eq!(find("infra/cj/nightly").as_deref(), Ok("infra/CronJob/nightly"));
    for kind in PodKind::ALL {
        assert_eq!(kind_of(kind.as_str()), Some(kind));
    }
    assert_eq!(told("shop/sts/web"), "shop has no StatefulSet `web`; it has shop/web, shop/Deployment/web");
    assert_eq!(told("shop/Deploymant/web"), "`Deploymant` is no kind of pods or workloads; did you mean `Deployment`?");
    assert!(told("shop/Service/web").starts_with("`Service` is no kind of pods or workloads"));
}

#[test]
fn an_unknown_name_is_told_with_those_that_may_be_meant() {
    assert_eq!(told("shop/wbe"), "the namespace `shop` has no pod or workload `wbe`; did you mean `shop/web`?");
    assert_eq!(told("shpo/web"), "there is no namespace `shpo`; did you mean `shop/web`? There is shop/Deployment/web");
    assert_eq!(told("infra/api"), "the namespace `infra` has no pod or workload `api`; there is shop/Deployment/api");
    for odd in ["", "/", "/web", "shop/", "a/b/c/d", "10.0.0.0/8/"] {
        assert!(find(odd).is_err(), "{odd}");
    }
}

#[test]
fn an_address_of_a_pod_means_the_pod() {
    for text in ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "FD00:0::1"] {
        assert!(find(text).expect("known").ends_with("is the address of shop/web"), "{text}");
    }
    assert_eq!(find("192.0.2.1").as_deref(), Ok("192.0.2.1"));
    assert_eq!(find("::ffff:192.0.2.1").as_deref(), Ok("192.0.2.1"));
    assert!(find("10.1.0.1").expect("known").contains("the address of a node, and so of infra/agent"));
    assert_eq!(told("10.0.0.2"), "several pods have the address 10.0.0.2: infra/done-1, infra/done-2; name one");
}
