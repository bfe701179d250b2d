//! The search for a choice of each column that fails every row.
//!
//! Depth first, with a stack of its own, since the depth is the number of keys and that is the tenant's. A node is the
//! set of rows not failed yet, one bit a row:
//!
//! - no row left: the choices so far are a witness;
//! - a row without an undecided column: every label set below is covered;
//! - otherwise the row with the fewest undecided columns names the next column, and each class of its choices that
//!   fails different rows is a child. A class that fails a subset of what another fails is passed over: whatever is
//!   a witness with it is one with the other.
//!
//! A node found covered is remembered by its rows and their undecided columns, which say all about it.

use std::collections::HashSet;

use super::cover::{Budget, Effort, MAX_NODES};
use super::problem::{Choice, Problem, Reduced};
use super::table::{Table, contains, count_common, insert, is_subset, ones, remove};

/// How many words of bitsets the search may touch: the nodes of a question with thousands of rows are dearer. A word
/// takes about two nanoseconds, all told.
///
/// Of the 55,987 nodes of six keys with six classes each (see [`MAX_NODES`]) only those above the last key branch,
/// 9,331, at no more than `2 * rows + 43 * ceil(rows / 64) + 8` words each; those of the last key are never visited, as
/// a row that passes one is a row with a single undecided column. So 300 rows are decided, whatever they are.
pub(super) const MAX_WORK: usize = 10_000_000;

/// How many words of 8 bytes the memory of covered nodes may take.
const MAX_REMEMBERED: usize = 1 << 19;

/// The answer of the search.
pub(super) enum Outcome {
    /// Every label set is covered.
    Covered,
    /// The choices that fail every open row, by column of the problem. Columns not listed do not matter.
    Witness(std::vec::IntoIter<(usize, Choice)>),
}

/// `None` when a budget ran out.
pub(super) fn search(problem: &Problem<'_>, reduced: &Reduced, effort: &mut Effort) -> Option<Outcome> {
    let table = Table::new(problem, reduced)?;
    let mut search = Search::new(&table);
    let outcome = search.run();
    effort.nodes = search.nodes;
    effort.work = MAX_WORK - search.work.left();
    outcome
}

/// A column on the stack, with the children not visited yet.
struct Frame {
    column: usize,
    /// What the memory of covered nodes will hold of this node.
    state: Option<Box<[u64]>>,
    /// Where the frame's children begin in [`Search::children`].
    first: usize,
    /// The child under way.
    class: usize,
}

struct Search<'t> {
    table: &'t Table,
    nodes: usize,
    work: Budget,
    frames: Vec<Frame>,
    /// Classes still to visit, of all frames; the next one of the top frame is the last.
    children: Vec<usize>,
    /// By depth, the rows not failed yet.
    open: Vec<u64>,
    /// The columns without a choice yet.
    undecided: Vec<u64>,
    covered: HashSet<Box<[u64]>>,
    covered_words: usize,
    /// Scratch: the rows with a single undecided column.
    single: Vec<u64>,
    /// Scratch: the open rows, then those of their columns that are undecided.
    state: Vec<u64>,
    /// Scratch: by class, the open rows it would leave.
    left: Vec<u64>,
    /// Scratch: how many those are, with the class.
    ranked: Vec<(u32, usize)>,
}

/// What a look at a node says.
enum Node {
    Witness,
    Covered,
    Branch(usize),
}

impl<'t> Search<'t> {
    fn new(table: &'t Table) -> Self {
        let mut open = vec![0; table.row_words];
        for row in 0..table.rows {
            insert(&mut open, row);
        }
        let mut undecided = vec![0; table.column_words];
        for column in 0..table.columns.len() {
            insert(&mut undecided, column);
        }
        Self {
            table,
            nodes: 0,
            work: Budget::new(MAX_WORK),
            frames: Vec::new(),
            children: Vec::new(),
            open,
            undecided,
            covered: HashSet::new(),
            covered_words: 0,
            single: vec![0; table.row_words],
            state: vec![0; table.row_words + table.column_words],
            left: Vec::new(),
            ranked: Vec::new(),
        }
    }

    fn run(&mut self) -> Option<Outcome> {
        loop {
            match self.look()? {
                Node::Witness => return Some(self.witness()),
                Node::Covered => {}
                Node::Branch(column) => self.branch(column)?,
            }
            if !self.advance() {
                return Some(Outcome::Covered);
            }
        }
    }

    fn witness(&self) -> Outcome {
        let choices = self.frames.iter().map(|frame| {
            let classes = &self.table.columns[frame.column];
            (classes.index, classes.choices[frame.class])
        });
        Outcome::Witness(choices.collect::<Vec<_>>().into_iter())
    }

