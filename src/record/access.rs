//! The log for people and their collectors: one line a delivery, and a line for each event of the gateway's own life.
//!
//! Text on a terminal, else JSON Lines, unless `[log] format` says otherwise.
//!
//! **Invariant:** one delivery is one line of bounded length, whatever its sender wrote.

use std::fmt;

use anstyle::AnsiColor;

use super::delivery::{Delivery, DeliveryId, Effect};
use super::object::{Object, TEXT_CHARS_MAX};
use super::rejects::{EVENT_CHARS_MAX, HINT_CHARS_MAX, METHOD_CHARS_MAX, PATH_CHARS_MAX};
use super::suppress::Summary;
use crate::reason::Level;
use crate::rejection::Rejection;
use crate::text;

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) format: Format,
    /// Only used with text.
    pub(super) colour: Colour,
    /// Lines below this level are not written.
    pub(super) level: Level,
}

/// The form of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Sentences for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether the level stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// With ANSI colours.
    On,
    /// Plain.
    Off,
}

/// Writes the line of a delivery that was forwarded or answered.
pub(super) fn accepted(out: &mut Vec<u8>, style: Style, delivery: &Delivery<'_>) {
    match style.format {
        Format::Text => accepted_text(out, style, delivery),
        Format::Json => accepted_json(out, delivery),
    }
}

fn accepted_text(out: &mut Vec<u8>, style: Style, delivery: &Delivery<'_>) {
    push_head(out, style, delivery.ts, Level::Info);
    out.extend_from_slice(delivery.outcome.name().as_bytes());
    push_source_and_event(out, delivery.source, delivery.event);
    if let Some(bytes) = delivery.body_bytes() {
        out.push(b' ');
        text::push_size(out, bytes);
    }
    if let Some(status) = delivery.status {
        out.extend_from_slice(b" -> ");
        text::push_number(out, u64::from(status));
    }
    out.extend_from_slice(b" in ");
    text::push_elapsed(out, delivery.elapsed);
    out.extend_from_slice(b" (delivery ");
    push_id(out, delivery.id);
    if let Some(secret) = delivery.secret_id {
        out.extend_from_slice(b", secret ");
        text::push_word(out, secret, TEXT_CHARS_MAX);
    }
    let edits = delivery.edits.total();
    if edits > 0 {
        out.extend_from_slice(b", edits ");
        text::push_number(out, u64::from(edits));
    }
    push_monitored(out, delivery.monitored);
    if let Some(upstream) = delivery.upstream.filter(|upstream| upstream.attempts > 1) {
        out.extend_from_slice(b", attempts ");
        text::push_number(out, u64::from(upstream.attempts));
    }
    out.extend_from_slice(b")\n");
}

fn accepted_json(out: &mut Vec<u8>, delivery: &Delivery<'_>) {
    let mut line = begin_json(out, delivery.ts, Level::Info, delivery.outcome.name());
    push_request(&mut line, delivery);
    let upstream = delivery.upstream;
    line.number_or_null("upstream_status", upstream.and_then(|upstream| upstream.status).map(u64::from));
    line.number_or_null("attempts", upstream.map(|upstream| u64::from(upstream.attempts)));
    line.text_or_null("scheme", delivery.scheme, TEXT_CHARS_MAX);
    line.text_or_null("secret_id", delivery.secret_id, TEXT_CHARS_MAX);
    line.number("edits", u64::from(delivery.edits.total()));
    line.end();
    out.push(b'\n');
}

/// Writes the line of a delivery that was refused; `suppressed` others like it were counted instead since the last one.
pub(super) fn refused(
    out: &mut Vec<u8>,
    style: Style,
    delivery: &Delivery<'_>,
    rejection: &Rejection,
    suppressed: u64,
) {
    match style.format {
        Format::Text => refused_text(out, style, delivery, rejection, suppressed),
        Format::Json => refused_json(out, delivery, rejection, suppressed),
    }
}

fn refused_text(out: &mut Vec<u8>, style: Style, delivery: &Delivery<'_>, rejection: &Rejection, suppressed: u64) {
    let row = rejection.reason().row();
    push_head(out, style, delivery.ts, row.level);
    out.extend_from_slice(b"refused");
    push_source_and_event(out, delivery.source, delivery.event);
    out.push(b' ');
    out.extend_from_slice(row.code.as_bytes());
    if let Some(status) = delivery.status {
        out.push(b' ');
        text::push_number(out, u64::from(status));
    }
    out.extend_from_slice(b" from ");
    text::push_ip(out, delivery.peer);
    out.extend_from_slice(b": ");
    text::push_plain(out, rejection.next_step(), HINT_CHARS_MAX);
    out.extend_from_slice(b" (delivery ");
    push_id(out, delivery.id);
    push_monitored(out, delivery.monitored);
    if suppressed > 0 {
        out.extend_from_slice(b", and ");
        text::push_number(out, suppressed);
        out.extend_from_slice(b" more like it");
    }
    out.extend_from_slice(b")\n");
}

fn refused_json(out: &mut Vec<u8>, delivery: &Delivery<'_>, rejection: &Rejection, suppressed: u64) {
    let row = rejection.reason().row();
    let mut line = begin_json(out, delivery.ts, row.level, "refused");
    push_request(&mut line, delivery);
    line.plain("reason", row.code);
    line.plain("stage", row.stage.name());
    line.plain("blame", row.blame.name());
    line.text("hint", rejection.next_step(), HINT_CHARS_MAX);
    line.number("suppressed", suppressed);
    line.end();
    out.push(b'\n');
}

