//! The copies of single objects, as their holders tell of them now. Nobody is challenged here: that is the proof's.

use super::evidence::States;
use super::prover::{Facts, ProveError, Prover, state_places};
use super::report::Answer;
use super::safety::{Place, Safety, Verdict};
use super::witness::Witness;
use crate::chunks::partition_of;
use crate::images::PeerError;
use crate::images::convert::{HAVE_MAX, HeldReport, Refusal};
use plantao_domain::rows::{self, ImageCursor, ImageRow};
use plantao_domain::view::Order;
use plantao_domain::{ChunkId, ImageId, NodeId, PatientId, StoreIncarnation, View, ViewFault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Which objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopiesOf {
    /// One image.
    Image(ImageId),
    /// The images of a patient by the time they were taken, beyond a place, so many.
    Patient(PatientId, Option<ImageCursor>, usize),
    /// All images by id, after one, so many.
    Images(Option<ImageId>, usize),
    /// The replicated state.
    State,
}

/// A copy of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyOf {
    /// Where.
    pub place: Place,
    /// The node's name.
    pub name: String,
    /// Where it stands.
    pub site: String,
    /// In which country.
    pub country: String,
    /// What it had to say.
    pub answer: Answer,
    /// Chunks that it should have; 0 for the state.
    pub chunks: u32,
    /// Chunks that it has.
    pub held: u32,
    /// Each was checked at most so long ago.
    pub check_age: Duration,
}

/// An object with its copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectCopies {
    /// Which image; `None` for the state.
    pub image: Option<ImageId>,
    /// Its size; 0 for the state.
    pub bytes: u64,
    /// One for each node that should have it.
    pub copies: Vec<CopyOf>,
    /// What those that are whole come to.
    pub safety: Safety,
    /// Copies that are not whole.
    pub errors: u32,
    /// The sum of it.
    pub verdict: Verdict,
}

/// Some objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopiesPage {
    /// Log index of the expectation.
    pub applied_index: u64,
    /// In the order asked for.
    pub objects: Vec<ObjectCopies>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<ImageCursor>,
}

/// An image that is looked at.
struct Wanted {
    id: ImageId,
    bytes: u64,
    placement: Vec<NodeId>,
    chunks: BTreeSet<ChunkId>,
}

fn wanted(view: &dyn View, id: ImageId, row: &ImageRow) -> Result<Wanted, ViewFault> {
    let placement = rows::upload(view, row.upload)?.map(|upload| upload.placement).unwrap_or_default();
    let mut chunks = BTreeSet::new();
    let mut after = None;
    loop {
        let page = rows::parts(view, row.upload, after, rows::PAGE_ROWS_MAX)?;
        chunks.extend(page.iter().flat_map(|(_, part)| part.chunks.iter().map(|entry| entry.chunk)));
        match page.last() {
            Some((last, _)) if page.len() == rows::PAGE_ROWS_MAX => after = Some(*last),
            _ => return Ok(Wanted { id, bytes: row.bytes, placement, chunks }),
        }
    }
}

type Found = (Vec<Wanted>, Option<ImageCursor>);

fn find(view: &dyn View, of: CopiesOf) -> Result<Found, ViewFault> {
    let (page, limit) = match of {
        CopiesOf::State => return Ok((Vec::new(), None)),
        CopiesOf::Image(id) => (rows::image(view, id)?.map(|row| (id, row)).into_iter().collect(), usize::MAX),
        CopiesOf::Patient(patient, after, limit) => {
            (rows::images_of_patient(view, patient, None, Order::Ascending, after, limit)?, limit)
        }
        CopiesOf::Images(after, limit) => (rows::images(view, after, limit)?, limit),
    };
    let next = page.last().filter(|_| page.len() == limit);
    let next = next.map(|(id, row)| ImageCursor { at: row.taken_at, image: *id });
    let found = page.iter().map(|(id, row)| wanted(view, *id, row)).collect::<Result<_, _>>()?;
    Ok((found, next))
}

/// What a node says of some chunks.
struct Told {
    answer: Answer,
    held: Option<HeldReport>,
    here: BTreeSet<ChunkId>,
}

async fn ask(witness: &dyn Witness, registered: Option<StoreIncarnation>, node: NodeId, ids: Vec<ChunkId>) -> Told {
    let nothing = |answer| Told { answer, held: None, here: BTreeSet::new() };
    let held = match witness.held(node).await {
        Ok(held) => held,
        Err(PeerError::Refused { refusal: Refusal::NoStore, .. }) => return nothing(Answer::NoStore),
        Err(_) => return nothing(Answer::Silent),
    };
    if registered != Some(held.incarnation) {
        return nothing(Answer::NoStore);
    }
    let mut here = BTreeSet::new();
    for batch in ids.chunks(HAVE_MAX) {
        let Ok(answers) = witness.have(node, batch).await else { return nothing(Answer::Silent) };
        here.extend(batch.iter().zip(answers).filter(|(_, bytes)| bytes.is_some()).map(|(id, _)| *id));
    }
    Told { answer: Answer::Answered, held: Some(held), here }
}

