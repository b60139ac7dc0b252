//! `plantao image put|get|list|show|verify`. Files go in under ids and come out under ids: a file's name is kept only
//! where `--keep-names` says so, and then sealed.

mod files;
mod view;

use crate::args::OfPatient;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::input;
use crate::session::Session;
use crate::text::{Say, Word};
use crate::when;
use clap::{Args, Subcommand};
use files::{Found, find};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use plantao_client::id::{Id, LabelKind};
use plantao_client::images::{
    self, FileSource, NewImage, Progress, PutError, PutOptions, ReadError, Replace, image_id, upload_id,
};
use plantao_proto::public::v1;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
#[cfg(test)]
pub(crate) use view::samples;
use view::{Put, PutTotals};

/// Longest remarks, in bytes, as the cluster takes them or more.
const REMARKS_BYTES_MAX: u64 = 4 << 10;
/// What a kind is when nobody says.
const KIND: &str = "photo";

/// Clinical images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Store images; ends when each is durable on two sites
    Put(PutArgs),
    /// Read images into files named by their ids; audited
    Get(GetArgs),
    /// List a patient's images
    List(OfPatient),
    /// Show what is known of an image, with name and remarks; audited
    Show {
        /// The image: id or label
        image: String,
    },
    /// Read an image on a node and ask each node for proof of its copy; audited
    Verify {
        /// The image: id or label
        image: String,
    },
}

/// What, and of whom.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// Files, and directories with all that is in them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Patient
    #[arg(long, value_name = "PATIENT")]
    patient: String,
    /// Consent that covers clinical images: id, label or beginning of an id
    #[arg(long, value_name = "CONSENT")]
    consent: String,
    /// Unit (default: that of the consent)
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Kind, such as before, after or exam: letters and digits
    #[arg(long, default_value = KIND)]
    kind: String,
    /// Appointment at which it was taken
    #[arg(long, value_name = "APPOINTMENT")]
    visit: Option<String>,
    /// When it was taken (default: when the file was last changed)
    #[arg(long, value_name = "TIME")]
    taken: Option<String>,
    /// Own id for the new object: UUID or label
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Remarks to keep sealed with the images; - is the standard input
    #[arg(long, value_name = "TEXT")]
    remarks: Option<String>,
    /// Keep the names of the files, sealed
    #[arg(long)]
    keep_names: bool,
    /// Images at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    at_once: u8,
    /// Longest wait without progress, also for the second site, in seconds
    #[arg(long, value_name = "SEC", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: u64,
}

/// Which, and where to.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The images: ids or labels
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Directory for the files; - writes the bytes of one image to the standard output
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// The small JPEG instead of the original
    #[arg(long)]
    thumbnail: bool,
    /// Only these bytes, both ends included, from 0: 0-1023, or 1024- up to the end
    #[arg(long, value_name = "FIRST-LAST", value_parser = range)]
    range: Option<(u64, u64)>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: ImageCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        ImageCommand::Put(args) => Box::pin(put(args, session)).await,
        ImageCommand::Get(args) => Box::pin(get(args, session)).await,
        ImageCommand::List(args) => {
            let cluster = session.cluster()?;
            let patient = ids::patient(&cluster, &args.patient).await?;
            let (at, images) = cluster.images(patient, args.newest_first).await?;
            session.list(&view::list(session.out.lang, &session.zone, at.as_ref(), when::now_ms(), &images))
        }
        ImageCommand::Show { image } => {
            let (at, image) = session.cluster()?.image(image_of(&image)?).await?;
            session.list(&view::show(session.out.lang, &session.zone, at.as_ref(), when::now_ms(), &image))
        }
        ImageCommand::Verify { image } => {
            let answer = session.cluster()?.verify_image(image_of(&image)?).await?;
            session.out.report(&view::verify(session.out.lang, when::now_ms(), &answer))?;
            view::verdict(&answer)
        }
    }
}

fn image_of(text: &str) -> Result<Id, Failure> {
    ids::direct(Word::Image, LabelKind::Image, text)
}

