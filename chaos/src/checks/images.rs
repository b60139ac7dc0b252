//! Images: whatever was acknowledged is there, on every node that opens content, byte for byte, and in time on three disks.

use super::Findings;
use super::end::End;
use crate::workload::{Album, Look, Sight, Stored, look_at};
use anyhow::Context;
use plantao_client::services::LINEARIZABLE;
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1;
use std::collections::BTreeMap;
use std::time::Duration;

/// Copies that an image has in time, where there are so many nodes.
const COPIES: usize = 3;
/// Each image is looked at through so many nodes, other ones for each: in a network of fifty not through all.
const NODES_EACH: usize = 5;
/// How often it is asked whether all copies are there and good, with a pause before each.
const TRIES: u32 = 180;
const PAUSE: Duration = Duration::from_millis(500);

/// How often each image was shown, by the network's own account.
pub(crate) type Noted = BTreeMap<Id, u64>;

/// What programs saw while faults came.
pub(crate) fn check_looks(album: &Album, noted: &Noted, findings: &mut Findings) {
    let stored = album.stored();
    let mut shown: BTreeMap<Id, u64> = BTreeMap::new();
    for Look { image, begun_ns, sight } in album.looks() {
        let acknowledged = stored.get(&image).and_then(|stored| stored.acknowledged_ns);
        let was_there = acknowledged.is_some_and(|at| at < begun_ns);
        let is_right = match sight {
            Sight::Right | Sight::NotToBeHad => true,
            Sight::Absent => !was_there,
            Sight::Other | Sight::Refused(_) => false,
        };
        findings.require(is_right, "images", || {
            format!("at {begun_ns} ns image {image}, acknowledged at {acknowledged:?}, was {sight:?}")
        });
        *shown.entry(image).or_default() += u64::from(sight == Sight::Right);
    }
    for (image, count) in shown {
        findings.images_seen += count;
        let noted = noted.get(&image).copied().unwrap_or(0);
        findings.require(noted >= count, "noted", || {
            format!("image {image} was shown {count} times, and the trail knows of {noted}")
        });
    }
    for (image, answer) in album.odd() {
        findings.add("fit", format!("the upload of image {image} was told {answer}"));
    }
}

/// What every node shows when all is over. What was never acknowledged is there on all nodes or on none.
///
/// # Errors
/// A node is not among the endpoints.
pub(crate) async fn check_all(end: &End<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    for (nth, (image, stored)) in end.album.stored().into_iter().enumerate() {
        let mut sights = Vec::new();
        for (name, address) in end.nodes.iter().cycle().skip(nth).take(end.nodes.len().min(NODES_EACH)) {
            let only = end.programs.only(address).context("a node is not among the endpoints")?;
            let sight = last_look(&only, end.seed, image, &stored).await;
            let may_lack = stored.acknowledged_ns.is_none();
            findings.require(sight == Sight::Right || sight == Sight::Absent && may_lack, "images", || {
                format!("{name}: at the end image {image}, acknowledged at {:?}, is {sight:?}", stored.acknowledged_ns)
            });
            sights.push(sight);
        }
        let is_one = sights.windows(2).all(|pair| pair[0] == pair[1]);
        findings.require(is_one, "images", || format!("image {image} is {sights:?}"));
        if sights.first() == Some(&Sight::Right) {
            findings.images_kept += 1;
            copies(&end.programs, image, end.holders.min(COPIES), findings).await;
        }
    }
    Ok(())
}

/// Without faults a copy that is rotten here is had elsewhere, at the second look at the latest.
async fn last_look(only: &Cluster, seed: u64, image: Id, stored: &Stored) -> Sight {
    let mut sight = Sight::NotToBeHad;
    for _ in 0..3 {
        sight = look_at(only, seed, image, stored).await;
        if sight != Sight::NotToBeHad {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    sight
}

/// Repair brings every copy in time, and each node reads its own again and finds it good.
async fn copies(cluster: &Cluster, image: Id, least: usize, findings: &mut Findings) {
    let mut last = String::new();
    for _ in 0..TRIES {
        let request = v1::VerifyImageRequest { read: Some(LINEARIZABLE), image_id: image.to_wire() };
        match cluster.verify_image(request).await {
            Ok(told) => {
                // A copy without its receipt came by the way, for whoever looked at it, and nobody keeps it.
                let is_good = |copy: &&v1::ImageCopy| copy.receipt && copy.good > 0 && copy.bad + copy.unknown == 0;
                let good = told.copies.iter().filter(is_good).count();
                if told.whole && good >= least {
                    return;
                }
                last = format!("{told:?}");
            }
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(PAUSE).await;
    }
    findings.add("copies of images", format!("image {image} has not {least} good copies in time: {last}"));
}
