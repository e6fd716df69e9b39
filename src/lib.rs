//! Hookward: a webhook ingress gateway.
//!
//! One binary in front of the apps a team already has. It terminates TLS, proves who sent each webhook, checks and cleans what it carries, keeps floods
//! out, hands internal services only clean requests, and says exactly why it refused the rest.
//!
//! # The life of one delivery
//!
//! ```text
//! Socket ─ edge ─▶ Connection                     caps, deadlines, TLS, HTTP
//! Request ─ gateway, under one snapshot of the policy:
//!   Routed::find      ─▶ Routed                   whose is it? host, path, method, media type
//!   Limits::enter     ─▶ Permit                   may this client go on? networks, rates, failure budget
//!   Routed::present   ─▶ Presented                credential and timestamp, before any byte of the body
//!   receive::read     ─▶ Received                 the body, once, within cap and deadline
//!   .authenticate     ─▶ Authenticated { Proof }  who sent it
//!   .accept           ─▶ Accepted { Claim, Slot } is it new, and is there room?
//!   .validate         ─▶ Validated { Document }   what it says
//!   .sanitize         ─▶ Sanitized                what may leave
//!   forward           ─▶ Forwarded                the upstream's answer
//! Response, and one Delivery record, in every case
//! ```
//!
//! Each stage is a type that only the stage before can make ([`delivery`]); the pipeline itself is [`gateway`], the file to read first.
//!
//! # Directions
//!
//! Ground floor ([`reason`], [`rejection`], [`secret`], [`clock`], [`header`], [`bounded`], [`request_record`], `text`, [`whole_file`]) ← [`payload`] ← [`auth`], [`sanitize`] ←
//! [`policy`] and [`admit`] ← [`delivery`] ← [`forward`], [`record`], [`receive`], [`reply`], [`tapped`] ← [`gateway`], [`offline`], [`schema_tools`] ← [`edge`], [`admin`] ← [`acme`], [`server`] ← [`cli`].
//! Nobody imports from the right, but for `policy`, which compiles what `forward` follows ([`forward::headers`], [`forward::names`], [`forward::sign`], [`forward::target`]).

pub mod bounded;
pub mod clock;
pub mod header;
pub mod reason;
pub mod rejection;
pub mod request_record;
pub mod secret;
pub(crate) mod text;
pub mod whole_file;

pub mod payload;

pub mod auth;
pub mod sanitize;

pub mod admit;
pub mod policy;

pub mod delivery;

pub mod forward;
pub mod receive;
pub mod record;
pub mod reply;
pub mod tapped;

pub mod gateway;
pub mod offline;
pub mod schema_tools;

pub mod admin;
pub mod edge;

pub mod acme;
pub mod server;

pub mod cli;
