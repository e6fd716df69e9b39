//! Event name and delivery id: what a provider says of a delivery besides its proof.
//!
//! A fact is a template: mostly what stands at one place, sometimes two values joined (`{json:/webhook_type}/{json:/webhook_code}`).

use super::place::View;
use super::scheme::Scheme;
use super::template::{Filling, Template, Value};

/// The longest event name or delivery id that is taken; what is longer counts as absent.
pub const FACT_BYTES_MAX: usize = 256;

/// Whether a fact was covered by the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covered {
    /// Whoever changed it would have broken the signature.
    Signed,
    /// Whoever captured a delivery can change it.
    Unsigned,
}

/// The text of the first of these facts that the request has whole.
#[must_use]
pub fn find(facts: &[Template], view: &View<'_>) -> Option<String> {
    facts.iter().find_map(|fact| read(fact, view)).filter(|text| !text.is_empty() && text.len() <= FACT_BYTES_MAX)
}

fn read(fact: &Template, view: &View<'_>) -> Option<String> {
    if let Some(place) = fact.place() {
        return place.read(view).ok().flatten().map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty());
    }
    fact.require(view).ok()?;
    String::from_utf8(fact.fill(&Filling::of(*view))).ok().filter(|text| !text.is_empty())
}

/// Whether a fact is covered by what every one of these schemes signs.
#[must_use]
pub fn coverage<'s>(fact: &Template, schemes: impl IntoIterator<Item = &'s Scheme>) -> Covered {
    let mut schemes = schemes.into_iter().peekable();
    let covers = |scheme: &Scheme| {
        fact.values().all(|value| match value {
            Value::At(place) => scheme.covers(place),
            Value::Body | Value::Form => scheme.covers_body(),
            Value::Url => scheme.covers_url(),
            Value::Timestamp | Value::Method | Value::Secret | Value::VerifyToken | Value::Parameter(_) => false,
        })
    };
    let signed = schemes.peek().is_some() && schemes.all(covers);
    if signed { Covered::Signed } else { Covered::Unsigned }
}
