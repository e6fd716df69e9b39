use http::{HeaderMap, Method, Uri};

use super::*;
use crate::policy::preset;

/// What is left of the work, and how long all bodies are that were kept, after JSON was tried.
fn try_json(text: &str) -> (usize, usize) {
    let verifier = Verifier::new("github", preset::find("github").unwrap().signing.schemes(), &[]).unwrap();
    let (method, uri, headers) = (Method::POST, Uri::from_static("/"), HeaderMap::new());
    let head = Head { method: &method, uri: &uri, headers: &headers, public_url: None };
    let body = Bytes::copy_from_slice(text.as_bytes());
    let case = Case { verifier: &verifier, head, body: Some(&body), now: 0 };
    let mut attempts = Attempts { case: &case, work_bytes_left: WORK_BYTES_MAX, bodies: Vec::new(), found: Vec::new() };
    body::try_json(&body, &mut attempts);
    (attempts.work_bytes_left, attempts.bodies.iter().map(Bytes::len).sum())
}

#[test]
fn what_is_written_is_paid_for_whether_or_not_it_can_be_tried() {
    // Indented they become more than three times as long.
    let number = format!("1{:029}", 0);
    let numbers = |bytes: usize| {
        format!("{}{number}{}", "[".repeat(36), format!(",{number}").repeat(bytes / 31)) + &"]".repeat(36)
    };
    let (left, kept) = try_json(&numbers(WORK_BYTES_MAX / 3));
    assert!(kept <= WORK_BYTES_MAX, "{kept} bytes kept");
    assert!(left < WORK_BYTES_MAX / 3, "{left} bytes left");
    // Escaped they become six times as long.
    let (_, kept) = try_json(&format!("[\"{}\"]", "<".repeat(WORK_BYTES_MAX / 5)));
    assert!(kept <= WORK_BYTES_MAX, "{kept} bytes kept");
    assert_eq!(try_json(&numbers(WORK_BYTES_MAX + 1)), (WORK_BYTES_MAX, 0), "what is too long is not even read");
    let (left, kept) = try_json(&numbers(100));
    assert!(left > WORK_BYTES_MAX / 2 && kept > 500, "a short body is tried in every way: {left} left, {kept} kept");
}
