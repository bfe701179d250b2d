//! Questions as they are asked: on the command line, or as JSON lines.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{Found, Names};
use crate::config::nearest::nearest;
use crate::inventory::Inventory;
use crate::netpol::connectivity::{End, Question, World};
use crate::netpol::pod::{Pod, PodKind};
use crate::netpol::policy::Direction;
use crate::netpol::port_set::Protocol;
use crate::report::explain::{Connection, Told, Verdict};

#[cfg(test)]
mod tests;

/// Longest line that is read. A question with the longest names Kubernetes knows has about 2 KiB.
const MAX_LINE: u64 = 64 << 10;

/// A port as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Number(u16),
    Name(String),
}

/// What is asked, in the words of the one who asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) protocol: Option<Protocol>,
    pub(super) port: Option<Port>,
}

/// One line of a file of questions.
#[derive(Debug)]
pub(super) struct Line {
    /// As it was given; told back with the answer.
    pub(super) id: Option<Box<RawValue>>,
    /// The question, or why there is none.
    pub(super) asked: Result<Asked, String>,
}

/// A port on the command line.
pub(super) fn port(text: &str) -> Result<Port, String> {
    const RANGE: &str = "a port is a number from 1 to 65535, or a name";
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse::<u16>().ok().filter(|number| *number > 0);
        return number.map(Port::Number).ok_or_else(|| RANGE.to_owned());
    }
    // Source: API reference, `ContainerPort.name`: an IANA_SVC_NAME, of which dots and signs are no part.
    let is_name =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_name && !text.starts_with('-') { Ok(Port::Name(text.to_owned())) } else { Err(RANGE.to_owned()) }
}

/// A protocol on the command line, in any case.
pub(super) fn protocol(text: &str) -> Result<Protocol, String> {
    text.trim().to_uppercase().parse().map_err(|_| "the protocol must be TCP, UDP or SCTP".to_owned())
}

// ---- Lines -----------------------------------------------------------------------------------------------------------

