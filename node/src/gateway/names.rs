//! Patients by name: an index in memory, on unsealed nodes only, filled as it is asked for. It never touches the disk.

use plantao_domain::PatientId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Entries kept; beyond that, names are opened again at each search.
const NAMES_MAX: usize = 200_000;

#[derive(Default)]
pub(super) struct NameIndex(Mutex<BTreeMap<PatientId, (u32, Zeroizing<String>)>>);

impl NameIndex {
    /// Whether the folded name of this version holds `needle`; `None` when it is not known yet.
    pub(super) fn matches(&self, patient: PatientId, version: u32, needle: &str) -> Option<bool> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&patient).filter(|(known, _)| *known == version).map(|(_, name)| name.contains(needle))
    }

    pub(super) fn remember(&self, patient: PatientId, version: u32, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < NAMES_MAX || names.contains_key(&patient) {
            names.insert(patient, (version, Zeroizing::new(fold(name))));
        }
    }
}

/// Lower case without the accents of Portuguese and its neighbours: `Antônio` and `ANTONIO` are found alike.
pub(super) fn fold(name: &str) -> String {
    let folded = name.chars().flat_map(char::to_lowercase).map(|c| match c {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    });
    // Combining marks, for names that were typed decomposed.
    folded.filter(|c| !matches!(c, '\u{300}'..='\u{36f}')).collect()
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn accents_and_case_do_not_matter() {
        assert_eq!(fold("Antônio GONÇALVES"), "antonio goncalves");
        assert_eq!(fold("Anto\u{302}nio"), "antonio");
    }
}
