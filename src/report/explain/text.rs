//! For people: the verdict first, then each end, then what would let the connection pass.
//!
//! ```text
//! deny: a/web to b/db on TCP/5432
//!   no rule of b/default-deny lets a/web in to b/db on TCP/5432
//!
//! from a/web (egress)
//!   not isolated: no policy selects it for egress
//! to b/db (ingress)
//!   isolated by b/default-deny
//!   allowed by none: there is no rule for ingress
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Connection, Port, Told, Verdict, name, reach_verdict, reach_why, yaml};
use crate::netpol::connectivity::reach::{Lack, Miss, Pods, Reach};
use crate::netpol::connectivity::{End, Outcome, Side, World};
use crate::netpol::ip_set::IpSet;
use crate::netpol::pod::{Pod, PodKind};
use crate::netpol::policy::{Direction, NetworkPolicy};
use crate::netpol::port_set::PortSet;
use crate::report::text::{BOLD, GREEN, MAGENTA, PLAIN, RED, clean};

/// How many rules that nearly fit, pods, or blocks are named at a time.
const SHOWN: usize = 8;

/// One answer as text, with colours or without.
#[must_use]
pub fn render(told: &Told<'_>, world: &World<'_>, coloured: bool) -> String {
    match told {
        Told::Connection(connection) => of_connection(connection, world, coloured),
        Told::Reach { end, direction, reach, notes } => of_reach(*end, *direction, reach, notes, coloured),
        Told::NotAsked { reason } => headed(Verdict::Unknown, "not a question that can be answered", reason, coloured),
    }
}

fn headed(verdict: Verdict, what: &str, why: &str, coloured: bool) -> String {
    let paint = |code| if coloured { code } else { "" };
    let (colour, word) = match verdict {
        Verdict::Allow => (GREEN, "allow"),
        Verdict::Deny => (RED, "deny"),
        Verdict::Unknown => (MAGENTA, "unknown"),
    };
    let [colour, bold, plain] = [colour, BOLD, PLAIN].map(paint);
    format!("{colour}{word}{plain}{bold}: {}{plain}\n  {}\n", clean(what), clean(why))
}

fn of_connection(connection: &Connection<'_>, world: &World<'_>, coloured: bool) -> String {
    let Connection { from, to, port, answer, passing, notes, .. } = connection;
    let to = match (from, to) {
        (End::Pod(from), End::Pod(to)) if from.is_same_object(to) && from.kind == PodKind::Pod => "itself".to_owned(),
        (End::Pod(from), End::Pod(to)) if from.is_same_object(to) => "another of its pods".to_owned(),
        _ => to.to_string(),
    };
    let what = match passing {
        Some(ports) => format!("{from} to {to} on {}", shown(&ports.items(), &ports.to_string())),
        None => format!("{from} to {to}{}", Port(*port)),
    };
    let mut text = headed(connection.verdict(), &what, &connection.why(), coloured);
    let without_policies = matches!(answer.outcome, Outcome::HostNetwork(_) | Outcome::Itself);
    if !without_policies {
        text.push('\n');
        let mut lines = Vec::new();
        for (end, side, direction, other) in connection.sides() {
            of_side(connection, world, (end, side, direction, other), &mut lines);
        }
        lines.iter().for_each(|line| write_line(&mut text, line));
    }
    write_notes(&mut text, notes);
    let repairs = connection.repairs(world);
    if !repairs.is_empty() {
        text.push_str("\nTo let it pass, add what follows; it isolates no pod that is not isolated already.\n");
        let told: Vec<String> = repairs.iter().map(|policy| repair(connection, policy)).collect();
        let _ = write!(text, "\n{}", told.join("---\n"));
    }
    text
}

type Sided<'s, 'a> = (End<'a>, &'s Side<'a>, Direction, End<'a>);

fn of_side<'a>(
    connection: &Connection<'a>,
    world: &World<'a>,
    (end, side, direction, other): Sided<'_, 'a>,
    lines: &mut Vec<String>,
) {
    let way = if direction == Direction::Egress { "from" } else { "to" };
    lines.push(format!("{way} {end} ({})", direction.field()));
    if let End::Address(_) = end {
        lines.push("  an address: no policy governs this end".to_owned());
        return;
    }
    if side.isolated_by.is_empty() {
        lines.push(format!("  not isolated: no policy selects it for {}", direction.field()));
        return;
    }
    let names = side.isolated_by.iter().map(|policy| name(policy)).collect::<Vec<_>>();
    lines.push(format!("  isolated by {}", names.join(", ")));
    if !side.allowed_by.is_empty() {
        let rules = side.allowed_by.iter().map(ToString::to_string).collect::<Vec<_>>();
        lines.push(format!("  allowed by {}", rules.join(", ")));
        return;
    }
    let on = Port(connection.port);
    if side.isolated_by.iter().all(|policy| policy.spec.rules(direction).is_empty()) {
        lines.push(format!("  allowed by none: there is no rule for {}", direction.field()));
        return;
    }
    lines.push(format!("  allowed by none: no rule has {other} among its peers{on}"));
    let called = connection.to;
    let holds = |ports: &PortSet| called.numbers(ports).intersects(&connection.wanted);
    let misses: Vec<Miss<'_>> = world.misses(side, direction, other, holds).collect();
    for Miss { rule, lacks } in misses.iter().take(SHOWN) {
        lines.push(match lacks {
            Lack::Port => format!("    {rule} has {other} among its peers, but not the port"),
            Lack::Peer => format!("    {rule} has the port, but not {other} among its peers"),
        });
    }
    if misses.len() > SHOWN {
        lines.push(format!("    and {} more rules have one of the two", misses.len() - SHOWN));
    }
}

