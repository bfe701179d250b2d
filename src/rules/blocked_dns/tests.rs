use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use crate::finding::Level;
use crate::inventory::Inventory;
use crate::netpol::groups::Groups;
use crate::netpol::selector::Labels;
use crate::object::Subject;
use crate::rules::tests::{NAMESPACE, change, create, drafts_in, inventory};
use crate::rules::{Context, Draft, find};

const RULE: &str = "blocked-dns";

fn deny() -> Value {
    json!({"podSelector": {}, "policyTypes": ["Egress"]})
}

fn egress(pods: &Value, rules: &Value) -> Value {
    json!({"podSelector": pods, "policyTypes": ["Egress"], "egress": rules})
}

fn api() -> Value {
    json!({"matchLabels": {"app": "api"}})
}

fn not_api() -> Value {
    json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]})
}

fn https() -> Value {
    json!([{"ports": [{"port": 443}]}])
}

/// Both protocols, to whom it may concern.
fn dns(to: &Value) -> Value {
    json!([{"to": to, "ports": [{"protocol": "UDP", "port": 53}, {"port": 53}]}])
}

fn in_namespace(key: &str) -> Value {
    json!([{"namespaceSelector": {"matchLabels": {key: "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}])
}

fn found(inventory: &Inventory, params: &Value, subject: &Subject) -> Option<Draft> {
    let outcome = drafts_in(inventory, RULE, params, subject).expect("judged");
    assert!(outcome.drafts.len() <= 1);
    assert_eq!(outcome.confirm, !outcome.drafts.is_empty(), "what is missing may have come a moment ago");
    outcome.drafts.into_iter().next()
}

fn witness(there: &[(&str, Value)], subject: &Subject) -> Option<Labels> {
    found(&inventory(there), &Value::Null, subject).and_then(|draft| draft.evidence.labels)
}

fn app(value: &str) -> Option<Labels> {
    Some(Labels::from([("app".to_owned(), value.to_owned())]))
}

#[rstest]
#[case::all_pods(&[("d", deny())], egress(&json!({}), &https()), Some(Labels::new()))]
#[case::rules_without_dns(&[], egress(&api(), &https()), app("api"))]
#[case::beside_a_default_deny(&[("d", deny())], egress(&api(), &https()), app("api"))]
#[case::dns_for_others(&[("n", egress(&not_api(), &dns(&json!([]))))], egress(&api(), &https()), app("api"))]
#[case::dns_without_effect(
    &[("n", json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": dns(&json!([]))}))],
    egress(&api(), &https()), app("api"))]
#[case::an_ingress_rule_for_port_53(
    &[("n", json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"protocol": "UDP", "port": 53}]}]}))],
    egress(&api(), &https()), app("api"))]
#[case::a_label_that_clusters_do_not_set(&[("n", egress(&json!({}), &dns(&in_namespace("name"))))],
    egress(&api(), &https()), app("api"))]
#[case::a_default_deny_alone(&[], deny(), Some(Labels::new()))]
#[case::an_empty_list_of_rules(&[], egress(&api(), &json!([])), app("api"))]
#[case::the_port_just_beside(&[], egress(&api(), &json!([{"ports": [{"protocol": "UDP", "port": 54, "endPort": 99}]}])), app("api"))]
fn pods_without_dns_are_found(#[case] there: &[(&str, Value)], #[case] spec: Value, #[case] labels: Option<Labels>) {
    assert_eq!(witness(there, &create(&spec)), labels);
}

#[rstest]
#[case::dns_for_all(&[("n", egress(&json!({}), &dns(&json!([]))))], egress(&api(), &https()))]
#[case::dns_in_the_policy_itself(&[], egress(&api(), &dns(&in_namespace("kubernetes.io/metadata.name"))))]
#[case::dns_by_halves(
    &[("a", egress(&api(), &dns(&json!([])))), ("b", egress(&not_api(), &dns(&json!([]))))], egress(&json!({}), &https()))]
