//! The shape of a signed text: its pieces by name, with lengths, and never their values.

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::Case;
use crate::auth::list::Layout;
use crate::auth::place::{Body, View};
use crate::auth::scheme::{Scheme, Shape};
use crate::auth::template::{Filling, Part, Template, Value};

/// Fixed text up to this length is shown as it is: separators and versions. Longer text may be a parameter of the policy's.
const TEXT_BYTES_MAX: usize = 4;

/// How many hexadecimal digits of a hash are shown.
const DIGITS: usize = 8;

/// The text that the scheme signs, piece by piece, a line each; empty where there is no scheme, it signs nothing, or the body is not there.
///
/// Pieces are named as the scheme language names them, with their length in bytes; of the body and of the whole, the first digits of the SHA-256
/// stand beside it, to be compared with what the sender signed. Of the secret nothing is told, its length least of all.
#[must_use]
pub fn signed_shape(case: &Case<'_>) -> Vec<String> {
    let (Some(scheme), Some(received)) = (case.scheme(), case.body) else { return Vec::new() };
    if scheme.signed.is_empty() {
        return Vec::new();
    }
    let headers: &HeaderMap = case.head.headers;
    let body = Body::new(received, headers).within(case.verifier.json());
    let view = View::of_head(case.head).with_body(&body);
    let credential = scheme.credential.read(&view).ok().flatten();
    let layout = match &scheme.shape {
        Shape::List(layout) => Some(layout),
        Shape::Whole { .. } | Shape::MaybePrefixed { .. } => None,
    };
    let list = layout.zip(credential.as_deref()).and_then(|(layout, text)| first_list(layout, text));
    let view = view.with_list(list);
    let timestamp = scheme.timestamp.as_ref().and_then(|rule| rule.at.read(&view).ok().flatten());
    let filling = Filling { timestamp: timestamp.as_deref(), ..Filling::of(view) };
    let mut lines: Vec<_> = scheme.signed.parts().iter().map(|part| piece(part, &filling)).collect();
    lines.push(whole(scheme, &filling));
    lines
}

fn first_list<'v>(layout: &'v Layout, text: &'v str) -> Option<crate::auth::list::List<'v>> {
    layout.texts(text).next().map(|text| layout.list(text))
}

fn piece(part: &Part, filling: &Filling<'_>) -> String {
    let template = Template::new(vec![part.clone()]);
    let text = template.fill(filling);
    match part {
        Part::Text(fixed) if fixed.len() <= TEXT_BYTES_MAX => format!("{fixed:?}: {} bytes", fixed.len()),
        Part::Text(fixed) => format!("fixed text: {} bytes", fixed.len()),
        Part::Value(Value::Secret, _) => "{secret}".to_owned(),
        Part::Value(Value::Body, _) => format!("{template}: {} bytes, sha256 {}", text.len(), digits(&text)),
        Part::Value(_, _) => format!("{template}: {} bytes", text.len()),
    }
}

fn whole(scheme: &Scheme, filling: &Filling<'_>) -> String {
    if scheme.signed.names(&Value::Secret) {
        return "the whole holds the secret".to_owned();
    }
    let text = scheme.signed.fill(filling);
    format!("the whole: {} bytes, sha256 {}", text.len(), digits(&text))
}

fn digits(text: &[u8]) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(DIGITS);
    digits
}
