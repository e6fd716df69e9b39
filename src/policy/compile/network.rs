//! `[network]` → who may send.

use std::sync::Arc;

use ipnet::IpNet;

use super::Compiler;
use crate::admit::networks::{NetworkRules, Networks};
use crate::policy::networks::read_list;
use crate::policy::source_config::NetworkConfig;
use crate::policy::table::Spanned;
use crate::policy::table::parse::Fault;

impl Compiler<'_, '_> {
    /// The networks of the policy and of the lists that it names. After an error there are fewer, and nothing is served.
    pub(super) fn networks(&mut self, config: &NetworkConfig) -> NetworkRules {
        let plain = |networks: &[Spanned<IpNet>]| networks.iter().map(|network| network.value).collect::<Vec<_>>();
        let mut allowed = config.allow.as_ref().map(|allow| plain(allow));
        for file in &config.lists {
            allowed.get_or_insert_default().extend_from_slice(&self.list(file));
        }
        NetworkRules { allowed: allowed.map(Networks::new), denied: Networks::new(plain(&config.deny)) }
    }

    fn list(&mut self, file: &Spanned<std::path::PathBuf>) -> Arc<[IpNet]> {
        self.context.watched.insert(file.value.clone());
        if let Some(known) = self.context.lists.get(&file.value) {
            return Arc::clone(known);
        }
        if !file.value.exists() {
            let source = self.file.path.file_stem().unwrap_or_default().to_string_lossy();
            let hint = format!("`hookward networks update {source}` writes it, if the provider publishes one");
            let fault = Fault::new(format!("there is no file {}", file.value.display()));
            self.error(file.span.clone(), fault.hint(hint));
            return Arc::default();
        }
        let diagnostics = &mut *self.context.diagnostics;
        let text = self.context.files.read(file.value.as_path(), diagnostics);
        let networks: Arc<[IpNet]> = text.and_then(|text| read_list(&text, diagnostics)).unwrap_or_default().into();
        self.context.lists.insert(file.value.clone(), Arc::clone(&networks));
        networks
    }
}
