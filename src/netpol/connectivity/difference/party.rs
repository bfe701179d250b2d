//! Who stands at the ends of a row, as data and as text.

use std::fmt;
use std::sync::Arc;

use crate::netpol::ip_set::IpSet;
use crate::netpol::port_set::PortSet;
use crate::netpol::selector::Selector;

/// How many names or blocks a text lists before it counts the rest.
const LISTED: usize = 4;

/// One end of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// Addresses outside the cluster.
    Addresses(IpSet),
    /// Pods.
    Pods(Pods),
}

/// Some pods, each of them a member, and how to say so in few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pods {
    /// What the text says; together exactly the members.
    pub terms: Vec<Term>,
    /// All of them, sorted.
    pub members: Arc<[Arc<Member>]>,
}

/// One part of what pods are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// All pods of all namespaces but these, assumed ones included.
    Everywhere {
        /// Which are left out, sorted.
        but: Vec<Namespace>,
    },
    /// All pods of these namespaces that the selector selects.
    Selected {
        /// Which of them; `{}` for all.
        selector: Selector,
        /// Where, sorted.
        namespaces: Vec<Namespace>,
    },
    /// One member.
    Single(Arc<Member>),
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// One that the manifests name.
    Named(String),
    /// Any other whose labels are selected: a policy speaks of such, and no manifest has one.
    Assumed(Selector),
}

/// Pods that are alike to policies, as far as manifests tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Where.
    pub namespace: Namespace,
    /// Who.
    pub who: Who,
    /// When.
    pub presence: Presence,
}

/// The name of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A Pod, or any pod of a workload; of any kind, since a Pod tells what controls it.
    Workload {
        /// `Pod` or the kind of the workload.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A pod that no manifest has: whichever the selector selects and nothing else tells apart.
    Assumed(Selector),
    /// A pod that no manifest has and none of the selectors that name the others selects.
    Other,
}

/// Which of the two worlds has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// Both.
    Both,
    /// The later one alone.
    New,
    /// The earlier one alone.
    Gone,
}

impl Presence {
    /// A word for it, where it needs one.
    #[must_use]
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Both => None,
            Self::New => Some("new"),
            Self::Gone => Some("gone"),
        }
    }
}

impl Party {
    /// Whether some member is an address or lies in another namespace than this one.
    #[must_use]
    pub fn is_outside(&self, namespace: &str) -> bool {
        match self {
            Self::Addresses(_) => true,
            Self::Pods(pods) => pods.members.iter().any(|member| !member.namespace.is(namespace)),
        }
    }
}

impl Namespace {
    fn is(&self, name: &str) -> bool {
        matches!(self, Self::Named(own) if own == name)
    }
}

impl Pods {
    /// Whether all members are in one of the worlds alone, and in which.
    #[must_use]
    pub fn presence(&self) -> Presence {
        let first = self.members.first().map_or(Presence::Both, |member| member.presence);
        if self.members.iter().all(|member| member.presence == first) { first } else { Presence::Both }
    }
}

/// `a`, `any other namespace`, `any namespace with team=x`.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Assumed(selector) if selector.requirements().is_empty() => f.write_str("any other namespace"),
            Self::Assumed(selector) => write!(f, "any namespace with {selector}"),
        }
    }
}

/// `a/web`, `a/Deployment/web`, `any pod of b with app=db`, `any other pod of b`.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, who, .. } = self;
        match who {
            Who::Workload { kind, name } if kind == "Pod" => write!(f, "{namespace}/{name}"),
            Who::Workload { kind, name } => write!(f, "{namespace}/{kind}/{name}"),
            Who::Other => write!(f, "any other pod of {namespace}"),
            Who::Assumed(selector) => selected(f, "any pod", selector, std::slice::from_ref(namespace)),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere { but } if but.is_empty() => f.write_str("any pod of any namespace"),
            Self::Everywhere { but } => write!(f, "any pod of any namespace but {}", Few(but)),
            Self::Selected { selector, namespaces } => selected(f, "all pods", selector, namespaces),
            Self::Single(member) => member.fmt(f),
        }
    }
}

/// As a person would say it; long lists are cut short, and the members are complete.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) => f.write_str(&addresses_text(addresses)),
            Self::Pods(pods) => {
                Few(&pods.terms).fmt(f)?;
                pods.presence().word().map_or(Ok(()), |word| write!(f, " ({word})"))
            }
        }
    }
}

fn selected(f: &mut fmt::Formatter<'_>, who: &str, selector: &Selector, of: &[Namespace]) -> fmt::Result {
    let everything = selector.requirements().is_empty();
    match of {
        [namespace] if everything => write!(f, "{who} of {namespace}"),
        [Namespace::Named(name)] => write!(f, "{who} of {name} with {selector}"),
        [namespace] => write!(f, "{who} with {selector} of {namespace}"),
        _ if everything => write!(f, "{who} of {} namespaces: {}", of.len(), Few(of)),
        _ => write!(f, "{who} with {selector} of {} namespaces: {}", of.len(), Few(of)),
    }
}

/// The first of a list and how many more there are.
struct Few<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Few<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cutting one off would save nothing.
        let shown = if self.0.len() <= LISTED + 1 { self.0.len() } else { LISTED };
        for (index, item) in self.0.iter().take(shown).enumerate() {
            write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
        }
        if shown < self.0.len() {
            write!(f, " and {} more", self.0.len() - shown)?;
        }
        Ok(())
    }
}

/// The first of a list and how many more there are.
pub(super) fn few(items: &[String]) -> String {
    Few(items).to_string()
}

fn addresses_text(addresses: &IpSet) -> String {
    if addresses.is_all() {
        return "any address".to_owned();
    }
    let families = [(IpSet::v4_all(), "0.0.0.0/0"), (IpSet::v6_all(), "::/0")];
    let text = |(family, whole): (IpSet, &str)| {
        let blocks = addresses.intersection(&family).cidrs();
        let except = family.difference(addresses).cidrs();
        match (blocks.is_empty(), !except.is_empty() && except.len() < blocks.len()) {
            (true, _) => None,
            (_, false) => Some(Few(&blocks).to_string()),
            _ => Some(format!("{whole} except {}", Few(&except))),
        }
    };
    let texts: Vec<String> = families.into_iter().filter_map(text).collect();
    texts.join("; ")
}

/// Ports as a person would say it: what is left out, where that is shorter; long lists are cut short.
#[must_use]
pub fn ports_text(ports: &PortSet) -> String {
    let items = ports.items();
    let except = PortSet::all().difference(ports).items();
    if ports.is_all() {
        "all ports".to_owned()
    } else if except.len() < items.len() {
        format!("all ports except {}", Few(&except))
    } else {
        Few(&items).to_string()
    }
}
