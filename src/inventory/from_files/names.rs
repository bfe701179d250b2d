//! The names Kubernetes takes.
//!
//! Source: API reference, object names and IDs; labels, syntax and character set.

/// An RFC 1123 label, as for a namespace: at most 63 of `[a-z0-9-]`, no dash at either end.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

/// An RFC 1123 subdomain, as for a policy: labels and dots, at most 253 characters. Kubernetes does
/// not hold its parts to 63.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

/// The key of a label or an annotation: `[PREFIX/]NAME`.
#[must_use]
pub fn is_qualified(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    prefix.is_none_or(is_subdomain)
        && name.len() <= 63
        && name.bytes().all(inner)
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_dns_part(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().all(|byte| letter(byte) || byte == b'-')
        && text.bytes().next().is_some_and(letter)
        && text.bytes().last().is_some_and(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_their_grammar() {
        let long = "a".repeat(64);
        assert!(is_label("team-a") && is_label("0") && is_label(&long[..63]));
        assert!(![&long, "", "-a", "a-", "A", "a.b", "a_b", "ä"].into_iter().any(is_label));
        assert!(is_subdomain("a.b-c.0") && is_subdomain(&long));
        assert!(!["", "a..b", ".a", "a.", "a.-b", "A"].into_iter().any(is_subdomain));
        assert!(!is_subdomain(&"a.".repeat(127)) && !is_subdomain(&"a".repeat(254)));
        assert!(is_qualified("app") && is_qualified("k8s.io/App_1.x"));
        assert!(!["", "/a", "a/", "a/b/c", "A/b", "-a", "a b", &long].into_iter().any(is_qualified));
    }
}
