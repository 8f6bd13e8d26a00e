# Everything here runs with a stable Rust toolchain and nothing else; `make help` lists it.

.NOTPARALLEL:
.DEFAULT_GOAL := help

CARGO ?= cargo
CARGO_HOME ?= $(HOME)/.cargo
# The oldest Rust that the library promises to build with (rust-version in Cargo.toml).
MSRV := 1.88
# The mdBook that make book installs if there is none.
MDBOOK := 0.5.4
# The demo counts the words of so many of the biggest crates that this project depends on: with
# all of them it reads some 100 MB.
DEMO_CRATES ?= 60
# The decisions without I/O: their tests must notice every change of theirs.
PURE := \
	crates/actorgrid/src/back_off.rs \
	crates/actorgrid/src/session/keeper.rs \
	crates/actorgrid/src/session/claim_lease.rs \
	crates/actorgrid/src/session/claim_rules.rs \
	crates/actorgrid/src/session/claim_scheduler.rs \
	crates/actorgrid/src/client/request/retry.rs \
	crates/actorgrid/src/client/watch/resume.rs \
	crates/actorgrid/src/server/leader/candidate.rs \
	crates/actorgrid/src/ring/numbered.rs \
	crates/actorgrid/src/ring/multi.rs \
	crates/actorgrid/src/ring/rendezvous.rs \
	crates/actorgrid/src/ring/score.rs

# The same of the registry on etcd.
PURE_ETCD := \
	crates/actorgrid/src/registry/etcd/liveness.rs \
	crates/actorgrid/src/registry/etcd/member_version.rs

