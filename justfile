# Every command that a developer runs. CI runs `.ci/run`, which is `just ci`.

# Lists the recipes.
default:
    @just --list --unsorted

# Reads only: formatting, clippy, documentation, house rules; in the dev profile, for quick answers.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    cargo test -p tests --test tidy

# Writes: formatting, and what clippy can mend by itself.
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    cargo fmt --all

# Runs every test, or those the arguments choose: `just test -p keys`.
test *args:
    tests/run {{args}}

# Licences, doubled versions, sources and advisories (needs cargo-deny).
deny:
    cargo deny check

# Runs seeds for a number of seconds: `just sim 600`.
sim seconds="60":
    cargo run --release -p simulations -- slice --seconds {{seconds}}

# Replays one seed exactly: `just replay 42`, or `just replay 42 --depth node` for whole nodes with real QUIC.
replay seed *args:
    cargo run --release -p simulations -- run --seed {{seed}} {{args}}

# Measures the school workload (24,000 records).
bench *args:
    cargo bench --workspace --bench sync {{args}}

# Shows a small federation on this machine.
demo *args:
    cargo run --release -- demo {{args}}

# Line coverage of the fast tests (needs cargo-llvm-cov).
cover:
    cargo llvm-cov nextest --workspace --exclude simulations --html

# Everything that must pass before a change is merged.
ci:
    .ci/run