/// The questions of a reader, one a line; empty lines are none. Holds one line at a time.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new() }
    }

    /// Whether the next line may have to be waited for.
    pub(super) fn get_ref(&self) -> &R {
        &self.reader
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        loop {
            self.buffer.clear();
            let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            let whole = self.buffer.ends_with(b"\n") || (read as u64) < MAX_LINE;
            let head = String::from_utf8_lossy(&self.buffer);
            if !whole {
                let line = Line { id: find_id(&head), asked: Err(format!("the line is longer than {MAX_LINE} bytes")) };
                self.reader.skip_until(b'\n')?;
                return Ok(Some(line));
            }
            let text = head.trim_start_matches('\u{feff}').trim();
            if !text.is_empty() {
                return Ok(Some(line(text)));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn line(text: &str) -> Line {
    let fields: HashMap<String, &RawValue> = match serde_json::from_str(text) {
        Ok(fields) => fields,
        Err(error) => return Line { id: find_id(text), asked: Err(format!("the line is no JSON object: {error}")) },
    };
    Line { id: fields.get("id").map(|id| (*id).to_owned()), asked: asked(&fields) }
}

fn asked(fields: &HashMap<String, &RawValue>) -> Result<Asked, String> {
    let text = |field: &str| match fields.get(field) {
        None => Err(format!("the question has no `{field}`")),
        Some(raw) => serde_json::from_str::<String>(raw.get()).map_err(|_| format!("`{field}` must be text")),
    };
    let protocol = match fields.get("protocol") {
        Some(raw) if raw.get() != "null" => protocol(&text("protocol")?)?,
        _ => Protocol::Tcp,
    };
    let written = fields.get("port").ok_or("the question has no `port`")?.get();
    let port = match serde_json::from_str::<String>(written) {
        Ok(text) => port(&text)?,
        // `80.0` and `8e1` are 80 to JSON.
        Err(_) => match serde_json::from_str::<f64>(written) {
            Ok(number) if number.fract() == 0.0 => port(&format!("{number:.0}"))?,
            _ => return Err("`port` must be a number from 1 to 65535, or a name".to_owned()),
        },
    };
    Ok(Asked { from: Some(text("from")?), to: Some(text("to")?), protocol: Some(protocol), port: Some(port) })
}

/// The id of a line that cannot be read as a whole.
fn find_id(text: &str) -> Option<Box<RawValue>> {
    let (_, rest) = text.split_once("\"id\"")?;
    let rest = rest.trim_start().strip_prefix(':')?;
    let raw = Box::<RawValue>::deserialize(&mut serde_json::Deserializer::from_str(rest)).ok()?;
    let scalar = !raw.get().starts_with(['{', '[']);
    scalar.then_some(raw)
}

// ---- Answers ---------------------------------------------------------------------------------------------------------

/// What there is to ask.
pub(super) struct Known<'w, 'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) world: &'w World<'a>,
    pub(super) names: Names<'w, 'a>,
}

impl<'a> Known<'_, 'a> {
    /// The answer to a question, be it that it cannot be asked.
    pub(super) fn answer(&self, asked: Result<&Asked, &String>) -> Told<'a> {
        let told = asked.map_err(Clone::clone).and_then(|asked| self.try_answer(asked));
        told.unwrap_or_else(|reason| Told::NotAsked { reason })
    }

    fn try_answer(&self, asked: &Asked) -> Result<Told<'a>, String> {
        let mut notes = Vec::new();
        let mut find = |name: &Option<String>| -> Result<Option<End<'a>>, String> {
            let Some(name) = name else { return Ok(None) };
            let Found { end, note } = self.names.find(name)?;
            notes.extend(note);
            notes.extend(self.only_mentioned(end));
            Ok(Some(end))
        };
        let (from, to) = (find(&asked.from)?, find(&asked.to)?);
        notes.dedup();
        if let (Some(End::Pod(from)), Some(End::Pod(to))) = (from, to)
            && from.is_same_object(to)
            && from.kind != PodKind::Pod
        {
            notes.push(format!("asked of two pods of {from}: a single Pod always reaches itself"));
        }
        match (from, to) {
            (Some(from), Some(to)) => {
                let mut connection = match &asked.port {
                    None => Connection::on_any_port(self.world, from, to, asked.protocol),
                    Some(port) => self.on_port(from, to, asked.protocol.unwrap_or(Protocol::Tcp), port)?,
                };
                notes.append(&mut connection.notes);
                connection.notes = notes;
                Ok(Told::Connection(Box::new(connection)))
            }
            (Some(end), None) => Ok(self.reach(end, Direction::Egress, notes)),
            (None, Some(end)) => Ok(self.reach(end, Direction::Ingress, notes)),
            (None, None) => Err("the question names no end".to_owned()),
        }
    }

    fn reach(&self, end: End<'a>, direction: Direction, notes: Vec<String>) -> Told<'a> {
        Told::Reach { end, direction, reach: self.world.reach(end, direction), notes }
    }

    /// A name may stand for several numbers, in several containers: all of them have to agree.
    fn on_port(&self, from: End<'a>, to: End<'a>, protocol: Protocol, port: &Port) -> Result<Connection<'a>, String> {
        let ask = |port| Connection::on_port(self.world, Question { from, to, protocol, port });
        let name = match port {
            Port::Number(number) => return Ok(ask(*number)),
            Port::Name(name) => name,
        };
        let End::Pod(pod) = to else {
            return Err(format!("the port `{name}` is a name, which an address gives to none: ask for a number"));
        };
        let mut called: Vec<u16> = numbers(pod, protocol, name).collect();
        called.dedup();
        let mut answers: Vec<Connection<'a>> = called.iter().map(|number| ask(*number)).collect();
        let listed = called.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let verdicts: Vec<Verdict> = answers.iter().map(Connection::verdict).collect();
        if verdicts.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("{pod} calls {listed} `{name}`, and the answers differ: ask for one of them"));
        }
        if answers.is_empty() {
            return Err(no_such_port(pod, protocol, name));
        }
        let mut first = answers.swap_remove(0);
        first.notes.push(format!("{pod} calls {protocol}/{listed} `{name}`"));
        Ok(first)
    }

    /// A namespace that no manifest describes has the labels that every namespace has.
    fn only_mentioned(&self, end: End<'_>) -> Option<String> {
        let End::Pod(Pod { namespace, .. }) = end else { return None };
        let known = self.inventory.namespace(namespace).known;
        (!known).then(|| {
            format!("no manifest describes the namespace {namespace}: it is taken to have no label but its name")
        })
    }
}

fn numbers<'p>(pod: &'p Pod, protocol: Protocol, name: &'p str) -> impl Iterator<Item = u16> + 'p {
    pod.ports.iter().filter(move |port| port.protocol == protocol && port.name == name).map(|port| port.number)
}

fn no_such_port(pod: &Pod, protocol: Protocol, name: &str) -> String {
    let other = Protocol::ALL.into_iter().find(|other| numbers(pod, *other, name).next().is_some());
    if let Some(other) = other {
        return format!("{pod} gives the name `{name}` to a port of {other}, and to none of {protocol}");
    }
    let names: Vec<&str> = pod.ports.iter().map(|port| port.name.as_str()).collect();
    let perhaps = match (nearest(name, names.iter().copied()), &names[..]) {
        (Some(near), _) => format!("; did you mean `{near}`?"),
        (None, []) => "; none of its ports has a name".to_owned(),
        (None, names) => format!("; there are {}", names.join(", ")),
    };
    format!("{pod} gives no port the name `{name}`{perhaps}")
}
