//! What the rules about Namespaces share: which labels a request changes, who may, and how that is told.

use std::collections::BTreeSet;
use std::fmt;

use super::{Context, ParamError};
use crate::inventory::METADATA_NAME;
use crate::netpol::policy::is_label_key;
use crate::object::{Metadata, Subjects};

/// A label that is not what it was. At most one of the values is absent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LabelChange<'a> {
    pub(super) key: &'a str,
    pub(super) old: Option<&'a str>,
    pub(super) new: Option<&'a str>,
}

impl LabelChange<'_> {
    pub(super) fn field(&self) -> String {
        format!("metadata.labels[{}]", self.key)
    }

    /// What is done to it, as in "may not set it".
    pub(super) const fn verb(&self) -> &'static str {
        match (self.old, self.new) {
            (None, _) => "set",
            (Some(_), Some(_)) => "change",
            (Some(_), None) => "remove",
        }
    }
}

/// As in "dev sets …".
impl fmt::Display for LabelChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.old, self.new) {
            (Some(old), Some(new)) => write!(f, "changes label {} from {old:?} to {new:?}", self.key),
            (Some(old), None) => write!(f, "removes label {}, which was {old:?}", self.key),
            (None, new) => write!(f, "sets label {} to {:?}", self.key, new.unwrap_or_default()),
        }
    }
}

/// The labels that the request changes on a Namespace; all of them at its CREATE, none at its DELETE.
///
/// Where an UPDATE's old object could not be read, all count as set: a guard does not wave through
/// what it cannot compare.
pub(super) fn label_changes<'a>(cx: &Context<'a>) -> Vec<LabelChange<'a>> {
    let Some((old, Some(new))) = cx.namespace() else { return Vec::new() };
    let value = |metadata: Option<&'a Metadata>, key: &str| {
        metadata.and_then(|metadata| metadata.labels.get(key)).map(String::as_str)
    };
    let keys: BTreeSet<&str> =
        old.iter().chain([&new]).flat_map(|metadata| metadata.labels.keys()).map(String::as_str).collect();
    keys.into_iter()
        .map(|key| LabelChange { key, old: value(old, key), new: value(Some(new), key) })
        .filter(|change| change.old != change.new)
        // The API server sets it, whoever asks.
        .filter(|change| !(change.key == METADATA_NAME && change.new == Some(new.name.as_str())))
        .collect()
}

/// The requester, for a message.
pub(super) fn requester<'a>(cx: &Context<'a>) -> &'a str {
    match cx.subject.requester.username.as_str() {
        "" => "somebody without a name",
        name => name,
    }
}

/// Who may, for the repair.
pub(super) fn who_may(subjects: &Subjects) -> String {
    let said = |what: &'static str, names: &[String]| {
        names.iter().map(|name| format!("{what} {name}")).collect::<Vec<String>>()
    };
    let all = [
        said("user", &subjects.users),
        said("group", &subjects.groups),
        said("service account", &subjects.service_accounts),
    ]
    .concat();
    if all.is_empty() {
        "nobody may".to_owned()
    } else {
        format!("only {} may", super::some_of(all.iter(), super::SHOWN))
    }
}

/// Holds requesters to a form in which they can occur.
pub(super) fn check_subjects(param: &str, subjects: &Subjects) -> Result<(), ParamError> {
    for (list, names) in [("users", &subjects.users), ("groups", &subjects.groups)] {
        if let Some(i) = names.iter().position(String::is_empty) {
            return Err(ParamError::at(&format!("{param}.{list}[{i}]"), "must not be empty"));
        }
    }
    for (i, account) in subjects.service_accounts.iter().enumerate() {
        let whole = account.split_once('/').is_some_and(|(namespace, name)| {
            !namespace.is_empty()
                && !name.is_empty()
                && !namespace.contains('*')
                && (name == "*" || !name.contains('*'))
        });
        if !whole {
            let message = format!("`{account}` must be NAMESPACE/NAME, or NAMESPACE/* for all of a namespace");
            return Err(ParamError::at(&format!("{param}.serviceAccounts[{i}]"), message));
        }
    }
    Ok(())
}

/// Holds a key to a form in which it can occur.
pub(super) fn check_key(param: &str, key: &str) -> Result<(), ParamError> {
    if is_label_key(key) {
        return Ok(());
    }
    Err(ParamError::at(param, format!("`{key}` is not the key of a label: write NAME or DOMAIN/NAME")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn subjects(users: &[&str], accounts: &[&str]) -> Subjects {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Subjects { users: owned(users), groups: Vec::new(), service_accounts: owned(accounts) }
    }

    #[rstest]
    #[case::fine(subjects(&["a"], &["ci/deployer", "ci/*"]), None)]
    #[case::nobody(subjects(&[], &[]), None)]
    #[case::no_name(subjects(&["a", ""], &[]), Some("subjects.users[1]"))]
    #[case::no_namespace(subjects(&[], &["ci/a", "deployer"]), Some("subjects.serviceAccounts[1]"))]
    #[case::empty_namespace(subjects(&[], &["/deployer"]), Some("subjects.serviceAccounts[0]"))]
    #[case::every_namespace(subjects(&[], &["*/deployer"]), Some("subjects.serviceAccounts[0]"))]
    #[case::part_of_a_name(subjects(&[], &["ci/dep*"]), Some("subjects.serviceAccounts[0]"))]
    fn requesters_have_a_form(#[case] subjects: Subjects, #[case] wrong: Option<&str>) {
        let error = check_subjects("subjects", &subjects).err();
        assert_eq!(error.as_ref().map(|error| error.param.as_str()), wrong);
    }

    #[test]
    fn those_who_may_are_named() {
        assert_eq!(who_may(&Subjects::default()), "nobody may");
        assert_eq!(who_may(&subjects(&["a"], &["ci/*"])), "only user a, service account ci/* may");
    }

    #[test]
    fn keys_have_a_form() {
        for key in ["team", "a.example.com/team", "A_b.c-d"] {
            assert_eq!(check_key("key", key), Ok(()), "{key}");
        }
        for key in ["", "a/", "/a", "a b", "-a", "a/b/c", "Example.com/a"] {
            assert!(check_key("key", key).is_err(), "{key}");
        }
    }
}
