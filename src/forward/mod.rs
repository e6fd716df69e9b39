//! The way out: what may leave, over which connection, and what comes back.
//!
//! **Invariant:** what is sent is an [`UpstreamRequest`](request::UpstreamRequest): of a [`Sanitized`](crate::delivery::Sanitized) delivery, with a head that
//! is written anew, field by field, from allow-lists; or one of the gateway's own two, a health check and a visit that confirms a subscription. So spoofed
//! identity headers and hop-by-hop mistakes have no code to live in.
//!
//! Reading order: [`target`] (where to), [`targets`] (which one of several), [`headers`] (what may leave), [`sign`] (Standard Webhooks), [`request`] (the
//! requests that leave), [`pool`] (over which connection), [`answer`] (what the upstream's answer means for the sender); apart from these [`names`] (where a
//! host is) and [`lookups`] (the same, asked once for many).

pub mod answer;
pub mod headers;
pub mod lookups;
pub mod names;
pub mod pool;
pub mod request;
pub mod sign;
pub mod target;
pub mod targets;

pub use answer::Forwarded;
pub use headers::HeaderRules;
pub use pool::Upstreams;
pub use sign::Signer;
pub use target::Target;
pub use targets::Targets;
