//! What becomes of the sanitizer's verdict: edits that are made are judged by the schema once more, edits that are only monitored become a finding.

use bytes::Bytes;

use crate::payload::schema::Schema;
use crate::payload::{Document, Payload};
use crate::policy::Source;
use crate::reason::Reason;
use crate::rejection::{Fact, Findings, Rejection};
use crate::sanitize::{Cleaned, Edit, Report};

/// How many edits that were not made are named in the record.
const EDITS_SHOWN_MAX: usize = 16;

/// Strings that lost characters, and objects that lost members, may no longer fit the schema they fitted before (`schema`; none if they did not).
/// Where the schema is only monitored, that is a finding.
pub(super) fn check_again(
    cleaned: &Cleaned,
    schema: Option<&Schema>,
    payload: &Payload,
    source: &Source,
    findings: &mut Findings,
) -> Result<(), Rejection> {
    let Some(schema) = schema.filter(|_| !cleaned.report.is_empty()) else { return Ok(()) };
    match schema.check(&Document::read(cleaned.body.clone(), payload.limits(source.json))?) {
        Ok(_) => Ok(()),
        Err(mismatch) => source.modes.schema.judge(mismatch, findings),
    }
}

/// The body as received if nothing was edited, else the same with the edits.
pub(super) fn body(body: Bytes, payload: &Payload, cleaned: &Cleaned, source: &Source) -> Result<Bytes, Rejection> {
    if cleaned.report.is_empty() {
        return Ok(body);
    }
    let text = payload.document().source();
    let edited = payload.edited(&cleaned.body, |span| cleaned.left_of(text, span), source.json);
    edited.ok_or_else(|| {
        Rejection::new(Reason::SanitizerRefused).hint("the edited body cannot be spelled as it was received")
    })
}

/// What the sanitizer would have done, had it not only monitored: nothing, a refusal, or edits.
pub(super) fn finding(cleaned: Result<Cleaned, Rejection>) -> Option<Rejection> {
    match cleaned {
        Ok(Cleaned { report, .. }) => would_edit(&report),
        Err(refusal) => Some(refusal),
    }
}

/// The finding that stands for edits which were not made.
fn would_edit(report: &Report) -> Option<Rejection> {
    let row = |edit: &Edit| vec![("rule", Fact::from(edit.rule.name())), ("pointer", Fact::from(edit.pointer.clone()))];
    let first = report.edits().iter().take(EDITS_SHOWN_MAX).map(row).collect();
    let finding = Rejection::new(Reason::SanitizerEdited).fact("edits", report.count());
    (!report.is_empty()).then(|| finding.fact("first", Fact::Rows(first)))
}
