//! What a mistyped name was meant to be.

/// The name that was probably meant.
#[must_use]
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this, names have little in common.
    const ALIKE: f64 = 0.75;
    let typed = typed.to_lowercase();
    let score = |name: &str| {
        let name = name.to_lowercase();
        // In short names one slip leaves little in common.
        let one_slip = typed.len() > 2 && strsim::osa_distance(&typed, &name) == 1;
        strsim::jaro_winkler(&typed, &name).max(if one_slip { ALIKE } else { 0.0 })
    };
    let scored = names.into_iter().map(|name| (score(name), name));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised_and_strangers_are_not() {
        let names = ["level", "match", "params", "rule"];
        assert_eq!(nearest("levl", names), Some("level"));
        assert_eq!(nearest("Parms", names), Some("params"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(nearest("wbe", ["db", "web"]), Some("web"));
    }
}
