//! From where a client wants its reports, and where that is in the log.

use flow::{Cursor, FindError, Reader};
use wire::szse::trading::ReportSynchronization;

/// The next number wanted of each lane; of a lane that is not named all are wanted, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Ascending by lane.
    numbers: Box<[(u16, u64)]>,
}

/// Why reports cannot be sent from where a client wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyncError {
    #[error("no such partition: {partition_no}")]
    NoSuchPartition { partition_no: i32 },
    #[error("ReportIndex {report_index} of partition {partition_no}")]
    BadIndex { partition_no: i32, report_index: i64 },
    #[error("partition {lane} named twice")]
    Twice { lane: u16 },
    #[error("report {number} of partition {lane} is no longer held, the oldest is {oldest}")]
    NoLongerHeld { lane: u16, number: u64, oldest: u64 },
    #[error("report {number} of partition {lane} is not reached, the next is {next}")]
    NotReached { lane: u16, number: u64, next: u64 },
}

impl SyncError {
    /// In a few words that stay the same.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NoSuchPartition { .. } => "no such partition",
            Self::BadIndex { .. } => "bad ReportIndex",
            Self::Twice { .. } => "partition named twice",
            Self::NoLongerHeld { .. } => "reports no longer held",
            Self::NotReached { .. } => "reports not reached",
        }
    }
}

impl Wanted {
    /// What a message asks for. ReportIndex 0 is taken as 1.
    pub(crate) fn new(
        message: &ReportSynchronization<'_>,
        is_lane: impl Fn(u16) -> bool,
    ) -> Result<Self, SyncError> {
        let mut numbers = Vec::with_capacity(message.partitions.len());
        for entry in message.partitions {
            let (partition_no, report_index) = (entry.partition_no.get(), entry.report_index.get());
            let lane = u16::try_from(partition_no).ok().filter(|lane| is_lane(*lane));
            let lane = lane.ok_or(SyncError::NoSuchPartition { partition_no })?;
            let number = u64::try_from(report_index);
            let number = number.map_err(|_| SyncError::BadIndex { partition_no, report_index })?;
            numbers.push((lane, number.max(1)));
        }
        numbers.sort_unstable();
        match numbers.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(SyncError::Twice { lane: pair[0].0 }),
            None => Ok(Self { numbers: numbers.into_boxed_slice() }),
        }
    }

    fn number(&self, lane: u16) -> u64 {
        self.numbers.binary_search_by_key(&lane, |wanted| wanted.0).map_or(1, |at| self.numbers[at].1)
    }

    /// Whether the gateway has got as far in each lane as the client has; `lanes` are (lane, its next number). A
    /// gateway that has just started, and is still reading the day's reports, has not.
    pub(crate) fn reached(&self, lanes: impl Iterator<Item = (u16, u64)>) -> Result<(), SyncError> {
        for (lane, next) in lanes {
            let number = self.number(lane);
            if number > next {
                return Err(SyncError::NotReached { lane, number, next });
            }
        }
        Ok(())
    }

    /// The place in the log from which all lanes are served, and the first number wanted of each.
    pub(crate) fn place(
        &self,
        log: &Reader,
        lanes: impl Iterator<Item = (u16, u64)>,
    ) -> Result<(Cursor, Vec<(u16, u64)>), SyncError> {
        let mut from = log.end();
        let mut floors = Vec::new();
        for (lane, _) in lanes {
            let number = self.number(lane);
            floors.push((lane, number));
            match log.find(lane, number) {
                Ok(seq) => from = from.min(seq),
                // Reached, so what is missing in the log are reports that are nobody's here.
                Err(FindError::NotYet { .. }) => {}
                Err(FindError::NoLongerHeld { oldest_number }) => {
                    return Err(SyncError::NoLongerHeld { lane, number, oldest: oldest_number });
                }
            }
        }
        Ok((Cursor::at(from), floors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Limits, Tag, Writer};
    use wire::szse::trading::PartitionIndex;
    use wire::szse::{I32, I64};

    const LANES: [(u16, u64); 2] = [(1, 6), (21, 4)];

    fn wanted(partitions: &[(i32, i64)]) -> Result<Wanted, SyncError> {
        let entry = |&(partition_no, report_index): &(i32, i64)| PartitionIndex {
            partition_no: I32::new(partition_no),
            report_index: I64::new(report_index),
        };
        let partitions: Vec<_> = partitions.iter().map(entry).collect();
        let message = ReportSynchronization { partitions: &partitions };
        Wanted::new(&message, |lane| LANES.iter().any(|(other, _)| *other == lane))
    }

    /// Lane 1 has 1, 3, 5 (2 and 4 were nobody's), lane 21 has 2 and 3, taking turns.
    fn log() -> (Writer, Reader) {
        let mut writer = Writer::new(Limits { segment_bytes: 64, window_bytes: 64 << 10 });
        for (lane, number) in [(1, 1), (21, 2), (1, 3), (21, 3), (1, 5)] {
            writer.append(Tag { lane, number, key: 1 }, &[b'x'; 20]).unwrap();
        }
        writer.publish();
        let reader = writer.reader();
        (writer, reader)
    }

    #[test]
    fn the_place_is_the_first_that_any_lane_wants() {
        let (_writer, log) = log();
        let place = |partitions| {
            let (cursor, floors) = wanted(partitions).unwrap().place(&log, LANES.into_iter()).unwrap();
            (cursor.seq(), floors)
        };
        assert_eq!(place(&[]), (0, vec![(1, 1), (21, 1)]));
        assert_eq!(place(&[(21, 2), (1, 4)]), (1, vec![(1, 4), (21, 2)]));
        assert_eq!(place(&[(1, 4), (21, 3)]), (3, vec![(1, 4), (21, 3)]));
        assert_eq!(place(&[(1, 6), (21, 4)]), (5, vec![(1, 6), (21, 4)]));
    }

    #[test]
    fn a_client_may_be_ahead_of_the_gateway() {
        let error = SyncError::NotReached { lane: 1, number: 7, next: 6 };
        assert_eq!(wanted(&[(1, 7)]).unwrap().reached(LANES.into_iter()), Err(error));
        assert_eq!(wanted(&[(1, 6), (21, 4)]).unwrap().reached(LANES.into_iter()), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(wanted(&[(2, 1)]), Err(SyncError::NoSuchPartition { partition_no: 2 }));
        assert_eq!(wanted(&[(-1, 1)]), Err(SyncError::NoSuchPartition { partition_no: -1 }));
        assert_eq!(wanted(&[(1, -1)]), Err(SyncError::BadIndex { partition_no: 1, report_index: -1 }));
        assert_eq!(wanted(&[(1, 1), (21, 1), (1, 2)]), Err(SyncError::Twice { lane: 1 }));
        assert_eq!(wanted(&[(1, 0)]), wanted(&[(1, 1)]));
    }

    #[test]
    fn what_was_let_go_is_said_with_the_oldest_that_is_held() {
        let mut writer = Writer::new(Limits { segment_bytes: 64, window_bytes: 128 });
        for number in 1..=30 {
            writer.append(Tag { lane: 1, number, key: 1 }, &[b'x'; 20]).unwrap();
        }
        writer.publish();
        let lanes = || [(1, 31)].into_iter();
        let error = wanted(&[(1, 2)]).unwrap().place(&writer.reader(), lanes()).unwrap_err();
        let SyncError::NoLongerHeld { lane: 1, number: 2, oldest } = error else { panic!("{error}") };
        let again = wanted(&[(1, oldest.cast_signed())]).unwrap();
        assert!(again.place(&writer.reader(), lanes()).is_ok());
    }
}
