//! Taking an input apart, and changing bytes as it says.

/// Bytes from the front; zeros where there are no more.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub(super) fn number(&mut self) -> usize {
        usize::from(u16::from_be_bytes(self.array()))
    }

    /// At most so many.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left: (place u16, what to change there u8) again and again. At most one such change for each place counts, so that
    /// `bytes` differ afterwards exactly if this says so.
    pub(super) fn damage(mut self, bytes: &mut [u8]) -> bool {
        let before = bytes.to_vec();
        while !self.is_over() && !bytes.is_empty() {
            let at = self.number() % bytes.len();
            bytes[at] ^= self.byte();
        }
        bytes != before
    }
}

/// What a reader makes of bytes is read again as the same: `again` reads, and writes what it understood.
pub(super) fn assert_settled(made: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    assert_eq!(again(made).as_deref(), Some(made), "what was written for it is not read as it was written");
}

/// Accepted bytes are the only ones with their meaning.
pub(super) fn assert_canonical(bytes: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
    let made = again(bytes);
    if let Some(made) = &made {
        assert_eq!(made, bytes, "other bytes than these were accepted for the same");
        for end in [0, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(again(&bytes[..end]), None, "a part of it, {end} bytes, is accepted too");
        }
    }
    made.is_some()
}
