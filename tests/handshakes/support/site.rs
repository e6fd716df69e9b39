//! One source of one provider behind a running gateway, with its secrets in real files.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hookward::policy::diagnostic::Styles;
use hookward::policy::gateway_config::PoliciesConfig;
use hookward::policy::load::{self, Loaded};
use hookward::policy::secrets::SystemSecrets;
use hookward::policy::table::Spanned;
use tempfile::TempDir;

use super::{Answer, App, Delivery, House, Running};

/// The secret of every source.
pub(crate) const SECRET: &str = "integration_private_key";

/// The token of `[handshake] verify_token`.
pub(crate) const VERIFY_TOKEN: &str = "a-verify-token-of-the-tests";

/// The public half of [`signing_key`], in hexadecimal, as a file.
pub(crate) const KEY: &str = "public_keys = [{ id = \"1\", file = \"key\" }]";

/// No secret at all.
pub(crate) const NONE: &str = "none";

/// A gateway with the source `p` at `/p`.
pub(crate) struct Site {
    pub gateway: Running,
    pub app: App,
    folder: TempDir,
}

/// The key of a provider that signs with Ed25519.
pub(crate) fn signing_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

impl Site {
    /// A gateway with this preset. `auth` goes into `[auth]` (its secret, if empty), `rest` behind `[forward]`.
    pub(crate) fn new(provider: &str, auth: &str, rest: &str) -> Self {
        Self::with(provider, auth, rest).unwrap_or_else(|findings| panic!("{provider}: {findings}"))
    }

    /// The same, or what is wrong with the policy.
    pub(crate) fn with(provider: &str, auth: &str, rest: &str) -> Result<Self, String> {
        Self::at(House::new(), &[], provider, auth, rest)
    }

    /// The same with a gateway that is prepared otherwise, and with these files beside the policy.
    pub(crate) fn at(
        house: House,
        files: &[(&str, &str)],
        provider: &str,
        auth: &str,
        rest: &str,
    ) -> Result<Self, String> {
        let folder = TempDir::with_prefix("hookward-test-").unwrap();
        let key = hex::encode(signing_key().public_key().as_ref());
        for (name, text) in [("secret", SECRET), ("token", VERIFY_TOKEN), ("key", &key)].iter().chain(files) {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let app = App::start();
        let auth = match auth {
            "" => "secrets = [{ id = \"1\", file = \"secret\" }]",
            NONE => "",
            auth => auth,
        };
        let policy = format!(
            "path = \"/p\"\npublic_url = \"https://localhost/p\"\n[auth]\nprovider = \"{provider}\"\n{auth}\n[forward]\n{}\n{rest}\n",
            app.to("/app")
        );
        fs::write(folder.path().join("p.toml"), policy).unwrap();
        let site = Self { gateway: house.start(), app, folder };
        site.load()?;
        Ok(site)
    }

    /// Loads the policy anew, as `serve` does.
    pub(crate) fn load(&self) -> Result<(), String> {
        let mut loaded = Loaded::default();
        let directory = Spanned { value: self.folder.path().to_owned(), span: 0..0 };
        let shared = self.gateway.shared();
        let policy =
            load::load(&PoliciesConfig { directory, strict: false }, &SystemSecrets, &shared.limits, &mut loaded);
        let policy = policy.ok_or_else(|| loaded.diagnostics.report(&loaded.files, &Styles::plain()).to_string())?;
        shared.policy.store(Arc::new(policy));
        Ok(())
    }

    /// Sends on a connection of its own.
    pub(crate) fn send(&self, request: &Delivery) -> Answer {
        self.gateway.connect().send(request)
    }

    /// The reason in the record of a refusal.
    pub(crate) fn reason(&self, answer: &Answer) -> String {
        self.gateway.record_of(answer).reason
    }

    /// A file beside the policy.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
