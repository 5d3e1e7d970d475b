# What is done by hand now and then. CI runs .ci/run, which needs no make.

GO       ?= go
FUZZTIME ?= 30s
TOOL      = $(GO) tool -modfile=tools.mod
# Options of the benchmarks, such as BENCH='-models onnx -python venv/bin/python'.
BENCH    ?=

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## build bin/ropewalk
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/ropewalk ./cmd/ropewalk

.PHONY: test
test: ## run the tests
	$(GO) test ./...

.PHONY: check
check: ## format, lint, and run the tests: what a change has to pass
	$(TOOL) golangci-lint fmt
	$(TOOL) golangci-lint run
	$(GO) test ./...

.PHONY: race
race: ## run the tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./...

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	FUZZTIME=$(FUZZTIME) bash .ci/fuzz

.PHONY: external
external: ## compare with other programs: ROPEWALK_PYTHON, ROPEWALK_MODELS
	$(GO) test -tags external -count=1 ./...

.PHONY: cover
cover: ## write build/cover.html
	@mkdir -p build
	$(GO) test -coverpkg=./... -coverprofile=build/cover.out ./...
	$(GO) tool cover -html=build/cover.out -o build/cover.html

.PHONY: bench
bench: build ## compare sizes and speeds with other programs: build/bench.md, options in BENCH
	@mkdir -p build
	$(GO) run ./internal/bench/pack -ropewalk bin/ropewalk $(BENCH) > build/bench.md

.PHONY: bench-codec
bench-codec: ## compare the coders of quantized weights with others: build/bench-codec.md, options in BENCH
	@mkdir -p build
	$(GO) run ./internal/bench/codec $(BENCH) > build/bench-codec.md

.PHONY: bench-hemp
bench-hemp: build ## train networks to be small, and tell how small: build/bench-hemp.md, options in BENCH such as -quick
	@mkdir -p build
	$(GO) run ./internal/bench/hemp -ropewalk bin/ropewalk $(BENCH) > build/bench-hemp.md

.PHONY: bench-hemp-cost
bench-hemp-cost: ## measure what a step costs that makes networks small: build/bench-hemp-cost.md
	@mkdir -p build
	$(GO) run ./internal/bench/hemp -cost > build/bench-hemp-cost.md

.PHONY: bench-lady
bench-lady: ## measure how well neurons are found again: build/bench-lady.md, options in BENCH, such as BENCH=-quick
	@mkdir -p build
	$(GO) run ./internal/bench/align $(BENCH) > build/bench-lady.md

.PHONY: bench-engine
bench-engine: ## compare training and inference with PyTorch and ONNX Runtime: build/bench-engine.md, options in BENCH
	@mkdir -p build
	$(GO) build -o build/bench-engine ./internal/bench/engine
	build/bench-engine $(BENCH) > build/bench-engine.md

.PHONY: bench-mark
bench-mark: ## measure what marks survive and cost: build/bench-mark.md, options in BENCH (-quick takes seconds)
	@mkdir -p build
	$(GO) run ./internal/bench/mark $(BENCH) > build/bench-mark.md

.PHONY: bench-lineage
bench-lineage: ## measure whether what is said of two networks is true: build/bench-lineage.md, options in BENCH, such as BENCH=-quick
	@mkdir -p build
	$(GO) run ./internal/bench/lineage $(BENCH) > build/bench-lineage.md
