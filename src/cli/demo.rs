//! `hookward demo`: the whole gateway with nothing set up.
//!
//! A throwaway certificate, the example policies with throwaway secrets, an echo service as the app, and real deliveries over real TLS: good ones first, then
//! everything that has to be refused. What is shown is what happened: the statuses are those the sender got, the reasons those of the rejected log.

mod deliveries;
mod echo;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use include_dir::{Dir, include_dir};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use self::deliveries::{Sender, Sent};
use super::cert;
use super::client::Client;
use super::setup::Trouble;
use crate::admit::networks::Networks;
use crate::admit::{Capacity, Limits};
use crate::clock::Clock;
use crate::edge::sockets::{Places, Sockets};
use crate::edge::tls::{CertificateFiles, Certificates};
use crate::forward::names::Names;
use crate::policy::gateway_config::{EdgeConfig, ForwardingField, PoliciesConfig};
use crate::policy::load::{self, Loaded};
use crate::policy::secrets::{Resolved, Resolver, SecretFault};
use crate::policy::source_config::SecretPlace;
use crate::policy::table::Spanned;
use crate::reason::Level;
use crate::record::{self, Colour, Format, Record, Telemetry};
use crate::secret::Secret;
use crate::server::{Server, StartFault, Startup};

/// The example policies and their schemas.
static POLICIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// The app that the example policies forward to; the echo service takes its place.
const EXAMPLE_APP: &str = "http://127.0.0.1:3000";

/// Where the demo listens if nobody else does.
const PORT: u16 = 8443;

/// How long the rejected log may take to hold what was refused.
const LOG_WAIT: Duration = Duration::from_secs(2);

/// How it goes on.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Stop after the table instead of staying up for curl
    #[arg(long)]
    pub exit: bool,
    /// Where the rejected log goes
    #[arg(long, value_name = "FILE", default_value = "logs/rejected.jsonl")]
    pub rejects: PathBuf,
}

/// Secrets of the example policies, made up for this run.
#[derive(Clone)]
pub(crate) struct DemoSecrets {
    seed: [u8; 16],
}

impl DemoSecrets {
    /// Secrets that nobody can guess, as those of a real policy have to be.
    fn random() -> Result<Self, Trouble> {
        let mut seed = [0; 16];
        aws_lc_rs::rand::fill(&mut seed)
            .map_err(|_| Trouble::Other("the system gives no random bytes for the demo's secrets".to_owned()))?;
        Ok(Self { seed })
    }

    /// The secret behind a variable of the example policies.
    pub(crate) fn text(&self, variable: &str) -> String {
        let digest = Sha256::new().chain_update(self.seed).chain_update(variable).finalize();
        let text = format!("demo-{}", hex::encode(&digest[..16]));
        // The one that is `user:password`.
        if variable.ends_with("_CREDENTIAL") { format!("mail:{text}") } else { text }
    }
}

impl Resolver for DemoSecrets {
    fn resolve(&self, place: &SecretPlace) -> Result<Resolved, SecretFault> {
        match place {
            SecretPlace::Env(name) => Ok(Resolved::Secret(Secret::new(self.text(name).into_bytes()))),
            SecretPlace::File(path) => Err(SecretFault::Empty(path.display().to_string())),
            SecretPlace::Credential(name) => Err(SecretFault::NoCredentials(name.clone())),
        }
    }
}

