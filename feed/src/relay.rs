//! Feeds behind feeds: what a feed tells those that are fed by it of the way that its quotes came, and what it refuses.
//!
//! A feed says hello to a source that it subscribes to, and is told the feeds upstream of it, at once and then
//! each second, with the time of sending. A source that names the feed itself is a loop, and one with too many hops is too far
//! away: both are left, and dialled again later. Quotes themselves carry nothing of it.

use std::sync::RwLock;
use wire::szse::ext::{RelayHead, RelayPath};
use wire::szse::{I64, Text, U16};

/// How often a path is told, nanoseconds.
pub(crate) const TELL_NS: u64 = 1_000_000_000;

/// The way of the quotes to a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// The feeds on it, over all sources, the nearest first.
    pub(crate) feeds: Vec<Text<20>>,
    /// Feeds on the longest way.
    pub(crate) hops: u16,
    /// From its upstream's sending to here, by the two clocks, microseconds.
    pub(crate) hop_delay_us: i64,
    /// All hops together, of the source that is nearest by it, microseconds.
    pub(crate) delay_us: i64,
}

/// Why a source is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its quotes come from this feed.
    Loop,
    /// Too many hops.
    TooFar,
    /// More feeds upstream than can be told.
    TooMany,
}

impl Refused {
    /// A text for people, and a metric's label.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Loop => "relay loop",
            Self::TooFar => "too many relay hops",
            Self::TooMany => "too many relays upstream",
        }
    }
}

/// What a feed knows of the feeds upstream; one for all its threads.
#[derive(Debug)]
pub(crate) struct Relay {
    id: Text<20>,
    hops_max: u16,
    /// By source; empty for one that is no feed, or told nothing yet.
    paths: RwLock<Vec<Path>>,
}

impl Relay {
    pub(crate) fn new(id: Text<20>, hops_max: u16, sources: usize) -> Self {
        Self { id, hops_max, paths: RwLock::new(vec![Path::default(); sources]) }
    }

    /// The feed's name among feeds.
    pub(crate) fn id(&self) -> Text<20> {
        self.id
    }

    /// A source tells its path.
    ///
    /// # Errors
    /// Why it is to be left.
    pub(crate) fn heard(&self, source: usize, told: &RelayPath<'_>, wall_ns: i64) -> Result<Path, Refused> {
        if told.feeds.contains(&self.id) {
            return Err(Refused::Loop);
        }
        let hops = told.head.hops.get();
        if hops > self.hops_max {
            return Err(Refused::TooFar);
        }
        let hop_delay_us = wall_ns.saturating_sub(told.head.sent_ns.get()) / 1_000;
        let delay_us = told.head.delay_us.get().saturating_add(hop_delay_us);
        let path = Path { feeds: told.feeds.to_vec(), hops, hop_delay_us, delay_us };
        let mut paths = self.paths.write().expect("no holder of this lock panics");
        let before = std::mem::replace(&mut paths[source], path.clone());
        if self.together(&paths).feeds.len() > wire::szse::ext::RELAYS_MAX {
            paths[source] = before;
            return Err(Refused::TooMany);
        }
        Ok(path)
    }

    /// A source is gone.
    pub(crate) fn gone(&self, source: usize) {
        self.paths.write().expect("no holder of this lock panics")[source] = Path::default();
    }

    /// What a source told.
    pub(crate) fn path(&self, source: usize) -> Path {
        self.paths.read().expect("no holder of this lock panics")[source].clone()
    }

    /// Tells the path of this feed: appends the frame.
    pub(crate) fn tell(&self, wall_ns: i64, out: &mut Vec<u8>) {
        let path = self.together(&self.paths.read().expect("no holder of this lock panics"));
        let (hops, delay_us) = (U16::new(path.hops), I64::new(path.delay_us));
        let head = RelayHead { sent_ns: I64::new(wall_ns), delay_us, hops };
        let told = RelayPath { head, feeds: &path.feeds }.encode(out);
        told.expect("invariant: a source with which they would be too many was refused");
    }

