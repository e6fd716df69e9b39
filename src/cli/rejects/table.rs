//! Tables on a terminal: columns as wide as they have to be, and what is long at the end of the line or below it.
//!
//! **Invariant:** no control character of a text reaches the terminal.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::Style;

use crate::record::Colour;
use crate::text;

/// Between two columns.
const GAP: &str = "  ";
/// Most characters of a cell in a table, before the terminal's width is looked at.
const CELL_CHARS_MAX: usize = 200;
/// A terminal with less room than this for detail and hint gets them on a line of their own.
const TAIL_CHARS_MIN: usize = 60;

/// Where a table is shown.
pub(super) struct Terminal {
    /// Characters of a line; `None`: lines are not cut.
    pub(super) width: Option<usize>,
    pub(super) colour: Colour,
}

/// Rows whose columns stand below each other; the last ones, the tail, take what is left of the line.
pub(super) struct Table {
    header: Option<&'static [&'static str]>,
    /// Widths of the columns before the tail.
    widths: Vec<usize>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A text in a column.
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Escaped and cut.
    pub(super) fn plain(text: &str) -> Self {
        Self { text: text::plain(text, CELL_CHARS_MAX), style: Style::new() }
    }

    /// The same in this style.
    pub(super) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn chars(&self) -> usize {
        self.text.chars().count()
    }
}

impl Table {
    /// With a header, of which the last names, one or two, are the tail's.
    pub(super) fn titled(header: &'static [&'static str], tail: usize) -> Self {
        let fixed = &header[..header.len() - tail];
        Self { header: Some(header), widths: fixed.iter().map(|name| name.len()).collect(), rows: Vec::new() }
    }

    /// Without one, where rows come one by one: columns before the tail have these widths or more.
    pub(super) fn untitled(widths: &[usize]) -> Self {
        Self { header: None, widths: widths.to_vec(), rows: Vec::new() }
    }

    /// Writes header and rows.
    pub(super) fn show(&self, terminal: &Terminal, out: &mut impl Write) -> io::Result<()> {
        let mut widths = self.widths.clone();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars());
            }
        }
        let bold = Style::new().bold();
        let header = self
            .header
            .map(|names| names.iter().map(|name| Cell { text: (*name).to_owned(), style: bold }).collect::<Vec<_>>());
        let layout = Layout::of(&widths, &self.rows, terminal);
        header.iter().chain(&self.rows).try_for_each(|row| layout.show(row, terminal, out))
    }
}

/// How the cells of all rows share a line.
struct Layout<'t> {
    widths: &'t [usize],
    tail: Tail,
}

enum Tail {
    /// Behind the columns: the cells before the last have this width, the last takes what is left.
    Same { width: usize, left: usize },
    /// On a line of its own.
    Below { width: usize },
}

impl<'t> Layout<'t> {
    fn of(widths: &'t [usize], rows: &[Vec<Cell>], terminal: &Terminal) -> Self {
        let tail = rows.iter().filter_map(|row| row.get(widths.len()..));
        let longest = tail.filter(|tail| tail.len() > 1).map(|tail| tail[0].chars()).max().unwrap_or(0);
        let Some(line) = terminal.width else {
            return Self { widths, tail: Tail::Same { width: longest, left: usize::MAX } };
        };
        let left = line.saturating_sub(widths.iter().sum::<usize>() + GAP.len() * widths.len());
        if left < TAIL_CHARS_MIN {
            return Self { widths, tail: Tail::Below { width: line.saturating_sub(2 * GAP.len()) } };
        }
        Self { widths, tail: Tail::Same { width: longest.min(left / 2), left } }
    }

    fn show(&self, row: &[Cell], terminal: &Terminal, out: &mut impl Write) -> io::Result<()> {
        let (fixed, tail) = row.split_at(self.widths.len().min(row.len()));
        let mut line = Line { out, left: terminal.width.unwrap_or(usize::MAX), colour: terminal.colour };
        for (cell, width) in fixed.iter().zip(self.widths) {
            line.cell(cell, *width)?;
        }
        match self.tail {
            Tail::Same { width, left } => {
                line.left = left;
                if let [detail, _] = tail {
                    line.cell(detail, width)?;
                }
            }
            Tail::Below { width } => {
                write!(line.out, "\n{GAP}{GAP}")?;
                line.left = width;
                if let [detail, _] = tail
                    && !detail.text.is_empty()
                {
                    line.cell(detail, detail.chars())?;
                }
            }
        }
        if let Some(last) = tail.last() {
            line.last_cell(last, line.left)?;
        }
        writeln!(out)
    }
}

/// One line of a table and the room that is left on it.
struct Line<'o, W> {
    out: &'o mut W,
    left: usize,
    colour: Colour,
}

impl<W: Write> Line<'_, W> {
    /// Writes a cell, filled up to its width, and the gap behind it.
    fn cell(&mut self, cell: &Cell, width: usize) -> io::Result<()> {
        let width = width.min(self.left);
        let written = self.last_cell(cell, width)?;
        self.left = self.left.saturating_sub(width).saturating_sub(GAP.len());
        write!(self.out, "{:behind$}", "", behind = width - written + GAP.len())
    }

    /// Writes a cell alone; returns its characters.
    fn last_cell(&mut self, cell: &Cell, chars_max: usize) -> io::Result<usize> {
        let text = cut(&cell.text, chars_max);
        match self.colour {
            Colour::On => write!(self.out, "{}{text}{:#}", cell.style, cell.style)?,
            Colour::Off => write!(self.out, "{text}")?,
        }
        Ok(text.chars().count())
    }
}

fn cut(text: &str, chars_max: usize) -> Cow<'_, str> {
    if text.chars().count() <= chars_max {
        return text.into();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    if chars_max > 0 {
        short.push_str(text::CUT);
    }
    short.into()
}
