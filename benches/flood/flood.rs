//! Genuine deliveries during a flood of bad signatures.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Fault;
use crate::fleet::{Fleet, Load, Senders};
use crate::gateway::{Bench, Gateway, ORDINARY, PATIENT};
use crate::genuine::{self, Genuine};
use crate::report::{self, Report};
use crate::requests;
use crate::tally::per;
use crate::upstream;

/// How long the capacity is measured.
const CAPACITY: Duration = Duration::from_secs(5);
/// Connections of one client: fewer than `connections_per_client_max`.
pub const CONNECTIONS: usize = 200;
/// Of the capacity: the flood beside which a delivery may take three times as long.
const BUSY: f64 = 0.7;
const SLOWER_MAX: f64 = 3.0;
/// Of the capacity: the flood that saturates the gateway, and how long a delivery may take beside it.
const SATURATING: f64 = 1.5;
const SATURATED_MS_MAX: f64 = 150.0;

/// Measures, prints its table, and notes the bounds that are missed.
pub fn measure(bench: &Bench<'_>, clients: usize, phase: Duration, report: &mut Report) -> Result<(), Fault> {
    let upstream = upstream::start()?;
    let gateway = bench.start(upstream)?;
    println!("\n## Genuine deliveries during a flood of bad signatures");
    report::head(&[
        "flood",
        "refused/s",
        "gateway's core",
        "genuine, success",
        "p50 ms",
        "p99 ms",
        "max ms",
        "on new connections, success",
        "p50 ms",
        "p99 ms",
    ]);
    let before = gateway.usage()?;
    let mut unloaded = genuine::start(&gateway, PATIENT, phase)?.finish()?;
    let cores = before.cores(gateway.usage()?);
    row("none", "–", cores, &mut unloaded);
    report.demand(succeeded(&unloaded), "without a flood: every genuine delivery succeeds");
    let allowed = SLOWER_MAX * unloaded.kept.per_mille(990);
    let floods = [
        ("1 client, over its budget", ORDINARY, one_client()),
        ("1 client, judged", PATIENT, one_client()),
        ("", PATIENT, (0..clients).map(address).collect()),
    ];
    for (name, path, addresses) in floods {
        let name = if name.is_empty() { format!("{clients} clients, judged") } else { name.to_owned() };
        let senders = Senders {
            gateway: gateway.address,
            tls: Arc::clone(&gateway.tls),
            requests: requests::forged(path)?,
            addresses,
        };
        let fleet = Fleet::connect(senders)?;
        // What is blocked is blocked after its first requests.
        fleet.run(Load::Closed, CAPACITY / 5)?;
        let before = gateway.usage()?;
        let capacity = per(fleet.run(Load::Closed, CAPACITY)?.answers(), CAPACITY.as_secs_f64());
        let cores = before.cores(gateway.usage()?);
        row(&format!("{name}: capacity"), &format!("{capacity:.0}"), cores, &mut Genuine::default());
        for (share, what) in [(BUSY, "70 %"), (SATURATING, "150 %")] {
            let (mut genuine, refused, cores) = beside(&gateway, &fleet, path, share * capacity, phase)?;
            row(&format!("{name}: {what}"), &format!("{refused:.0}"), cores, &mut genuine);
            report.demand(succeeded(&genuine), format!("{name}, {what}: every genuine delivery succeeds"));
            let (p99, allowed) = (genuine.kept.per_mille(990), if what == "70 %" { allowed } else { SATURATED_MS_MAX });
            report.demand(p99 <= allowed, format!("{name}, {what}: p99 {p99:.1} ms, at most {allowed:.1} ms"));
        }
    }
    Ok(())
}

/// Genuine deliveries for so long, in the middle of a flood. Answers them, the refusals a second, and how busy the gateway was.
fn beside(
    gateway: &Gateway,
    fleet: &Fleet,
    path: &str,
    flood: f64,
    phase: Duration,
) -> Result<(Genuine, f64, f64), Fault> {
    let margin = Duration::from_secs(1);
    let lasts = phase + 2 * margin;
    let flooding = fleet.start(Load::Open(flood), lasts);
    thread::sleep(margin);
    let before = gateway.usage()?;
    let genuine = genuine::start(gateway, path, phase)?.finish()?;
    let cores = before.cores(gateway.usage()?);
    let tally = flooding.recv().map_err(|_| "the senders broke")?;
    Ok((genuine, per(tally.answers(), lasts.as_secs_f64()), cores))
}

fn succeeded(genuine: &Genuine) -> bool {
    [&genuine.kept, &genuine.fresh].iter().all(|tally| tally.good() == tally.due() && tally.due() > 0)
}

fn row(flood: &str, refused: &str, cores: f64, genuine: &mut Genuine) {
    let mut cells = vec![flood.to_owned(), refused.to_owned(), format!("{:.0} %", 100.0 * cores)];
    let Genuine { kept, fresh } = genuine;
    if kept.due() == 0 {
        cells.extend(std::iter::repeat_n("–".to_owned(), 7));
        return report::row(&cells);
    }
    cells.push(kept.success());
    cells.extend([500, 990, 1000].map(|within| format!("{:.2}", kept.per_mille(within))));
    cells.push(fresh.success());
    cells.extend([500, 990].map(|within| format!("{:.2}", fresh.per_mille(within))));
    report::row(&cells);
}

fn one_client() -> Vec<Ipv4Addr> {
    vec![address(0); CONNECTIONS]
}

/// The address of a client of the flood: none of them is a genuine sender's.
pub fn address(number: usize) -> Ipv4Addr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 10, high, low)
}
