//! As much of PromQL's surface as it takes to ask of each part of an expression whether the series exist.

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Vector selectors, without ranges.
    pub(crate) selectors: Vec<String>,
    /// Labels to aggregate by or to match on.
    pub(crate) labels: Vec<String>,
}

impl Names {
    pub(crate) fn of(expression: &str) -> Self {
        let mut names = Self::default();
        let mut rest = expression.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => quoted(rest),
                '[' => rest.find(']').expect("a range ends") + 1,
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(length);
            rest = after.trim_start();
            if !first.is_ascii_alphabetic() {
                continue;
            }
            match token {
                "by" | "on" => {
                    let (list, after) = rest.trim_start_matches('(').split_once(')').expect("a list of labels");
                    names.labels.extend(list.split(',').map(|label| label.trim().to_owned()));
                    rest = after.trim_start();
                }
                "and" | "or" | "unless" => {}
                _ if rest.starts_with('(') => {}
                _ if rest.starts_with('{') => {
                    let (matchers, after) = rest.split_at(braced(rest));
                    names.selectors.push(format!("{token}{matchers}"));
                    rest = after.trim_start();
                }
                // An aggregation's name before its list of labels.
                _ if rest.starts_with("by ") || rest.starts_with("by(") => {}
                _ => names.selectors.push(token.to_owned()),
            }
        }
        names
    }
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// The length of a string, its quotes included.
fn quoted(text: &str) -> usize {
    text[1..].find('"').expect("a string ends") + 2
}

/// The length of the matchers, which may have braces in their strings.
fn braced(text: &str) -> usize {
    let mut in_string = false;
    let end = text.find(|c| {
        in_string ^= c == '"';
        c == '}' && !in_string
    });
    end.expect("matchers end") + 1
}

#[test]
fn selectors_and_labels_are_found() {
    let names = Names::of(
        r#"topk(5, sum by (rule, level) (rate(a_total{x=~"b}|c", y!="by (z)"}[5m]))) / on (le) b:c > 0.5 and (up == 0) unless count(d) - time() < 14 * 86400"#,
    );
    let selectors = [r#"a_total{x=~"b}|c", y!="by (z)"}"#, "b:c", "up", "d"];
    assert_eq!(names.selectors, selectors);
    assert_eq!(names.labels, ["rule", "level", "le"]);
}
