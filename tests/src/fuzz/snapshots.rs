//! Snapshots: parts in clear as a peer sends them.

use super::input::Input;
use plantao_node::again;
use plantao_node::storage::state::EntryId;

/// Rows made of the input, cut into parts; then damage to one of them, which must be found before the end counts. Without any
/// rows the rest of the input itself is offered as parts.
pub(super) mod snapshot {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let rows = [3, 0x14, 4, 1, 2, 3, 4, 0x20, 0, 0x40, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let whole = again::snapshot_of(&[(vec![0x14, 1], vec![7; 9])], EntryId { term: 1, node: 2, index: 3 }).1;
        let offered =
            whole.iter().flat_map(|part| [&u16::try_from(part.len()).unwrap().to_be_bytes(), part.as_slice()].concat());
        let offered = std::iter::once(0).chain(offered).collect();
        vec![
            rows.to_vec(),
            [rows.as_slice(), &[1, 0, 40, 1]].concat(),
            [rows.as_slice(), &[0, 0, 30, 128]].concat(),
            offered,
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let mut input = Input(data);
        let count = input.byte() % 32;
        if count == 0 {
            return offer(input);
        }
        // Keys ascend: a counter behind the first byte, which is one of the rules'.
        let rows: Vec<(Vec<u8>, Vec<u8>)> = (0..count)
            .map(|n| {
                let (kind, length) = (input.byte(), usize::from(input.byte()));
                (vec![0x10 + n * 7, kind, n], input.take(length).to_vec())
            })
            .collect();
        let (id, parts) = again::snapshot_of(&rows, EntryId { term: 2, node: 1, index: u64::from(count) });
        let whole: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(again::snapshot_parts(&id, &whole), (parts.clone(), true), "a whole snapshot is not taken");
        let number = usize::from(input.byte()) % parts.len();
        let mut damaged = parts.clone();
        if input.damage(&mut damaged[number]) {
            let damaged: Vec<&[u8]> = damaged.iter().map(Vec::as_slice).collect();
            let (made, ended) = again::snapshot_parts(&id, &damaged);
            assert!(!ended, "part {number} is not as it was made, and the end was taken");
            assert!(made.iter().zip(&damaged).all(|(made, part)| made == part));
        }
        // A part that is missing, one twice, two the other way round.
        let mut odd = whole.clone();
        odd.remove(number);
        assert!(!again::snapshot_parts(&id, &odd).1);
        odd.insert(number.min(odd.len()), whole[(number + 1) % whole.len()]);
        assert!(!again::snapshot_parts(&id, &odd).1 || odd == whole);
    }

    /// Lengths and parts: whatever is taken is what its maker would have written.
    fn offer(mut input: Input<'_>) {
        let mut parts = Vec::new();
        while !input.is_over() {
            let length = input.number();
            parts.push(input.take(length));
        }
        let id = parts.first().and_then(|part| part.get(2..18)?.try_into().ok()).unwrap_or_default();
        let (made, _) = again::snapshot_parts(&id, &parts);
        assert!(made.len() <= parts.len());
        assert!(made.iter().zip(&parts).all(|(made, part)| made == part), "a part was taken as another one");
    }
}
