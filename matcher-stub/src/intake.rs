//! Hot path: the requests of a turn, between their sockets and the core.
//!
//! They are gathered as the core's inputs while the shard reads, so that all of a turn are written to the journal with
//! one call; only then does the core take them, and only after that are its reports published. What the journal did not
//! take, the core never sees: whoever sent it is told so by a BusinessReject, and may send it again.

use crate::core::{Input, Now};
use core_port::Sender;

/// The requests of a turn so far.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    bytes: Vec<u8>,
    senders: Vec<Sender>,
}

/// From this many bytes on the requests of a turn are taken in portions, so that no burst takes memory without bound.
const PORTION_BYTES: usize = 1 << 20;

impl Intake {
    pub(crate) fn push(&mut self, now: Now, input: Input<'_>, sender: Sender) {
        input.encode(now, &mut self.bytes);
        self.senders.push(sender);
    }

    /// Whether what is here should be taken before more is read.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= PORTION_BYTES
    }

    /// The inputs, as a journal keeps them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The inputs and who sent them, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Now, Input<'_>, Sender)> {
        let mut rest = &self.bytes[..];
        self.senders.iter().map(move |sender| {
            let input = Input::decode(&mut rest).expect("invariant: encoded here");
            let (now, input) = input.expect("invariant: each input has its sender");
            (now, input, *sender)
        })
    }

    /// All of it was dealt with.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.senders.clear();
    }
}
