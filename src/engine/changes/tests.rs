use std::sync::Arc;
use std::time::Instant;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::config::valid::{ExplainChanges, RuleSet};
use crate::engine::{Bound, Origin, bind, changes};
use crate::netpol::pod::{Pod, PodKind};
use crate::netpol::policy::NetworkPolicy;
use crate::object::Operation;
use crate::rules::RULES;
use crate::rules::tests::{change, create, inventory, namespace_change};

fn pod(namespace: &str, name: &str, app: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        kind: PodKind::Pod,
        name: name.to_owned(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    }
}

fn populate(inventory: &mut Inventory, pods: &[(&str, &str, &str)]) {
    for (namespace, name, app) in pods {
        inventory.update(namespace, |state| {
            state.known = true;
            state.pods.insert(((*name).to_owned(), PodKind::Pod), Arc::new(pod(namespace, name, app)));
        });
    }
}

fn default_deny() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
}

/// `shop`, isolated and with a database, and `front` beside it.
fn cluster() -> Inventory {
    let mut inventory = inventory(&[("default-deny", default_deny())]);
    populate(&mut inventory, &[("shop", "db-1", "db"), ("shop", "api-1", "api"), ("front", "web-1", "web")]);
    inventory
}

fn ingress(from: &Value) -> Value {
    let rule = json!({"from": [from], "ports": [{"port": 5432}]});
    json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"], "ingress": [rule]})
}

fn namespaced(name: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}})
}

const TO_DB: &str = "opens ingress to shop/db-1 from front/web-1: TCP/5432";

#[test]
fn what_a_new_policy_opens_is_told_by_the_pods_there_are() {
    assert_eq!(lines(&create(&ingress(&namespaced("front"))), &cluster()), [TO_DB]);
    let egress = json!({"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"port": 443}]});
    let spec = json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"], "egress": [egress]});
    assert_eq!(lines(&create(&spec), &cluster()), ["opens egress from shop/db-1 to 198.51.100.0/24: TCP/443"]);
    let whole =
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]});
    assert_eq!(lines(&create(&whole), &cluster()), ["opens egress from all pods of shop to 0.0.0.0/0: all ports"]);
}

/// Nobody knows what pods call their ports when only their metadata is watched.
#[test]
fn a_port_name_stays_a_name_where_nobody_knows_better() {
    let mut spec = ingress(&namespaced("front"));
    spec["ingress"][0]["ports"] = json!([{"port": "postgres"}]);
    let told = lines(&create(&spec), &cluster().with_pods_by_metadata());
    assert_eq!(told, ["opens ingress to shop/db-1 from front/web-1: TCP/postgres"]);
    assert_eq!(lines(&create(&spec), &cluster()), [""; 0], "these call none of their ports so");
}

/// Without any pods, those that the selectors mean are spoken of.
#[test]
fn without_pods_it_goes_by_labels() {
    let empty = inventory(&[("default-deny", default_deny())]);
    let told = lines(&create(&ingress(&namespaced("front"))), &empty);
    assert_eq!(told, ["opens ingress to any pod of shop with app=db from any pod of front: TCP/5432"]);
}

#[rstest]
#[case::a_default_deny(None, Some(default_deny()))]
#[case::within_the_namespace(None, Some(ingress(&json!({"podSelector": {}}))))]
#[case::the_same(Some(ingress(&namespaced("front"))), Some(ingress(&namespaced("front"))))]
#[case::less(Some(ingress(&json!({"namespaceSelector": {}}))), Some(ingress(&namespaced("front"))))]
#[case::what_only_allowed(Some(ingress(&namespaced("front"))), None)]
fn what_opens_nothing_is_not_worth_a_word(#[case] old: Option<Value>, #[case] new: Option<Value>) {
    let subject = change("x", old.as_ref(), new.as_ref());
    assert_eq!(lines(&subject, &cluster()), [""; 0]);
    // Not even that pods are not known.
    assert_eq!(lines(&subject, &cluster().with_pods_in_doubt("forbidden".to_owned())), [""; 0]);
}

#[test]
fn an_update_is_told_by_what_it_adds() {
    let mut inventory = cluster();
    populate(&mut inventory, &[("back", "job-1", "job")]);
    let (old, mut new) = (ingress(&namespaced("front")), ingress(&namespaced("front")));
    new["ingress"][0]["from"].as_array_mut().expect("peers").push(namespaced("back"));
    let told = lines(&change("x", Some(&old), Some(&new)), &inventory);
    assert_eq!(told, ["opens ingress to shop/db-1 from back/job-1: TCP/5432"]);
}

