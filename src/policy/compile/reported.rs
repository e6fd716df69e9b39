//! What is wrong with one source, told at its place.

use std::ops::Range;

use super::Compiler;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::source_config::MethodConfig;
use crate::policy::table::parse::Fault;

/// Something cannot be compiled, and why has been said.
///
/// **Invariant:** only [`Compiler::error`] makes one, or a fault that the reader of the table told, so no source is left out without a finding.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Reported(());

impl Reported {
    /// Of keys that are there and were not understood.
    pub(super) fn of_keys(auth: &MethodConfig) -> Option<Self> {
        (!auth.keys_are_whole).then_some(Self(()))
    }
}

impl Compiler<'_, '_> {
    /// Reports an error at a place of the policy's file; absent: the file as a whole.
    pub(super) fn error(&mut self, span: impl Into<Option<Range<usize>>>, fault: Fault) -> Reported {
        self.context.diagnostics.push(Diagnostic::error(&self.file.path, span, fault.message).hint(fault.hint));
        Reported(())
    }

    /// Reports what somebody should look at.
    pub(super) fn warning(&mut self, span: impl Into<Option<Range<usize>>>, fault: Fault) {
        self.context.diagnostics.push(Diagnostic::warning(&self.file.path, span, fault.message).hint(fault.hint));
    }
}
