//! `[[handshake]]` of a preset → [`Handshake`].

use http::header::HeaderValue;

use super::{ENTRIES_MAX, parse_header_name, parse_place, read_requirements, read_template, read_when};
use crate::auth::handshake::{Handshake, ProofNeeded};
use crate::auth::template::Template;
use crate::policy::table::parse::Fault;
use crate::policy::table::{Reader, Spanned};

/// Reads `[[handshake]]`.
pub fn read_handshakes(table: &mut Reader<'_>) -> Vec<Handshake> {
    table.tables("handshake", ENTRIES_MAX, read_handshake).map(|handshakes| handshakes.value).unwrap_or_default()
}

fn read_handshake(one: &mut Reader<'_>) -> Option<Handshake> {
    one.require("when");
    one.refuse_empty("when", ", so every request would be one");
    let when = read_when(one);
    let proof = one.one_of("proof", &[("required", ProofNeeded::Required), ("none", ProofNeeded::None)]);
    let require = read_requirements(one);
    let content_type = one.parsed("content_type", |text| {
        HeaderValue::from_str(text).map_err(|_| Fault::new(format!("{text:?} is not a media type")))
    });
    let answer = one.string("answer").map(|text| read_answer(one, &text));
    let headers = one.table("headers", |headers| {
        let entries = headers.entries(ENTRIES_MAX, |text| Ok(text.to_owned()));
        entries
            .into_iter()
            .map(|(name, text)| {
                let name = parse_header_name(&name.value).map_err(|fault| headers.error(Some(name.span), fault)).ok();
                Some((name?, read_answer(headers, &text)?))
            })
            .collect::<Option<Vec<_>>>()
    });
    let learn = one.parsed("learn", parse_place);
    let confirm = one.parsed("confirm", parse_place);
    Some(Handshake {
        when: when?.value.into(),
        proof: proof.map_or(ProofNeeded::Required, |proof| proof.value),
        require: require?,
        content_type: content_type.map(|content_type| content_type.value),
        answer: match answer {
            Some(answer) => answer?,
            None => Template::default(),
        },
        headers: match headers {
            Some(headers) => headers?.into(),
            None => Box::default(),
        },
        learn: learn.map(|learn| learn.value),
        confirm: confirm.map(|confirm| confirm.value),
    })
}

/// An answer may be empty.
fn read_answer(table: &Reader<'_>, text: &Spanned<String>) -> Option<Template> {
    if text.value.is_empty() { Some(Template::default()) } else { read_template(table, text) }
}
