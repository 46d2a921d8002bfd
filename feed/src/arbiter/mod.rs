//! Hot path: of several copies of a channel, one copy in order.
//!
//! The upstream publishes every channel (ChannelNo) as one sequence of numbers (ApplSeqNum) from 1, and we hear it from
//! up to [`SOURCES_MAX`] sources. The first arrival of a number wins; later ones are dropped. A hole makes the frames
//! after it wait in a bounded window while the missing numbers are asked for again, from the other source first. What
//! nobody can give is declared lost, and the channel goes on.
//!
//! No I/O, no clock: time is an argument, and everything that is to be done comes out as an [`Event`]. No allocation
//! while numbers arrive in order.
//!
//! A source whose numbers start again from 1 (a new day, a reset upstream) is not followed: a channel is one sequence
//! for as long as the arbiter lives. Its frames count as `regressed` until it has passed where the channel stands.
//! A new day needs a new arbiter, that is, a restart of the feed.

mod channel;
mod gap;
mod settings;
mod window;

#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;

use channel::Channel;
pub use settings::{From, Mode, Settings, SettingsError, Standby};
use std::collections::BTreeMap;

/// Sources that one arbiter can hear.
pub const SOURCES_MAX: usize = 4;

/// How often timers are looked at, at most: the resolution of every `_ms` setting.
const SCAN_NS: u64 = 1_000_000;

/// Which source: its place in the configuration. 0 is the primary, until another one is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(u8);

impl Source {
    /// The source at this place.
    ///
    /// # Panics
    /// If `index` is not below [`SOURCES_MAX`]; configuration is checked before it gets here.
    pub fn new(index: usize) -> Self {
        assert!(index < SOURCES_MAX, "source {index} of at most {SOURCES_MAX}");
        Self(index as u8)
    }

    /// Its place in the configuration.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn bit(self) -> u8 {
        1 << self.0
    }
}

/// A numbered frame of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick<'a> {
    /// ChannelNo.
    pub channel: u16,
    /// ApplSeqNum, from 1.
    pub number: u64,
    /// The security, interned.
    pub key: u32,
    /// The whole frame, as it was received.
    pub frame: &'a [u8],
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The channel's next frame.
    Frame(Tick<'a>),
    /// The channel begins here with the number after `end`: what was before is not asked for. Comes once, at most.
    BeginsAfter {
        /// ChannelNo.
        channel: u16,
        /// Last number that is not here, from 1.
        end: u64,
    },
    /// The channel does not go on where [`Arbiter::resume`] said. Comes before anything else of it.
    Apart {
        /// ChannelNo.
        channel: u16,
    },
    /// These numbers will not come: tell the subscribers; the channel goes on after them.
    Lost {
        /// ChannelNo.
        channel: u16,
        /// First number lost.
        begin: u64,
        /// Last number lost.
        end: u64,
    },
    /// Ask this source for these numbers again.
    Ask {
        /// Who is asked.
        source: Source,
        /// ChannelNo.
        channel: u16,
        /// First number wanted.
        begin: u64,
        /// Last number wanted.
        end: u64,
    },
}

/// What became of a frame that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was the next one: emitted, with all that had waited for it.
    Emitted,
    /// It waits: for numbers before it, or (standby) for the primary.
    Held,
    /// Its number was there before.
    Duplicate,
    /// Its number was there before, and the source itself was beyond it: the source began again.
    Regressed,
    /// It should wait, but the window is full. It will be asked for again.
    NoRoom,
    /// Its number is too far ahead to be believed before the source's next frame confirms it.
    Implausible,
    /// The channel is one more than the limit.
    ChannelRefused,
}

/// How a source answered when asked for numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It sends, or has sent, all or a part, or may have it later. What is still missing after the retry interval is asked for elsewhere.
    Served,
    /// It cannot.
    Cannot,
}

/// What happened, counted from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames emitted that this source brought first.
    pub won: [u64; SOURCES_MAX],
    /// Frames of this source whose number was there before.
    pub duplicates: [u64; SOURCES_MAX],
    /// Frames of this source that fell behind its own numbers (see [`Outcome::Regressed`]).
    pub regressed: [u64; SOURCES_MAX],
    /// Frames that had to wait.
    pub held: u64,
    /// Frames that found no room to wait.
    pub no_room: u64,
    /// Frames and heartbeats whose number was too far ahead to be believed.
    pub implausible: u64,
    /// Frames of channels beyond the limit.
    pub channel_refused: u64,
    /// Holes that opened.
    pub gaps: u64,
    /// Requests for numbers, by source.
    pub asked: [u64; SOURCES_MAX],
    /// Answers that a source cannot, by source.
    pub cannot: [u64; SOURCES_MAX],
    /// Holes, or parts of them, declared lost.
    pub gaps_lost: u64,
    /// Numbers declared lost.
    pub numbers_lost: u64,
    /// Channels that left the primary (standby mode).
    pub failovers: u64,
    /// Channels that went back to it.
    pub returns: u64,
}