#[test]
fn without_a_default_deny_the_world_comes_first() {
    let mut inventory = cluster();
    populate(&mut inventory, &[("back", "job-1", "job"), ("kube-system", "dns-1", "dns")]);
    let told = lines(&change("default-deny", Some(&default_deny()), None), &inventory);
    let expected = [
        "opens egress from all pods of shop to any address: all ports",
        "opens ingress to all pods of shop from any address: all ports",
        "opens egress from all pods of shop to any pod of any namespace: all ports",
        "opens ingress to all pods of shop from any pod of any namespace but shop: all ports",
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_rest_is_counted() {
    let mut inventory = cluster();
    let rules: Vec<Value> = (0..14)
        .map(|i| {
            let name = format!("team-{i}");
            populate(&mut inventory, &[(&name, "web", "web")]);
            json!({"from": [namespaced(&name)], "ports": [{"port": 8000 + i}]})
        })
        .collect();
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules});
    let told = lines(&create(&spec), &inventory);
    assert_eq!((told.len(), told[10].as_str()), (11, "and 4 more; see `portcullis diff`"));
    assert!(told[..10].iter().all(|line| line.starts_with("opens ingress to all pods of shop from team-")), "{told:?}");
}

#[test]
fn long_lines_keep_their_ports() {
    let mut inventory = cluster();
    let name = |i: usize| format!("an-application-with-a-rather-long-name-{i}");
    for i in 0..4 {
        populate(&mut inventory, &[("front", &name(i), "other")]);
    }
    let from = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "other"}}});
    populate(&mut inventory, &[("other", "x", "x")]);
    let mut spec = ingress(&from);
    spec["podSelector"] = json!({});
    let told = lines(&create(&spec), &inventory);
    assert!(told.iter().all(|line| line.chars().count() <= LINE && line.ends_with(": TCP/5432")), "{told:#?}");
}

/// Not all of the cluster was looked at, and "any namespace" would be too much said.
#[test]
fn namespaces_are_named_where_there_are_others() {
    let mut inventory = cluster();
    for name in ["one", "two", "three", "four", "other"] {
        populate(&mut inventory, &[(name, "x-1", "x"), (name, "y-1", "y")]);
        inventory.update(name, |state| _ = state.labels.insert("team".to_owned(), (name != "other").to_string()));
    }
    let from = json!({"namespaceSelector": {"matchLabels": {"team": "true"}}});
    let told = lines(&create(&ingress(&from)), &inventory);
    assert_eq!(told, ["opens ingress to shop/db-1 from all pods of 4 namespaces: four, one, three, two: TCP/5432"]);
    let all = lines(&create(&ingress(&json!({"namespaceSelector": {}}))), &inventory);
    assert_eq!(all, ["opens ingress to shop/db-1 from any pod of any namespace but shop: TCP/5432"]);
}

/// Everybody at the ends of what opens.
fn ends(rows: &[Row]) -> Vec<String> {
    let members = |party: &Party| match party {
        Party::Pods(pods) => format!("{:?}", pods.members),
        Party::Addresses(addresses) => addresses.to_string(),
    };
    let mut ends: Vec<String> =
        rows.iter().map(|row| format!("{} {} {}", members(&row.from), members(&row.to), row.ports)).collect();
    ends.sort();
    ends
}

#[rstest]
#[case::its_peers(None, Some(ingress(&namespaced("front"))), true)]
#[case::by_other_labels(None, Some(ingress(&json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}))), true)]
#[case::addresses(None, Some(ingress(&json!({"ipBlock": {"cidr": "10.0.0.0/8"}}))), true)]
#[case::nobody(None, Some(default_deny()), true)]
#[case::beside_a_default_deny(Some(ingress(&namespaced("front"))), None, true)]
#[case::the_same_pods(Some(ingress(&namespaced("back"))), Some(ingress(&namespaced("front"))), true)]
#[case::without_peers(None, Some(json!({"podSelector": {}, "ingress": [{"ports": [{"port": 1}]}]})), false)]
#[case::all(None, Some(ingress(&json!({"namespaceSelector": {}}))), false)]
fn what_is_left_out_opens_nothing(#[case] old: Option<Value>, #[case] new: Option<Value>, #[case] few: bool) {
    let mut inventory = cluster().with_pods_by_metadata();
    populate(&mut inventory, &[("back", "job-1", "job"), ("kube-system", "dns-1", "dns")]);
    inventory.update("back", |state| _ = state.labels.insert("team".to_owned(), "x".to_owned()));
    let subject = change("x", old.as_ref(), new.as_ref());
    let around = inventory.overlay(&subject);
    let reached = reach::of(&subject, &inventory, &around);
    assert_eq!(reached != Reach::All, few);
    let rows = |reached| opened(reached, &inventory, &around, Limit::REQUEST).expect("within it").rows;
    assert_eq!(ends(&rows(&reached)), ends(&rows(&Reach::All)));
}

