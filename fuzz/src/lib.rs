//! What has to hold whatever bytes come in, one function a target.
//!
//! `fuzz_targets/` hands each of them to libFuzzer, and `tests/fuzzlike.rs` asks them of the corpora and of some random
//! inputs in every test run. They return or panic.

#![allow(clippy::missing_panics_doc, clippy::expect_used, unreachable_pub, reason = "a property fails by panicking")]

use std::borrow::Cow;
use std::collections::HashSet;
use std::future::Future;
use std::io::{self, Write as _};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward::admit::{Capacity, Limits};
use hookward::auth::key::{KeyKind, NamedSecret};
use hookward::auth::{Head, Verifier};
use hookward::delivery::{HostMatch, Routed};
use hookward::edge::guard::frames::{self, Frames};
use hookward::edge::guard::head::{self, Framing};
use hookward::edge::guard::messages::{Followed, Messages, Misframed};
use hookward::edge::proxy;
use hookward::forward::pool::Lone;
use hookward::payload::coding::Coding;
use hookward::payload::content_type::ContentType;
use hookward::payload::declared::Membership;
use hookward::payload::form::Fields;
use hookward::payload::patterns::Pattern;
use hookward::payload::schema::{Schema, Store};
use hookward::payload::{Document, Format, JsonLimits, Kind, Node, Payload, Pointer};
use hookward::policy::Policy;
use hookward::policy::diagnostic::{Diagnostics, Files, Styles};
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::scheme::{parse_fact, parse_header_name, parse_place, parse_template, read_schemes};
use hookward::policy::secrets::NoSecrets;
use hookward::policy::table::Spanned;
use hookward::policy::{gateway_config, source_config, table};
use hookward::reason::Reason;
use hookward::rejection::Rejection;
use hookward::sanitize::{
    Action, Deed, Formula, Html, Normalize, PlaceRule, Places, Pseudonyms, Rules, Sanitizer, Unwanted,
};
use hookward::secret::Secret;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A property by its name, which is that of its target and of its corpus.
pub type Property = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Property; 17] = [
    ("document", document),
    ("form", form),
    ("urlencoded", urlencoded),
    ("multipart", multipart),
    ("lines", lines),
    ("coding", coding),
    ("sanitize", sanitize),
    ("places", places),
    ("schema", schema),
    ("policy", policy),
    ("template", template),
    ("token", token),
    ("messages", messages),
    ("frames", frames),
    ("proxy", proxy),
    ("upstream", upstream),
    ("route", route),
];

fn read(data: &[u8]) -> Option<Document> {
    Document::read(Bytes::copy_from_slice(data), JsonLimits::default()).ok()
}

/// What is read means to `serde_json` what it means to us; what is refused it refuses, too, but for our stricter profile.
pub fn document(data: &[u8]) {
    let ours = Document::read(Bytes::copy_from_slice(data), JsonLimits::default());
    let tolerant = Document::read_tolerantly(Bytes::copy_from_slice(data));
    // With arbitrary precision it gives names of its own a meaning.
    let theirs = if has_private_name(data) { None } else { Some(serde_json::from_slice::<Value>(data)) };
    match (ours, theirs) {
        (Ok(document), theirs) => {
            let tolerant = tolerant.expect("what is read strictly is read tolerantly");
            same(document.root(), tolerant.root());
            if let Some(theirs) = theirs {
                means(document.root(), &theirs.expect("what we read is JSON"));
            }
        }
        (Err(rejection), Some(Ok(_))) => {
            let reason = rejection.reason();
            let stricter = [Reason::JsonTooDeep, Reason::JsonTooLarge, Reason::JsonDuplicateKey];
            assert!(stricter.contains(&reason), "{reason:?}, but it is JSON");
            assert!(tolerant.is_none() || reason == Reason::JsonDuplicateKey, "only twins are tolerated");
        }
        (Err(_), Some(Err(_)) | None) => {}
    }
}

/// Also where it is spelled with escapes.
fn has_private_name(data: &[u8]) -> bool {
    Document::read_tolerantly(Bytes::copy_from_slice(data)).is_some_and(|document| names_private(document.root()))
}

