//! Where in the log a subscription begins.

use crate::ingest::LOG;
use crate::retention::Retention;
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
    /// Some of it is on disk alone: the record there to begin with. What memory holds follows after it.
    pub(crate) record: Option<u64>,
    /// Of channels that are on disk from before a restart, the number after those: where memory begins for who comes from there.
    pub(crate) memory_floors: Vec<(u16, u64)>,
}

impl Place {
    /// Where a subscription begins that wants channels from these numbers, and all others from now on.
    pub(crate) fn of(cx: &Cx, view: &View, starts: &[(u16, u64)], retention: Option<&Retention>) -> Self {
        let log = cx.log(LOG);
        let mut place = Self {
            seq: view.end(),
            floors: Vec::new(),
            missed: Vec::new(),
            ahead: false,
            record: None,
            memory_floors: Vec::new(),
        };
        if starts.is_empty() {
            return place;
        }
        for &(lane, number) in starts {
            let mut floor = number;
            if let Some(record) = retention.and_then(|retention| retention.find(log, lane, number)) {
                place.record = Some(place.record.map_or(record, |other| other.min(record)));
                place.floors.push((lane, number));
                continue;
            }
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
        if let (Some(retention), true) = (retention, place.record.is_some()) {
            // What is not here yet is waited for behind what the disk has.
            place.ahead = false;
            place.memory_floors = retention.before().into_iter().collect();
            for &(lane, next) in &place.memory_floors {
                if place.floors.iter().all(|(other, _)| *other != lane) {
                    place.floors.push((lane, next));
                }
            }
        }
        place
    }

    /// The same floors, for what is read from memory after the disk.
    pub(crate) fn floors_in_memory(&self) -> Vec<(u16, u64)> {
        let floor = |&(lane, floor): &(u16, u64)| {
            let before = self.memory_floors.iter().find(|(other, _)| *other == lane);
            (lane, before.map_or(floor, |(_, next)| floor.max(*next)))
        };
        self.floors.iter().map(floor).collect()
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