#[test]
fn whoever_is_isolated_no_more_may_reach_anybody() {
    let of = |subject: &Subject, inventory: &Inventory| {
        reach::of(subject, inventory, &inventory.overlay(subject)) == Reach::All
    };
    let deny = default_deny();
    assert!(of(&change("default-deny", Some(&deny), None), &cluster()));
    let (one, two) = (ingress(&namespaced("front")), json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    assert!(of(&change("x", Some(&one), None), &Inventory::default()));
    assert!(of(&change("x", Some(&one), Some(&two)), &Inventory::default()), "ingress is free again");
    assert!(!of(&change("x", Some(&one), Some(&two)), &cluster()), "the default deny still holds it");
    let unread = Subject { operation: Operation::Update, ..create(&one) };
    assert!(of(&unread, &cluster()), "nobody knows what it was");
}

#[test]
fn pods_in_doubt_are_told_of_last() {
    let told = lines(&create(&ingress(&namespaced("front"))), &cluster().with_pods_in_doubt("forbidden".to_owned()));
    assert_eq!(told, [TO_DB, "pods are not known here: forbidden"]);
}

#[test]
fn policies_that_cannot_be_read_are_told_of() {
    let mut inventory = cluster();
    inventory.update("shop", |state| _ = state.odd.insert("odd".to_owned(), "spec.future: unknown field".to_owned()));
    let told = lines(&create(&ingress(&namespaced("front"))), &inventory);
    assert_eq!(
        told.last().map(String::as_str),
        Some("policies that cannot be read are left out of this; the log names them")
    );
    assert_eq!(lines(&create(&default_deny()), &inventory), [""; 0]);
}

#[test]
fn what_takes_too_much_says_so() {
    let told = lines_within(
        Bounds { steps: Limit(0), alone: Limit(0), ..BOUNDS },
        &create(&ingress(&namespaced("front"))),
        &cluster(),
    );
    assert!(told.len() == 1 && told[0].starts_with("what this opens is too much") && told[0].len() <= LINE, "{told:?}");
}

/// 1,000 namespaces with ten pods and ten policies each; `shop` is isolated in the midst of them.
fn large_cluster() -> Inventory {
    let mut inventory = cluster();
    for number in 0..1_000 {
        let name = format!("team-{number}");
        let app = |index: usize| json!({"matchLabels": {"app": format!("app-{index}")}});
        let allow = |index: usize| {
            let from = json!([{"podSelector": app(index + 1)}, namespaced(&format!("team-{}", number / 2))]);
            let egress = json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"namespaceSelector": {}}]}]);
            let ingress = json!([{"from": from, "ports": [{"port": 8000 + index}]}]);
            json!({"podSelector": app(index), "ingress": ingress, "egress": egress})
        };
        inventory.update(&name, |state| {
            state.known = true;
            let specs = (0..9).map(allow).chain([default_deny()]).enumerate();
            state.policies = specs
                .map(|(index, spec)| {
                    let policy = NetworkPolicy::parse(&name, &format!("p-{index}"), &spec).expect("a valid spec");
                    (policy.name.clone(), Arc::new(policy))
                })
                .collect();
        });
        for index in 0..10 {
            populate(&mut inventory, &[(&name, &format!("app-{index}-x"), &format!("app-{index}"))]);
        }
    }
    inventory.with_pods_by_metadata()
}

/// How long it takes is printed; what holds on every machine is that the bound on the work is enough.
#[test]
fn large_clusters_are_summed_up_within_the_bound() {
    let inventory = large_cluster();
    let from_all = ingress(&json!({"namespaceSelector": {}}));
    let open = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]});
    for (what, subject) in [
        ("from one namespace", create(&ingress(&namespaced("team-7")))),
        ("from all namespaces", create(&from_all)),
        ("all and everything", create(&open)),
        ("no default deny", change("default-deny", Some(&default_deny()), None)),
        ("nothing", create(&default_deny())),
    ] {
        let began = Instant::now();
        let told = lines(&subject, &inventory);
        println!("{what}: {:?}, {told:#?}", began.elapsed());
        assert!(told.iter().all(|line| !line.starts_with("what this opens")), "{told:?}");
        assert_eq!(told.is_empty(), what == "nothing");
        let one_sided = told.last().is_some_and(|line| line.starts_with("this goes by the policies of shop alone"));
        assert_eq!(one_sided, !["nothing", "from one namespace"].contains(&what), "{told:?}");
    }
}

