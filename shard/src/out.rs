//! Hot path: private bytes on their way to a socket.
//!
//! Rules: memory is bounded by what waits, not by what has passed; each byte is moved once at the most.

/// Capacity that an empty buffer may keep.
pub(crate) const KEPT_CAPACITY: usize = 4 << 10;

/// Bytes that wait for a socket, whole frames but for the first.
#[derive(Debug, Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    /// Bytes at the front that are written.
    written: usize,
}

impl Out {
    /// Where bytes are appended.
    #[inline]
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The bytes that wait.
    #[inline]
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many of those that waited are written.
    #[inline]
    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
            if self.bytes.capacity() > KEPT_CAPACITY {
                self.bytes.shrink_to(KEPT_CAPACITY);
            }
        } else if self.written >= self.bytes.len() / 2 {
            // A reader that never takes all would else be remembered whole.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_never_takes_all_does_not_grow_it() {
        let mut out = Out::default();
        let (mut sent, mut got) = (0_u64, 0_u64);
        let mut send = |out: &mut Out, count: u64| {
            (sent..sent + count).for_each(|value| out.end().extend_from_slice(&value.to_be_bytes()));
            sent += count;
        };
        send(&mut out, 100);
        for _ in 0..10_000 {
            send(&mut out, 100);
            for value in out.waiting()[..800].chunks(8) {
                assert_eq!(value, got.to_be_bytes());
                got += 1;
            }
            out.wrote(800);
            assert_eq!(out.waiting().len(), 800);
        }
        assert!(out.bytes.capacity() <= 8 * 800, "{}", out.bytes.capacity());
        out.wrote(800);
        assert!(out.waiting().is_empty());
    }
}
