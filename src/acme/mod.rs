//! A certificate that an authority issues while the gateway runs, and renews ahead of time (ACME, RFC 8555).
//!
//! [`Acme`] is a clockwork beside the gateway, in the control thread: when it is time it makes one attempt (`order`), puts the certificate in force, keeps it
//! (`state`) and says how it went. The proofs that names are ours are shown by the TLS listener ([`tls::challenge`](crate::edge::tls::challenge)) or by a
//! listener of their own (`http`). No worker waits for any of it.
//!
//! Reading order: here, `order`, `state`, `client` (the way to the authority), `http`.
//!
//! **Invariant:** an attempt that fails leaves the certificate that is in force alone.
//! **Invariant:** between two attempts there are at least [`ATTEMPT_SECONDS_MIN`], and after one that failed its whole pause, restarts or not: authorities lock
//! out who hammers them. Only a clock that is set back further than the longest pause ends one.

mod client;
mod http;
mod order;
mod state;

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::Problem;
use rustls::ClientConfig;
use tokio::time::timeout;

use self::http::Tokens;
use self::order::{IssueFault, Proofs};
use self::state::{Note, State};
use crate::clock::{Clock, UnixSeconds};
use crate::edge::tls::{CertificateStore, Certified};
use crate::policy::gateway_config::{AcmeChallenge, AcmeConfig};
use crate::policy::tls::client_config;
use crate::reason::Level;
use crate::record::Telemetry;

/// Between the beginnings of two attempts, at least. Let's Encrypt takes five failed proofs of a name in an hour.
pub const ATTEMPT_SECONDS_MIN: i64 = 15 * 60;

/// After one failure after the other the pause doubles, up to this.
pub const PAUSE_SECONDS_MAX: i64 = 12 * 3600;

/// After an authority said that it is too much, at least.
pub const RATE_LIMITED_SECONDS_MIN: i64 = 3 * 3600;

/// The longest pause there is, with its jitter.
const NOT_BEFORE_SECONDS_MAX: i64 = PAUSE_SECONDS_MAX / 4 * 5;

/// A renewal is due when this part of the lifetime is left.
const LIFETIME_LEFT: i64 = 3;

/// For an attempt as a whole.
const ATTEMPT_TIME: Duration = Duration::from_secs(5 * 60);

/// How long the wall clock is trusted not to have been set.
const LOOK_TIME: Duration = Duration::from_secs(60);

/// Keeps one certificate fresh.
pub struct Acme {
    config: AcmeConfig,
    /// How the authority's own server is trusted.
    client: Arc<ClientConfig>,
    store: Arc<CertificateStore>,
    telemetry: Telemetry,
    clock: Clock,
    state: State,
    tokens: Arc<Tokens>,
    listener: Option<TcpListener>,
    note: Note,
    /// When the certificate in force is to be renewed; absent: there is none, or it is not for all of the domains.
    renewal: Option<UnixSeconds>,
    /// The certificate in force with its key, as long as it could not be kept.
    unkept: Option<String>,
    /// When it was looked last whether an attempt is due.
    looked_at: UnixSeconds,
    /// When the next attempt is made.
    due: UnixSeconds,
}

/// Binds the listener of HTTP-01, if that is how names are proven: its port may be one that only root can bind.
///
/// # Errors
/// What the system says.
pub fn bind(config: &AcmeConfig) -> io::Result<Option<TcpListener>> {
    match &config.challenge {
        AcmeChallenge::TlsAlpn => Ok(None),
        AcmeChallenge::Http(address) => http::bind(address.value).map(Some),
    }
}

impl Acme {
    /// Opens the directory of [`AcmeConfig::state`], makes it if need be, and puts the certificate in force that is kept there, for the names it has.
    /// `listener` is what [`bind`] bound.
    ///
    /// # Errors
    /// If the directory cannot be made, or `trust_roots` cannot be read. A certificate that cannot be used any more, or that lacks a name, is no error: another
    /// one is due then.
    pub fn open(
        config: AcmeConfig,
        listener: Option<TcpListener>,
        store: Arc<CertificateStore>,
        telemetry: Telemetry,
        clock: Clock,
    ) -> io::Result<Self> {
        let client = client_config(&config.trust_roots).map_err(|(_, message)| io::Error::other(message))?;
        let state = State::open(&config.state.value, &config.directory_url)?;
        let now = clock.unix_seconds();
        let note = state.note().unwrap_or_else(|error| {
            telemetry.event(Level::Warn, "the note of the last attempt cannot be read", &[("error", &error)]);
            // As if it had been made just now.
            Some(Note { not_before: now.saturating_add(ATTEMPT_SECONDS_MIN), failures: 0 })
        });
        let mut acme = Self {
            config,
            client,
            store,
            telemetry,
            clock,
            state,
            tokens: Arc::default(),
            listener,
            note: note.unwrap_or_default(),
            renewal: None,
            unkept: None,
            looked_at: now,
            due: now,
        };
        acme.resume(now);
        acme.due = acme.due_at(now);
        Ok(acme)
    }

