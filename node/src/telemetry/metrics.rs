//! Every metric, named once, with its help. Labels come from closed sets; no id of a patient or a person is ever one.

use crate::chunks::Figures;
use crate::consensus::{Role, Status};
use crate::gateway::Gateway;
use crate::images::keeping::{ImagesReport, Keeper};
use crate::transport::ReloadStatus;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::watch;

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $kind:ident, $unit:ident, $help:literal;)*) => {
        $($(#[$doc])* #[doc = $help] pub const $constant: &str = $name;)*

        /// Name, kind and help of each, for the reference in `docs/metrics.md`.
        pub const ALL: &[(&str, &str, &str)] = &[$(($name, stringify!($kind), $help),)*];

        fn describe() {
            $(names!(@$kind $name, $unit, $help);)*
        }
    };
    (@gauge $name:literal, $unit:ident, $help:literal) => { describe_gauge!($name, Unit::$unit, $help) };
    (@counter $name:literal, $unit:ident, $help:literal) => { describe_counter!($name, Unit::$unit, $help) };
    (@histogram $name:literal, $unit:ident, $help:literal) => { describe_histogram!($name, Unit::$unit, $help) };
}

names! {
    RAFT_TERM = "plantao_raft_term", gauge, Count, "Current term.";
    RAFT_LEADER = "plantao_raft_leader", gauge, Count, "1 while this node leads.";
    RAFT_LEADER_KNOWN = "plantao_raft_leader_known", gauge, Count, "1 while this node knows a leader.";
    RAFT_APPLIED = "plantao_raft_applied_index", gauge, Count, "Last log index applied.";
    RAFT_COMMITTED = "plantao_raft_committed_index", gauge, Count, "Last log index known to be committed.";
    RAFT_LAST = "plantao_raft_last_index", gauge, Count, "Last log index on this disk.";
    RAFT_LEADER_CONTACT = "plantao_raft_leader_contact_seconds", gauge, Seconds, "Since a leader was heard.";
    STATE_ROWS = "plantao_state_rows", gauge, Count, "Rows of the state.";
    JOURNAL_BACKLOG = "plantao_journal_backlog_entries", gauge, Count, "Read notes that wait for the log.";
    KEYRING_UNSEALED = "plantao_keyring_unsealed", gauge, Count, "1 with the root key, 0 sealed.";
    CERTIFICATE_LEFT = "plantao_certificate_left_seconds", gauge, Seconds, "Until this node's certificate expires.";
    CERTIFICATE_RENEWAL = "plantao_certificate_renewal_seconds", gauge, Seconds,
        "Until it should be replaced, with a third of its life left; negative after that.";
    CERTIFICATE_LIFE_LEFT = "plantao_certificate_life_left_ratio", gauge, Count,
        "Share of its life that this node's certificate has left, from 1 to 0.";
    CERTIFICATE_RELOAD_FAILED = "plantao_certificate_reload_failed", gauge, Count, "1 while the files cannot be used.";
    LINKS_CUT = "plantao_links_cut", gauge, Count, "Directions between two nodes that are up in which nothing gets through.";
    DISK_FREE = "plantao_disk_free_bytes", gauge, Bytes, "Free bytes of the disk below data or chunks.";
    DISK_SIZE = "plantao_disk_size_bytes", gauge, Bytes, "Size of that disk.";
    REQUESTS = "plantao_requests_total", counter, Count, "Requests by plane and result.";
    REQUEST_SECONDS = "plantao_request_seconds", histogram, Seconds, "Time of unary requests by plane.";
    CHUNKS_HELD = "plantao_chunks_held", gauge, Count, "Chunks of images on this disk.";
    CHUNK_BYTES_HELD = "plantao_chunk_bytes_held", gauge, Bytes, "Bytes of their files.";
    CHUNKS_BAD = "plantao_chunks_bad", gauge, Count, "Copies found bad on this disk since the start.";
    IMAGE_UPLOADS = "plantao_image_uploads", gauge, Count, "Uploads that this node has under way.";
    IMAGE_BYTES_IN = "plantao_image_received_bytes_total", counter, Bytes, "Bytes of images taken from programs.";
    IMAGE_BYTES_OUT = "plantao_image_sent_bytes_total", counter, Bytes, "Bytes of images given to programs.";
    IMAGES_COMMITTED = "plantao_images_committed_total", counter, Count, "Images committed through this node.";
    CHUNKS_HEALED = "plantao_chunks_healed_total", counter, Count, "Copies of this disk that a read replaced.";
    CHUNKS_HEDGED = "plantao_chunks_hedged_total", counter, Count, "Reads of a chunk that asked a further node.";
    COPIES_EXPECTED_BYTES = "plantao_image_copies_expected_bytes", gauge, Bytes,
        "Bytes of chunks that committed images place on this node.";
    COPIES_BACKLOG = "plantao_image_copies_backlog_chunks", gauge, Count,
        "Chunks that this node should hold and has no receipt for.";
    COPIES_BACKLOG_BYTES = "plantao_image_copies_backlog_bytes", gauge, Bytes, "Bytes of these chunks.";
    COPIES_BACKLOG_SECONDS = "plantao_image_copies_backlog_seconds", gauge, Seconds,
        "How long the backlog takes over this node's links; NaN while nobody can tell.";
    COPIES_OLDEST_CHECK = "plantao_image_copies_oldest_check_seconds", gauge, Seconds,
        "Since the oldest check of a copy on this node.";
    COPIES_FETCHED = "plantao_image_copies_fetched_total", counter, Count, "Chunks fetched from other nodes.";
    COPIES_FETCHED_BYTES = "plantao_image_copies_fetched_bytes_total", counter, Bytes, "Bytes of these chunks.";
    COPIES_WITHOUT_SOURCE = "plantao_image_copies_without_source_chunks", gauge, Count,
        "Chunks that this node should hold and that no node could give.";
    COPIES_UNLINKED = "plantao_image_copies_unlinked_total", counter, Count, "Left-over chunks that were deleted.";
    TOMBSTONES = "plantao_image_tombstones", gauge, Count, "Chunks that wait to be deleted on some node.";
    UPTIME = "plantao_uptime_seconds", gauge, Seconds, "Since this process started.";
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
#[error("the metrics listener cannot start on {address}")]
pub struct MetricsError {
    address: SocketAddr,
    #[source]
    source: metrics_exporter_prometheus::BuildError,
}

/// Starts the listener. Call once per process, inside the runtime.
///
/// # Errors
/// The address cannot be used, or a recorder is there already.
pub fn serve(address: SocketAddr) -> Result<(), MetricsError> {
    let built = PrometheusBuilder::new().with_http_listener(address);
    built.install().map_err(|source| MetricsError { address, source })?;
    describe();
    Ok(())
}

/// One finished request.
pub fn request(plane: &'static str, result: &'static str, took: Duration) {
    counter!(REQUESTS, "plane" => plane, "result" => result).increment(1);
    histogram!(REQUEST_SECONDS, "plane" => plane).record(took.as_secs_f64());
}

/// Bytes of an image that came.
pub fn image_bytes_in(bytes: usize) {
    counter!(IMAGE_BYTES_IN).increment(bytes as u64);
}

/// Bytes of an image that were given.
pub fn image_bytes_out(bytes: usize) {
    counter!(IMAGE_BYTES_OUT).increment(bytes as u64);
}

/// An image was committed.
pub fn image_committed() {
    counter!(IMAGES_COMMITTED).increment(1);
}

/// A read replaced a copy that was missing or bad here.
pub fn chunk_healed() {
    counter!(CHUNKS_HEALED).increment(1);
}

/// A read asked a further node.
pub fn chunk_hedged() {
    counter!(CHUNKS_HEDGED).increment(1);
}

/// What this node has of images.
pub fn images(uploads: usize, figures: Option<&Figures>) {
    // Told as zero before the first of them happens: an alert on a rate needs the beginning.
    for name in [IMAGE_BYTES_IN, IMAGE_BYTES_OUT, IMAGES_COMMITTED, CHUNKS_HEALED, CHUNKS_HEDGED] {
        counter!(name).increment(0);
    }
    gauge!(IMAGE_UPLOADS).set(number(uploads as u64));
    if let Some(figures) = figures {
        gauge!(CHUNKS_HELD).set(number(figures.held.count));
        gauge!(CHUNK_BYTES_HELD).set(number(figures.held.bytes));
        gauge!(CHUNKS_BAD).set(number(figures.bad.iter().sum()));
    }
}

fn number(value: u64) -> f64 {
    // Indexes stay far below 2^53; what is lost beyond is not worth a cast that panics.
    #[allow(clippy::cast_precision_loss)]
    {
        value as f64
    }
}

/// Refreshes what is told of images, for as long as the node runs.
pub async fn watch_copies(keeper: Keeper) {
    let mut tick = tokio::time::interval(Duration::from_secs(2));
    loop {
        tick.tick().await;
        let (chunks, bytes) = keeper.figures().fetched();
        counter!(COPIES_FETCHED).absolute(chunks);
        counter!(COPIES_FETCHED_BYTES).absolute(bytes);
        counter!(COPIES_UNLINKED).absolute(keeper.figures().unlinked());
        gauge!(COPIES_WITHOUT_SOURCE).set(number(keeper.figures().without_source()));
        if let Some(directory) = keeper.own_directory() {
            gauge!(COPIES_OLDEST_CHECK).set(directory.oldest_check_age.as_secs_f64());
        }
        // A state that cannot be read stops the node elsewhere.
        if let Ok(ImagesReport { head, nodes, .. }) = keeper.own_report() {
            gauge!(TOMBSTONES).set(number(head.tombstones));
            if let Some(own) = nodes.first() {
                gauge!(COPIES_EXPECTED_BYTES).set(number(own.expected.bytes));
                gauge!(COPIES_BACKLOG).set(number(own.backlog.amount.chunks));
                gauge!(COPIES_BACKLOG_BYTES).set(number(own.backlog.amount.bytes));
                gauge!(COPIES_BACKLOG_SECONDS).set(own.backlog.time.map_or(f64::NAN, |time| time.as_secs_f64()));
            }
        }
    }
}

/// Refreshes how full the disks are, for as long as the node runs; `places` are directories by what they are for.
pub async fn watch_disks(places: [(&'static str, PathBuf); 2]) {
    let mut tick = tokio::time::interval(Duration::from_secs(10));
    loop {
        tick.tick().await;
        for (place, directory) in &places {
            let directory = directory.clone();
            // A disk of another computer may keep the one who asks waiting.
            let asked = crate::work::blocking(move || rustix::fs::statvfs(&directory)).await;
            // One that is not there is told by whoever needs it.
            let Ok(Ok(figures)) = asked else { continue };
            gauge!(DISK_FREE, "disk" => *place).set(number(figures.f_bavail.saturating_mul(figures.f_frsize)));
            gauge!(DISK_SIZE, "disk" => *place).set(number(figures.f_blocks.saturating_mul(figures.f_frsize)));
        }
    }
}

/// Refreshes the gauges for as long as the node runs.
pub async fn watch_node(gateway: Gateway, certificate: watch::Receiver<ReloadStatus>, started: Instant) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let Status { role, term, leader, last_index, committed_index, applied_index, members, .. } =
            gateway.consensus().status();
        let voters: Vec<u64> = members.iter().filter(|member| member.voter).map(|member| member.id).collect();
        let links = gateway.consensus().links().links(&voters, Instant::now());
        gauge!(LINKS_CUT).set(number(links.iter().filter(|link| link.cut).count() as u64));
        gauge!(RAFT_TERM).set(number(term));
        gauge!(RAFT_LEADER).set(f64::from(u8::from(role == Role::Leader)));
        gauge!(RAFT_LEADER_KNOWN).set(f64::from(u8::from(leader.is_some())));
        gauge!(RAFT_APPLIED).set(number(applied_index));
        gauge!(RAFT_COMMITTED).set(number(committed_index));
        gauge!(RAFT_LAST).set(number(last_index));
        if let Some(contact) = gateway.consensus().leader_contact() {
            gauge!(RAFT_LEADER_CONTACT).set(contact.as_secs_f64());
        }
        gauge!(STATE_ROWS).set(number(gateway.state().count()));
        gauge!(JOURNAL_BACKLOG).set(number(gateway.journal().backlog().borrow().waiting()));
        gauge!(KEYRING_UNSEALED).set(f64::from(u8::from(!gateway.keyring().is_sealed())));
        let now = gateway.clock().now().millis() / 1000;
        let left = certificate.borrow().not_after.saturating_sub(now);
        let renewal = certificate.borrow().renewal_due.saturating_sub(now);
        let sign = if renewal < 0 { -1.0 } else { 1.0 };
        gauge!(CERTIFICATE_RENEWAL).set(sign * number(renewal.unsigned_abs()));
        gauge!(CERTIFICATE_LEFT).set(number(u64::try_from(left).unwrap_or(0)));
        gauge!(CERTIFICATE_LIFE_LEFT).set(certificate.borrow().life_left(now));
        gauge!(CERTIFICATE_RELOAD_FAILED).set(f64::from(u8::from(certificate.borrow().is_failing())));
        gauge!(UPTIME).set(started.elapsed().as_secs_f64());
    }
}
