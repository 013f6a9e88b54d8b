# What to run is here; how it is done is in `testbed/`, `tests/` and `crates/`.
.PHONY: build reproducible demo test beside lint unit e2e versions support bench soak clean
SHELL := bash
# All tests run on this version of Slurm, on the others those that Slurm has a part in.
SLURM := 22.05
OTHERS := 24.11 26.05
ON_EACH := differential errors gres honour lifecycle options pod results runs settings signals slurmrestd submit submit_site terminal validate versions
# A folder of their own: nothing waits for cargo's lock, here or while tests run on the testbed.
CHECK := --target-dir target/check
STATIC := --release --target x86_64-unknown-linux-gnu --target-dir target/static

# No file that is built tells by whom: dependencies are named by where they are in the registry.
REMAP := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=/crates

# One call of cargo for what shares a crate: each call has features of its own, and k8s-openapi is minutes.
build:
	@RUSTFLAGS="$(REMAP)" cargo build --release --package spank-k8s --package slurm-k8s-job-submit --package slurm-k8s
	@RUSTFLAGS="$(REMAP) -C target-feature=+crt-static" cargo build $(STATIC) --package slurm-k8s-agent --package slurm-k8s-runtime

# Builds the last commit twice, in other folders and with another name for cargo's: the files must be the same.
reproducible:
	@tests/reproducible.sh

demo: build
	@cargo testbed up
	@tests/demo.sh

# All of it; the testbed stays up for the next time (`cargo testbed down` ends it).
# Tests on the testbed wait more than they compute: what only computes has the rest of the processor.
test: build
	@trap 'kill %1 2>/dev/null' EXIT; $(MAKE) --no-print-directory beside & $(MAKE) --no-print-directory e2e; code=$$?; wait $$! && exit $$code
	@$(MAKE) --no-print-directory unit versions support

beside:
	@chrt --idle 0 $(MAKE) --no-print-directory lint
	@chrt --idle 0 cargo test $(CHECK) --quiet --workspace --exclude e2e --no-run
	@chrt --idle 0 cargo test $(CHECK) --quiet --package e2e --test pages --test support --no-run

lint:
	cargo fmt --all --check
	cargo clippy $(CHECK) --quiet --workspace --all-targets -- --deny warnings

unit:
	cargo test $(CHECK) --quiet --workspace --exclude e2e
	cargo test $(CHECK) --quiet --package e2e --test pages --test support

# `make e2e SLURM=24.11`: on that version only. What was run, and on what, goes to target/e2e/ for docs/support.md.
e2e: build
	@cargo testbed up --slurm $(SLURM)
	@mkdir -p target/e2e && cargo testbed status > target/e2e/$(SLURM).log
	@set -o pipefail; cargo test --package e2e --no-fail-fast $(foreach file,$(if $(filter $(SLURM),$(OTHERS)),$(ON_EACH)),--test $(file)) 2>&1 \
	  | tee --append target/e2e/$(SLURM).log

versions: build
	@for version in $(OTHERS); do $(MAKE) --no-print-directory e2e SLURM=$$version || exit 1; done

# What docs/support.md claims has passed, by the logs of this checkout's runs.
support:
	@RAN=1 cargo test --quiet --package e2e --test support -- --nocapture

# The figures of docs/performance.md, ours beside plain srun and kubectl.
bench: build
	@cargo testbed up
	RUSTFLAGS="$(REMAP)" cargo bench --quiet --package e2e
	RUSTFLAGS="$(REMAP)" cargo bench --quiet --package slurm-k8s-job-submit --package spank-k8s --bench cost

# Full counts of tests/tests/soak.rs, submissions.rs, watch_faults.rs and collect.rs, with figures; about half an hour.
soak: build
	@cargo testbed up
	SOAK_BACK_TO_BACK=100 SOAK_QUEUED=200 cargo test --package e2e --test soak -- --nocapture
	SOAK_SUBMISSIONS=10000 cargo test --package e2e --test submissions -- --nocapture
	SOAK_WATCH_KILLS=200 SOAK_WATCH_FILES=1000 cargo test --package e2e --test watch_faults -- --nocapture
	SOAK_COLLECT_KILLS=200 cargo test --package e2e --test collect -- collectors_that_are_killed --nocapture

clean:
	@cargo testbed down
	@cargo clean
