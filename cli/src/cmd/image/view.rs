//! How images look: pure functions of messages, held by golden files.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::output::json::list_head;
use crate::output::{Cell, Column, Items, Report, Table, Tone};
use crate::text::{Lang, Say, Word};
use crate::when::{self, Zone};
use plantao_client::id::Id;
use plantao_client::images::{PutError, is_new, name};
use plantao_proto::public::v1::{
    AsOf, Image, ImageCommitted, ImageCopy, ImageHeader, ImageStatus, VerifyImageResponse,
};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// From when on an off-site copy is late rather than on its way: as the alert `PlantaoImageCopiesLate` has it.
const OFF_SITE_MS_MAX: u64 = 4 * 3_600_000;

/// What became of one file.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) file: PathBuf,
    pub(super) id: Id,
    pub(super) bytes: u64,
    pub(super) result: Result<ImageCommitted, PutError>,
}

/// What became of all of them.
#[derive(Debug, Default)]
pub(super) struct PutTotals {
    pub(super) put: u64,
    pub(super) unchanged: u64,
    pub(super) failed: u64,
    skipped: Vec<String>,
    /// Of the images that are acknowledged and new.
    bytes: u64,
    elapsed: Duration,
}

impl PutTotals {
    pub(super) fn of(puts: &[Put], skipped: &[PathBuf], elapsed: Duration) -> Self {
        let skipped = skipped.iter().map(|path| path.display().to_string()).collect();
        let mut totals = Self { skipped, elapsed, ..Self::default() };
        for put in puts {
            match &put.result {
                Ok(committed) if is_new(committed) => {
                    totals.put += 1;
                    totals.bytes += put.bytes;
                }
                Ok(_) => totals.unchanged += 1,
                Err(_) => totals.failed += 1,
            }
        }
        totals
    }

    /// Bytes a second.
    pub(super) fn rate(&self) -> u64 {
        (self.bytes as f64 / self.elapsed.as_secs_f64().max(1e-3)) as u64
    }
}

/// `1,8 MiB`.
pub(crate) fn size(bytes: u64, lang: Lang) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) => {
            let text = format!("{:.1} {name}", bytes as f64 / unit as f64);
            if lang == Lang::PtBr { text.replace('.', ",") } else { text }
        }
    }
}

/// How long an image waits for its off-site copy, in milliseconds; `None`: it is there. By the caller's clock: the
/// network's time stands still while nobody writes.
fn waited_ms(image: &Image, now_ms: i64) -> Option<u64> {
    (!image.off_site).then(|| u64::try_from(now_ms.saturating_sub(image.committed_ms)).unwrap_or(0))
}

fn status(image: &Image, now_ms: i64, lang: Lang) -> Cell {
    let (word, mut tone) = match image.status() {
        ImageStatus::AtRisk => (Word::ImageAtRisk, Tone::Bad),
        ImageStatus::Committed => (Word::ImageCommitted, Tone::Warn),
        ImageStatus::Replicated => (Word::ImageReplicated, Tone::Plain),
        ImageStatus::Protected => (Word::ImageProtected, Tone::Good),
        ImageStatus::Unspecified => (Word::RoleUnknown, Tone::Warn),
    };
    let mut text = lang.word(word).to_owned();
    if let Some(waited_ms) = waited_ms(image, now_ms) {
        let late = waited_ms >= OFF_SITE_MS_MAX;
        if late && tone != Tone::Bad {
            tone = Tone::Warn;
        }
        text.push_str(" · ");
        text.push_str(&lang.say(&Say::OffSiteAwaited { waited_ms, late }));
    }
    Cell { text, tone }
}

fn status_name(status: ImageStatus) -> &'static str {
    match status {
        ImageStatus::AtRisk => "at_risk",
        ImageStatus::Committed => "committed",
        ImageStatus::Replicated => "replicated",
        ImageStatus::Protected => "protected",
        ImageStatus::Unspecified => "unknown",
    }
}