#[case::everything(&[], egress(&api(), &json!([{}])))]
#[case::a_peer_with_all_ports(&[], egress(&api(), &json!([{"to": [{"ipBlock": {"cidr": "10.96.0.10/32"}}]}])))]
#[case::a_range(&[], egress(&api(), &json!([{"ports": [{"protocol": "UDP", "port": 1, "endPort": 100}, {"port": 50, "endPort": 60}]}])))]
#[case::ports_by_name(&[], egress(&api(), &json!([{"ports": [{"protocol": "UDP", "port": "dns"}, {"port": "dns-tcp"}]}])))]
#[case::by_two_policies(
    &[("u", egress(&json!({}), &json!([{"ports": [{"protocol": "UDP", "port": 53}]}])))],
    egress(&json!({}), &json!([{"ports": [{"protocol": "TCP", "port": 53}]}])))]
#[case::not_isolated_for_egress(&[], json!({"podSelector": {}, "policyTypes": ["Ingress"]}))]
#[case::a_default_deny_beside_dns(&[("n", egress(&json!({}), &dns(&json!([]))))], deny())]
#[case::a_deny_where_others_have_dns(&[("n", egress(&api(), &dns(&json!([]))))], deny())]
#[case::a_deny_of_those_who_have_dns(&[("n", egress(&api(), &dns(&json!([]))))], json!({"podSelector": api(), "policyTypes": ["Egress"]}))]
fn pods_with_dns_pass(#[case] there: &[(&str, Value)], #[case] spec: Value) {
    assert_eq!(found(&inventory(there), &Value::Null, &create(&spec)), None);
}

#[rstest]
#[case::udp("UDP", "by UDP only", "TCP/53")]
#[case::tcp("TCP", "by TCP only", "UDP/53")]
fn one_protocol_only_is_told_apart(#[case] protocol: &str, #[case] text: &str, #[case] missing: &str) {
    let spec = egress(&json!({}), &json!([{"ports": [{"protocol": protocol, "port": 53}]}]));
    let draft = found(&Inventory::default(), &Value::Null, &create(&spec)).expect("found");
    assert!(draft.message.contains(text), "{}", draft.message);
    assert_eq!((draft.evidence.ports, draft.field), (vec![missing.to_owned()], "spec.egress".to_owned()));
    assert!(draft.help.contains(&format!("[{{protocol: {}, port: 53}}]", &missing[..3])), "{}", draft.help);
}

#[test]
fn the_label_counts_where_the_cluster_has_it() {
    let mut there = Inventory::default();
    let spec = create(&egress(&api(), &dns(&in_namespace("name"))));
    assert!(found(&there, &Value::Null, &spec).is_some());
    there.update("kube-system", |state| drop(state.labels.insert("name".to_owned(), "kube-system".to_owned())));
    assert_eq!(found(&there, &Value::Null, &spec), None);
}

#[test]
fn a_policy_of_another_namespace_does_not_count() {
    let mut elsewhere = Inventory::default();
    let all = inventory(&[("n", egress(&json!({}), &dns(&json!([]))))]).namespace(NAMESPACE).policies.clone();
    elsewhere.update("other", |state| state.policies = all);
    assert!(found(&elsewhere, &Value::Null, &create(&egress(&api(), &https()))).is_some());
}

#[test]
fn what_a_change_takes_away_is_found() {
    let (names, web) = (egress(&json!({}), &dns(&json!([]))), egress(&api(), &https()));
    let there = [("d", deny()), ("n", names.clone()), ("web", web.clone())];
    let level = |subject: &Subject| found(&inventory(&there), &Value::Null, subject).map(|draft| draft.at_most);
    assert_eq!(level(&change("n", Some(&names), None)), Some(Level::Deny));
    assert_eq!(witness(&there, &change("n", Some(&names), Some(&egress(&not_api(), &dns(&json!([])))))), app("api"));
    assert_eq!(level(&change("n", Some(&names), Some(&names))), None);
    assert_eq!(level(&change("web", Some(&web), None)), None);
    assert_eq!(level(&change("d", Some(&deny()), None)), None);
    assert_eq!(level(&change("web", None, Some(&deny()))), None, "DNS is let through for all of them");
}

