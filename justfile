# The verbs of this repository. `just check` is what CI runs, step by step.

# Every step of CI
check:
    bash .ci/run

# Format the code
fmt:
    cargo fmt

# All lints, warnings as errors
lint:
    cargo clippy --all-targets --locked -- -D warnings

# All tests; UPDATE=1 rewrites the generated documentation
test:
    cargo test

# The library's documentation, broken links as errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# Licences, sources, advisories (needs cargo-deny)
deny:
    cargo deny --locked check

# A minute for each fuzz target (needs cargo-fuzz and a nightly toolchain)
fuzz seconds="60":
    cd fuzz && export LSAN_OPTIONS=suppressions=$PWD/lsan.supp && for target in fuzz_targets/*.rs; do cargo +nightly fuzz run "$(basename "$target" .rs)" -- -max_total_time={{seconds}} -max_len=65536 || exit 1; done

# Measurements
bench *arguments:
    cargo bench --locked {{arguments}}

# The gateway itself, such as `just run demo`
run *arguments:
    cargo run --release --locked -- {{arguments}}
