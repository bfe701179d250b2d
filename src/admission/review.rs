//! The request half of an AdmissionReview: envelope first, object second.
//!
//! The envelope gives the uid that every answer has to carry; only then is the object looked at, so
//! that an object that cannot be read is still answered for. Source: API reference,
//! admission.k8s.io/v1 AdmissionReview.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::engine::{Bound, Origin};
use crate::finding::{ObjectRef, Report};
use crate::netpol::policy::{NetworkPolicy, SpecProblem};
use crate::object::{
    Change, Metadata, NamespaceObject, Operation, PolicyObject, Requester, Subject, Written, policy_ref,
};

/// The only version of the protocol that is spoken.
pub const API_VERSION: &str = "admission.k8s.io/v1";

/// A body that is no review, so that no uid is there to answer to.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The JSON itself is wrong.
    #[error("the body is not the JSON of an AdmissionReview: {0}")]
    Json(String),
    /// It is JSON of something else.
    #[error("the body is a `{0}`, not an AdmissionReview")]
    Kind(String),
    /// It is a review of another version.
    #[error(
        "the review is of version `{0}`; only admission.k8s.io/v1 is spoken here: set admissionReviewVersions: [v1]"
    )]
    Version(String),
    /// It is the answer half, or empty.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// There is nothing to answer to.
    #[error("the request has no uid")]
    NoUid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<R> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<R>,
}

#[derive(Deserialize)]
struct Uid {
    #[serde(default)]
    uid: String,
}

/// Group, version and kind of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GroupVersionKind {
    /// API group; empty for the core.
    #[serde(default)]
    pub group: String,
    /// Version.
    #[serde(default)]
    pub version: String,
    /// Kind.
    #[serde(default)]
    pub kind: String,
}

/// The request, with both objects still unread.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request<'a> {
    /// Its uid, which the answer repeats.
    pub uid: String,
    /// Kind of the object.
    pub kind: GroupVersionKind,
    /// `status` and the like; empty for the object itself.
    pub sub_resource: Option<String>,
    /// What is to be done.
    pub operation: String,
    /// Who asks.
    pub user_info: Requester,
    /// Nothing may be written or learnt.
    pub dry_run: Option<bool>,
    /// The object asked for.
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
    /// The object stored.
    #[serde(borrow)]
    pub old_object: Option<&'a RawValue>,
    /// What is wrong with the request beyond its uid.
    #[serde(skip)]
    pub defect: Option<String>,
}

/// Reads the envelope. A request that has a uid but is otherwise malformed comes back with its defect.
///
/// # Errors
/// Where there is no uid to answer to.
pub fn envelope(body: &[u8]) -> Result<Request<'_>, EnvelopeError> {
    // One pass where nothing is wrong. Otherwise step by step, to tell what is, and to find the uid all the same.
    if let Ok(Review { api_version, kind, request: Some(request) }) =
        serde_json::from_slice::<Review<Request<'_>>>(body)
        && kind == "AdmissionReview"
        && api_version == API_VERSION
        && is_uid(&request.uid)
    {
        return Ok(request);
    }
    let review: Review<&RawValue> =
        serde_json::from_slice(body).map_err(|error| EnvelopeError::Json(shortened(&error.to_string())))?;
    if review.kind != "AdmissionReview" {
        return Err(EnvelopeError::Kind(shortened(&review.kind)));
    }
    if review.api_version != API_VERSION {
        return Err(EnvelopeError::Version(shortened(&review.api_version)));
    }
    let raw = review.request.ok_or(EnvelopeError::NoRequest)?.get();
    let uid = match serde_json::from_str::<Uid>(raw) {
        Ok(Uid { uid }) if is_uid(&uid) => uid,
        _ => return Err(EnvelopeError::NoUid),
    };
    let request = match serde_json::from_str::<Request<'_>>(raw) {
        Ok(request) => Request { uid, ..request },
        Err(error) => Request {
            uid,
            defect: Some(format!("the request is malformed: {}", shortened(&error.to_string()))),
            ..Request::default()
        },
    };
    Ok(request)
}

/// A uid is a UUID of 36 characters; whatever is much longer is none.
const MAX_UID: usize = 256;

fn is_uid(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_UID
}

/// The beginning of a foreign text: an error of serde repeats what it could not read, however long.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 160;
    let start: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if start.len() < text.len() { start + "…" } else { start }
}

