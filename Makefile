# Everything here needs only a stable Rust toolchain, or installs what else it needs, where its help
# text says so. `make help` lists the targets.

.NOTPARALLEL:
.DEFAULT_GOAL := help

CARGO ?= cargo
CARGO_HOME ?= $(HOME)/.cargo
# The oldest Rust that the library promises to build with (rust-version in Cargo.toml).
MSRV := 1.88
# The mdBook that `make book` installs if there is none.
MDBOOK := 0.5.4
# How many of the largest crates that this project depends on the demo reads. All of them are some
# 100 MB.
DEMO_CRATES ?= 60
# The files that decide without I/O. Their tests must notice every change that `make mutants` makes.
PURE := \
	crates/actorgrid/src/back_off.rs \
	crates/actorgrid/src/session/keeper.rs \
	crates/actorgrid/src/session/renewal_phase.rs \
	crates/actorgrid/src/session/claim_lease.rs \
	crates/actorgrid/src/session/lease_pool.rs \
	crates/actorgrid/src/session/claim_rules.rs \
	crates/actorgrid/src/session/claim_scheduler.rs \
	crates/actorgrid/src/client/request/retry.rs \
	crates/actorgrid/src/route/link/calling/link_silence.rs \
	crates/actorgrid/src/client/watch/resume.rs \
	crates/actorgrid/src/server/leader/candidate.rs \
	crates/actorgrid/src/ring/numbered.rs \
	crates/actorgrid/src/ring/multi.rs \
	crates/actorgrid/src/ring/rendezvous.rs \
	crates/actorgrid/src/ring/score.rs

# The same for the registry on etcd, whose tests need its feature.
PURE_ETCD := \
	crates/actorgrid/src/registry/etcd/liveness.rs \
	crates/actorgrid/src/registry/etcd/member_version.rs

