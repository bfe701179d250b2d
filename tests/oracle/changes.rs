//! The difference of two states: what it says of a connection is what the naive evaluator says of both.

use std::collections::BTreeSet;

use portcullis::netpol::connectivity::difference::{Change, Difference, Limit, difference};
use serde_json::{Value, json};

use crate::compare::{Tally, end, load, pods};
use crate::generate::{Generator, NAMESPACES};
use crate::mutate::{IN_PLACE, Mutation};
use crate::naive::{End, Naive, Question, Verdict};
use crate::questions::{edges, ports};
use crate::shrink::shrink;
use crate::write::{FORMS, Form, manifest};

/// How many addresses and ports are asked about.
const ADDRESSES: usize = 4;
const PORTS: usize = 10;

/// One pair of states, as its seed has it.
pub(crate) fn check(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut draw = Generator::new(seed);
    let cluster = draw.cluster();
    let before = cluster.documents;
    let after = changed(&mut draw, &before);
    let form = draw.one(&FORMS);
    let questions = questions(&mut draw, &before, &after);
    let states = [&before[..], &after[..]];
    let disagreement = compare(states, form, cluster.ip_blocks_match_pods, &questions, tally)?;
    let Some((question, ..)) = disagreement else { return Ok(()) };
    Err(told(seed, states, cluster.ip_blocks_match_pods, &question))
}

// ---- The second state ------------------------------------------------------------------------------------------------

/// Some changes, each of which the API server would take.
fn changed(draw: &mut Generator, before: &[Value]) -> Vec<Value> {
    let mut after = before.to_vec();
    for _ in 0..draw.rng.usize(1..=4) {
        let mut next = after.clone();
        if draw.percent(50) {
            let (_, mutate): Mutation = draw.one(&IN_PLACE);
            mutate(draw, &mut next);
        } else {
            add_or_remove(draw, &mut next);
        }
        if load(&next, Form::Flow).is_ok() {
            after = next;
        }
    }
    after
}

/// An object more or less, or another policy of the same name.
fn add_or_remove(draw: &mut Generator, documents: &mut Vec<Value>) {
    let namespaces: Vec<&str> = NAMESPACES.to_vec();
    match draw.rng.u32(0..6) {
        0 | 1 if !documents.is_empty() => _ = documents.remove(draw.rng.usize(0..documents.len())),
        2 => documents.push(draw.pods(&namespaces, 9)),
        3 => {
            let policies = documents.iter_mut().filter(|object| object["kind"] == "NetworkPolicy");
            if let Some(policy) = draw.rng.choice(policies.collect::<Vec<_>>()) {
                policy["spec"] = draw.policy(&namespaces, 0)["spec"].take();
            }
        }
        _ => documents.push(draw.policy(&namespaces, 9)),
    }
}

// ---- The comparison --------------------------------------------------------------------------------------------------

/// Every pair of ends, pods of either state and some addresses, on some ports.
fn questions(draw: &mut Generator, before: &[Value], after: &[Value]) -> Vec<Question> {
    let both = [before, after].concat();
    let pods: BTreeSet<String> = both_pods([before, after]);
    let mut pairs: Vec<(End, End)> = Vec::new();
    for from in &pods {
        pairs.extend(pods.iter().map(|to| (End::Pod(from.clone()), End::Pod(to.clone()))));
        for address in draw.rng.choose_multiple(edges(&both), ADDRESSES) {
            let (pod, address) = (End::Pod(from.clone()), End::Address(address));
            pairs.extend([(pod.clone(), address.clone()), (address, pod)]);
        }
    }
    let ports: BTreeSet<_> = ports(&both).into_iter().collect();
    let ports = draw.rng.choose_multiple(ports, PORTS);
    let mut questions = Vec::new();
    for (from, to) in pairs {
        for (protocol, port) in &ports {
            questions.push(Question { from: from.clone(), to: to.clone(), protocol, port: *port });
        }
    }
    questions
}

fn both_pods(states: [&[Value]; 2]) -> BTreeSet<String> {
    states.iter().flat_map(|state| Naive::new(state, true).pods.into_iter().map(|pod| pod.id)).collect()
}

/// A question with what the crate and what the naive evaluator says.
type Disagreement = (Question, Option<Change>, Option<Change>);