    /// Puts the certificate in force that is kept.
    fn resume(&mut self, now: UnixSeconds) {
        match self.state.certificate() {
            Ok(Some(certified)) if now < certified.validity.end => {
                let lacking = lacking(&certified, &self.config.domains);
                if !lacking.is_empty() {
                    let domains = lacking.join(" ");
                    let message = "the certificate that was kept is not for all of the domains";
                    self.telemetry.event(Level::Warn, message, &[("lacking", &domains)]);
                }
                if lacking.len() < self.config.domains.len() {
                    self.put_in_force(&certified);
                }
            }
            Ok(Some(_) | None) => {}
            Err(fault) => {
                self.telemetry.event(Level::Warn, "the certificate that was kept cannot be used", &[("error", &fault)]);
            }
        }
        self.telemetry.certificates(self.store.expiries());
    }

    fn put_in_force(&mut self, certified: &Certified) {
        self.store.issue(certified);
        let is_whole = lacking(certified, &self.config.domains).is_empty();
        self.renewal = is_whole.then(|| renewal_at(&certified.validity));
    }

    /// When the next attempt is made: as soon as the certificate in force wants it, and not before the last one allows it.
    fn due_at(&self, now: UnixSeconds) -> UnixSeconds {
        // A note from further ahead was made before the clock was set back.
        let is_sensible = self.note.not_before <= now.saturating_add(NOT_BEFORE_SECONDS_MAX);
        let not_before = if is_sensible { self.note.not_before } else { now };
        self.renewal.unwrap_or(now).max(not_before)
    }

    /// Where proofs are shown over plain HTTP, with the port that was chosen.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// When the next attempt is made.
    #[must_use]
    pub const fn due(&self) -> UnixSeconds {
        self.due
    }

    /// Shows proofs over plain HTTP, if that is what is configured, for as long as the runtime lasts that this is called in.
    ///
    /// # Errors
    /// If the listener cannot be given to it.
    pub fn listen(&self) -> io::Result<()> {
        if let Some(listener) = &self.listener {
            let tokens = Arc::clone(&self.tokens);
            tokio::spawn(http::serve(http::listener(listener.try_clone()?)?, tokens));
        }
        Ok(())
    }

    /// Shows proofs, and looks again and again whether an attempt is due, until it is dropped.
    ///
    /// # Errors
    /// If the listener cannot be given to the runtime.
    pub async fn run(mut self) -> io::Result<Infallible> {
        self.listen()?;
        loop {
            let wait = self.step().await;
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes an attempt if one is due. Answers how long nothing is to be done.
    pub async fn step(&mut self) -> Duration {
        let now = self.clock.unix_seconds();
        if now < self.looked_at {
            // The clock was set back; what it said before may have been far ahead.
            self.due = self.due_at(now);
        }
        self.looked_at = now;
        self.keep_again();
        if now >= self.due {
            self.attempt(now).await;
        }
        let left = self.due.saturating_sub(self.clock.unix_seconds());
        Duration::from_secs(u64::try_from(left).unwrap_or_default()).min(LOOK_TIME)
    }

    async fn attempt(&mut self, now: UnixSeconds) {
        match self.issue(now).await {
            Ok((certified, pem)) => {
                self.put_in_force(&certified);
                self.keep(pem);
                self.note.failures = 0;
                self.due = self.due_at(now);
                self.telemetry.certificate_issued(now);
                self.telemetry.certificates(self.store.expiries());
                let domains = self.config.domains.join(" ");
                self.telemetry.event(
                    Level::Info,
                    "a certificate was issued",
                    &[("domains", &domains), ("not_after", &timestamp(certified.validity.end))],
                );
            }
            Err(fault) => {
                self.note.failures = self.note.failures.saturating_add(1);
                self.note.not_before = now.saturating_add(jittered(pause(self.note.failures, &fault)));
                self.due = self.due_at(now);
                self.telemetry.certificate_failed(now);
                let next = timestamp(self.due);
                self.telemetry.event(
                    Level::Error,
                    "no certificate was issued",
                    &[("error", &fault), ("failures", &self.note.failures), ("next_attempt", &next)],
                );
                if is_problem(&fault, "accountDoesNotExist") {
                    self.state.forget_account();
                }
            }
        }
        // Where this cannot be kept, what was noted at the beginning holds after a restart.
        let _ = self.state.keep_note(self.note);
    }

    /// Has a certificate issued, and hands it out with its PEM.
    async fn issue(&mut self, now: UnixSeconds) -> Result<(Certified, String), IssueFault> {
        // Before anything is asked of the authority, so that a gateway which is started over and over counts as well.
        self.note.not_before = now.saturating_add(ATTEMPT_SECONDS_MIN);
        self.state.keep_note(self.note).map_err(IssueFault::State)?;
        let proofs = match self.config.challenge {
            AcmeChallenge::TlsAlpn => Proofs::Tls(&self.store),
            AcmeChallenge::Http(_) => Proofs::Http(&self.tokens),
        };
        let issued = order::issue(&self.config, &self.state, &self.client, proofs);
        let pem = timeout(ATTEMPT_TIME, issued).await.map_err(|_elapsed| IssueFault::Slow)??;
        let certified = Certified::from_pem(pem.as_bytes(), self.state.certificate_file())?;
        if now >= certified.validity.end || !lacking(&certified, &self.config.domains).is_empty() {
            return Err(IssueFault::Unusable);
        }
        Ok((certified, pem))
    }

    /// Keeps a certificate that was issued. Where it cannot be kept it is good all the same: it is kept later.
    fn keep(&mut self, pem: String) {
        self.unkept = None;
        if let Err(error) = self.state.keep_certificate(&pem) {
            let file = self.state.certificate_file().display();
            let message = "the certificate is in force and cannot be kept: a restart would have another one issued";
            self.telemetry.event(Level::Error, message, &[("file", &file), ("error", &error)]);
            self.unkept = Some(pem);
        }
    }

    fn keep_again(&mut self) {
        if let Some(pem) = &self.unkept
            && self.state.keep_certificate(pem).is_ok()
        {
            self.unkept = None;
            self.telemetry.event(Level::Info, "the certificate is kept", &[]);
        }
    }
}

/// The names that a certificate is not for.
fn lacking<'d>(certified: &Certified, domains: &'d [String]) -> Vec<&'d str> {
    let is_lacking = |domain: &&str| !certified.names.iter().any(|name| name.eq_ignore_ascii_case(domain));
    domains.iter().map(String::as_str).filter(is_lacking).collect()
}