/// `FIRST-LAST` or `FIRST-` as offset and length; a length of 0 is up to the end.
fn range(text: &str) -> Result<(u64, u64), String> {
    let bad = || "first and last byte, such as 0-1023 or 1024-".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(bad)?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or_else(bad)
    };
    let first = number(first)?;
    if last.is_empty() {
        return Ok((first, 0));
    }
    let length = number(last)?.checked_sub(first).and_then(|length| length.checked_add(1)).ok_or_else(bad)?;
    Ok((first, length))
}

/// A bar over all files of a command; bytes that a cut took back are taken back here too.
struct Bar {
    bar: ProgressBar,
    by_file: Mutex<HashMap<usize, u64>>,
}

impl Bar {
    fn new(session: &Session, bytes: u64) -> Self {
        let bar = if session.out.quiet { ProgressBar::hidden() } else { ProgressBar::new(bytes) };
        let template = "{msg:16} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, by_file: Mutex::default() }
    }

    fn set(&self, file: usize, bytes: u64) {
        let mut by_file = self.by_file.lock().unwrap_or_else(PoisonError::into_inner);
        by_file.insert(file, bytes);
        self.bar.set_position(by_file.values().sum());
    }
}

/// What every image of a command has in common.
struct Common {
    patient: Id,
    unit: Id,
    visit: Option<Id>,
    consent: Id,
    kind: String,
    remarks: String,
    options: PutOptions,
}

async fn put(args: PutArgs, session: &Session) -> Result<Exit, Failure> {
    let taken = args.taken.as_deref().map(|text| session.zone.parse(text)).transpose()?;
    let visit = args.visit.as_deref().map(|text| ids::direct(Word::Appointment, LabelKind::Appointment, text));
    let visit = visit.transpose()?;
    let id = args.id.as_deref().map(image_of).transpose()?;
    let remarks = args.remarks.map(|text| if text == "-" { input::text(REMARKS_BYTES_MAX) } else { Ok(text) });
    let remarks = remarks.transpose()?.unwrap_or_default();
    let kind_fits = (1..=64).contains(&args.kind.len()) && args.kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !kind_fits {
        return Err(Failure::BadValue { field: "--kind", why: "it has 1 to 64 letters and digits".to_owned() });
    }
    let (files, skipped) = find(&args.paths, taken)?;
    if id.is_some() && files.len() != 1 {
        return Err(Failure::BadValue { field: "--id", why: "it is for one file".to_owned() });
    }
    let gateway = session.cluster()?;
    let patient = ids::patient(&gateway, &args.patient).await?;
    let (_, consents) = gateway.consents(patient).await?;
    let candidates = consents.iter().filter_map(|one| Some((Id::from_wire(&one.id).ok()?, String::new())));
    let consent = ids::pick(Word::Consent, LabelKind::Consent, &args.consent, &candidates.collect::<Vec<_>>())?;
    let unit = match &args.unit {
        Some(unit) => ids::unit(&gateway, unit).await?,
        // A consent that is not among them is for the cluster to refuse, with its reason; any unit will do until then.
        None => consents
            .iter()
            .find(|one| one.id == consent.as_bytes().as_slice())
            .and_then(|one| Id::from_wire(&one.unit_id).ok())
            .ok_or_else(|| Failure::NotFound { what: Word::Consent, text: args.consent.clone() })?,
    };
    let patience = Duration::from_secs(args.wait);
    let options = PutOptions { patience, ..PutOptions::default() };
    let common = Common { patient, unit, visit, consent, kind: args.kind, remarks, options };
    let bar = Bar::new(session, files.iter().map(|file| file.bytes).sum());
    let started = Instant::now();
    let mut equal: HashMap<(i64, u64), u32> = HashMap::new();
    let images: Vec<NewImage> = files
        .iter()
        .map(|file| {
            let nth = equal.entry((file.taken_ms, file.bytes)).or_default();
            *nth += 1;
            common.image(file, id, *nth - 1, args.keep_names)
        })
        .collect();
    let cluster = gateway.cluster();
    let (common, bar) = (&common, &bar);
    let putting = files.iter().zip(&images).enumerate().map(|(nth, (file, image))| async move {
        let done = put_one(cluster, common, file, image, |progress| match progress {
            Progress::Sent { bytes } | Progress::Resumed { bytes } => {
                bar.bar.set_message("");
                bar.set(nth, bytes);
            }
            Progress::Waiting { .. } => bar.bar.set_message(session.out.lang.word(Word::AwaitsSite)),
        });
        (nth, Box::pin(done).await)
    });
    // Collected first: a stream over a closure that borrows would not be `Send`.
    let putting: Vec<_> = putting.collect();
    let mut done: Vec<_> =
        futures_util::stream::iter(putting).buffer_unordered(usize::from(args.at_once)).collect().await;
    bar.bar.finish_and_clear();
    done.sort_by_key(|(nth, _)| *nth);
    let puts: Vec<Put> = files
        .iter()
        .zip(&images)
        .zip(done)
        .map(|((file, image), (_, result))| Put {
            file: file.path.clone(),
            id: image.image_id,
            bytes: file.bytes,
            result,
        })
        .collect();
    told(puts, &skipped, started.elapsed(), session)
}