/// Empty fields, which a list does not have, are `null`.
fn text_or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn value(image: &Image, now_ms: i64) -> Value {
    let waited_ms = waited_ms(image, now_ms);
    json!({
        "id": ids::text(&image.id),
        "upload_id": ids::text(&image.upload_id),
        "patient_id": ids::text(&image.patient_id),
        "unit_id": ids::text(&image.unit_id),
        "visit_id": text_or_null(&ids::text(&image.visit_id)),
        "consent_id": ids::text(&image.consent_id),
        "image_kind": image.kind,
        "media_type": name(image.media_type()),
        "bytes": image.bytes,
        "taken": when::rfc3339(image.taken_ms),
        "committed": when::rfc3339(image.committed_ms),
        "sender_id": ids::text(&image.sender_id),
        "thumbnail": image.thumbnail,
        "status": status_name(image.status()),
        "copies": image.copies,
        "sites": image.sites,
        "off_site": image.off_site,
        "awaits_off_site": !image.off_site,
        "awaits_off_site_ms": waited_ms,
        "off_site_late": waited_ms.is_some_and(|waited_ms| waited_ms >= OFF_SITE_MS_MAX),
        "sha256": text_or_null(&ids::hex(&image.sha256)),
    })
}

pub(super) fn list(lang: Lang, zone: &Zone, at: Option<&AsOf>, now_ms: i64, images: &[Image]) -> Report {
    let rows = images.iter().map(|image| {
        vec![
            zone.minute(image.taken_ms, lang).into(),
            image.kind.as_str().into(),
            name(image.media_type()).into(),
            size(image.bytes, lang).into(),
            status(image, now_ms, lang),
            image.copies.to_string().into(),
            image.sites.to_string().into(),
            ids::text(&image.visit_id).into(),
            ids::text(&image.id).into(),
        ]
    });
    Report {
        kind: "image_list",
        head: list_head(at),
        items: Items::Many("images", images.iter().map(|image| value(image, now_ms)).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Taken),
                Column::of(Word::Kind),
                Column::of(Word::MediaType),
                Column::number(Word::Size),
                Column::of(Word::State),
                Column::number(Word::Copies),
                Column::number(Word::Sites).wide(),
                Column::of(Word::Visit).wide(),
                Column::of(Word::Id),
            ],
            rows.collect(),
        ),
    }
}

pub(super) fn show(lang: Lang, zone: &Zone, at: Option<&AsOf>, now_ms: i64, image: &Image) -> Report {
    let mut item = value(image, now_ms);
    item["name"] = text_or_null(&image.name);
    item["remarks"] = text_or_null(&image.remarks);
    let mut fields: Vec<(Word, Cell)> = vec![
        (Word::Id, ids::text(&image.id).into()),
        (Word::Patient, ids::text(&image.patient_id).into()),
        (Word::Unit, ids::text(&image.unit_id).into()),
        (Word::Consent, ids::text(&image.consent_id).into()),
        (Word::Visit, ids::text(&image.visit_id).into()),
        (Word::Kind, image.kind.as_str().into()),
        (Word::MediaType, name(image.media_type()).into()),
        (Word::Size, size(image.bytes, lang).into()),
        (Word::Taken, zone.minute(image.taken_ms, lang).into()),
        (Word::Committed, zone.minute(image.committed_ms, lang).into()),
        (Word::State, status(image, now_ms, lang)),
        (Word::Copies, image.copies.to_string().into()),
        (Word::Sites, image.sites.to_string().into()),
        (Word::Author, ids::text(&image.sender_id).into()),
        (Word::Sha256, ids::hex(&image.sha256).into()),
        (Word::Name, image.name.as_str().into()),
        (Word::Remarks, image.remarks.as_str().into()),
    ];
    fields.retain(|(_, cell)| !cell.text.is_empty());
    Report { kind: "image", head: list_head(at), items: Items::One("image", item), table: Table::pairs(lang, fields) }
}