#[test]
fn what_was_blocked_before_never_denies() {
    let web = egress(&api(), &https());
    let told = |there: &[(&str, Value)], subject: &Subject| {
        found(&inventory(there), &Value::Null, subject).map(|draft| (draft.at_most, draft.as_before))
    };
    assert_eq!(told(&[("d", deny())], &create(&web)), Some((Level::Deny, true)));
    assert_eq!(told(&[("x", web.clone())], &change("x", Some(&web), Some(&web))), Some((Level::Deny, true)));
    assert_eq!(told(&[], &create(&web)), Some((Level::Deny, false)));
    // What comes first has to be let in first.
    assert_eq!(told(&[], &create(&deny())), Some((Level::Audit, false)));
    assert_eq!(told(&[("web", web)], &create(&deny())), Some((Level::Audit, false)));
}

#[test]
fn a_bundle_is_told_once() {
    let check = find(RULE).expect("there").bind(&Value::Null, &Groups::builtin()).expect("defaults");
    let told = |there: &[(&str, Value)]| -> Vec<String> {
        let inventory = inventory(there);
        let found = |(name, spec): &(&str, Value)| {
            let subject = change(name, None, Some(spec));
            let around = inventory.overlay(&subject);
            let cx = Context {
                subject: &subject,
                around: &around,
                inventory: &inventory,
                now: Timestamp::UNIX_EPOCH,
                bundle: true,
            };
            (!check.check(&cx).expect("judged").drafts.is_empty()).then(|| (*name).to_owned())
        };
        there.iter().filter_map(found).collect()
    };
    let web = || ("a-web", egress(&api(), &https()));
    let all = ("z-all", egress(&json!({}), &https()));
    assert_eq!(told(&[web(), ("d", deny())]), ["d"]);
    assert_eq!(told(&[web(), all]), ["z-all"]);
    assert_eq!(told(&[web(), ("b-web", egress(&not_api(), &https()))]), ["a-web", "b-web"]);
    assert_eq!(told(&[web(), ("d", deny()), ("names", egress(&json!({}), &dns(&json!([]))))]), [""; 0]);
}

#[test]
fn resolvers_and_ports_are_those_of_the_parameters() {
    let resolvers = json!({"resolvers": ["10.96.0.10/32", {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]});
    let judge =
        |params: &Value, to: &Value| found(&Inventory::default(), params, &create(&egress(&api(), &dns(to)))).is_some();
    assert!(!judge(&resolvers, &json!([{"ipBlock": {"cidr": "10.96.0.0/12"}}])));
    assert!(!judge(&resolvers, &in_namespace("kubernetes.io/metadata.name")));
    assert!(!judge(&resolvers, &json!([{"namespaceSelector": {}}])));
    assert!(judge(&resolvers, &json!([{"ipBlock": {"cidr": "10.96.0.0/12", "except": ["10.96.0.10/32"]}}])));
    assert!(judge(&resolvers, &json!([{"podSelector": {}}])));
    assert!(judge(&json!({"ports": [5353]}), &json!([])));
    assert!(!judge(&json!({"ports": [5353, 53]}), &json!([])));
    for (params, at) in [
        (json!({"ports": []}), "ports"),
        (json!({"ports": [53, 0]}), "ports[1]"),
        (json!({"resolvers": ["10.0.0.0/33"]}), "resolvers[0]"),
        (json!({"resolvers": [{}]}), "resolvers[0]"),
        (json!({"resolvers": [{"ipBlock": {}}]}), "resolvers[0]"),
    ] {
        let error = find(RULE).expect("there").bind(&params, &Groups::builtin()).err().expect("refused");
        assert_eq!(error.param, at, "{error}");
    }
}

#[test]
fn a_policy_that_could_not_be_read_may_let_it_through() {
    let mut there = Inventory::default();
    there.update(NAMESPACE, |state| drop(state.odd.insert("strange".to_owned(), "unknown field".to_owned())));
    let unjudged =
        drafts_in(&there, RULE, &Value::Null, &create(&egress(&api(), &https()))).expect_err("nobody can tell");
    assert!(unjudged.confirm && unjudged.reason.contains("strange"), "{}", unjudged.reason);
}
