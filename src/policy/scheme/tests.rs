use super::*;
use crate::auth::scheme::{Hash, PublicKeyAlgorithm, TokenAlgorithm};
use crate::auth::template::Part;
use crate::policy::table::{findings, read};
use http::HeaderName;
use proptest::prelude::*;

fn value(value: Value) -> Part {
    Part::Value(value, Box::default())
}

fn header(name: &'static str) -> Place {
    Place::header(HeaderName::from_static(name))
}

fn check(text: &str) -> (Option<Scheme>, Vec<String>) {
    let (scheme, found) = findings(text, |file, found| read(file, found, read_scheme));
    (scheme.flatten(), found)
}

const GOOD: &str = r#"
algorithm  = "hmac-sha256"
credential = "header:X-Acme-Signature"
list       = { separator = ",", pair = "=", item = "v1" }
encoding   = "hex"
secret     = { encoding = "base64", prefix = "whsec_" }
signed     = "{timestamp}.{body}"
timestamp  = { at = "item:t", unit = "milliseconds", tolerance_seconds = 60 }
"#;

#[test]
fn a_scheme_is_read_with_all_its_words() {
    let signatures = Signatures::Named { pair: '=', item: Box::from("v1") };
    let expected = Scheme {
        shape: Shape::List(Layout { group: None, separator: ',', signatures }),
        encoding: Encoding::Hex,
        secret: SecretForm { encoding: SecretEncoding::Base64, prefix: Box::from("whsec_"), remove_first: None },
        signed: Template::new(vec![value(Value::Timestamp), Part::Text(Box::from(".")), value(Value::Body)]),
        timestamp: Some(TimestampRule {
            at: Place::Item(Box::from("t")),
            unit: TimestampUnit::Milliseconds,
            tolerance_seconds: 60,
            json_type: JsonType::Number,
        }),
        ..blank(Algorithm::Hmac(Hash::Sha256), header("x-acme-signature"))
    };
    assert_eq!(check(GOOD), (Some(expected), Vec::new()));
}

#[test]
fn what_is_left_out_has_its_default() {
    let (scheme, found) = check(
        "algorithm = 'hmac-sha1'\ncredential = 'bearer'\nencoding = 'base64url'\nsigned = '{body}{header:x-t}'\n\
         timestamp = { at = 'header:x-t' }",
    );
    let scheme = scheme.unwrap();
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(scheme.shape, Shape::Whole { prefix: Box::default() });
    assert_eq!(scheme.secret, SecretForm::default());
    let timestamp = scheme.timestamp.unwrap();
    assert_eq!((timestamp.unit, timestamp.tolerance_seconds), (TimestampUnit::Seconds, 300));
}

#[test]
fn static_credentials_need_no_more_than_their_place() {
    let rows = [
        ("algorithm = 'token'\ncredential = 'header:x-token'", header("x-token"), ""),
        ("algorithm = 'token'\ncredential = 'query:key'\nprefix = 'k '", Place::Query(Box::from("key")), "k "),
        ("algorithm = 'token'\ncredential = 'bearer'", Place::Bearer, ""),
        ("algorithm = 'basic'", Place::Basic, ""),
        ("algorithm = 'basic'\ncredential = 'basic'", Place::Basic, ""),
    ];
    for (text, credential, prefix) in rows {
        let (scheme, found) = check(text);
        let scheme = scheme.unwrap();
        assert_eq!(found, Vec::<String>::new(), "{text}");
        assert_eq!((scheme.credential, scheme.encoding), (credential, Encoding::Text), "{text}");
        assert_eq!(scheme.shape, Shape::Whole { prefix: Box::from(prefix) }, "{text}");
    }
}