pub(super) fn put(lang: Lang, now_ms: i64, puts: &[Put], totals: &PutTotals) -> Report {
    let row = |put: &Put| {
        let (outcome, state, copies) = match &put.result {
            Ok(committed) => {
                let image = committed.image.clone().unwrap_or_default();
                let word = if is_new(committed) { Word::Stored } else { Word::AlreadySo };
                (lang.word(word).into(), status(&image, now_ms, lang), image.copies.to_string())
            }
            Err(PutError::Waiting { .. }) => {
                let failed = Cell { text: lang.word(Word::NotStored).to_owned(), tone: Tone::Bad };
                (failed, lang.word(Word::AwaitsSite).into(), String::new())
            }
            Err(error) => {
                let failed = Cell { text: lang.word(Word::NotStored).to_owned(), tone: Tone::Bad };
                (failed, error.code().map(|code| format!("PLT-{code:04}")).unwrap_or_default().into(), String::new())
            }
        };
        vec![
            put.file.display().to_string().into(),
            outcome,
            state,
            copies.into(),
            size(put.bytes, lang).into(),
            put.id.to_string().into(),
        ]
    };
    let item = |put: &Put| {
        let mut item = json!({
            "file": put.file.display().to_string(),
            "id": put.id.to_string(),
            "bytes": put.bytes,
            "outcome": "failed",
        });
        match &put.result {
            Ok(committed) => {
                let image = committed.image.clone().unwrap_or_default();
                item["outcome"] = if is_new(committed) { "stored".into() } else { "unchanged".into() };
                item["sha256"] = text_or_null(&ids::hex(&image.sha256));
                item["status"] = status_name(image.status()).into();
                item["copies"] = image.copies.into();
                item["sites"] = image.sites.into();
                item["off_site"] = image.off_site.into();
            }
            Err(error) => {
                if error.is_unknown() {
                    item["outcome"] = "unknown".into();
                }
                item["code"] = error.code().map(|code| format!("PLT-{code:04}")).into();
                item["why"] = error.to_string().into();
                item["help"] = error.help().into();
            }
        }
        item
    };
    let head = json!({
        "stored": totals.put,
        "unchanged": totals.unchanged,
        "failed": totals.failed,
        "skipped_files": totals.skipped,
        "stored_bytes": totals.bytes,
        "elapsed_ms": u64::try_from(totals.elapsed.as_millis()).unwrap_or(u64::MAX),
        "bytes_per_second": totals.rate(),
    });
    let Value::Object(head) = head else { unreachable!("an object was written") };
    Report {
        kind: "image_put",
        head,
        items: Items::Many("images", puts.iter().map(item).collect()),
        table: Table::new(
            vec![
                Column::of(Word::File),
                Column::of(Word::Outcome),
                Column::of(Word::State),
                Column::number(Word::Copies).wide(),
                Column::number(Word::Size),
                Column::of(Word::Id),
            ],
            puts.iter().map(row).collect(),
        ),
    }
}

pub(super) fn got(lang: Lang, files: &[(Id, PathBuf, ImageHeader)]) -> Report {
    let rows = files.iter().map(|(id, path, header)| {
        vec![path.display().to_string().into(), size(header.length, lang).into(), id.to_string().into()]
    });
    let items = files.iter().map(|(id, path, header)| {
        json!({
            "id": id.to_string(),
            "file": path.display().to_string(),
            "media_type": name(header.media_type()),
            "bytes": header.length,
            "offset": header.offset,
            "sha256": text_or_null(&header.image.as_ref().map(|image| ids::hex(&image.sha256)).unwrap_or_default()),
        })
    });
    Report {
        kind: "image_get",
        head: Map::new(),
        items: Items::Many("files", items.collect()),
        table: Table::new(
            vec![Column::of(Word::File), Column::number(Word::Size), Column::of(Word::Id)],
            rows.collect(),
        ),
    }
}

