//! What a delivery carries, read strictly and exactly once.
//!
//! This is the `validate` step of a delivery's way: the bytes were received whole and proven to come from the sender, and
//! now have to mean one thing only. [`document`] reads JSON in one pass into a compact tape of spans over the received
//! bytes; [`instance`] shows that tape to the schema validator, [`bounds`] calculates with its numbers, [`formats`]
//! checks its URLs and `expressions` its texts (by a [`table`] where there is one), and [`judging`] counts what that costs; `express` spares most payloads the
//! validator; [`schema`] holds a source's compiled schemas, and [`declared`] what they declare, which decides what the sanitizer keeps and which names may
//! stand in a log. [`patterns`] follows a policy's patterns of places. [`body`] makes documents of bodies that are not JSON as well; `fields`, `urlencoded` and
//! [`multipart`] know how those are spelled, `lines` reads batches of JSON texts, and [`coding`] takes compression away first. [`form`] looks fields up for
//! authentication.
//!
//! **Invariant:** nothing here waits or logs. A JSON body is not copied: every later stage looks at the same bytes through spans. Others are decoded or written
//! as JSON, once.
//! **Invariant:** no byte of a sender reaches `serde_json`: with arbitrary precision switched on it gives member names of
//! its own a meaning.
//! **Invariant:** no error, fact or `Debug` output holds a value or a member name of a payload.

pub mod body;
pub mod bounds;
pub mod coding;
pub mod content_type;
pub mod declared;
pub mod document;
mod equality;
mod express;
mod expressions;
mod fault;
mod fields;
pub mod form;
pub mod formats;
pub mod instance;
pub mod judging;
mod lines;
mod listed;
pub mod multipart;
mod names;
pub mod node;
pub(crate) mod number;
pub mod patterns;
pub mod pointer;
mod reader;
mod scan;
pub mod schema;
pub mod table;
mod tape;
mod urlencoded;

pub use body::{Format, Payload};
pub use document::{Document, JsonLimits};
pub use node::{Key, Member, Node};
pub use pointer::Pointer;
pub(crate) use scan::escape_into;
pub use tape::Kind;
