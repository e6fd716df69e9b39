//! From recorded requests to a schema: what `hookward schema` does.
//!
//! [`samples`] reads request records and plain JSON files, [`infer`] proposes a schema that fits them all, [`drift`] says where they differ from the one
//! there is, and [`json`] writes it. This stands beside
//! a delivery's way: nothing of the gateway calls it, and it only reads what the operator names.
//!
//! **Invariant:** of the samples' values only members of an `enum` get into a schema, and none where the caller wants no `enum`; names that look like
//! data (ids, addresses) stay out as well.
//! **Invariant:** sample bodies are read by [`Payload`](crate::payload::Payload) alone, as a delivery is.

pub mod drift;
pub mod infer;
pub mod json;
pub mod samples;
mod shape;
