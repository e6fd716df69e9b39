//! More good deliveries than the gateway can take.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::Fault;
use crate::fleet::{Fleet, Load, Senders};
use crate::gateway::{Bench, Gateway, ORDINARY};
use crate::report::{self, Report};
use crate::requests;
use crate::tally::{Tally, per};
use crate::upstream;

const PHASE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
/// Connections of the closed loop: as many as deliveries of a source may be under way.
const CLOSED: usize = 64;
/// Connections of the open loop: how many deliveries can wait at once.
const OPEN: usize = 4_000;

/// Measures, prints its table, and notes the bounds that are missed.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<(), Fault> {
    let upstream = upstream::start()?;
    let gateway = bench.start(upstream)?;
    let closed = fleet(&gateway, CLOSED)?;
    println!("\n## More good deliveries than the gateway can take");
    report::head(&[
        "offered",
        "sent/s",
        "2xx/s",
        "of peak",
        "refused",
        "with Retry-After",
        "failed",
        "p50 ms",
        "p99 ms",
        "gateway's core",
    ]);
    closed.run(Load::Closed, SECOND)?;
    let open = fleet(&gateway, OPEN)?;
    for (times, share_min) in [(1.0, 0.0), (1.5, 0.75), (3.0, 0.3)] {
        // Before each load: a virtual machine is not equally fast all the time.
        let before = gateway.usage()?;
        let mut tally = closed.run(Load::Closed, PHASE / 2)?;
        let peak = per(tally.good(), (PHASE / 2).as_secs_f64());
        row("closed loop: peak", &mut tally, peak, PHASE / 2, before.cores(gateway.usage()?));
        let before = gateway.usage()?;
        let mut tally = open.run(Load::Open(times * peak), PHASE)?;
        let cores = before.cores(gateway.usage()?);
        // The first second after a load, and the one behind it.
        let first = closed.run(Load::Closed, SECOND)?;
        let mut second = closed.run(Load::Closed, SECOND)?;
        row(&format!("{times} × peak"), &mut tally, peak, PHASE, cores);
        let share = per(tally.good(), PHASE.as_secs_f64() * peak);
        report.demand(
            share >= share_min,
            format!("{times} × peak: goodput {:.0} % of peak, at least {:.0} %", 100.0 * share, 100.0 * share_min),
        );
        let refused = tally.answers() - tally.good();
        report.demand(
            tally.retry_after == refused,
            format!("{times} × peak: {refused} refusals, {} with Retry-After", tally.retry_after),
        );
        row(
            &format!("{:.0}/s in the 1st second after it, then", per(first.good(), 1.0)),
            &mut second,
            peak,
            SECOND,
            f64::NAN,
        );
        let back = per(second.good(), peak);
        report.demand(back >= 0.9, format!("{times} × peak: {:.0} % of peak a second after its end", 100.0 * back));
    }
    Ok(())
}

fn fleet(gateway: &Gateway, connections: usize) -> Result<Fleet, Fault> {
    let senders = Senders {
        gateway: gateway.address,
        tls: Arc::clone(&gateway.tls),
        requests: requests::signed(ORDINARY)?,
        addresses: (0..connections)
            .map(|number| Ipv4Addr::new(127, 100, 0, u8::try_from(number % 50).unwrap_or_default()))
            .collect(),
    };
    Fleet::connect(senders)
}

fn row(offered: &str, tally: &mut Tally, peak: f64, lasted: Duration, cores: f64) {
    let seconds = lasted.as_secs_f64();
    let refused = tally.answers() - tally.good();
    report::row(&[
        offered.to_owned(),
        format!("{:.0}", per(tally.answers() + tally.failed, seconds)),
        format!("{:.0}", per(tally.good(), seconds)),
        format!("{:.0} %", 100.0 * per(tally.good(), seconds * peak)),
        tally.refusals(),
        if refused == 0 {
            "–".to_owned()
        } else {
            format!("{:.0} %", 100.0 * per(tally.retry_after, per(refused, 1.0)))
        },
        tally.failed.to_string(),
        format!("{:.1}", tally.per_mille(500)),
        format!("{:.1}", tally.per_mille(990)),
        if cores.is_nan() { "–".to_owned() } else { format!("{:.0} %", 100.0 * cores) },
    ]);
}
