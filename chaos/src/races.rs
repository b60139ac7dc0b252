//! `chaos races`: programs of both units want one slot at the same moment, again and again, while nodes are cut off from each other
//! and found again. At most one of each race may hold it, the others are told who does, and the agenda says the same at the end.
//!
//! ```text
//! race n   hour n of the agenda ─ one professional, room or patient whom all want ─ 2 to 64 programs, through any node that takes calls
//! links    ├ cut off: one node, a pair, one way ┤ whole ├ cut off … ┤     until the last race is over
//! ```

use crate::aftermath::{copies_are_equal, say_copies};
use crate::ground::{Ground, Standing, exit, millis, say, until_signal, yes};
use crate::history::{Booking, Operation, Outcome, Slot};
use crate::model::refusal;
use crate::process::cuts::Cuts;
use crate::process::site::Site;
use crate::seed::Chance;
use crate::workload::{AGENDA_START_MS, agenda_of, write};
use anyhow::{Context, bail};
use futures_util::stream::{self, StreamExt};
use plantao_client::{Cluster, ConnectOptions, Id};
use plantao_node::local_network::checks::{OverlapReport, overlaps};
use plantao_proto::public::v1;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// Most programs that want one slot.
const CONTENDERS_MAX: u64 = 64;
/// How long a booking is tried again: longer than most cuts, so that few races end without a winner.
const LIFE: Duration = Duration::from_secs(12);
/// Of whatever has to be there first.
const REGISTRATION_LIFE: Duration = Duration::from_secs(60);
const HOUR_MS: i64 = 60 * 60 * 1_000;
const MINUTE_MS: i64 = 60 * 1_000;
/// How long nodes are cut off, and how long nothing is cut: least and most.
const CUT: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(5)];
const WHOLE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(4)];
/// Races between two lines for people.
const SAY_EVERY: u64 = 500;

/// How many, and of whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Races {
    /// How many races.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    races: u64,
    /// Most programs in a race; the least is two.
    #[arg(long, default_value_t = CONTENDERS_MAX, value_parser = clap::value_parser!(u64).range(2..=CONTENDERS_MAX))]
    clients: u64,
    /// Races under way at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    at_once: u64,
    /// Decides who wants what, and what is cut when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    ground: Ground,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    schema_version: u32,
    seed: u64,
    races: u64,
    bookings_wanted: u64,
    confirmed: u64,
    /// Refused because somebody holds the slot.
    taken: u64,
    unknown: u64,
    not_done: u64,
    /// How often something was cut.
    cuts: u64,
    /// Races in which nobody was told a decision and nobody holds the slot.
    without_winner: u64,
    /// What must not be, the first few in words.
    faults: u64,
    first_faults: Vec<String>,
    overlaps: OverlapReport,
    digests_equal: bool,
    took_ms: u64,
    held: bool,
}

impl Figures {
    fn fault(&mut self, what: String) {
        self.faults += 1;
        if self.first_faults.len() < 10 {
            self.first_faults.push(what);
        }
    }
}

/// Runs it.
pub(crate) async fn run(arguments: &Races) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &Races, standing: &Standing) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut site = Site::wired(standing, "chaos races").await?;
    let cluster = site.network.connect(&ConnectOptions::default())?;
    let people = Arc::new(People::of(arguments.seed));
    people.register(&cluster).await?;
    say(&format!(
        "{} races of 2 to {} programs for one slot, links cut and healed, seed {}",
        arguments.races, arguments.clients, arguments.seed
    ));
    let done = AtomicU64::new(0);
    let racing = async {
        let numbers = stream::iter(0..arguments.races);
        let races = numbers.map(|nth| {
            let (cluster, people, done) = (&cluster, &people, &done);
            async move {
                let race = Race::draw(arguments, people, nth);
                let told = race.run(cluster).await;
                let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                if count.is_multiple_of(SAY_EVERY) {
                    say(&format!("{count:>6}  {} s", begun.elapsed().as_secs()));
                }
                told
            }
        });
        races.buffer_unordered(usize::try_from(arguments.at_once).unwrap_or(1)).collect::<Vec<_>>().await
    };
    let mut figures = Figures { schema_version: 1, seed: arguments.seed, ..Figures::default() };
    let told = tokio::select! {
        told = racing => told,
        // Ends with an error only.
        ended = cutting(&mut site, arguments.seed, &mut figures.cuts) => return ended,
    };
    site.cut(&Cuts::default())?;
    site.network.settle().await?;
    judge(&cluster, &people, told, &mut figures).await?;
    figures.overlaps = overlaps(&cluster).await?;
    figures.digests_equal = copies_are_equal(&site.network).await?;
    site.network.stop_all().await?;
    figures.took_ms = millis(begun.elapsed());
    figures.held = figures.faults == 0 && figures.overlaps.holds() && figures.digests_equal;
    conclude(&figures);
    arguments.ground.write(&figures)?;
    Ok(exit(figures.held))
}

