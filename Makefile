# What to run is here; how it is done is in `testbed/`, `tests/` and `crates/`.
.PHONY: build demo test lint unit e2e bench clean
STATIC := --release --target x86_64-unknown-linux-gnu --target-dir target/static

build:
	@cargo build --quiet --release --package spank-k8s
	@RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet $(STATIC) --package slurm-k8s-agent --package slurm-k8s-runtime

demo: build
	@cargo testbed up
	@tests/demo.sh

# The end-to-end tests join when `cargo testbed up` brings up Kubernetes too; until then: make e2e.
test: lint unit

lint:
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- --deny warnings

unit:
	cargo test --quiet --workspace --exclude e2e

e2e: build
	@cargo testbed up
	cargo test --package e2e

clean:
	@cargo testbed down
	@cargo clean
