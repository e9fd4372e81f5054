# The two commands to know: `make conformance` proves the emulated ESP32 and writes a report; `make test` checks mqtthil.

GO ?= go

.PHONY: conformance build test setup lint race realtime bench soak fuzz clean

conformance: build
	bin/mqtthil run

build:
	$(GO) build -o bin/mqtthil ./cmd/mqtthil

# test is everything that a change has to pass. The scenarios run as part of `race` in virtual time, sound and with
# every planted defect, and once more in real time.
test: setup lint race realtime

# Debian's packages for the tests, beside Go: a C compiler for the race detector, a real broker, stunnel, through which
# the emulated board and the bench speak TLS with a pre-shared key, and openssl, a TLS client that is not Go's. To build
# and run mqtthil none is needed, but for stunnel with such a key. Without apt-get nothing is installed, and the tests that
# need the last three say so.
setup:
	@PATH="$$PATH:/usr/sbin"; \
	command -v gcc >/dev/null && command -v mosquitto >/dev/null && command -v stunnel >/dev/null && \
	command -v openssl >/dev/null || \
	! command -v apt-get >/dev/null || { \
		echo "installing gcc, mosquitto, openssl and stunnel for the tests"; \
		apt-get update -qq && apt-get install -y -qq gcc libc6-dev mosquitto openssl stunnel4; }

lint:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	GOARCH=arm $(GO) vet ./... # where an int has 32 bits
	$(GO) tool staticcheck ./...

race:
	$(GO) test -race ./...

realtime: build
	bin/mqtthil run --time real --out out/realtime

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# soak sends ten million packets over 2,000 connections through the proxy, and prints what it measured.
soak:
	MQTTHIL_SOAK=full $(GO) test -run '^TestSoak$$' -v -count 1 -timeout 15m ./faults

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
