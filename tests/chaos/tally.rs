//! What the requests of the load came to, and whether that was right at that time.

use std::time::{Duration, Instant};

/// What is asked, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A harmless policy where there is a default deny.
    Fine,
    /// A policy that reaches a private range.
    Leaky,
    /// A harmless policy where there is no default deny.
    Bare,
    /// A label of a namespace that anybody may change.
    Label,
    /// One that is protected.
    ProtectedLabel,
    /// `Bare`, asked of the webhook itself over a connection made for it.
    Direct,
}

impl Kind {
    pub(crate) const THROUGH_THE_API: [Self; 5] =
        [Self::Fine, Self::Leaky, Self::Bare, Self::Label, Self::ProtectedLabel];
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passed; with a warning by that rule, if any.
    Allowed(Option<&'static str>),
    /// Denied by that rule.
    Denied(&'static str),
    /// No verdict: an error, a time-out, `cannot judge`.
    None(String),
}

/// A request that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) verdict: Verdict,
}

/// What the rule set says of [`Kind::Leaky`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaks {
    Denied,
    Warned,
    /// While a new rule set is on its way to the replicas.
    Either,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Span {
    fn touches(&self, from: Instant, to: Instant) -> bool {
        from <= self.to && self.from <= to
    }
}

/// What a fault did to the load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) requests: usize,
    pub(crate) wrong: usize,
    /// Without a verdict, while nothing was away that is needed for one.
    pub(crate) failed: usize,
    /// Without a verdict, while the API server or etcd was away.
    pub(crate) failed_away: usize,
    /// The longest time without a right answer.
    pub(crate) gap: Duration,
    /// The first of what was not right.
    pub(crate) examples: Vec<String>,
}

/// Adds up the records that began in `phase`. `leaks` says since when what is right; the first entry is as old as the load.
pub(crate) fn sum(records: &[Record], phase: Span, away: Option<Span>, leaks: &[(Instant, Leaks)]) -> Sum {
    let mut sum = Sum::default();
    let mut right = vec![phase.from];
    for record in records.iter().filter(|record| phase.from <= record.begin && record.begin < phase.to) {
        sum.requests += 1;
        let example = match &record.verdict {
            Verdict::None(_) if away.is_some_and(|away| away.touches(record.begin, record.end)) => {
                sum.failed_away += 1;
                continue;
            }
            Verdict::None(_) => {
                sum.failed += 1;
                true
            }
            verdict if is_right(record, verdict, leaks) => {
                right.push(record.end);
                false
            }
            _ => {
                sum.wrong += 1;
                true
            }
        };
        if example && sum.examples.len() < 5 {
            let at = record.begin.duration_since(phase.from);
            sum.examples.push(format!("after {at:?}: {:?}: {:?}", record.kind, record.verdict));
        }
    }
    right.push(phase.to);
    right.sort_unstable();
    sum.gap = right.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    sum
}

fn is_right(record: &Record, verdict: &Verdict, leaks: &[(Instant, Leaks)]) -> bool {
    match record.kind {
        Kind::Fine | Kind::Label => *verdict == Verdict::Allowed(None),
        Kind::Bare | Kind::Direct => *verdict == Verdict::Denied("missing-default-deny"),
        Kind::ProtectedLabel => *verdict == Verdict::Denied("protected-namespace-labels"),
        Kind::Leaky => {
            let at_the_time = leaks.iter().enumerate().filter(|(index, (since, _))| {
                let until = leaks.get(index + 1).map(|(next, _)| *next);
                *since <= record.end && until.is_none_or(|until| record.begin <= until)
            });
            let denied = *verdict == Verdict::Denied("egress-private-cidr");
            let warned = *verdict == Verdict::Allowed(Some("egress-private-cidr"));
            at_the_time.map(|(_, (_, leaks))| leaks).any(|leaks| match leaks {
                Leaks::Denied => denied,
                Leaks::Warned => warned,
                Leaks::Either => denied || warned,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: Verdict = Verdict::Denied("egress-private-cidr");
    const WARNED: Verdict = Verdict::Allowed(Some("egress-private-cidr"));

    /// Sums up leaky requests, each of 10 ms, in a phase of one second, with 200 ms to 400 ms away and a change to
    /// `Warned` between 500 ms and 600 ms.
    fn of(requests: &[(u64, Verdict)]) -> Sum {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let record = |(begin, verdict): &(u64, Verdict)| Record {
            kind: Kind::Leaky,
            begin: at(*begin),
            end: at(begin + 10),
            verdict: verdict.clone(),
        };
        let records: Vec<Record> = requests.iter().map(record).collect();
        let leaks = [(start, Leaks::Denied), (at(500), Leaks::Either), (at(600), Leaks::Warned)];
        let mut sum =
            sum(&records, Span { from: start, to: at(1000) }, Some(Span { from: at(200), to: at(400) }), &leaks);
        sum.examples.clear();
        sum
    }

    #[test]
    fn a_verdict_is_right_or_wrong_by_the_time() {
        let none = || Verdict::None("500".to_owned());
        let sum = of(&[(10, DENIED), (300, none()), (410, none()), (450, WARNED), (550, DENIED), (560, WARNED)]);
        assert_eq!((sum.requests, sum.wrong, sum.failed, sum.failed_away), (6, 1, 1, 1));
        assert_eq!(of(&[(595, DENIED), (700, DENIED), (800, WARNED), (900, Verdict::Allowed(None))]).wrong, 2);
        // It began while nothing was away, and ended when something was.
        assert_eq!(of(&[(195, none())]).failed_away, 1);
        assert_eq!(of(&[(1000, none())]).requests, 0);
    }

    #[test]
    fn the_gap_is_between_right_answers_and_the_ends_of_the_phase() {
        assert_eq!(of(&[]).gap, Duration::from_secs(1));
        assert_eq!(of(&[(90, DENIED), (390, DENIED), (600, DENIED), (790, WARNED)]).gap, Duration::from_millis(300));
        assert_eq!(of(&[(390, DENIED), (690, DENIED), (700, WARNED)]).gap, Duration::from_millis(400));
    }
}
