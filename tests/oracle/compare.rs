//! Both evaluators on one cluster: the crate on the text of its manifest, the naive one on the objects themselves.

use std::collections::BTreeMap;
use std::{fmt, mem};

use portcullis::inventory::from_files::{self, Loaded};
use portcullis::manifest;
use portcullis::netpol::connectivity::{self, Outcome, World};
use portcullis::netpol::pod::Pod;
use serde_json::Value;

use crate::generate::{Cluster, Generator};
use crate::naive::{Answer, End, Naive, Question, Side, Verdict};
use crate::questions::questions;
use crate::shrink::shrink;
use crate::write::{FORMS, Form, manifest};

/// What went wrong.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The manifests were not read as they should be.
    Problems(Vec<String>),
    /// The pods of the crate are others.
    Pods {
        crates: Vec<String>,
        naive: Vec<String>,
    },
    Answers(Box<Disagreement>),
}

#[derive(Clone, Debug)]
pub(crate) struct Disagreement {
    question: Question,
    crates: Answer,
    naive: Answer,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problems(problems) => write!(f, "the crate does not read it: {problems:#?}"),
            Self::Pods { crates, naive } => write!(f, "the crate has the pods {crates:?}, the naive one {naive:?}"),
            Self::Answers(answers) => {
                let Disagreement { question, crates, naive } = &**answers;
                write!(f, "{question:?}\nthe crate:     {crates:?}\nthe naive one: {naive:?}")
            }
        }
    }
}

/// What was answered, for statistics.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, question: &Question, answer: &Answer) {
        let verdict = match answer.verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Unknown => "unknown",
        };
        self.one("all");
        self.one(verdict);
        if !answer.egress.allowed_by.is_empty() || !answer.ingress.allowed_by.is_empty() {
            self.one("allowed by a rule");
        }
        if matches!((&question.from, &question.to), (End::Pod(_), End::Pod(_))) {
            self.one(if answer.verdict == Verdict::Deny { "pods deny" } else { "pods others" });
        }
    }

    pub(crate) fn one(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (name, count) in &more.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }

    pub(crate) fn of(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

// ---- The crate -------------------------------------------------------------------------------------------------------

/// A manifest as the crate loads it, or what it says is wrong.
pub(crate) fn load(documents: &[Value], form: Form) -> Result<Loaded, Failure> {
    let loaded = from_files::load(&manifest::parse("random.yaml", &manifest(documents, form)), "default");
    if loaded.problems.is_empty() { Ok(loaded) } else { Err(Failure::Problems(loaded.problems)) }
}

/// The pods of a world by `namespace/Kind/name`.
pub(crate) fn pods<'a>(world: &World<'a>) -> BTreeMap<String, &'a Pod> {
    let pods = world.spaces().flat_map(|space| space.pods.iter().copied());
    pods.map(|pod| (format!("{}/{}/{}", pod.namespace, pod.kind, pod.name), pod)).collect()
}

pub(crate) fn end<'a>(pods: &BTreeMap<String, &'a Pod>, end: &End) -> connectivity::End<'a> {
    match end {
        End::Pod(id) => connectivity::End::Pod(pods[id]),
        End::Address(address) => connectivity::End::Address(*address),
    }
}

fn ask(world: &World<'_>, pods: &BTreeMap<String, &Pod>, question: &Question) -> Answer {
    let (from, to) = (end(pods, &question.from), end(pods, &question.to));
    let protocol = question.protocol.parse().expect("a protocol");
    let answer = world.ask(connectivity::Question { from, to, protocol, port: question.port });
    let verdict = match answer.outcome {
        Outcome::Allowed | Outcome::Itself => Verdict::Allow,
        Outcome::Denied => Verdict::Deny,
        Outcome::HostNetwork(_) | Outcome::Unread { .. } => Verdict::Unknown,
    };
    let side = |side: &connectivity::Side<'_>| Side {
        isolated_by: side.isolated_by.iter().map(|policy| format!("{}/{}", policy.namespace, policy.name)).collect(),
        allowed_by: side.allowed_by.iter().map(ToString::to_string).collect(),
    };
    Answer { verdict, egress: side(&answer.egress), ingress: side(&answer.ingress) }
}

