//! Sources of the door ([`crate::door`]), as ingest has them: what their threads bring.

use super::Ingest;
use super::desk::{Desk, Fault};
use crate::arbiter::Source;
use crate::door::Brought;
use crate::source::Link;
use crate::view::View;
use shard::Cx;
use wire::szse::frame;

impl Ingest {
    /// A source of the door has brought something.
    pub(crate) fn on_brought(&mut self, cx: &mut Cx, view: &mut View, index: usize, brought: Brought) {
        let (source, now_ns) = (Source::new(index), cx.now_ns());
        let upstream = &mut self.upstreams[index];
        let Some(way) = upstream.way.clone() else { return };
        way.taken();
        match brought {
            // It is told by the way itself.
            Brought::Up if self.draining || upstream.down => {}
            Brought::Up => {
                upstream.link = Link::Inside { since_ns: now_ns };
                self.filing.desk(cx, view, source, &upstream.config).up();
                upstream.is_up();
            }
            Brought::Frames(bytes) if upstream.up => {
                let mut desk = self.filing.desk(cx, view, source, &upstream.config);
                if let Err(why) = file_all(&mut desk, &bytes) {
                    way.refuse();
                    self.left(cx, view, source, (why, why));
                }
            }
            Brought::Gone(why) if upstream.up => self.left(cx, view, source, ("ended", &why)),
            // On its way when the source was left.
            Brought::Frames(_) | Brought::Gone(_) => {}
        }
    }

    /// The operator wants a source of the door left.
    pub(super) fn leave_inside(&mut self, cx: &mut Cx, view: &mut View, index: usize) {
        if self.upstreams[index].up {
            let why = "down by the operator";
            self.left(cx, view, Source::new(index), (why, why));
        }
    }
}

/// Files whole frames, one behind the other.
fn file_all(desk: &mut Desk<'_>, mut bytes: &[u8]) -> Result<(), &'static str> {
    while !bytes.is_empty() {
        let frame = match frame::decode(bytes, frame::BODY_LEN_MAX) {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(_) => return Err("not a frame"),
        };
        desk.file(&frame).map_err(|fault| match fault {
            Fault::Frame(_) => "a message that is not what its type says",
            Fault::Relay(refused) => refused.text(),
        })?;
        bytes = &bytes[frame.bytes.len()..];
    }
    Ok(())
}
