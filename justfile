# The daily commands. `just` alone lists them.
default:
    @just --list

# Everything that the gate checks, as it checks it.
gate:
    bash .ci/run

# Format, then lint.
lint:
    cargo fmt
    cargo clippy --workspace --all-targets -- -D warnings

# The README's own test command.
test:
    cargo test --workspace

# Every interleaving of the log's writer and readers.
loom:
    RUSTFLAGS="--cfg loom" cargo test -p flow --release --test loom

# The whole scenario on this machine.
demo *ARGS:
    cargo demo {{ARGS}}

# One criterion suite: just bench flow log
bench CRATE SUITE:
    cargo bench -p {{CRATE}} --bench {{SUITE}}

# Instructions of the hot pieces, against benches/counts/expected.toml.
counts *ARGS:
    benches/counts/run {{ARGS}}

# Each fuzz target for some seconds: just fuzz 60 frame
fuzz *ARGS:
    fuzz/smoke {{ARGS}}

# Licences, sources and bans of all dependencies.
deny:
    cargo deny check bans licenses sources
