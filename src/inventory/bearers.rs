//! Which namespaces bear a label: an index, so that what a namespaceSelector selects is found without a scan.

use crate::netpol::selector::{Labels, Operator, Requirement, Selector};

/// Namespaces by the labels they bear: key, value, name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bearers(imbl::OrdSet<(String, String, String)>);

impl Bearers {
    /// Takes in that a namespace no longer bears `old`.
    pub(super) fn replace(&mut self, namespace: &str, old: &Labels, new: &Labels) {
        let entry = |(key, value): (&String, &String)| (key.clone(), value.clone(), namespace.to_owned());
        for label in old.iter().filter(|(key, value)| new.get(*key) != Some(value)) {
            self.0.remove(&entry(label));
        }
        for label in new.iter().filter(|(key, value)| old.get(*key) != Some(value)) {
            self.0.insert(entry(label));
        }
    }

    /// The namespaces that meet the requirement of a selector which the fewest meet, up to `most` of them. `None` where
    /// more do, or where the selector asks for no label, so that nearly every namespace may be meant.
    pub(super) fn candidates<'a>(&'a self, selector: &'a Selector, most: usize) -> Option<Vec<&'a str>> {
        let lists = selector.requirements().iter().filter_map(|requirement| {
            let names: Vec<&str> = self.bearing(requirement)?.take(most + 1).collect();
            (names.len() <= most).then_some(names)
        });
        lists.min_by_key(Vec::len)
    }

    /// The namespaces that meet a requirement by bearing a label, `None` where it can be met without.
    fn bearing<'a>(&'a self, requirement: &'a Requirement) -> Option<Box<dyn Iterator<Item = &'a str> + 'a>> {
        let Requirement { key, operator, values } = requirement;
        match operator {
            Operator::In => Some(Box::new(values.iter().flat_map(move |value| {
                let first = (key.clone(), value.clone(), String::new());
                let all = self.0.range(first..).take_while(move |(k, v, _)| k == key && v == value);
                all.map(|(_, _, name)| name.as_str())
            }))),
            Operator::Exists => {
                let all = self.0.range((key.clone(), String::new(), String::new())..);
                Some(Box::new(all.take_while(move |(k, _, _)| k == key).map(|(_, _, name)| name.as_str())))
            }
            Operator::NotIn | Operator::DoesNotExist => None,
        }
    }
}

#[cfg(test)]
mod tests;
