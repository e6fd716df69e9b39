//! What a delivery carries, read strictly and exactly once.
//!
//! This is the `validate` step of a delivery's way: the bytes were received whole and proven to come from the sender, and
//! now have to mean one thing only. [`document`] reads JSON in one pass into a compact tape of spans over the received
//! bytes; [`instance`] shows that tape to the schema validator, [`bounds`] calculates with its numbers, [`formats`]
//! checks its URLs and `patterns` its texts, and [`judging`] counts what that costs; `express` spares most payloads the validator; [`schema`] holds a source's compiled schemas, and [`declared`] what they
//! declare, which decides what the sanitizer keeps and which names may stand in a log. [`form`] reads the fields of forms.
//!
//! **Invariant:** nothing here waits, logs, or copies a body; every later stage looks at the same bytes through spans.
//! **Invariant:** no byte of a sender reaches `serde_json`: with arbitrary precision switched on it gives member names of
//! its own a meaning.
//! **Invariant:** no error, fact or `Debug` output holds a value or a member name of a payload.

pub mod bounds;
pub mod declared;
pub mod document;
mod equality;
mod express;
mod fault;
pub mod form;
pub mod formats;
pub mod instance;
pub mod judging;
mod listed;
mod names;
pub mod node;
pub(crate) mod number;
mod patterns;
pub mod pointer;
mod reader;
mod scan;
pub mod schema;
mod tape;

pub use document::{Document, JsonLimits};
pub use node::{Key, Member, Node};
pub use pointer::Pointer;
pub use tape::Kind;