/// What there is to do about a request.
#[derive(Debug, PartialEq)]
pub enum Task {
    /// To judge it.
    Judge(Subject),
    /// To judge the metadata of a policy, whose spec stays as it is.
    JudgeMetadata(Subject),
    /// To admit it without looking further, and to learn of it where it could be read.
    Admit(Option<Subject>),
    /// To say that it cannot be judged, and why.
    CannotJudge {
        /// The object, as far as its metadata could be read.
        object: Option<ObjectRef>,
        /// Why, in one line.
        reason: String,
    },
}

/// Something of which not even the name is known.
fn cannot_judge(reason: impl Into<String>) -> Task {
    Task::CannotJudge { object: None, reason: reason.into() }
}

/// An object with its spec unread, and its metadata at hand for what only policies are asked for.
struct Object<'a> {
    metadata: Metadata,
    raw: RawObject<'a>,
}

/// An object with nothing read.
#[derive(Deserialize)]
struct RawObject<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

/// The one part of the metadata that may be larger than all the rest of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Managed<'a> {
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

impl Request<'_> {
    /// The kind as metrics name it: a closed set.
    #[must_use]
    pub fn kind_label(&self) -> &'static str {
        match (self.kind.group.as_str(), self.kind.kind.as_str()) {
            ("networking.k8s.io", "NetworkPolicy") => "NetworkPolicy",
            ("", "Namespace") => "Namespace",
            _ => "other",
        }
    }

    /// The operation as metrics name it: a closed set.
    #[must_use]
    pub fn operation_label(&self) -> &'static str {
        Operation::parse(&self.operation).map_or("other", Operation::as_str)
    }

    /// Reads as much of the objects as a verdict needs.
    #[must_use]
    pub fn task(&self) -> Task {
        if let Some(defect) = &self.defect {
            return cannot_judge(defect.clone());
        }
        if self.kind_label() == "other" {
            return Task::Admit(None);
        }
        if self.kind.version != "v1" {
            return cannot_judge(format!(
                "{} of version {} is not known here, only v1: set matchPolicy: Equivalent",
                self.kind_label(),
                shortened(&self.kind.version)
            ));
        }
        let Some(operation) = Operation::parse(&self.operation) else {
            return cannot_judge(format!("the operation {} is not known here", shortened(&self.operation)));
        };
        let wanted = if operation == Operation::Delete { None } else { self.object };
        let new = match (wanted.map(object).transpose(), operation) {
            (Err(error), _) => {
                return cannot_judge(format!("the object cannot be read: {}", shortened(&error.to_string())));
            }
            (Ok(None), Operation::Create | Operation::Update) => {
                return cannot_judge("the request carries no object");
            }
            (Ok(new), _) => new,
        };
        let stored = if operation == Operation::Create { None } else { self.old_object };
        // What is stored and cannot be read is no obstacle to changing or removing it.
        let old = stored.and_then(|raw| object(raw).ok());
        if self.kind_label() == "Namespace" {
            self.namespace_task(operation, old, new)
        } else {
            self.policy_task(operation, old.as_ref(), new.as_ref())
        }
    }

    /// What is said of an object that cannot be read: nothing where no entry is about such an object.
    #[must_use]
    pub fn unread(&self, object: Option<&ObjectRef>, reason: &str, bound: &Bound, origin: Origin) -> Report {
        if object.is_some_and(|object| !bound.concerns(object, self.operation_label(), origin)) {
            return Report::default();
        }
        Report::unjudged(None, object.cloned(), reason)
    }

    fn policy_task(&self, operation: Operation, old: Option<&Object<'_>>, new: Option<&Object<'_>>) -> Task {
        let subject = |old, new| {
            let named: Option<&Metadata> = new_or_old(&new, &old);
            let named = named.cloned().unwrap_or_default();
            Subject {
                operation,
                requester: self.user_info.clone(),
                name: named.name,
                namespace: named.namespace.unwrap_or_default(),
                change: Change::NetworkPolicy { old, new },
            }
        };
        let old_policy = old.and_then(|old| policy(old).ok());
        let Some(new) = new else { return Task::Judge(subject(old_policy, None)) };
        let leaving = new.metadata.deletion_timestamp.is_some();
        let same = old.filter(|old| same_spec(old, new));
        if leaving || same.is_some() {
            // Admitted whatever its spec says: an object on its way out must get out, and one whose spec
            // stays as it is makes nothing worse.
            let read = policy(new).ok().map(|read| subject(old_policy, Some(read)));
            return match read {
                Some(read) if !leaving && same.is_some_and(|old| relabelled(old, new)) => Task::JudgeMetadata(read),
                read => Task::Admit(read),
            };
        }
        match policy(new) {
            Ok(policy) => Task::Judge(subject(old_policy, Some(policy))),
            Err(reason) => Task::CannotJudge {
                object: Some(policy_ref(new.metadata.namespace.clone().unwrap_or_default(), new.metadata.name.clone())),
                reason,
            },
        }
    }

    fn namespace_task(&self, operation: Operation, old: Option<Object<'_>>, new: Option<Object<'_>>) -> Task {
        let metadata = |object: Option<Object<'_>>| object.map(|object| NamespaceObject { metadata: object.metadata });
        let (old, new) = (metadata(old), metadata(new));
        let name = new.as_ref().or(old.as_ref()).map(|object| object.metadata.name.clone()).unwrap_or_default();
        // One on its way out is no exception: its pods may run on for as long as they are given, and a
        // label can open a firewall to them. To get out it needs no other labels.
        let same = matches!((&old, &new), (Some(NamespaceObject { metadata: old }), Some(NamespaceObject { metadata: new }))
            if old.labels == new.labels && old.annotations == new.annotations);
        let subject = Subject {
            operation,
            requester: self.user_info.clone(),
            namespace: name.clone(),
            name,
            change: Change::Namespace { old, new },
        };
        if same { Task::Admit(Some(subject)) } else { Task::Judge(subject) }
    }
}