fn renewal_at(validity: &Range<UnixSeconds>) -> UnixSeconds {
    validity.end.saturating_sub(validity.end.saturating_sub(validity.start) / LIFETIME_LEFT)
}

/// How long nothing is tried after so many failures.
fn pause(failures: u32, fault: &IssueFault) -> i64 {
    let doubled = ATTEMPT_SECONDS_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let least = if is_problem(fault, "rateLimited") { RATE_LIMITED_SECONDS_MIN } else { ATTEMPT_SECONDS_MIN };
    doubled.clamp(least, PAUSE_SECONDS_MAX)
}

/// Up to a quarter more, so that those who failed together do not come back together.
fn jittered(seconds: i64) -> i64 {
    let random = RandomState::new().hash_one(()) % 1024;
    seconds.saturating_add(seconds / 4 * i64::try_from(random).unwrap_or_default() / 1024)
}

/// Whether an authority's problem is of this kind (RFC 8555 §6.7).
fn is_problem(fault: &IssueFault, kind: &str) -> bool {
    let IssueFault::Authority(instant_acme::Error::Api(Problem { r#type: Some(told), .. })) = fault else {
        return false;
    };
    told.strip_prefix("urn:ietf:params:acme:error:") == Some(kind)
}

fn timestamp(seconds: UnixSeconds) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(kind: &str) -> IssueFault {
        let problem = format!("{{\"type\":\"urn:ietf:params:acme:error:{kind}\"}}");
        IssueFault::Authority(instant_acme::Error::Api(serde_json::from_str(&problem).unwrap()))
    }

    #[test]
    fn pauses_double_up_to_half_a_day_and_are_longer_where_the_authority_had_too_much() {
        let pauses = |fault: &IssueFault| [1, 2, 3, 4, 6, 7, 100, u32::MAX].map(|failures| pause(failures, fault) / 60);
        assert_eq!(pauses(&IssueFault::Slow), [15, 30, 60, 120, 480, 720, 720, 720]);
        assert_eq!(pauses(&api("dns")), pauses(&IssueFault::Slow));
        assert_eq!(pauses(&api("rateLimited")), [180, 180, 180, 180, 480, 720, 720, 720]);
    }

    #[test]
    fn the_jitter_is_at_most_a_quarter() {
        let found: Vec<_> = (0..200).map(|_| jittered(4_000)).collect();
        assert!(found.iter().all(|pause| (4_000..5_000).contains(pause)), "{found:?}");
        assert!(found.iter().any(|pause| *pause != found[0]), "it is none");
    }

    #[test]
    fn a_renewal_is_due_when_a_third_of_the_lifetime_is_left() {
        let day = 24 * 3600;
        assert_eq!(renewal_at(&(0..90 * day)), 60 * day);
        assert_eq!(renewal_at(&(day..7 * day)), 5 * day);
        assert_eq!(renewal_at(&(0..0)), 0);
    }
}
