//! The built binary while it serves: started with what a test wants of its surroundings, and asked as an operator asks.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use hookward::cli::cert;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::command::hookward;
use super::{Connection, Hello, PATIENCE, eventually, secret_of};

/// How `hookward serve` is to be run.
pub(crate) struct Serve<'s> {
    /// Where configuration, policies and logs are.
    pub folder: &'s Path,
    /// `policies/github.toml`.
    pub policy: String,
    /// The lists of `[listen]`.
    pub listen: String,
    /// The keys of `[rejects]`.
    pub rejects: &'s str,
    /// More of `hookward.toml`.
    pub config: String,
    /// What a shell does before it becomes the gateway, and what it adds to the command.
    pub shell: Option<(&'s str, &'s str)>,
    /// Variables.
    pub environment: Vec<(&'s str, String)>,
    /// What stands where standard input would.
    pub stdin: Stdio,
    /// Whether somebody reads what it writes once it listens.
    pub reader: Reader,
}

/// Who reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Attentive,
    Gone,
}

/// `hookward serve`, built and run.
pub(crate) struct Served {
    pub(crate) child: Child,
    lines: Mutex<Receiver<String>>,
    /// Where its first TLS listener is.
    pub(crate) address: SocketAddr,
    /// Where its private listener is.
    pub(crate) admin: Option<SocketAddr>,
    /// The authorities of its certificate.
    pub(crate) roots: RootCertStore,
    /// Kept open, and not read.
    unread: Option<BufReader<ChildStdout>>,
}

impl<'s> Serve<'s> {
    /// One worker on a port that the system chooses, and a private listener.
    pub(crate) fn new(folder: &'s Path, policy: &str) -> Self {
        Self {
            folder,
            policy: policy.to_owned(),
            listen: "https = [\"127.0.0.1:0\"]".to_owned(),
            rejects: "file = \"rejected.jsonl\"",
            config: "[admin]\nlisten = \"127.0.0.1:0\"\n".to_owned(),
            shell: None,
            environment: Vec::new(),
            stdin: Stdio::null(),
            reader: Reader::Attentive,
        }
    }

    /// Writes its files, with a new certificate, and waits until it listens.
    pub(crate) fn start(self) -> Served {
        let roots = write_certificate(self.folder);
        self.start_with(roots)
    }

    /// The same with the certificate that is there.
    pub(crate) fn start_with(self, roots: RootCertStore) -> Served {
        fs::create_dir_all(self.folder.join("policies")).unwrap();
        fs::write(self.folder.join("policies/github.toml"), &self.policy).unwrap();
        let config = format!(
            "[listen]\n{}\n[[tls]]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n[policies]\ndirectory = \"policies\"\n\
             [rejects]\n{}\n[log]\nformat = \"json\"\n[edge]\nworkers = 1\ndrain_seconds = 10\n{}",
            self.listen, self.rejects, self.config
        );
        fs::write(self.folder.join("hookward.toml"), config).unwrap();
        let mut command = hookward(self.folder, &["serve"]);
        if let Some((before, after)) = self.shell {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{before}; exec \"$@\" {after}"), "sh"]);
            shell.arg(command.get_program()).args(command.get_args()).current_dir(self.folder);
            command = shell;
        }
        command.env("GITHUB", secret_of("GITHUB")).envs(self.environment).stdin(self.stdin).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        let has_admin = self.config.contains("[admin]");
        let mut served = Served {
            child,
            lines: Mutex::new(lines),
            address: ([0, 0, 0, 0], 0).into(),
            admin: None,
            roots,
            unread: None,
        };
        while served.address.port() == 0 || has_admin && served.admin.is_none() {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended before it listened");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            match (value["protocol"].as_str(), value["address"].as_str().map(|address| address.parse().unwrap())) {
                (Some("https"), Some(address)) => served.address = address,
                (Some("admin"), address) => served.admin = address,
                _ => {}
            }
            sender.send(line).unwrap();
        }
        match self.reader {
            Reader::Attentive => {
                thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
            }
            Reader::Gone => served.unread = Some(stdout),
        }
        served
    }
}

impl Served {
    /// Waits for a line with this text.
    pub(crate) fn line(&self, text: &str) -> String {
        loop {
            let line =
                self.lines.lock().unwrap().recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// All lines that nobody waited for, once it has ended.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().collect()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Lets it have so much of something for now, and no more than `maximum` ever.
    pub(crate) fn limit(&self, resource: Resource, current: Option<u64>, maximum: Option<u64>) {
        prlimit(Some(self.pid()), resource, Rlimit { current, maximum }).unwrap();
    }

    pub(crate) fn hello(&self) -> Hello<'static> {
        Hello::at(self.address, self.roots.clone())
    }

    pub(crate) fn connect(&self) -> Connection {
        self.hello().connect().unwrap()
    }

    /// A connection to the private listener.
    pub(crate) fn private(&self) -> Connection {
        Connection::plain(self.admin.unwrap())
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        eventually("the end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `/metrics` says of one sample, asked on this connection to the private listener; 0 where there is none.
pub(crate) fn metric(private: &mut Connection, sample: &str) -> i64 {
    private.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let answer = private.answer();
    let line = answer.text().lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// A new certificate for `localhost` in this folder, and who trusts it.
pub(crate) fn write_certificate(folder: &Path) -> RootCertStore {
    let made = cert::make(&["localhost".to_owned()]).unwrap();
    fs::write(folder.join("tls.key"), &made.key).unwrap();
    fs::write(folder.join("tls.pem"), &made.certificate).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
    roots
}
