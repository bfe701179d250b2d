use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::object::{Operation, Subject};
use crate::rules::find;
use crate::rules::tests::{NAMESPACE, Pairs, at, drafts_in, labelled, namespace_change, namespace_from_to};

const RULE: &str = "label-grants-access";
const TEAM: &str = "metadata.labels[team]";

/// An inventory with policies `p0`, `p1`, … in each of these namespaces.
fn cluster(policies: &[(&str, Value)]) -> Inventory {
    let mut inventory = Inventory::default();
    for (i, (namespace, spec)) in policies.iter().enumerate() {
        let name = format!("p{i}");
        let policy = Arc::new(NetworkPolicy::parse(namespace, &name, spec).expect("a valid spec"));
        inventory.update(namespace, |state| _ = state.policies.insert(name, policy));
    }
    inventory
}

/// Lets those peers reach the pods `app=db` on TCP/5432.
fn ingress(from: &Value) -> Value {
    let ports = json!([{"port": 5432}]);
    json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"],
        "ingress": [{"from": from, "ports": ports}]})
}

fn team(value: &str) -> Value {
    json!([{"namespaceSelector": {"matchLabels": {"team": value}}}])
}

fn judged(inventory: &Inventory, params: &Value, subject: &Subject) -> Vec<Draft> {
    drafts_in(inventory, RULE, params, subject).expect("judged").drafts
}

/// Field and heaviest level of what is found where that is the only policy, in namespace `data`.
fn found(spec: Value, old: Pairs<'_>, new: Pairs<'_>) -> Vec<(String, Level)> {
    let drafts = judged(&cluster(&[("data", spec)]), &Value::Null, &namespace_change(old, new, "dev"));
    drafts.into_iter().map(|draft| (draft.field, draft.at_most)).collect()
}

fn expression(operator: &str, values: &[&str]) -> Value {
    let mut expression = json!({"key": "team", "operator": operator});
    if !values.is_empty() {
        expression["values"] = json!(values);
    }
    json!([{"namespaceSelector": {"matchExpressions": [expression]}}])
}

#[rstest]
#[case::created(ingress(&team("a")), None, at(&[("team", "a")]))]
#[case::set(ingress(&team("a")), at(&[]), at(&[("team", "a")]))]
#[case::set_empty(ingress(&team("")), at(&[]), at(&[("team", "")]))]
#[case::changed(ingress(&team("a")), at(&[("team", "b")]), at(&[("team", "a")]))]
#[case::by_expression(ingress(&expression("In", &["a", "b"])), at(&[("team", "c")]), at(&[("team", "b")]))]
#[case::by_being_there(ingress(&expression("Exists", &[])), None, at(&[("team", "anything")]))]
#[case::by_being_gone(ingress(&expression("DoesNotExist", &[])), at(&[("team", "a")]), at(&[]))]
#[case::no_longer_left_out(ingress(&expression("NotIn", &["a"])), at(&[("team", "a")]), at(&[("team", "b")]))]
#[case::the_second_label_it_takes(
    ingress(&json!([{"namespaceSelector": {"matchLabels": {"team": "a", "zone": "x"}}}])),
    at(&[("zone", "x")]), at(&[("zone", "x"), ("team", "a")]))]
#[case::name_and_label(
    ingress(&json!([{"namespaceSelector": {"matchLabels": {"team": "a", "kubernetes.io/metadata.name": "shop"}}}])),
    None, at(&[("team", "a")]))]
#[case::some_of_its_pods(
    ingress(&json!([{"podSelector": {"matchLabels": {"app": "web"}},
        "namespaceSelector": {"matchLabels": {"team": "a"}}}])),
    None, at(&[("team", "a")]))]
#[case::to_send_to(
    json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": team("a")}]}), None, at(&[("team", "a")]))]
#[case::beside_a_rule_for_other_ports(
    json!({"podSelector": {}, "ingress": [{"from": team("a")}, {"ports": [{"port": 80}]}]}),
    None, at(&[("team", "a")]))]
#[case::beside_a_rule_for_some_pods(
    json!({"podSelector": {}, "ingress": [{"from": team("a")},
        {"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}]}]}),
    None, at(&[("team", "a")]))]
#[case::beside_addresses(
    json!({"podSelector": {}, "ingress": [{"from": team("a")}, {"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}),
    None, at(&[("team", "a")]))]
fn a_label_that_opens(#[case] spec: Value, #[case] old: Pairs<'_>, #[case] new: Pairs<'_>) {
    assert_eq!(found(spec, old, new), [(TEAM.to_owned(), Level::Deny)]);
}

#[rstest]
#[case::another_value(ingress(&team("a")), None, at(&[("team", "b")]))]
#[case::another_key(ingress(&team("a")), None, at(&[("teams", "a")]))]
#[case::another_case(ingress(&team("a")), None, at(&[("team", "A")]))]
#[case::unchanged(ingress(&team("a")), at(&[("team", "a")]), at(&[("team", "a"), ("zone", "x")]))]
#[case::from_one_of_its_values_to_another(
    ingress(&expression("In", &["a", "b"])), at(&[("team", "a")]), at(&[("team", "b")]))]
#[case::met_by_every_namespace(ingress(&json!([{"namespaceSelector": {}}])), None, at(&[("team", "a")]))]
#[case::met_without_any_label(ingress(&expression("NotIn", &["b"])), None, at(&[("team", "a")]))]
#[case::by_its_name(
    ingress(&json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}])),
    None, at(&[("kubernetes.io/metadata.name", "shop"), ("team", "a")]))]
