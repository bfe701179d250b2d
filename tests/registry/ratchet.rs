//! The ratchet, for every rule and by meaning: an UPDATE answers for what it makes worse, and for nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;

use portcullis::rules::RULES;
use serde_json::{Value, json};

use crate::cases::{Case, Suite, config_test, write};

/// The creations of policies that are denied.
fn denied_policies(suite: &Suite) -> impl Iterator<Item = &Case> {
    let policy = suite.meta.kind == "NetworkPolicy";
    suite.cases.iter().filter(move |case| policy && case.operation() == "CREATE" && case.verdict() == "denied")
}

/// What comes of cases derived from those of every rule, each with a line about it.
fn judged(derive: impl Fn(&Suite) -> Vec<Case>) -> Vec<(String, Value)> {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut files, mut about): (Vec<PathBuf>, Vec<String>) = Default::default();
    for suite in Suite::all() {
        let cases = derive(&suite);
        if cases.is_empty() {
            continue;
        }
        about.extend(cases.iter().map(|case| format!("{}: {}", suite.meta.name, case.name())));
        let [rules, file] =
            ["rules", "cases"].map(|what| folder.path().join(format!("{}-{what}.json", suite.meta.name)));
        write(&rules, &suite.rules);
        write(&file, &suite.with(rules.to_str().expect("text"), cases));
        files.push(file);
    }
    let (_, told) = config_test(&files);
    assert_eq!(told.len(), about.len());
    about.into_iter().zip(told).collect()
}

/// What is not as it should be.
fn wrong(judged: Vec<(String, Value)>, right: impl Fn(&Value) -> bool) -> String {
    let wrong = judged.into_iter().filter(|(_, told)| !right(told));
    wrong.map(|(about, told)| format!("{about}\n  {} {}\n", told["verdict"], told["findings"])).collect()
}

fn update(case: &Case, how: &str, old: Value, new: Value) -> Case {
    let fields = [("operation", json!("UPDATE")), ("oldObject", old), ("object", new)];
    case.derived(&format!("{}: {how}", case.name()), &fields)
}

// ---- No worse --------------------------------------------------------------------------------------------------------

/// The same with a label that no rule asks for.
fn relabelled(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["labels"]["example.com/touched"] = json!("yes");
    object
}

/// The same meaning in other words: every list of alternatives turned round, and labels as expressions.
fn reworded(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().rev().map(reworded).collect(),
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> =
                fields.iter().map(|(key, value)| (key.clone(), reworded(value))).collect();
            if let Some(Value::Object(labels)) = fields.remove("matchLabels") {
                let expression = |(key, value)| json!({"key": key, "operator": "In", "values": [value]});
                let mut all: Vec<Value> = labels.into_iter().map(expression).collect();
                if let Some(Value::Array(others)) = fields.remove("matchExpressions") {
                    all.extend(others);
                }
                fields.insert("matchExpressions".to_owned(), all.into());
            }
            fields.into_iter().collect()
        }
        other => other.clone(),
    }
}

/// The object with another spec, and another text behind it that makes it.
fn respecified(object: &Value, change: impl Fn(&Value) -> Value) -> Value {
    let mut object = object.clone();
    object["spec"] = change(&object["spec"]);
    if let Some(Value::String(applied)) =
        object["metadata"].get_mut("annotations").and_then(|all| all.get_mut(LAST_APPLIED))
    {
        let text: Value = serde_json::from_str(applied).expect("JSON");
        *applied = json!({"spec": change(&text["spec"])}).to_string();
    }
    object
}

