//! `plantao top`: the network on one screen, again every two seconds.
//!
//! ```text
//! status + health of every node, one round at a time ─► Model::update (pure) ─┐
//! keys ─────────────────────────────────────────────► Model::key (pure) ──────┴► screen::draw (pure) ─► terminal
//! ```
//! Nothing here changes the network, and nothing that waits for a node holds up a key or a picture: questions are asked
//! in a task of their own. The terminal is given back as it was, also after a panic and after a signal.

mod model;
mod screen;

#[cfg(test)]
pub(crate) use screen::samples::screens;

use crate::cmd::health;
use crate::cmd::status::{self, Status, View};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::session::Session;
use crate::text::Say;
use crate::text::see::See;
use crate::when;
use model::{Key, Model, Told};
use plantao_client::Cluster;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use std::io::{self, IsTerminal, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Between two rounds of questions. A round lasts as long as its slowest node, which is five seconds at most.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two looks whether anybody still wants keys.
const KEY_WAIT: Duration = Duration::from_millis(100);
/// Keys that wait.
const KEYS_MAX: usize = 32;

/// Runs it.
pub(crate) async fn run(session: &Session) -> Result<Exit, Failure> {
    // A terminal without frames is a dumb one: it would show the control characters.
    if session.out.format.is_json() || !session.out.style.framed || !io::stdin().is_terminal() {
        return Err(Failure::NeedsTerminal);
    }
    let (cluster, label) = session.admin()?;
    let mut model = Model::new(session.out.lang);
    let (sender, mut keys) = mpsc::channel(KEYS_MAX);
    let mut ended = signal(SignalKind::terminate()).map_err(|error| Failure::Work { why: chain(&error) })?;
    let mut terminal = Screen::open().map_err(Failure::of_output)?;
    // It ends soon after the last receiver: a read of the keyboard cannot be called off.
    std::thread::spawn(move || read_keys(&sender));
    let mut asking: Option<JoinHandle<Asked>> = None;
    let mut next = Instant::now();
    loop {
        terminal.draw(&model).map_err(Failure::of_output)?;
        let turn = async {
            match &mut asking {
                Some(asking) => Some(asking.await),
                None => {
                    tokio::time::sleep_until(next.into()).await;
                    None
                }
            }
        };
        tokio::select! {
            key = keys.recv() => match key {
                // Whoever reads the keyboard has gone: so has the terminal.
                None | Some(Key::Interrupt) => return Err(Failure::Interrupted),
                Some(key) if model.key(key) => {}
                Some(_) => return Ok(Exit::Done),
            },
            _ = ended.recv() => return Err(Failure::Interrupted),
            told = turn => match told {
                None => {
                    let cluster = cluster.clone();
                    asking = Some(tokio::spawn(ask(cluster)));
                }
                Some(told) => {
                    asking = None;
                    next = Instant::now() + PAUSE;
                    show(&mut model, &told.map_err(|error| Failure::Work { why: chain(&error) })?, session, &label);
                }
            }
        }
    }
}

/// One round of questions.
struct Asked {
    statuses: Vec<status::Asked>,
    probes: Vec<health::Probe>,
    at: Instant,
}

async fn ask(cluster: Cluster) -> Asked {
    let (statuses, probes) = tokio::join!(status::ask(&cluster), health::ask(&cluster));
    Asked { statuses, probes, at: Instant::now() }
}

fn show(model: &mut Model, asked: &Asked, session: &Session, label: &str) {
    let lang = session.out.lang;
    let Some(mut status) = Status::merge(&asked.statuses) else {
        let lost = asked.statuses.iter().filter_map(|one| {
            let why = one.answer.as_ref().err()?.clone();
            Some(lang.say(&Say::See(See::Lost { address: one.address.clone(), why })))
        });
        return model.lost(lost.collect());
    };
    status.stale = session.global.stale;
    let report = status.view(&View { lang, zone: &session.zone, label, now_ms: when::now_ms() });
    let answers = asked.probes.iter().filter_map(health::Probe::answer);
    let requests = answers.map(|answer| (answer.node_name.clone(), answer.public_requests_total)).collect();
    let told = Told { table: &report.table, lags: status.lags(), links: status.pairs(), requests };
    model.update(&told, asked.at);
}

fn read_keys(keys: &mpsc::Sender<Key>) {
    loop {
        let pressed = match event::poll(KEY_WAIT) {
            Ok(true) => event::read(),
            Ok(false) if keys.is_closed() => return,
            Ok(false) => continue,
            Err(_) => return,
        };
        let key = match pressed {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
                KeyCode::Char(c) => Key::Char(c),
                KeyCode::Enter => Key::Enter,
                KeyCode::Esc => Key::Escape,
                KeyCode::Backspace => Key::Backspace,
                _ => continue,
            },
            Ok(Event::Resize(..)) => Key::Resized,
            Ok(_) => continue,
            Err(_) => return,
        };
        if keys.blocking_send(key).is_err() {
            return;
        }
    }
}

/// Whether the terminal is ours at the moment: it is given back once, by whoever is first.
static OURS: AtomicBool = AtomicBool::new(false);

fn give_back() {
    if OURS.swap(false, Ordering::SeqCst) {
        // There is nobody to tell when the terminal has gone.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// The terminal, given back as it was however this ends.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Self> {
        // What a panic says must not be written into a screen that goes away.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode()?;
        OURS.store(true, Ordering::SeqCst);
        let screen = Self(Terminal::new(CrosstermBackend::new(io::stdout()))?);
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }

    fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.0.draw(|frame| screen::draw(frame, model)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}
