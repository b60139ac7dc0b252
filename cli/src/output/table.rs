//! Tables for people: framed on a terminal, plain columns in a pipe, TSV on request.
//!
//! ```text
//! ╭ title ─────────────╮
//! │ UNIDADE   ESTADO   │      columns marked `wide` only with `-o wide` and in TSV
//! │ ● centro  ativo    │
//! ╰────────────────────╯
//! footer
//! ```

use super::Style;
use crate::escape;
use crate::text::{Lang, Word};
use comfy_table::CellAlignment;
use comfy_table::presets::NOTHING;

/// How a cell is meant; colour only repeats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Needs attention.
    Warn,
    /// Broken.
    Bad,
}

/// A value in a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    /// As it is to be read; escaped when it is printed.
    pub(crate) text: String,
    /// How it is meant.
    pub(crate) tone: Tone,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// A column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Column {
    /// Its title.
    pub(crate) head: Word,
    /// Shown only where there is room.
    pub(crate) wide: bool,
    /// Numbers stand at the right.
    pub(crate) right: bool,
}

impl Column {
    /// Always shown, at the left.
    pub(crate) const fn of(head: Word) -> Self {
        Self { head, wide: false, right: false }
    }

    /// Always shown, at the right.
    pub(crate) const fn number(head: Word) -> Self {
        Self { head, wide: false, right: true }
    }

    /// Shown where there is room.
    pub(crate) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

/// Rows under titles.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Table {
    /// In the frame's upper edge.
    pub(crate) title: Option<String>,
    /// In order.
    pub(crate) columns: Vec<Column>,
    /// Each as long as `columns`.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Lines below.
    pub(crate) footer: Vec<String>,
    /// Of one thing: its fields below each other, without titles.
    pub(crate) pairs: bool,
}

impl Table {
    /// Rows under titles, nothing else.
    pub(crate) fn new(columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Self {
        Self { columns, rows, ..Self::default() }
    }

    /// One thing, a field a line. `lang` names the fields.
    pub(crate) fn pairs(lang: Lang, fields: Vec<(Word, Cell)>) -> Self {
        let rows = fields.into_iter().map(|(word, cell)| vec![lang.word(word).into(), cell]).collect();
        Self { columns: vec![Column::of(Word::What), Column::of(Word::Value)], rows, pairs: true, ..Self::default() }
    }

    /// Titles and rows, a tab between fields, every column.
    pub(crate) fn tsv(&self, lang: Lang) -> String {
        let heads = self.columns.iter().map(|column| lang.word(column.head).to_owned()).collect::<Vec<_>>();
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| escape::shown(&cell.text)).collect::<Vec<_>>());
        std::iter::once(heads).chain(rows).map(|row| row.join("\t") + "\n").collect()
    }

    /// For eyes.
    pub(crate) fn text(&self, lang: Lang, style: Style, wide: bool) -> String {
        let kept: Vec<usize> = (0..self.columns.len()).filter(|&i| wide || !self.columns[i].wide).collect();
        let mut grid = comfy_table::Table::new();
        grid.load_style(NOTHING);
        if !self.pairs {
            grid.set_header(kept.iter().map(|&i| lang.word(self.columns[i].head).to_uppercase()));
        }
        for row in &self.rows {
            grid.add_row(kept.iter().map(|&i| escape::shown(&row[i].text)));
        }
        for (position, &i) in kept.iter().enumerate() {
            if let Some(column) = grid.column_mut(position) {
                column.set_padding((0, if position + 1 == kept.len() { 0 } else { 2 }));
                if self.columns[i].right {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let lines: Vec<String> =
            if grid.is_empty() && self.rows.is_empty() && self.pairs { Vec::new() } else { grid.lines().collect() };
        let mut text = String::new();
        let title = self.title.as_deref().map(escape::shown);
        // `lines` pads every line to the same width, which is what the frame needs.
        let width = lines
            .first()
            .map_or(0, |line| display_width(line))
            .max(title.as_deref().map_or(0, |title| display_width(title) + 1));
        if style.framed && title.is_some() {
            let title = title.unwrap_or_default();
            let rule = "─".repeat((width + 2).saturating_sub(display_width(&title) + 2));
            text.push_str(&format!("╭ {title} {rule}╮\n"));
        } else if let Some(title) = title {
            text.push_str(&title);
            text.push('\n');
        }
        let framed = style.framed && self.title.is_some();
        for (number, line) in lines.iter().enumerate() {
            let row = if self.pairs { Some(number) } else { number.checked_sub(1) };
            let tone = row
                .and_then(|row| self.rows.get(row))
                .and_then(|row| row.iter().map(|cell| cell.tone).find(|tone| *tone != Tone::Plain))
                .unwrap_or_default();
            if framed {
                let fill = " ".repeat(width.saturating_sub(display_width(line)));
                text.push_str(&format!("│ {}{fill} │\n", paint(line, tone, style)));
            } else {
                text.push_str(&paint(line.trim_end(), tone, style));
                text.push('\n');
            }
        }
        if framed {
            text.push_str(&format!("╰{}╯\n", "─".repeat(width + 2)));
        }
        for line in &self.footer {
            text.push_str(&escape::shown(line));
            text.push('\n');
        }
        text
    }
}

/// Columns that a text takes on a terminal, as comfy-table counts them.
fn display_width(text: &str) -> usize {
    let mut grid = comfy_table::Table::new();
    grid.load_style(NOTHING).add_row([text]);
    if let Some(column) = grid.column_mut(0) {
        column.set_padding((0, 0));
    }
    grid.column_max_content_widths().first().map_or(0, |width| usize::from(*width))
}

fn paint(line: &str, tone: Tone, style: Style) -> String {
    let code = match tone {
        _ if !style.coloured => return line.to_owned(),
        Tone::Plain => return line.to_owned(),
        Tone::Good => "32",
        Tone::Warn => "33",
        Tone::Bad => "31",
    };
    format!("\u{1b}[{code}m{line}\u{1b}[0m")
}
