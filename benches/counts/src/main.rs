//! The hot pieces, each as often as it is told: `benches/counts/run` counts their instructions under callgrind and compares
//! them with `expected.toml`. Nothing here depends on time or on which processor it is, so that a count is the same again.

#[path = "../../../fix/benches/message/mod.rs"]
mod message;
mod pieces;
#[path = "../../../matcher-stub/benches/stream/mod.rs"]
mod stream;
#[path = "../../../gateway/benches/walk/mod.rs"]
mod walk;

use anyhow::Context;
use pieces::PIECES;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        PIECES.iter().for_each(|piece| println!("{}\t{}", piece.name, piece.times));
        return Ok(());
    };
    let times = arguments.next().context("how often?")?.parse().context("how often?")?;
    let piece = PIECES.iter().find(|piece| piece.name == name);
    let piece = piece.with_context(|| format!("no piece is called {name}"))?;
    (piece.run)(times);
    Ok(())
}