fn names_private(node: Node<'_>) -> bool {
    let private = |member: hookward::payload::Member<'_>| {
        member.key.name().starts_with("$serde_json") || names_private(member.value)
    };
    node.members().any(private) || node.elements().any(names_private)
}

fn same(one: Node<'_>, other: Node<'_>) {
    assert_eq!((one.kind(), one.span(), one.len()), (other.kind(), other.span(), other.len()));
    for (one, other) in one.elements().zip(other.elements()) {
        same(one, other);
    }
    for (one, other) in one.members().zip(other.members()) {
        assert_eq!(one.key.name(), other.key.name());
        same(one.value, other.value);
    }
}

fn means(node: Node<'_>, value: &Value) {
    match value {
        Value::Null => assert!(node.is_null()),
        Value::Bool(truth) => assert_eq!(node.as_bool(), Some(*truth)),
        Value::Number(number) => {
            let text = node.number().expect("it is a number");
            assert_eq!(&text.parse::<serde_json::Number>().expect("to both"), number);
        }
        Value::String(string) => assert_eq!(node.as_str().as_deref(), Some(string.as_str())),
        Value::Array(elements) => {
            assert_eq!((node.kind(), node.elements().count()), (Kind::Array, elements.len()));
            node.elements().zip(elements).for_each(|(node, value)| means(node, value));
        }
        Value::Object(members) => {
            assert_eq!((node.kind(), node.members().count()), (Kind::Object, members.len()));
            for member in node.members() {
                let name = member.key.name();
                means(member.value, members.get(&*name).expect("they have the name, too"));
                assert_eq!(node.get(&name).expect("it is found").span(), member.value.span());
            }
        }
    }
}

/// What is read has the fields that the URL standard's own reader finds.
pub fn form(data: &[u8]) {
    let Some(fields) = Fields::read(data, "application/x-www-form-urlencoded") else { return };
    let mut theirs: Vec<_> = form_urlencoded::parse(data).collect();
    for (name, _) in &theirs {
        let mut values = theirs.iter().filter(|(other, _)| other == name);
        let only = values.next().filter(|_| values.next().is_none());
        assert_eq!(fields.single(name).ok().flatten(), only.map(|(_, value)| &**value));
    }
    theirs.sort_unstable();
    theirs.dedup();
    assert!(fields.sorted().into_iter().eq(theirs.iter().map(|(name, value)| (&**name, &**value))));
}

/// A strictly read form says what the URL standard's own reader finds in it, goes on as it came, and once edited reads again as what was judged.
pub fn urlencoded(data: &[u8]) {
    let read = |body: &[u8]| Payload::read(Bytes::copy_from_slice(body), Format::Form, None, JsonLimits::default());
    let Ok(payload) = read(data) else { return };
    let theirs: Vec<_> = form_urlencoded::parse(data).collect();
    let ours: Vec<_> = payload.document().root().members().map(|member| (member.key.name(), member.value)).collect();
    assert_eq!(ours.len(), theirs.len());
    for ((name, value), (their_name, their_value)) in ours.iter().zip(&theirs) {
        assert_eq!((&**name, value.as_str().as_deref()), (&**their_name, Some(&**their_value)));
    }
    edited(&payload, data, read);
}

/// A multipart body that is read goes on as it came, and once edited reads again as what was judged; what a field says, the lookup finds, too.
pub fn multipart(data: &[u8]) {
    const TYPE: &str = "multipart/form-data; boundary=b";
    let boundary = ContentType::new(TYPE).boundary().expect("it is one");
    let format = Format::Multipart(boundary);
    let read = |body: &[u8]| Payload::read(Bytes::copy_from_slice(body), format, None, JsonLimits::default());
    let Ok(payload) = read(data) else { return };
    let fields = Fields::read(data, TYPE).expect("what is read strictly is read");
    for member in payload.document().root().members() {
        assert_eq!(fields.single(&member.key.name()).expect("once"), member.value.as_str().as_deref());
    }
    edited(&payload, data, read);
}

