//! Regular expressions that a rule set names, bounded in what they may cost.

use regex_lite::{Regex, RegexBuilder};

use super::ParamError;

/// Characters of a pattern; beyond this nobody can read it anyway.
const LONGEST: usize = 1_000;
/// Bytes of a compiled pattern. Matching takes time in proportion to it and to the text.
const SIZE: usize = 64 << 10;
/// Bytes of a text that is matched: twenty times what a name or a label has. Annotations may be far
/// longer, and are the requester's to choose.
const LONGEST_TEXT: usize = 4_096;

/// A pattern that a text has to match from its first character to its last.
#[derive(Debug)]
pub(super) struct Pattern {
    written: String,
    regex: Regex,
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(param: &str, written: &str) -> Result<Self, ParamError> {
        if written.is_empty() {
            return Err(ParamError::at(param, "must not be empty; leave it out to admit everything"));
        }
        if written.len() > LONGEST {
            return Err(ParamError::at(param, format!("is longer than {LONGEST} characters")));
        }
        let compiled = |text: &str| RegexBuilder::new(text).size_limit(SIZE).build();
        // By itself first: `a)|(b` is none, and the brackets around it would make it one.
        compiled(written)
            .and_then(|_| compiled(&format!(r"\A(?:{written})\z")))
            .map(|regex| Self { written: written.to_owned(), regex })
            .map_err(|error| ParamError::at(param, format!("`{written}` is not a pattern: {error}")))
    }

    /// Whether the whole text matches; one longer than [`LONGEST_TEXT`] never does.
    pub(super) fn matches(&self, text: &str) -> bool {
        text.len() <= LONGEST_TEXT && self.regex.is_match(text)
    }

    /// As written.
    pub(super) fn as_str(&self) -> &str {
        &self.written
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::whole("team-[a-z]+", "team-a", true)]
    #[case::not_at_the_start("team-[a-z]+", "x-team-a", false)]
    #[case::not_at_the_end("team-[a-z]+", "team-a1", false)]
    #[case::either("a|b", "b", true)]
    #[case::either_is_anchored_as_a_whole("a|b", "ab", false)]
    #[case::line_end("a", "a\n", false)]
    #[case::line_mode("(?m)^a$", "a\nb", false)]
    #[case::anchored_already("^a$", "a", true)]
    fn matches_the_whole_text(#[case] pattern: &str, #[case] text: &str, #[case] matches: bool) {
        assert_eq!(Pattern::parse("pattern", pattern).expect("a pattern").matches(text), matches);
    }

    #[rstest]
    #[case::empty("")]
    #[case::open("(a")]
    #[case::out_of_its_brackets("a)|(b")]
    #[case::backslash("a\\")]
    #[case::too_large("(?:[a-z]{100}){100}")]
    #[case::too_long(&"a".repeat(1_001))]
    fn what_is_none_is_refused(#[case] pattern: &str) {
        let error = Pattern::parse("pattern", pattern).expect_err("no pattern");
        assert_eq!(error.param, "pattern");
        assert!(!error.message.contains('\n'), "{error}");
    }

    #[test]
    fn long_texts_never_match() {
        let anything = Pattern::parse("pattern", "a*").expect("a pattern");
        assert!(anything.matches(&"a".repeat(LONGEST_TEXT)) && !anything.matches(&"a".repeat(LONGEST_TEXT + 1)));
    }
}
