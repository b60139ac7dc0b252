//! `plantao copies`: where the copies of an image, of a patient's images, of all images or of the records lie, as their
//! holders say now. `plantao compliance 321` is the proof.

use super::compliance::{age, answer_cell, answer_key, verdict_key, verdict_word};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::ids;
use crate::output::{Cell, Column, Items, Report, Table};
use crate::session::Session;
use crate::text::{Lang, Word};
use clap::{Args, ValueEnum};
use plantao_client::id::{Id, LabelKind};
use plantao_proto::admin::v1::list_copies_request::Of;
use plantao_proto::admin::v1::{ListCopiesRequest, ListCopiesResponse, ObjectCopies, Verdict};
use serde_json::{Map, Value, json};

/// Objects that one command lists at most.
const OBJECTS_MAX: usize = 10_000;
const PAGE: u32 = 100;

/// Of what.
#[derive(Debug, Args)]
#[group(id = "whose", required = true, multiple = false, args = ["patient", "image", "module"])]
pub(crate) struct CopiesArgs {
    /// Of this patient's images
    #[arg(long, value_name = "PATIENT")]
    patient: Option<String>,
    /// Of this image
    #[arg(long, value_name = "IMAGE")]
    image: Option<Id>,
    /// Of everything of this kind
    #[arg(long, value_enum)]
    module: Option<CopiesModule>,
}

/// What is copied as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CopiesModule {
    /// Images, one by one
    Images,
    /// Agenda, patients, records, consents and audit, which are replicated together
    State,
}

/// Runs it.
pub(crate) async fn run(args: CopiesArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, _) = session.admin()?;
    let of = match (&args.image, &args.patient, args.module) {
        (Some(image), ..) => Of::ImageId(image.to_wire()),
        (_, Some(patient), _) => Of::PatientId(ids::direct(Word::Patient, LabelKind::Patient, patient)?.to_wire()),
        (.., Some(CopiesModule::State)) => Of::Kind("state".to_owned()),
        (.., Some(CopiesModule::Images) | None) => Of::Kind("images".to_owned()),
    };
    let mut found = ListCopiesResponse::default();
    loop {
        let request = ListCopiesRequest {
            of: Some(of.clone()),
            page_size: PAGE,
            page_token: std::mem::take(&mut found.next_page_token),
        };
        let mut why = None;
        let mut page = None;
        for node in Session::nodes(&cluster) {
            match node.list_copies(request.clone()).await {
                Ok(answer) => {
                    page = Some(answer);
                    break;
                }
                Err(error @ plantao_client::error::Error::NotFound(_)) => {
                    return Err(Failure::NotThere { why: chain(&error) });
                }
                Err(error) => why = Some(Failure::from(error)),
            }
        }
        let Some(page) = page else {
            return Err(why.unwrap_or(Failure::Connect { why: String::new() }));
        };
        found.applied_index = page.applied_index;
        found.objects.extend(page.objects);
        found.next_page_token = page.next_page_token;
        if found.next_page_token.is_empty() || found.objects.len() >= OBJECTS_MAX {
            break;
        }
    }
    let short = found.objects.iter().any(|object| object.verdict() == Verdict::DoesNotHold);
    session.list(&view(&found, session.out.lang))?;
    Ok(if short { Exit::GoalNotMet } else { Exit::Done })
}

fn value(object: &ObjectCopies) -> Value {
    let copies = object.copies.iter().map(|copy| {
        json!({
            "node_id": copy.node_id,
            "name": copy.name,
            "site": copy.site,
            "country": copy.country,
            "medium": copy.medium,
            "off_site": copy.off_site,
            "answer": answer_key(copy.answer()),
            "chunks": copy.chunks,
            "held": copy.held,
            "check_age_ms_max": copy.check_age_ms,
        })
    });
    json!({
        "kind": object.kind,
        "id": ids::text(&object.id),
        "bytes": object.bytes,
        "copies": copies.collect::<Vec<_>>(),
        "three": object.three,
        "two": object.two,
        "one": object.one,
        "errors": object.errors,
        "verdict": verdict_key(object.verdict()),
    })
}

fn view(found: &ListCopiesResponse, lang: Lang) -> Report {
    let rows = found.objects.iter().flat_map(|object| {
        let (word, tone) = verdict_word(object.verdict());
        object.copies.iter().enumerate().map(move |(number, copy)| {
            // The object is named once.
            let first = |text: String| if number == 0 { text } else { String::new() };
            let name = if object.id.is_empty() { object.kind.clone() } else { ids::text(&object.id) };
            let held = if copy.chunks == 0 { String::new() } else { format!("{}/{}", copy.held, copy.chunks) };
            vec![
                first(name).into(),
                copy.name.as_str().into(),
                copy.site.as_str().into(),
                copy.country.as_str().into(),
                copy.medium.as_str().into(),
                lang.word(if copy.off_site { Word::Yes } else { Word::No }).into(),
                answer_cell(copy.answer(), lang),
                held.into(),
                age(copy.check_age_ms).into(),
                Cell { text: first(lang.word(word).to_owned()), tone },
            ]
        })
    });
    Report {
        kind: "copies",
        head: Map::from_iter([("applied_index".to_owned(), found.applied_index.into())]),
        items: Items::Many("objects", found.objects.iter().map(value).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Object),
                Column::of(Word::Node),
                Column::of(Word::Site),
                Column::of(Word::Country).wide(),
                Column::of(Word::Medium),
                Column::of(Word::OffSite),
                Column::of(Word::State),
                Column::number(Word::Chunks),
                Column::number(Word::Checked),
                Column::of(Word::ThreeTwoOne),
            ],
            rows.collect(),
        ),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed copies for golden files.
    use super::*;
    use crate::golden::id;
    use plantao_proto::admin::v1::{Copy, HolderAnswer};

    pub(crate) fn list(lang: Lang) -> Report {
        let copy = |node_id, name: &str, medium: &str, held| Copy {
            node_id,
            name: name.into(),
            site: name.into(),
            country: "BR".into(),
            medium: medium.into(),
            off_site: node_id == 3,
            answer: HolderAnswer::Answered.into(),
            chunks: 4,
            held,
            check_age_ms: 7_200_000,
        };
        let image = |byte, held, verdict: Verdict| ObjectCopies {
            kind: "image".into(),
            id: id(byte),
            bytes: 4_000_000,
            copies: vec![copy(1, "centro", "ssd", 4), copy(2, "jardins", "ssd", 4), copy(3, "cofre", "hdd", held)],
            three: if held == 4 { 3 } else { 2 },
            two: if held == 4 { 2 } else { 1 },
            one: u32::from(held == 4),
            errors: u32::from(held < 4),
            verdict: verdict.into(),
        };
        let objects = vec![image(4, 4, Verdict::Holds), image(5, 3, Verdict::DoesNotHold)];
        view(&ListCopiesResponse { applied_index: 918_204, objects, ..ListCopiesResponse::default() }, lang)
    }
}
