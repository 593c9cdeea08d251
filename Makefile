# Every target sets up what it needs on a new Debian machine: see scripts/setup.

PREFIX ?= /usr/local
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin

# .cargo/config.toml names the host as target, so cargo puts artefacts under its triple.
# Expanded where used, because rustc may be there only after scripts/setup.
OUT = $(or $(CARGO_TARGET_DIR),target)/$(shell rustc --print host-tuple)/release

# What --version says it was built from; nothing where there is no repository.
ifndef TARE_COMMIT
export TARE_COMMIT := $(shell git describe --always --dirty --abbrev=40 2>/dev/null)
endif

.PHONY: tare run test test-hosts test-engines compat runc-suite conformance fuzz bench bench-hosts bench-unpack lint install clean

# The release binary, at ./tare.
tare:
	@scripts/setup build
	cargo build --release
	@ln -sf $(OUT)/tare tare

# Runs a small container that prints what it sees of itself.
run: tare
	cargo build --quiet --release --example inside
	@scripts/demo ./tare $(OUT)/examples/inside

# The project's own tests, here and on other kinds of hosts, then the upstream suite; without
# Go the latter counts as skipped.
test: tare
	@scripts/setup test
	cargo test
	-@scripts/setup hosts
	@RUNTIME=./tare tests/hosts/run
	-@scripts/setup conformance
	@RUNTIME=./tare tests/oci-conformance/run
	-@scripts/setup engines
	@RUNTIME=./tare tests/engines/run --short
	@RUNTIME=./tare tests/runc-compat/run

# Real engines use tare, and runc for comparison; then tare under cgroup v2 with systemd, and under
# load (see tests/engines/README.md).
test-engines: tare
	@scripts/setup engines
	@scripts/setup cri
	-@scripts/setup hosts
	@RUNTIME=./tare tests/engines/all

# The same calls to tare and to runc, compared (see tests/runc-compat/README.md).
compat: tare
	@scripts/setup engines
	@RUNTIME=./tare tests/runc-compat/run

# runc's own integration tests, with tare (see tests/runc-suite/README.md).
runc-suite: tare
	@scripts/setup runc-suite
	@RUNTIME=./tare tests/runc-suite/run

# Our own tests on other kinds of hosts alone (see tests/hosts/run).
test-hosts: tare
	-@scripts/setup hosts
	@RUNTIME=./tare tests/hosts/run

# The upstream runtime-tools suite alone.
conformance: tare
	@scripts/setup conformance
	@RUNTIME=./tare tests/oci-conformance/run

# Runs each fuzz target for SECONDS; TARGETS are all of fuzz/fuzz_targets, or those named.
SECONDS ?= 60
fuzz:
	@scripts/setup fuzz
	fuzz/run $(SECONDS) $(TARGETS)

# Compares with the runtimes found here, and on cgroup v2; ARGS are the benchmark's (see
# benches/README.md).
bench:
	@scripts/setup bench
	cargo bench --bench peers -- $(ARGS)
	-@scripts/setup hosts
	benches/on-hosts $(ARGS)

# On cgroup v2, by its files and by systemd, alone.
bench-hosts:
	@scripts/setup bench
	-@scripts/setup hosts
	benches/on-hosts $(ARGS)

# Compares unpacking an image with what else unpacks images here. Makes one first: it takes root,
# the network, and minutes.
bench-unpack: tare
	@scripts/setup bench-unpack
	benches/unpack/run $(ARGS) ./tare

lint:
	@scripts/setup lint
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --profile init --package tare-init --features program --bin tare-init -- -D warnings
	shellcheck $(filter-out scripts/syscall-tables,$(wildcard scripts/*)) .ci/run tests/oci-conformance/run fuzz/run benches/on-hosts benches/unpack/run benches/unpack/images
	cd tests/engines && shellcheck all run load private-machine build-cri on-v2 *.sh
	cd tests/runc-compat && shellcheck run *.sh
	shellcheck tests/runc-suite/run tests/runc-suite/build
	cd tests/hosts && shellcheck run machine guest-tests guest/job guest/as-user

# The binary, its man pages and the shells' completions.
install: tare
	install -D -m 755 $(OUT)/tare $(DESTDIR)$(PREFIX)/bin/tare
	cargo run --quiet --release --example manual $(DESTDIR)$(PREFIX)/share

clean:
	cargo clean
	rm -f tare
