//! The thread that writes: whatever queued up during one sync shares the next one.

use super::segment::Segments;
use super::{Backlog, NoteError, Read};
use crate::work::Worker;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Entries that share one sync at most.
const GROUP_MAX: usize = 1024;

pub(super) struct Request {
    pub(super) read: Read,
    pub(super) answer: oneshot::Sender<Result<(), NoteError>>,
}

pub(super) fn start(
    segments: Arc<Mutex<Segments>>,
    backlog: Arc<watch::Sender<Backlog>>,
    requests: mpsc::Receiver<Request>,
) -> io::Result<()> {
    Worker::start("journal", requests, GROUP_MAX, move |group| write(&segments, &backlog, group)).map(drop)
}

fn write(segments: &Mutex<Segments>, backlog: &watch::Sender<Backlog>, group: &mut Vec<Request>) {
    let mut segments = segments.lock().unwrap_or_else(PoisonError::into_inner);
    if segments.is_full() {
        for request in group.drain(..) {
            let _ = request.answer.send(Err(NoteError::Full));
        }
        return;
    }
    let result =
        if segments.is_broken() { Err(()) } else { segments.append(group.iter().map(|request| &request.read)) };
    let last = segments.last();
    drop(segments);
    let answer = match result {
        Ok(()) => {
            backlog.send_modify(|backlog| backlog.written = last);
            Ok(())
        }
        Err(()) => {
            // A failed sync may have lost pages that look written: nothing more is noted, so nothing more is read.
            backlog.send_modify(|backlog| backlog.broken = true);
            Err(NoteError::Broken)
        }
    };
    for request in group.drain(..) {
        // Whoever hung up needs no answer.
        let _ = request.answer.send(answer);
    }
}