fn compare(
    states: [&[Value]; 2],
    form: Form,
    ip_blocks_match_pods: bool,
    questions: &[Question],
    tally: &mut Tally,
) -> Result<Option<Disagreement>, String> {
    let loaded = states.map(|state| load(state, form).map_err(|failure| failure.to_string()));
    let [before, after] = loaded;
    let (before, after) = (before?, after?);
    let worlds = [&before, &after].map(|state| state.inventory.world(ip_blocks_match_pods));
    let found = difference(&worlds[0], &worlds[1], Limit::COMMAND).map_err(|error| error.to_string())?;
    let naive = states.map(|state| Naive::new(state, ip_blocks_match_pods));
    let mut ends = pods(&worlds[0]);
    ends.extend(pods(&worlds[1]));
    let mut changes = 0;
    for question in questions {
        let Some(expected) = expected(&naive, question) else { continue };
        let (from, to) = (end(&ends, &question.from), end(&ends, &question.to));
        let told = found.changes(from, to, question.protocol.parse().expect("a protocol"), question.port);
        tally.one("all");
        tally.one(expected.map_or("stays", |change| if change == Change::Appears { "appears" } else { "vanishes" }));
        changes += usize::from(expected.is_some());
        if told != expected {
            return Ok(Some((question.clone(), told, expected)));
        }
    }
    tally.one("states");
    tally.one(if changes > 0 { "states that differ" } else { "states that do not" });
    if says_nothing_of_nothing(&found, states) { Ok(None) } else { Err(format!("{found:#?} between equal states")) }
}

/// What the naive evaluator makes of both states: `None` where a pod takes no part in one of them. A pod that is not
/// there has no connections, and to itself nothing changes for a pod.
fn expected(states: &[Naive<'_>; 2], question: &Question) -> Option<Option<Change>> {
    let is_end =
        |id: &str| matches!(&question.from, End::Pod(from) if from == id) || question.to == End::Pod(id.to_owned());
    let in_host_network = |state: &Naive<'_>| state.pods.iter().any(|pod| pod.host_network() && is_end(&pod.id));
    if states.iter().any(in_host_network) {
        return None;
    }
    if question.from == question.to && matches!(&question.from, End::Pod(id) if id.contains("/Pod/")) {
        return Some(None);
    }
    let is_there = |state: &Naive<'_>, end: &End| match end {
        End::Pod(id) => state.pods.iter().any(|pod| pod.id == *id),
        End::Address(_) => true,
    };
    let allows = |state: &Naive<'_>| {
        is_there(state, &question.from)
            && is_there(state, &question.to)
            && state.ask(question).verdict == Verdict::Allow
    };
    Some(match (allows(&states[0]), allows(&states[1])) {
        (false, true) => Some(Change::Appears),
        (true, false) => Some(Change::Vanishes),
        _ => None,
    })
}

fn says_nothing_of_nothing(found: &Difference, [before, after]: [&[Value]; 2]) -> bool {
    before != after || found.rows.is_empty()
}

/// The disagreement on the smallest states that have it.
fn told(seed: u64, states: [&[Value]; 2], ip_blocks_match_pods: bool, question: &Question) -> String {
    let asked = [question.clone()];
    let again = |pair: &[Value]| {
        let [Value::Array(before), Value::Array(after)] = pair else { return None };
        for state in [before, after] {
            load(state, Form::Flow).ok()?;
        }
        let pods = both_pods([before, after]);
        let is_there = |end: &End| !matches!(end, End::Pod(id) if !pods.contains(id));
        if !is_there(&question.from) || !is_there(&question.to) {
            return None;
        }
        compare([before, after], Form::Flow, ip_blocks_match_pods, &asked, &mut Tally::default()).ok()?
    };
    let smallest = shrink(&states.map(|state| json!(state)), |pair| again(pair).is_some());
    let [before, after] = [0, 1].map(|side| manifest(smallest[side].as_array().expect("a state"), Form::Yaml));
    let (_, told, expected) = again(&smallest).expect("it fails");
    format!(
        "the difference is another one\n\n# Before\n{before}\n# After\n{after}\n{question:?}\n\
         the crate:     {told:?}\nthe naive one: {expected:?}\n\nipBlock matches pods: {ip_blocks_match_pods}\n\
         again: PORTCULLIS_ORACLE_SEED={seed} PORTCULLIS_ORACLE_CLUSTERS=1 cargo test --test oracle random_states\n"
    )
}
