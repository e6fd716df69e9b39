//! What was edited of a payload: where and by which rule, never what it was.

/// Edits that a report lists one by one; all are counted.
const EDITS_LISTED_MAX: usize = 64;

/// The rule by which something was edited or refused, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `unknown_fields`.
    UnknownFields,
    /// `control_characters`.
    ControlCharacters,
    /// `bidi_controls`.
    BidiControls,
    /// `zero_width`.
    ZeroWidth,
    /// `normalize`.
    Normalize,
    /// `html`.
    Html,
    /// `formula`.
    Formula,
    /// `prototype_keys`.
    PrototypeKeys,
    /// `operator_keys`.
    OperatorKeys,
    /// `keep`.
    Keep,
    /// `drop`.
    Drop,
    /// `set`.
    Set,
    /// `hash`.
    Hash,
    /// `mask`.
    Mask,
    /// `truncate`.
    Truncate,
    /// `refuse_if`.
    RefuseIf,
}

impl Rule {
    /// How many rules there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every rule, in order.
    pub const ALL: [Self; 16] = [
        Self::UnknownFields,
        Self::ControlCharacters,
        Self::BidiControls,
        Self::ZeroWidth,
        Self::Normalize,
        Self::Html,
        Self::Formula,
        Self::PrototypeKeys,
        Self::OperatorKeys,
        Self::Keep,
        Self::Drop,
        Self::Set,
        Self::Hash,
        Self::Mask,
        Self::Truncate,
        Self::RefuseIf,
    ];

    /// The rule as a policy names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownFields => "unknown_fields",
            Self::ControlCharacters => "control_characters",
            Self::BidiControls => "bidi_controls",
            Self::ZeroWidth => "zero_width",
            Self::Normalize => "normalize",
            Self::Html => "html",
            Self::Formula => "formula",
            Self::PrototypeKeys => "prototype_keys",
            Self::OperatorKeys => "operator_keys",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::Mask => "mask",
            Self::Truncate => "truncate",
            Self::RefuseIf => "refuse_if",
        }
    }
}

/// How many edits each rule made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EditCounts([u32; Rule::COUNT]);

impl EditCounts {
    /// All edits together.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// The rules that made some, and how many.
    pub fn by_rule(&self) -> impl Iterator<Item = (Rule, u32)> {
        Rule::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// Counts one more.
    pub fn add(&mut self, rule: Rule) {
        let count = &mut self.0[rule as usize];
        *count = count.saturating_add(1);
    }
}

/// What was edited of a payload, without saying what it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    counts: EditCounts,
    edits: Vec<Edit>,
}

/// One removed member, one string or name that lost characters, or one value that another took the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// By which rule.
    pub rule: Rule,
    /// Where, as a JSON pointer with `*` for every name that neither the schema nor a rule's own pattern has.
    pub pointer: String,
}

impl Report {
    /// How many edits there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts.total() as usize
    }

    /// How many there were by which rule.
    #[must_use]
    pub const fn counts(&self) -> EditCounts {
        self.counts
    }

    /// The first edits, at most 64, in the order of the text.
    #[must_use]
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// Whether the body is as it was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts == EditCounts::default()
    }

    pub(super) fn add(&mut self, rule: Rule, pointer: impl FnOnce() -> String) {
        self.counts.add(rule);
        if self.edits.len() < EDITS_LISTED_MAX {
            self.edits.push(Edit { rule, pointer: pointer() });
        }
    }
}
