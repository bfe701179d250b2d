//! The organisation's rules. Parameters stay plain values here; the engine gives them their types.
//!
//! ```text
//! texts ── manifest ──> documents ── schema ──> as written, each with its problems
//!                                    load ────> merged: valid::RuleSet, and where each part of it stands
//!                                    lint ────> what it says and cannot mean
//! ```
//!
//! Beside it, `cases`: a file that says what a rule set is to make of which requests.
//!
//! There is always a rule set at the end, so that whoever binds it can tell of its own problems in the
//! same go; it is fit for use only where no problem is an error.

pub mod cases;
mod lint;
pub mod load;
pub mod nearest;
pub mod problem;
mod reader;
mod schema;
#[cfg(test)]
mod tests;
pub mod valid;
