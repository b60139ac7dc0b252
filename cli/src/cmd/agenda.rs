//! `plantao agenda list|get|book|move|arrive|close|cancel|no-show`.

use crate::args::Write;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::ids;
use crate::input;
use crate::output::json::list_head;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::session::{Change, Session};
use crate::text::{Lang, Word};
use crate::when::{self, Zone};
use clap::{Args, Subcommand};
use plantao_client::id::{Id, LabelKind};
use plantao_proto::public::v1::list_appointments_request::Of;
use plantao_proto::public::v1::{
    Appointment, AppointmentState, AsOf, BookRequest, ChangeAppointmentStateRequest, MoveAppointmentRequest, Slot,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Largest document of an appointment, as the cluster takes it.
const DOCUMENT_BYTES_MAX: u64 = 16 << 10;

/// Appointments.
#[derive(Debug, Subcommand)]
pub(crate) enum AgendaCommand {
    /// List appointments of a unit, professional, room or patient
    List(ListArgs),
    /// Show an appointment
    Get(GetArgs),
    /// Book an appointment
    Book(BookArgs),
    /// Move an appointment
    Move(MoveArgs),
    /// The patient has arrived
    Arrive(StepArgs),
    /// The appointment took place and is over
    Close(StepArgs),
    /// Cancel an appointment; its time is free again
    Cancel(StepArgs),
    /// The patient did not come; its time is free again
    NoShow(StepArgs),
}

/// Whose, and when.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    of: OfWhom,
    /// This day, in the unit's zone (default: today)
    #[arg(long, value_name = "DATE", conflicts_with_all = ["from", "to"])]
    day: Option<String>,
    /// From this time on
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct OfWhom {
    /// Of this unit
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Of this professional
    #[arg(long, value_name = "PRACTITIONER")]
    practitioner: Option<String>,
    /// Of this room
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// Of this patient
    #[arg(long, value_name = "PATIENT")]
    patient: Option<String>,
}

/// Which.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The appointment: id or label
    appointment: String,
    /// With its document; the read is audited
    #[arg(long)]
    content: bool,
    /// Write only the document, byte by byte; implies --content
    #[arg(long)]
    raw: bool,
}

/// Where and when.
#[derive(Debug, Args)]
struct SlotArgs {
    /// Unit
    #[arg(long, value_name = "UNIT")]
    unit: String,
    /// Professional
    #[arg(long, value_name = "PRACTITIONER")]
    practitioner: String,
    /// Room
    #[arg(long, value_name = "ROOM")]
    room: String,
    /// Start: RFC 3339, or 2026-11-24 14:45 in the unit's zone
    #[arg(long, value_name = "TIME")]
    start: String,
    /// End, the first instant after
    #[arg(long, value_name = "TIME")]
    end: String,
    /// Overlap on purpose (encaixe), for this reason
    #[arg(long, value_name = "REASON")]
    encaixe: Option<String>,
}

impl SlotArgs {
    async fn slot(&self, cluster: &Gateway, zone: &Zone) -> Result<Slot, Failure> {
        let (start_ms, end_ms) = (zone.parse(&self.start)?, zone.parse(&self.end)?);
        Ok(Slot {
            unit_id: ids::unit(cluster, &self.unit).await?.to_wire(),
            practitioner_id: ids::practitioner(cluster, &self.practitioner).await?.to_wire(),
            room_id: ids::room(cluster, &self.room).await?.to_wire(),
            start_ms,
            end_ms,
        })
    }
}

/// Whom, where and when.
#[derive(Debug, Args)]
pub(crate) struct BookArgs {
    /// Patient
    #[arg(long, value_name = "PATIENT")]
    patient: String,
    #[command(flatten)]
    slot: SlotArgs,
    /// Own id for the new object: UUID or label
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Document to keep byte by byte, at most 16 KiB
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    #[command(flatten)]
    write: Write,
}

/// Which, and where to.
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The appointment: id or label
    appointment: String,
    /// Version that you saw; refused when it is not the current one
    #[arg(long, value_name = "N")]
    seen_version: u32,
    #[command(flatten)]
    slot: SlotArgs,
    #[command(flatten)]
    write: Write,
}

/// Which.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// The appointment: id or label
    appointment: String,
    /// Version that you saw; refused when it is not the current one
    #[arg(long, value_name = "N")]
    seen_version: u32,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    write: Write,
}

/// Runs one of them.
pub(crate) async fn run(command: AgendaCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        AgendaCommand::List(args) => list(args, session).await,
        AgendaCommand::Get(args) => get(args, session).await,
        AgendaCommand::Book(args) => book(args, session).await,
        AgendaCommand::Move(args) => shift(args, session).await,
        AgendaCommand::Arrive(args) => step(args, AppointmentState::Arrived, "agenda.arrive", session).await,
        AgendaCommand::Close(args) => step(args, AppointmentState::Closed, "agenda.close", session).await,
        AgendaCommand::Cancel(args) => step(args, AppointmentState::Cancelled, "agenda.cancel", session).await,
        AgendaCommand::NoShow(args) => step(args, AppointmentState::NoShow, "agenda.no_show", session).await,
    }
}