    /// Judges the node on top of the stack.
    fn look(&mut self) -> Option<Node> {
        if self.nodes == MAX_NODES {
            return None;
        }
        self.nodes += 1;
        let table = self.table;
        let top = self.open.len() - table.row_words;
        let open = &self.open[top..];
        let (state_rows, state_columns) = self.state.split_at_mut(table.row_words);
        state_rows.copy_from_slice(open);
        state_columns.fill(0);
        self.single.fill(0);
        let mut fewest: Option<(u32, usize)> = None;
        let mut looked_at = 0;
        for row in ones(open) {
            looked_at += 1;
            let mut count = 0;
            let columns = table.set_of_columns(row).iter().zip(&self.undecided);
            for (state, (columns, undecided)) in state_columns.iter_mut().zip(columns) {
                let left = columns & undecided;
                *state |= left;
                count += left.count_ones();
            }
            if count == 1 {
                insert(&mut self.single, row);
            }
            if fewest.is_none_or(|(least, _)| count < least) {
                fewest = Some((count, row));
            }
            if count == 0 {
                break;
            }
        }
        self.work.spend(looked_at * (1 + table.column_words) + 4 * table.row_words + 8)?;
        let row = match fewest {
            None => return Some(Node::Witness),
            Some((0, _)) => return Some(Node::Covered),
            Some((_, row)) => row,
        };
        if self.covered.contains(self.state.as_slice()) {
            return Some(Node::Covered);
        }
        self.column_of(row, top).map(Node::Branch)
    }

    /// The undecided column of the row that most open rows ask about.
    fn column_of(&mut self, row: usize, top: usize) -> Option<usize> {
        let table = self.table;
        let open = &self.open[top..];
        let mut most: Option<(u32, usize)> = None;
        for column in ones(table.set_of_columns(row)) {
            self.work.spend(table.row_words)?;
            if contains(&self.undecided, column) {
                let asking = count_common(open, &table.columns[column].rows);
                if most.is_none_or(|(count, _)| asking > count) {
                    most = Some((asking, column));
                }
            }
        }
        most.map(|(_, column)| column)
    }

    /// Puts a frame for the column on the stack, with the children worth a visit.
    fn branch(&mut self, column: usize) -> Option<()> {
        let table = self.table;
        let words = table.row_words;
        let classes = &table.columns[column];
        self.work.spend(2 * classes.passed.len())?;
        let open = &self.open[self.open.len() - words..];
        self.left.clear();
        self.ranked.clear();
        for (class, passed) in classes.passed.chunks_exact(words).enumerate() {
            let mut count = 0;
            let mut covered = 0;
            for word in 0..words {
                let left = open[word] & passed[word];
                // A row that passes and has no other undecided column covers all of this child.
                covered |= left & self.single[word] & classes.rows[word];
                count += left.count_ones();
                self.left.push(left);
            }
            if covered == 0 {
                self.ranked.push((count, class));
            }
        }
        self.ranked.sort_unstable();
        let first = self.children.len();
        for (_, class) in &self.ranked {
            let mine = &self.left[class * words..][..words];
            let kept = &self.children[first..];
            self.work.spend((1 + kept.len()) * words)?;
            let beaten = kept.iter().any(|better| is_subset(&self.left[better * words..][..words], mine));
            if !beaten {
                self.children.push(*class);
            }
        }
        // The most promising child, with the fewest rows left, is taken from the end.
        self.children[first..].reverse();
        let fits = self.covered_words + self.state.len() <= MAX_REMEMBERED;
        self.covered_words += self.state.len();
        self.frames.push(Frame { column, state: fits.then(|| self.state.as_slice().into()), first, class: 0 });
        remove(&mut self.undecided, column);
        // Taken off again by `advance`, like those of a child that was visited.
        self.open.extend_from_within(self.open.len() - words..);
        Some(())
    }

    /// Goes on to the next child, giving up the frames that have none left; false when that was the last frame.
    fn advance(&mut self) -> bool {
        let words = self.table.row_words;
        while let Some(frame) = self.frames.last_mut() {
            if self.children.len() > frame.first
                && let Some(class) = self.children.pop()
            {
                frame.class = class;
                let passed = &self.table.columns[frame.column].passed[class * words..][..words];
                let parent = self.open.len() - 2 * words;
                for (word, passed) in passed.iter().enumerate() {
                    self.open[parent + words + word] = self.open[parent + word] & passed;
                }
                return true;
            }
            insert(&mut self.undecided, frame.column);
            self.open.truncate(self.open.len() - words);
            if let Some(state) = self.frames.pop().and_then(|frame| frame.state) {
                self.covered.insert(state);
            }
        }
        false
    }
}
