//! `plantao unit|practitioner|room list`: the structure that bookings refer to.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::output::json::list_head;
use crate::output::{Column, Items, Report, Table};
use crate::session::Session;
use crate::text::Word;
use clap::{Args, Subcommand};
use plantao_proto::public::v1::{AsOf, Practitioner, Room, Unit};
use serde_json::json;

/// Units.
#[derive(Debug, Subcommand)]
pub(crate) enum UnitCommand {
    /// List units
    List,
}

/// Professionals.
#[derive(Debug, Subcommand)]
pub(crate) enum PractitionerCommand {
    /// List professionals
    List(OfUnit),
}

/// Rooms.
#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// List rooms
    List(OfUnit),
}

/// Of which unit.
#[derive(Debug, Args)]
pub(crate) struct OfUnit {
    /// Only of this unit
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
}

/// `unit list`.
pub(crate) async fn units(command: UnitCommand, session: &Session) -> Result<Exit, Failure> {
    let UnitCommand::List = command;
    let (at, units) = session.cluster()?.units().await?;
    session.list(&unit_view(at.as_ref(), &units))
}

/// `practitioner list`.
pub(crate) async fn practitioners(command: PractitionerCommand, session: &Session) -> Result<Exit, Failure> {
    let PractitionerCommand::List(OfUnit { unit }) = command;
    let cluster = session.cluster()?;
    let unit = ids::unit_option(&cluster, unit.as_deref()).await?;
    let (at, practitioners) = cluster.practitioners(unit).await?;
    let rows = practitioners.iter().map(Labelled::of_practitioner).collect::<Vec<_>>();
    session.list(&labelled_view("practitioner_list", "practitioners", at.as_ref(), &rows))
}

/// `room list`.
pub(crate) async fn rooms(command: RoomCommand, session: &Session) -> Result<Exit, Failure> {
    let RoomCommand::List(OfUnit { unit }) = command;
    let cluster = session.cluster()?;
    let unit = ids::unit_option(&cluster, unit.as_deref()).await?;
    let (at, rooms) = cluster.rooms(unit).await?;
    let rows = rooms.iter().map(Labelled::of_room).collect::<Vec<_>>();
    session.list(&labelled_view("room_list", "rooms", at.as_ref(), &rows))
}

fn unit_view(at: Option<&AsOf>, units: &[Unit]) -> Report {
    let values = units.iter().map(|unit| json!({"id": ids::text(&unit.id), "slug": unit.slug, "name": unit.name}));
    let rows =
        units.iter().map(|unit| vec![unit.slug.as_str().into(), unit.name.as_str().into(), ids::text(&unit.id).into()]);
    Report {
        kind: "unit_list",
        head: list_head(at),
        items: Items::Many("units", values.collect()),
        table: Table::new(
            vec![Column::of(Word::Slug), Column::of(Word::Name), Column::of(Word::Id).wide()],
            rows.collect(),
        ),
    }
}

/// What professionals and rooms have in common.
struct Labelled<'a> {
    id: String,
    unit: String,
    name: &'a str,
    label: &'a str,
}

impl<'a> Labelled<'a> {
    fn of_practitioner(one: &'a Practitioner) -> Self {
        Self { id: ids::text(&one.id), unit: ids::text(&one.unit_id), name: &one.name, label: &one.label }
    }

    fn of_room(one: &'a Room) -> Self {
        Self { id: ids::text(&one.id), unit: ids::text(&one.unit_id), name: &one.name, label: &one.label }
    }
}

fn labelled_view(kind: &'static str, key: &'static str, at: Option<&AsOf>, rows: &[Labelled<'_>]) -> Report {
    let values =
        rows.iter().map(|one| json!({"id": one.id, "unit_id": one.unit, "name": one.name, "label": one.label}));
    let cells = rows
        .iter()
        .map(|one| vec![one.label.into(), one.name.into(), one.id.as_str().into(), one.unit.as_str().into()]);
    Report {
        kind,
        head: list_head(at),
        items: Items::Many(key, values.collect()),
        table: Table::new(
            vec![Column::of(Word::Label), Column::of(Word::Name), Column::of(Word::Id), Column::of(Word::Unit).wide()],
            cells.collect(),
        ),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use crate::golden::{at, id};

    pub(crate) fn units() -> Report {
        let unit = |byte, slug: &str, name: &str| Unit {
            id: id(byte),
            slug: slug.into(),
            name: name.into(),
            ..Unit::default()
        };
        unit_view(Some(&at()), &[unit(1, "centro", "Clínica Centro"), unit(2, "jardins", "Jardins\u{1b}[31m\u{202e}")])
    }

    pub(crate) fn rooms() -> Report {
        let room = |byte, label: &str| Room {
            id: id(byte),
            unit_id: id(1),
            name: format!("Sala {byte}"),
            label: label.into(),
            ..Room::default()
        };
        let rooms = [room(3, "centro-sala-1"), room(4, "centro-sala-2")];
        let rows = rooms.iter().map(Labelled::of_room).collect::<Vec<_>>();
        labelled_view("room_list", "rooms", Some(&at()), &rows)
    }
}