/// Policies of more than a megabyte, made to be slow. A line is always the answer; how long it takes is printed.
#[test]
fn policies_made_to_be_slow_are_answered_or_given_up() {
    let inventory = large_cluster();
    let labels = |key: &str, i: usize| json!({"matchLabels": {format!("{key}-{}", i % 97): format!("value-{i}")}});
    let expressions = |i: usize| {
        let values: Vec<String> = (0..20).map(|v| format!("app-{}", (i * v) % 11)).collect();
        json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": values},
            {"key": format!("k-{i}"), "operator": "DoesNotExist"}]})
    };
    let pods = |i: usize| json!({"namespaceSelector": labels("n", i), "podSelector": labels("p", i)});
    let slow = |i: usize| json!({"namespaceSelector": {}, "podSelector": expressions(i)});
    let blocks =
        |i: usize| json!({"ipBlock": {"cidr": format!("{}.{}.{}.0/24", 1 + i / 65_536, i / 256 % 256, i % 256)}});
    let policy = |peer: &dyn Fn(usize) -> Value, count: usize| {
        let rule = |i: usize| json!({"from": [peer(i)], "ports": [{"port": 1 + (i * 7) % 60_000}]});
        let rules: Vec<Value> = (0..count).map(rule).collect();
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules})
    };
    for (what, spec) in [
        ("selectors", policy(&pods, 8_000)),
        ("expressions", policy(&slow, 3_000)),
        ("blocks", policy(&blocks, 15_000)),
        ("some selectors", policy(&pods, 2_900)),
        ("some expressions", policy(&slow, 2_900)),
        ("some blocks", policy(&blocks, 2_900)),
        ("both", policy(&|i| if i % 2 == 0 { blocks(i) } else { slow(i) }, 4_000)),
    ] {
        let subject = create(&spec);
        let began = Instant::now();
        let told = lines(&subject, &inventory);
        let took = began.elapsed();
        println!("{what}, {} bytes: {took:?}, {:?}", spec.to_string().len(), told.first());
        assert!((1..=TOLD + 2).contains(&told.len()), "{told:?}");
    }
}

/// The other namespaces are too many, and whatever their policies say, no more than this opens.
#[test]
fn by_one_side_it_is_told_what_opens_at_most() {
    // One pod, two policies, one peer.
    let bounds = Bounds { objects: 4, ..BOUNDS };
    let mut inventory = inventory(&[("default-deny", default_deny())]);
    populate(&mut inventory, &[("shop", "db-1", "db")]);
    populate(&mut inventory, &[("front", "web-1", "web"), ("front", "web-2", "web"), ("front", "web-3", "web")]);
    let told = lines_within(bounds, &create(&ingress(&json!({"namespaceSelector": {}}))), &inventory);
    let alone = "this goes by the policies of shop alone; `portcullis diff` looks at other namespaces too";
    assert_eq!(told, ["opens ingress to shop/db-1 from any pod of any other namespace: TCP/5432", alone]);
    assert_eq!(lines_within(bounds, &create(&default_deny()), &inventory), [""; 0]);
    let deleted = lines_within(bounds, &change("default-deny", Some(&default_deny()), None), &inventory);
    assert!(deleted.iter().any(|line| line.contains("any other namespace")) && deleted.contains(&alone.to_owned()));
    populate(&mut inventory, &[("shop", "db-2", "db")]);
    let told = lines_within(bounds, &create(&ingress(&namespaced("front"))), &inventory);
    assert!(told.len() == 1 && told[0].starts_with("what this opens is too much"), "{told:?}");
}

#[test]
fn namespaces_on_their_way_out_open_nothing() {
    let mut inventory = cluster();
    inventory.update("shop", |state| state.terminating = true);
    assert_eq!(lines(&change("default-deny", Some(&default_deny()), None), &inventory), [""; 0]);
    assert_eq!(lines(&namespace_change(Some(&[]), Some(&[("a", "b")]), "dev"), &cluster()), [""; 0]);
}

#[test]
fn it_is_told_where_it_is_asked_for() {
    let subject = create(&ingress(&namespaced("front")));
    let bound = |explain_changes| -> Bound {
        bind(RuleSet { explain_changes, ..RuleSet::builtin([]) }, RULES).unwrap_or_else(|errors| panic!("{errors:?}"))
    };
    let told = |bound: &Bound, origin| changes(&subject, &cluster(), bound, origin).len();
    let (warn, off) = (bound(ExplainChanges::Warn), bound(ExplainChanges::Off));
    assert_eq!([Origin::Request, Origin::Labels, Origin::Bundle].map(|origin| told(&warn, origin)), [1, 0, 0]);
    assert_eq!(told(&off, Origin::Request), 0);
    assert!(warn.needs_pods() && !off.needs_pods());
}