/// A decoded body stays within its bound, and what is encoded decodes to itself. The input's first byte chooses the coding.
pub fn coding(data: &[u8]) {
    const BODY_BYTES_MAX: usize = 10_000;
    let Some((&choice, body)) = data.split_first() else { return };
    let (_, coding) = Coding::ALL[usize::from(choice) % Coding::ALL.len()];
    if let Ok(decoded) = coding.decoded(body, BODY_BYTES_MAX) {
        assert!(decoded.len() <= Coding::decoded_bytes_max(body.len(), BODY_BYTES_MAX));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("to memory");
    let encoded = encoder.finish().expect("to memory");
    if body.len() <= Coding::decoded_bytes_max(encoded.len(), BODY_BYTES_MAX) {
        assert_eq!(Coding::Gzip.decoded(&encoded, BODY_BYTES_MAX).expect("it is one"), body);
    }
}

/// Lines that are read are each one JSON text, and go on as they came or as they were judged.
pub fn lines(data: &[u8]) {
    let limits = JsonLimits::default();
    let read = |body: &[u8]| Payload::read(Bytes::copy_from_slice(body), Format::JsonLines, None, limits);
    let texts = data.strip_suffix(b"\n").unwrap_or(data).split(|&byte| byte == b'\n');
    let each: Option<Vec<_>> = texts.map(self::read).collect();
    let Ok(payload) = read(data) else {
        let fits = |each: Vec<Document>| {
            each.iter().map(|one| node_count(one.root())).sum::<usize>() <= limits.nodes_max as usize
        };
        assert!(!each.is_some_and(fits), "each line is JSON");
        return;
    };
    let each = each.expect("each line is JSON");
    let elements = payload.document().root().elements();
    assert_eq!(elements.len(), each.len());
    elements.zip(&each).for_each(|(element, line)| says(element, line.root()));
    edited(&payload, data, read);
}

fn node_count(node: Node<'_>) -> usize {
    let members: usize = node.members().map(|member| node_count(member.value)).sum();
    1 + members + node.elements().map(node_count).sum::<usize>()
}

/// What cleaning leaves of a payload is written so that it reads the same, and without an edit byte for byte.
fn edited(payload: &Payload, data: &[u8], read: impl Fn(&[u8]) -> Result<Payload, Rejection>) {
    let document = payload.document();
    let limits = JsonLimits::default();
    let same = payload.edited(document.source(), |span| document.source().get(span).map(Cow::Borrowed), limits);
    assert_eq!(same.as_deref(), Some(data), "without an edit nothing changes");
    let characters = Rules {
        control_characters: Action::Drop,
        bidi_controls: Action::Drop,
        zero_width: Action::Drop,
        formula: Formula::Escape,
        ..Rules::default()
    };
    let all = Rules { prototype_keys: Action::Drop, operator_keys: Action::Drop, ..characters };
    for rules in [characters, all] {
        let Ok(cleaned) = Sanitizer::from(rules).clean(document, None, Membership::Unasked) else { continue };
        let left = |span| cleaned.left_of(document.source(), span);
        let Some(body) = payload.edited(&cleaned.body, left, limits) else { continue };
        let again = read(&body).expect("what is written is read");
        says(again.document().root(), Document::read(cleaned.body, payload.limits(limits)).expect("it is JSON").root());
    }
}

fn says(one: Node<'_>, other: Node<'_>) {
    assert_eq!((one.kind(), one.len(), one.scalar_text()), (other.kind(), other.len(), other.scalar_text()));
    one.elements().zip(other.elements()).for_each(|(one, other)| says(one, other));
    for (one, other) in one.members().zip(other.members()) {
        assert_eq!(one.key.name(), other.key.name());
        says(one.value, other.value);
    }
}

/// Cleaning removes, leaves JSON, and finds nothing when it is done again; without a find the received bytes go on.
pub fn sanitize(data: &[u8]) {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let schema =
            serde_json::json!({"properties": {"a": {"items": {"properties": {"b": {}}}}, "c": {"properties": {}}}});
        Schema::in_store(&schema, Store::default()).expect("the schema compiles")
    });
    let Some(document) = read(data) else { return };
    let drop = |unknown_fields, control_characters, prototype_keys| Rules {
        unknown_fields,
        control_characters,
        prototype_keys,
        ..Rules::default()
    };
    let (keep, cut) = (Action::Keep, Action::Drop);
    for rules in [drop(cut, keep, keep), drop(keep, cut, keep), drop(keep, keep, cut), drop(cut, cut, cut)] {
        let declared = Some(schema.declared());
        // Two names that removing makes one are refused.
        let Ok(cleaned) = Sanitizer::from(rules).clean(&document, declared, Membership::Unasked) else { continue };
        let untouched = cleaned.body.as_ptr() == document.source().as_ptr();
        assert_eq!(untouched, cleaned.report.is_empty());
        assert!(is_what_is_left(&cleaned.body, document.source()));
        let again = read(&cleaned.body).expect("what is left is JSON");
        let twice = Sanitizer::from(rules).clean(&again, declared, Membership::Unasked).expect("and is not refused");
        assert!(twice.report.is_empty() && twice.body == cleaned.body);
    }
    let kept = Sanitizer::from(drop(keep, keep, keep))
        .clean(&document, None, Membership::Unasked)
        .expect("keeping refuses nothing");
    assert!(kept.body == *data && kept.report.is_empty());
}