fn told(mut puts: Vec<Put>, skipped: &[PathBuf], elapsed: Duration, session: &Session) -> Result<Exit, Failure> {
    let totals = PutTotals::of(&puts, skipped, elapsed);
    session.out.report(&view::put(session.out.lang, when::now_ms(), &puts, &totals))?;
    for path in skipped {
        session.out.note(&Say::NoImage { path: path.display().to_string() });
    }
    if totals.failed == 0 {
        session.out.note(&Say::ImagesPut { images: totals.put, unchanged: totals.unchanged, rate: totals.rate() });
        return Ok(if skipped.is_empty() { Exit::Done } else { Exit::Partial });
    }
    if let [Put { result: Err(_), .. }] = puts.as_slice()
        && let Some(Put { file, result: Err(error), .. }) = puts.pop()
    {
        return Err(put_failure(&file, error));
    }
    for put in &puts {
        if let Err(error) = &put.result {
            session.out.note(&Say::Issue {
                place: put.file.display().to_string(),
                code: error.code(),
                why: error.to_string(),
                help: error.help().to_owned(),
            });
        }
    }
    Ok(Exit::Partial)
}

async fn put_one(
    cluster: &plantao_client::Cluster,
    common: &Common,
    file: &Found,
    image: &NewImage,
    tell: impl FnMut(Progress),
) -> Result<v1::ImageCommitted, PutError> {
    let opened = std::fs::File::open(&file.path).and_then(FileSource::new);
    let source = opened.map_err(images::SourceError::Read)?;
    cluster.put_image_with(image, Arc::new(source), &common.options, tell).await
}

impl Common {
    fn image(&self, file: &Found, id: Option<Id>, nth: u32, keep_names: bool) -> NewImage {
        let image_id = id.unwrap_or_else(|| image_id(self.patient, &self.kind, file.taken_ms, file.bytes, nth));
        let name = file.path.file_name().filter(|_| keep_names).map(|name| name.to_string_lossy().into_owned());
        NewImage {
            upload_id: upload_id(image_id),
            image_id,
            patient_id: self.patient,
            unit_id: self.unit,
            visit_id: self.visit,
            consent_id: self.consent,
            kind: self.kind.clone(),
            media_type: file.media_type,
            taken_ms: file.taken_ms,
            name: name.unwrap_or_default(),
            remarks: self.remarks.clone(),
        }
    }
}

/// What a command ends with whose only image was not stored.
fn put_failure(path: &Path, error: PutError) -> Failure {
    match error {
        PutError::Call(error) => Failure::from(error),
        PutError::Waiting { message } => Failure::NotSafeYet { why: message },
        PutError::Source(images::SourceError::Read(source)) => Failure::ReadFile { path: path.to_owned(), source },
        error => Failure::ReadFile { path: path.to_owned(), source: std::io::Error::other(error.to_string()) },
    }
}