# The crates in Cargo.lock that come from a registry, as cargo names their folders.
LOCKED = awk -F'"' '/^name = /{n=$$2} /^version = /{v=$$2} /^source = "reg/{print n "-" v}' Cargo.lock
DEMO_SOURCES = $$($(LOCKED) | while read -r crate; do \
		for folder in "$(CARGO_HOME)"/registry/src/*/"$$crate"; do \
			if [ -d "$$folder" ]; then du -sk "$$folder"; fi; \
		done; \
	done | sort -rn | head -n $(DEMO_CRATES) | cut -f2)

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-17s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: ## Count the words in the dependencies' sources on a small grid that loses its leader halfway
	@$(CARGO) fetch --locked
	@$(CARGO) build --release --locked --package examples --bin wordcount
	@$(CARGO) run --release --locked --quiet --package examples --bin wordcount -- \
		--kill-leader-at 50% $(DEMO_SOURCES)

.PHONY: test
test: etcd ## Run all tests, including those in the documentation
	$(CARGO) test --workspace --exclude interop

.PHONY: etcd
etcd: ## Build the pinned etcd for the tests once, or install the system's, and print which one it is
	@tools/etcd/setup.sh target/etcd >/dev/null

# How many steps `make etcd-differential` compares, and the seed of the first history.
OPS ?= 10000
SEED ?= 1

.PHONY: etcd-differential
etcd-differential: etcd ## Run OPS random calls on the etcd in memory and on a real one, and compare all that a client sees
	ETCD_DIFFERENTIAL_OPS=$(OPS) ETCD_DIFFERENTIAL_SEED=$(SEED) $(CARGO) test \
		--package actorgrid-memory-etcd --lib -- --nocapture differential::random_histories_agree

# The tests that `make interop` runs against the etcd at a path; no path means the pinned etcd.
INTEROP = ACTORGRID_ETCD=$(1) $(CARGO) test --package interop --test grid

.PHONY: interop
interop: etcd ## Run the Go library's peers and clients in one grid with ours (installs Go)
	@interop/setup.sh target/interop
	@cd interop/go && go vet ./... && go test ./...
	@cd interop/go && go run ./cmd/symbols
	$(call INTEROP,)

# The previous version of the library: the last commit that does not have links.
PREVIOUS_VERSION := 72b270bfe5633022d010cffcd5cf4b85d0ea8982

.PHONY: interop-previous
interop-previous: etcd ## Run peers and clients of the previous version in one grid with ours (builds it once)
	@interop/previous.sh target/interop/previous $(PREVIOUS_VERSION)
	$(CARGO) test --package interop --test versions

.PHONY: interop-versions
interop-versions: interop interop-previous ## Run interop-previous, and interop also against the system's etcd (3.4 on Debian 12) and etcd 3.7 (takes minutes)
	$(call INTEROP,$$(tools/etcd/setup.sh target/etcd system))
	$(call INTEROP,$$(tools/etcd/setup.sh target/etcd go-3.7.mod))

.PHONY: storm
storm: ## Run 1,000 broadcasts for the fastest reply of 1,000 members, a few at a time and all at once, with other callers
	ACTORGRID_STORM=1000 $(CARGO) test --release --package actorgrid --test broadcast -- \
		harms_nobody harm_nobody --nocapture --test-threads 1

.PHONY: accounted
accounted: etcd ## Account for every request, for a minute, while its peer is killed, stopped and frozen, and watch calls to others meanwhile
	ACCOUNTED_SECONDS=60 $(CARGO) test --release --package acceptance --test accounted \
		--test dead_beside_live -- --nocapture --test-threads 1

# How many names the peer of `make names` has.
NAMES ?= 50000
NAMES_PROGRAM = $(1) $(CARGO) run --release --locked --quiet --package names --bin names -- \
	--names $(NAMES)

.PHONY: names
names: etcd ## Measure other clients of etcd while a peer with NAMES names starts, stops and is killed: on the system's etcd (3.4 on Debian 12) and on 3.6
	@$(CARGO) build --release --locked --quiet --package names
	$(call NAMES_PROGRAM,ACTORGRID_ETCD=$$(tools/etcd/setup.sh target/etcd system))
	$(call NAMES_PROGRAM,)

# How many seconds each fuzz target runs, and the cargo-fuzz that is installed for it.
FUZZ_SECONDS ?= 300
CARGO_FUZZ := 0.13.2
# Recorded frames in hexadecimal, each on a line behind its name. The fuzzer begins with them, and
# reaches more code.
LINK_FRAMES := crates/actorgrid/src/route/link/tests/version_1.txt

# Without a sanitizer the stable toolchain suffices. The library has no unsafe code, so a defect
# shows as a panic: overflow checks and debug assertions are on.
.PHONY: fuzz
fuzz: ## Fuzz what reads bytes from the network, for FUZZ_SECONDS (needs a C++ compiler, installs cargo-fuzz in target)
	@target/tools/bin/cargo-fuzz --version 2>/dev/null | grep -qFx "cargo-fuzz $(CARGO_FUZZ)" || \
		$(CARGO) install --locked --quiet --root target/tools --version $(CARGO_FUZZ) cargo-fuzz
	@mkdir -p target/fuzz-corpus/link_bytes target/fuzz-seeds/link_bytes
	@perl -ne 'if (/: ([0-9a-f]+)$$/) { open my $$seed, ">", "target/fuzz-seeds/link_bytes/$$."; \
		print $$seed pack "H*", $$1 }' $(LINK_FRAMES)
	target/tools/bin/cargo-fuzz run --sanitizer none --target-dir target/fuzz link_bytes \
		target/fuzz-corpus/link_bytes target/fuzz-seeds/link_bytes \
		-- -max_total_time=$(FUZZ_SECONDS) -max_len=8192

HOSTILE = $(CARGO) run --release --locked --quiet --package hostile --bin hostile --

# Builds every program of the package, because one of them runs the others.
.PHONY: hostile-build
hostile-build: etcd
	@$(CARGO) build --release --locked --quiet --package hostile

.PHONY: hostile
hostile: hostile-build ## Run every attack on a peer: at half a processor, at full speed, and with 1,024 descriptors (takes an hour and a quarter)
	@failed=0; \
	for how in "" "--full-speed --seconds 5" "--descriptors 1024 --each-once --seconds 5"; do \
		echo "hostile $$how"; \
		$(HOSTILE) $$how || failed=1; \
	done; \
	exit $$failed

.PHONY: hostile-smoke
hostile-smoke: hostile-build ## Run every attack on a peer once (takes three minutes)
	@$(HOSTILE) --smoke

.PHONY: instructions
instructions: ## Count the instructions and allocations of a request, and fail if they are not within the budget (installs valgrind)
	@tools/install-valgrind.sh
	@$(CARGO) run --release --locked --quiet --package instructions

# The commit that `make bench-compare` compares with, and how often it runs each case.
BASE ?= 75bea76
ROUNDS ?= 5

.PHONY: bench-compare
bench-compare: etcd ## Compare the requests per second with those of the commit BASE (takes ten minutes on a quiet machine)
	@bench/compare.sh $(BASE) $(ROUNDS)

.PHONY: bench
bench: etcd ## Measure beside raw TCP, gRPC and other libraries, and write bench/RESULTS.md: takes twenty minutes on a quiet machine
	@bench/run.sh full

.PHONY: bench-build
bench-build: etcd ## Build what `make bench` measures, so that it only has to measure
	@bench/run.sh build

.PHONY: bench-smoke
bench-smoke: etcd ## Run a moment of each measurement, and check only that it works
	@bench/run.sh smoke

.PHONY: verify
verify: test check ## Run the tests and every check, as CI does

.PHONY: check
check: check-format check-lints check-docs check-codegen check-features check-picture check-structure check-prose check-msrv ## Run every check except the tests

.PHONY: check-format
check-format: ## Fail if `cargo fmt` would change anything
	$(CARGO) fmt --all -- --check

.PHONY: check-lints
check-lints: ## Fail on warnings from the compiler or clippy
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: check-docs
check-docs: ## Fail on warnings from rustdoc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

.PHONY: check-codegen
check-codegen: ## Fail if the checked-in stubs differ from those that the proto files generate
	$(CARGO) run --locked --quiet --package codegen -- --check

.PHONY: check-features
check-features: ## Fail if docs/features.md or docs/limits.md names a test that does not exist
	@tools/check-features.sh

.PHONY: check-picture
check-picture: ## Fail if the picture in README.md is not what its script draws
	@tools/grid-picture.sh --check

.PHONY: check-structure
check-structure: ## Fail on import cycles, imports against the layers, type names used twice, long files, and paths in documents that do not exist
	@$(CARGO) run --locked --quiet --package structure

.PHONY: check-prose
check-prose: ## Fail on comments, documents and messages that are not plain English, and on comments over 100 columns
	@$(CARGO) run --locked --quiet --package structure -- --prose

.PHONY: check-msrv
check-msrv: ## Check the library and the examples with the oldest supported Rust, if it can be installed
	@if rustup run $(MSRV) cargo --version >/dev/null 2>&1 || rustup toolchain install $(MSRV) --profile minimal; then \
		echo "rustup run $(MSRV) cargo check --locked"; \
		CARGO_TARGET_DIR=target/msrv rustup run $(MSRV) cargo check --locked; \
	else \
		echo "********************************************************************" >&2; \
		echo "NOT CHECKED: Rust $(MSRV) cannot be installed here, so this may not" >&2; \
		echo "build with it." >&2; \
		echo "********************************************************************" >&2; \
	fi

.PHONY: fix
fix: ## Apply the fixes that clippy suggests, then format the code
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

.PHONY: picture
picture: ## Draw the picture in README.md
	@tools/grid-picture.sh

# Pages link to files outside docs/ by paths relative to docs/, as code hosts expect. From
# target/book these files are one level further up; and mdBook turns the name of any .md file into
# .html.
.PHONY: book
book: ## Build the book from docs/ in target/book (installs mdBook)
	@mdbook --version >/dev/null 2>&1 || $(CARGO) install --locked mdbook --version $(MDBOOK)
	@mdbook build docs
	@sed -E -i 's,(href|src)="\.\./([A-Z]+)\.html,\1="../../\2.md,g; s,(href|src)="\.\./([^.]),\1="../../\2,g' \
		target/book/*.html

.PHONY: codegen
codegen: ## Regenerate the stubs from the proto files
	$(CARGO) run --quiet --package codegen

.PHONY: mutants
mutants: ## Mutate the files that decide without I/O: every mutation must fail a test (installs cargo-mutants)
	@$(CARGO) mutants --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants
	$(CARGO) mutants --package actorgrid --no-default-features $(addprefix --file ,$(PURE)) -- --lib
	$(CARGO) mutants --package actorgrid $(addprefix --file ,$(PURE_ETCD)) -- --lib -- registry::etcd::liveness \
		registry::etcd::member_version
