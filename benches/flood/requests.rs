//! What is sent: GitHub's push of 7 KB, signed or not, with all of its head, made before anything is timed.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::Fault;

/// The secret that the policies name.
pub const SECRET: &str = "an example of a secret, for measurements alone";

const BODIES: [&str; 7] = ["push.1", "push.2", "push.3", "push.4", "push.5", "push.6", "push.7"];

/// Seven correctly signed pushes to `path`.
pub fn signed(path: &str) -> Result<Vec<Bytes>, Fault> {
    BODIES.iter().map(|name| Ok(request(path, &body(name)?, SECRET.as_bytes()))).collect()
}

/// The same, signed with another secret.
pub fn forged(path: &str) -> Result<Vec<Bytes>, Fault> {
    BODIES.iter().map(|name| Ok(request(path, &body(name)?, b"a guess"))).collect()
}

fn body(name: &str) -> Result<Vec<u8>, Fault> {
    let path = format!("tests/data/github/{name}.json");
    fs::read(&path).map_err(|fault| format!("{path}: {fault}; start me in the repository's folder").into())
}

fn request(path: &str, body: &[u8], key: &[u8]) -> Bytes {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("invariant: a key of any length");
    mac.update(body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nContent-Length: {}\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\nX-GitHub-Event: push\r\n\
         X-GitHub-Hook-ID: 292430182\r\nX-GitHub-Hook-Installation-Target-ID: 79929171\r\n\
         X-GitHub-Hook-Installation-Target-Type: repository\r\nX-Hub-Signature-256: sha256={signature}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}

/// When requests are due: as often as `per_second` says, at random and independently of one another (Poisson), the same in each run.
#[derive(Debug, Clone)]
pub struct Schedule {
    state: u64,
    mean: f64,
}

impl Schedule {
    /// One of several schedules, by its number.
    pub fn new(number: u64, per_second: f64) -> Self {
        Self { state: number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66, mean: 1.0 / per_second }
    }

    /// The time until the next one.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    pub fn gap(&mut self) -> Duration {
        // splitmix64
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-(1.0 - unit).ln() * self.mean)
    }
}
