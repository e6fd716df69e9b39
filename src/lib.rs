//! Hookward: a webhook ingress gateway.
//!
//! One binary in front of the apps a team already has. It terminates TLS, proves who sent each webhook, checks and cleans what it carries, keeps floods
//! out, hands internal services only clean requests, and says exactly why it refused the rest.
//!
//! # Where to begin
//!
//! With [`gateway`], the life of a delivery, and [`delivery`], the same as types: each stage is one that only the stage before can make. [`edge`] brings the
//! requests, [`policy`] says what is wanted of them, [`reason`] is the table of all that can be wrong with one, [`record`] tells what became of it, and
//! [`offline`] walks the same way without sockets.
//!
//! The repository's `ARCHITECTURE.md` has the steps in their order, the map of the code, what always holds, and why things are as they are. The modules stand
//! here from the ground floor up: nobody imports from below but where that file says so.

pub mod bounded;
pub mod clock;
pub mod header;
pub mod reason;
pub mod rejection;
pub mod request_record;
pub mod secret;
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