// ---- The comparison --------------------------------------------------------------------------------------------------

/// Asks both; `told` is what the naive one is told, which is the same cluster but where a test of this test lies to it.
pub(crate) fn compare(
    cluster: &Cluster,
    told: &[Value],
    form: Form,
    questions: &[Question],
    tally: &mut Tally,
) -> Result<(), Failure> {
    let loaded = load(&cluster.documents, form)?;
    let world = loaded.inventory.world(cluster.ip_blocks_match_pods);
    let naive = Naive::new(told, cluster.ip_blocks_match_pods);
    let pods = pods(&world);
    if !pods.keys().eq(naive.pods.iter().map(|pod| &pod.id)) {
        let naive = naive.pods.iter().map(|pod| pod.id.clone()).collect();
        return Err(Failure::Pods { crates: pods.into_keys().collect(), naive });
    }
    for question in questions {
        let (crates, naive) = (ask(&world, &pods, question), naive.ask(question));
        tally.count(question, &naive);
        if !agree(&crates, &naive) {
            return Err(Failure::Answers(Box::new(Disagreement { question: question.clone(), crates, naive })));
        }
    }
    Ok(())
}

/// Which rules at the other end would be meant for a pod in its node's network is nothing the API says.
fn agree(one: &Answer, other: &Answer) -> bool {
    let isolated = |answer: &Answer| (answer.egress.isolated_by.clone(), answer.ingress.isolated_by.clone());
    let unknown = one.verdict == Verdict::Unknown && other.verdict == Verdict::Unknown;
    if unknown { isolated(one) == isolated(other) } else { one == other }
}

/// One cluster, as its seed has it.
pub(crate) fn check(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut draw = Generator::new(seed);
    let cluster = draw.cluster();
    let form = draw.one(&FORMS);
    let questions = questions(&cluster, &mut draw);
    compare(&cluster, &cluster.documents, form, &questions, tally)
        .map_err(|failure| told(seed, &cluster, form, &failure))
}

/// The failure on the smallest manifest that still has it, and how to see it again.
fn told(seed: u64, cluster: &Cluster, form: Form, failure: &Failure) -> String {
    let again = |documents: &[Value]| {
        let cluster = Cluster { documents: documents.to_vec(), ..*cluster };
        compare(&cluster, documents, form, &asked(failure), &mut Tally::default()).err()
    };
    let is_alike = |documents: &[Value]| {
        has_ends(documents, failure)
            && again(documents).is_some_and(|other| mem::discriminant(&other) == mem::discriminant(failure))
    };
    let smallest = shrink(&cluster.documents, is_alike);
    let last = again(&smallest).expect("it fails");
    format!(
        "the evaluators disagree\n\n{}\n{last}\n\nipBlock matches pods: {}; written as {form:?}\n\
         again: PORTCULLIS_ORACLE_SEED={seed} PORTCULLIS_ORACLE_CLUSTERS=1 cargo test --test oracle random_clusters\n",
        manifest(&smallest, Form::Yaml),
        cluster.ip_blocks_match_pods,
    )
}

fn asked(failure: &Failure) -> Vec<Question> {
    match failure {
        Failure::Answers(answers) => vec![answers.question.clone()],
        Failure::Problems(_) | Failure::Pods { .. } => Vec::new(),
    }
}

/// Whether the pods that are asked about are still there, for the crate as well.
fn has_ends(documents: &[Value], failure: &Failure) -> bool {
    let Failure::Answers(answers) = failure else { return true };
    let Ok(loaded) = load(documents, Form::Yaml) else { return false };
    let world = loaded.inventory.world(true);
    let pods = pods(&world);
    let Question { from, to, .. } = &answers.question;
    [from, to].into_iter().all(|end| !matches!(end, End::Pod(id) if !pods.contains_key(id)))
}
