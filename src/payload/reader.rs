//! One pass over a JSON text, from bytes to [`tape`](super::tape).
//!
//! The grammar is RFC 8259's without its freedoms: no byte order mark, no half surrogates, no name twice in an object, and
//! bounds on depth, values and members. Open containers are chained through their entries on the tape, so that depth takes
//! nothing of our stack.
//!
//! **Invariant:** time and memory are linear in the length of the text, whatever it holds.

use super::document::JsonLimits;
use super::fault::Fault;
use super::names::{Names, Twice};
use super::scan::{self, byte, skip_space};
use super::tape::{Entry, Kind};

/// A text that was read: its tape, and the tables of names of its large objects.
pub(super) struct Contents {
    pub(super) tape: Vec<Entry>,
    pub(super) tables: Vec<u32>,
}

/// Reads `bytes`, which are UTF-8, to the end.
///
/// # Errors
///
/// The first fault, and the container in which it stands as a JSON Pointer that shows none of the sender's names.
pub(super) fn read(bytes: &[u8], limits: JsonLimits, twins: Twins) -> Result<Contents, (Fault, String)> {
    let mut reader = Reader {
        bytes,
        limits,
        tape: Vec::with_capacity(bytes.len() / BYTES_AN_ENTRY + ENTRIES_MIN),
        within: Outermost,
        container: 0,
        count: 0,
        depth: 0,
        names: Names::new(),
        nodes_left: limits.nodes_max,
        twins,
    };
    match reader.run() {
        Ok(()) => Ok(Contents { tape: reader.tape, tables: reader.names.into_tables() }),
        Err(fault) => Err((fault, reader.pointer())),
    }
}

struct Reader<'s> {
    bytes: &'s [u8],
    limits: JsonLimits,
    tape: Vec<Entry>,
    /// What the innermost open container is, where it stands on the tape, and how many members or elements have begun in
    /// it. Those around it are found from there: while a container is open, its entry says what it stands in.
    within: Within,
    container: usize,
    count: u32,
    depth: u32,
    names: Names,
    nodes_left: u32,
    twins: Twins,
}

/// What becomes of an object with a name that is there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twins {
    /// It is refused.
    Refused,
    /// It is read; for looking up other names in what nobody validates.
    Tolerated,
}

/// What the reader stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Outermost,
    Array,
    Object,
}

use Within::{Array, Object, Outermost};