/// Cuts links and heals them until it is dropped.
async fn cutting(site: &mut Site, seed: u64, count: &mut u64) -> anyhow::Result<ExitCode> {
    let mut chance = Chance::of(seed, 2);
    let nodes = site.network.nodes().len();
    loop {
        tokio::time::sleep(chance.between(WHOLE[0], WHOLE[1])).await;
        let mut cuts = Cuts::default();
        let one = usize::try_from(chance.below(nodes as u64))?;
        let other = (one + 1 + usize::try_from(chance.below(nodes as u64 - 1))?) % nodes;
        match chance.below(3) {
            0 => cuts.isolate(one, nodes),
            1 => cuts.pairs.extend([(one, other), (other, one)]),
            _ => drop(cuts.pairs.insert((one, other))),
        }
        site.cut(&cuts)?;
        *count += 1;
        tokio::time::sleep(chance.between(CUT[0], CUT[1])).await;
        site.cut(&Cuts::default())?;
    }
}

/// Whom races are about: as many of each as there may be programs, so that a race is about one of them only.
struct People {
    units: Vec<Id>,
    practitioners: Vec<Id>,
    /// Of the units by turns.
    rooms: Vec<Id>,
    patients: Vec<Id>,
}

impl People {
    fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, 0);
        let mut ids = |count: u64| (0..count).map(|_| chance.id()).collect::<Vec<_>>();
        Self {
            units: ids(2),
            practitioners: ids(CONTENDERS_MAX),
            rooms: ids(CONTENDERS_MAX),
            patients: ids(CONTENDERS_MAX),
        }
    }

    fn unit(&self, nth: usize) -> Id {
        self.units[nth % self.units.len()]
    }

    async fn register(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let units = self
            .units
            .iter()
            .enumerate()
            .map(|(nth, unit)| Operation::RegisterUnit { unit: *unit, slug: format!("corrida-{nth}") });
        let of = |ids: &[Id], make: fn(Id, Id) -> Operation| -> Vec<Operation> {
            ids.iter().enumerate().map(|(nth, id)| make(*id, self.unit(nth))).collect()
        };
        let all = units
            .chain(of(&self.practitioners, |practitioner, unit| Operation::RegisterPractitioner { practitioner, unit }))
            .chain(of(&self.rooms, |room, unit| Operation::RegisterRoom { room, unit }))
            .chain(of(&self.patients, |patient, unit| Operation::RegisterPatient { patient, unit }));
        for operation in all {
            let outcome = write(cluster, &operation, &header(Id::random()?, REGISTRATION_LIFE)).await;
            if !matches!(outcome, Outcome::Confirmed { .. }) {
                bail!("races cannot be prepared: {operation:?} was told {outcome:?}");
            }
        }
        Ok(())
    }
}

fn header(request: Id, life: Duration) -> v1::RequestHeader {
    let until = SystemTime::now() + life;
    v1::RequestHeader { request_id: request.to_wire(), not_after_ms: plantao_client::time::unix_ms(until) }
}

/// One slot, and who wants it.
struct Race {
    nth: u64,
    wanted: Vec<(Id, Operation)>,
}

/// What they were told, by booking.
struct Told {
    nth: u64,
    answers: BTreeMap<Id, Outcome>,
}

impl Race {
    fn draw(arguments: &Races, people: &People, nth: u64) -> Self {
        let mut chance = Chance::of(arguments.seed, (1 << 32) + nth);
        let count = usize::try_from(2 + chance.below(arguments.clients - 1)).unwrap_or(2);
        let from = usize::try_from(chance.below(CONTENDERS_MAX)).unwrap_or(0);
        // What all of them want.
        let shared = chance.below(3);
        let wanted = (0..count).map(|contender| {
            let own = |ids: &[Id], kind: u64| {
                let at = if kind == shared { from } else { from + contender };
                (ids[at % ids.len()], at % ids.len())
            };
            let ((room, of), (practitioner, _)) = (own(&people.rooms, 1), own(&people.practitioners, 0));
            let (patient, _) = own(&people.patients, 2);
            // All hold the half hour of their hour, so that any two of them meet.
            let hour = AGENDA_START_MS + i64::try_from(nth).unwrap_or(0) * HOUR_MS;
            let minutes = |chance: &mut Chance| i64::try_from(chance.below(30)).unwrap_or(0) * MINUTE_MS;
            let start_ms = hour + minutes(&mut chance);
            let end_ms = hour + 31 * MINUTE_MS + minutes(&mut chance);
            let slot = Slot { unit: people.unit(of), practitioner, room, start_ms, end_ms };
            let appointment = chance.id();
            (chance.id(), Operation::Book { appointment, patient, slot })
        });
        Self { nth, wanted: wanted.collect() }
    }

    /// All at once.
    async fn run(self, cluster: &Cluster) -> Told {
        let line = Arc::new(Barrier::new(self.wanted.len()));
        let mut programs = JoinSet::new();
        for (nth, (request, operation)) in self.wanted.into_iter().enumerate() {
            let (cluster, line) = (cluster.spread(nth), Arc::clone(&line));
            programs.spawn(async move {
                line.wait().await;
                let outcome = write(&cluster, &operation, &header(request, LIFE)).await;
                let Operation::Book { appointment, .. } = operation else { return None };
                Some((appointment, outcome))
            });
        }
        let answers = programs.join_all().await.into_iter().flatten().collect();
        Told { nth: self.nth, answers }
    }
}