    /// This feed, and all that is upstream of it.
    fn together(&self, paths: &[Path]) -> Path {
        let mut feeds = vec![self.id];
        for feed in paths.iter().flat_map(|path| &path.feeds) {
            if !feeds.contains(feed) {
                feeds.push(*feed);
            }
        }
        let of_feeds = || paths.iter().filter(|path| path.hops > 0);
        Path {
            feeds,
            hops: of_feeds().map(|path| path.hops).max().unwrap_or(0).saturating_add(1),
            hop_delay_us: 0,
            delay_us: of_feeds().map(|path| path.delay_us).min().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::szse::{GroupMessage, frame};

    fn relay(id: &'static str) -> Relay {
        Relay::new(Text::literal(id), 2, 2)
    }

    /// One feed tells another.
    fn tell(
        from: &Relay,
        to: &Relay,
        source: usize,
        (sent_ns, heard_ns): (i64, i64),
    ) -> Result<Path, Refused> {
        let mut out = Vec::new();
        from.tell(sent_ns, &mut out);
        let frame = frame::decode(&out, frame::BODY_LEN_MAX).unwrap().unwrap();
        to.heard(source, &frame.group().unwrap(), heard_ns)
    }

    #[test]
    fn a_path_grows_by_a_hop_a_tier_and_delays_add_up() {
        let (top, middle, low, far) = (relay("top"), relay("middle"), relay("low"), relay("far"));
        let path = tell(&top, &middle, 0, (1_000, 5_000)).unwrap();
        assert_eq!((path.feeds.as_slice(), path.hops, path.hop_delay_us), (&[top.id()][..], 1, 4));
        let path = tell(&middle, &low, 1, (10_000, 17_000)).unwrap();
        assert_eq!((path.feeds, path.hops), (vec![middle.id(), top.id()], 2));
        assert_eq!((path.hop_delay_us, path.delay_us), (7, 11));
        assert_eq!(tell(&low, &far, 0, (0, 0)), Err(Refused::TooFar), "three hops, and two are allowed");
        low.gone(1);
        assert_eq!(tell(&low, &far, 0, (0, 0)).unwrap().feeds, [low.id()]);
    }

    #[test]
    fn a_loop_is_refused_wherever_it_closes() {
        let (one, two, three) = (relay("one"), relay("two"), relay("three"));
        assert_eq!(tell(&one, &one, 0, (0, 0)), Err(Refused::Loop), "itself");
        tell(&one, &two, 0, (0, 0)).unwrap();
        assert_eq!(tell(&two, &one, 1, (0, 0)), Err(Refused::Loop));
        tell(&two, &three, 0, (0, 0)).unwrap();
        assert_eq!(tell(&three, &one, 1, (0, 0)), Err(Refused::Loop));
        assert_eq!(one.path(1), Path::default(), "and what was refused is not passed on");
    }

    #[test]
    fn more_feeds_than_can_be_told_are_refused() {
        let relay = relay("relay");
        let many: Vec<Text<20>> = (0..wire::szse::ext::RELAYS_MAX)
            .map(|number| format!("feed {number}").parse().unwrap())
            .collect();
        let told = |feeds| RelayPath { head: RelayHead { hops: U16::new(1), ..Default::default() }, feeds };
        assert_eq!(relay.heard(0, &told(&many), 0), Err(Refused::TooMany));
        relay.heard(0, &told(&many[1..]), 0).unwrap();
        relay.tell(0, &mut Vec::new());
        // Clocks that are far apart are no reason to panic.
        let head = RelayHead { sent_ns: I64::new(i64::MIN), delay_us: I64::new(i64::MAX), hops: U16::new(1) };
        relay.heard(1, &RelayPath { head, feeds: &[] }, i64::MAX).unwrap();
    }

    #[test]
    fn a_path_on_the_wire_is_checked() {
        let mut out = Vec::new();
        relay("one").tell(7, &mut out);
        let frame = frame::decode(&out, frame::BODY_LEN_MAX).unwrap().unwrap();
        assert!(RelayPath::parse(&frame.body[..frame.body.len() - 1]).is_err());
        assert_eq!(RelayPath::parse(frame.body).unwrap().head.sent_ns.get(), 7);
    }
}
