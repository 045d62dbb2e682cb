# The ten minutes with a fresh clone: make, make demo, make test.
GO ?= go

.PHONY: all bin demo test race e2e containers fuzz bench growth microbench check vuln images up down

all: bin

bin: ## both programs into bin/, static
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/mailnode ./cmd/mailctl

demo: ## the product, running, on loopback
	$(GO) run ./cmd/mailnode demo

test: ## quick, no network beyond loopback
	$(GO) test ./...

race:
	$(GO) test -race ./...

e2e: ## whole nodes as processes only
	$(GO) test -count=1 ./tests/...

containers: ## docker-compose.yml under stress; as root, some minutes
	DOMICILE_CONTAINERS=1 $(GO) test -count=1 -v -timeout 20m ./tests/containers

fuzz: ## every fuzz target for FUZZTIME
	./.ci/fuzz $(or $(FUZZTIME),10s)

bench: ## beside Dovecot where it is installed; as root, some 25 minutes; N=small and ROUNDS=1 for a first look
	$(GO) run ./tests/bench $(if $(filter small,$(N)),-short) $(if $(ROUNDS),-rounds $(ROUNDS))

growth: ## what an operation of the store costs as a mailbox, an account and a node grow; a quarter of an hour
	$(GO) run ./tests/bench/growth

microbench: ## single functions
	$(GO) test -run '^$$' -bench . -benchmem ./audit ./store/...

check: ## format, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

vuln: ## needs a network
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

images: bin ## one image FROM scratch, used by docker-compose.yml
	docker build -t domicile:dev .

up: images
	docker-compose up -d

down:
	docker-compose down -v
