//! What can be set about arbitration.

use super::SOURCES_MAX;

/// Which copies are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All of them all the time: whichever is first.
    Arbitrated,
    /// The primary's alone, while it keeps up. Frames of the others wait, so that nothing is missing when it does not.
    Standby(Standby),
}

/// When a channel leaves the primary, and when it goes back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standby {
    /// Leave when the primary has said nothing at all for so long, milliseconds.
    pub silent_ms: u64,
    /// Leave when another source's frame has waited so long for the primary to bring it, milliseconds.
    pub behind_ms: u64,
    /// Leave when another source is so many numbers ahead.
    pub behind_count: u64,
    /// Go back when the primary was there and not behind by `behind_count` for so long without a break, milliseconds.
    pub return_after_ms: u64,
}

/// Where a channel begins that is heard of for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At 1: what was before the first number heard is asked for.
    Open,
    /// At the first number heard.
    Live,
}

/// What can be set about arbitration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many sources there are, 1 to [`SOURCES_MAX`].
    pub sources: usize,
    /// Whether a source takes requests for numbers.
    pub resends: [bool; SOURCES_MAX],
    /// Which copies are used.
    pub mode: Mode,
    /// Where a channel begins.
    pub from: From,
    /// Channels at most; each costs about 200 bytes.
    pub channels_max: usize,
    /// Channels from this ChannelNo on are refused: they are for others to write.
    pub channel_end: u32,
    /// Frames that wait in one channel, at most.
    pub held_count_max: usize,
    /// Bytes of frames that wait in all channels together, at most.
    pub held_bytes_max: usize,
    /// How long a hole may stay before it is asked for: a source that is a little behind often fills it, milliseconds.
    pub patience_ms: u64,
    /// How long to wait for what was asked for before asking another source, milliseconds.
    pub retry_ms: u64,
    /// How long a hole may stay without any of it arriving before it is declared lost, milliseconds. The time when no
    /// source is connected does not count.
    pub deadline_ms: u64,
    /// Numbers in one request, at most.
    pub ask_count_max: u64,
    /// A number further ahead than this is believed only when the source's next one follows it.
    pub jump_max: u64,
}

/// Why settings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The number of sources.
    #[error("{0} sources: 1 to {SOURCES_MAX} are possible")]
    Sources(usize),
    /// A setting that must not be zero.
    #[error("{0} must not be 0")]
    Zero(&'static str),
    /// The number of channels.
    #[error("{0} channels: at most 65535 are possible")]
    Channels(usize),
    /// Every hole would be lost before it is asked for a second time.
    #[error("deadline_ms {deadline_ms} is not above patience_ms + retry_ms, {least}")]
    Deadline {
        /// As it was set.
        deadline_ms: u64,
        /// What it must exceed.
        least: u64,
    },
}

impl Settings {
    /// One bit for each source that takes no requests.
    pub(crate) fn never_asked(&self) -> u8 {
        (0..SOURCES_MAX).filter(|source| !self.resends[*source]).fold(0, |bits, source| bits | 1 << source)
    }

    /// Whether they can be used.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.sources == 0 || self.sources > SOURCES_MAX {
            return Err(SettingsError::Sources(self.sources));
        }
        if self.channels_max > usize::from(u16::MAX) {
            return Err(SettingsError::Channels(self.channels_max));
        }
        let nonzero = [
            ("channels_max", self.channels_max as u64),
            ("held_count_max", self.held_count_max as u64),
            ("held_bytes_max", self.held_bytes_max as u64),
            ("retry_ms", self.retry_ms),
            ("ask_count_max", self.ask_count_max),
            ("jump_max", self.jump_max),
        ];
        if let Some((name, _)) = nonzero.iter().find(|(_, value)| *value == 0) {
            return Err(SettingsError::Zero(name));
        }
        let least = self.patience_ms + self.retry_ms;
        if self.deadline_ms <= least {
            return Err(SettingsError::Deadline { deadline_ms: self.deadline_ms, least });
        }
        Ok(())
    }
}

impl Default for Standby {
    fn default() -> Self {
        // A source says something once in its heartbeat interval (3 s) at the least; when quotes flow, a primary that
        // stands still shows much sooner by being behind.
        Self { silent_ms: 4_000, behind_ms: 50, behind_count: 1_000, return_after_ms: 5_000 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources: 2,
            resends: [true; SOURCES_MAX],
            mode: Mode::Arbitrated,
            from: From::Live,
            channels_max: 256,
            channel_end: 1 << 16,
            held_count_max: 100_000,
            held_bytes_max: 16 << 20,
            patience_ms: 2,
            retry_ms: 200,
            deadline_ms: 3_000,
            ask_count_max: 50_000,
            jump_max: 10_000_000,
        }
    }
}

/// Nanoseconds.
pub(crate) fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