/// A channel's state, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// ChannelNo.
    pub channel: u16,
    /// The number that is emitted next.
    pub next: u64,
    /// The highest number known to exist.
    pub last: u64,
    /// Frames that wait.
    pub held: usize,
    /// The highest number heard from each source.
    pub seen: [u64; SOURCES_MAX],
    /// Whether the hole before the waiting frames is being asked for.
    pub gap: bool,
    /// Standby mode: whether the primary is in use.
    pub on_primary: bool,
}

/// What the channels need to know of the arbiter around them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    /// Standby mode: the source that is used while it keeps up.
    pub(crate) primary: Source,
    /// One bit for each source that is connected.
    pub(crate) up: u8,
    /// When each source was heard last, nanoseconds.
    pub(crate) heard_ns: [u64; SOURCES_MAX],
    /// Bytes held by all windows.
    pub(crate) held_bytes: usize,
    /// Channels in which numbers are missing now.
    pub(crate) open_gaps: usize,
    /// Channels with a hole or with frames that wait.
    pub(crate) pending: usize,
}

impl Shared {
    /// One bit for each source there is.
    pub(crate) fn all(&self) -> u8 {
        ((1u16 << self.settings.sources) - 1) as u8
    }
}

/// Marks a ChannelNo that has no channel yet.
const ABSENT: u16 = u16::MAX;

/// One copy in order, of all channels.
#[derive(Debug)]
pub struct Arbiter {
    shared: Shared,
    /// ChannelNo to place in `channels`.
    places: Box<[u16]>,
    channels: Vec<Channel>,
    /// Where channels that are not open yet would go on.
    resumes: BTreeMap<u16, u64>,
    scan_at_ns: u64,
}