async fn get(args: GetArgs, session: &Session) -> Result<Exit, Failure> {
    let ids = args.images.iter().map(|text| image_of(text)).collect::<Result<Vec<_>, _>>()?;
    let gateway = session.cluster()?;
    let cluster = gateway.cluster();
    let (offset, length) = args.range.unwrap_or_default();
    let variant = if args.thumbnail { v1::ImageVariant::Thumbnail } else { v1::ImageVariant::Original };
    let request = |id: Id| v1::ReadImageRequest {
        read: Some(gateway.read()),
        image_id: id.to_wire(),
        variant: variant.into(),
        offset,
        length,
    };
    if args.out == Path::new("-") {
        let [id] = ids.as_slice() else {
            return Err(Failure::BadValue { field: "--out", why: "- takes the bytes of one image".to_owned() });
        };
        let written = cluster.read_image(request(*id), |piece| session.out.bytes(&piece)).await;
        return match written {
            // Flushes what is left.
            Ok(_) => session.out.raw(b"").map(|()| Exit::Done),
            Err(ReadError::Sink(error)) => Err(Failure::of_output(error)),
            Err(error) => Err(get_failure(Path::new("-"), error)),
        };
    }
    let bar = Bar::new(session, 0);
    let mut got = Vec::new();
    for (nth, id) in ids.into_iter().enumerate() {
        let name = |header: &v1::ImageHeader| file_name(id, header, args.thumbnail);
        let replace = if args.force { Replace::Always } else { Replace::Never };
        let saved = Box::pin(cluster.save_image(request(id), &args.out, name, replace, |bytes| {
            bar.set(nth, bytes);
        }));
        match saved.await {
            Ok((path, header)) => got.push((id, path, header)),
            Err(error) => {
                bar.bar.finish_and_clear();
                // What is there is told before the reason why the rest is not.
                session.out.report(&view::got(session.out.lang, &got))?;
                return Err(get_failure(&args.out, error));
            }
        }
    }
    bar.bar.finish_and_clear();
    session.out.report(&view::got(session.out.lang, &got))?;
    Ok(Exit::Done)
}

/// `<id>.jpg`, `<id>.thumbnail.jpg`, `<id>.1024-2047.part`: a part of an image is no image.
fn file_name(id: Id, header: &v1::ImageHeader, thumbnail: bool) -> String {
    let small = if thumbnail { ".thumbnail" } else { "" };
    if header.length < header.bytes {
        return format!("{id}{small}.{}-{}.part", header.offset, header.offset + header.length.saturating_sub(1));
    }
    format!("{id}{small}.{}", images::ending(header.media_type()))
}

fn get_failure(path: &Path, error: ReadError) -> Failure {
    match error {
        ReadError::Call(error) => Failure::from(error),
        ReadError::Sink(source) => Failure::WriteFile { path: path.to_owned(), source },
        ReadError::OtherDigest => Failure::ImageDamaged { why: "SHA-256".to_owned() },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends_that_belong_to_it() {
        assert_eq!(range("0-1023"), Ok((0, 1_024)));
        assert_eq!(range("7-7"), Ok((7, 1)));
        assert_eq!(range("1024-"), Ok((1_024, 0)));
        for bad in ["", "-", "-5", "5", "9-8", "0x1-2", "+1-2", "1-2-3", "0-18446744073709551615"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    // A part under the name of the whole would pass for it.
    #[test]
    fn files_are_named_by_id_and_a_part_never_as_the_whole() {
        let id = Id::from_bytes([7; 16]);
        let header = |offset, length| v1::ImageHeader {
            media_type: v1::MediaType::Png.into(),
            bytes: 100,
            offset,
            length,
            ..Default::default()
        };
        assert_eq!(file_name(id, &header(0, 100), false), format!("{id}.png"));
        assert_eq!(file_name(id, &header(0, 100), true), format!("{id}.thumbnail.png"));
        assert_eq!(file_name(id, &header(10, 20), false), format!("{id}.10-29.part"));
    }
}
