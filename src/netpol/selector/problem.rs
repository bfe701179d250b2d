//! The question of [`super::cover`] in numbers: rows are selectors, columns are keys.

use std::collections::HashMap;

use super::cover::Budget;
use super::domain::Domain;
use super::{Labels, Selector};

/// What a selector asks of one key.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    pub(super) column: usize,
    /// Passes objects without the key.
    pub(super) absent: bool,
    /// Passes every value but `values`; otherwise none but `values`.
    pub(super) others: bool,
    /// Indices into the column's values, ascending.
    pub(super) values: Vec<usize>,
}

/// One key, as far as the covering selectors tell its values apart.
#[derive(Debug)]
pub(super) struct Column<'a> {
    key: &'a str,
    /// What `within` lets through.
    room: Domain<'a>,
    /// The values in the room that a selector names.
    pub(super) values: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
    /// A value in the room that no selector names, if there is one. It stands for all such values.
    spare: Option<String>,
}

impl Column<'_> {
    /// Whether an object may be without the key.
    pub(super) fn may_be_absent(&self) -> bool {
        self.room.absent
    }

    /// Whether there is a value no selector names.
    pub(super) fn has_spare(&self) -> bool {
        self.spare.is_some()
    }
}

/// What the witness has of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The key is not there.
    Absent,
    /// The column's value of this index.
    Value(usize),
    /// The value that no selector names.
    Spare,
}

/// The rows and columns. A row holds a term for each key on which its selector excludes something that `within`
/// allows; so a witness is a choice for each column that fails a term of each row.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    pub(super) columns: Vec<Column<'a>>,
    /// Sorted and distinct; none is empty, and no two terms of a row are of the same column.
    pub(super) rows: Vec<Vec<Term>>,
    plainest: Labels,
}

/// What reading the selectors comes to.
#[derive(Debug)]
pub(super) enum Setup<'a> {
    /// Nothing to cover, or one selector covers it alone.
    Covered,
    Open(Problem<'a>),
}

impl<'a> Problem<'a> {
    /// Reads the selectors; `None` when they are more than the budget.
    pub(super) fn read(within: &'a Selector, covers: &[&'a Selector], budget: &mut Budget) -> Option<Setup<'a>> {
        budget.spend(size(within))?;
        let rooms: HashMap<&str, Domain<'a>> = within.domains().into_iter().collect();
        if rooms.values().any(Domain::is_empty) {
            return Some(Setup::Covered);
        }
        let mut columns: Vec<Column<'a>> = Vec::new();
        let mut column_of: HashMap<&str, usize> = HashMap::new();
        let mut rows: Vec<Vec<Term>> = Vec::new();
        for cover in covers {
            budget.spend(size(cover))?;
            let Some(sides) = sides(cover, &rooms) else {
                continue;
            };
            if sides.is_empty() {
                return Some(Setup::Covered);
            }
            let row = sides.into_iter().map(|(key, domain)| {
                let column = *column_of.entry(key).or_insert_with(|| {
                    columns.push(Column::new(key, rooms.get(key)));
                    columns.len() - 1
                });
                columns[column].term(column, &domain)
            });
            rows.push(row.collect());
        }
        rows.sort_unstable();
        rows.dedup();
        for column in &mut columns {
            column.find_spare();
        }
        let plainest = plainest(&rooms, &columns, &column_of);
        Some(Setup::Open(Self { columns, rows, plainest }))
    }

    /// The label set `within` matches that has no label without need and, where it may, no value anybody names.
    pub(super) fn plainest(&self) -> &Labels {
        &self.plainest
    }

    /// The plainest label set, changed as the choices for the columns say.
    pub(super) fn labels(&self, choices: impl Iterator<Item = (usize, Choice)>) -> Labels {
        let mut labels = self.plainest.clone();
        for (column, choice) in choices {
            let column = &self.columns[column];
            let value = match choice {
                Choice::Absent => None,
                Choice::Value(value) => Some(column.values[value].to_owned()),
                Choice::Spare => column.spare.clone(),
            };
            match value {
                Some(value) => labels.insert(column.key.to_owned(), value),
                None => labels.remove(column.key),
            };
        }
        labels
    }

    /// Settles the columns that have a choice no other can beat, and with them the rows this choice fails; over and
    /// over, in time linear in the terms.
    ///
    /// Absence is such a choice where no row left passes it, and likewise a value nobody names: every row of the
    /// column fails. Namespaces whose policies select by `key = value` alone are decided here.
    pub(super) fn reduce(&self) -> Reduced {
        let mut tally = vec![Tally::default(); self.columns.len()];
        for (row, terms) in self.rows.iter().enumerate() {
            for term in terms {
                tally[term.column].rows.push(row);
                tally[term.column].add(term);
            }
        }
        let mut reduced = Reduced { open: vec![true; self.rows.len()], choices: vec![None; self.columns.len()] };
        let mut waiting: Vec<usize> = (0..self.columns.len()).rev().collect();
        while let Some(index) = waiting.pop() {
            if reduced.choices[index].is_some() {
                continue;
            }
            let column = &self.columns[index];
            let choice = if column.may_be_absent() && tally[index].pass_absence == 0 {
                Choice::Absent
            } else if column.has_spare() && tally[index].pass_spare == 0 {
                Choice::Spare
            } else {
                continue;
            };
            reduced.choices[index] = Some(choice);
            for row in std::mem::take(&mut tally[index].rows) {
                if std::mem::replace(&mut reduced.open[row], false) {
                    for term in &self.rows[row] {
                        tally[term.column].remove(term);
                        waiting.push(term.column);
                    }
                }
            }
        }
        reduced
    }
}

