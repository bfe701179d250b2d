//! Small changes of what a cluster means, each of one kind.

use serde_json::{Value, json};

use crate::generate::{Generator, PORTS, PROTOCOLS};
use crate::shrink::{removable, remove};

/// A kind of change: its name, and what makes it. `None` where the cluster has nothing to change so.
pub(crate) type Mutation = (&'static str, fn(&mut Generator, &mut [Value]) -> Option<()>);

/// Changes after which the objects, their names and their kinds are the same.
pub(crate) const IN_PLACE: [Mutation; 14] = [
    ("an operator turned round", operator),
    ("another value in matchLabels", |draw, all| set(draw, all, "matchLabels/*", |_, draw| draw.label_value())),
    ("another value in matchExpressions", |draw, all| {
        set(draw, all, "values/0", |_, draw| json!(draw.one(&["a", "b"])))
    }),
    ("a rule removed", |draw, all| drop_one(draw, all, &["ingress/*", "egress/*"])),
    ("a peer removed", |draw, all| drop_one(draw, all, &["from/*", "to/*"])),
    ("an except removed", |draw, all| drop_one(draw, all, &["except/*"])),
    ("a peer's AND made OR", and_to_or),
    ("a port removed from a rule", |draw, all| drop_one(draw, all, &["ports/*"])),
    ("another port", |draw, all| set(draw, all, "ports/*/port", |_, draw| json!(draw.one(&PORTS)))),
    ("no endPort", |draw, all| drop_one(draw, all, &["endPort"])),
    ("another protocol", |draw, all| set(draw, all, "ports/*/protocol", |_, draw| json!(draw.one(&PROTOCOLS)))),
    ("other policyTypes", policy_types),
    ("another label", |draw, all| set(draw, all, "labels/*", |_, draw| draw.label_value())),
    ("another number behind a named port", |draw, all| {
        set(draw, all, "containerPort", |_, draw| json!(draw.one(&PORTS)))
    }),
];

/// The paths that end so; `*` is any key.
fn sites(all: &[Value], ends: &[&str]) -> Vec<String> {
    let mut paths = Vec::new();
    removable(&Value::Array(all.to_vec()), "", &mut paths);
    let fits = |path: &String, end: &str| {
        let mut keys = path.rsplit('/');
        end.rsplit('/').all(|wanted| keys.next().is_some_and(|key| wanted == "*" || wanted == key))
    };
    paths.retain(|path| ends.iter().any(|end| fits(path, end)));
    paths
}

fn pick(draw: &mut Generator, all: &[Value], ends: &[&str]) -> Option<String> {
    draw.rng.choice(sites(all, ends))
}

fn set(draw: &mut Generator, all: &mut [Value], end: &str, value: fn(&Value, &mut Generator) -> Value) -> Option<()> {
    let path = pick(draw, all, &[end])?;
    let (document, rest) = document(all, &path)?;
    let old = document.pointer_mut(rest)?;
    *old = value(old, draw);
    Some(())
}

fn drop_one(draw: &mut Generator, all: &mut [Value], ends: &[&str]) -> Option<()> {
    let path = pick(draw, all, ends)?;
    let (document, rest) = document(all, &path)?;
    remove(document, rest);
    Some(())
}

/// The object a path begins in, and the path there.
fn document<'v, 'p>(all: &'v mut [Value], path: &'p str) -> Option<(&'v mut Value, &'p str)> {
    let path = path.strip_prefix('/')?;
    let cut = path.find('/').unwrap_or(path.len());
    Some((all.get_mut(path[..cut].parse::<usize>().ok()?)?, &path[cut..]))
}

fn operator(draw: &mut Generator, all: &mut [Value]) -> Option<()> {
    set(draw, all, "operator", |old, _| {
        json!(match old.as_str() {
            Some("In") => "NotIn",
            Some("NotIn") => "In",
            Some("Exists") => "DoesNotExist",
            _ => "Exists",
        })
    })
}

fn policy_types(draw: &mut Generator, all: &mut [Value]) -> Option<()> {
    let value = draw.rng.choice([json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"]), json!(null)])?;
    let policies: Vec<usize> =
        (0..all.len()).filter(|index| all[*index]["spec"].get("policyTypes").is_some()).collect();
    all[draw.rng.choice(policies)?]["spec"]["policyTypes"] = value;
    Some(())
}

/// The dash too many: `- namespaceSelector` and `podSelector` of one item become two items.
fn and_to_or(draw: &mut Generator, all: &mut [Value]) -> Option<()> {
    let mut paths = sites(all, &["from/*", "to/*"]);
    draw.rng.shuffle(&mut paths);
    paths.iter().find_map(|path| {
        let (document, rest) = document(all, path)?;
        let peer = document.pointer_mut(rest)?;
        let pods = peer["podSelector"].take();
        if pods.is_null() || peer["namespaceSelector"].is_null() {
            peer["podSelector"] = pods;
            return None;
        }
        let (list, _) = rest.rsplit_once('/')?;
        document.pointer_mut(list)?.as_array_mut()?.push(json!({"podSelector": pods}));
        Some(())
    })
}
