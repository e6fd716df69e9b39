//! What these tests share besides the gateways, apps and clients of `tests/kit/live`: providers' sites, and signatures made by hand.

#[path = "../../kit/live/mod.rs"]
mod live;
pub(crate) mod serve;
mod signature;
mod site;
pub(crate) mod sns;

pub(crate) use live::{Answer, App, Connection, Delivery, Hello, House, NOW, PATIENCE, Running, Say};
pub(crate) use live::{app, command, eventually, house};
pub(crate) use signature::{base64, hmac_sha1, hmac_sha256};
pub(crate) use site::{KEY, NONE, SECRET, Site, VERIFY_TOKEN, signing_key};
