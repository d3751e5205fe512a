# One line per recipe, each a plain cargo command (`just` itself is not needed).
build:
    cargo build --release --workspace --bins
test *args:
    cargo test --release --workspace {{args}}
lint:
    cargo clippy --release --workspace --all-targets -- -D warnings
format:
    cargo fmt --all
docs:
    cargo doc --workspace --no-deps --open
serve *args:
    cargo run --release -p magpie-server -- serve --data data --listen 127.0.0.1:8080 {{args}}