/// Room for the tape is taken at once for texts as dense as providers send them; denser ones make it grow.
const BYTES_AN_ENTRY: usize = 16;
const ENTRIES_MIN: usize = 8;

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        let mut at = skip_space(self.bytes, 0);
        loop {
            match self.value(at)? {
                Begun::Whole(end) => at = end,
                Begun::Container(inside) => {
                    at = inside;
                    continue;
                }
            }
            match self.after_value(at)? {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }

    /// Reads the scalar or empty container at `at`, or opens the container there.
    #[inline]
    fn value(&mut self, at: usize) -> Result<Begun, Fault> {
        let Some(left) = self.nodes_left.checked_sub(1) else { return Err(Fault::nodes(at)) };
        self.nodes_left = left;
        match byte(self.bytes, at) {
            b'"' => {
                let string = scan::string(self.bytes, at + 1)?;
                Ok(self.scalar(Kind::String, at, string.end, string.escaped))
            }
            b'-' | b'0'..=b'9' => {
                let number = scan::number(self.bytes, at)?;
                Ok(self.scalar(Kind::Number, at, number.end, number.decimal))
            }
            b'{' => self.object(at),
            b'[' => self.array(at),
            b't' => self.literal(Kind::Bool, at, b"true", true),
            b'f' => self.literal(Kind::Bool, at, b"false", false),
            b'n' => self.literal(Kind::Null, at, b"null", false),
            _ => Err(Fault::malformed(at)),
        }
    }

    /// Reads what stands between the value that ended and the next one, which begins at the position returned; `None` at
    /// the end of the text.
    #[inline]
    fn after_value(&mut self, mut at: usize) -> Result<Option<usize>, Fault> {
        loop {
            at = skip_space(self.bytes, at);
            match (byte(self.bytes, at), self.within) {
                (b',', Object) => return self.member(skip_space(self.bytes, at + 1)).map(Some),
                (b',', Array) => {
                    self.count += 1;
                    return Ok(Some(skip_space(self.bytes, at + 1)));
                }
                (b'}', Object) | (b']', Array) => {
                    at += 1;
                    self.close(at)?;
                }
                (_, Outermost) if at == self.bytes.len() => return Ok(None),
                _ => return Err(Fault::malformed(at)),
            }
        }
    }

    #[inline]
    fn object(&mut self, at: usize) -> Result<Begun, Fault> {
        let inside = skip_space(self.bytes, at + 1);
        if byte(self.bytes, inside) == b'}' {
            return self.empty(Kind::Object, at, inside + 1);
        }
        self.open(Kind::Object, Object, at)?;
        self.member(inside).map(Begun::Container)
    }

    #[inline]
    fn array(&mut self, at: usize) -> Result<Begun, Fault> {
        let inside = skip_space(self.bytes, at + 1);
        if byte(self.bytes, inside) == b']' {
            return self.empty(Kind::Array, at, inside + 1);
        }
        self.open(Kind::Array, Array, at)?;
        self.count = 1;
        Ok(Begun::Container(inside))
    }

    #[inline]
    fn empty(&mut self, kind: Kind, at: usize, end: usize) -> Result<Begun, Fault> {
        self.check_depth(at)?;
        Ok(self.scalar(kind, at, end, false))
    }

    /// Reads the name at `at` and its colon; the member's value begins at the position returned.
    #[inline]
    fn member(&mut self, at: usize) -> Result<usize, Fault> {
        if byte(self.bytes, at) != b'"' {
            return Err(Fault::malformed(at));
        }
        if self.count >= self.limits.members_max {
            return Err(Fault::members(at));
        }
        self.count += 1;
        let string = scan::string(self.bytes, at + 1)?;
        let name = &self.bytes[at + 1..string.end - 1];
        let fingerprint =
            if string.escaped { self.names.fingerprint_escaped(name) } else { self.names.fingerprint(name) };
        self.tape.push(Entry::name(at..string.end, fingerprint, string.escaped));
        let colon = skip_space(self.bytes, string.end);
        if byte(self.bytes, colon) != b':' {
            return Err(Fault::malformed(colon));
        }
        Ok(skip_space(self.bytes, colon + 1))
    }

    #[inline]
    fn scalar(&mut self, kind: Kind, at: usize, end: usize, mark: bool) -> Begun {
        self.tape.push(Entry::scalar(kind, at..end, self.tape.len(), mark));
        Begun::Whole(end)
    }

    #[inline]
    fn literal(&mut self, kind: Kind, at: usize, text: &[u8], mark: bool) -> Result<Begun, Fault> {
        if !self.bytes[at..].starts_with(text) {
            return Err(Fault::malformed(at));
        }
        Ok(self.scalar(kind, at, at + text.len(), mark))
    }

    #[inline]
    fn open(&mut self, kind: Kind, within: Within, at: usize) -> Result<(), Fault> {
        self.check_depth(at)?;
        if let Some(around) = self.tape.get_mut(self.container) {
            around.set_count(self.count);
        }
        let entry = self.tape.len();
        self.tape.push(Entry::open(kind, at, self.container));
        (self.within, self.container, self.count, self.depth) = (within, entry, 0, self.depth + 1);
        Ok(())
    }

    #[inline]
    const fn check_depth(&self, at: usize) -> Result<(), Fault> {
        if self.depth < self.limits.depth_max { Ok(()) } else { Err(Fault::depth(at)) }
    }

    /// Closes the innermost container, which ends before `end`.
    #[inline]
    fn close(&mut self, end: usize) -> Result<(), Fault> {
        if self.within == Object {
            let checked = self.names.check(self.bytes, &mut self.tape, self.container, self.count);
            if self.twins == Twins::Refused {
                checked.map_err(twice)?;
            }
        }
        let next = self.tape.len();
        let entry = &mut self.tape[self.container];
        let around = entry.around() as usize;
        entry.close(end, next, self.count);
        self.depth -= 1;
        let outer = self.tape[around];
        (self.container, self.count) = (around, outer.count());
        self.within = if self.depth == 0 {
            Outermost
        } else if outer.kind() == Kind::Object {
            Object
        } else {
            Array
        };
        Ok(())
    }

    /// The innermost open container as a JSON Pointer (RFC 6901) in which every member name is `*`.
    #[cold]
    fn pointer(&self) -> String {
        let mut segments = Vec::new();
        let mut container = self.container;
        for _ in 1..self.depth {
            container = self.tape[container].around() as usize;
            let around = self.tape[container];
            let index = around.count() - 1;
            segments.push(if around.kind() == Kind::Array { format!("/{index}") } else { "/*".to_owned() });
        }
        segments.reverse();
        segments.concat()
    }
}