/// Rules that write values anew do so once, in any order, and leave JSON. The input is up to four patterns of places, a line each, and a payload.
pub fn places(data: &[u8]) {
    let mut lines = data.splitn(5, |&byte| byte == b'\n');
    let mut patterns = Vec::new();
    for line in lines.by_ref().take(4) {
        patterns.extend(std::str::from_utf8(line).ok().and_then(|line| Pattern::parse(line).ok()));
    }
    let Some(document) = lines.next().and_then(read) else { return };
    let deeds = [
        vec![Deed::Html(Html::Strip), Deed::Truncate(5)],
        vec![Deed::Hash(Pseudonyms::new(Some(&Secret::new(KEY.to_vec())))), Deed::Normalize(Normalize::Nfc)],
        vec![Deed::Mask(2), Deed::RefuseIf(Unwanted::parse("no+").expect("a pattern"))],
        vec![Deed::Drop],
    ];
    let mut rules: Vec<PlaceRule> = Vec::new();
    for (at, deeds) in patterns.iter().zip(deeds) {
        rules.push(PlaceRule { at: at.clone(), deeds });
    }
    let everywhere =
        Rules { formula: Formula::Escape, html: Html::Strip, control_characters: Action::Drop, ..Rules::default() };
    let [made, turned] = [false, true].map(|turned| {
        if turned {
            rules.reverse();
        }
        Sanitizer::new(everywhere, Some(Places::new(&rules, &[]).expect("they fit together")))
    });
    let once = made.clean(&document, None, Membership::Unasked).map(|cleaned| cleaned.body).ok();
    assert_eq!(once, turned.clean(&document, None, Membership::Unasked).map(|cleaned| cleaned.body).ok());
    let Some(body) = once else { return };
    let again = read(&body).expect("what is left is JSON");
    let twice = made.clean(&again, None, Membership::Unasked).expect("and is not refused");
    assert!(twice.report.is_empty() && twice.body == body);
}

fn is_what_is_left(left: &[u8], of: &[u8]) -> bool {
    let mut of = of.iter();
    left.iter().all(|byte| of.any(|other| other == byte))
}

/// A schema loads or is refused; one that loads judges every payload alike on both ways. The input is the schema and, on
/// the lines after it, payloads.
pub fn schema(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    // As with files: our reader first.
    let text = lines.next().unwrap_or_default();
    let Some(value) = read(text).and_then(|_| serde_json::from_slice(text).ok()) else { return };
    let Ok(schema) = Schema::in_store(&value, Store::default()) else { return };
    for document in lines.filter_map(read) {
        let (short, long) = (schema.check(&document), schema.check_the_long_way(&document));
        assert_eq!(short.is_ok(), long.is_ok());
        let rules = Rules { unknown_fields: Action::Drop, ..Rules::default() };
        let _ = Sanitizer::from(rules).clean(&document, Some(schema.declared()), Membership::Unasked);
    }
}

/// A policy or a gateway's configuration is read or refused with findings that can be shown.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut files = Files::default();
    let file = files.add("policy.toml", text);
    let mut found = Diagnostics::default();
    let source = source_config::read_source(&file, &mut found);
    assert!(source.is_some() || found.has_errors(), "nothing is refused without a word");
    let _ = found.report(&files, &Styles::plain()).to_string();
    let mut found = Diagnostics::default();
    let gateway = gateway_config::read_gateway(&file, &mut found);
    assert!(gateway.is_some() || found.has_errors(), "nothing is refused without a word");
    let _ = found.report(&files, &Styles::plain()).to_string();
}

