//! Adyen's standard webhooks: each item of the body carries a signature over eight of its own fields.
//!
//! Fields are joined by `:` without escapes, so a `:` inside of one could be read as another split of the same text. Only
//! `merchantReference`, which is the merchant's own text, may hold one here: then every signed text has one reading.

use subtle::Choice;

use super::keys::{self, Keys};
use super::{About, CheckedWith, Code, Found, malformed, missing, no_advice, object};
use crate::auth::describe::Deliveries;
use crate::auth::facts::Covered;
use crate::auth::key::{KeyFault, Mac64, NamedSecret};
use crate::auth::place::{Head, Place, View};
use crate::auth::scheme::{Encoding, Hash, SecretEncoding};
use crate::clock::UnixSeconds;
use crate::payload::{Kind, Node};
use crate::rejection::Rejection;

pub(super) const ABOUT: About = About {
    checked_with: CheckedWith::Secrets,
    key_id: None,
    signed: "HMAC-SHA256 of `pspReference:originalReference:merchantAccountCode:merchantReference:amount.value:amount.currency:eventCode:success` of each item",
    lines: &[
        (
            "proves",
            "that somebody who knows the secret signed the eight fields named below of every item, but not the rest of this body; not when",
        ),
        (
            "not covered",
            "every other field of an item, such as `eventDate`, `reason` and `additionalData`; how many items there are and in which order; the method; the \
             URL and its query; the time; all headers",
        ),
        (
            "credential",
            "`additionalData.hmacSignature` of each `NotificationRequestItem` in the body: 32 bytes in base64 with padding; all of them have to fit",
        ),
        ("secret", "the whole secret, decoded from hex, is the key"),
        ("time", "none is signed: a captured delivery is as good tomorrow as today"),
    ],
    tolerance_seconds: None,
    deliveries: Deliveries::Differ,
    covers,
    advice: no_advice,
};

/// More items than any delivery has: Adyen sends one as JSON and up to six as SOAP.
const ITEMS_MAX: usize = 64;

/// The first item's signed fields; of the others nobody makes a fact.
fn covers(place: &Place) -> Covered {
    const SIGNED: [&str; 8] = [
        "/pspReference",
        "/originalReference",
        "/merchantAccountCode",
        "/merchantReference",
        "/amount/value",
        "/amount/currency",
        "/eventCode",
        "/success",
    ];
    let Place::Json(pointer) = place else { return Covered::Unsigned };
    let pointer = pointer.to_string();
    let field = pointer.strip_prefix("/notificationItems/0/NotificationRequestItem");
    if field.is_some_and(|field| SIGNED.contains(&field)) { Covered::Signed } else { Covered::Unsigned }
}

/// The keys of a source.
#[derive(Debug)]
pub(super) struct Adyen {
    keys: Keys,
}

/// What an item says and its signature.
struct Item {
    text: String,
    mac: Mac64,
}

impl Adyen {
    /// # Errors
    /// [`KeyFault`] for a secret that is not hex.
    pub(super) fn new(keys: &[NamedSecret]) -> Result<Self, KeyFault> {
        Ok(Self { keys: Keys::new(Hash::Sha256, SecretEncoding::Hex, keys)? })
    }
}

impl Code for Adyen {
    fn present(&self, _head: Head<'_>, _now: UnixSeconds) -> Result<(), Rejection> {
        Ok(())
    }

    fn verify<'k>(&'k self, view: &View<'_>, now: UnixSeconds) -> Result<Found<'k>, Rejection> {
        let items = items(object(view)?)?;
        // One key for all of them: a delivery is signed at once.
        let key = self.keys.fitting(now, |key| {
            items.iter().fold(Choice::from(1), |all, item| all & keys::fits(key, &item.mac, &[item.text.as_bytes()]))
        })?;
        let texts: Vec<&str> = items.iter().map(|item| &*item.text).collect();
        let body = view.body.map_or(&b""[..], |body| body.bytes());
        Ok(Found {
            key,
            digest: Some(keys::bound(texts.join("\n").as_bytes(), body)),
            signed_at_millis: None,
            stale_from: None,
        })
    }
}

fn items(root: Node<'_>) -> Result<Vec<Item>, Rejection> {
    let list = root.get("notificationItems").filter(|list| list.kind() == Kind::Array && !list.is_empty());
    let list = list.ok_or_else(|| missing("/notificationItems in the body"))?;
    if list.len() > ITEMS_MAX {
        return Err(malformed("fewer items").fact("items_max", ITEMS_MAX));
    }
    list.elements().map(item).collect()
}

fn item(element: Node<'_>) -> Result<Item, Rejection> {
    let item =
        element.get("NotificationRequestItem").ok_or_else(|| missing("NotificationRequestItem in every item"))?;
    let signature = item.get("additionalData").and_then(|data| data.get("hmacSignature"));
    let signature = signature.and_then(Node::as_str).filter(|text| !text.is_empty());
    let signature = signature.ok_or_else(|| missing("additionalData/hmacSignature in every item"))?;
    let mac = keys::decode(&signature, Encoding::Base64, 32).ok_or_else(|| malformed("32 bytes in base64"))?;
    let text =
        signed_text(item).ok_or_else(|| malformed("the eight signed fields in every item, each of its own form"))?;
    Ok(Item { text, mac })
}

/// The eight fields as they are signed; `None` where one is not of its form.
fn signed_text(item: Node<'_>) -> Option<String> {
    let amount = item.get("amount")?;
    let value = amount.get("value").filter(|value| value.is_written_as_integer())?.number()?;
    let success = item.get("success")?.scalar_text().filter(|text| matches!(&**text, "true" | "false"))?;
    let fields = [
        plain(item.get("pspReference")?)?,
        optional(item, "originalReference").and_then(without_colon)?,
        plain(item.get("merchantAccountCode")?)?,
        optional(item, "merchantReference")?,
        value.to_owned(),
        plain(amount.get("currency")?)?,
        plain(item.get("eventCode")?)?,
        success.into_owned(),
    ];
    Some(fields.join(":"))
}

/// A string that is there.
fn plain(node: Node<'_>) -> Option<String> {
    without_colon(node.as_str()?.into_owned()).filter(|text| !text.is_empty())
}

/// A string that may be absent, `null` or empty, which is signed alike.
fn optional(item: Node<'_>, name: &str) -> Option<String> {
    match item.get(name) {
        Some(node) if !node.is_null() => Some(node.as_str()?.into_owned()),
        Some(_) | None => Some(String::new()),
    }
}

fn without_colon(text: String) -> Option<String> {
    (!text.contains(':')).then_some(text)
}
