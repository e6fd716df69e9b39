//! The keywords of JSON Schema that calculate with a payload's numbers, in linear time.
//!
//! The library's own are exact, too, but write numbers out: `1e9999` takes a sender six bytes and the library ten thousand
//! digits and milliseconds, so that a body of a megabyte would take minutes. These replace them on our representation.
//! They belong to [`schema`](super::schema), which builds every validator with them.

use std::cmp::Ordering;

use jsonschema::json::{JsonNumber, Node as _};
use jsonschema::{Keyword, ValidationError, ValidationOptions};
use serde_json::{Map, Value};

use super::instance::{Tape, TapeNode};
use super::number::Decimal;

/// Has a validator calculate with numbers as this module does.
#[must_use]
pub fn with_linear_numbers<R>(options: ValidationOptions<'_, R, Tape>) -> ValidationOptions<'_, R, Tape> {
    options
        .with_keyword("const", |_, value, _| Ok(Box::new(Const(value.clone()))))
        .with_keyword("minimum", |schema, value, _| bound(value, Is::at_least(schema)))
        .with_keyword("maximum", |schema, value, _| bound(value, Is::at_most(schema)))
        .with_keyword("exclusiveMinimum", |_, value, _| bound(value, Is::MORE))
        .with_keyword("exclusiveMaximum", |_, value, _| bound(value, Is::LESS))
        .with_keyword("multipleOf", |_, value, _| multiple_of(value))
}

/// Has `const` mean nothing, as in draft 4, which does not have it.
pub(super) fn without_const<R>(options: ValidationOptions<'_, R, Tape>) -> ValidationOptions<'_, R, Tape> {
    options.with_keyword("const", |_, _, _| Ok(Box::new(Always)))
}

/// Has keywords of ours, those of [`expressions`](super::expressions) included, mean nothing, as in a schema whose metaschema leaves out the vocabulary that
/// they belong to. The library leaves them out by itself, but for those that somebody brings along.
pub(super) fn without_validation<R>(options: ValidationOptions<'_, R, Tape>) -> ValidationOptions<'_, R, Tape> {
    KEYWORDS.iter().fold(options, |options, keyword| options.with_keyword(*keyword, |_, _, _| Ok(Box::new(Always))))
}

const KEYWORDS: [&str; 7] =
    ["const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern"];

type Compiled<'s> = Result<Box<dyn for<'i> Keyword<'i, Tape>>, ValidationError<'s>>;

/// A number of the schema, as it is written and, if it is one, as a small integer.
struct Limit {
    text: String,
    integer: Option<i64>,
}

impl Limit {
    fn new(value: &Value) -> Option<Self> {
        let number = value.as_number()?;
        Some(Self { text: JsonNumber::as_str(number).into_owned(), integer: number.as_i64() })
    }
}

/// Which side of a limit a number may be on, the limit itself counting as one.
#[derive(Clone, Copy)]
struct Is {
    allowed: [Ordering; 2],
}

impl Is {
    const MORE: Self = Self { allowed: [Ordering::Greater; 2] };
    const LESS: Self = Self { allowed: [Ordering::Less; 2] };

    /// Draft 4 writes `"exclusiveMinimum": true` beside `minimum`.
    fn at_least(schema: &Map<String, Value>) -> Self {
        if schema.get("exclusiveMinimum") == Some(&Value::Bool(true)) {
            return Self::MORE;
        }
        Self { allowed: [Ordering::Greater, Ordering::Equal] }
    }

    fn at_most(schema: &Map<String, Value>) -> Self {
        if schema.get("exclusiveMaximum") == Some(&Value::Bool(true)) {
            return Self::LESS;
        }
        Self { allowed: [Ordering::Less, Ordering::Equal] }
    }
}

/// `minimum`, `maximum` and their exclusive kin; where draft 4 has a boolean, the keyword beside it does the work.
fn bound(value: &Value, is: Is) -> Compiled<'_> {
    match Limit::new(value) {
        Some(limit) => Ok(Box::new(Bound { limit, is })),
        None if value.is_boolean() => Ok(Box::new(Always)),
        None => Err(ValidationError::custom(NO_NUMBER)),
    }
}

fn multiple_of(value: &Value) -> Compiled<'_> {
    let limit = Limit::new(value).ok_or_else(|| ValidationError::custom(NO_NUMBER))?;
    if Decimal::parse("0").is_multiple_of(&Decimal::parse(&limit.text)).is_none() {
        return Err(ValidationError::custom("multipleOf is zero or has more than 19 digits"));
    }
    Ok(Box::new(MultipleOf(limit)))
}

/// Metaschemas say so as well, but not of a schema that stands where they know of none.
const NO_NUMBER: &str = "a bound of a number is no number";

struct Always;
struct Const(Value);
struct MultipleOf(Limit);
struct Bound {
    limit: Limit,
    is: Is,
}

impl Keyword<'_, Tape> for Always {
    fn validate(&self, _: TapeNode<'_>) -> Result<(), ValidationError<'static>> {
        Ok(())
    }

    fn is_valid(&self, _: TapeNode<'_>) -> bool {
        true
    }
}

impl<'i> Keyword<'i, Tape> for Const {
    fn validate(&self, node: TapeNode<'i>) -> Result<(), ValidationError<'i>> {
        judged(node, self.is_valid(node))
    }

    fn is_valid(&self, node: TapeNode<'i>) -> bool {
        node.equals_value(&self.0)
    }
}

impl<'i> Keyword<'i, Tape> for Bound {
    fn validate(&self, node: TapeNode<'i>) -> Result<(), ValidationError<'i>> {
        judged(node, self.is_valid(node))
    }

    fn is_valid(&self, node: TapeNode<'i>) -> bool {
        let Some(number) = node.as_number() else { return true };
        let order = match (number.as_i64(), self.limit.integer) {
            (Some(number), Some(limit)) => number.cmp(&limit),
            _ => number.decimal().cmp(&Decimal::parse(&self.limit.text)),
        };
        self.is.allowed.contains(&order)
    }
}

impl<'i> Keyword<'i, Tape> for MultipleOf {
    fn validate(&self, node: TapeNode<'i>) -> Result<(), ValidationError<'i>> {
        judged(node, self.is_valid(node))
    }

    fn is_valid(&self, node: TapeNode<'i>) -> bool {
        let Some(number) = node.as_number() else { return true };
        match (number.as_i64(), self.0.integer) {
            (Some(number), Some(divisor)) => number.checked_rem(divisor).is_none_or(|rest| rest == 0),
            _ => number.decimal().is_multiple_of(&Decimal::parse(&self.0.text)).unwrap_or(false),
        }
    }
}

/// Which keyword failed and where is added by the library; more is not said of a payload.
pub(super) fn judged(node: TapeNode<'_>, valid: bool) -> Result<(), ValidationError<'static>> {
    if valid {
        return Ok(());
    }
    // Whether any is left afterwards is no matter of this one.
    let _ = node.take(ERROR_LOOKS);
    Err(ValidationError::custom("the value does not fit"))
}

/// Looks that take as long as making an error of a keyword of ours.
const ERROR_LOOKS: u64 = 32;
