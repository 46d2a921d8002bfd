//! A source that numbers in its own way (a vendor's cloud feed beside the exchange's): it stands by, and its messages are held
//! against what the numbered sources bring, by what they say.
//!
//! While a numbered source lives, nothing of it goes out. What it brings waits in a bounded window, until a numbered source
//! has brought the same (**matched**) or the window is over (**unmatched**). When none lives any more, what waits goes out,
//! and what comes from then on, unless a numbered source has brought the same before; on channels of its own, with its own
//! numbers. When a numbered source has lived for long enough again it stands by again. What the numbered sources then
//! bring of that time goes out too, on their channels, which stay whole: subscribers of a security have it twice
//! (**doubled**, counted).
//!
//! No I/O, no clock: time is an argument. Hot path where such a source is configured: a hash and a look into a table for each
//! message.

mod bag;
mod identity;

#[cfg(test)]
mod tests;

use bag::Bag;
pub(crate) use identity::{Content, Identity};

/// What can be set about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How long a message waits for its like, nanoseconds.
    pub(crate) window_ns: u64,
    /// Messages that wait, on each side, at most.
    pub(crate) count_max: usize,
    /// Bytes that wait, at most.
    pub(crate) bytes_max: usize,
    /// How long no numbered source lives before this one is used, nanoseconds.
    pub(crate) takeover_after_ns: u64,
    /// How long one lives, without a break, before it is used no more, nanoseconds.
    pub(crate) return_after_ns: u64,
}

/// What happened, counted from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Brought by both: it went out once, from the numbered source.
    pub(crate) matched: u64,
    /// Went out from this source.
    pub(crate) published: u64,
    /// Of these, brought by a numbered source later: they went out twice.
    pub(crate) doubled: u64,
    /// Waited, and no numbered source brought it: it did not go out.
    pub(crate) unmatched: u64,
    /// Found no room to wait: it did not go out.
    pub(crate) no_room: u64,
    /// Times that it was used, after no numbered source lived.
    pub(crate) takeovers: u64,
    /// Times that it was used no more.
    pub(crate) returns: u64,
}

/// What is to be done with a message of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Let it out.
    Publish,
    /// It waits, or is not wanted.
    Keep,
}

/// A message that waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) channel: u16,
    pub(crate) number: u64,
    pub(crate) key: u32,
    pub(crate) frame: Box<[u8]>,
}

/// One source that numbers in its own way, beside those that number alike.
#[derive(Debug)]
pub(crate) struct Matcher {
    settings: Settings,
    pub(crate) counters: Counters,
    /// It is used.
    in_use: bool,
    /// Since when it could be the other way round.
    since_ns: Option<u64>,
    /// Brought by numbered sources, not by this one.
    theirs: Bag<()>,
    /// Brought by this one, not by numbered sources.
    ours: Bag<Waiting>,
    ours_bytes: usize,
    /// Went out from this one, not brought by numbered sources.
    ahead: Bag<()>,
}

impl Matcher {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            counters: Counters::default(),
            in_use: false,
            since_ns: None,
            theirs: Bag::new(settings.count_max),
            ours: Bag::new(settings.count_max),
            ours_bytes: 0,
            ahead: Bag::new(settings.count_max),
        }
    }

    /// Whether the source is used.
    pub(crate) fn in_use(&self) -> bool {
        self.in_use
    }

    /// A numbered source's message goes out.
    #[inline]
    pub(crate) fn published(&mut self, now_ns: u64, content: Content) {
        if self.ours.take(content) {
            self.counters.matched += 1;
        } else if self.ahead.take(content) {
            self.counters.doubled += 1;
        } else {
            if self.theirs.is_full() {
                self.theirs.pop();
            }
            self.theirs.put(now_ns, content, ());
        }
    }

    /// The source brought a message.
    #[inline]
    pub(crate) fn offer(
        &mut self,
        now_ns: u64,
        content: Content,
        waiting: impl FnOnce() -> Waiting,
    ) -> Verdict {
        if self.theirs.take(content) {
            self.counters.matched += 1;
            return Verdict::Keep;
        }
        if self.in_use {
            self.went_out(now_ns, content);
            return Verdict::Publish;
        }
        let waiting = waiting();
        self.ours_bytes += waiting.frame.len();
        self.ours.put(now_ns, content, waiting);
        while self.ours.is_full() || self.ours_bytes > self.settings.bytes_max {
            match self.pop_ours() {
                Some(Some(_)) => self.counters.no_room += 1,
                Some(None) => {}
                None => break,
            }
        }
        Verdict::Keep
    }

    /// Time has passed; `alive` says whether a numbered source lives. What is to go out now, because none does, goes to `out`.
    pub(crate) fn poll(&mut self, now_ns: u64, alive: bool, mut out: impl FnMut(Waiting)) {
        self.forget(now_ns);
        if alive != self.in_use {
            self.since_ns = None;
            return;
        }
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        let settings = &self.settings;
        let after_ns = if self.in_use { settings.return_after_ns } else { settings.takeover_after_ns };
        if now_ns - since_ns < after_ns {
            return;
        }
        self.since_ns = None;
        self.in_use = !self.in_use;
        if !self.in_use {
            self.counters.returns += 1;
            return;
        }
        self.counters.takeovers += 1;
        while let Some(popped) = self.pop_ours() {
            let Some((content, waiting)) = popped else { continue };
            self.went_out(now_ns, content);
            out(waiting);
        }
    }

    fn went_out(&mut self, now_ns: u64, content: Content) {
        self.counters.published += 1;
        if self.ahead.is_full() {
            self.ahead.pop();
        }
        self.ahead.put(now_ns, content, ());
    }

    fn pop_ours(&mut self) -> Option<Option<(Content, Waiting)>> {
        let bytes = self.ours.oldest().map_or(0, |waiting| waiting.frame.len());
        self.ours_bytes -= bytes;
        self.ours.pop()
    }

    /// Lets go of what is older than the window.
    fn forget(&mut self, now_ns: u64) {
        let before_ns = now_ns.saturating_sub(self.settings.window_ns);
        while self.theirs.oldest_ns().is_some_and(|at_ns| at_ns < before_ns) {
            self.theirs.pop();
        }
        while self.ours.oldest_ns().is_some_and(|at_ns| at_ns < before_ns) {
            self.counters.unmatched += u64::from(self.pop_ours().flatten().is_some());
        }
        // What the numbered sources are asked for of the time when they were away comes late.
        let before_ns = before_ns.saturating_sub(self.settings.window_ns * AHEAD_WINDOWS);
        while self.ahead.oldest_ns().is_some_and(|at_ns| at_ns < before_ns) {
            self.ahead.pop();
        }
    }
}

/// What went out from this source is remembered for so many more windows, to count what comes twice.
const AHEAD_WINDOWS: u64 = 60;
