//! What `serve` would find missing on this machine, although the configuration reads well.

use std::path::Path;
use std::sync::Arc;

use crate::cli::users::User;
use crate::cli::written::Written;
use crate::policy::diagnostic::{Diagnostic, Diagnostics};
use crate::policy::gateway_config::{GatewayConfig, ListenConfig};
use crate::whole_file::folder_of;

/// Looks for the user that the gateway is to become, for the folders of its sockets, and at what it writes to.
pub(super) fn look(config: &GatewayConfig, config_file: &Path, written: &[Written], found: &mut Diagnostics) {
    let file = Arc::from(config_file);
    for place in written {
        place.unwritable().into_iter().for_each(|fault| found.push(fault));
    }
    if let Some(listen) = &config.listen {
        user(listen, &file).into_iter().chain(folders(listen, &file)).for_each(|fault| found.push(fault));
    }
}

fn user(listen: &ListenConfig, file: &Arc<Path>) -> Option<Diagnostic> {
    let user = listen.user.as_ref()?;
    // Where the list of users cannot be read, `serve` says why.
    if !matches!(User::find(&user.value), Ok(None)) {
        return None;
    }
    let message = format!("there is no user {:?} in /etc/passwd", user.value);
    let hint = format!("on the machine that serves: useradd --system {}", user.value);
    Some(Diagnostic::error(file, user.span.clone(), message).hint(hint))
}

/// A service manager may make the folder just before it starts the gateway, so it is a warning.
fn folders(listen: &ListenConfig, file: &Arc<Path>) -> impl Iterator<Item = Diagnostic> {
    let missing = listen.unix.iter().filter(|socket| !folder_of(&socket.value).is_dir());
    missing.map(|socket| {
        let message = format!("there is no folder {}", folder_of(&socket.value).display());
        let hint = "`serve` does not make it; systemd does before the start: RuntimeDirectory= in the unit".to_owned();
        Diagnostic::warning(file, socket.span.clone(), message).hint(hint)
    })
}