impl Arbiter {
    /// An arbiter that knows no channel yet and has no source connected.
    ///
    /// # Errors
    /// When the settings contradict themselves.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let shared = Shared {
            settings,
            counters: Counters::default(),
            primary: Source(0),
            up: 0,
            heard_ns: [0; SOURCES_MAX],
            held_bytes: 0,
            open_gaps: 0,
            pending: 0,
        };
        let places = vec![ABSENT; usize::from(u16::MAX) + 1].into_boxed_slice();
        Ok(Self { shared, places, channels: Vec::new(), resumes: BTreeMap::new(), scan_at_ns: 0 })
    }

    /// A channel that is not open yet goes on with `next`, if the first number that is heard of it is not below: what is missing
    /// until there is asked for. Else it begins as the settings say.
    pub fn resume(&mut self, channel: u16, next: u64) {
        self.resumes.insert(channel, next);
    }

    /// A numbered frame arrived from a source.
    #[inline]
    pub fn offer(
        &mut self,
        now_ns: u64,
        source: Source,
        tick: Tick<'_>,
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) -> Outcome {
        self.shared.heard_ns[source.index()] = now_ns;
        let place = self.places[usize::from(tick.channel)];
        if let Some(channel) = self.channels.get_mut(usize::from(place)) {
            if channel.take_next(self.shared.primary, source, tick.number) {
                self.shared.counters.won[source.index()] += 1;
                sink(Event::Frame(tick));
                return Outcome::Emitted;
            }
            return channel.offer(&mut self.shared, now_ns, source, tick, sink);
        }
        if !self.open(tick.channel) {
            return Outcome::ChannelRefused;
        }
        let place = usize::from(self.places[usize::from(tick.channel)]);
        self.channels[place].offer(&mut self.shared, now_ns, source, tick, sink)
    }

    /// A source said how far a channel goes (ApplLastSeqNum): what is missing until there is a hole too.
    /// `last` 0 says that the channel is still empty.
    pub fn heartbeat(
        &mut self,
        now_ns: u64,
        source: Source,
        (channel, last): (u16, u64),
        sink: &mut (impl FnMut(Event<'_>) + ?Sized),
    ) {
        self.shared.heard_ns[source.index()] = now_ns;
        if self.places[usize::from(channel)] == ABSENT && !self.open(channel) {
            return;
        }
        let place = usize::from(self.places[usize::from(channel)]);
        self.channels[place].heartbeat(&mut self.shared, now_ns, source, last, sink);
    }

    /// A source answered a request that began at `begin`.
    pub fn answer(&mut self, now_ns: u64, source: Source, (channel, begin): (u16, u64), answer: Answer) {
        self.shared.heard_ns[source.index()] = now_ns;
        if answer == Answer::Cannot {
            self.shared.counters.cannot[source.index()] += 1;
        }
        let place = usize::from(self.places[usize::from(channel)]);
        if let Some(channel) = self.channels.get_mut(place) {
            channel.answer(now_ns, source, begin, answer);
            self.scan_at_ns = now_ns;
        }
    }

    /// A source says something that is about no channel: it lives.
    #[inline]
    pub fn heard(&mut self, now_ns: u64, source: Source) {
        self.shared.heard_ns[source.index()] = now_ns;
    }

    /// A source is connected and logged on.
    pub fn up(&mut self, now_ns: u64, source: Source) {
        let first = self.shared.up == 0;
        self.shared.up |= source.bit();
        self.shared.heard_ns[source.index()] = now_ns;
        for channel in &mut self.channels {
            channel.up(now_ns, source, first);
        }
        self.scan_at_ns = now_ns;
    }

    /// A source is gone.
    pub fn down(&mut self, now_ns: u64, source: Source, sink: &mut (impl FnMut(Event<'_>) + ?Sized)) {
        self.shared.up &= !source.bit();
        for channel in &mut self.channels {
            channel.down(&mut self.shared, now_ns, source, sink);
        }
        self.scan_at_ns = now_ns;
    }

    /// Standby mode: from now on this source is the primary. What is heard of it decides at once, by channel, whether it is
    /// used or has to keep up for a while first. In the other mode it changes nothing.
    pub fn prefer(&mut self, now_ns: u64, source: Source, sink: &mut (impl FnMut(Event<'_>) + ?Sized)) {
        self.shared.primary = source;
        for channel in &mut self.channels {
            channel.prefer(&mut self.shared, now_ns, sink);
        }
        self.scan_at_ns = now_ns;
    }

    /// Standby mode: the source that is used while it keeps up.
    pub fn primary(&self) -> Option<Source> {
        matches!(self.shared.settings.mode, Mode::Standby(_)).then_some(self.shared.primary)
    }

    /// Looks at the timers. Call it once a turn, and at every tick while nothing arrives.
    #[inline]
    pub fn poll(&mut self, now_ns: u64, sink: &mut (impl FnMut(Event<'_>) + ?Sized)) {
        if now_ns >= self.scan_at_ns {
            self.scan_at_ns = now_ns + SCAN_NS;
            for channel in &mut self.channels {
                channel.poll(&mut self.shared, now_ns, sink);
            }
        }
    }

    /// When [`Arbiter::poll`] has something to look at that will not wait for a tick; `None` while everything is in
    /// order.
    #[inline]
    pub fn poll_at_ns(&self) -> Option<u64> {
        (self.shared.pending > 0).then_some(self.scan_at_ns)
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Whether a source is connected.
    pub fn is_up(&self, source: Source) -> bool {
        self.shared.up & source.bit() != 0
    }

    /// Whether a source is connected and was heard within so long a time, nanoseconds.
    pub fn is_heard(&self, now_ns: u64, within_ns: u64) -> bool {
        let heard =
            |source: &Source| now_ns.saturating_sub(self.shared.heard_ns[source.index()]) <= within_ns;
        (0..self.shared.settings.sources).map(Source::new).any(|source| self.is_up(source) && heard(&source))
    }

    /// Bytes that wait in windows.
    pub fn held_bytes(&self) -> usize {
        self.shared.held_bytes
    }

    /// Channels in which numbers are missing now: what is behind the hole waits for them. What waits for the primary alone
    /// (standby) has none missing.
    pub fn open_gaps(&self) -> usize {
        self.shared.open_gaps
    }

    /// Every channel's state, in the order in which they were first heard.
    pub fn channels(&self) -> impl Iterator<Item = ChannelState> + '_ {
        self.channels.iter().map(Channel::state)
    }

    /// Opens a channel that is heard of for the first time, if the limit allows it.
    #[cold]
    fn open(&mut self, channel: u16) -> bool {
        let Settings { channels_max, channel_end, from, mode, .. } = self.shared.settings;
        if self.channels.len() >= channels_max || u32::from(channel) >= channel_end {
            self.shared.counters.channel_refused += 1;
            return false;
        }
        self.places[usize::from(channel)] = self.channels.len() as u16;
        self.channels.push(Channel::new(channel, from, mode, self.resumes.remove(&channel)));
        true
    }
}