/// How loudly findings that were only counted are told: nothing was refused where they were monitored.
pub(super) fn summary_level(summary: &Summary) -> Level {
    match summary.effect {
        Effect::Refused => summary.reason.row().level,
        Effect::Monitored => Level::Info,
    }
}

/// Writes the line of findings that were only counted.
pub(super) fn summary(out: &mut Vec<u8>, style: Style, summary: &Summary, now: i64) {
    let row = summary.reason.row();
    let network = summary.network.text();
    let network = network.as_deref().unwrap_or("several networks");
    match style.format {
        Format::Text => {
            push_head(out, style, now, summary_level(summary));
            out.extend_from_slice(summary.effect.name().as_bytes());
            push_source_and_event(out, summary.source.as_deref(), None);
            text::push_format(out, format_args!(" {}: {} more from {network} since ", row.code, summary.suppressed));
            text::push_time_of_day(out, summary.since);
        }
        Format::Json => {
            let message = match summary.effect {
                Effect::Refused => "refused more",
                Effect::Monitored => "monitored more",
            };
            let mut line = begin_json(out, now, summary_level(summary), message);
            line.text_or_null("source", summary.source.as_deref(), TEXT_CHARS_MAX);
            line.text("peer", network, TEXT_CHARS_MAX);
            line.plain("reason", row.code);
            line.plain("stage", row.stage.name());
            line.plain("blame", row.blame.name());
            line.time("since", summary.since);
            line.number("suppressed", summary.suppressed);
            line.end();
        }
    }
    out.push(b'\n');
}

/// Writes the line of an event of the gateway itself. Field names are ours; values are escaped and cut.
pub(super) fn event(
    out: &mut Vec<u8>,
    style: Style,
    ts: i64,
    level: Level,
    message: &str,
    fields: &[(&str, &dyn fmt::Display)],
) {
    match style.format {
        Format::Text => {
            push_head(out, style, ts, level);
            text::push_plain(out, message, HINT_CHARS_MAX);
            for (name, value) in fields {
                text::push_format(out, format_args!(" {name}="));
                text::push_word(out, &text::displayed(value, HINT_CHARS_MAX), HINT_CHARS_MAX + 1);
            }
        }
        Format::Json => {
            let mut line = begin_json(out, ts, level, message);
            for (name, value) in fields {
                line.text(name, &text::displayed(value, HINT_CHARS_MAX), HINT_CHARS_MAX + 1);
            }
            line.end();
        }
    }
    out.push(b'\n');
}

/// `14:03:05.123 INFO  `
fn push_head(out: &mut Vec<u8>, style: Style, ts: i64, level: Level) {
    text::push_time_of_day(out, ts);
    out.push(b' ');
    let (name, colour) = match level {
        Level::Info => ("INFO ", AnsiColor::Green),
        Level::Warn => ("WARN ", AnsiColor::Yellow),
        Level::Error => ("ERROR", AnsiColor::Red),
    };
    match style.colour {
        Colour::On => {
            let colour = colour.on_default();
            text::push_format(out, format_args!("{colour}{name}{colour:#}"));
        }
        Colour::Off => out.extend_from_slice(name.as_bytes()),
    }
    out.push(b' ');
}

fn push_source_and_event(out: &mut Vec<u8>, source: Option<&str>, event: Option<&str>) {
    out.push(b' ');
    text::push_word(out, source.unwrap_or("-"), TEXT_CHARS_MAX);
    if let Some(event) = event {
        out.push(b' ');
        text::push_word(out, event, EVENT_CHARS_MAX);
    }
}

/// `, monitored schema_mismatch`: what would have refused or edited the delivery.
fn push_monitored(out: &mut Vec<u8>, monitored: &[Rejection]) {
    for (place, finding) in monitored.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b", monitored " } else { b" " });
        out.extend_from_slice(finding.reason().code().as_bytes());
    }
}

fn push_id(out: &mut Vec<u8>, id: DeliveryId) {
    out.extend_from_slice(id.encode(&mut [0; DeliveryId::LENGTH]).as_bytes());
}

fn begin_json<'o>(out: &'o mut Vec<u8>, ts: i64, level: Level, message: &str) -> Object<'o> {
    let mut line = Object::begin(out);
    line.time("ts", ts);
    line.plain("level", level.name());
    line.text("message", message, HINT_CHARS_MAX);
    line
}

fn push_request(line: &mut Object<'_>, delivery: &Delivery<'_>) {
    line.plain("delivery", delivery.id.encode(&mut [0; DeliveryId::LENGTH]));
    line.text_or_null("source", delivery.source, TEXT_CHARS_MAX);
    line.text_or_null("event", delivery.event, EVENT_CHARS_MAX);
    line.ip("peer", delivery.peer);
    line.text_or_null("method", delivery.method, METHOD_CHARS_MAX);
    line.text_or_null("path", delivery.path_alone(), PATH_CHARS_MAX);
    line.number_or_null("body_bytes", delivery.body_bytes());
    line.number_or_null("status", delivery.status.map(u64::from));
    line.number("elapsed_us", text::micros(delivery.elapsed));
    line.plain_list("monitored", delivery.monitored.iter().map(|finding| finding.reason().code()));
}