/// Holds what was told against the agenda.
async fn judge(cluster: &Cluster, people: &People, all: Vec<Told>, figures: &mut Figures) -> anyhow::Result<()> {
    let hours = i64::try_from(all.len()).context("too many races")?;
    let whole = (AGENDA_START_MS, AGENDA_START_MS + hours * HOUR_MS);
    let mut held: BTreeMap<i64, Vec<Booking>> = BTreeMap::new();
    for unit in &people.units {
        for booking in agenda_of(cluster, *unit, whole).await?.into_values() {
            held.entry((booking.slot.start_ms - AGENDA_START_MS).div_euclid(HOUR_MS)).or_default().push(booking);
        }
    }
    for Told { nth, answers } in all {
        figures.races += 1;
        figures.bookings_wanted += answers.len() as u64;
        let hour = i64::try_from(nth).unwrap_or(i64::MAX);
        let holders: Vec<Id> = held.remove(&hour).unwrap_or_default().iter().map(|booking| booking.id).collect();
        if holders.len() > 1 {
            figures.fault(format!("race {nth}: {} bookings hold the slot", holders.len()));
        }
        if holders.iter().any(|holder| !answers.contains_key(holder)) {
            figures.fault(format!("race {nth}: a booking that nobody asked for"));
        }
        let mut is_decided = false;
        for (booking, outcome) in &answers {
            match outcome {
                Outcome::Confirmed { .. } => {
                    figures.confirmed += 1;
                    is_decided = true;
                    if !holders.contains(booking) {
                        figures.fault(format!("race {nth}: a booking was confirmed and is not there"));
                    }
                }
                Outcome::Refused { code: refusal::SLOT_TAKEN, holder, .. } => {
                    figures.taken += 1;
                    is_decided = true;
                    if holders.contains(booking) {
                        figures.fault(format!("race {nth}: a booking was refused and is there"));
                    }
                    if holder.is_none_or(|holder| !holders.contains(&holder)) {
                        figures.fault(format!("race {nth}: refused for a booking that does not hold the slot"));
                    }
                }
                // Late: a cut was longer than its life.
                Outcome::Refused { code: refusal::EXPIRED, .. } | Outcome::Unknown => figures.unknown += 1,
                Outcome::NotDone { .. } => {
                    figures.not_done += 1;
                    if holders.contains(booking) {
                        figures.fault(format!("race {nth}: a booking that was not done is there"));
                    }
                }
                other => figures.fault(format!("race {nth}: {other:?}")),
            }
        }
        if holders.is_empty() {
            figures.without_winner += 1;
            if is_decided {
                figures.fault(format!("race {nth}: it was decided, and nobody holds the slot"));
            }
        }
    }
    if !held.is_empty() {
        figures.fault(format!("{} hours without a race have bookings", held.len()));
    }
    Ok(())
}

fn conclude(figures: &Figures) {
    let Figures { races, bookings_wanted, confirmed, taken, unknown, not_done, cuts, without_winner, .. } = figures;
    say(&format!(
        "{races} races, {bookings_wanted} bookings wanted, {cuts} cuts in {} s: {confirmed} confirmed, {taken} told who holds the slot, \
         {unknown} unknown, {not_done} not done; {without_winner} races that the network could not decide in time",
        figures.took_ms / 1_000
    ));
    say(&format!("at most one holder in each, and what was told is true: {}", yes(figures.faults == 0)));
    for fault in &figures.first_faults {
        say(&format!("  {fault}"));
    }
    say_copies(figures.digests_equal, &figures.overlaps);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn arguments(races: u64) -> Races {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            races: Races,
        }
        Line::parse_from(["races", "--races", &races.to_string()]).races
    }

    #[test]
    fn any_two_of_a_race_meet_and_two_races_never() {
        let (arguments, people) = (arguments(200), People::of(1));
        let mut kinds = std::collections::BTreeSet::new();
        for nth in 0..200 {
            let race = Race::draw(&arguments, &people, nth);
            assert!((2..=64).contains(&race.wanted.len()));
            let slots: Vec<(Id, Slot)> = race
                .wanted
                .iter()
                .filter_map(|(_, wanted)| match wanted {
                    Operation::Book { patient, slot, .. } => Some((*patient, *slot)),
                    _ => None,
                })
                .collect();
            let hour = AGENDA_START_MS + nth as i64 * HOUR_MS;
            for (at, (patient, slot)) in slots.iter().enumerate() {
                assert!(hour <= slot.start_ms && slot.start_ms < slot.end_ms && slot.end_ms <= hour + HOUR_MS);
                for (other_patient, other) in &slots[..at] {
                    let shared =
                        [slot.practitioner == other.practitioner, slot.room == other.room, patient == other_patient];
                    assert!(slot.meets(other) && shared.iter().filter(|same| **same).count() == 1, "{shared:?}");
                    kinds.insert(shared);
                }
            }
        }
        assert_eq!(kinds.len(), 3);
    }
}