/// Where client-side apply keeps what it was given.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[test]
fn an_update_that_says_the_same_in_other_words_is_not_denied() {
    let judged = judged(|suite| {
        let same = |case: &Case| {
            let object = &case.0["object"];
            let reworded = respecified(object, reworded);
            [
                update(case, "with another label", object.clone(), relabelled(object)),
                update(case, "in other words", object.clone(), reworded.clone()),
                update(case, "from other words, with another label", reworded, relabelled(object)),
            ]
        };
        denied_policies(suite).flat_map(same).collect()
    });
    assert!(judged.len() > 300, "{}", judged.len());
    let wrong = wrong(judged, |told| told["allowed"] == true);
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_update_of_a_namespace_that_leaves_its_labels_is_allowed() {
    let judged = judged(|suite| {
        let namespaces = suite.cases.iter().filter(|case| suite.meta.kind == "Namespace" && case.is_found());
        let same = |case: &Case| {
            let object = case.about();
            let mut annotated = object.clone();
            annotated["metadata"]["annotations"]["example.com/touched"] = json!("yes");
            update(case, "annotated", object.clone(), annotated)
        };
        namespaces.filter(|case| case.about()["metadata"].get("deletionTimestamp").is_none()).map(same).collect()
    });
    assert!(judged.len() > 30, "{}", judged.len());
    let wrong = wrong(judged, |told| told["verdict"] == "allowed" && told["findings"] == json!([]));
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_bad_can_always_be_deleted_and_is_let_go() {
    let judged = judged(|suite| {
        let created = suite.cases.iter().filter(|case| case.operation() == "CREATE" && case.is_found());
        let gone = |case: &Case| {
            let object = &case.0["object"];
            let fields = [("operation", json!("DELETE")), ("oldObject", object.clone())];
            let mut deleted = case.derived(&format!("{}: deleted", case.name()), &fields);
            deleted.0.as_object_mut().expect("a case").remove("object");
            let (mut leaving, mut held) = (object.clone(), object.clone());
            for object in [&mut leaving, &mut held] {
                object["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
            }
            held["metadata"]["finalizers"] = json!(["example.com/hold"]);
            [deleted, update(case, "let go", held, leaving)]
        };
        created.flat_map(gone).collect()
    });
    assert!(judged.len() > 300, "{}", judged.len());
    let wrong = wrong(judged, |told| told["allowed"] == true);
    assert!(wrong.is_empty(), "{wrong}");
}

// ---- Worse -----------------------------------------------------------------------------------------------------------

/// A policy of that name with which nothing is wrong, labelled as those that the rule accepts.
fn clean(suite: &Suite, object: &Value) -> Value {
    let accepted = suite.cases.iter().find(|case| !case.is_found() && case.operation() == "CREATE");
    let mut clean = accepted.expect("a case that is not found").0["object"].clone();
    clean["metadata"]["name"] = object["metadata"]["name"].clone();
    clean["metadata"]["namespace"] = object["metadata"]["namespace"].clone();
    if let Some(annotations) = clean["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    clean["spec"] = json!({"podSelector": {"matchLabels": {"app": "clean"}}, "policyTypes": ["Ingress"]});
    clean
}

#[test]
fn an_update_of_a_clean_policy_to_a_bad_one_is_denied() {
    let judged = judged(|suite| {
        // A name cannot change, so an update cannot make it wrong.
        let changeable = |case: &&Case| case.expected().iter().any(|finding| finding["field"] != "metadata.name");
        let worse = |case: &Case| {
            let object = &case.0["object"];
            let clean = clean(suite, object);
            let created = case.derived(&format!("{}: what was clean", case.name()), &[("object", clean.clone())]);
            [created, update(case, "from what was clean", clean, object.clone())]
        };
        denied_policies(suite).filter(changeable).flat_map(worse).collect()
    });
    // A plugin that ignores all policies has no clean ones.
    denied_where(&judged, |clean| clean["verdict"] != "denied", policy_rules());
}

/// How many rules judge policies.
fn policy_rules() -> usize {
    RULES.iter().filter(|rule| rule.meta().kind == "NetworkPolicy").count()
}

/// Of each pair the second is denied, where the first is as wanted; that is so for as many rules.
fn denied_where(judged: &[(String, Value)], wanted: impl Fn(&Value) -> bool, rules: usize) {
    let (mut wrong, mut seen) = (String::new(), BTreeSet::new());
    for pair in judged.chunks(2) {
        let [(_, created), (about, updated)] = pair else { panic!("a pair") };
        if wanted(created) {
            seen.insert(about.split(':').next());
            if updated["verdict"] != "denied" {
                wrong += &format!("{about}\n  {} {}\n", updated["verdict"], updated["findings"]);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen.len() >= rules, "{rules} rules, and seen only {seen:?}");
}

/// What a rule says of the policy or its namespace as a whole is no worse for more pods or another direction.
const OF_THE_WHOLE: [&str; 5] =
    ["blocked-dns", "implicit-policy-types", "missing-default-deny", "no-effect", "policy-metadata"];

const INEFFECTIVE: &str = "ineffective-section";

/// Pairs of a policy as it was and as it becomes. Where creating the second is denied, so is the update, since the
/// first has nothing of what is found.
fn widened(object: &Value) -> Vec<(&'static str, Value, Value)> {
    let fewer = |spec: &Value| {
        let mut spec = spec.clone();
        let selector = &mut spec["podSelector"];
        let mut expressions = selector["matchExpressions"].as_array().cloned().unwrap_or_default();
        expressions.push(json!({"key": "only", "operator": "In", "values": ["these"]}));
        selector["matchExpressions"] = expressions.into();
        spec
    };
    let one_port = |spec: &Value| {
        let mut spec = spec.clone();
        let rules = ["ingress", "egress"].map(|list| spec[list].as_array().cloned().unwrap_or_default());
        for (list, mut rules) in ["ingress", "egress"].into_iter().zip(rules) {
            rules.iter_mut().for_each(|rule| rule["ports"] = json!([{"protocol": "TCP", "port": 4711}]));
            spec[list] = rules.into();
        }
        spec
    };
    vec![
        ("for fewer pods", respecified(object, fewer), object.clone()),
        ("for one port", respecified(object, one_port), object.clone()),
        ("for the other direction", object.clone(), respecified(object, mirrored)),
    ]
}

/// Ingress for egress, and egress for ingress.
fn mirrored(value: &Value) -> Value {
    let turned = |word: &str| match word {
        "ingress" => "egress".to_owned(),
        "egress" => "ingress".to_owned(),
        "from" => "to".to_owned(),
        "to" => "from".to_owned(),
        "Ingress" => "Egress".to_owned(),
        "Egress" => "Ingress".to_owned(),
        other => other.to_owned(),
    };
    match value {
        Value::String(word) => turned(word).into(),
        Value::Array(items) => items.iter().map(mirrored).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (turned(key), mirrored(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn what_was_bad_for_some_is_no_excuse_for_others() {
    let judged = judged(|suite| {
        let pairs = |case: &Case| {
            // A section without effect leaves every port open, whatever it says.
            let says = |(how, ..): &(&str, Value, Value)| suite.meta.name != INEFFECTIVE || *how != "for one port";
            let widened = widened(&case.0["object"]).into_iter().filter(says);
            let pair = |(how, old, new): (&str, Value, Value)| {
                let created = case.derived(&format!("{}: {how}, created", case.name()), &[("object", new.clone())]);
                [created, update(case, how, old, new)]
            };
            widened.flat_map(pair).collect::<Vec<Case>>()
        };
        let whole = |case: &&Case| {
            OF_THE_WHOLE.contains(&suite.meta.name) || case.expected().iter().all(|finding| finding["field"] == "spec")
        };
        denied_policies(suite).filter(|case| !whole(case)).flat_map(pairs).collect()
    });
    denied_where(&judged, |created| created["verdict"] == "denied", policy_rules() - OF_THE_WHOLE.len());
}

/// One policy with the rules of two: the pods of the first, the directions of both.
fn with_rules_of(object: &Value, other: &Value) -> Value {
    let mut object = object.clone();
    for list in ["ingress", "egress", "policyTypes"] {
        let mut all = object["spec"][list].as_array().cloned().unwrap_or_default();
        for item in other["spec"][list].as_array().into_iter().flatten() {
            if list != "policyTypes" || !all.contains(item) {
                all.push(item.clone());
            }
        }
        object["spec"][list] = all.into();
    }
    object
}

#[test]
fn what_is_worse_by_itself_is_worse_beside_what_there_was() {
    let judged = judged(|suite| {
        // With the directions of both, no section is without effect.
        let whole = |case: &&Case| {
            OF_THE_WHOLE.contains(&suite.meta.name) || suite.meta.name == INEFFECTIVE || case.0.get("given").is_some()
        };
        let cases: Vec<&Case> = denied_policies(suite).filter(|case| !whole(case)).collect();
        let pairs = cases.iter().flat_map(|one| cases.iter().map(move |other| (one, other)));
        let same = |(one, other): &(&&Case, &&Case)| one.name() != other.name() && one.namespace() == other.namespace();
        let pair = |(one, other): (&&Case, &&Case)| {
            let (old, other) = (&one.0["object"], (other.name(), &other.0["object"]));
            let mut instead = old.clone();
            instead["spec"] = other.1["spec"].clone();
            instead["spec"]["podSelector"] = old["spec"]["podSelector"].clone();
            [
                update(one, &format!("{}, instead", other.0), old.clone(), instead),
                update(one, &format!("{}, besides", other.0), old.clone(), with_rules_of(old, other.1)),
            ]
        };
        pairs.filter(same).flat_map(pair).collect()
    });
    denied_where(&judged, |instead| instead["verdict"] == "denied", policy_rules() - OF_THE_WHOLE.len() - 4);
}