impl<'a> Object<'a> {
    fn managed_fields(&self) -> Option<&'a RawValue> {
        let Managed { managed_fields } = serde_json::from_str(self.raw.metadata?.get()).ok()?;
        managed_fields
    }
}

fn new_or_old<'a>(new: &'a Option<PolicyObject>, old: &'a Option<PolicyObject>) -> Option<&'a Metadata> {
    new.as_ref().or(old.as_ref()).map(|object| &object.metadata)
}

fn object(raw: &RawValue) -> Result<Object<'_>, serde_json::Error> {
    let raw: RawObject<'_> = serde_json::from_str(raw.get())?;
    let metadata = raw.metadata.map_or_else(|| Ok(Metadata::default()), |text| serde_json::from_str(text.get()))?;
    Ok(Object { metadata, raw })
}

/// Whether two specs say the same. The API server writes both in one way, so equal text is the rule.
fn same_spec(old: &Object<'_>, new: &Object<'_>) -> bool {
    match (old.raw.spec, new.raw.spec) {
        (None, None) => true,
        (Some(old), Some(new)) if old.get() == new.get() => true,
        (Some(old), Some(new)) => match (value(old), value(new)) {
            (Ok(old), Ok(new)) => old == new,
            _ => false,
        },
        _ => false,
    }
}

/// Whether labels or annotations are not what they were.
fn relabelled(old: &Object<'_>, new: &Object<'_>) -> bool {
    old.metadata.labels != new.metadata.labels || old.metadata.annotations != new.metadata.annotations
}

fn value(raw: &RawValue) -> Result<Value, String> {
    serde_json::from_str(raw.get()).map_err(|error| {
        // serde_json stops at 128 levels; no NetworkPolicy has ten.
        let what = if error.to_string().contains("recursion") { "is nested too deeply" } else { "is not valid JSON" };
        format!("the spec {what}: {}", shortened(&error.to_string()))
    })
}

fn policy(object: &Object<'_>) -> Result<PolicyObject, String> {
    let spec = object.raw.spec.map_or(Ok(Value::Null), value)?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    match NetworkPolicy::parse(namespace, &object.metadata.name, &spec) {
        Ok(policy) => {
            let written = Written::recovered(&object.metadata, object.managed_fields(), &policy.spec);
            Ok(PolicyObject { metadata: object.metadata.clone(), policy: Arc::new(policy), written })
        }
        Err(problems) => Err(told(&problems)),
    }
}

/// The first few problems, in one line.
fn told(problems: &[SpecProblem]) -> String {
    const TOLD: usize = 3;
    let mut lines: Vec<String> = problems.iter().take(TOLD).map(ToString::to_string).collect();
    if problems.len() > TOLD {
        lines.push(format!("and {} more", problems.len() - TOLD));
    }
    lines.join("; ")
}

#[cfg(test)]
mod tests;
