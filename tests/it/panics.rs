//! A defect of the gateway's own: what it costs, and what it tells.
//!
//! How a panic is told is a matter of the whole process, so it is tried in one of its own: this test binary, run again for one test.

use std::process::Command;

use hookward::record::Telemetry;

use crate::gateway::after_a_panic;

/// Stands in the words of the panic, as a payload might.
pub(crate) const QUOTED: &str = "SeNtInEl-of-a-payload";

#[test]
fn a_panic_is_told_by_its_place_and_not_by_its_words() {
    let ours = std::env::current_exe().unwrap();
    let run = Command::new(ours).args(["--exact", "panics::of_another_process", "--ignored", "--nocapture"]).output();
    let run = run.unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && told.contains("1 passed"), "{told}");
    assert!(!told.contains(QUOTED), "{told}");
}

/// A gateway that panics, says where, and goes on.
#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn of_another_process() {
    let mut house = after_a_panic(Telemetry::tell_panics).await;
    house.stop();
    let log = house.access_text();
    assert!(!log.contains(QUOTED) && !house.rejected_text().contains(QUOTED));
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let places: Vec<_> = lines.filter(|line| line["message"] == "panic").map(|line| line["at"].clone()).collect();
    assert!(places.len() == 1 && places[0].as_str().unwrap().starts_with("tests/it/gateway.rs:"), "{places:?}");
}