/// Each row replaces one line of [`GOOD`] (or adds one at its end) and names what is then found.
#[test]
fn each_fault_is_told_at_its_place() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("algorithm", "algorithm = 'hmac-md5'", &["2:13: unknown algorithm \"hmac-md5\""]),
        ("algorithm", "", &["missing key \"algorithm\""]),
        ("credential", "", &["missing key \"credential\""]),
        ("credential", "credential = 'x-acme'", &["3:14: unknown place \"x-acme\""]),
        ("credential", "credential = 'header:x acme'", &["3:14: \"x acme\" is not the name of a header field"]),
        ("credential", "credential = 'query:'", &["3:14: must be of 1 to 256 bytes without control characters"]),
        ("credential", "credential = 'basic'", &["3:14: a signature cannot be at \"basic\""]),
        ("encoding", "", &["missing key \"encoding\""]),
        ("encoding", "encoding = 'b64'", &["5:12: unknown encoding \"b64\""]),
        ("secret", "secret = 'base64'", &["6:10: secret must be a table, got a string"]),
        ("secret", "secret = { encoding = 'b64' }", &["6:23: unknown encoding \"b64\""]),
        ("secret", "secret = { enc = 'hex' }", &["6:12: unknown key \"enc\" in secret"]),
        ("signed", "", &["missing key \"signed\""]),
        ("signed", "signed = ''", &["7:10: a template must be of 1 to 1024 bytes"]),
        ("signed", "signed = '{timestamp}.{bdy}'", &["7:23: unknown placeholder \"{bdy}\""]),
        (
            "signed",
            "signed = '{}{body}{query:}'",
            &["7:11: unknown placeholder \"{}\"", "7:19: must be of 1 to 256 bytes without control characters"],
        ),
        ("signed", "signed = '{timestamp}.{body'", &["7:23: a brace is not closed"]),
        ("signed", "signed = \"{timestamp}\\u002e{bdy}\"", &["7:10: unknown placeholder \"{bdy}\""]),
        (
            "signed",
            "signed = '{timestamp}'",
            &["7:10: warning: signed does not cover the body, which anybody could then change"],
        ),
        ("signed", "signed = '{timestamp}.{body|sha256|hex}'", &[]),
        (
            "signed",
            "signed = '{timestamp}.{body|xml:id}'",
            &["7:10: warning: signed does not cover the body, which anybody could then change"],
        ),
        (
            "signed",
            "signed = '{timestamp|xml:t}.{body}'",
            &["7:11: {timestamp} cannot be sent through from-base64 or xml"],
        ),
        ("signed", "signed = '{timestamp}{parameter:a|hex}'", &["7:22: {parameter:a} cannot be sent through a filter"]),
        ("signed", "signed = '{body}'", &["8:21: the timestamp is not part of signed, so anybody could renew it"]),
        (
            "signed",
            "signed = '{{timestamp}.{body}'",
            &["8:21: the timestamp is not part of signed, so anybody could renew it"],
        ),
        ("timestamp", "", &["7:15: signed names {timestamp}, but there is no timestamp table"]),
        ("timestamp", "timestamp = { at = 't' }", &["8:20: unknown place \"t\""]),
        ("timestamp", "timestamp = { at = 'item:v1' }", &["8:20: item \"v1\" is the signature already"]),
        ("timestamp", "timestamp = { at = 'item:a=b' }", &["8:20: item \"a=b\" holds the list's own ',' or '='"]),
        ("timestamp", "timestamp = { at = 'item:t', unit = 'minutes' }", &["8:37: unknown unit \"minutes\""]),
        (
            "timestamp",
            "timestamp = { at = 'item:t', tolerance_seconds = 0 }",
            &["8:50: tolerance_seconds is 0, must be 1..=86_400"],
        ),
        ("timestamp", "timestamp = { at = 'item:t', tolerance_seconds = 1 }", &[]),
        ("timestamp", "timestamp = { at = 'item:t', tolerance_seconds = 86_400 }", &[]),
        (
            "timestamp",
            "timestamp = { at = 'item:t', tolerance_seconds = 86_401 }",
            &["8:50: tolerance_seconds is 86401, must be 1..=86_400"],
        ),
        ("list", "", &["8:21: timestamp is at \"item:t\", but the credential is no list"]),
        ("list", "list = { item = '' }", &["4:17: must be of 1 to 256 bytes without control characters"]),
        ("list", "list = { item = 'a,b' }", &["4:17: item \"a,b\" holds the list's own ',' or '='"]),
        ("list", "list = { pair = ',', item = 'v1' }", &["4:8: separator and pair are both ','"]),
        ("list", "list = { separator = ', ', item = 'v1' }", &["4:22: must be one character, got \", \""]),
        ("list", "list = {}", &["4:8: missing key \"item\" in list"]),
        ("credential", "credential = 'json:/signature'", &[]),
        (
            "credential",
            "credential = 'json:/signatures/*'",
            &["4:1: a list stands alone, and at \"json:/signatures/*\" there may be several"],
        ),
        (
            "credential",
            "credential = 'header:x-acme-*'",
            &["4:1: a list stands alone, and at \"header:x-acme-*\" there may be several"],
        ),
        ("end", "prefix = 'sha256='", &["4:1: list and prefix cannot stand together"]),
        ("end", "digest = 'x'", &["9:1: unknown key \"digest\""]),
    ];
    for (replaced, line, expected) in rows {
        let mut lines: Vec<_> =
            GOOD.lines().map(|good| if good.starts_with(replaced) { *line } else { good }).collect();
        if *replaced == "end" {
            lines.push(line);
        }
        assert_eq!(check(&lines.join("\n")).1, *expected, "{line:?} for {replaced}");
    }
}

