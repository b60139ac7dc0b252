//! What a disk does wrong, call by call.

use rustix::io::Errno;
use std::time::Duration;

/// What a program asks of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Read,
    Write,
    Sync,
    /// Names, lengths and rights are changed.
    Name,
    /// Names, lengths and rights are looked at.
    Look,
}

/// What becomes of a call that is not refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// As it should.
    Do,
    /// One bit of what is read is turned.
    Spoil,
    /// Nothing is done, and it is said that it was.
    Lie,
}

/// What is wrong now.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// So many calls of a kind are left until one fails.
    pub(super) fail: Option<(Call, u64)>,
    /// So many reads are left until one is spoilt.
    pub(super) spoil: Option<u64>,
    /// Bytes that may still be written.
    pub(super) room: Option<u64>,
    /// A call waits so long, all or syncs alone.
    pub(super) stall: Option<(Duration, bool)>,
    pub(super) lies: bool,
    pub(super) is_read_only: bool,
    /// Of a healthy disk: a sync takes between these, in milliseconds.
    pub(super) sync_ms: Option<(u64, u64)>,
    /// Calls that did not get what they should, since the last [`Self::heal`].
    fired: u64,
    epoch: u64,
}

impl Faults {
    /// Ends every fault; gives how many calls met one. How long a sync takes is no fault.
    pub(super) fn heal(&mut self) -> u64 {
        let (sync_ms, epoch, fired) = (self.sync_ms, self.epoch + 1, self.fired);
        *self = Self { sync_ms, epoch, ..Self::default() };
        fired
    }

    /// Changes with each [`Self::heal`].
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Calls that met a fault since the last [`Self::heal`].
    pub(super) const fn fired(&self) -> u64 {
        self.fired
    }

    /// How long a call waits at most.
    pub(super) fn stall(&mut self, call: Call) -> Option<Duration> {
        let (most, syncs_only) = self.stall?;
        (!syncs_only || call == Call::Sync).then(|| {
            self.fired += 1;
            most
        })
    }

    /// Between which milliseconds a call takes its time on a healthy disk.
    pub(super) fn latency(&self, call: Call) -> Option<(u64, u64)> {
        self.sync_ms.filter(|_| call == Call::Sync)
    }

    /// What becomes of a call that writes `size` bytes.
    pub(super) fn judge(&mut self, call: Call, size: u64) -> Result<Verdict, Errno> {
        let judged = self.decide(call, size);
        if judged != Ok(Verdict::Do) {
            self.fired += 1;
        }
        judged
    }

    fn decide(&mut self, call: Call, size: u64) -> Result<Verdict, Errno> {
        if let Some((of, left)) = &mut self.fail
            && *of == call
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.fail = None;
                return Err(Errno::IO);
            }
        }
        if self.is_read_only && matches!(call, Call::Write | Call::Name) {
            return Err(Errno::ROFS);
        }
        match (call, &mut self.room, &mut self.spoil) {
            (Call::Write, Some(room), _) => {
                *room = room.checked_sub(size).ok_or(Errno::NOSPC)?;
            }
            (Call::Name, Some(0), _) => return Err(Errno::NOSPC),
            (Call::Read, _, Some(left)) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.spoil = None;
                    return Ok(Verdict::Spoil);
                }
            }
            (Call::Sync, ..) if self.lies => return Ok(Verdict::Lie),
            _ => {}
        }
        Ok(Verdict::Do)
    }
}
