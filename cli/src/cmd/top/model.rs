//! What `top` shows, and how keys and answers change it. Pure: moments come from outside.

use crate::escape;
use crate::output::{Cell, Table, Tone};
use crate::text::Lang;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Points of a sparkline: two minutes at one every two seconds.
pub(super) const POINTS_MAX: usize = 60;
/// Nodes whose history is kept: above any network.
const NODES_MAX: usize = 64;
const FILTER_CHARACTERS_MAX: usize = 32;

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Interrupt,
    /// The terminal has another size: the next picture fits itself to it.
    Resized,
}

/// What one round of questions brought.
pub(super) struct Told<'a> {
    /// As in `status`.
    pub(super) table: &'a Table,
    /// Entries that each node lacks; `None`: not known.
    pub(super) lags: Vec<(String, Option<u64>)>,
    /// Both ends, and whether it works.
    pub(super) links: Vec<(String, String, bool)>,
    /// Requests of programs that each node has answered since its start.
    pub(super) requests: BTreeMap<String, u64>,
}

/// A row of the table of nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    pub(super) tone: Tone,
}

/// One node over time, oldest first. A point is `None` where nothing was known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct History {
    lags: VecDeque<Option<u64>>,
    /// Requests a second.
    rates: VecDeque<Option<u64>>,
    /// The last count of requests, and when.
    counted: Option<(u64, Instant)>,
}

/// Everything on the screen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) lang: Lang,
    pub(super) title: String,
    pub(super) heads: Vec<String>,
    rows: Vec<Row>,
    nodes: BTreeMap<String, History>,
    links: Vec<(String, String, bool)>,
    /// What is wrong first.
    pub(super) alerts: Vec<String>,
    pub(super) filter: String,
    pub(super) typing: bool,
    pub(super) help: bool,
}

impl Model {
    /// Nothing known yet.
    pub(super) fn new(lang: Lang) -> Self {
        Self {
            lang,
            title: String::new(),
            heads: Vec::new(),
            rows: Vec::new(),
            nodes: BTreeMap::new(),
            links: Vec::new(),
            alerts: Vec::new(),
            filter: String::new(),
            typing: false,
            help: false,
        }
    }

    /// Takes what the nodes said at `now`.
    pub(super) fn update(&mut self, told: &Told<'_>, now: Instant) {
        let table = told.table;
        self.title = escape::shown(table.title.as_deref().unwrap_or_default());
        let kept: Vec<usize> = (0..table.columns.len()).filter(|at| !table.columns[*at].wide).collect();
        self.heads = kept.iter().map(|at| self.lang.word(table.columns[*at].head).to_uppercase()).collect();
        let row = |cells: &Vec<Cell>| Row {
            cells: kept.iter().filter_map(|at| cells.get(*at)).map(|cell| escape::shown(&cell.text)).collect(),
            tone: cells.iter().map(|cell| cell.tone).find(|tone| *tone != Tone::Plain).unwrap_or_default(),
        };
        self.rows = table.rows.iter().map(row).collect();
        self.alerts = worst_first(&table.footer);
        self.links = told.links.iter().map(|(a, b, works)| (escape::shown(a), escape::shown(b), *works)).collect();
        // On a small screen the end of the list is not seen.
        self.links.sort_by_key(|(_, _, works)| *works);
        let mut before = std::mem::take(&mut self.nodes);
        for (node, lag) in told.lags.iter().take(NODES_MAX) {
            let name = escape::shown(node);
            let mut history = before.remove(&name).unwrap_or_default();
            note(&mut history.lags, *lag);
            let count = told.requests.get(node).copied();
            note(&mut history.rates, count.and_then(|count| rate(history.counted?, count, now)));
            // A node that is silent for a while has a rate again at its second answer: over the time of its silence it
            // would be an average that never was.
            history.counted = count.map(|count| (count, now));
            self.nodes.insert(name, history);
        }
    }

    /// Nobody answered. The last picture stays, under what is wrong.
    pub(super) fn lost(&mut self, alerts: Vec<String>) {
        self.alerts = worst_first(&alerts);
    }

    /// Takes a key; `false`: the end.
    pub(super) fn key(&mut self, key: Key) -> bool {
        match key {
            Key::Interrupt => return false,
            Key::Char(c) if self.typing => {
                if !c.is_control() && self.filter.chars().count() < FILTER_CHARACTERS_MAX {
                    self.filter.push(c);
                }
            }
            Key::Backspace if self.typing => drop(self.filter.pop()),
            Key::Enter => (self.typing, self.help) = (false, false),
            Key::Escape if self.typing || !self.filter.is_empty() || self.help => {
                (self.typing, self.help) = (false, false);
                self.filter.clear();
            }
            Key::Escape | Key::Char('q') => return false,
            Key::Char('?') => self.help = !self.help,
            Key::Char('/') => self.typing = true,
            Key::Char(_) | Key::Backspace | Key::Resized => {}
        }
        true
    }

    fn shows(&self, name: &str) -> bool {
        self.filter.is_empty() || name.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// The rows that the filter leaves.
    pub(super) fn rows(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.cells.first().is_some_and(|name| self.shows(name))).collect()
    }

    /// The links that the filter leaves, cut ones first.
    pub(super) fn links(&self) -> Vec<&(String, String, bool)> {
        self.links.iter().filter(|(from, to, _)| self.shows(from) || self.shows(to)).collect()
    }