pub(super) fn verify(lang: Lang, now_ms: i64, answer: &VerifyImageResponse) -> Report {
    let yes = |it: bool| lang.word(if it { Word::Yes } else { Word::No }).to_owned();
    let count =
        |number: u32, tone: Tone| Cell { text: number.to_string(), tone: if number == 0 { Tone::Plain } else { tone } };
    let row = |copy: &ImageCopy| {
        vec![
            format!("{} ({})", copy.site, copy.node_id).into(),
            copy.country.as_str().into(),
            copy.medium.as_str().into(),
            yes(copy.off_site).into(),
            yes(copy.placed).into(),
            yes(copy.receipt).into(),
            copy.chunks.to_string().into(),
            copy.good.to_string().into(),
            count(copy.bad, Tone::Bad),
            count(copy.unknown, Tone::Warn),
        ]
    };
    let item = |copy: &ImageCopy| {
        json!({
            "node_id": copy.node_id,
            "site": copy.site,
            "country": copy.country,
            "medium": copy.medium,
            "off_site": copy.off_site,
            "placed": copy.placed,
            "receipt": copy.receipt,
            "chunks": copy.chunks,
            "good": copy.good,
            "bad": copy.bad,
            "unknown": copy.unknown,
        })
    };
    let image = answer.image.clone().unwrap_or_default();
    let mut head = list_head(answer.as_of.as_ref());
    head.insert("image".to_owned(), value(&image, now_ms));
    head.insert("whole".to_owned(), answer.whole.into());
    let mut table = Table::new(
        vec![
            Column::of(Word::Site),
            Column::of(Word::Country).wide(),
            Column::of(Word::Medium),
            Column::of(Word::OffSite),
            Column::of(Word::Placed).wide(),
            Column::of(Word::Receipt).wide(),
            Column::number(Word::Chunks),
            Column::number(Word::Proven),
            Column::number(Word::Damaged),
            Column::number(Word::NotAsked),
        ],
        answer.copies.iter().map(row).collect(),
    );
    let say = if answer.whole { Say::ImageWhole } else { Say::ImageNotWhole };
    table.footer.push(lang.say(&say));
    Report { kind: "image_verify", head, items: Items::Many("copies", answer.copies.iter().map(item).collect()), table }
}