/// Runs the demo.
///
/// # Errors
/// [`Trouble`] if something cannot be set up.
pub fn run(arguments: &Arguments) -> Result<(), Trouble> {
    let fault = |error: io::Error| Trouble::Other(format!("cannot set up the demo: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(fault)?;
    let folder = TempDir::with_prefix("hookward-demo-").map_err(fault)?;
    let secrets = DemoSecrets::random()?;
    let echo = runtime.block_on(echo::Echo::start()).map_err(fault)?;
    let (server, certificate) = start(&folder, &secrets, echo.address(), &arguments.rejects)?;
    let address = server
        .sockets()
        .https()
        .first()
        .copied()
        .ok_or_else(|| Trouble::Other("the demo does not listen".to_owned()))?;
    let client = Client::new(Some(&certificate)).map_err(fault)?;
    let sender = Sender::new(client, secrets, address, echo);

    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "Hookward listens on https://localhost:{}; behind it an echo service stands for your app.\n",
        address.port()
    )
    .map_err(Trouble::Output)?;
    let sent = runtime.block_on(sender.send_all());
    let reasons = reasons(&arguments.rejects, &sent);
    table(&sent, &reasons, &mut out).map_err(Trouble::Output)?;
    writeln!(out, "\nWho was refused, why, and what to do:\n  hookward rejects --file {}", arguments.rejects.display())
        .map_err(Trouble::Output)?;
    if !arguments.exit {
        invite(&sender, &folder, &mut out)?;
        writeln!(out, "\nCtrl-C ends it.").map_err(Trouble::Output)?;
        out.flush().map_err(Trouble::Output)?;
        // An error means that there is no Ctrl-C to wait for.
        let _ = runtime.block_on(tokio::signal::ctrl_c());
    }
    server.stop();
    Ok(())
}

/// Starts the gateway with the example policies.
fn start(
    folder: &TempDir,
    secrets: &DemoSecrets,
    app: SocketAddr,
    rejects: &Path,
) -> Result<(Server, String), Trouble> {
    let made = cert::make(&["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])
        .map_err(|error| Trouble::Other(format!("cannot make a certificate: {error}")))?;
    let files = CertificateFiles {
        certificate: folder.path().join("demo.pem"),
        key: folder.path().join("demo.key"),
        names: None,
    };
    let directory = folder.path().join("policies");
    let written = fs::write(&files.certificate, &made.certificate)
        .and_then(|()| fs::write(&files.key, &made.key))
        .and_then(|()| write_policies(&POLICIES, &directory, app));
    written.map_err(|source| Trouble::File { path: folder.path().to_owned(), source })?;
    let certificates = Certificates::load(&[files])
        .map_err(|faults| Trouble::Other(faults.into_iter().map(|(_, fault)| fault.to_string()).collect()))?;

    let limits = Limits::new(Capacity::default());
    let mut loaded = Loaded::default();
    let config = PoliciesConfig { directory: Spanned { value: directory, span: 0..0 }, strict: false };
    let Some(policy) = load::load(&config, secrets, &limits, &mut loaded) else {
        return Err(Trouble::Other(format!("the example policies do not load: {}", loaded.diagnostics.summary())));
    };
    let options = record::Options {
        rejects: rejects.to_owned(),
        file_bytes_max: 10 << 20,
        files_max: 3,
        format: Format::Text,
        colour: Colour::Off,
        level: Level::Info,
        clock: std::sync::Arc::new(|| Clock::system().unix_micros()),
    };
    // The access log would stand between the lines of the table.
    let telemetry = Telemetry::start_with(options, Box::new(io::sink()))
        .map_err(|source| Trouble::File { path: rejects.to_owned(), source })?;
    let port = if std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok() { 0 } else { PORT };
    let places = Places { https: vec![SocketAddr::from(([127, 0, 0, 1], port))], ..Places::default() };
    let startup = Startup {
        edge: EdgeConfig { workers: Some(1), drain_time: Duration::from_secs(2), ..EdgeConfig::default() },
        sockets: Sockets::bind(&places, 1).map_err(StartFault::from)?,
        trusted_proxies: Networks::default(),
        forwarding_field: ForwardingField::default(),
        proxy_protocol: false,
        certificates: Some(certificates),
        policy,
        limits,
        telemetry,
        clock: Clock::system(),
        names: Names::system(),
    };
    Ok((Server::start(startup)?, made.certificate))
}

/// Writes the embedded policies, with the echo service for the app.
fn write_policies(from: &Dir<'_>, to: &Path, app: SocketAddr) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for file in from.files() {
        let Some(name) = file.path().file_name() else { continue };
        let text = file.contents_utf8().unwrap_or_default().replace(EXAMPLE_APP, &format!("http://{app}"));
        fs::write(to.join(name), text)?;
    }
    for directory in from.dirs() {
        let Some(name) = directory.path().file_name() else { continue };
        write_policies(directory, &to.join(name), app)?;
    }
    Ok(())
}

/// The rejected log's word on each refused delivery, by delivery id; waits a moment for the log to be written.
fn reasons(log: &Path, sent: &[Sent]) -> HashMap<String, Record> {
    let wanted: Vec<_> = sent.iter().filter_map(|sent| sent.delivery.clone()).collect();
    let until = std::time::Instant::now() + LOG_WAIT;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let records = text.lines().filter_map(Record::parse);
        let found: HashMap<_, _> = records.filter_map(|record| Some((record.delivery.clone()?, record))).collect();
        if wanted.iter().all(|id| found.contains_key(id)) || std::time::Instant::now() >= until {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn table(sent: &[Sent], reasons: &HashMap<String, Record>, out: &mut impl Write) -> io::Result<()> {
    let (good, bad, bold, plain) = ("\u{1b}[32m", "\u{1b}[33m", "\u{1b}[1m", "\u{1b}[0m");
    let width = sent.iter().map(|sent| sent.what.chars().count()).max().unwrap_or_default();
    writeln!(out, "{bold}{:width$}  STATUS  {:22}  WHY{plain}", "DELIVERY", "VERDICT")?;
    for delivery in sent {
        let record = delivery.delivery.as_ref().and_then(|id| reasons.get(id));
        let (verdict, why) = match record {
            Some(record) => (record.reason.clone(), record.facts()),
            None => (delivery.verdict.to_owned(), delivery.why.clone()),
        };
        let colour = if delivery.status.is_success() { good } else { bad };
        let status = delivery.status.as_u16();
        writeln!(out, "{:width$}  {colour}{status:<6}  {verdict:22}{plain}  {why}", delivery.what)?;
    }
    Ok(())
}

/// What to do next: lines that work as they are printed.
fn invite(sender: &Sender, folder: &TempDir, out: &mut impl Write) -> Result<(), Trouble> {
    let lines =
        sender.curl_lines(folder.path()).map_err(|source| Trouble::File { path: folder.path().to_owned(), source })?;
    writeln!(out, "\nTry it yourself:").map_err(Trouble::Output)?;
    for (what, line) in lines {
        writeln!(out, "  # {what}\n  {line}").map_err(Trouble::Output)?;
    }
    Ok(())
}