# The crates of Cargo.lock that come from a registry, as cargo names their folders.
LOCKED = awk -F'"' '/^name = /{n=$$2} /^version = /{v=$$2} /^source = "reg/{print n "-" v}' Cargo.lock
DEMO_SOURCES = $$($(LOCKED) | while read -r crate; do \
		for folder in "$(CARGO_HOME)"/registry/src/*/"$$crate"; do \
			if [ -d "$$folder" ]; then du -sk "$$folder"; fi; \
		done; \
	done | sort -rn | head -n $(DEMO_CRATES) | cut -f2)

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: ## Count the words of the dependencies' sources on a small grid that loses its leader half way
	@$(CARGO) fetch --locked
	@$(CARGO) build --release --locked --package examples --bin wordcount
	@$(CARGO) run --release --locked --quiet --package examples --bin wordcount -- \
		--kill-leader-at 50% $(DEMO_SOURCES)

.PHONY: test
test: etcd ## Run all tests, those in the documentation included
	$(CARGO) test --workspace --exclude interop

.PHONY: etcd
etcd: ## Build the pinned etcd for the tests (or install the system's), once, and say which it is
	@tools/etcd/setup.sh target/etcd >/dev/null

# What make interop runs on one etcd, by its path; nothing for the pinned one.
INTEROP = ACTORGRID_ETCD=$(1) $(CARGO) test --package interop --test grid

.PHONY: interop
interop: etcd ## Run the Go library's peers and clients beside ours in one grid (installs Go)
	@interop/setup.sh target/interop
	@cd interop/go && go vet ./... && go test ./...
	@cd interop/go && go run ./cmd/symbols
	$(call INTEROP,)

.PHONY: interop-versions
interop-versions: interop ## The same on the system's etcd (3.4 on Debian 12) and on etcd 3.7 too: takes minutes
	$(call INTEROP,$$(tools/etcd/setup.sh target/etcd system))
	$(call INTEROP,$$(tools/etcd/setup.sh target/etcd go-3.7.mod))

.PHONY: storm
storm: ## 1,000 fastest broadcasts to 1,000 members, few at a time and all at once, beside other callers
	ACTORGRID_STORM=1000 $(CARGO) test --release --package actorgrid --test broadcast -- \
		harms_nobody harm_nobody --nocapture --test-threads 1

HOSTILE = $(CARGO) run --release --locked --quiet --package hostile --bin hostile --

# Builds all programs of the package: one runs the others.
.PHONY: hostile-build
hostile-build: etcd
	@$(CARGO) build --release --locked --quiet --package hostile

.PHONY: hostile
hostile: hostile-build ## Attack a peer in all ways: at half a processor, at full speed, and with 1,024 descriptors: takes forty minutes
	@failed=0; \
	for how in "" "--full-speed --seconds 5" "--descriptors 1024 --each-once --seconds 5"; do \
		echo "hostile $$how"; \
		$(HOSTILE) $$how || failed=1; \
	done; \
	exit $$failed

.PHONY: hostile-smoke
hostile-smoke: hostile-build ## Attack a peer in each way once, for three minutes in all
	@$(HOSTILE) --smoke

# What make bench-compare compares with, and how often it runs each case.
BASE ?= 75bea76
ROUNDS ?= 5

.PHONY: bench-compare
bench-compare: etcd ## Compare the requests per second with those of the commit BASE: takes ten minutes on a quiet machine
	@bench/compare.sh $(BASE) $(ROUNDS)

.PHONY: verify
verify: test check ## Run the tests and every check: what CI runs

.PHONY: check
check: check-format check-lints check-docs check-codegen check-features check-picture check-structure check-msrv ## Run every check but the tests

.PHONY: check-format
check-format: ## Fail where `cargo fmt` would change something
	$(CARGO) fmt --all -- --check

.PHONY: check-lints
check-lints: ## Fail on warnings of the compiler and of clippy
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: check-docs
check-docs: ## Fail on warnings of rustdoc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

.PHONY: check-codegen
check-codegen: ## Fail where the stubs checked in are not what the proto files give
	$(CARGO) run --locked --quiet --package codegen -- --check

.PHONY: check-features
check-features: ## Fail if docs/features.md or docs/limits.md names a test that does not exist
	@tools/check-features.sh

.PHONY: check-picture
check-picture: ## Fail if the picture in README.md is not what its script draws
	@tools/grid-picture.sh --check

.PHONY: check-structure
check-structure: ## Fail on import cycles or against the layers, type names used twice, long files, paths in documents that do not exist
	@$(CARGO) run --locked --quiet --package structure

.PHONY: check-msrv
check-msrv: ## Check the library and the examples with the oldest supported Rust, if it can be had
	@if rustup run $(MSRV) cargo --version >/dev/null 2>&1 || rustup toolchain install $(MSRV) --profile minimal; then \
		echo "rustup run $(MSRV) cargo check --locked"; \
		CARGO_TARGET_DIR=target/msrv rustup run $(MSRV) cargo check --locked; \
	else \
		echo "********************************************************************" >&2; \
		echo "NOT CHECKED: Rust $(MSRV) cannot be installed here, so nothing says" >&2; \
		echo "that this still builds with it." >&2; \
		echo "********************************************************************" >&2; \
	fi

.PHONY: fix
fix: ## Mend what can be mended: lints that clippy can fix, then the format
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

.PHONY: picture
picture: ## Draw the picture in README.md
	@tools/grid-picture.sh

# Pages link to files outside docs/ by paths relative to docs/, as code hosts expect. From target/book
# these files are one level further up; and mdBook turns the name of any .md file into .html.
.PHONY: book
book: ## Build the book from docs/ in target/book (installs mdBook)
	@mdbook --version >/dev/null 2>&1 || $(CARGO) install --locked mdbook --version $(MDBOOK)
	@mdbook build docs
	@sed -E -i 's,(href|src)="\.\./([A-Z]+)\.html,\1="../../\2.md,g; s,(href|src)="\.\./([^.]),\1="../../\2,g' \
		target/book/*.html

.PHONY: codegen
codegen: ## Write the stubs of the proto files anew
	$(CARGO) run --quiet --package codegen

.PHONY: mutants
mutants: ## Change the pure decisions one by one: each change must fail a test (installs cargo-mutants)
	@$(CARGO) mutants --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants
	$(CARGO) mutants --package actorgrid --no-default-features $(addprefix --file ,$(PURE)) -- --lib
	$(CARGO) mutants --package actorgrid $(addprefix --file ,$(PURE_ETCD)) -- --lib -- registry::etcd::liveness \
		registry::etcd::member_version