#[test]
fn static_credentials_refuse_the_words_of_signatures() {
    let rows: &[(&str, &[&str])] = &[
        ("algorithm = 'token'", &["missing key \"credential\""]),
        (
            "algorithm = 'token'\ncredential = 'basic'",
            &["2:14: the credential of algorithm \"token\" cannot be at \"basic\""],
        ),
        (
            "algorithm = 'basic'\ncredential = 'bearer'",
            &["2:14: the credential of algorithm \"basic\" is always at \"basic\""],
        ),
        (
            "algorithm = 'basic'\nsigned = '{body}'\nencoding = 'hex'",
            &[
                "2:1: \"signed\" has no meaning beside algorithm \"basic\", which signs nothing",
                "3:1: \"encoding\" has no meaning beside algorithm \"basic\", which signs nothing",
            ],
        ),
        (
            "algorithm = 'basic'\ntimestamp = { at = 'header:x' }",
            &["2:1: \"timestamp\" has no meaning beside algorithm \"basic\", which signs nothing"],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(check(text).1, *expected, "{text}");
    }
}

#[test]
fn templates_hold_fixed_text_and_values() {
    let fixed = |text: &str| Part::Text(Box::from(text));
    let rows = [
        ("v0:{timestamp}:{body}", vec![fixed("v0:"), value(Value::Timestamp), fixed(":"), value(Value::Body)]),
        ("{{{body}}", vec![fixed("{"), value(Value::Body), fixed("}")]),
        ("{{body}", vec![fixed("{body}")]),
        ("{url}{method}", vec![value(Value::Url), value(Value::Method)]),
        (
            "{header:X-A}{query:q}",
            vec![value(Value::At(header("x-a"))), value(Value::At(Place::Query(Box::from("q"))))],
        ),
        ("é{body}ü", vec![fixed("é"), value(Value::Body), fixed("ü")]),
    ];
    for (text, parts) in rows {
        assert_eq!(parse_template(text), Ok(Template::new(parts)), "{text}");
    }
    assert!(parse_template(&"a".repeat(TEMPLATE_BYTES_MAX)).is_ok());
    assert!(parse_template(&"a".repeat(TEMPLATE_BYTES_MAX + 1)).is_err());
}

proptest! {
    #[test]
    fn no_template_can_make_the_reader_panic(text in "[{}a-z:é]{0,40}") {
        for fault in parse_template(&text).err().into_iter().flatten() {
            let within = fault.within.unwrap_or_default();
            prop_assert!(text.get(within).is_some());
        }
    }
}

/// Each row is one whole scheme of another kind, with what is found in it.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn the_other_kinds_of_schemes_tell_their_faults() {
    let signed = "credential = 'header:x-sig'\nencoding = 'hex'\n";
    let jwt = "algorithm = 'jwt'\ncredential = 'bearer'\n";
    let rows: &[(&str, String, &[&str])] = &[
        ("digest", format!("{signed}algorithm = 'sha256'\nsigned = '{{secret}}{{body}}'"), &[]),
        (
            "digest without secret",
            format!("{signed}algorithm = 'keccak256'\nsigned = '{{body}}'"),
            &["4:10: algorithm \"keccak256\" has no key, and signed does not name {secret}"],
        ),
        (
            "a token of several",
            "algorithm = 'jwt'\ncredential = 'header:x-token-*'\njwt = { algorithms = ['HS256'] }".to_owned(),
            &["2:1: a credential of algorithm \"jwt\" stands alone"],
        ),
        (
            "detached signatures of several",
            "algorithm = 'jws-detached'\ncredential = 'header:x-sig-*'\njwt = { algorithms = ['HS256'] }".to_owned(),
            &["2:1: a credential of algorithm \"jws-detached\" stands alone"],
        ),
        (
            "a token of the body",
            "algorithm = 'jwt'\ncredential = 'json:/token'\njwt = { algorithms = ['HS256'] }".to_owned(),
            &[],
        ),
        (
            "a time in a body that is signed in part",
            format!("{signed}algorithm = 'hmac-sha256'\nsigned = '{{body|xml:id}}'\ntimestamp = {{ at = 'json:/t' }}"),
            &[
                "4:10: warning: signed does not cover the body, which anybody could then change",
                "5:20: the timestamp is not part of signed, so anybody could renew it",
            ],
        ),
        (
            "a time in a body that is signed as its hash",
            format!(
                "{signed}algorithm = 'hmac-sha256'\nsigned = '{{body|sha256|hex}}'\ntimestamp = {{ at = 'json:/t' }}"
            ),
            &[],
        ),
        (
            "secret in an HMAC",
            format!("{signed}algorithm = 'hmac-sha256'\nsigned = '{{secret}}{{body}}'"),
            &["4:10: {secret} is for plain digests; elsewhere the secret is the key"],
        ),
        (
            "a MAC in what is signed",
            format!("{signed}algorithm = 'hmac-sha256'\nsigned = '{{body|hmac-sha256|hex}}'"),
            &["4:10: hmac filters and {verify_token} are for answers to handshakes"],
        ),
        (
            "unknown filter",
            format!("{signed}algorithm = 'hmac-sha256'\nsigned = 'x{{body|md5|hex}}'"),
            &["4:12: unknown filter \"md5\""],
        ),
        (
            "an element without name",
            format!("{signed}algorithm = 'hmac-sha256'\nsigned = '{{body|xml:}}'"),
            &["4:11: must be of 1 to 256 bytes without control characters"],
        ),
        (
            "fields of a prefix in a template",
            format!("{signed}algorithm = 'hmac-sha256'\nsigned = '{{body}}{{header:x-*}}'"),
            &["4:17: unknown placeholder \"{header:x-*}\""],
        ),
        (
            "no pointer",
            format!("{signed}algorithm = 'hmac-sha256'\nsigned = '{{body}}{{json:a}}'"),
            &["4:17: \"a\" is not a JSON Pointer"],
        ),
        (
            "public key",
            format!(
                "{signed}algorithm = 'ed25519'\nsigned = '{{timestamp}}{{body}}'\ntimestamp = {{ at = 'header:x-t' }}"
            ),
            &[],
        ),
        (
            "jwt beside a signature",
            format!("{signed}algorithm = 'rsa-sha256'\nsigned = '{{body}}'\njwt = {{ algorithms = ['RS256'] }}"),
            &["5:1: \"jwt\" is for algorithm \"jwt\" and \"jws-detached\" only"],
        ),
        (
            "two prefixes",
            format!("{signed}algorithm = 'hmac-sha1'\nsigned = '{{body}}'\nprefix = 'a'\noptional_prefix = 'b'"),
            &["5:1: prefix and optional_prefix cannot stand together"],
        ),
        (
            "list by position",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{timestamp}}{{body}}'\nlist = {{ position = 1 }}\ntimestamp = {{ at = 'position:0' }}"
            ),
            &[],
        ),
        (
            "names in a list by position",
            format!("{signed}algorithm = 'hmac-sha1'\nsigned = '{{body}}'\nlist = {{ position = 1, item = 'v1' }}"),
            &["5:24: \"item\" has no meaning beside \"position\", which counts items without names"],
        ),
        (
            "a position past any list",
            format!("{signed}algorithm = 'hmac-sha1'\nsigned = '{{body}}'\nlist = {{ position = 64 }}"),
            &["5:21: position is 64, must be 0..=63"],
        ),
        (
            "time where a signature is",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{timestamp}}{{body}}'\nlist = {{ position = 1 }}\ntimestamp = {{ at = 'position:1' }}"
            ),
            &["6:20: position 1 is a signature already"],
        ),
        (
            "a name in a list without names",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{timestamp}}{{body}}'\nlist = {{ position = 1 }}\ntimestamp = {{ at = 'item:t' }}"
            ),
            &["6:20: timestamp is at \"item:t\", but the list's items have no names"],
        ),
        (
            "a position in a list with names",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{timestamp}}{{body}}'\nlist = {{ item = 'v1' }}\ntimestamp = {{ at = 'position:0' }}"
            ),
            &["6:20: timestamp is at \"position:0\", but the list's items have names"],
        ),
        (
            "one separator for two things",
            format!("{signed}algorithm = 'hmac-sha1'\nsigned = '{{body}}'\nlist = {{ item = 'v1', group = ',' }}"),
            &["5:8: separator and group are both ','"],
        ),
        (
            "time of the body in what is signed",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{timestamp}}{{body}}'\ntimestamp = {{ at = 'json:/t' }}"
            ),
            &["5:20: a timestamp inside of the body is judged after the signature, so signed cannot name {timestamp}"],
        ),
        (
            "time in the body",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{body}}'\ntimestamp = {{ at = 'json:/t', json_type = 'string' }}"
            ),
            &[],
        ),
        (
            "the type of a header",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{timestamp}}{{body}}'\ntimestamp = {{ at = 'header:x-t', json_type = 'string' }}"
            ),
            &["5:46: json_type is for a timestamp at \"json:…\""],
        ),
        (
            "time in a claim",
            format!(
                "{signed}algorithm = 'hmac-sha1'\nsigned = '{{timestamp}}{{body}}'\ntimestamp = {{ at = 'claim:iat' }}"
            ),
            &["5:20: a timestamp cannot be at \"claim:iat\""],
        ),
        (
            "a credential in itself",
            "algorithm = 'hmac-sha1'\nencoding = 'hex'\nsigned = '{body}'\ncredential = 'item:v1'".to_owned(),
            &["4:14: a credential cannot be at \"item:v1\""],
        ),
        (
            "a secret that is a claim",
            "algorithm = 'token'\ncredential = 'claim:x'".to_owned(),
            &["2:14: the credential of algorithm \"token\" cannot be at \"claim:x\""],
        ),
        (
            "a position",
            "algorithm = 'token'\ncredential = 'position:64'".to_owned(),
            &["2:14: \"64\" is not a position from 0 to 63"],
        ),
        ("when alone", format!("{jwt}jwt = {{ algorithms = ['HS256'] }}\nrequire = [{{ value = 'claim:iss' }}]"), &[]),
        ("no rules", jwt.to_owned(), &["missing key \"jwt\""]),
        ("no algorithms", format!("{jwt}jwt = {{ }}"), &["3:7: missing key \"algorithms\" in jwt"]),
        (
            "an empty list",
            format!("{jwt}jwt = {{ algorithms = [] }}"),
            &["3:22: algorithms is empty, so no token would ever be accepted"],
        ),
        ("none", format!("{jwt}jwt = {{ algorithms = ['none'] }}"), &["3:23: unknown algorithm \"none\""]),
        (
            "secrets and public keys",
            format!("{jwt}jwt = {{ algorithms = ['HS256', 'RS256'] }}"),
            &["3:22: algorithms with secrets and with public keys cannot stand together"],
        ),
        (
            "leeway",
            format!("{jwt}jwt = {{ algorithms = ['HS256'], leeway_seconds = 601 }}"),
            &["3:50: leeway_seconds is 601, must be 0..=600"],
        ),
        (
            "age",
            format!("{jwt}jwt = {{ algorithms = ['HS256'], age_seconds_max = 0 }}"),
            &["3:51: age_seconds_max is 0, must be 1..=86_400"],
        ),
        (
            "a token that is signed twice",
            format!("{jwt}jwt = {{ algorithms = ['HS256'] }}\nsigned = '{{body}}'"),
            &["4:1: \"signed\" has no meaning beside algorithm \"jwt\", which says it itself"],
        ),
        (
            "a side condition of nothing",
            "algorithm = 'basic'\nrequire = [{ equals = 'x' }]".to_owned(),
            &["2:12: missing key \"value\" in require[0]"],
        ),
        (
            "two comparisons",
            "algorithm = 'basic'\nrequire = [{ value = 'header:x', equals = 'x', matches = 'y' }]".to_owned(),
            &["2:48: equals and matches cannot stand together"],
        ),
        (
            "no pattern",
            "algorithm = 'basic'\nrequire = [{ value = 'header:x', matches = '(' }]".to_owned(),
            &["2:44: \"(\" is not a pattern"],
        ),
        (
            "nothing that is optional",
            "algorithm = 'basic'\nrequire = [{ value = 'header:x', optional = true }]".to_owned(),
            &["2:34: nothing is required: neither equals, any nor matches, and it is optional"],
        ),
        (
            "every element, if there is one",
            "algorithm = 'basic'\nrequire = [{ value = 'json:/a/*', equals = 'x', optional = true }]".to_owned(),
            &["2:49: what every element has to hold cannot be optional: one without it would excuse all others"],
        ),
        (
            "a template in any",
            "algorithm = 'basic'\nrequire = [{ value = 'header:x', any = ['a', '{b'] }]".to_owned(),
            &["2:47: a brace is not closed"],
        ),
        ("no method", "algorithm = 'basic'\nwhen = ['method=A B']".to_owned(), &["2:9: \"A B\" is not a method"]),
        ("no place", "algorithm = 'basic'\nwhen = ['!x']".to_owned(), &["2:9: unknown place \"x\""]),
        (
            "a condition of the body",
            "algorithm = 'basic'\nwhen = ['json:/a=b']".to_owned(),
            &["2:8: json:/a=b cannot be told before the body is read"],
        ),
    ];
    for (name, text, expected) in rows {
        assert_eq!(check(text).1, *expected, "{name}: {text}");
    }
}

