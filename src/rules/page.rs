//! The rules' documentation as Markdown, made of what they say of themselves: `portcullis rules NAME`, `docs/rules` and
//! the README's table. `tests/docs.rs` writes the files and holds them to this.

use std::fmt::Write as _;

use super::{Meta, Needs, RULES};

/// The page of a rule. Every rule's has the same headings.
#[must_use]
pub fn page(meta: &Meta) -> String {
    let mut text = format!("# {}\n\n{}", meta.name, head(meta));
    section(&mut text, "What it does", &lines(meta.what));
    section(&mut text, "Why it is bad", &lines(meta.why));
    section(&mut text, "Rejected", &format!("{}{}", example_params(meta), yaml(meta.rejected)));
    section(&mut text, "Accepted", &yaml(meta.accepted));
    section(&mut text, "Parameters", &params(meta));
    section(&mut text, "References", &meta.references.iter().map(|url| format!("- <{url}>\n")).collect::<String>());
    text
}

/// The table of all rules, with links to their pages in that folder: empty, or with a slash at its end.
#[must_use]
pub fn table(folder: &str) -> String {
    let mut text = "| rule | built-in | judges | finds |\n|---|---|---|---|\n".to_owned();
    for meta in RULES.iter().map(|rule| rule.meta()) {
        let Meta { name, kind, summary, .. } = meta;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| [`{name}`]({folder}{name}.md) | {} | {kind} | {summary} |", meta.builtin_level());
    }
    text
}

fn section(text: &mut String, heading: &str, body: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {heading}\n\n{body}");
}

fn lines(prose: &str) -> String {
    format!("{prose}\n")
}

fn yaml(text: &str) -> String {
    format!("```yaml\n{text}```\n")
}

fn head(meta: &Meta) -> String {
    let needs = match meta.needs {
        Needs::Nothing => "nothing beside the object",
        Needs::Inventory => {
            "knowledge of the cluster, no older than `maxInventoryAge`; in `check` that is what the manifests hold"
        }
        Needs::Requester => "who asks; manifests do not say that, so `check` never reports it",
    };
    let guard = if meta.guards_labels { "- Runs on the guard path `/validate/labels` too\n" } else { "" };
    format!("- Judges: {}\n- Built-in level: {}\n- Needs: {needs}\n{guard}", meta.kind, meta.builtin_level())
}

fn example_params(meta: &Meta) -> String {
    if meta.example_params.is_empty() {
        return String::new();
    }
    format!("With these parameters, here and under Accepted:\n\n{}\n", yaml(meta.example_params))
}

fn params(meta: &Meta) -> String {
    if meta.params.is_empty() {
        return lines("None.");
    }
    let item = |param: &super::ParamDoc| format!("- `{}` (default `{}`): {}\n", param.name, param.default, param.about);
    meta.params.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: [&str; 6] = ["What it does", "Why it is bad", "Rejected", "Accepted", "Parameters", "References"];

    #[test]
    fn every_page_has_the_fixed_headings_and_all_that_the_rule_says() {
        for meta in RULES.iter().map(|rule| rule.meta()) {
            let page = page(meta);
            let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
            assert_eq!(headings, HEADINGS, "{}", meta.name);
            let said = [meta.kind, meta.what, meta.why, meta.example_params, meta.rejected, meta.accepted];
            let params = meta.params.iter().flat_map(|param| [param.name, param.default, param.about]);
            for said in said.into_iter().chain(params).chain(meta.references.iter().copied()) {
                assert!(page.contains(said), "{}: {said}", meta.name);
            }
        }
    }

    #[test]
    fn the_table_has_a_row_a_rule() {
        let table = table("docs/rules/");
        assert_eq!(table.lines().count(), RULES.len() + 2);
        let row = "| [`allow-all-egress`](docs/rules/allow-all-egress.md) | deny | NetworkPolicy | ";
        assert!(table.contains(row), "{table}");
        assert!(table.lines().all(|line| line.matches('|').count() == 5), "{table}");
    }
}
