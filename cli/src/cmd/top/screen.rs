//! How `top` looks: a pure function of the model. Colour only repeats marks and words.
//!
//! ```text
//! title
//! ┌ nodes, as in `status` ──────────────┐
//! ┌ lag ────────┬ op/s ───────┬ links ──┐
//! ┌ alerts ─────────────────────────────┐
//! keys
//! ```
//! Where there is no room for all of a list, its lower edge says how much is missing.

use super::model::{Model, Row};
use crate::output::Tone;
use crate::text::see::{See, SeeWord};
use crate::text::{Say, Word};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline, Table, Wrap};

/// Rows of a panel of histories: one for each of so many nodes.
const HISTORY_ROWS_MAX: u16 = 8;
/// Both edges of a panel.
const EDGES: u16 = 2;
/// Rows that the alerts keep, edges included, however many nodes there are.
const ALERT_ROWS_MIN: u16 = 6;
/// Between two columns.
const COLUMN_GAP: u16 = 2;
/// Characters of a node's name beside its line.
const NAME_CHARACTERS: usize = 10;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let rows = model.rows();
    let count = u16::try_from(rows.len()).unwrap_or(u16::MAX);
    // On a small screen the nodes go before their histories, and what is wrong before both.
    let room = frame.area().height.saturating_sub(ALERT_ROWS_MIN + 2);
    let node_rows = count.saturating_add(EDGES + 1).min(room).max(EDGES + 2);
    let history = count.clamp(1, HISTORY_ROWS_MAX).saturating_add(EDGES).min(room.saturating_sub(node_rows));
    let history = if history > EDGES { history } else { 0 };
    let [title, nodes, middle, alerts, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(node_rows),
        Constraint::Length(history),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from(model.title.as_str()), title);
    draw_nodes(frame, model, &rows, nodes);
    let [lag, rate, links] =
        Layout::horizontal([Constraint::Percentage(35), Constraint::Percentage(35), Constraint::Percentage(30)])
            .areas(middle);
    draw_histories(frame, &panel(model, Word::Lag), &model.lags(), lag);
    draw_histories(frame, &panel(model, Word::OpsPerSecond), &model.rates(), rate);
    draw_links(frame, model, links);
    let lines: Vec<Line<'_>> = model.alerts.iter().map(|line| Line::styled(line.as_str(), style_of(line))).collect();
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(Block::bordered().title(panel(model, Word::See(SeeWord::Situation)))), alerts);
    let bottom = if model.typing || !model.filter.is_empty() {
        format!("/{}", model.filter)
    } else {
        model.lang.say(&Say::See(See::Keys))
    };
    frame.render_widget(Line::from(bottom), keys);
    if model.help {
        draw_help(frame, model);
    }
}

fn panel(model: &Model, word: Word) -> String {
    format!(" {} ", model.lang.word(word))
}

/// A panel for a list of `count` things; its lower edge tells how many find no room.
fn list(title: String, area: Rect, count: usize, other_rows: u16) -> Block<'static> {
    let room = usize::from(area.height.saturating_sub(EDGES + other_rows));
    let block = Block::bordered().title(title);
    match count.checked_sub(room) {
        None | Some(0) => block,
        Some(hidden) => block.title_bottom(Line::from(format!(" +{hidden} ")).right_aligned()),
    }
}

fn tone(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Warn => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
    }
}

fn style_of(line: &str) -> Style {
    match line.chars().next() {
        Some('■') => tone(Tone::Bad),
        Some('▲') => tone(Tone::Warn),
        _ => Style::new(),
    }
}

