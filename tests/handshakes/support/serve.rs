//! `hookward serve`, built and run.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use hookward::cli::cert;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::command::hookward;
use super::{Connection, Hello, PATIENCE};

/// A gateway with the policies of a folder, in a process of its own.
pub(crate) struct Served {
    child: Child,
    lines: Receiver<String>,
    address: SocketAddr,
    roots: RootCertStore,
}

impl Served {
    /// Runs it in this folder, on a port that the system chooses.
    pub(crate) fn start(folder: &Path) -> Self {
        let made = cert::make(&["localhost".to_owned()]).unwrap();
        fs::write(folder.join("tls.key"), &made.key).unwrap();
        fs::write(folder.join("tls.pem"), &made.certificate).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
        let config = "[listen]\nhttps = [\"127.0.0.1:0\"]\n[[tls]]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n\
                      [policies]\ndirectory = \"policies\"\n[rejects]\nfile = \"rejected.jsonl\"\n[log]\nformat = \"json\"\n\
                      [edge]\nworkers = 1\ndrain_seconds = 5\n";
        fs::write(folder.join("hookward.toml"), config).unwrap();
        let mut child = hookward(folder, &["serve"]).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let mut served = Self { child, lines, address: SocketAddr::from(([0, 0, 0, 0], 0)), roots };
        let line: serde_json::Value = serde_json::from_str(&served.line("\"listening\"")).unwrap();
        served.address = line["address"].as_str().unwrap().parse().unwrap();
        served
    }

    /// Waits for a line with this text.
    pub(crate) fn line(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        Hello::at(self.address, self.roots.clone()).connect().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
