//! Lines that steer a disk: one order a line, one answer a line, `ok` or `no` and why.

use super::faults::Call;
use super::{Disk, Keep};
use std::time::Duration;

/// Every order.
pub(super) const ORDERS: &str = "\
lose-power nothing|first|any|holes
                               what is not synced is lost, but for so much
sync-all                       everything survives a power cut
fail read|write|sync|name N    the Nth call from now on fails (EIO); a sync that fails drops what waited
room BYTES                     so much may still be written (ENOSPC)
stall MS all|sync              calls wait so long, or until healed
lie                            a sync says yes and does nothing
spoil N                        the Nth read from now on has a wrong bit
flip                           one bit of one cold file is turned, for good
read-only                      nothing is changed any more (EROFS)
sync-ms LEAST MOST             how long a sync of the healthy disk takes
heal                           ends every fault; says how many calls met one
show                           how many files, names and bytes wait, and how many calls met a fault";

impl Disk {
    /// Does what a line says.
    pub(super) fn obey(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match self.order(&words) {
            Ok(told) => format!("ok {told}").trim_end().to_owned(),
            Err(why) => format!("no {why}"),
        }
    }

    fn order(&self, words: &[&str]) -> Result<String, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
        match words {
            ["lose-power", keep] => {
                let keep = match *keep {
                    "nothing" => Keep::Nothing,
                    "first" => Keep::First,
                    "any" => Keep::Any,
                    "holes" => Keep::Holes,
                    other => return Err(format!("{other:?} is none of nothing, first, any, holes")),
                };
                let cut = self.state().store.lose_power(keep).map_err(|errno| errno.to_string())?;
                let (lost, kept, torn) = (cut.lost, cut.kept, cut.torn);
                let (names_lost, names_kept) = (cut.names_lost, cut.names_kept);
                Ok(format!("lost={lost} kept={kept} torn={torn} names_lost={names_lost} names_kept={names_kept}"))
            }
            ["sync-all"] => self.state().store.sync_all().map(|()| String::new()).map_err(|errno| errno.to_string()),
            ["fail", call, nth] => {
                let call = match *call {
                    "read" => Call::Read,
                    "write" => Call::Write,
                    "sync" => Call::Sync,
                    "name" => Call::Name,
                    other => return Err(format!("{other:?} is none of read, write, sync, name")),
                };
                let nth = number(nth)?.max(1);
                self.set(|faults| faults.fail = Some((call, nth)));
                Ok(String::new())
            }
            ["room", bytes] => {
                let bytes = number(bytes)?;
                self.set(|faults| faults.room = Some(bytes));
                Ok(String::new())
            }
            ["stall", ms, which @ ("all" | "sync")] => {
                let most = Duration::from_millis(number(ms)?);
                self.set(|faults| faults.stall = Some((most, *which == "sync")));
                Ok(String::new())
            }
            ["lie"] => {
                self.set(|faults| faults.lies = true);
                Ok(String::new())
            }
            ["spoil", nth] => {
                let nth = number(nth)?.max(1);
                self.set(|faults| faults.spoil = Some(nth));
                Ok(String::new())
            }
            ["flip"] => {
                let flipped = self.state().store.flip().map_err(|errno| errno.to_string())?;
                Ok(format!("flipped={}", u8::from(flipped)))
            }
            ["read-only"] => {
                self.set(|faults| faults.is_read_only = true);
                Ok(String::new())
            }
            ["sync-ms", least, most] => {
                let (least, most) = (number(least)?, number(most)?);
                self.set(|faults| faults.sync_ms = (most > 0).then_some((least.min(most), most)));
                Ok(String::new())
            }
            ["heal"] => Ok(format!("met={}", self.set(super::faults::Faults::heal))),
            ["show"] => {
                let state = self.state();
                let (files, names, bytes) = state.store.waiting();
                Ok(format!("files={files} names={names} bytes={bytes} met={}", state.faults.fired()))
            }
            _ => Err("it is no order".to_owned()),
        }
    }
}