async fn list(args: ListArgs, session: &Session) -> Result<Exit, Failure> {
    let zone = &session.zone;
    let (from_ms, to_ms) = match (&args.from, &args.to) {
        (Some(from), Some(to)) => (zone.parse(from)?, zone.parse(to)?),
        _ => zone.day(&args.day.unwrap_or_else(|| zone.day_of(when::now_ms())))?,
    };
    if to_ms <= from_ms {
        return Err(Failure::BadValue { field: "--to", why: "it is not after --from".to_owned() });
    }
    let cluster = session.cluster()?;
    let OfWhom { unit, practitioner, room, patient } = args.of;
    let of = match (unit, practitioner, room, patient) {
        (Some(unit), ..) => Of::UnitId(ids::unit(&cluster, &unit).await?.to_wire()),
        (_, Some(one), ..) => Of::PractitionerId(ids::practitioner(&cluster, &one).await?.to_wire()),
        (.., Some(room), _) => Of::RoomId(ids::room(&cluster, &room).await?.to_wire()),
        (.., patient) => Of::PatientId(ids::patient(&cluster, &patient.unwrap_or_default()).await?.to_wire()),
    };
    let (at, appointments) = cluster.appointments(&of, from_ms, to_ms).await?;
    let labels = if session.out.format.is_json() { BTreeMap::new() } else { labels(&cluster).await };
    let people = People { lang: session.out.lang, zone, labels: &labels };
    session.list(&list_view(&people, at.as_ref(), &appointments))
}

/// Labels of professionals and rooms, by id. A table without them is still a table.
async fn labels(cluster: &Gateway) -> BTreeMap<Vec<u8>, String> {
    let mut labels = BTreeMap::new();
    if let Ok((_, all)) = cluster.practitioners(None).await {
        labels.extend(all.into_iter().map(|one| (one.id.to_vec(), one.label)));
    }
    if let Ok((_, all)) = cluster.rooms(None).await {
        labels.extend(all.into_iter().map(|one| (one.id.to_vec(), one.label)));
    }
    labels.retain(|_, label| !label.is_empty());
    labels
}

async fn get(args: GetArgs, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    let id = appointment(&args.appointment)?;
    let (at, found) = cluster.appointment(id, args.content || args.raw).await?;
    if args.raw {
        session.out.raw(&found.document)?;
        return Ok(Exit::Done);
    }
    let labels = BTreeMap::new();
    let people = People { lang: session.out.lang, zone: &session.zone, labels: &labels };
    session.list(&one_view(&people, at.as_ref(), &found, args.content))
}

fn appointment(text: &str) -> Result<Id, Failure> {
    ids::direct(Word::Appointment, LabelKind::Appointment, text)
}

async fn book(args: BookArgs, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    let document = match &args.document {
        Some(path) => input::file(path, DOCUMENT_BYTES_MAX)?,
        None => Vec::new(),
    };
    let slot = args.slot.slot(&cluster, &session.zone).await?;
    let patient = ids::patient(&cluster, &args.patient).await?;
    let header = session.header(&args.write)?;
    let object = header.new_object(Word::Appointment, LabelKind::Appointment, args.id.as_deref())?;
    let request = BookRequest {
        header: None,
        appointment_id: object.to_wire(),
        patient_id: patient.to_wire(),
        slot: Some(slot),
        encaixe_reason: args.slot.encaixe.unwrap_or_default(),
        document: document.into(),
    };
    let written = cluster.book(&header, request).await;
    session.written(Change { action: "agenda.book", object }, &header, written)
}

async fn shift(args: MoveArgs, session: &Session) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    let object = appointment(&args.appointment)?;
    let slot = args.slot.slot(&cluster, &session.zone).await?;
    let header = session.header(&args.write)?;
    let request = MoveAppointmentRequest {
        header: None,
        appointment_id: object.to_wire(),
        seen_version: args.seen_version,
        slot: Some(slot),
        encaixe_reason: args.slot.encaixe.unwrap_or_default(),
    };
    let written = cluster.move_appointment(&header, request).await;
    session.written(Change { action: "agenda.move", object }, &header, written)
}

async fn step(
    args: StepArgs,
    state: AppointmentState,
    action: &'static str,
    session: &Session,
) -> Result<Exit, Failure> {
    let cluster = session.cluster()?;
    let object = appointment(&args.appointment)?;
    let header = session.header(&args.write)?;
    let request = ChangeAppointmentStateRequest {
        header: None,
        appointment_id: object.to_wire(),
        seen_version: args.seen_version,
        state: state.into(),
        reason: args.reason,
    };
    let written = cluster.change_appointment_state(&header, request).await;
    session.written(Change { action, object }, &header, written)
}

/// How appointments are shown to people.
struct People<'a> {
    lang: Lang,
    zone: &'a Zone,
    labels: &'a BTreeMap<Vec<u8>, String>,
}

