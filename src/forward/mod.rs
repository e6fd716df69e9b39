//! The way out: what may leave, over which connection, and what comes back.
//!
//! **Invariant:** an upstream request is made of a [`Sanitized`](crate::delivery::Sanitized) delivery and nothing else; its head is written anew, field by
//! field, from allow-lists. So spoofed identity headers and hop-by-hop mistakes have no code to live in.
//!
//! Reading order: [`target`] (where to), [`targets`] (which one of several), [`headers`] (what may leave), [`sign`] (Standard Webhooks), [`request`] (the
//! request that leaves), [`pool`] (over which connection), [`answer`] (what the upstream's answer means for the sender); apart from these [`names`] (where a
//! host is, and whether it may be there).

pub mod answer;
pub mod headers;
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
