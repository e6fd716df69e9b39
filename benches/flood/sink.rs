//! What the senders can do: the same requests, before somebody who only answers, on the gateway's core.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::Fault;
use crate::fleet::{Fleet, Load, Senders};
use crate::flood::{CONNECTIONS, address};
use crate::report;
use crate::requests;
use crate::tally::per;
use crate::{threads, upstream};

const PHASE: Duration = Duration::from_secs(5);

/// Measures, and prints its table. There is no bound: what floods ask for has to be less than this.
pub fn measure(core: usize) -> Result<(), Fault> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.resumption = Resumption::disabled();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let gateway = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("sink".to_owned()).spawn(move || {
        threads::move_to(core);
        runtime.block_on(async {
            let (Ok(listener), acceptor) = (TcpListener::from_std(listener), TlsAcceptor::from(Arc::new(server)))
            else {
                return;
            };
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let accepting = acceptor.accept(stream);
                tokio::spawn(async move { upstream::serve(accepting.await.ok()?).await });
            }
        });
    })?;
    let senders = Senders {
        gateway,
        tls: Arc::new(tls),
        requests: requests::forged("/")?,
        addresses: vec![address(0); CONNECTIONS],
    };
    let answers = Fleet::connect(senders)?.run(Load::Closed, PHASE)?.answers();
    println!("\n## What the senders can do");
    report::head(&["before somebody who only answers", "requests/s"]);
    report::row(&[format!("{CONNECTIONS} connections, 7 KB"), format!("{:.0}", per(answers, PHASE.as_secs_f64()))]);
    Ok(())
}
