//! `refuse_if`: patterns that no text may fit.

/// A regular expression that is looked for anywhere in a text, in time linear in the text.
#[derive(Debug, Clone)]
pub struct Unwanted(regex::Regex);

/// The most memory a compiled pattern may take, and the most that the cache of its automaton may, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

impl Unwanted {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it: look-around and back-references, which no linear engine has, among the rest.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut builder = regex::RegexBuilder::new(text);
        let compiled = builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
        compiled.map(Self).map_err(|error| error.to_string())
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}
