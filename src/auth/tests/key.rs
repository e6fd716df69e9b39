//! How a configured secret becomes key bytes.

use super::secret;
use crate::auth::key::key_bytes;
use crate::auth::scheme::{SecretEncoding, SecretForm};

fn form(encoding: SecretEncoding, prefix: &str, remove_first: Option<char>) -> SecretForm {
    SecretForm { encoding, prefix: prefix.into(), remove_first }
}

#[test]
fn a_secret_spells_its_key() {
    use SecretEncoding::{Base64, Hex, Sha1, Text};
    let sha1 = hex::decode("a9993e364706816aba3e25717850c26c9cd0d89d").unwrap();
    let rows: [(SecretForm, &str, Result<&[u8], &str>); 24] = [
        (form(Text, "", None), "abc", Ok(b"abc")),
        (form(Text, "whsec_", None), "whsec_abc", Ok(b"abc")),
        (form(Text, "whsec_", None), "abc", Ok(b"abc")),
        (form(Text, "whsec_", None), "whsec_whsec_", Ok(b"whsec_")),
        (form(Text, "whsec_", None), "whsec_", Err("long enough: nothing is left of it")),
        (form(Text, "signkey-*-", None), "signkey-prod-abc", Ok(b"abc")),
        (form(Text, "signkey-*-", None), "signkey-a_1-abc-d", Ok(b"abc-d")),
        (form(Text, "signkey-*-", None), "signkey--abc", Ok(b"signkey--abc")),
        (form(Text, "signkey-*-", None), "signkey-prod", Ok(b"signkey-prod")),
        (form(Text, "signkey-*-", None), "signkey-pr.d-abc", Ok(b"signkey-pr.d-abc")),
        (form(Text, "signkey-*-", None), "key-prod-abc", Ok(b"key-prod-abc")),
        (form(Text, "", Some('-')), "a-b-c", Ok(b"ab-c")),
        (form(Text, "", Some('-')), "abc", Ok(b"abc")),
        (form(Text, "k-", Some('-')), "k-a-b", Ok(b"ab")),
        (form(Hex, "", None), "00ffFF", Ok(&[0, 255, 255])),
        (form(Hex, "", None), "0", Err("hex")),
        (form(Hex, "", None), "zz", Err("hex")),
        (form(Base64, "", None), "YWJj", Ok(b"abc")),
        (form(Base64, "", None), "YWI=", Ok(b"ab")),
        (form(Base64, "", None), "YWI", Ok(b"ab")),
        (form(Base64, "", None), "YW-_", Err("base64")),
        (form(Base64, "whsec_", None), "whsec_YWJj", Ok(b"abc")),
        (form(Base64, "whsec_", None), "whsec_", Err("long enough: nothing is left of it")),
        (form(Sha1, "", None), "abc", Ok(&sha1)),
    ];
    for (form, text, expected) in rows {
        let found = key_bytes(&form, &secret("only", text));
        let found = found.as_ref().map(|key| key.expose()).map_err(|fault| fault.expected);
        assert_eq!(found, expected, "{text} as {form:?}");
    }
}

#[test]
fn a_fault_names_the_secret_and_not_what_is_in_it() {
    let fault = key_bytes(&form(SecretEncoding::Hex, "", None), &secret("2026-11", "hunter2")).unwrap_err();
    assert_eq!(fault.to_string(), "secret `2026-11` is not hex");
}
