use rstest::rstest;
use serde_json::{Value, json};

use crate::netpol::extent::contained;
use crate::netpol::groups::Groups;
use crate::rules::tests::{change, create, drafts, fields};
use crate::rules::{Draft, find};

const RULE: &str = "cluster-cidr-in-ipblock";

fn params() -> Value {
    json!({"clusterCidrs": ["10.244.0.0/16", "10.96.0.0/12", "fd00:10::/32"]})
}

fn spec(cidr: &str, except: &[&str]) -> Value {
    json!({"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": cidr, "except": except}}]}]})
}

fn judged(spec: &Value) -> Vec<Draft> {
    drafts(RULE, &params(), &create(spec)).expect("judged").drafts
}

#[rstest]
#[case::a_pod("10.244.3.17/32", &[], "10.244.3.17/32")]
#[case::the_resolvers_service("10.96.0.10/32", &[], "10.96.0.10/32")]
#[case::host_bits("10.244.3.17/24", &[], "10.244.3.0/24")]
#[case::mapped("::ffff:10.244.3.0/120", &[], "10.244.3.0/24")]
#[case::v6("fd00:10:0:1::/64", &[], "fd00:10:0:1::/64")]
#[case::a_wider_block("10.0.0.0/8", &[], "10.96.0.0/12 10.244.0.0/16")]
#[case::half_of_everything("0.0.0.0/1", &["10.96.0.0/12"], "10.244.0.0/16")]
#[case::partly_excepted("10.244.0.0/15", &["10.244.0.0/17"], "10.244.128.0/17")]
fn is_found(#[case] cidr: &str, #[case] except: &[&str], #[case] expected: &str) {
    let drafts = judged(&spec(cidr, except));
    let cidrs: Vec<String> = drafts.iter().flat_map(|draft| &draft.evidence.cidrs).map(ToString::to_string).collect();
    assert_eq!((drafts[0].field.as_str(), cidrs.join(" ").as_str()), ("spec.egress[0].to[0].ipBlock", expected));
}

#[rstest]
#[case::outside("198.51.100.0/24", &[])]
#[case::the_neighbour("10.245.0.0/16", &[])]
#[case::the_other_half_of_everything("128.0.0.0/1", &[])]
#[case::everything_excepted("0.0.0.0/0", &["10.0.0.0/8"])]
#[case::excepted_in_halves("10.240.0.0/12", &["10.244.0.0/17", "10.244.128.0/17"])]
#[case::v6_excepted("fd00::/8", &["fd00:10::/32"])]
fn is_not_found(#[case] cidr: &str, #[case] except: &[&str]) {
    assert_eq!(judged(&spec(cidr, except)), []);
}

#[rstest]
#[case::a_pod("10.244.3.17/32", &[], None)]
#[case::a_wider_block("10.0.0.0/8", &[], Some("10.96.0.0/12, 10.244.0.0/16"))]
#[case::partly_excepted("10.244.0.0/15", &["10.244.0.0/17"], Some("10.244.0.0/16"))]
fn an_except_is_proposed_where_it_leaves_something(
    #[case] cidr: &str,
    #[case] except: &[&str],
    #[case] added: Option<&str>,
) {
    let help = &judged(&spec(cidr, except))[0].help;
    assert_eq!(
        help.split_once("; ").map(|(_, rest)| rest),
        added
            .map(|blocks| { format!("where addresses outside of the cluster are meant, add {blocks} to its `except`") })
            .as_deref(),
        "{help}"
    );
}

#[test]
fn it_does_nothing_until_blocks_are_named() {
    assert_eq!(fields(RULE, &Value::Null, &create(&spec("10.244.3.17/32", &[]))), [""; 0]);
    let wrong = json!({"clusterCidrs": ["10.244.0.0"]});
    assert!(find(RULE).expect("the rule").bind(&wrong, &Groups::builtin()).is_err());
}

#[test]
fn rules_in_effect_are_judged_in_both_directions() {
    let block = json!({"ipBlock": {"cidr": "10.244.0.0/24"}});
    let both = json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{}, {"from": [{"podSelector": {}}, block]}], "egress": [{"to": [block], "ports": [{"port": 53}]}]});
    assert_eq!(
        fields(RULE, &params(), &create(&both)),
        ["spec.ingress[1].from[1].ipBlock", "spec.egress[0].to[0].ipBlock"]
    );
    let without_effect = json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"to": [block]}]});
    assert_eq!(judged(&without_effect), []);
}

#[test]
fn an_update_answers_for_what_it_adds() {
    let extents = |cidr| -> Vec<_> { judged(&spec(cidr, &[])).into_iter().flat_map(|draft| draft.extents).collect() };
    assert_eq!(contained(&extents("10.244.1.0/24"), &extents("10.244.0.0/16")), Some(true));
    assert_eq!(contained(&extents("10.244.0.0/16"), &extents("10.244.1.0/24")), Some(false));
    let gone = change("x", Some(&spec("10.244.1.0/24", &[])), None);
    assert_eq!(drafts(RULE, &params(), &gone).expect("judged").drafts, []);
}

#[test]
fn an_update_is_no_better_for_the_other_direction() {
    let block = json!([{"ipBlock": {"cidr": "10.244.0.0/24"}}]);
    let of = |spec: Value| judged(&spec).into_iter().flat_map(|draft| draft.extents).collect::<Vec<_>>();
    let ingress = of(json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": block}]}));
    let egress = of(json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": block}]}));
    assert_eq!(contained(&ingress, &egress), Some(false));
    assert_eq!(contained(&egress, &egress), Some(true));
}