    /// Each node's lag over time, oldest first.
    pub(super) fn lags(&self) -> Vec<(&str, Vec<Option<u64>>)> {
        self.over_time(|history| &history.lags)
    }

    /// Each node's requests a second over time, oldest first.
    pub(super) fn rates(&self) -> Vec<(&str, Vec<Option<u64>>)> {
        self.over_time(|history| &history.rates)
    }

    fn over_time(&self, of: fn(&History) -> &VecDeque<Option<u64>>) -> Vec<(&str, Vec<Option<u64>>)> {
        let shown = self.nodes.iter().filter(|(node, _)| self.shows(node));
        shown.map(|(node, history)| (node.as_str(), of(history).iter().copied().collect())).collect()
    }
}

/// Requests a second since the last count. A count that fell is a node that started anew.
fn rate((before, at): (u64, Instant), count: u64, now: Instant) -> Option<u64> {
    let ms = now.saturating_duration_since(at).as_millis().max(1);
    let more = u128::from(count.checked_sub(before)?);
    u64::try_from(more * 1_000 / ms).ok()
}

/// The lines of a status with what is wrong before what is well: on a small screen the end of the list is not seen.
fn worst_first(lines: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().map(|line| escape::shown(line)).collect();
    lines.sort_by_key(|line| match line.chars().next() {
        Some('■') => 0,
        Some('▲') => 1,
        _ => 2,
    });
    lines
}

fn note(points: &mut VecDeque<Option<u64>>, value: Option<u64>) {
    if points.len() >= POINTS_MAX {
        points.pop_front();
    }
    points.push_back(value);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cmd::status::samples;
    use std::time::Duration;

    fn lag(node: &str, entries: Option<u64>) -> (String, Option<u64>) {
        (node.to_owned(), entries)
    }

    /// The network of the golden files, twice, four seconds apart.
    pub(crate) fn model(lang: Lang) -> Model {
        let mut model = Model::new(lang);
        let start = Instant::now();
        let links = vec![
            ("centro".to_owned(), "jardins".to_owned(), true),
            ("centro".to_owned(), "cofre\u{1b}".to_owned(), false),
        ];
        let table = samples::attention(lang).table;
        for (second, (behind, total)) in [(0, (0, 100)), (4, (812, 500))] {
            let told = Told {
                table: &table,
                lags: vec![lag("centro", Some(0)), lag("jardins", None), lag("cofre", Some(behind))],
                links: links.clone(),
                requests: ["centro", "cofre"].map(|node| (node.to_owned(), total)).into(),
            };
            model.update(&told, start + Duration::from_secs(second));
        }
        model
    }

    #[test]
    fn rates_are_differences_and_history_is_bounded() {
        let mut model = model(Lang::En);
        assert_eq!(model.rates()[0], ("centro", vec![None, Some(100)]));
        assert_eq!(model.rates()[2], ("jardins", vec![None, None]), "a silent node has no rate, not none at all");
        assert_eq!(model.lags()[1], ("cofre", vec![Some(0), Some(812)]));
        let table = samples::attention(Lang::En).table;
        let now = Instant::now() + Duration::from_secs(60);
        let mut told = Told { table: &table, lags: vec![lag("centro", Some(3))], links: vec![], requests: [].into() };
        for count in [2, 2, 4] {
            told.requests = [("centro".to_owned(), count)].into();
            model.update(&told, now + Duration::from_secs(count));
        }
        let rates = model.rates()[0].1.clone();
        assert_eq!(rates[2..], [None, Some(0), Some(1)], "a count that fell is no rate");
        for _ in 0..500 {
            model.update(&told, now);
        }
        assert_eq!(model.lags(), [("centro", vec![Some(3); POINTS_MAX])], "and who has left is gone");
        assert_eq!(model.rates()[0].1.len(), POINTS_MAX);
    }

    #[test]
    fn keys_filter_help_and_end() {
        let mut model = model(Lang::En);
        assert!(model.key(Key::Char('/')) && model.key(Key::Char('q')) && model.key(Key::Char('\u{7}')));
        assert_eq!((model.rows().len(), model.filter.as_str()), (0, "q"), "a letter of the filter ends nothing");
        assert!(model.key(Key::Backspace) && model.key(Key::Char('C')) && model.key(Key::Char('o')));
        assert!(model.key(Key::Enter));
        assert_eq!((model.rows().len(), model.links().len()), (1, 1));
        assert!(model.key(Key::Escape) && model.key(Key::Resized));
        assert_eq!(model.rows().len(), 3);
        for shown in [true, false] {
            assert!(model.key(Key::Char('?')));
            assert_eq!(model.help, shown);
        }
        assert!(!model.key(Key::Char('q')) && !model.key(Key::Escape) && !model.key(Key::Interrupt));
    }

    // What an operator has to see must not be the part that a small terminal cuts off.
    #[test]
    fn what_is_wrong_stands_first() {
        let mut model = model(Lang::En);
        assert!(model.alerts[0].starts_with('■') && model.alerts[1].starts_with('▲'), "{:?}", model.alerts);
        assert_eq!(model.links()[0].1, "cofre\\u{1b}");
        model.lost(vec!["gone\u{1b}".to_owned()]);
        assert_eq!((model.alerts.as_slice(), model.rows().len()), (["gone\\u{1b}".to_owned()].as_slice(), 3));
    }
}