/// Asks the holders of the objects.
pub(super) async fn read(prover: &Prover, of: CopiesOf) -> Result<CopiesPage, ProveError> {
    let members = prover.evidence.members();
    let (state, all) = (Arc::clone(&prover.examiner.state), members.clone());
    let look = move || {
        let applied_index = state.meta().applied.map_or(0, |entry| entry.index);
        Ok::<_, ViewFault>((applied_index, Facts::read(&*state, &all)?, find(&*state, of)?))
    };
    let looked = crate::work::blocking(look).await.map_err(|_| ProveError::CutOff)?;
    let (applied_index, facts, (wanted, next)) = looked?;
    // For disks that nodes declare, and for the state itself.
    let states = prover.evidence.compare(&members).await;
    if of == CopiesOf::State {
        return Ok(CopiesPage { applied_index, objects: vec![of_state(&facts, &states)], next: None });
    }
    let mut asked: BTreeMap<NodeId, BTreeSet<ChunkId>> = BTreeMap::new();
    for image in &wanted {
        for node in &image.placement {
            asked.entry(*node).or_default().extend(&image.chunks);
        }
    }
    let mut asking = JoinSet::new();
    for (node, ids) in asked {
        let registered = facts.nodes.get(&node).and_then(|known| known.store.as_ref()).map(|store| store.incarnation);
        let witness = Arc::clone(&prover.examiner.witness);
        asking.spawn(async move { (node, ask(&*witness, registered, node, ids.into_iter().collect()).await) });
    }
    let mut told = BTreeMap::new();
    while let Some(answer) = asking.join_next().await {
        told.extend(answer.ok());
    }
    let objects = wanted.iter().map(|image| of_image(&facts, &states, &told, image)).collect();
    Ok(CopiesPage { applied_index, objects, next })
}

fn of_image(facts: &Facts, states: &States, told: &BTreeMap<NodeId, Told>, image: &Wanted) -> ObjectCopies {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let copies = image.placement.iter().filter_map(|node| {
        let (told, known) = (told.get(node)?, facts.nodes.get(node)?);
        let oldest = |held: &HeldReport| {
            let ages = image.chunks.iter().filter_map(|id| held.partitions.get(usize::from(partition_of(id))));
            ages.map(|part| part.oldest_check_age).max().unwrap_or_default()
        };
        Some(CopyOf {
            place: facts.place(*node, told.held.as_ref(), states.last.get(node)),
            name: known.description.name.clone(),
            site: known.description.site.clone(),
            country: known.description.country.clone(),
            answer: told.answer,
            chunks: number(image.chunks.len()),
            held: number(image.chunks.intersection(&told.here).count()),
            check_age: told.held.as_ref().map(oldest).unwrap_or_default(),
        })
    });
    let copies = copies.collect();
    judged(Some(image.id), image.bytes, copies, |copy| copy.held == copy.chunks)
}

fn of_state(facts: &Facts, states: &States) -> ObjectCopies {
    let whole: BTreeMap<NodeId, Place> =
        state_places(facts, states).into_iter().map(|place| (place.node, place)).collect();
    let copies = facts.nodes.iter().map(|(node, known)| {
        let told = states.last.get(node);
        CopyOf {
            place: whole.get(node).cloned().unwrap_or_else(|| facts.place(*node, None, told)),
            name: known.description.name.clone(),
            site: known.description.site.clone(),
            country: known.description.country.clone(),
            answer: match told {
                None => Answer::Silent,
                Some(_) if whole.contains_key(node) => Answer::Answered,
                Some(_) => Answer::Refuted,
            },
            chunks: 0,
            held: 0,
            check_age: told.map(|told| told.check_age).unwrap_or_default(),
        }
    });
    judged(None, 0, copies.collect(), |_| true)
}

fn judged(image: Option<ImageId>, bytes: u64, copies: Vec<CopyOf>, is_whole: impl Fn(&CopyOf) -> bool) -> ObjectCopies {
    let whole = |copy: &&CopyOf| copy.answer == Answer::Answered && is_whole(copy);
    let places: Vec<&Place> = copies.iter().filter(whole).map(|copy| &copy.place).collect();
    let errors = u32::try_from(copies.len() - places.len()).unwrap_or(u32::MAX);
    let safety = Safety::of(places.iter().copied(), true);
    let found = Safety::of(places.iter().copied(), false);
    ObjectCopies { image, bytes, safety, errors, verdict: Verdict::of(found, safety, errors.into()), copies }
}