/// What [`Reader::value`] left behind.
enum Begun {
    /// A value that ends before this position.
    Whole(usize),
    /// A container; its first value begins at this position.
    Container(usize),
}

#[cold]
fn twice(Twice(name): Twice) -> Fault {
    Fault::duplicate_key(name.span().start)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::payload::{Document, JsonLimits};
    use crate::reason::Reason;
    use crate::rejection::Fact;

    /// Accepted, or refused for a reason at an offset.
    type Verdict = Result<(), (Reason, usize)>;

    /// One text and what becomes of it.
    fn check(text: &[u8], expected: Verdict) {
        let found = Document::read(Bytes::copy_from_slice(text), JsonLimits::default());
        let found = found.map(|_| ()).map_err(|rejection| (rejection.reason(), rejection.detail()[0].clone()));
        let expected = expected.map_err(|(reason, offset)| (reason, ("offset", Fact::from(offset))));
        assert_eq!(found, expected, "{}", text.escape_ascii());
    }

    const fn malformed(offset: usize) -> Verdict {
        Err((Reason::JsonMalformed, offset))
    }

    const fn not_utf8(offset: usize) -> Verdict {
        Err((Reason::JsonNotUtf8, offset))
    }

    const fn twice(offset: usize) -> Verdict {
        Err((Reason::JsonDuplicateKey, offset))
    }

    #[test]
    fn the_grammar_of_rfc_8259_is_kept() {
        #[rustfmt::skip]
        let rows: &[(&[u8], Verdict)] = &[
            // Values and what surrounds them.
            (b"{}", Ok(())), (b"[]", Ok(())), (b"null", Ok(())), (b"true", Ok(())), (b"false", Ok(())), (b"0", Ok(())),
            (b"\"\"", Ok(())), (b" \t\r\n[ ] \n", Ok(())), (b"{ \"a\" : 1 , \"b\" : [ ] }", Ok(())),
            (b"", malformed(0)), (b" ", malformed(1)), (b"{} {}", malformed(3)), (b"null x", malformed(5)), (b"[]]", malformed(2)),
            (b"[1]\0", malformed(3)), (b"\x0C[]", malformed(0)), (b"\xC2\xA0[]", malformed(0)), (b"//\n[]", malformed(0)),
            (b"[", malformed(1)), (b"{", malformed(1)), (b"]", malformed(0)), (b"[1", malformed(2)), (b"[1}", malformed(2)),
            (b"{\"a\":1]", malformed(6)), (b"[,]", malformed(1)), (b"[1,]", malformed(3)), (b"[1,,2]", malformed(3)),
            (b"[1 2]", malformed(3)), (b"[1:2]", malformed(2)), (b"{,}", malformed(1)), (b"{\"a\"}", malformed(4)),
            (b"{\"a\":}", malformed(5)), (b"{\"a\":1,}", malformed(7)), (b"{\"a\" 1}", malformed(5)), (b"{\"a\",1}", malformed(4)),
            (b"{a:1}", malformed(1)), (b"{'a':1}", malformed(1)), (b"{1:1}", malformed(1)), (b"{null:1}", malformed(1)),
            (b"True", malformed(0)), (b"tru", malformed(0)), (b"truex", malformed(4)), (b"nul", malformed(0)), (b"falsE", malformed(0)),
            (b"NaN", malformed(0)), (b"Infinity", malformed(0)), (b"undefined", malformed(0)),
            // Numbers.
            (b"-0", Ok(())), (b"10", Ok(())), (b"-1.5", Ok(())), (b"0.0", Ok(())), (b"1e5", Ok(())), (b"1E+05", Ok(())), (b"1e-0", Ok(())),
            (b"1.50E9", Ok(())), (b"1e400", Ok(())), (b"-1e-400", Ok(())),
            (b"-", malformed(1)), (b"+1", malformed(0)), (b"01", malformed(1)), (b"-01", malformed(2)), (b"00", malformed(1)), (b".5", malformed(0)),
            (b"1.", malformed(2)), (b"1.e1", malformed(2)), (b"1e", malformed(2)), (b"1e+", malformed(3)), (b"1e1.5", malformed(3)),
            (b"1.2.3", malformed(3)), (b"0x1", malformed(1)), (b"1_0", malformed(1)), (b"--1", malformed(1)), (b"-Infinity", malformed(1)),
            // Strings.
            (b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u00E9\"", Ok(())), (b"\"\x7F\xC3\xA9\xE2\x80\xA8\xF0\x9F\xA6\x80\"", Ok(())),
            (b"\"\\uD83E\\uDD80\"", Ok(())), (b"\"\\u0000\"", Ok(())), (b"\"\\uD7FF\\uE000\\uFFFF\"", Ok(())), (b"\"\\\\\"", Ok(())),
            (b"\"", malformed(1)), (b"\"a", malformed(2)), (b"\"aaaaaaaaaaaaaaaaaaa", malformed(20)), (b"\"\\\"", malformed(3)), (b"\"\\", malformed(1)),
            (b"\"\\x\"", malformed(1)), (b"\"\\'\"", malformed(1)), (b"\"\\U0041\"", malformed(1)), (b"\"\\u004\"", malformed(1)),
            (b"\"\\u00g1\"", malformed(1)),
            (b"\"\\u\"", malformed(1)), (b"\"\x1F\"", malformed(1)), (b"\"a\0b\"", malformed(2)), (b"\"a\nb\"", malformed(2)), (b"\"a\tb\"", malformed(2)),
            (b"\"aaaaaaaaaaaaaaa\x01\"", malformed(16)), (b"'a'", malformed(0)),
        ];
        for (text, expected) in rows {
            check(text, *expected);
        }
    }

    #[test]
    fn only_utf_8_without_a_mark_or_half_surrogates_is_read() {
        #[rustfmt::skip]
        let rows: &[(&[u8], Verdict)] = &[
            (b"\xEF\xBB\xBF{}", not_utf8(0)), (b"\"\xEF\xBB\xBF\"", Ok(())), (b"\xFF\xFE{\0}\0", not_utf8(0)), (b"\xFE\xFF\0{\0}", not_utf8(0)),
            (b"{\0}\0", malformed(1)), (b"\"\xFF\"", not_utf8(1)), (b"\"\xC0\xAF\"", not_utf8(1)), (b"\"\xE2\x80\"", not_utf8(1)),
            (b"\"\xED\xA0\x80\"", not_utf8(1)), (b"\"\xF4\x90\x80\x80\"", not_utf8(1)), (b"\"\xF4\x8F\xBF\xBF\"", Ok(())), (b"[]\x80", not_utf8(2)),
            (b"\"\\uD800\"", not_utf8(1)), (b"\"\\uDC00\"", not_utf8(1)), (b"\"a\\uDBFF\\uDBFF\"", not_utf8(2)), (b"\"\\uD83Ex\\uDD80\"", not_utf8(1)),
            (b"\"\\uDD80\\uD83E\"", not_utf8(1)), (b"\"\\uD83E\\n\"", not_utf8(1)), (b"\"\\uD83E\\u0041\"", not_utf8(1)), (b"{\"\\uD800\":1}", not_utf8(2)),
            (b"\"\\uDBFF\\uDFFF\"", Ok(())), (b"\"\\ud800\\udc00\"", Ok(())),
        ];
        for (text, expected) in rows {
            check(text, *expected);
        }
    }

    #[test]
    fn a_name_stands_once_in_an_object_however_it_is_spelled() {
        #[rustfmt::skip]
        let rows: &[(&str, Verdict)] = &[
            (r#"{"a":1,"b":1}"#, Ok(())), (r#"{"a":1,"a":1}"#, twice(7)), (r#"{"a":1,"A":1}"#, Ok(())), (r#"{"a":1,"a ":1}"#, Ok(())),
            (r#"{"a":1,"\u0061":1}"#, twice(7)), (r#"{"\u0061":1,"a":1}"#, twice(12)), (r#"{"\u0061":1,"\u0061":1}"#, twice(12)),
            (r#"{"\u0062":1,"a":1}"#, Ok(())),
            (r#"{"/":1,"\/":1}"#, twice(7)), (r#"{"\"":1,"\u0022":1}"#, twice(8)), (r#"{"\u00e9":1,"é":1}"#, twice(12)), (r#"{"e\u0301":1,"é":1}"#, Ok(())),
            (r#"{"🦀":1,"\ud83e\udd80":1}"#, twice(10)), (r#"{"":1,"":2}"#, twice(6)), (r#"{"":1,"\u0000":2}"#, Ok(())), (r#"{"a\u0000":1,"a":2}"#, Ok(())),
            (r#"{"a":{"a":{"a":1}}}"#, Ok(())), (r#"[{"a":1},{"a":1}]"#, Ok(())), (r#"{"a":{"b":1,"b":2}}"#, twice(12)),
            (r#"{"a":{"b":1},"b":2,"c":{"a":1},"a":3}"#, twice(31)), (r#"{"a":[{"a":1}],"a":3}"#, twice(15)),
            (r#"{"a_long_name_of_one_kind_here":1,"a_long_name_of_two_kind_here":1}"#, Ok(())),
            (r#"{"a_long_name_of_one_kind_here":1,"a_long_name_of_one_kind_here":1}"#, twice(34)),
        ];
        for (text, expected) in rows {
            check(text.as_bytes(), *expected);
        }
    }

    /// An object with `count` names that differ, then one that is like the name at `again`, all made by `name`.
    fn object_with_a_twin(count: usize, again: usize, name: fn(usize) -> String) -> (String, usize) {
        let members: Vec<String> = (0..count).map(|index| format!(r#""{}":[{{"x":{index}}}],"#, name(index))).collect();
        let distinct = members.concat();
        (format!(r#"{{{distinct}"{}":0}}"#, name(again)), 1 + distinct.len())
    }

    #[test]
    fn a_twin_is_found_in_an_object_of_any_size_and_likeness() {
        let plain: fn(usize) -> String = |index| format!("k{index}");
        // Alike in length, beginning, middle and end: their fingerprints collide.
        let alike: fn(usize) -> String = |index| format!("aaaaaaaaaa{index:04}aaaaaaaaaaaaaaaaaaaaaaaaaa");
        let escaped: fn(usize) -> String = |index| format!("\\u0061{index:x}");
        for name in [plain, alike, escaped] {
            for count in [1, 2, 5, 16, 127, 128, 129, 300, 9_999] {
                for again in [0, count / 2, count - 1] {
                    let (text, offset) = object_with_a_twin(count, again, name);
                    check(text.as_bytes(), twice(offset));
                }
                let (text, _) = object_with_a_twin(count, count, name);
                check(text.as_bytes(), Ok(()));
            }
        }
    }
}
