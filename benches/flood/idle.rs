//! Connections that say nothing, while deliveries run.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::Fault;
use crate::flood::address;
use crate::gateway::{Bench, Gateway, PATIENT};
use crate::genuine::{self, Stream};
use crate::report::{self, Report};
use crate::requests;
use crate::tally::per;
use crate::upstream;

/// Connections of one address.
const EACH: usize = 100;

/// Measures, prints its table, and notes the bounds that are missed.
pub fn measure(bench: &Bench<'_>, connections: usize, phase: Duration, report: &mut Report) -> Result<(), Fault> {
    let upstream = upstream::start()?;
    let gateway = bench.start(upstream)?;
    // What deliveries need is there before memory is compared.
    genuine::start(&gateway, PATIENT, Duration::from_secs(1))?.finish()?;
    println!("\n## {connections} idle connections");
    report::head(&[
        "idle connections",
        "still open",
        "resident MiB",
        "genuine, success",
        "p50 ms",
        "p99 ms",
        "max ms",
        "on new connections, success",
        "p99 ms",
    ]);
    let request = requests::signed(PATIENT)?.swap_remove(0);
    let mut resident = 0;
    for count in [0, connections] {
        let held = (0..count).map(|number| silent(&gateway, number, &request)).collect::<io::Result<Vec<_>>>()?;
        let mut genuine = genuine::start(&gateway, PATIENT, phase)?.finish()?;
        let open = held.iter().filter(|stream| is_open(&stream.sock)).count();
        let used = gateway.usage()?.rss_bytes;
        let (kept, fresh) = (&mut genuine.kept, &mut genuine.fresh);
        report::row(&[
            count.to_string(),
            open.to_string(),
            format!("{:.0}", per(used, 1_048_576.0)),
            kept.success(),
            format!("{:.2}", kept.per_mille(500)),
            format!("{:.2}", kept.per_mille(990)),
            format!("{:.2}", kept.per_mille(1000)),
            fresh.success(),
            format!("{:.2}", fresh.per_mille(990)),
        ]);
        report.demand(open == count, format!("{count} idle connections: {open} are still open"));
        report.demand(
            kept.good() == kept.due() && fresh.good() == fresh.due(),
            format!("{count} idle connections: every genuine delivery succeeds"),
        );
        if count == 0 {
            resident = used;
        } else {
            println!(
                "\n{:.1} KiB for each connection.",
                per(used.saturating_sub(resident), 1024.0 * per(count as u64, 1.0))
            );
        }
    }
    Ok(())
}

/// A connection that delivered once and says no more: one that never said anything is closed after `head_seconds`, as it should be.
fn silent(gateway: &Gateway, number: usize, request: &[u8]) -> io::Result<Stream> {
    let mut stream = genuine::connect(address(number / EACH), gateway.address, &gateway.tls)?;
    let answer = genuine::exchange(&mut stream, request)?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("a delivery before idling was answered {}", answer.status)));
    }
    stream.sock.set_nonblocking(true)?;
    Ok(stream)
}

/// Whether the other end has not closed; what it said so far (tickets) is not of interest.
fn is_open(mut stream: &TcpStream) -> bool {
    let mut room = [0; 4096];
    loop {
        match stream.read(&mut room) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(fault) => return fault.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
