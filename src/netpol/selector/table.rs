//! What [`super::search`] searches, as bitsets: which rows each class of a key's values fails.

use std::collections::{BTreeMap, HashSet};

use super::cover::Budget;
use super::problem::{Choice, Problem, Reduced, Term};

/// How many words of 8 bytes the bitsets may take.
const MAX_WORDS: usize = 1 << 19;

/// The open rows and undecided columns as bitsets.
pub(super) struct Table {
    /// Words in a set of rows.
    pub(super) row_words: usize,
    /// Words in a set of columns.
    pub(super) column_words: usize,
    pub(super) rows: usize,
    pub(super) columns: Vec<Classes>,
    /// By row: its columns.
    columns_of: Vec<u64>,
}

/// The choices of a column, those that fail the same rows taken together.
pub(super) struct Classes {
    /// The column's index in the problem.
    pub(super) index: usize,
    /// The rows with a term of this column.
    pub(super) rows: Vec<u64>,
    /// One choice of each class.
    pub(super) choices: Vec<Choice>,
    /// By class: the rows that are not failed.
    pub(super) passed: Vec<u64>,
}

impl Table {
    /// `None` when it would take too much memory.
    pub(super) fn new(problem: &Problem<'_>, reduced: &Reduced) -> Option<Self> {
        let open = problem.rows.iter().zip(&reduced.open);
        let rows: Vec<&[Term]> = open.filter(|(_, open)| **open).map(|(row, _)| row.as_slice()).collect();
        let mut terms_of: BTreeMap<usize, Vec<(usize, &Term)>> = BTreeMap::new();
        for (row, terms) in rows.iter().enumerate() {
            for term in *terms {
                terms_of.entry(term.column).or_default().push((row, term));
            }
        }
        let mut table = Self {
            row_words: rows.len().div_ceil(64),
            column_words: terms_of.len().div_ceil(64),
            rows: rows.len(),
            columns: Vec::with_capacity(terms_of.len()),
            columns_of: Vec::new(),
        };
        let mut memory = Budget::new(MAX_WORDS);
        // Its columns of each row, and the stack: the open rows of each depth.
        memory.spend(table.rows * table.column_words)?;
        memory.spend((terms_of.len() + 1) * table.row_words)?;
        table.columns_of = vec![0; table.rows * table.column_words];
        for (number, (index, terms)) in terms_of.into_iter().enumerate() {
            for (row, _) in &terms {
                insert(table.set_of_columns_mut(*row), number);
            }
            let classes = Classes::new(problem, index, &terms, table.rows, &mut memory)?;
            table.columns.push(classes);
        }
        Some(table)
    }

    pub(super) fn set_of_columns(&self, row: usize) -> &[u64] {
        &self.columns_of[row * self.column_words..][..self.column_words]
    }

    fn set_of_columns_mut(&mut self, row: usize) -> &mut [u64] {
        &mut self.columns_of[row * self.column_words..][..self.column_words]
    }
}

impl Classes {
    fn new(
        problem: &Problem<'_>,
        index: usize,
        terms: &[(usize, &Term)],
        rows: usize,
        memory: &mut Budget,
    ) -> Option<Self> {
        let words = rows.div_ceil(64);
        memory.spend(3 * words)?;
        let mut all = vec![0; words];
        for row in 0..rows {
            insert(&mut all, row);
        }
        let (mut absence, mut unnamed, mut constrained) = (all.clone(), all, vec![0; words]);
        let column = &problem.columns[index];
        // The rows that name a value: they tell it from a value nobody names.
        let mut named_by: Vec<Vec<usize>> = vec![Vec::new(); column.values.len()];
        for (row, term) in terms {
            insert(&mut constrained, *row);
            if !term.absent {
                remove(&mut absence, *row);
            }
            if !term.others {
                remove(&mut unnamed, *row);
            }
            for value in &term.values {
                named_by[*value].push(*row);
            }
        }
        let mut classes = Self { index, rows: constrained, choices: Vec::new(), passed: Vec::new() };
        if column.may_be_absent() {
            classes.push(Choice::Absent, &absence);
        }
        if column.has_spare() {
            classes.push(Choice::Spare, &unnamed);
        }
        let mut seen: HashSet<Vec<usize>> = HashSet::new();
        for (value, rows) in named_by.into_iter().enumerate() {
            // A value that only makes rows pass is no better than one nobody names.
            let useless = column.has_spare() && !rows.iter().any(|row| contains(&unnamed, *row));
            if useless || seen.contains(&rows) {
                continue;
            }
            memory.spend(words)?;
            let mut passed = unnamed.clone();
            for row in &rows {
                flip(&mut passed, *row);
            }
            classes.push(Choice::Value(value), &passed);
            seen.insert(rows);
        }
        Some(classes)
    }

    fn push(&mut self, choice: Choice, passed: &[u64]) {
        self.choices.push(choice);
        self.passed.extend_from_slice(passed);
    }
}

pub(super) fn insert(set: &mut [u64], bit: usize) {
    set[bit / 64] |= 1 << (bit % 64);
}

pub(super) fn remove(set: &mut [u64], bit: usize) {
    set[bit / 64] &= !(1 << (bit % 64));
}

fn flip(set: &mut [u64], bit: usize) {
    set[bit / 64] ^= 1 << (bit % 64);
}

pub(super) fn contains(set: &[u64], bit: usize) -> bool {
    set[bit / 64] >> (bit % 64) & 1 == 1
}

pub(super) fn is_subset(one: &[u64], two: &[u64]) -> bool {
    one.iter().zip(two).all(|(one, two)| one & !two == 0)
}

pub(super) fn count_common(one: &[u64], two: &[u64]) -> u32 {
    let words = one.iter().zip(two);
    words.map(|(one, two)| (one & two).count_ones()).sum()
}

/// The bits that are set, ascending.
pub(super) fn ones(set: &[u64]) -> impl Iterator<Item = usize> {
    set.iter().enumerate().flat_map(|(index, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                index * 64 + bit
            })
        })
    })
}
