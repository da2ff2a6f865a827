# Feldfon. Bare `make` lists the targets. Each sees first to all it needs, also in a fresh clone; what is there already
# costs nothing. From Node to voices: bin/toolchain, package-lock.json, system-packages.txt.

.DEFAULT_GOAL := help
.PHONY: help toolchain install atlas build check test demo run run-terminal pictures run-server run-handset vault leakscan check-arm64 fuzz bench clean system-test system-demo system-leakscan system-fuzz system-arm64

# Only the toolchain's Node and npm are used, and native modules are built against its headers, whatever a user's npm
# configuration says.
export PATH := $(CURDIR)/.toolchain/bin:$(PATH)
export npm_package_config_node_gyp_nodedir := $(CURDIR)/.toolchain/nodedir

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r target does; do printf '%-20s %s\n' "$$target" "$$does"; done

toolchain: ## Node 24 and npm into .toolchain/, unless the system's are new enough
	@bin/toolchain

install: toolchain ## the packages of package-lock.json into node_modules/
	@cmp -s package-lock.json node_modules/.installed-lock || \
	  { npm ci && cp package-lock.json node_modules/.installed-lock; }

atlas: install ## the display's lettering, made of the font in fonts/
	@bin/feldfon-node fonts/build.ts

# Without a compiler or a network everything runs all the same, on the vault that calls itself degraded.
vault: toolchain ## the native vault and, the first time, its own OpenSSL (a minute or two)
	@if bin/system-packages vault && folder=$$(hw/vault/libcrypto/build); then hw/vault/napi/build "$$folder"; \
	elif [ ! -f hw/vault/build/vault.node ]; then echo "vault: without its own OpenSSL keys lie in ordinary memory (degraded); make vault tries again" >&2; fi

build: atlas ## compile to dist/ (the programs run without: Node reads TypeScript)
	npm run --silent build
	mkdir -p dist/.cache && cp -r .cache/atlas dist/.cache/

check: install ## lint, format, types
	npm run --silent check

test: system-test atlas vault ## every test
	npm run --silent test

demo: system-demo atlas vault ## a server and two handsets call each other, and a table says how it went
	@npm run --silent demo -- $(ARGS)

run: atlas vault ## a server, two handsets, and a page in the browser to press them; prints its address
	@bin/run

run-terminal: atlas vault ## a server and a handset in this terminal; prints the command for a second one
	@bin/run --terminal

run-server: install vault ## only the server, e.g. make run-server ARGS="--data /tmp/feldfon --port 6000"
	@bin/feldfon-server $(ARGS)

run-handset: atlas vault ## only a handset, e.g. make run-handset ARGS="--server HOST:5060 --server-key UID --name berta"
	@bin/feldfon-handset $(ARGS)

pictures: system-test atlas ## make docs/pictures/ (chromium) and docs/screens/ anew
	@bin/feldfon-node --disable-warning=ExperimentalWarning test/firmware/handset/pictures.ts
	@bin/feldfon-node --disable-warning=ExperimentalWarning test/browser/pictures.ts

leakscan: system-leakscan atlas vault ## search the memory of a server and two handsets for their keys (root, minutes)
	@npm run --silent leakscan -- $(ARGS)

check-arm64: system-arm64 install ## the vault's core as a Raspberry Pi has it, under an emulator
	@test/hw/vault/core/arm64

fuzz: system-fuzz install vault ## look for calls that break the vault's core (clang; MINUTES=10), and keep what reaches more of it
	@bin/feldfon-node test/fuzz/main.ts --minutes $(or $(MINUTES),10)

bench: install ## measure, e.g. make bench ARGS="merkle --json"; without ARGS the list
	@npm run --silent bench -- $(or $(ARGS),--list)

clean: ## remove what was built; toolchain, packages and every handset's data stay
	rm -rf dist coverage

system-test system-demo system-leakscan system-fuzz system-arm64: system-%:
	@bin/system-packages $*
