//! Ids as people type them: a UUID, a label such as `centro-prof-1`, or the beginning of an id where a list is at hand.

use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::text::Word;
use plantao_client::id::{Id, LabelKind, id_for_label};

/// A prefix shorter than this says too little.
const PREFIX_CHARS_MIN: usize = 4;
/// As long as the ids of any sender that we know of.
const LABEL_CHARS_MAX: usize = 64;
/// How many matches of an ambiguous prefix are named.
const MATCHES_SHOWN: usize = 5;

/// An id of a message as text; empty when there is none.
pub(crate) fn text(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    match Id::from_wire(bytes) {
        Ok(id) => id.to_string(),
        // A digest, or an id of a length that this version does not know.
        Err(_) => hex(bytes),
    }
}

/// Bytes in lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A UUID, or a label that a file gave it; nobody is asked.
pub(crate) fn direct(what: Word, kind: LabelKind, text: &str) -> Result<Id, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let label = !text.is_empty()
        && text.len() <= LABEL_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    // Almost a UUID is a slip of the finger, not a label.
    let slip = text.len() > 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if label && !slip { Ok(id_for_label(kind, text)) } else { Err(Failure::BadId { what, text: text.to_owned() }) }
}

/// Which of `candidates` (id and label; labels may be empty) is meant: by label, or by a prefix that only one has.
pub(crate) fn pick(what: Word, kind: LabelKind, text: &str, candidates: &[(Id, String)]) -> Result<Id, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let one_of = |matches: Vec<Id>| match matches.as_slice() {
        [] => None,
        [id] => Some(Ok(*id)),
        many => Some(Err(Failure::AmbiguousId {
            what,
            text: text.to_owned(),
            matches: many.iter().take(MATCHES_SHOWN).map(Id::to_string).collect(),
        })),
    };
    let labelled = candidates.iter().filter(|(_, label)| label == text && !text.is_empty()).map(|(id, _)| *id);
    if let Some(found) = one_of(labelled.collect()) {
        return found;
    }
    let id = direct(what, kind, text)?;
    if candidates.iter().any(|(candidate, _)| *candidate == id) {
        return Ok(id);
    }
    let prefix = text.replace('-', "").to_ascii_lowercase();
    if prefix.len() >= PREFIX_CHARS_MIN && prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let begins = |id: &Id| hex(id.as_bytes()).starts_with(&prefix);
        let matches = candidates.iter().filter(|(id, _)| begins(id)).map(|(id, _)| *id);
        if let Some(found) = one_of(matches.collect()) {
            return found;
        }
    }
    Err(Failure::NotFound { what, text: text.to_owned() })
}

/// A unit, by id, short name or prefix.
pub(crate) async fn unit(cluster: &Gateway, text: &str) -> Result<Id, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let (_, units) = cluster.units().await?;
    let candidates = units.iter().filter_map(|unit| Some((Id::from_wire(&unit.id).ok()?, unit.slug.clone())));
    pick(Word::Unit, LabelKind::Unit, text, &candidates.collect::<Vec<_>>())
}

/// As [`unit`], where it may be left out.
pub(crate) async fn unit_option(cluster: &Gateway, text: Option<&str>) -> Result<Option<Id>, Failure> {
    match text {
        None => Ok(None),
        Some(text) => unit(cluster, text).await.map(Some),
    }
}

/// A professional, by id, label or prefix.
pub(crate) async fn practitioner(cluster: &Gateway, text: &str) -> Result<Id, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let (_, all) = cluster.practitioners(None).await?;
    let candidates = all.iter().filter_map(|one| Some((Id::from_wire(&one.id).ok()?, one.label.clone())));
    pick(Word::Practitioner, LabelKind::Practitioner, text, &candidates.collect::<Vec<_>>())
}

/// A room, by id, label or prefix.
pub(crate) async fn room(cluster: &Gateway, text: &str) -> Result<Id, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let (_, all) = cluster.rooms(None).await?;
    let candidates = all.iter().filter_map(|one| Some((Id::from_wire(&one.id).ok()?, one.label.clone())));
    pick(Word::Room, LabelKind::Room, text, &candidates.collect::<Vec<_>>())
}

/// A patient, by id, label or prefix.
pub(crate) async fn patient(cluster: &Gateway, text: &str) -> Result<Id, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let (_, all) = cluster.patients().await?;
    let candidates = all.iter().filter_map(|one| Some((Id::from_wire(&one.id).ok()?, String::new())));
    pick(Word::Patient, LabelKind::Patient, text, &candidates.collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const A: &str = "875ac127-ec8a-41b8-bb68-0c2161c61913";
    const B: &str = "875ac127-ec8a-41b8-bb68-0c2161c61914";

    fn candidates() -> Vec<(Id, String)> {
        vec![(A.parse().unwrap(), "centro-prof-1".into()), (B.parse().unwrap(), "centro-prof-2".into())]
    }

    fn find(text: &str) -> Result<Id, Failure> {
        pick(Word::Practitioner, LabelKind::Practitioner, text, &candidates())
    }

    #[test]
    fn an_id_is_found_by_uuid_label_or_unique_prefix() {
        assert_eq!(find(A).unwrap().to_string(), A);
        assert_eq!(find("centro-prof-2").unwrap().to_string(), B);
        assert_eq!(find("875ac127-ec8a-41b8-bb68-0c2161c61914").unwrap().to_string(), B);
        assert_eq!(find("875AC127EC8A41B8BB680C2161C6191").map_err(|e| e.exit().code()), Err(7), "begins both");
        let one = [(B.parse().unwrap(), String::new())];
        let found = pick(Word::Patient, LabelKind::Patient, "875a", &one).unwrap();
        assert_eq!(found.to_string(), B);
        let derived = [(id_for_label(LabelKind::Patient, "p-1"), String::new())];
        assert_eq!(pick(Word::Patient, LabelKind::Patient, "p-1", &derived).unwrap(), derived[0].0);
    }

    #[test]
    fn what_names_nothing_or_two_things_is_refused() {
        assert!(matches!(find("875a"), Err(Failure::AmbiguousId { matches, .. }) if matches.len() == 2));
        assert!(matches!(find("875"), Err(Failure::NotFound { .. })));
        assert!(matches!(find("moema-prof-9"), Err(Failure::NotFound { .. })));
        for text in ["", " ", "a b", "ação", "x\u{1b}", &"x".repeat(65)] {
            assert!(matches!(find(text), Err(Failure::BadId { .. })), "{text:?}");
        }
        let slip = "875ac127-ec8a-41b8-bb68-0c2161c6191";
        assert!(direct(Word::Record, LabelKind::Record, slip).is_err());
    }
}
