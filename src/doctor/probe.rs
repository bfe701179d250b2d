//! The proof: does the API server ask the webhook, and does the webhook deny?

use super::Check;
use super::facts::{Answer, Known};

const ID: &str = "probe";

pub(super) fn check(answer: &Known<Answer>) -> Check {
    let answer = match answer {
        Ok(answer) => answer,
        Err(gap) => return Check::unknown(ID, gap),
    };
    let ours = |text: &str| text.contains("[allow-all-") || text.contains("[missing-default-deny]");
    match answer {
        Answer::Denied(message) if ours(message) => {
            Check::ok(ID, format!("a policy that allows all is denied: {message}"))
        }
        Answer::Admitted(warnings) if warnings.iter().any(|warning| ours(warning)) => {
            let what = format!("a policy that allows all is admitted with a warning: {}", warnings.join("; "));
            Check::warning(ID, what, "for rolling out that is meant (`maxLevel: warn`); to deny, set `maxLevel: deny`")
        }
        Answer::Admitted(_) => Check::error(
            ID,
            "a policy that allows all is admitted without a word: Portcullis is not asked, or its rules allow it",
            "see the other checks; the rule set in force is at /config of the operations port",
        ),
        Answer::Unavailable(message) => Check::error(
            ID,
            format!("the API server cannot call the webhook: {message}"),
            "see webhook-service and webhook-certificate",
        ),
        Answer::Denied(message) | Answer::Refused(message) => Check::warning(
            ID,
            format!("the policy is refused, but not by Portcullis: {message}"),
            "try another namespace with --probe NAMESPACE",
        ),
    }
}
