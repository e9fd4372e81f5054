# The two commands to know: `make conformance` proves the emulated ESP32 and writes a report; `make test` checks mqtthil.

GO ?= go

.PHONY: conformance build test setup lint race realtime bench fuzz clean

conformance: build
	bin/mqtthil run

build:
	$(GO) build -o bin/mqtthil ./cmd/mqtthil

# test is everything that a change has to pass. The scenarios run as part of `race` in virtual time, sound and with
# every planted defect, and once more in real time.
test: setup lint race realtime

# The race detector needs a C compiler, which is all that a fresh Debian machine with Go lacks.
setup:
	@command -v gcc >/dev/null || { \
		echo "installing gcc for the race detector"; \
		apt-get update -qq && apt-get install -y -qq gcc libc6-dev; }

lint:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

race:
	$(GO) test -race ./...

realtime: build
	bin/mqtthil run --time real --out out/realtime

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# fuzz gives each fuzz target FUZZTIME.
FUZZTIME ?= 10s
fuzz:
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

clean:
	rm -rf bin out