#[case::half_of_what_it_takes(
    ingress(&json!([{"namespaceSelector": {"matchLabels": {"team": "a", "zone": "x"}}}])),
    at(&[]), at(&[("team", "a")]))]
#[case::pods_of_its_own(ingress(&json!([{"podSelector": {"matchLabels": {"team": "a"}}}])), None, at(&[("team", "a")]))]
#[case::open_to_all_anyway(
    json!({"podSelector": {}, "ingress": [{"from": team("a"), "ports": [{"port": 80}]}, {"ports": [{"port": 80}]}]}),
    None, at(&[("team", "a")]))]
#[case::allowed_by_the_old_value_as_well(
    json!({"podSelector": {}, "ingress": [{"from": [team("a")[0], team("b")[0]]}]}),
    at(&[("team", "b")]), at(&[("team", "a")]))]
#[case::without_effect(
    json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{"from": team("a")}]}),
    None, at(&[("team", "a")]))]
#[case::left_out_from_the_start(ingress(&expression("NotIn", &["a"])), None, at(&[("team", "a")]))]
#[case::deleted(ingress(&team("a")), at(&[("team", "a")]), None)]
fn a_label_that_opens_nothing(#[case] spec: Value, #[case] old: Pairs<'_>, #[case] new: Pairs<'_>) {
    assert_eq!(found(spec, old, new), []);
}

#[rstest]
#[case::removed(ingress(&team("a")), at(&[("team", "a")]), at(&[]), true)]
#[case::changed(ingress(&team("a")), at(&[("team", "a")]), at(&[("team", "b")]), true)]
#[case::set(ingress(&expression("NotIn", &["a"])), at(&[]), at(&[("team", "a")]), true)]
#[case::still_allowed(
    json!({"podSelector": {}, "ingress": [{"from": team("a")}, {}]}), at(&[("team", "a")]), at(&[]), false)]
fn a_label_that_shuts_is_for_the_record(
    #[case] spec: Value,
    #[case] old: Pairs<'_>,
    #[case] new: Pairs<'_>,
    #[case] shuts: bool,
) {
    let expected: &[_] = if shuts { &[(TEAM.to_owned(), Level::Audit)] } else { &[] };
    assert_eq!(found(spec, old, new), expected);
}

#[test]
fn policies_of_the_namespace_itself_are_its_own_doing() {
    let subject = namespace_change(None, at(&[("team", "a")]), "dev");
    assert_eq!(judged(&cluster(&[(NAMESPACE, ingress(&team("a")))]), &Value::Null, &subject), []);
}

#[test]
fn what_another_policy_of_the_same_pods_allows_opens_nothing() {
    let subject = namespace_change(None, at(&[("team", "a")]), "dev");
    let everybody = json!({"podSelector": {}, "ingress": [{}]});
    let others = json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]});
    let count =
        |other: (&str, Value)| judged(&cluster(&[("data", ingress(&team("a"))), other]), &Value::Null, &subject).len();
    let counts = [count(("data", everybody.clone())), count(("data", others)), count(("logs", everybody))];
    assert_eq!(counts, [0, 1, 1]);
}

#[rstest]
#[case::all(json!({}), 2)]
#[case::some(json!({"namespaces": ["data"]}), 1)]
#[case::by_pattern(json!({"namespaces": ["dat?", "log*"]}), 2)]
#[case::none(json!({"namespaces": ["kube-*"]}), 0)]
#[case::trusted(json!({"trusted": {"users": ["dev"]}}), 0)]
#[case::trusted_by_group(json!({"trusted": {"groups": ["system:authenticated"]}}), 0)]
#[case::others_are_trusted(json!({"trusted": {"users": ["admin"], "serviceAccounts": ["ci/dev"]}}), 2)]
fn parameters(#[case] params: Value, #[case] opened: usize) {
    let inventory = cluster(&[("data", ingress(&team("a"))), ("logs", ingress(&team("a")))]);
    let drafts = judged(&inventory, &params, &namespace_change(at(&[]), at(&[("team", "a")]), "dev"));
    let places: usize = drafts.iter().map(|draft| draft.message.matches("spec.ingress[0].from[0]").count()).sum();
    assert_eq!((drafts.len(), places), (usize::from(opened > 0), opened));
}

#[rstest]
#[case::no_account(json!({"trusted": {"serviceAccounts": ["dev"]}}), "trusted.serviceAccounts[0]", "NAMESPACE/NAME")]
#[case::empty(json!({"namespaces": ["a", ""]}), "namespaces[1]", "no namespace")]
#[case::no_name(json!({"namespaces": ["Data"]}), "namespaces[0]", "`Data`")]
fn wrong_parameters_are_refused(#[case] params: Value, #[case] param: &str, #[case] told: &str) {
    let error = find(RULE).expect("the rule").bind(&params, &Groups::builtin()).err().expect("refused");
    assert!(error.param == param && error.message.contains(told), "{error}");
}