/// What verifying ends with.
pub(super) fn verdict(answer: &VerifyImageResponse) -> Result<Exit, Failure> {
    let sum = |count: fn(&ImageCopy) -> u32| answer.copies.iter().map(|copy| u64::from(count(copy))).sum::<u64>();
    let bad = sum(|copy| copy.bad);
    if !answer.whole {
        return Err(Failure::ImageDamaged { why: "SHA-256".to_owned() });
    }
    if bad > 0 {
        return Err(Failure::ImageDamaged { why: format!("{bad} chunks") });
    }
    Ok(if sum(|copy| copy.unknown) > 0 { Exit::Partial } else { Exit::Done })
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed answers for golden files.
    use super::*;
    use crate::golden::{MOMENT, at, id, zone};
    use plantao_client::error::{Error, Refusal};
    use plantao_proto::public::v1::{Confirmed, MediaType, WriteOutcome, write_outcome::Outcome};

    fn image(byte: u8, status: ImageStatus) -> Image {
        Image {
            id: id(byte),
            upload_id: id(byte + 100),
            patient_id: id(9),
            unit_id: id(1),
            visit_id: if byte == 3 { id(8) } else { Default::default() },
            consent_id: id(4),
            kind: "before\u{1b}".into(),
            media_type: if byte == 3 { MediaType::Jpeg.into() } else { MediaType::Dicom.into() },
            bytes: 1_936_540,
            taken_ms: MOMENT,
            committed_ms: MOMENT - if byte == 5 { OFF_SITE_MS_MAX.cast_signed() } else { 60_000 },
            sender_id: id(77),
            thumbnail: byte == 3,
            status: status.into(),
            copies: status as u32,
            sites: 2,
            off_site: status == ImageStatus::Protected,
            ..Default::default()
        }
    }

    pub(crate) fn list(lang: Lang) -> Report {
        use ImageStatus::{AtRisk, Committed, Protected, Replicated};
        let images = [image(3, Protected), image(5, Replicated), image(6, Committed), image(7, AtRisk)];
        super::list(lang, &zone(), Some(&at()), MOMENT, &images)
    }

    fn told() -> Image {
        let sha256 = vec![0xab; 32].into();
        let (name, remarks) = ("joelho\u{202e}.jpg".into(), "antes\u{1b}[2J".into());
        Image { sha256, name, remarks, ..image(3, ImageStatus::Replicated) }
    }

    pub(crate) fn show(lang: Lang) -> Report {
        super::show(lang, &zone(), Some(&at()), MOMENT, &told())
    }

    pub(crate) fn put(lang: Lang) -> Report {
        let committed = |changed| ImageCommitted {
            as_of: Some(at()),
            outcome: Some(WriteOutcome {
                outcome: Some(Outcome::Confirmed(Confirmed { version: 1, changed })),
                index: 7,
            }),
            image: Some(told()),
        };
        let put = |file: &str, byte, result| Put {
            file: file.into(),
            id: Id::from_bytes([byte; 16]),
            bytes: 1_936_540,
            result,
        };
        let refusal = Refusal {
            code: 1302,
            message: "the consent does not cover clinical images of this patient now\u{1b}".into(),
            help: "grant another".into(),
            held: None,
            current_version: None,
            existing_patient: None,
            index: 41,
            request_id: Id::from_bytes([88; 16]),
        };
        let puts = [
            put("fotos/0.jpg", 3, Ok(committed(true))),
            put("fotos/1.jpg", 4, Ok(committed(false))),
            put("fotos/\u{1b}2.jpg", 5, Err(PutError::Call(Error::Refused(Box::new(refusal))))),
            put("fotos/3.jpg", 6, Err(PutError::Waiting { message: "waiting for off-site".into() })),
        ];
        let totals = PutTotals::of(&puts, &["fotos/notas.txt".into()], Duration::from_millis(250));
        super::put(lang, MOMENT, &puts, &totals)
    }

    pub(crate) fn get(lang: Lang) -> Report {
        let header = ImageHeader {
            image: Some(told()),
            media_type: MediaType::Jpeg.into(),
            bytes: 1_936_540,
            length: 1_936_540,
            ..Default::default()
        };
        let id = Id::from_bytes([3; 16]);
        got(lang, &[(id, format!("fotos/{id}.jpg").into(), header)])
    }

    pub(super) fn answer(bad: u32, unknown: u32, whole: bool) -> VerifyImageResponse {
        let copy = |node_id, site: &str, off_site, bad, unknown| ImageCopy {
            node_id,
            site: site.into(),
            country: "BR".into(),
            medium: if off_site { "hdd" } else { "ssd" }.into(),
            off_site,
            placed: true,
            receipt: true,
            chunks: 3,
            good: 3 - bad - unknown,
            bad,
            unknown,
        };
        let copies = vec![copy(1, "centro", false, bad, 0), copy(3, "cofre", true, 0, unknown)];
        VerifyImageResponse { as_of: Some(at()), image: Some(told()), whole, copies }
    }

    pub(crate) fn verify(lang: Lang) -> Report {
        super::verify(lang, MOMENT, &answer(1, 2, true))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn damage_is_never_exit_0() {
        assert_eq!(verdict(&samples::answer(0, 0, true)).unwrap(), Exit::Done);
        assert_eq!(verdict(&samples::answer(0, 1, true)).unwrap(), Exit::Partial);
        assert_eq!(verdict(&samples::answer(1, 0, true)).unwrap_err().exit(), Exit::Integrity);
        assert_eq!(verdict(&samples::answer(0, 0, false)).unwrap_err().exit(), Exit::Integrity);
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(0, Lang::En), "0 B");
        assert_eq!(size(1_023, Lang::PtBr), "1023 B");
        assert_eq!(size(1_936_540, Lang::PtBr), "1,8 MiB");
        assert_eq!(size(2 << 30, Lang::En), "2.0 GiB");
    }
}
