# The thin face of the house: each word calls a script or CMake. `make help` says which words there are.
.DEFAULT_GOAL := release
.PHONY: release debug extension demo test bench soak lint format check install uninstall clean help setup

setup: ; @tools/setup build

release: setup ## build the library and the command (build/release/basalt)
	@cmake --preset release -Wno-dev --log-level=WARNING
	@cmake --build --preset release

debug: setup ## build with assertions and tests (build/debug)
	@cmake --preset debug -Wno-dev --log-level=WARNING
	@cmake --build --preset debug

extension: ## the same with the DuckDB extension (build/release/basalt.duckdb_extension)
	@tools/setup extension
	@$(MAKE) --no-print-directory release

demo: ## record, kill, recover and read on this machine: about 25 seconds once built
	@tools/setup demo
	@$(MAKE) --no-print-directory release
	@tools/demo

test: ## install what the tests need and run them all, sanitizers included
	@tools/setup test
	@tools/run-tests

bench: ## the figures, with their peers in the same run
	@tools/setup test
	@$(MAKE) --no-print-directory release
	@bench/run

soak: ## the long runs: many random histories, kills and images (SOAK_MINUTES=30)
	@tools/setup test
	@tools/soak

lint: check
check: ## format, floors, exports, limits, spelling, headers
	@tools/setup test
	@$(MAKE) --no-print-directory release
	@tools/check

format: ## apply .clang-format
	@tools/setup test
	@tools/check --format

# PREFIX=/usr/local DESTDIR=
install: release ## library, headers, pkg-config, CMake package and command (PREFIX, DESTDIR)
	@DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(or $(PREFIX),/usr/local)"

uninstall: ## remove what the last install from here put there (DESTDIR)
	@DESTDIR="$(DESTDIR)" tools/uninstall build/release

clean: ## remove what was built; what was downloaded stays
	@rm -rf build/release build/debug build/asan build/tsan build/clang build/coverage

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16