/// The words of the scheme language are read or refused, and what is read can be looked through.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for template in parse_template(text).into_iter().chain(parse_fact(text)) {
        assert!(template.values().count() <= template.parts().len());
        let _ = template.headers().count();
    }
    if let Ok(place) = parse_place(text) {
        let _ = place.headers().len();
    }
    let _ = parse_header_name(text);
    if let (Ok(pointer), Some(document)) = (Pointer::parse(text), read(br#"{"a":[{"b":1},{"":{"~":2}}]}"#)) {
        let found = document.find(&pointer).map(Node::span);
        assert_eq!(found, document.find_unambiguous(&pointer).map(Node::span));
    }
}

/// A token is read strictly whatever its header and claims are, and a text with another signature is never accepted. The
/// input is a header and, behind the first line end, claims.
pub fn token(data: &[u8]) {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    let verifier = VERIFIER.get_or_init(verifier);
    let text = String::from_utf8_lossy(data);
    assert!(!is_accepted(verifier, &text), "nobody signed this");
    let (header, claims) = data.split_at(data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len()));
    let claims = claims.strip_prefix(b"\n").unwrap_or_default();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("any length is a key");
    mac.update(signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    if is_accepted(verifier, &token) {
        let header = read(header).expect("an accepted header is JSON without twins");
        assert_eq!(header.root().get("alg").and_then(Node::as_str).as_deref(), Some("HS256"));
        assert!(header.root().get("crit").is_none());
        let claims = read(claims).expect("accepted claims are JSON without twins");
        assert_eq!(claims.root().kind(), Kind::Object);
    }
}

const KEY: &[u8] = b"a secret of some length, in bytes";
const NOW: i64 = 1_782_907_200;

fn verifier() -> Verifier {
    let mut files = Files::default();
    let scheme = "[scheme]\nalgorithm = 'jwt'\ncredential = 'header:x-token'\njwt = { algorithms = ['HS256'] }\n";
    let file = files.add("scheme.toml", scheme);
    let mut found = Diagnostics::default();
    let schemes = table::read(&file, &mut found, read_schemes).flatten().expect("the scheme is read");
    let secret = Secret::new(KEY.to_vec());
    let secret = NamedSecret { id: "fuzz".into(), secret, expires: None, kind: KeyKind::Secret };
    Verifier::new("fuzz", &schemes, &[secret]).expect("the key is one")
}

fn is_accepted(verifier: &Verifier, token: &str) -> bool {
    let Ok(value) = HeaderValue::from_str(token) else { return false };
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static("x-token"), value)]);
    let uri = Uri::from_static("/hook");
    let head = Head { method: &Method::POST, uri: &uri, headers: &headers, public_url: None };
    let Ok(credential) = verifier.read(head, NOW) else { return false };
    credential.verify(verifier, &Bytes::from_static(b"{}"), NOW).is_ok()
}

/// What is let through of an HTTP/1 connection does not depend on how it comes in pieces, and another parser reads the same heads in it.
///
/// The first byte says how long the pieces are.
pub fn messages(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let limits = head::Limits { head_bytes_max: 1024, headers_max: 32, uri_bytes_max: 256 };
    let Followed { good, fault } = Messages::new(limits).follow(bytes);
    assert!(good <= bytes.len(), "no more than there is");
    let mut pieces = Messages::new(limits);
    let mut kept = Vec::new();
    let mut passed = 0;
    let mut broken = false;
    for piece in bytes.chunks(usize::from(*size).max(1)) {
        kept.extend_from_slice(piece);
        let followed = pieces.follow(&kept);
        passed += followed.good;
        kept.drain(..followed.good);
        broken = followed.fault.is_some();
        if broken {
            break;
        }
    }
    assert_eq!(broken, fault.is_some(), "the same in pieces");
    match fault {
        // What came of the body before its fault may have gone on already.
        Some(Misframed::Body(_)) => assert!(passed >= good),
        Some(Misframed::Head(_)) | None => assert_eq!(passed, good, "the same in pieces"),
    }
    reads_the_same(&bytes[..good], &limits);
}