#[test]
fn every_algorithm_has_its_word() {
    let rows = [
        ("hmac-sha384", Algorithm::Hmac(Hash::Sha384)),
        ("keccak256", Algorithm::Digest(Hash::Keccak256)),
        ("ecdsa-p256-sha256", Algorithm::PublicKey(PublicKeyAlgorithm::EcdsaP256)),
        ("rsa-sha512", Algorithm::PublicKey(PublicKeyAlgorithm::RsaSha512)),
    ];
    for (word, algorithm) in rows {
        let text =
            format!("algorithm = '{word}'\ncredential = 'header:x'\nencoding = 'hex'\nsigned = '{{secret}}{{body}}'");
        let text = if algorithm.name() == "keccak256" { text } else { text.replace("{secret}", "") };
        assert_eq!(check(&text).0.unwrap().algorithm, algorithm);
    }
    let (scheme, found) = check(
        "algorithm = 'jws-detached'\ncredential = 'header:x'\njwt = { algorithms = ['RS512', 'EdDSA'], leeway_seconds = 5, age_seconds_max = 60 }",
    );
    assert_eq!(found, Vec::<String>::new());
    let algorithms = Box::from([TokenAlgorithm::Rs512, TokenAlgorithm::EdDsa]);
    let expected = TokenRule { algorithms, leeway_seconds: 5, age_seconds_max: Some(60) };
    assert_eq!(scheme.unwrap().token, expected);
}

