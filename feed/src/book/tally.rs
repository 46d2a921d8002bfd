//! What books count.

/// What came of a snapshot of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that it says of the book is there at one tick.
    Agreed,
    /// The levels that it shows are there at one tick, the totals that it says of all levels are not.
    Levels,
    /// The book was set right by a snapshot before: what it claims since is there at one tick.
    Healed,
    /// Of an auction: what would trade at its price, and what would be left, is what it says.
    Auction,
    /// Of an auction: it is not.
    AuctionDiffers,
    /// It shows nothing that could be compared.
    Empty,
    /// No tick has what it shows: the book was set right by it.
    Diverged,
    /// The book claimed nothing then, or the tick is longer ago than what is remembered.
    NotCompared,
}

impl Outcome {
    pub(super) const COUNT: usize = 8;
    pub(super) const ALL: [(Self, &str); Self::COUNT] = [
        (Self::Agreed, "agreed"),
        (Self::Levels, "levels agreed"),
        (Self::Healed, "healed agreed"),
        (Self::Auction, "auction agreed"),
        (Self::AuctionDiffers, "auction differs"),
        (Self::Empty, "empty"),
        (Self::Diverged, "diverged"),
        (Self::NotCompared, "not compared"),
    ];
}

/// What came of ticks and snapshots, over all securities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Ticks applied.
    pub(super) ticks: u64,
    /// By [`Outcome`].
    pub(super) outcomes: [u64; Outcome::COUNT],
    /// Books that were set right by a snapshot.
    pub(super) healed: u64,
    /// Ticks about an order that is not there, or is there already, or that no order can have.
    pub(super) unmatched: u64,
    /// Holes in a channel.
    pub(super) gaps: u64,
    /// Books given up: too many orders in one, in all, ticks in two channels.
    pub(super) given_up: [u64; 3],
    /// Frames of securities for which there is no room.
    pub(super) no_room: u64,
    /// Entries of channels of a source that numbers in its own way.
    pub(super) own: u64,
    /// Entries of the log that were let go before they were looked at.
    pub(super) missed: u64,
    /// Snapshots published.
    pub(super) published: u64,
    /// Snapshots that the thread of the log did not take in time; what is newer follows.
    pub(super) not_taken: u64,
}
