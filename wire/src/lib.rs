//! Codecs and session state machines: bytes in, events out.
//!
//! What it is: the field layouts, framing and session rules of the protocols that cross our binary hops.
//! What it is not: it opens no socket, reads no clock, starts no thread and allocates nothing while decoding.
//! Where to start: [`szse`] for the layouts, [`szse::frame`] for framing, [`szse::session`] for who may say what when.

pub mod szse;