fn draw_nodes(frame: &mut Frame<'_>, model: &Model, rows: &[&Row], area: Rect) {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.cells.get(at));
        let longest = cells.chain(model.heads.get(at)).map(|text| text.chars().count()).max();
        u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX)
    };
    // Whole columns or none, the last ones left out first: half a name or half a number misleads.
    let mut left = area.width.saturating_sub(EDGES);
    let fits = |width: &u16| {
        let fits = *width <= left;
        left = left.saturating_sub(width.saturating_add(COLUMN_GAP));
        fits
    };
    let widths: Vec<u16> = (0..model.heads.len()).map(width).take_while(fits).collect();
    let cells = |texts: &[String]| ratatui::widgets::Row::new(texts.iter().take(widths.len()).cloned());
    let body: Vec<_> = rows.iter().map(|row| cells(&row.cells).style(tone(row.tone))).collect();
    let block = list(panel(model, Word::Nodes), area, rows.len(), 1);
    let table = Table::new(body, widths.iter().copied().map(Constraint::Length)).header(cells(&model.heads));
    frame.render_widget(table.column_spacing(COLUMN_GAP).block(block), area);
}

fn draw_histories(frame: &mut Frame<'_>, title: &str, nodes: &[(&str, Vec<Option<u64>>)], area: Rect) {
    let block = list(title.to_owned(), area, nodes.len(), 0);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    for ((name, points), row) in nodes.iter().zip(inside.rows()) {
        let last = points.last().copied().flatten().map_or_else(|| "–".to_owned(), |last| last.to_string());
        let [label, line] = Layout::horizontal([Constraint::Length(18), Constraint::Min(1)]).areas(row);
        let short: String = name.chars().take(NAME_CHARACTERS).collect();
        frame.render_widget(Line::from(format!("{short:<NAME_CHARACTERS$} {last:>6}")), label);
        // The newest points stand at the right end.
        let from = points.len().saturating_sub(usize::from(line.width));
        frame.render_widget(Sparkline::default().data(points[from..].iter().copied()), line);
    }
}

fn draw_links(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let links = model.links();
    let block = list(panel(model, Word::See(SeeWord::Links)), area, links.len(), 0);
    let lines = links.into_iter().map(|(from, to, works)| {
        let (mark, style) = if *works { ('●', tone(Tone::Good)) } else { ('■', tone(Tone::Bad)) };
        Line::styled(format!("{mark} {from} ⇄ {to}"), style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn draw_help(frame: &mut Frame<'_>, model: &Model) {
    let text = model.lang.say(&Say::See(See::TopHelp));
    let height = u16::try_from(text.lines().count()).unwrap_or(u16::MAX).saturating_add(3);
    let area = frame.area();
    let width = area.width.saturating_sub(8).min(72);
    let height = height.min(area.height);
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(Block::bordered().title(" ? ")), place);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod samples {
    //! A fixed screen for golden files.
    use super::*;
    use crate::cmd::top::model::{Key, tests::model};
    use crate::text::Lang;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
    }

    /// Both languages, a filter, and the help.
    pub(crate) fn screens() -> String {
        let mut text = format!("== pt-br\n{}", drawn(&model(Lang::PtBr), 118, 26));
        text += &format!("== en\n{}", drawn(&model(Lang::En), 118, 26));
        text += &format!("== en, a small terminal\n{}", drawn(&model(Lang::En), 80, 16));
        let mut filtered = model(Lang::En);
        ['/', 'c', 'o', 'f'].into_iter().for_each(|c| assert!(filtered.key(Key::Char(c))));
        text += &format!("== en, filtered\n{}", drawn(&filtered, 118, 20));
        let mut help = model(Lang::PtBr);
        help.key(Key::Char('?'));
        text += &format!("== help, pt-br\n{}", drawn(&help, 80, 24));
        let mut help = model(Lang::En);
        help.key(Key::Char('?'));
        text + &format!("== help, en\n{}", drawn(&help, 80, 24))
    }

    /// A terminal may be of any size, and is while somebody drags its corner.
    #[test]
    fn every_size_of_a_terminal_is_drawn() {
        let mut model = model(Lang::PtBr);
        for (width, height) in [(1, 1), (2, 40), (10, 5), (300, 100), (40, 3)] {
            drawn(&model, width, height);
            model.key(Key::Char('?'));
        }
        drawn(&Model::new(Lang::En), 80, 24);
    }
}
