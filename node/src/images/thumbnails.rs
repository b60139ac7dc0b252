//! The small picture of an image that just came: made beside the upload, from its chunks, sealed as one of them. What a
//! picture is and how it is made small is `chunks::thumbnail`'s.

use super::copies::THUMBNAIL;
use super::session::{Intake, Session};
use super::{Images, content_type};
use crate::chunks::content_type::ContentType;
use crate::chunks::thumbnail::SOURCE_BYTES_MAX;
use crate::crypto::{SealedChunk, open_chunk, seal_chunk};
use plantao_domain::images::THUMBNAIL_BYTES_MAX;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// How long an image waits for its thumbnail, which is a convenience …
const THUMBNAIL_TIME_MAX: Duration = Duration::from_secs(3);
/// … and its thumbnail for the one worker that makes them.
const THUMBNAIL_TURN_MAX: Duration = Duration::from_secs(1);

impl Images {
    /// Begins to make the thumbnail once all of the image came.
    pub(super) fn derive_thumbnail(&self, session: &Arc<Session>, intake: &mut Intake) {
        let kind = content_type(session.row.media_type);
        let small = session.row.bytes <= SOURCE_BYTES_MAX as u64;
        let decodes = matches!(kind, ContentType::Jpeg | ContentType::Png);
        let is_there = session.look(|copies| copies.entry(THUMBNAIL).is_some());
        if intake.whole.is_some() && intake.thumbnail.is_none() && small && decodes && !is_there {
            let (images, session) = (self.clone(), Arc::clone(session));
            intake.thumbnail = Some(tokio::spawn(async move {
                if let Some(sealed) = make_thumbnail(&images, &session, kind).await
                    && !session.is_committed()
                {
                    session.add(THUMBNAIL, sealed);
                }
            }));
        }
    }
}

/// Waits for the small picture of an upload that has one coming, no longer than an image waits for it.
pub(super) async fn settle_thumbnail(intake: &mut Intake) {
    let Some(task) = intake.thumbnail.take() else { return };
    // Without it the image is as good; a task that is late finds the session gone or its part refused.
    let abort = task.abort_handle();
    if timeout(THUMBNAIL_TIME_MAX, task).await.is_err() {
        abort.abort();
    }
}

/// Reads the image back and makes it small. `None` whatever stands against it: an image without one is as good.
async fn make_thumbnail(images: &Images, session: &Arc<Session>, kind: ContentType) -> Option<SealedChunk> {
    let turn = timeout(THUMBNAIL_TURN_MAX, images.thumbnailer().turn()).await.ok()?.ok()?;
    let (cluster, patient) = (images.gateway().keyring().cluster(), session.row.patient);
    let mut whole = Zeroizing::new(Vec::with_capacity(usize::try_from(session.row.bytes).ok()?));
    for place in 0..session.chunk_count() {
        let deadline = Instant::now() + THUMBNAIL_TIME_MAX;
        if !session.wait_until(deadline, |copies| !copies.holders_of(place).is_empty()).await {
            return None;
        }
        let (entry, holders) = session.look(|copies| (copies.entry(place), copies.holders_of(place)));
        let id = entry?.chunk;
        let frame = images.fetch(id, &holders).await.ok()?;
        let key = Arc::clone(&session.key);
        let opening = move || open_chunk(cluster, patient, &key, id, &frame).ok();
        whole.extend_from_slice(&crate::work::blocking(opening).await.ok()??);
    }
    let small = Zeroizing::new(turn.make(kind, whole).await.ok()?);
    let fits = (1..=usize::try_from(THUMBNAIL_BYTES_MAX).ok()?).contains(&small.len());
    let key = Arc::clone(&session.key);
    let sealing = move || seal_chunk(cluster, patient, &key, &small);
    if fits { crate::work::blocking(sealing).await.ok() } else { None }
}