#[test]
fn the_message_names_pods_ports_and_policies() {
    let egress = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to":
        [{"podSelector": {"matchLabels": {"app": "web"}}, "namespaceSelector": {"matchLabels": {"team": "a"}}}]}]});
    let inventory = cluster(&[("logs", egress), ("data", ingress(&team("a"))), ("old", ingress(&team("b")))]);
    let drafts = judged(&inventory, &Value::Null, &namespace_change(at(&[("team", "b")]), at(&[("team", "a")]), "dev"));
    let [draft] = &drafts[..] else { panic!("one finding: {drafts:?}") };
    assert_eq!(
        draft.message,
        "dev changes label team from \"b\" to \"a\", which opens pods app=db of data to its pods on TCP/5432 (data/p1 \
         spec.ingress[0].from[0]), its pods app=web to all pods of logs on all ports (logs/p0 spec.egress[0].to[0]) and \
         shuts pods app=db of old to its pods on TCP/5432 (old/p2 spec.ingress[0].from[0])"
    );
    assert_eq!(draft.brief, "opens pods app=db of data on TCP/5432 and 1 more");
    assert!(draft.help.ends_with("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}"));
    assert_eq!(
        (draft.evidence.ports.clone(), draft.evidence.directions.clone()),
        (vec!["all ports".to_owned()], vec!["Ingress", "Egress"])
    );
    assert_eq!(draft.at_most, Level::Deny);
}

#[test]
fn a_few_are_named_and_the_rest_counted() {
    let policies: Vec<(String, Value)> = (0..1_000).map(|i| (format!("n{i:03}"), ingress(&team("a")))).collect();
    let policies: Vec<(&str, Value)> = policies.iter().map(|(name, spec)| (name.as_str(), spec.clone())).collect();
    let drafts = judged(&cluster(&policies), &Value::Null, &namespace_change(None, at(&[("team", "a")]), "dev"));
    let [draft] = &drafts[..] else { panic!("one finding: {drafts:?}") };
    assert!(draft.message.contains("(n002/p2 ") && draft.message.ends_with(" and 997 more"), "{}", draft.message);
    assert!(!draft.message.contains("n003"));
    assert_eq!(draft.brief, "opens pods app=db of n000 on TCP/5432 and 999 more");
}

#[test]
fn each_label_answers_for_what_it_opens() {
    let zone = json!([{"namespaceSelector": {"matchLabels": {"zone": "x"}}}]);
    let inventory = cluster(&[("data", ingress(&team("a"))), ("logs", ingress(&zone))]);
    let subject = namespace_change(None, at(&[("team", "a"), ("zone", "x")]), "dev");
    let drafts = judged(&inventory, &Value::Null, &subject);
    assert_eq!(drafts.iter().map(|draft| draft.field.as_str()).collect::<Vec<_>>(), [TEAM, "metadata.labels[zone]"]);
}

#[test]
fn what_cannot_be_compared_counts_as_new() {
    let mut subject = namespace_change(None, at(&[("team", "a")]), "dev");
    subject.operation = Operation::Update;
    assert_eq!(judged(&cluster(&[("data", ingress(&team("a")))]), &Value::Null, &subject).len(), 1);
}

/// Servers before 1.21 let anybody claim another's name.
#[test]
fn another_name_is_a_label_like_any() {
    let vault = ingress(&json!([{"namespaceSelector": {"matchLabels": {METADATA_NAME: "vault"}}}]));
    let subject = namespace_change(None, at(&[(METADATA_NAME, "vault")]), "dev");
    assert_eq!(judged(&cluster(&[("data", vault)]), &Value::Null, &subject).len(), 1);
}

#[test]
fn one_on_its_way_out_still_has_pods() {
    let leaving = Metadata { deletion_timestamp: Some(jiff::Timestamp::UNIX_EPOCH), ..labelled(&[("team", "a")]) };
    let subject = namespace_from_to(Some(labelled(&[])), Some(leaving), "dev");
    assert_eq!(judged(&cluster(&[("data", ingress(&team("a")))]), &Value::Null, &subject).len(), 1);
}

#[test]
fn in_manifests_it_is_for_the_record() {
    let inventory = cluster(&[("data", ingress(&team("a")))]);
    let subject = namespace_change(None, at(&[("team", "a")]), "");
    let check = LabelGrantsAccess.bind(&Value::Null, &Groups::builtin()).expect("the defaults");
    let (around, now) = (inventory.overlay(&subject), jiff::Timestamp::UNIX_EPOCH);
    let cx = Context { subject: &subject, around: &around, inventory: &inventory, now, bundle: true };
    let drafts = check.check(&cx).expect("judged").drafts;
    assert_eq!(drafts.iter().map(|draft| draft.at_most).collect::<Vec<_>>(), [Level::Audit]);
    assert!(drafts[0].message.starts_with("the manifest sets label team to \"a\", which opens pods app=db"));
}
