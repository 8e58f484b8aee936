# make help lists what there is.
.DEFAULT_GOAL := help
.PHONY: run build test test-ad test-asterisk check fmt bench bench-go fuzz soak soak-cluster soak-presence tools clean help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -X github.com/deskline/deskline/app.version=$(VERSION)
TOOLS   := bin/tools/golangci-lint bin/tools/govulncheck

run: build ## build and run the demo node on http://localhost:5280/
	bin/deskline serve

build: ## build bin/deskline
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/deskline ./cmd/deskline

test: ## run every test, installing what they need if it may
	@scripts/test.sh

test-ad: ## test the directory against a domain controller of Samba, as root (apt-get install samba-ad-dc)
	go test -tags samba -count 1 -v -run ActiveDirectory ./ldap

test-asterisk: ## test telephone switches against a real Asterisk, of another Debian's packages
	scripts/asterisk.sh || sudo scripts/asterisk.sh
	go test -race -tags asterisk -count 1 -run 'Asterisk|TestStart' ./presence/ami ./presence/ari ./presence/sip ./app ./internal/asterisktest

check: $(TOOLS) ## check format, linters, vet and known vulnerabilities
	@scripts/check.sh

fmt: bin/tools/golangci-lint ## format the Go code
	bin/tools/golangci-lint fmt ./...

bench: build ## measure beside a bare relay and the servers that are installed: make bench ARGS="-servers relay,deskline"
	go build -o bin/bench ./bench/report
	bin/bench -deskline bin/deskline $(ARGS)

bench-go: ## run the Go benchmarks of the hot paths, six times for benchstat
	go test -run '^$$' -bench . -benchmem -count 6 $$(go list ./... | grep -v /bench/)

fuzz: ## run each fuzz target for FUZZTIME seconds (120)
	scripts/fuzz.sh $(or $(FUZZTIME),120)

soak: build ## thousands of sessions with cuts, reloads and repeats: make soak ARGS="-duration 10m"
	go build -o bin/soak ./bench/soak
	bin/soak -deskline bin/deskline $(ARGS)

soak-cluster: build ## nodes, networks and Redis fail while clients talk: make soak-cluster ARGS="-duration 30m"
	go build -o bin/soak-cluster ./bench/cluster
	bin/soak-cluster -deskline bin/deskline $(ARGS)

soak-presence: build ## the same while telephones, calendars and people change: make soak-presence ARGS="-duration 10m"
	go build -o bin/soak-presence ./bench/presence
	bin/soak-presence -deskline bin/deskline $(ARGS)

tools: $(TOOLS) ## build the linters

# The tools have a module of their own, so that what they need is not ours.
bin/tools/golangci-lint: tools/go.mod tools/go.sum
	cd tools && go build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/tools/govulncheck: tools/go.mod tools/go.sum
	cd tools && go build -o ../$@ golang.org/x/vuln/cmd/govulncheck

clean: ## remove what was built (the data of the demo node stay in ./data)
	rm -rf bin

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
