//! The visit by which a provider learns that a subscription is wanted: an address of its own, which an authentic message named.
//!
//! It stands between `auth`, which makes it of a message that was proven and of nothing else, and `gateway`, which makes the visit.
//!
//! **Invariant:** the host is one that the provider's file of [`code`](super::code) made, not one that was cut out of a sender's URL; it is reached over
//! https, on its port.

use std::fmt;

use http::Uri;

/// Where to go so that a subscription is confirmed.
#[derive(Clone)]
pub struct Confirmation {
    host: Box<str>,
    target: Uri,
    topic: Box<str>,
}

/// Without path and query: they hold the token that confirms.
impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation").field("host", &self.host).field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Confirmation {
    /// The visit of this path and query at this host. `None` if they are none.
    pub(super) fn new(host: &str, target: &str, topic: &str) -> Option<Self> {
        let target: Uri = target.parse().ok()?;
        (target.host().is_none() && target.path() == "/").then(|| Self {
            host: host.into(),
            target,
            topic: topic.into(),
        })
    }

    /// The host, to be reached by https on port 443.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path and query, which nobody may log.
    #[must_use]
    pub const fn target(&self) -> &Uri {
        &self.target
    }

    /// What is subscribed to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }
}
