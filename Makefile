# The ten minutes with a fresh clone: make, make demo, make test.
GO ?= go

# Where install puts things: below DESTDIR when a package is made.
DESTDIR ?=
PREFIX ?= /usr/local
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
BIN ?= bin

.PHONY: all bin man install demo test race e2e containers fuzz bench growth microbench check vuln images up down

all: bin

bin: ## both programs into bin/, static
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ ./cmd/mailnode ./cmd/mailctl

man: bin ## manual pages of both programs and of node.toml into bin/man
	rm -rf $(BIN)/man
	$(abspath $(BIN))/mailctl man --to $(BIN)/man
	$(abspath $(BIN))/mailnode man --to $(BIN)/man

install: man ## programs, manual pages, completions and the systemd unit below DESTDIR and PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 0755 $(BIN)/mailnode $(BIN)/mailctl $(DESTDIR)$(PREFIX)/bin/
	install -m 0644 $(BIN)/man/*.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 0644 $(BIN)/man/*.5 $(DESTDIR)$(MANDIR)/man5/
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' docs/mailnode.service > $(DESTDIR)$(UNITDIR)/mailnode.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/mailnode.service
	for p in mailnode mailctl; do \
		$(abspath $(BIN))/$$p completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$p && \
		$(abspath $(BIN))/$$p completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$p && \
		$(abspath $(BIN))/$$p completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$p.fish || exit 1; done

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
