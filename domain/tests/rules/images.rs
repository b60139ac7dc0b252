//! Images by example: the way of an upload, its ends, what is listed, and who may read.

use crate::world::*;
use plantao_domain::audit::{Action, Module, Object};
use plantao_domain::images::{
    ChunkEpoch, Copies, Holders, ImageStatus, LEASE_MS_MAX, UPLOAD_MS_MAX, gc_epoch, may_unlink, read_block,
};
use plantao_domain::rows::{self, Amount, ExpectedChunks, ImageCursor, PartOf, PlacedChunks, UploadState};
use plantao_domain::view::Order;
use plantao_domain::*;

const FIRST: PartOf =
    PartOf { upload: UploadId::from_bytes([14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), part: 0 };

fn done(world: &mut World, command: Command) {
    let outcome = world.send(command.clone());
    assert!(matches!(outcome, Outcome::Confirmed { changed: true, .. }), "{command:?}: {outcome:?}");
}

/// Image `n` of a patient, on these nodes by receipts before the commit.
fn bring(world: &mut World, n: u8, whom: u8, nodes: &[u8]) {
    let chunks = two_chunks(n, 100 + n);
    done(world, open_upload(n, n, whom));
    done(world, put_part(n, chunks.clone()));
    let epoch = gc_epoch(&world.rows).unwrap();
    let receipts: Vec<_> = nodes.iter().map(|node| receipt(n, &chunks, *node, *node, epoch)).collect();
    done(world, put_receipts(&receipts));
    done(world, commit_upload(n));
}

#[test]
fn an_image_is_there_with_its_second_site_and_not_before() {
    let mut world = imaging();
    let chunks = two_chunks(1, 2);
    let there = |world: &World| rows::image(&world.rows, image(1)).unwrap().is_some();
    let few = |sites| rejected(Rejection::TooFewSites { part: 0, sites });
    done(&mut world, open_upload(1, 1, 1));
    assert_eq!(world.send(open_upload(1, 1, 1)), confirmed(0, false));
    assert_eq!(world.send(commit_upload(1)), rejected(Rejection::ManifestIncomplete { part: 0 }));
    done(&mut world, put_part(1, chunks.clone()));
    assert_eq!(world.send(put_part(1, chunks.clone())), confirmed(0, false));
    assert_eq!(world.send(commit_upload(1)), few(0));
    // Node 4 stands on the site of node 1.
    done(&mut world, put_receipts(&[receipt(1, &chunks, 1, 1, 0), receipt(1, &chunks, 4, 4, 0)]));
    assert_eq!(world.send(commit_upload(1)), few(1));
    assert!(
        !there(&world)
            && rows::images_of_patient(&world.rows, patient(1), None, Order::Ascending, None, 9).unwrap().is_empty()
    );
    done(&mut world, put_receipts(&[receipt(1, &chunks, 2, 2, 0)]));
    assert_eq!(world.send(put_receipts(&[receipt(1, &chunks, 2, 2, 0)])), confirmed(0, false));
    assert_eq!(world.send(commit_upload(1)), confirmed(1, true));
    assert!(there(&world));
    assert_eq!(world.send(commit_upload(1)), confirmed(1, false));
    assert_eq!(world.send(open_upload(1, 1, 1)), confirmed(0, false));
    let head = rows::images_head(&world.rows).unwrap();
    assert_eq!((head.images, head.image_bytes, head.open_uploads), (1, 1_048_577, 0));
    let row = rows::upload(&world.rows, upload(1)).unwrap().unwrap();
    assert_eq!((row.state, row.content), (UploadState::Committed(time(world.now - 2000)), sealed("")));
}

/// One entry after the intent does the same as three.
#[test]
fn a_small_image_takes_two_entries() {
    let chunks = two_chunks(1, 101);
    let receipts = vec![receipt(1, &chunks, 1, 1, 0), receipt(1, &chunks, 3, 3, 0)];
    let (mut long, mut short) = (imaging(), imaging());
    for world in [&mut long, &mut short] {
        done(world, open_upload(1, 1, 1));
        world.now += 5000;
    }
    done(&mut short, commit_whole(1, chunks.clone(), receipts.clone()));
    assert_eq!(short.send(commit_whole(1, chunks.clone(), receipts.clone())), confirmed(1, false));
    long.now -= 2000;
    for command in [put_part(1, chunks), put_receipts(&receipts), commit_upload(1)] {
        done(&mut long, command);
    }
    // All but the time that stands in a receipt.
    let rows_of = |world: &World| -> Vec<_> {
        world.objects().into_iter().filter(|(key, _)| key[0] != rows::prefix::RECEIPT).collect()
    };
    assert_eq!(rows_of(&short), rows_of(&long));
    assert_eq!(rows::receipts(&short.rows, FIRST).unwrap().len(), 2);
}

#[test]
fn a_lost_directory_takes_its_receipts_along() {
    let mut world = imaging();
    bring(&mut world, 1, 1, &[1, 2]);
    let status = |world: &World| {
        let holders = Holders::read(&world.rows).unwrap();
        Copies::of(&world.rows, &holders, upload(1)).unwrap().status(&holders)
    };
    let store = |world: &World, n| rows::store(&world.rows, NodeId(n)).unwrap().unwrap();
    let whole = Amount { parts: 1, chunks: 2, bytes: 1_048_577 + 212 };
    assert_eq!(status(&world), ImageStatus::Committed);
    assert_eq!((store(&world, 2).expected, store(&world, 2).received), (whole, whole));
    assert_eq!((store(&world, 3).expected, store(&world, 3).received), (whole, Amount::default()));

    done(&mut world, register_store(2, 22));
    assert_eq!(status(&world), ImageStatus::AtRisk);
    assert_eq!((store(&world, 2).expected, store(&world, 2).received), (whole, Amount::default()));
    let chunks = two_chunks(1, 101);
    assert_eq!(world.send(put_receipts(&[receipt(1, &chunks, 2, 2, 0)])), rejected(Rejection::StoreRefused));
    assert_eq!(world.send(register_store(2, 2)), rejected(Rejection::StoreRefused), "it never comes back");
    // One that counts is enough for the batch to be taken.
    let batch = [receipt(1, &chunks, 2, 2, 0), receipt(1, &chunks, 2, 22, 0), receipt(1, &chunks, 3, 3, 0)];
    done(&mut world, put_receipts(&batch[..1].iter().chain(&batch[2..]).copied().collect::<Vec<_>>()));
    assert_eq!(status(&world), ImageStatus::Committed);
    done(&mut world, put_receipts(&[batch[1], batch[2], batch[1]]));
    assert_eq!(status(&world), ImageStatus::Protected);
    assert_eq!((store(&world, 2).received, store(&world, 3).received), (whole, whole));

    // Another disk below the same directory; a directory that is given up.
    let mut moved = register_store(2, 22);
    if let Command::RegisterStore { medium, .. } = &mut moved {
        *medium = "hdd".into();
    }
    done(&mut world, moved);
    assert_eq!(status(&world), ImageStatus::Protected);
    let holders = Holders::read(&world.rows).unwrap();
    let copies = Copies::of(&world.rows, &holders, upload(1)).unwrap();
    assert_eq!((copies.copies, copies.sites, copies.off_site), (3, 3, true));
    let retire = Command::RetireStore { node: NodeId(3), incarnation: incarnation(3) };
    done(&mut world, retire.clone());
    assert_eq!(world.send(retire), confirmed(0, false));
    assert_eq!(status(&world), ImageStatus::Committed, "three holders are left, two have it");
    done(&mut world, Command::RetireStore { node: NodeId(4), incarnation: incarnation(4) });
    assert_eq!(status(&world), ImageStatus::Replicated, "as many as there are, none off-site");
    done(&mut world, register_store(3, 33));
    assert_eq!(world.send(register_store(3, 33)), confirmed(0, false));
}

#[test]
fn the_weakest_part_decides() {
    let mut world = imaging();
    let bytes = 513 * 1024 * 1024;
    let mut open = open_upload(1, 1, 1);
    if let Command::OpenUpload { image, .. } = &mut open {
        image.bytes = bytes;
    }
    done(&mut world, open);
    let entry = |n: u16| {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        images::ChunkEntry { chunk: ChunkId::from_bytes(id), stored_bytes: 1024 * 1024 + 106 }
    };
    let parts: Vec<Vec<_>> = vec![(0..512).map(entry).collect(), vec![entry(512)]];
    let of = |part: u32, node| {
        let chunks = &parts[part as usize];
        images::Receipt {
            part,
            digest: images::part_digest(upload(1), part, chunks),
            ..receipt(1, chunks, node, node, 0)
        }
    };
    for part in [1, 0] {
        let chunks = parts[part as usize].clone();
        let command = Command::PutManifestPart { upload: upload(1), part, chunks };
        let bytes = codec::encode_envelope(&world.envelope(command.clone())).len();
        assert!(bytes < codec::ENTRY_BYTES_MAX / 2, "{bytes} bytes in an entry");
        done(&mut world, command);
    }
    done(&mut world, put_receipts(&[of(0, 1), of(0, 2), of(0, 3), of(1, 1)]));
    assert_eq!(world.send(commit_upload(1)), rejected(Rejection::TooFewSites { part: 1, sites: 1 }));
    done(&mut world, put_receipts(&[of(1, 3)]));
    done(&mut world, commit_upload(1));
    let holders = Holders::read(&world.rows).unwrap();
    let copies = Copies::of(&world.rows, &holders, upload(1)).unwrap();
    assert_eq!((copies.copies, copies.sites, copies.off_site), (2, 2, true));
    assert_eq!(copies.nodes.into_iter().collect::<Vec<_>>(), [NodeId(1), NodeId(3)]);
    assert_eq!(rows::parts(&world.rows, upload(1), Some(0), 9).unwrap().len(), 1);
    // What node 2 should hold, whole and by partitions, in pages of any size.
    let all = |mut scan: ExpectedChunks, rows_max| {
        let mut found = Vec::new();
        while let Some(page) = scan.next_page(&world.rows, rows_max).unwrap() {
            found.extend(page);
        }
        found
    };
    let whole = all(ExpectedChunks::of_node(NodeId(2)), 100);
    assert_eq!(whole, (0..=512).map(|n| (entry(n).chunk, entry(n).stored_bytes)).collect::<Vec<_>>());
    let by_partition: Vec<_> = (0..=255).flat_map(|n| all(ExpectedChunks::of_partition(NodeId(2), n), 7)).collect();
    assert_eq!(by_partition, whole);
    assert!(all(ExpectedChunks::of_node(NodeId(4)), 100).is_empty());
}

/// Two images of one patient share a chunk and are placed differently: the chunk is named once, for both places, however
/// the pages fall.
#[test]
fn a_chunk_that_two_images_share_is_expected_wherever_either_is_placed() {
    let mut world = imaging();
    let chunks = [two_chunks(1, 2), two_chunks(1, 3)];
    for (n, chunks) in (1..).zip(&chunks) {
        done(&mut world, open_upload(n, n, 1));
        done(&mut world, put_part(n, chunks.clone()));
    }
    done(&mut world, Command::RePlace { upload: upload(2), placement: vec![NodeId(1), NodeId(3)] });
    let placed = |world: &World, rows_max| {
        let (mut scan, mut found) = (PlacedChunks::all(), Vec::new());
        while let Some(page) = scan.next_page(&world.rows, rows_max).unwrap() {
            found.extend(page);
        }
        found
    };
    assert!(placed(&world, 9).is_empty(), "nothing is committed");
    for (n, chunks) in (1..).zip(&chunks) {
        done(&mut world, put_receipts(&[receipt(n, chunks, 1, 1, 0), receipt(n, chunks, 3, 3, 0)]));
        done(&mut world, commit_upload(n));
    }
    let whole = placed(&world, 100);
    for rows_max in 1..5 {
        assert_eq!(placed(&world, rows_max), whole);
    }
    let nodes: Vec<Vec<u64>> = whole.iter().map(|chunk| chunk.nodes.iter().map(|node| node.0).collect()).collect();
    assert_eq!(nodes.len(), 3, "the shared chunk once");
    assert_eq!(nodes.iter().filter(|nodes| **nodes == [1, 2, 3]).count(), 2);
    assert_eq!(nodes.iter().filter(|nodes| **nodes == [1, 3]).count(), 1);
}

#[test]
fn a_lease_ends_what_nobody_goes_on_with() {
    let mut world = imaging();
    for n in 1..=3 {
        done(&mut world, open_upload(n, n, n));
    }
    done(&mut world, put_part(1, two_chunks(1, 2)));
    let renew = |n, lease_ms| Command::RenewIntent { upload: upload(n), lease_ms };
    done(&mut world, renew(3, 3_000_000));
    assert_eq!(world.send(renew(3, 10_000)), confirmed(0, false), "never earlier");
    assert_eq!(world.send(Command::ExpireIntents), confirmed(0, false));
    // One millisecond before the end of the first lease, and at its end.
    let until = rows::upload(&world.rows, upload(1)).unwrap().unwrap().lease_until.millis();
    world.now = until - 1001;
    assert_eq!(world.send(Command::ExpireIntents), confirmed(0, false));
    world.now = until - 1000;
    assert_eq!(world.send(commit_upload(1)), rejected(Rejection::LeaseOver));
    world.now += 1000;
    let expire = world.envelope(Command::ExpireIntents);
    let applied = world.apply(&expire);
    let told: Vec<_> =
        applied.audit.iter().map(|entry| (entry.module, entry.action, entry.object, entry.patient)).collect();
    let about = |n| (Module::Images, Action::Expire, Object::Image(image(n)), Some(patient(n)));
    assert_eq!(told, [about(1), about(2)]);
    let view = &world.rows;
    assert_eq!(rows::upload(view, upload(1)).unwrap().unwrap().state, UploadState::Closed);
    assert_eq!(rows::upload(view, upload(2)).unwrap(), None, "nothing hung on it");
    assert_eq!(rows::open_uploads(view, 9).unwrap()[0].0, upload(3));
    assert_eq!(rows::closed_uploads(view, 9).unwrap()[0].0, upload(1));
    assert_eq!(rows::images_head(view).unwrap().open_uploads, 1);
    // The image's id is free for another try.
    done(&mut world, open_upload(4, 1, 1));
    assert_eq!(world.send(renew(1, 10_000)), rejected(Rejection::UploadClosed));
    assert_eq!(world.send(renew(2, 10_000)), rejected(Rejection::Unknown { what: outcome::What::Upload }));
    // A lease that is over may be renewed until it is ended, but not for more than seven days in all.
    world.now += 4_000_000;
    done(&mut world, renew(3, LEASE_MS_MAX));
    let opened_at = rows::upload(&world.rows, upload(3)).unwrap().unwrap().opened_at;
    world.now = opened_at.millis() + UPLOAD_MS_MAX - 5000;
    done(&mut world, renew(3, LEASE_MS_MAX));
    let until = rows::upload(&world.rows, upload(3)).unwrap().unwrap().lease_until;
    assert_eq!(until.millis(), opened_at.millis() + UPLOAD_MS_MAX);
}

#[test]
fn what_no_part_names_is_buried_and_what_is_named_again_rises() {
    let mut world = imaging();
    let chunks = two_chunks(1, 101);
    bring(&mut world, 1, 1, &[1, 2]);
    // A second upload of the same patient shares the first chunk.
    done(&mut world, open_upload(2, 2, 1));
    done(&mut world, put_part(2, two_chunks(1, 50)));
    done(&mut world, put_receipts(&[receipt(2, &two_chunks(1, 50), 2, 2, 0)]));
    done(&mut world, Command::AbandonUpload { upload: upload(2) });
    assert_eq!(world.send(Command::AbandonUpload { upload: upload(2) }), confirmed(0, false));
    done(&mut world, Command::DropPart { upload: upload(2), part: 0 });
    assert_eq!(rows::upload(&world.rows, upload(2)).unwrap(), None);
    assert_eq!(rows::tombstone(&world.rows, chunk(1)).unwrap(), None, "an image names it");
    let tombstone = rows::tombstone(&world.rows, chunk(50)).unwrap().unwrap();
    assert_eq!((tombstone.epoch, tombstone.patient, tombstone.waiting.len()), (1, Some(patient(1)), 4));
    let of = |n, epoch| ChunkEpoch { chunk: chunk(n), epoch };
    let may = |world: &World, what| may_unlink(&world.rows, what).unwrap();
    assert!(may(&world, of(50, 1)) && !may(&world, of(50, 2)) && !may(&world, of(1, 1)));
    done(&mut world, open_upload(3, 3, 1));
    assert!(!may(&world, of(50, 1)), "its patient has an open upload");

    // It is named again: the tombstone ends, and a receipt from before does not count.
    done(&mut world, put_part(3, two_chunks(1, 50)));
    assert!(!may(&world, of(50, 1)));
    let old = receipt(3, &two_chunks(1, 50), 1, 1, 0);
    assert_eq!(world.send(put_receipts(&[old])), rejected(Rejection::ReceiptRefused));
    done(&mut world, put_receipts(&[images::Receipt { gc_epoch: 1, ..old }]));
    // The first image's receipts are of chunks that never had a tombstone since.
    done(&mut world, put_receipts(&[receipt(1, &chunks, 3, 3, 0)]));

    // Orphans that a node found.
    let orphans = |node, chunks: &[ChunkEpoch]| Command::PutTombstones { node: NodeId(node), chunks: chunks.to_vec() };
    let finish = |node, chunks: &[ChunkEpoch]| Command::FinishGc { node: NodeId(node), chunks: chunks.to_vec() };
    assert_eq!(world.send(orphans(1, &[of(1, 0), of(50, 0)])), confirmed(0, false), "named");
    done(&mut world, orphans(1, &[of(1, 0), of(60, 0), of(61, 0)]));
    assert_eq!(world.send(orphans(2, &[of(60, 0)])), confirmed(0, false), "it has one already");
    done(&mut world, orphans(2, &[of(60, 2)]));
    assert_eq!(world.send(finish(1, &[of(60, 2)])), confirmed(0, false), "of an earlier tombstone");
    for node in [1, 2] {
        done(&mut world, finish(node, &[of(60, 3), of(60, 2), of(99, 0)]));
        assert_eq!(world.send(finish(node, &[of(60, 3)])), confirmed(0, false));
    }
    // A directory that is lost is not waited for, nor one that is given up.
    done(&mut world, register_store(3, 33));
    done(&mut world, Command::RetireStore { node: NodeId(4), incarnation: incarnation(4) });
    done(&mut world, finish(2, &[of(60, 3)]));
    assert_eq!(rows::tombstone(&world.rows, chunk(60)).unwrap(), None);
    let head = rows::images_head(&world.rows).unwrap();
    assert_eq!((head.epoch, head.floor, head.tombstones), (3, 3, 1));
    assert_eq!(rows::tombstones(&world.rows, None, 9).unwrap()[0].0, chunk(61));
    assert!(rows::tombstones(&world.rows, Some(chunk(61)), 9).unwrap().is_empty());
}

/// A node that finds the chunk later begins its days again; it is the same patient's all the same, whose next upload may be
/// about to name it.
#[test]
fn a_tombstone_that_begins_again_is_the_same_patient_s() {
    let mut world = imaging();
    done(&mut world, open_upload(1, 1, 1));
    done(&mut world, put_part(1, two_chunks(1, 50)));
    done(&mut world, Command::AbandonUpload { upload: upload(1) });
    done(&mut world, Command::DropPart { upload: upload(1), part: 0 });
    let of = |epoch| ChunkEpoch { chunk: chunk(50), epoch };
    done(&mut world, Command::PutTombstones { node: NodeId(1), chunks: vec![of(1)] });
    let tombstone = rows::tombstone(&world.rows, chunk(50)).unwrap().unwrap();
    assert_eq!((tombstone.epoch, tombstone.patient), (2, Some(patient(1))));
    assert!(may_unlink(&world.rows, of(2)).unwrap());
    done(&mut world, open_upload(2, 2, 1));
    assert!(!may_unlink(&world.rows, of(2)).unwrap(), "its patient has an open upload");
}

#[test]
fn copies_move_with_the_placement() {
    let mut world = imaging();
    bring(&mut world, 1, 1, &[1, 2, 4]);
    let place =
        |nodes: &[u64]| Command::RePlace { upload: upload(1), placement: nodes.iter().copied().map(NodeId).collect() };
    let backlog = |world: &World| -> Vec<(u64, u64)> {
        let stores = rows::stores(&world.rows, None, 9).unwrap();
        stores.iter().map(|(_, row)| (row.expected.chunks, row.received.chunks)).collect()
    };
    assert_eq!(backlog(&world), [(2, 2), (2, 2), (2, 0), (0, 0)]);
    assert_eq!(world.send(place(&[3, 2, 1, 1])), confirmed(0, false));
    done(&mut world, place(&[4, 3]));
    assert_eq!(backlog(&world), [(0, 0), (0, 0), (2, 0), (2, 2)]);
    let listed = rows::expected(&world.rows, NodeId(4), Order::Descending, None, 9).unwrap();
    assert_eq!((listed.len(), listed[0].0.of, listed[0].1.received), (1, FIRST, Some(incarnation(4))));
    let after = Some(listed[0].0);
    assert!(rows::expected(&world.rows, NodeId(4), Order::Ascending, after, 9).unwrap().is_empty());
    assert!(rows::expected(&world.rows, NodeId(4), Order::Descending, after, 9).unwrap().is_empty());
    // An upload that is open moves without a trace.
    done(&mut world, open_upload(2, 2, 1));
    done(&mut world, Command::RePlace { upload: upload(2), placement: vec![NodeId(4), NodeId(3)] });
    assert_eq!(rows::upload(&world.rows, upload(2)).unwrap().unwrap().placement, [NodeId(3), NodeId(4)]);
}

#[test]
fn images_are_listed_by_patient_and_by_unit() {
    let mut world = imaging();
    for n in [3, 1, 2] {
        bring(&mut world, n, 1, &[1, 2]);
    }
    bring(&mut world, 4, 2, &[1, 3]);
    let ids = |found: Vec<(ImageId, rows::ImageRow)>| found.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let view = &world.rows;
    let of_patient =
        |order, after, limit| rows::images_of_patient(view, patient(1), None, order, after, limit).unwrap();
    assert_eq!(ids(of_patient(Order::Ascending, None, 9)), [image(1), image(2), image(3)]);
    let page = of_patient(Order::Descending, None, 2);
    let after = page.last().map(|(id, row)| ImageCursor { at: row.taken_at, image: *id });
    assert_eq!(ids(page), [image(3), image(2)]);
    assert_eq!(ids(of_patient(Order::Descending, after, 2)), [image(1)]);
    let within = rows::images_of_patient(view, patient(1), Some(hours(2, 3)), Order::Ascending, None, 9).unwrap();
    assert_eq!(ids(within), [image(2)]);
    let newest = rows::images_of_unit(view, unit(1), None, Order::Descending, None, 9).unwrap();
    assert_eq!(ids(newest), [image(4), image(2), image(1), image(3)]);
    assert!(rows::images_of_unit(view, unit(2), None, Order::Ascending, None, 9).unwrap().is_empty());
    assert_eq!(ids(rows::images(view, Some(image(2)), 9).unwrap()), [image(3), image(4)]);
    assert_eq!(rows::parts_of_chunk(view, chunk(1), None, 9).unwrap()[0].0, FIRST);
}

#[test]
fn a_revoked_consent_blocks_reading_until_there_is_another() {
    let mut world = imaging();
    bring(&mut world, 1, 1, &[1, 2]);
    let row = rows::image(&world.rows, image(1)).unwrap().unwrap();
    let block = |world: &World, hour| read_block(&world.rows, &row, time(START + hour * HOUR)).unwrap();
    assert_eq!(block(&world, 1), None);
    assert_eq!(block(&world, 2000), None, "it ran out, which takes nothing back");
    world.now = START + 10 * HOUR;
    done(&mut world, Command::RevokeConsent { consent: consent(1), seen_version: 1, reason: sealed("") });
    assert_eq!((block(&world, 9), block(&world, 11)), (None, Some(Rejection::Revoked)));
    let mut other = grant(8, 1, 2);
    if let Command::GrantConsent { purposes, .. } = &mut other {
        *purposes = vec![command::Purpose::Treatment];
    }
    done(&mut world, other);
    assert_eq!(block(&world, 11), Some(Rejection::Revoked), "another purpose");
    done(&mut world, grant(9, 1, 2));
    assert_eq!(block(&world, 11), None);
    assert_eq!(block(&world, 2000), Some(Rejection::Revoked), "the later one ran out");
}

#[test]
fn senders_open_and_commit_and_nodes_do_the_rest() {
    let mut world = imaging();
    let denied = rejected(Rejection::Denied);
    let (clinician, other, program) =
        (who(Role::Clinician, Some(1)), who(Role::Clinician, Some(2)), who(Role::Integration, Some(1)));
    assert_eq!(world.send_as(other, open_upload(1, 1, 1)), denied);
    assert_eq!(world.send_as(who(Role::Reception, Some(1)), open_upload(1, 1, 1)), denied);
    assert_eq!(world.send_as(who(Role::Node, None), open_upload(1, 1, 1)), denied, "no image without a sender");
    assert_eq!(world.send_as(program, open_upload(1, 1, 1)), confirmed(0, true));
    assert_eq!(world.send_as(clinician, put_part(1, two_chunks(1, 2))), denied);
    done(&mut world, put_part(1, two_chunks(1, 2)));
    let receipts = put_receipts(&[receipt(1, &two_chunks(1, 2), 1, 1, 0), receipt(1, &two_chunks(1, 2), 2, 2, 0)]);
    assert_eq!(world.send_as(program, receipts.clone()), denied);
    done(&mut world, receipts);
    assert_eq!(world.send_as(other, commit_upload(1)), denied);
    assert_eq!(world.send_as(other, Command::AbandonUpload { upload: upload(1) }), denied);
    for command in [Command::ExpireIntents, Command::DropPart { upload: upload(1), part: 0 }] {
        assert_eq!(world.send_as(clinician, command), denied);
    }
    assert_eq!(world.send_as(who(Role::Node, None), commit_upload(1)), confirmed(1, true));
    // Nobody registers the directory of another node, nor says that another node is without a chunk.
    for command in [
        register_store(2, 9),
        Command::FinishGc { node: NodeId(2), chunks: vec![ChunkEpoch { chunk: chunk(1), epoch: 1 }] },
        Command::PutTombstones { node: NodeId(2), chunks: vec![ChunkEpoch { chunk: chunk(1), epoch: 0 }] },
    ] {
        let envelope = Envelope { via: NodeId(1), ..world.envelope(command) };
        assert_eq!(world.apply(&envelope).outcome, rejected(Rejection::Invalid { field: outcome::Field::Node }));
    }
}
