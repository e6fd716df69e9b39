//! The gateway that is measured: the release binary, on a core of its own, in a folder that goes when it ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::Fault;
use crate::requests::SECRET;

/// The source whose clients have the ordinary budget of failures.
pub const ORDINARY: &str = "/hooks/ordinary";
/// The source that judges everything that comes.
pub const PATIENT: &str = "/hooks/patient";

/// What is started, and where.
#[derive(Debug)]
pub struct Bench<'a> {
    pub hookward: &'a Path,
    pub core: usize,
}

/// A gateway that runs.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    /// TLS as a sender speaks it: a handshake in full for each connection.
    pub tls: Arc<ClientConfig>,
    _folder: TempDir,
}

/// Processor time and memory of a process at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    at: Instant,
    cpu: Duration,
    pub rss_bytes: u64,
}

impl Bench<'_> {
    /// Starts a gateway before this upstream and waits until it listens.
    pub fn start(&self, upstream: SocketAddr) -> Result<Gateway, Fault> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        let made = Command::new(self.hookward).args(["cert", "--directory"]).arg(root).stdout(Stdio::null()).status();
        if !made.map_err(|fault| format!("{}: {fault}", self.hookward.display()))?.success() {
            return Err("`hookward cert` failed".into());
        }
        fs::create_dir(root.join("policies"))?;
        fs::copy("policies/schemas/github/push.json", root.join("policies/push.json"))?;
        fs::write(root.join("hookward.toml"), CONFIG)?;
        fs::write(root.join("policies/ordinary.toml"), policy(ORDINARY, "", upstream))?;
        let patient = "failures = { per_minute = 100_000, block_seconds = 1 }\n";
        fs::write(root.join("policies/patient.toml"), policy(PATIENT, patient, upstream))?;
        let mut child = Command::new("taskset")
            .args(["-c", &self.core.to_string()])
            .arg(fs::canonicalize(self.hookward)?)
            .args(["-c", "hookward.toml", "serve"])
            .current_dir(root)
            .env("FLOOD_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let (sender, addresses) = mpsc::channel();
        // It reads on to the end, so that the access log is written as to any consumer.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains("\"listening\"")
                    && let Ok(event) = serde_json::from_str::<serde_json::Value>(&line)
                    && let Some(address) = event["address"].as_str().and_then(|address| address.parse().ok())
                {
                    let _ = sender.send(address);
                }
            }
        });
        let Ok(address) = addresses.recv_timeout(Duration::from_secs(20)) else {
            end(&mut child);
            return Err("the gateway does not listen after 20 s".into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root.join("localhost.pem"))?)?;
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.resumption = Resumption::disabled();
        Ok(Gateway { child, address, tls: Arc::new(tls), _folder: folder })
    }
}

impl Gateway {
    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage, Fault> {
        let at = Instant::now();
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which is in brackets: user time is the 12th field, system time the 13th, in hundredths of a second.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
        let ticks = |number: usize| fields.get(number).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(Usage {
            at,
            cpu: Duration::from_millis(10 * (ticks(11) + ticks(12))),
            rss_bytes: 1024 * resident.unwrap_or_default(),
        })
    }
}

impl Usage {
    /// How many cores were busy from `self` to `later`.
    pub fn cores(self, later: Self) -> f64 {
        later.cpu.saturating_sub(self.cpu).as_secs_f64() / later.at.duration_since(self.at).as_secs_f64()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// All of `[edge]` is as it comes, but for room for ten thousand clients that each hold a connection.
const CONFIG: &str = r#"[listen]
https = ["127.0.0.1:0"]
[edge]
workers = 1
connections_max = 20_000
[[tls]]
certificate = "localhost.pem"
key = "localhost.key"
[policies]
directory = "policies"
[rejects]
file = "logs/rejected.jsonl"
[log]
format = "json"
"#;

fn policy(path: &str, failures: &str, upstream: SocketAddr) -> String {
    format!(
        r#"path = "{path}"
[auth]
provider = "github"
secrets = [{{ id = "bench", env = "FLOOD_SECRET" }}]
[limit]
client = {{ per_second = 1_000_000, burst = 1_000_000 }}
source = {{ per_second = 1_000_000, burst = 1_000_000 }}
{failures}[event.schema]
push = "push.json"
[sanitize]
unknown_fields = "drop"
control_characters = "drop"
[forward]
to = "http://{upstream}/webhooks"
"#
    )
}
