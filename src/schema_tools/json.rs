//! JSON as people write it: members in the order they were added, short lists on one line.

use crate::text::push_json;

/// A list is written on one line up to this many bytes.
const LINE_BYTES_MAX: usize = 100;

/// A value to be written.
#[derive(Debug)]
pub enum Json {
    /// `true`, `false`, `null` or a number.
    Word(&'static str),
    /// A count.
    Number(u64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The text over several lines, with a line end.
    #[must_use]
    pub fn pretty(&self) -> String {
        let mut out = Vec::new();
        self.push(&mut out, 0);
        out.push(b'\n');
        String::from_utf8_lossy(&out).into_owned()
    }

    fn push(&self, out: &mut Vec<u8>, indent: usize) {
        match self {
            Self::Word(_) | Self::Number(_) | Self::Text(_) => self.push_line(out),
            Self::List(elements) => {
                let start = out.len();
                self.push_line(out);
                let is_flat = |element: &Self| matches!(element, Self::Word(_) | Self::Number(_) | Self::Text(_));
                if out.len() - start <= LINE_BYTES_MAX && elements.iter().all(is_flat) {
                    return;
                }
                out.truncate(start);
                push_lines(out, indent, *b"[]", elements, |out, element| element.push(out, indent + 1));
            }
            Self::Object(members) => push_lines(out, indent, *b"{}", members, |out, (name, value)| {
                push_json(out, name, usize::MAX);
                out.extend_from_slice(b": ");
                value.push(out, indent + 1);
            }),
        }
    }

    /// All of it on one line.
    pub fn push_line(&self, out: &mut Vec<u8>) {
        match self {
            Self::Word(word) => out.extend_from_slice(word.as_bytes()),
            Self::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Text(text) => push_json(out, text, usize::MAX),
            Self::List(elements) => push_flat(out, *b"[]", elements, |out, element| element.push_line(out)),
            Self::Object(members) => push_flat(out, *b"{}", members, |out, (name, value)| {
                push_json(out, name, usize::MAX);
                out.extend_from_slice(b": ");
                value.push_line(out);
            }),
        }
    }
}

fn push_flat<T>(out: &mut Vec<u8>, brackets: [u8; 2], parts: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    out.push(brackets[0]);
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        push(out, part);
    }
    out.push(brackets[1]);
}

fn push_lines<T>(out: &mut Vec<u8>, indent: usize, brackets: [u8; 2], parts: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    out.push(brackets[0]);
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push_line_end(out, indent + 1);
        push(out, part);
    }
    if !parts.is_empty() {
        push_line_end(out, indent);
    }
    out.push(brackets[1]);
}

fn push_line_end(out: &mut Vec<u8>, indent: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b"  ", indent).flatten());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_like_written_by_hand() {
        let value = Json::Object(vec![
            ("a\u{1b}\"".to_owned(), Json::List(vec![Json::text("x"), Json::Word("null")])),
            ("empty".to_owned(), Json::Object(Vec::new())),
            ("long".to_owned(), Json::List(vec![Json::text("y".repeat(60)), Json::text("z".repeat(60))])),
        ]);
        let (y, z) = ("y".repeat(60), "z".repeat(60));
        let expected = format!(
            "{{\n  \"a\\u001b\\\"\": [\"x\", null],\n  \"empty\": {{}},\n  \"long\": [\n    \"{y}\",\n    \"{z}\"\n  ]\n}}\n"
        );
        assert_eq!(value.pretty(), expected);
    }
}