fn check_schemes(text: &str) -> (Option<usize>, Vec<String>) {
    let (schemes, found) = findings(text, |file, found| read(file, found, read_schemes));
    (schemes.flatten().map(|schemes| schemes.len()), found)
}

#[test]
fn of_several_schemes_each_but_the_last_says_when() {
    let first = "[[scheme]]\nwhen = ['query:x']\nalgorithm = 'basic'\n";
    let last = "[[scheme]]\nalgorithm = 'basic'\n";
    let rows: [(String, Option<usize>, &[&str]); 5] = [
        (format!("{first}{last}"), Some(2), &[]),
        (format!("{first}{first}"), Some(2), &[]),
        (last.to_owned(), Some(1), &[]),
        (format!("{last}{first}"), None, &["1:1: scheme[0] has no \"when\", so no scheme after it is ever used"]),
        (
            "[scheme]\nwhen = ['query:x']\nalgorithm = 'basic'".to_owned(),
            Some(1),
            &["2:1: \"when\" is for [[scheme]], where there are several"],
        ),
    ];
    for (text, count, expected) in rows {
        let (found, findings) = check_schemes(&text);
        assert_eq!(findings, expected, "{text}");
        assert_eq!(found, count, "{text}");
    }
}

#[test]
fn faults_of_handshakes_are_told() {
    let rows: [(&str, &[&str]); 8] = [
        ("when = ['json:/type=x']\nanswer = ''", &[]),
        ("answer = 'x'", &["1:1: missing key \"when\" in handshake[0]"]),
        ("when = []", &["2:8: when is empty, so every request would be one"]),
        ("when = ['query:c']\nproof = 'never'", &["3:9: unknown proof \"never\""]),
        ("when = ['query:c']\nanswer = '{query:c|hmac-sha256|base64}'\nheaders = { x-a = '{verify_token}' }", &[]),
        ("when = ['query:c']\nanswer = '{query:c|jsn}'", &["3:11: unknown filter \"jsn\""]),
        ("when = ['query:c']\nheaders = { 'a b' = 'x' }", &["3:13: \"a b\" is not the name of a header field"]),
        ("when = ['query:c']\nlearn = 'x'", &["3:9: unknown place \"x\""]),
    ];
    for (text, expected) in rows {
        let text = format!("[[handshake]]\n{text}");
        let (_, found) = findings(&text, |file, found| read(file, found, read_handshakes));
        assert_eq!(found, expected, "{text}");
    }
}
