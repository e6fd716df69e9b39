//! The metrics as a scrape sees them: the only file that names `prometheus-client`.
//!
//! Counting is done by the workers ([`counters`](super::counters)); here their numbers are added up when the private
//! listener asks, in the text format of `OpenMetrics` 1.0.0.
//!
//! **Invariant:** no label holds what a sender chose: no path, no id, no event, no address.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry;

use super::certificates::CertificateState;
use super::counters::{BYTES_BOUNDS, Block, Histogram, SECONDS_BOUNDS};
use super::sink::{Core, Stream};
use crate::forward::targets::Member;
use crate::policy::{Policy, Source};
use crate::reason::Reason;
use crate::sanitize::Rule;

/// The `Content-Type` of [`render`]'s text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is known of the policies in force.
#[derive(Debug, Default)]
pub(super) struct PolicyState {
    loaded_at: AtomicI64,
    failures: AtomicU64,
    stale: AtomicBool,
}

impl PolicyState {
    pub(super) fn loaded(&self, ts: i64) {
        self.loaded_at.store(ts, Relaxed);
        self.stale.store(false, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
        self.stale.store(true, Relaxed);
    }
}

/// All metrics as text.
pub(super) fn render(core: &Arc<Core>, policy: &Policy) -> String {
    let mut registry = registry::Registry::default();
    registry.register_collector(Box::new(Scrape { core: Arc::clone(core), circuits: circuits(policy) }));
    let mut out = String::new();
    // Writing into a string cannot fail, and nothing here makes an error of its own.
    let _ = text::encode(&mut out, &registry);
    out
}

#[derive(Debug)]
struct Scrape {
    core: Arc<Core>,
    circuits: Vec<CircuitState>,
}

/// An upstream that was left alone at some time.
#[derive(Debug)]
struct CircuitState {
    source: Arc<str>,
    position: usize,
    is_open: bool,
}

/// The upstreams of which there is something to tell: thousands of sources whose apps are well cost nothing.
fn circuits(policy: &Policy) -> Vec<CircuitState> {
    let of_source = |source: &Source| {
        let members = source.forward.targets.list().iter().enumerate();
        let told = members.filter(|(_, member)| member.circuit.was_open());
        let state = |(position, member): (usize, &Member)| CircuitState {
            source: Arc::clone(&source.name),
            position,
            is_open: !member.circuit.is_closed(),
        };
        told.map(state).collect::<Vec<_>>()
    };
    policy.sources().iter().flat_map(of_source).collect()
}

/// The workers' numbers, added up by source.
#[derive(Default)]
struct Totals {
    accepted: u64,
    answered: u64,
    rejected: BTreeMap<Reason, u64>,
    monitored: BTreeMap<Reason, u64>,
    edited: [u64; Rule::COUNT],
    elapsed: Values<16>,
    upstream: Values<16>,
    body: Values<9>,
}

struct Values<const COUNTS: usize> {
    counts: [u64; COUNTS],
    sum: u64,
}

impl<const COUNTS: usize> Default for Values<COUNTS> {
    fn default() -> Self {
        Self { counts: [0; COUNTS], sum: 0 }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let core = &self.core;
        let blocks = core.registry.blocks();
        let totals = by_source(&blocks);
        deliveries(&mut encoder, &totals)?;
        rejections(&mut encoder, &totals)?;
        monitored(&mut encoder, &totals)?;
        edits(&mut encoder, &totals)?;
        histograms(&mut encoder, &totals)?;
        log_health(&mut encoder, core)?;
        work_in_hand(&mut encoder, core)?;
        upstreams(&mut encoder, &self.circuits)?;
        policies(&mut encoder, &core.policies)?;
        certificates(&mut encoder, &core.certificates)
    }
}

fn by_source(blocks: &[Arc<Block>]) -> BTreeMap<&str, Totals> {
    let mut totals: BTreeMap<&str, Totals> = BTreeMap::new();
    for block in blocks {
        totals.entry(&block.source).or_default().add(block);
    }
    totals
}

impl Totals {
    fn add(&mut self, block: &Block) {
        self.accepted += block.accepted.load(Relaxed);
        self.answered += block.answered.load(Relaxed);
        for (reasons, totals) in [(&block.rejected, &mut self.rejected), (&block.monitored, &mut self.monitored)] {
            let Some(reasons) = reasons.get() else { continue };
            for reason in Reason::all() {
                let count = reasons[reason as usize].load(Relaxed);
                if count > 0 {
                    *totals.entry(reason).or_default() += count;
                }
            }
        }
        if let Some(rules) = block.edited.get() {
            for (total, count) in self.edited.iter_mut().zip(rules.iter()) {
                *total += count.load(Relaxed);
            }
        }
        self.elapsed.add(&block.elapsed);
        self.upstream.add(&block.upstream);
        self.body.add(&block.body);
    }
}

impl<const COUNTS: usize> Values<COUNTS> {
    fn add<const BOUNDS: usize>(&mut self, histogram: &Histogram<BOUNDS>) {
        for (total, count) in self.counts.iter_mut().zip(histogram.counts()) {
            *total += count;
        }
        self.sum = self.sum.wrapping_add(histogram.sum());
    }
}

fn deliveries(encoder: &mut DescriptorEncoder<'_>, totals: &BTreeMap<&str, Totals>) -> fmt::Result {
    let help = "Deliveries by how they ended";
    let mut family = encoder.encode_descriptor("hookward_deliveries", help, None, MetricType::Counter)?;
    for (source, totals) in totals {
        let rejected = totals.rejected.values().sum();
        for (outcome, count) in [("accepted", totals.accepted), ("answered", totals.answered), ("rejected", rejected)] {
            counter(&mut family, &[("source", source), ("outcome", outcome)], count)?;
        }
    }
    Ok(())
}

fn rejections(encoder: &mut DescriptorEncoder<'_>, totals: &BTreeMap<&str, Totals>) -> fmt::Result {
    let help = "Rejected deliveries by reason; blame says who has to act";
    let mut family = encoder.encode_descriptor("hookward_rejections", help, None, MetricType::Counter)?;
    by_reason(&mut family, totals, |totals| &totals.rejected)
}

fn monitored(encoder: &mut DescriptorEncoder<'_>, totals: &BTreeMap<&str, Totals>) -> fmt::Result {
    let help = "What stages in monitor mode found and let pass; stage authenticate: deliveries forwarded without proof";
    let mut family = encoder.encode_descriptor("hookward_monitored", help, None, MetricType::Counter)?;
    by_reason(&mut family, totals, |totals| &totals.monitored)
}

fn by_reason(
    family: &mut MetricEncoder<'_>,
    totals: &BTreeMap<&str, Totals>,
    of: impl Fn(&Totals) -> &BTreeMap<Reason, u64>,
) -> fmt::Result {
    for (source, totals) in totals {
        for (reason, count) in of(totals) {
            let row = reason.row();
            let labels =
                [("source", *source), ("stage", row.stage.name()), ("reason", row.code), ("blame", row.blame.name())];
            counter(family, &labels, *count)?;
        }
    }
    Ok(())
}

fn edits(encoder: &mut DescriptorEncoder<'_>, totals: &BTreeMap<&str, Totals>) -> fmt::Result {
    let help = "Edits of payloads that were sent to an upstream, by the sanitizer's rule";
    let mut family = encoder.encode_descriptor("hookward_edits", help, None, MetricType::Counter)?;
    for (source, totals) in totals {
        for (rule, count) in Rule::ALL.into_iter().zip(totals.edited).filter(|(_, count)| *count > 0) {
            counter(&mut family, &[("source", source), ("rule", rule.name())], count)?;
        }
    }
    Ok(())
}

fn histograms(encoder: &mut DescriptorEncoder<'_>, totals: &BTreeMap<&str, Totals>) -> fmt::Result {
    let help = "From the request to the answer, without what the sender did wrong";
    histogram(encoder, "hookward_delivery_seconds", help, totals, |totals| &totals.elapsed, &SECONDS_BOUNDS, 1e6)?;
    let help = "How long upstreams took, all attempts together";
    histogram(encoder, "hookward_upstream_seconds", help, totals, |totals| &totals.upstream, &SECONDS_BOUNDS, 1e6)?;
    let help = "Sizes of the bodies that were read";
    histogram(encoder, "hookward_body_bytes", help, totals, |totals| &totals.body, &BYTES_BOUNDS, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which is 285 years of microseconds")]
fn histogram<const COUNTS: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    totals: &BTreeMap<&str, Totals>,
    of: impl Fn(&Totals) -> &Values<COUNTS>,
    bounds: &[u64],
    scale: f64,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let bounds = bounds.iter().map(|bound| *bound as f64 / scale).chain([f64::INFINITY]);
    for (source, totals) in totals {
        let values = of(totals);
        let count = values.counts.iter().sum();
        if count == 0 {
            continue;
        }
        let buckets: Vec<_> = bounds.clone().zip(values.counts).collect();
        let labels = [("source", *source)];
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            values.sum as f64 / scale,
            count,
            &buckets,
            None,
        )?;
    }
    Ok(())
}

fn log_health(encoder: &mut DescriptorEncoder<'_>, core: &Core) -> fmt::Result {
    let help = "Refusals that were counted instead of written, because many alike came before them";
    let mut family = encoder.encode_descriptor("hookward_suppressed_records", help, None, MetricType::Counter)?;
    let shards = core.shards();
    let suppressed: u64 = shards.iter().map(|shard| shard.suppressed()).sum();
    family.encode_counter::<NoLabelSet, _, u64>(&suppressed, None)?;

    let help = "Lines that a log could not take: its buffer was full";
    let mut family = encoder.encode_descriptor("hookward_log_dropped", help, None, MetricType::Counter)?;
    for stream in Stream::ALL {
        let dropped = shards.iter().map(|shard| shard.dropped(stream)).sum();
        counter(&mut family, &[("log", stream.name())], dropped)?;
    }

    let help = "Failed attempts to write to a log or to rotate it; each is retried";
    let mut family = encoder.encode_descriptor("hookward_log_errors", help, None, MetricType::Counter)?;
    for stream in Stream::ALL {
        counter(&mut family, &[("log", stream.name())], core.errors(stream))?;
    }

    let help = "1 while a log cannot be written; what is recorded meanwhile waits for it, as long as there is room";
    let mut family = encoder.encode_descriptor("hookward_log_failing", help, None, MetricType::Gauge)?;
    for stream in Stream::ALL {
        let failing = i64::from(core.is_failing(stream));
        family.encode_family(&[("log", stream.name())])?.encode_gauge(&failing)?;
    }
    Ok(())
}

fn work_in_hand(encoder: &mut DescriptorEncoder<'_>, core: &Core) -> fmt::Result {
    let shards = core.shards();
    let open = shards.iter().map(|shard| shard.connections.load(Relaxed)).sum();
    gauge(encoder, "hookward_connections", "Open connections", open)?;
    let in_flight = shards.iter().map(|shard| shard.in_flight.load(Relaxed)).sum();
    gauge(encoder, "hookward_in_flight", "Requests that have no answer yet", in_flight)?;

    let help = "Connections that could not be accepted for a lack of descriptors or memory; each is tried again";
    let mut family = encoder.encode_descriptor("hookward_accept_errors", help, None, MetricType::Counter)?;
    family.encode_counter::<NoLabelSet, _, u64>(&core.accept_errors(), None)
}

fn upstreams(encoder: &mut DescriptorEncoder<'_>, circuits: &[CircuitState]) -> fmt::Result {
    let help = "1 while an upstream gets no deliveries but probes; told of those that were left alone since the start";
    let mut family = encoder.encode_descriptor("hookward_upstream_circuit_open", help, None, MetricType::Gauge)?;
    for CircuitState { source, position, is_open } in circuits {
        let labels = [("source", source.to_string()), ("upstream", position.to_string())];
        family.encode_family(&labels)?.encode_gauge(&i64::from(*is_open))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which is 285 years of microseconds")]
fn policies(encoder: &mut DescriptorEncoder<'_>, policies: &PolicyState) -> fmt::Result {
    let loaded_at = policies.loaded_at.load(Relaxed) as f64 / 1e6;
    let help = "When the policies in force were loaded, in seconds since the Unix epoch";
    let mut metric =
        encoder.encode_descriptor("hookward_policy_loaded_timestamp_seconds", help, None, MetricType::Gauge)?;
    metric.encode_gauge(&loaded_at)?;

    let help = "Reloads that changed nothing because of an error";
    let mut metric = encoder.encode_descriptor("hookward_policy_reload_failures", help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, u64>(&policies.failures.load(Relaxed), None)?;

    let help = "1 while the policies in force are older than the files, because the last reload failed";
    gauge(encoder, "hookward_policy_stale", help, i64::from(policies.stale.load(Relaxed)))?;

    let mut metric = encoder.encode_descriptor("hookward_build", "The running gateway", None, MetricType::Info)?;
    metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

fn certificates(encoder: &mut DescriptorEncoder<'_>, state: &CertificateState) -> fmt::Result {
    let help = "Until when each certificate is good, in seconds since the Unix epoch";
    let name = "hookward_certificate_not_after_timestamp_seconds";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (position, expiry) in state.expiries().iter().enumerate() {
        if let Some(not_after) = expiry.not_after {
            let labels = [("certificate", position.to_string()), ("name", expiry.name.clone())];
            family.encode_family(&labels)?.encode_gauge(&not_after)?;
        }
    }
    let (issued_at, failed_at) = state.attempts();
    for (name, help, at) in [
        ("hookward_acme_success_timestamp_seconds", "When a certificate was issued last; 0: not yet", issued_at),
        ("hookward_acme_failure_timestamp_seconds", "When none was issued last; 0: not yet", failed_at),
    ] {
        gauge(encoder, name, help, at)?;
    }
    let help = "Attempts to have a certificate issued that failed; each is repeated";
    let mut metric = encoder.encode_descriptor("hookward_acme_failures", help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, u64>(&state.failures(), None)
}

fn counter(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], count: u64) -> fmt::Result {
    family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}