impl People<'_> {
    fn label(&self, id: &[u8]) -> String {
        self.labels.get(id).cloned().unwrap_or_else(|| ids::text(id))
    }

    fn state(&self, appointment: &Appointment) -> Cell {
        let (word, tone) = match appointment.state() {
            AppointmentState::Unspecified => return "?".into(),
            AppointmentState::Booked => (Word::Booked, Tone::Plain),
            AppointmentState::Arrived => (Word::Arrived, Tone::Good),
            AppointmentState::Closed => (Word::Closed, Tone::Plain),
            AppointmentState::Cancelled => (Word::Cancelled, Tone::Plain),
            AppointmentState::NoShow => (Word::NoShow, Tone::Warn),
        };
        Cell { text: self.lang.word(word).to_owned(), tone }
    }

    fn yes_or_no(&self, yes: bool) -> Cell {
        self.lang.word(if yes { Word::Yes } else { Word::No }).into()
    }
}

/// The states' names in JSON.
fn state_name(state: AppointmentState) -> &'static str {
    match state {
        AppointmentState::Unspecified => "unknown",
        AppointmentState::Booked => "booked",
        AppointmentState::Arrived => "arrived",
        AppointmentState::Closed => "closed",
        AppointmentState::Cancelled => "cancelled",
        AppointmentState::NoShow => "no_show",
    }
}

fn value(one: &Appointment) -> Value {
    let slot = one.slot.clone().unwrap_or_default();
    json!({
        "id": ids::text(&one.id),
        "patient_id": ids::text(&one.patient_id),
        "unit_id": ids::text(&slot.unit_id),
        "practitioner_id": ids::text(&slot.practitioner_id),
        "room_id": ids::text(&slot.room_id),
        "start": when::rfc3339(slot.start_ms),
        "end": when::rfc3339(slot.end_ms),
        "state": state_name(one.state()),
        "encaixe": one.encaixe,
        "version": one.version,
    })
}

fn list_view(people: &People<'_>, at: Option<&AsOf>, appointments: &[Appointment]) -> Report {
    let rows = appointments.iter().map(|one| {
        let slot = one.slot.clone().unwrap_or_default();
        vec![
            people.zone.minute(slot.start_ms, people.lang).into(),
            people.zone.minute(slot.end_ms, people.lang).into(),
            people.label(&slot.practitioner_id).into(),
            people.label(&slot.room_id).into(),
            ids::text(&one.patient_id).into(),
            people.state(one),
            people.yes_or_no(one.encaixe),
            ids::text(&one.id).into(),
            one.version.to_string().into(),
        ]
    });
    Report {
        kind: "appointment_list",
        head: list_head(at),
        items: Items::Many("appointments", appointments.iter().map(value).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Start),
                Column::of(Word::End),
                Column::of(Word::Practitioner),
                Column::of(Word::Room),
                Column::of(Word::Patient).wide(),
                Column::of(Word::State),
                Column::of(Word::Encaixe).wide(),
                Column::of(Word::Id),
                Column::number(Word::Version),
            ],
            rows.collect(),
        ),
    }
}

fn one_view(people: &People<'_>, at: Option<&AsOf>, one: &Appointment, content: bool) -> Report {
    let slot = one.slot.clone().unwrap_or_default();
    let mut item = value(one);
    let mut fields: Vec<(Word, Cell)> = vec![
        (Word::Id, ids::text(&one.id).into()),
        (Word::Patient, ids::text(&one.patient_id).into()),
        (Word::Unit, ids::text(&slot.unit_id).into()),
        (Word::Practitioner, people.label(&slot.practitioner_id).into()),
        (Word::Room, people.label(&slot.room_id).into()),
        (Word::Start, people.zone.minute(slot.start_ms, people.lang).into()),
        (Word::End, people.zone.minute(slot.end_ms, people.lang).into()),
        (Word::State, people.state(one)),
        (Word::Encaixe, people.yes_or_no(one.encaixe)),
        (Word::Version, one.version.to_string().into()),
    ];
    if content {
        let document = String::from_utf8_lossy(&one.document);
        fields.push((Word::Document, document.as_ref().into()));
        item["document"] = document.into();
    }
    Report {
        kind: "appointment",
        head: list_head(at),
        items: Items::One("appointment", item),
        table: Table::pairs(people.lang, fields),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use crate::golden::{MOMENT, at, id, zone};

    pub(crate) fn list(lang: Lang) -> Report {
        let one = |byte, state: AppointmentState, encaixe| Appointment {
            id: id(byte),
            patient_id: id(9),
            slot: Some(Slot {
                unit_id: id(1),
                practitioner_id: id(5),
                room_id: id(6),
                start_ms: MOMENT + i64::from(byte) * 1_800_000,
                end_ms: MOMENT + (i64::from(byte) + 1) * 1_800_000,
            }),
            state: state.into(),
            encaixe,
            version: u32::from(byte),
            ..Appointment::default()
        };
        let labels = BTreeMap::from([(vec![5; 16], "centro-prof-1".to_owned())]);
        let zone = zone();
        let people = People { lang, zone: &zone, labels: &labels };
        let all = [
            one(1, AppointmentState::Booked, false),
            one(2, AppointmentState::Arrived, true),
            one(3, AppointmentState::NoShow, false),
        ];
        list_view(&people, Some(&at()), &all)
    }
}