/// Another parser finds heads where ours did, with the same bodies. It is asked up to the first chunked one.
fn reads_the_same(mut bytes: &[u8], limits: &head::Limits) {
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(bytes).expect("another parser takes what is let through");
        assert!(parsed.is_complete(), "a head is let through whole");
        let length = parsed.unwrap();
        let values = |name: &str| -> Vec<Vec<u8>> {
            let named = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            named.map(|field| field.value.to_vec()).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        let head = bytes[..length].strip_prefix(b"\r\n").unwrap_or(&bytes[..length]);
        match head::check(head, limits).expect("what is let through passes") {
            Framing::Sized(0) if lengths.is_empty() => assert!(codings.is_empty()),
            Framing::Sized(expected) => {
                assert!(codings.is_empty() && lengths.len() == 1, "one framing");
                let found = String::from_utf8(lengths[0].clone()).expect("digits");
                assert_eq!(found.parse::<u64>().expect("a number"), expected);
                let body = usize::try_from(expected).unwrap_or(usize::MAX).min(bytes.len() - length);
                bytes = &bytes[body..];
            }
            Framing::Chunked => {
                assert!(lengths.is_empty() && codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked"));
                return;
            }
        }
        bytes = &bytes[length..];
    }
}

/// Where a flood of frames is cut off does not depend on how it comes in pieces. The first byte says how long they are.
pub fn frames(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let limits = frames::Limits { frames_max: 8, bytes_max: 1024 };
    let at_once = Frames::new(limits).follow(bytes, 0);
    let mut frames = Frames::new(limits);
    let mut before = 0;
    let in_pieces = bytes.chunks(usize::from(*size).max(1)).find_map(|piece| {
        let cut = frames.follow(piece, 0).map(|good| before + good);
        before += piece.len();
        cut
    });
    assert_eq!(in_pieces, at_once, "the same in pieces");
    assert!(at_once.is_none_or(|good| good <= bytes.len()), "no more than there is");
}

/// A PROXY header is whole at one length alone, within its bounds, whatever comes behind it; and what is wrong is not made right by more.
pub fn proxy(data: &[u8]) {
    let whole = proxy::read(data);
    let length = match &whole {
        Ok(Some((_, length))) => *length,
        Ok(None) => data.len() + 1,
        Err(_) => {
            let more = [data, b"\r\n"].concat();
            assert!(proxy::read(&more).is_err(), "wrong for good");
            return;
        }
    };
    assert!(length <= proxy::HEADER_BYTES_MAX, "bounded");
    assert!(!data.starts_with(b"P") || length <= proxy::LINE_BYTES_MAX, "bounded");
    for end in 0..data.len() {
        let expected = if end < length { Ok(None) } else { whole };
        assert_eq!(proxy::read(&data[..end]), expected, "{end} bytes of {length}");
    }
}

/// An upstream's answer, whatever it is, ends or is waited for (under a deadline that is not here), and its body is no longer than the limit. Another delivery
/// would get the connection only if another parser finds exactly one whole answer in what came.
///
/// The first byte says how long the pieces are and whether the connection ends with the last.
pub fn upstream(data: &[u8]) {
    const ANSWER_BYTES_MAX: usize = 512;
    let Some((&first, bytes)) = data.split_first() else { return };
    let app = App {
        answer: bytes.to_vec(),
        said: 0,
        piece: usize::from(first >> 1).max(1),
        ends: first & 1 == 1,
        is_asked: false,
        waker: None,
    };
    let mut request = Request::new(Full::new(Bytes::from_static(b"{}")));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert("host", HeaderValue::from_static("app"));
    let Some(Lone { answer, is_reusable }) = run(Lone::exchange(app, request, ANSWER_BYTES_MAX)) else {
        assert!(first & 1 == 0, "what has ended is not waited for");
        return;
    };
    if let Ok((_, body)) = &answer {
        assert!(body.len() <= ANSWER_BYTES_MAX, "no longer than the limit");
    }
    if is_reusable {
        assert!(answer.is_ok() && first & 1 == 0, "after a whole exchange alone, and while it is open");
        assert_eq!(whole_answer(bytes), Some(bytes.len()), "exactly one answer came");
    }
}

/// How long the first answer is, with the interim ones before it, where its length is told.
fn whole_answer(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head) = response.parse(&bytes[start..]).ok()? else { return None };
        start += head;
        let status = response.code?;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        if matches!(status, 204 | 304) {
            return Some(start);
        }
        let value = |name: &str| response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        if value("transfer-encoding").is_some() {
            return chunks_end(bytes, start);
        }
        let length: usize = std::str::from_utf8(value("content-length")?.value).ok()?.trim().parse().ok()?;
        return start.checked_add(length).filter(|end| *end <= bytes.len());
    }
}