/// A policy with a comment that says what for.
fn repair(connection: &Connection<'_>, policy: &NetworkPolicy) -> String {
    let Connection { from, to, port, .. } = connection;
    let way = if policy.spec.isolates_egress { "out" } else { "in" };
    let mut text = format!("# Lets {from} {way} to {to}{}.\n", Port(*port));
    let unlabelled = [from, to].into_iter().filter_map(|end| match end {
        End::Pod(pod) if pod.labels.is_empty() => Some(pod),
        End::Pod(_) | End::Address(_) => None,
    });
    for pod in unlabelled {
        let _ = writeln!(text, "# {pod} has no labels: what stands for it means every pod of {}.", pod.namespace);
    }
    text = text.lines().map(|line| clean(line) + "\n").collect();
    text + &yaml::render(policy)
}

fn of_reach(end: End<'_>, direction: Direction, reach: &Reach<'_>, notes: &[String], coloured: bool) -> String {
    let what = match direction {
        Direction::Egress => format!("what {end} may reach"),
        Direction::Ingress => format!("what may reach {end}"),
    };
    let mut text = headed(reach_verdict(reach), &what, &reach_why(end, direction, reach), coloured);
    text.push('\n');
    if let End::Pod(pod) = end
        && !pod.host_network
    {
        let names = reach.isolated_by.iter().map(|policy| name(policy)).collect::<Vec<_>>().join(", ");
        let isolated = match names.as_str() {
            "" => format!("not isolated: no policy selects it for {}", direction.field()),
            names => format!("isolated for {} by {names}", direction.field()),
        };
        write_line(&mut text, &isolated);
    }
    let sure = if reach.doubt.is_some() { "surely " } else { "" };
    for (namespaces, which, ports) in by_namespaces(&reach.pods) {
        let s = if namespaces.len() == 1 { "" } else { "s" };
        let listed = shown(&namespaces, &namespaces.join(", "));
        write_line(&mut text, &format!("  {sure}namespace{s} {listed}: {which} on {ports}"));
    }
    for (set, ports) in &reach.addresses {
        let ports = shown(&ports.items(), &ports.to_string());
        write_line(&mut text, &format!("  {sure}{} on {ports}", addresses(set)));
    }
    if reach.untold > 0 {
        write_line(
            &mut text,
            &format!("  more addresses, on {} other sets of ports: too many to be told apart", reach.untold),
        );
    }
    if !reach.unsettled.is_empty() {
        let names: Vec<String> = reach.unsettled.iter().map(|(pod, outcome)| unsettled(pod, outcome)).collect();
        write_line(&mut text, &format!("  not known: {}", shown(&names, &names.join(", "))));
    }
    write_notes(&mut text, notes);
    text
}

/// Namespaces of which the same is to be said are told together: their names, which pods, which ports.
fn by_namespaces(groups: &[Pods<'_>]) -> Vec<(Vec<String>, String, String)> {
    let mut told: Vec<(Vec<String>, String, String)> = Vec::new();
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    for group in groups {
        let which = (pods(group), shown(&group.ports.items(), &group.ports.to_string()));
        let place = *places.entry(which.clone()).or_insert(told.len());
        match told.get_mut(place) {
            Some((namespaces, ..)) => namespaces.push(group.namespace.to_owned()),
            None => told.push((vec![group.namespace.to_owned()], which.0, which.1)),
        }
    }
    told
}

fn pods(group: &Pods<'_>) -> String {
    if group.all && group.pods.len() > 1 {
        return format!("all {} pods and workloads", group.pods.len());
    }
    let named = |(name, count): (String, usize)| if count == 1 { name } else { format!("{name} ({count} pods)") };
    let names: Vec<String> = group.folded().into_iter().map(named).collect();
    shown(&names, &names.join(", "))
}

fn unsettled(pod: &Pod, outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Unread { namespace, policy, .. } => {
            format!("{pod} (the policy {namespace}/{policy} could not be read)")
        }
        _ => format!("{pod} (hostNetwork)"),
    }
}

/// The blocks of a set, or those it lacks where they are fewer; each family by itself.
fn addresses(set: &IpSet) -> String {
    if set.is_all() {
        return "every address outside the cluster".to_owned();
    }
    let listed = |set: &IpSet| {
        let blocks: Vec<String> = set.cidrs().iter().map(ToString::to_string).collect();
        shown(&blocks, &blocks.join(", "))
    };
    let family = |(name, whole): (&str, IpSet)| {
        let (held, lacking) = (set.intersection(&whole), whole.difference(set));
        if held.is_empty() {
            None
        } else if lacking.is_empty() {
            Some(format!("every {name} address"))
        } else if lacking.cidrs().len() < held.cidrs().len() {
            Some(format!("every {name} address but {}", listed(&lacking)))
        } else {
            Some(listed(&held))
        }
    };
    let families = [("IPv4", IpSet::v4_all()), ("IPv6", IpSet::v6_all())];
    families.into_iter().filter_map(family).collect::<Vec<_>>().join("; ")
}

/// `whole`, unless there are too many items to be read.
fn shown(items: &[String], whole: &str) -> String {
    match items.get(..SHOWN) {
        Some(first) if items.len() > SHOWN => format!("{} and {} more", first.join(", "), items.len() - SHOWN),
        _ => whole.to_owned(),
    }
}

fn write_notes(text: &mut String, notes: &[String]) {
    for note in notes {
        write_line(text, &format!("note: {note}"));
    }
}

fn write_line(text: &mut String, line: &str) {
    text.push_str(&clean(line));
    text.push('\n');
}
