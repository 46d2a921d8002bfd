//! Where in the log a subscription begins.

use crate::ingest::LOG;
use crate::view::View;
use flow::{FindError, Seq};
use shard::Cx;

/// Where in the log a subscription begins.
#[derive(Debug)]
pub(crate) struct Place {
    /// The first entry to look at.
    pub(crate) seq: Seq,
    /// Of each channel, the lowest number wanted.
    pub(crate) floors: Vec<(u16, u64)>,
    /// Numbers asked for that are no longer held: channel, first, last.
    pub(crate) missed: Vec<(u16, u64, u64)>,
    /// A number that was asked for is beyond what is here.
    pub(crate) ahead: bool,
}

impl Place {
    /// Where a subscription begins that wants channels from these numbers, and all others from now on.
    pub(crate) fn of(cx: &Cx, view: &View, starts: &[(u16, u64)]) -> Self {
        let log = cx.log(LOG);
        let mut place = Self { seq: view.end(), floors: Vec::new(), missed: Vec::new(), ahead: false };
        if starts.is_empty() {
            return place;
        }
        for &(lane, number) in starts {
            let mut floor = number;
            let seq = match log.find(lane, number) {
                Ok(seq) => seq,
                Err(FindError::NotYet { .. }) => {
                    place.ahead |= view.next(lane) < number;
                    log.end()
                }
                Err(FindError::NoLongerHeld { oldest_number }) => {
                    place.missed.push((lane, number, oldest_number - 1));
                    floor = oldest_number;
                    log.find(lane, oldest_number).unwrap_or(log.start())
                }
            };
            place.seq = place.seq.min(seq);
            place.floors.push((lane, floor));
        }
        // What is read again on the way to those numbers must not bring the others' past along.
        let others =
            view.lanes().iter().filter(|lane| !starts.iter().any(|(start, _)| *start == lane.number));
        place.floors.extend(others.map(|lane| (lane.number, lane.next)));
        place
    }

    /// Whether the numbers that it was waiting for are here.
    pub(crate) fn is_here(&self, view: &View) -> bool {
        self.floors.iter().all(|(lane, number)| view.next(*lane) >= *number)
    }

    /// Numbers that are still not here are not waited for any longer: what comes is taken.
    pub(crate) fn give_up(&mut self, view: &View) {
        self.floors.iter_mut().for_each(|(lane, number)| *number = view.next(*lane).min(*number));
    }
}