/// Where chunks that begin there end, with their trailers.
fn chunks_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let line = |at: usize| Some(at + bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")? + 2);
    loop {
        let data = line(at)?;
        let size = bytes[at..data - 2].split(|&byte| byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?.trim_matches([' ', '\t']), 16).ok()?;
        at = data;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?.checked_add(2).filter(|at| bytes.get(at - 2..*at) == Some(b"\r\n"))?;
    }
    loop {
        let next = line(at)?;
        if next == at + 2 {
            return Some(next);
        }
        at = next;
    }
}

/// Polls a future as long as it wakes itself; `None` if it then waits for something.
fn run<F: Future>(future: F) -> Option<F::Output> {
    struct Bell(AtomicBool);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let mut future = pin!(future);
    let bell = Arc::new(Bell(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&bell));
    while bell.0.swap(false, Ordering::SeqCst) {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
    }
    None
}

/// An upstream in memory: once something was written to it, it says its answer piece by piece.
struct App {
    answer: Vec<u8>,
    said: usize,
    piece: usize,
    ends: bool,
    is_asked: bool,
    waker: Option<Waker>,
}

impl AsyncRead for App {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.answer.len() - self.said;
        if !self.is_asked || left == 0 && !self.ends {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let piece = left.min(self.piece).min(buffer.remaining());
        buffer.put_slice(&self.answer[self.said..self.said + piece]);
        self.said += piece;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for App {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        self.waker.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What routes has exactly the path of its source, one Host that is one, and none of the spellings that another server might resolve to another path. The input
/// is lines: method, target, and header fields.
pub fn route(data: &[u8]) {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    let policy = POLICY.get_or_init(routes);
    let mut lines = data.split(|&byte| byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let mut request = Request::builder().method(next()).uri(next());
    for line in lines.take(16) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        request = request.header(&line[..colon], &line[colon + 1..]);
    }
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    let Ok(routed) = Routed::find(policy, &head, HostMatch::Served) else { return };
    assert!(
        Routed::find(policy, &head, HostMatch::Misdirected).is_err(),
        "a certificate of another host routes nothing"
    );
    let path = head.uri.path();
    assert_eq!(path, &*routed.source().path, "the exact path");
    for spelling in ["%", "..", "//", ";", "\\", "\0", "/./"] {
        assert!(!path.contains(spelling), "{path}");
    }
    assert!(routed.source().methods.contains(&head.method), "{}", head.method);
    let hosts: HashSet<_> = head.headers.get_all("host").iter().collect();
    assert!(head.headers.get_all("host").iter().count() == 1 && hosts.len() == 1, "one Host");
    let host = head.headers["host"].to_str().expect("it is text");
    assert!(!host.contains(['@', '/', ',', ' ', '?', '#', '\\']) && !host.is_empty(), "{host}");
    if let Some(authority) = head.uri.authority() {
        assert!(host.eq_ignore_ascii_case(authority.as_str()), "{host} {authority}");
    }
    assert!(head.headers.get_all("content-type").iter().count() <= 1, "one type");
}

/// Two sources, one below the other's path.
fn routes() -> Policy {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (name, path) in [("a", "/hooks/a"), ("b", "/hooks/a/b")] {
        let policy = format!(
            "path = \"{path}\"\n[auth]\nprovider = \"none\"\nbecause = \"x\"\n[forward]\nto = \"http://127.0.0.1:1\"\n"
        );
        std::fs::write(folder.path().join(format!("{name}.toml")), policy).expect("it can be written");
    }
    let directory = Spanned { value: folder.path().to_owned(), span: 0..0 };
    let (config, limits) = (PoliciesConfig { directory, strict: false }, Limits::new(Capacity::default()));
    load::load(&config, &NoSecrets, &limits, &mut Loaded::default()).expect("the policies load")
}