/// What [`Problem::reduce`] leaves.
#[derive(Debug)]
pub(super) struct Reduced {
    /// By row: still to be failed.
    pub(super) open: Vec<bool>,
    /// By column: what it is settled on.
    choices: Vec<Option<Choice>>,
}

impl Reduced {
    /// The settled columns with what they are settled on.
    pub(super) fn settled(&self) -> impl Iterator<Item = (usize, Choice)> {
        let numbered = self.choices.iter().enumerate();
        numbered.filter_map(|(column, choice)| choice.map(|choice| (column, choice)))
    }
}

/// The open rows of a column, counted by what they pass.
#[derive(Clone, Debug, Default)]
struct Tally {
    rows: Vec<usize>,
    pass_absence: usize,
    pass_spare: usize,
}

impl Tally {
    fn add(&mut self, term: &Term) {
        self.pass_absence += usize::from(term.absent);
        self.pass_spare += usize::from(term.others);
    }

    fn remove(&mut self, term: &Term) {
        self.pass_absence -= usize::from(term.absent);
        self.pass_spare -= usize::from(term.others);
    }
}

impl<'a> Column<'a> {
    fn new(key: &'a str, room: Option<&Domain<'a>>) -> Self {
        Self {
            key,
            room: room.unwrap_or(&Domain::FULL).clone(),
            values: Vec::new(),
            numbers: HashMap::new(),
            spare: None,
        }
    }

    /// The domain with its values numbered. Values outside the room make no difference and are left out.
    fn term(&mut self, column: usize, domain: &Domain<'a>) -> Term {
        let mut values = Vec::new();
        for value in &domain.values {
            if self.room.has(value) {
                values.push(*self.numbers.entry(value).or_insert_with(|| {
                    self.values.push(value);
                    self.values.len() - 1
                }));
            }
        }
        values.sort_unstable();
        Term { column, absent: domain.absent, others: domain.others, values }
    }

    fn find_spare(&mut self) {
        self.spare = spare(&self.room, |value| self.numbers.contains_key(value));
    }
}

/// A value in the room that is not named. Outside a finite room there always is one.
fn spare(room: &Domain<'_>, named: impl Fn(&str) -> bool) -> Option<String> {
    if !room.others {
        let free = room.values.iter().find(|value| !named(value));
        return free.map(|value| (*value).to_owned());
    }
    std::iter::once("other".to_owned())
        .chain((2..usize::MAX).map(|number| format!("other-{number}")))
        .find(|value| room.has(value) && !named(value))
}

fn plainest(rooms: &HashMap<&str, Domain<'_>>, columns: &[Column<'_>], column_of: &HashMap<&str, usize>) -> Labels {
    let present = rooms.iter().filter(|(_, room)| !room.absent);
    present
        .filter_map(|(key, room)| {
            let column = column_of.get(key).map(|column| &columns[*column]);
            let unnamed = match column {
                Some(column) => column.spare.clone(),
                None => spare(room, |_| false),
            };
            let named = room.values.first().map(|value| (*value).to_owned());
            Some(((*key).to_owned(), unnamed.or(named)?))
        })
        .collect()
}

/// How much there is to read of a selector.
fn size(selector: &Selector) -> usize {
    let requirements = selector.requirements().iter();
    requirements.map(|requirement| 1 + requirement.values.len()).sum::<usize>() + 1
}

/// The sides on which a selector excludes something the rooms allow; `None` when it meets nothing in them.
fn sides<'a>(cover: &'a Selector, rooms: &HashMap<&str, Domain<'a>>) -> Option<Vec<(&'a str, Domain<'a>)>> {
    let mut sides = cover.domains();
    let full = Domain::FULL;
    let room = |key: &str| rooms.get(key).unwrap_or(&full);
    if sides.iter().any(|(key, domain)| room(key).is_disjoint(domain)) {
        return None;
    }
    sides.retain(|(key, domain)| !room(key).is_subset(domain));
    Some(sides)
}
