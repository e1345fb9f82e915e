# sea: build, set-up, tests. `make help` lists the targets.
#
# Objects go to $(BUILD)/<folder>/; variants (asan, clang) have build folders of their own.
# A library per layer keeps the direction of includes honest: kernels.a needs nothing,
# engine.a needs kernels.a, pipeline.a both, scheduler.a all.

BUILD   ?= build/dev
CC      ?= gcc
OPT     ?= -O3
JOBS    ?= $(shell nproc)
DEVELOPER ?= $(if $(CI),1)
V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)
comma    := ,
say      = $(if $(filter 1,$(V)),@:,@printf '  %-5s %s\n' '$1' '$2')

PACKAGES := gcc g++ make pkg-config libpq-dev libcurl4-openssl-dev libyaml-dev libcunit1-dev \
            libjansson-dev libturbojpeg0-dev libpng-dev zlib1g-dev libwebp-dev libfreetype-dev \
            libssl-dev libpcre2-dev libutf8proc-dev libmicrohttpd-dev libsnappy-dev libzstd-dev \
            postgresql \
            libc6-dev fonts-noto-color-emoji unicode-cldr-core wordnet-base
# Tests that find their package missing say SKIP and why.
TEST_PACKAGES := pgbouncer
LINT_PACKAGES := clang clang-tidy clang-format cppcheck

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wformat=2 -Wundef -fno-common
# Codecs of Parquet files: without these libraries such files are refused by name.
CODECS  := $(shell for lib in snappy libzstd; do pkg-config --exists $$lib && echo $$lib; done)
DEFINES := -D_POSIX_C_SOURCE=200809L -D_XOPEN_SOURCE=700 -D_DEFAULT_SOURCE \
           $(if $(filter snappy,$(CODECS)),-DSEA_HAVE_SNAPPY) \
           $(if $(filter libzstd,$(CODECS)),-DSEA_HAVE_ZSTD)
# Contraction of a*b+c into one rounding is written out where it is wanted, so that two
# compilers, and two builds, give the same bits.
CFLAGS_ALL = -std=c17 $(OPT) -g $(WARN) $(if $(DEVELOPER),-Werror) $(DEFINES) -I. -I$(BUILD)/gen \
             -ffp-contract=off -fno-math-errno -pthread $(SANITIZE) $(CFLAGS)

pkg      = $(shell pkg-config --$1 libpq libcurl yaml-0.1 jansson libturbojpeg libpng libwebp \
             freetype2 zlib libcrypto libpcre2-8 libutf8proc libmicrohttpd $(CODECS) 2>/dev/null)
PKG_CFLAGS := $(call pkg,cflags)
PKG_LIBS    = $(call pkg,libs)
LIBS        = $(PKG_LIBS) -ldl -lm -pthread

src      = $(sort $(wildcard $(addsuffix /*.c,$1)))
objs     = $(patsubst %.c,$(BUILD)/%.o,$1)

KERNELS_SRC   := $(call src,kernels/cpu)
ENGINE_SRC    := $(call src,engine/base engine)
PIPELINE_SRC  := $(call src,pipeline pipeline/scenes pipeline/benchmarks pipeline/stages)
SCHEDULER_SRC := $(filter-out scheduler/main.c,$(call src,scheduler scheduler/cmd))
TESTS_C       := $(call src,tests/unit tests/kernels tests/gpu tests/engine tests/pipeline \
                   tests/scheduler)
BENCH_C       := $(call src,tests/bench)
FUZZ_C        := $(call src,tests/fuzz)

LIB_KERNELS   := $(BUILD)/kernels.a
LIB_ENGINE    := $(BUILD)/engine.a
LIB_PIPELINE  := $(BUILD)/pipeline.a
LIB_SCHEDULER := $(BUILD)/scheduler.a
LIB_TEST      := $(BUILD)/test.a
SEA           := $(BUILD)/sea

# The CUDA back end: a plugin where the toolkit is found (CUDA= switches it off), and the same
# sources on emulated threads, for the tests of every machine.
NVCC          ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA          ?= $(NVCC)
CUDA_SRC      := $(sort $(wildcard kernels/cuda/*.cu))
CUDA_ARCH     ?= -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
                 -gencode arch=compute_80,code=compute_80
CUDA_PLUGIN   := $(if $(CUDA),$(BUILD)/libsea_cuda.so)
CUDA_EMU      := $(BUILD)/tests/gpu/libsea_cuda.so
CUDA_CHECK    := $(BUILD)/tests/gpu/libsea_cuda_check.so $(BUILD)/tests/gpu/faults

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help deps deps-lint demo test asan lint layers headers fmt fmt-check bench \
        tests clean install clang test-gpu fuzz

## all        build build/sea (default)
# build/sea leads to the last one built, whatever BUILD was.
LINK := $(patsubst build/%,%,$(if $(filter build/%,$(BUILD)),$(BUILD),$(abspath $(BUILD)))/sea)
all: $(SEA) $(CUDA_PLUGIN)
	@[ "$$(readlink build/sea)" = '$(LINK)' ] || { mkdir -p build; ln -sfn '$(LINK)' build/sea; }

## help       this list
help:
	@sed -n 's/^## /  make /p' Makefile

## deps       install the Debian/Ubuntu packages that are missing (root or sudo)
deps:
	$(Q)tests/check/deps.sh $(PACKAGES)
deps-lint:
	$(Q)tests/check/deps.sh $(LINT_PACKAGES)

$(LIB_KERNELS):   $(call objs,$(KERNELS_SRC))
$(LIB_ENGINE):    $(call objs,$(ENGINE_SRC))
$(LIB_PIPELINE):  $(call objs,$(PIPELINE_SRC))
$(LIB_SCHEDULER): $(call objs,$(SCHEDULER_SRC))
$(LIB_TEST):      $(BUILD)/tests/sea_test.o
%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@; ar rcs $@ $^

# SQL text is embedded: every migration and every named query becomes a C string.
SQL_SRC := $(sort $(wildcard sql/migrations/*.sql sql/migrations/down/*.sql sql/queries/*.sql))
$(BUILD)/gen/sea_sql_text.inc: tests/check/embed_sql.awk $(SQL_SRC)
	$(call say,SQL,$@)
	@mkdir -p $(@D)
	$(Q)awk -f tests/check/embed_sql.awk $(SQL_SRC) > $@
$(call objs,$(SCHEDULER_SRC)): | $(BUILD)/gen/sea_sql_text.inc
$(BUILD)/scheduler/sql_text.o: $(BUILD)/gen/sea_sql_text.inc

# A codec whose library came later is compiled in by the next make.
.PHONY: codecs
$(BUILD)/gen/codecs: codecs
	@mkdir -p $(@D); echo '$(CODECS)' | cmp -s - $@ || echo '$(CODECS)' > $@
$(BUILD)/pipeline/parquet_codec.o: $(BUILD)/gen/codecs

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

$(SEA): $(BUILD)/scheduler/main.o $(LIB_SCHEDULER) $(LIB_PIPELINE) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS)

CUDA_FLAGS := -std=c++20 -O3 -I. -Xcompiler \
    -fPIC,-fvisibility=hidden,-Wall,-Wextra$(if $(DEVELOPER),$(comma)-Werror)
CUDA_H := $(wildcard kernels/cuda/*.h) kernels/sea_ops.h
$(BUILD)/kernels/cuda/%.o: kernels/cuda/%.cu $(CUDA_H)
	$(call say,NVCC,$<)
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(CUDA_FLAGS) $(CUDA_ARCH) --threads 0 -c -o $@ $<
$(BUILD)/libsea_cuda.so: $(patsubst %.cu,$(BUILD)/%.o,$(CUDA_SRC))
	$(call say,LD,$@)
	$(Q)$(NVCC) -shared -cudart static -Xcompiler -static-libstdc++,-static-libgcc -o $@ $^ -ldl
EMU_FLAGS := -std=c++20 -O2 -g -Wall -Wextra $(if $(DEVELOPER),-Werror) -DSEA_CUDA_EMU -I. \
    -Itests/gpu/emu -fPIC -fvisibility=hidden -ffp-contract=off
# The same with every access to memory looked at (emu/check.cc), and with products joined to sums
# as a card does it, where the processor can.
CHECK_FLAGS := -fsanitize=thread -fsanitize=alignment -fno-sanitize-recover=alignment \
    $(if $(shell grep -m 1 -w fma /proc/cpuinfo),-mfma -ffp-contract=fast)
EMU_H     := $(wildcard tests/gpu/emu/*.h)
EMU_OBJS  := $(patsubst %.cu,$(BUILD)/tests/gpu/emu/%.o,$(notdir $(CUDA_SRC)))
EMU_REST  := $(patsubst %,$(BUILD)/tests/gpu/emu/%.o,emu stream)
CHECK_OBJS := $(patsubst %.cu,$(BUILD)/tests/gpu/check/%.o,$(notdir $(CUDA_SRC)))
$(BUILD)/tests/gpu/emu/%.o: kernels/cuda/%.cu $(CUDA_H) $(EMU_H)
	$(call say,EMU,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(EMU_FLAGS) -x c++ -c -o $@ $<
$(BUILD)/tests/gpu/emu/%.o: tests/gpu/emu/%.cc $(EMU_H)
	$(call say,EMU,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(EMU_FLAGS) -c -o $@ $<
$(BUILD)/tests/gpu/check/%.o: kernels/cuda/%.cu $(CUDA_H) $(EMU_H)
	$(call say,CHECK,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(EMU_FLAGS) $(CHECK_FLAGS) -x c++ -c -o $@ $<
$(BUILD)/tests/gpu/check/faults.o: tests/gpu/emu/faults.cc $(CUDA_H) $(EMU_H)
	$(call say,CHECK,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(EMU_FLAGS) $(CHECK_FLAGS) -c -o $@ $<
$(CUDA_EMU): $(EMU_OBJS) $(EMU_REST)
	$(call say,LD,$@)
	$(Q)$(CXX) -shared -static-libstdc++ -static-libgcc -o $@ $^
$(BUILD)/tests/gpu/libsea_cuda_check.so: $(CHECK_OBJS) $(EMU_REST) $(BUILD)/tests/gpu/emu/check.o
	$(call say,LD,$@)
	$(Q)$(CXX) -shared -static-libstdc++ -static-libgcc -o $@ $^ -ldl
$(BUILD)/tests/gpu/faults: $(BUILD)/tests/gpu/check/faults.o $(EMU_REST) $(BUILD)/tests/gpu/emu/check.o
	$(call say,LD,$@)
	$(Q)$(CXX) -o $@ $^ -ldl

TEST_BINS  := $(patsubst %.c,$(BUILD)/%,$(filter %.c,$(foreach f,$(TESTS_C),$(if $(findstring /test_,$(f)),$(f)))))
BENCH_BINS := $(patsubst %.c,$(BUILD)/%,$(foreach f,$(BENCH_C),$(if $(findstring /bench_,$(f)),$(f))))
$(BUILD)/tests/kernels/test_%: $(BUILD)/tests/kernels/test_%.o $(LIB_TEST) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcunit $(LIBS)
$(BUILD)/tests/gpu/test_cuda: $(patsubst %,$(BUILD)/tests/gpu/%.o,cuda_memory cuda_products cuda_rows)
$(BUILD)/tests/gpu/test_%: $(BUILD)/tests/gpu/test_%.o $(LIB_TEST) $(LIB_KERNELS) | $(CUDA_EMU) $(CUDA_CHECK)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcunit $(LIBS)
$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(LIB_TEST) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcunit $(LIBS)
$(BUILD)/tests/engine/test_%: $(BUILD)/tests/engine/test_%.o $(LIB_TEST) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcunit $(LIBS)
$(BUILD)/tests/pipeline/test_%: $(BUILD)/tests/pipeline/test_%.o $(LIB_TEST) $(LIB_PIPELINE) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcunit $(LIBS)
$(BUILD)/tests/scheduler/test_%: $(BUILD)/tests/scheduler/test_%.o $(LIB_TEST) $(LIB_SCHEDULER) $(LIB_PIPELINE) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcunit $(LIBS)
# The fault suite: a runner, a stage of milliseconds, a shim that is preloaded into workers.
FAULT      := $(addprefix $(BUILD)/tests/fault/,fault stage shim.so)
$(BUILD)/tests/fault/shim.so: tests/fault/shim.c tests/fault/control.h
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -fPIC -shared -o $@ $< -ldl
$(BUILD)/tests/fault/stage: $(BUILD)/tests/fault/stage.o $(LIB_PIPELINE) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(LIBS)
$(BUILD)/tests/fault/fault: $(patsubst %,$(BUILD)/tests/fault/%.o,fault history kinds points proxy) $(LIB_TEST) $(LIB_SCHEDULER) $(LIB_PIPELINE) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -Wl,--as-needed -o $@ $^ -lcunit $(LIBS)
# Weights of many gigabytes are drawn on the device: a function of the program takes the place of
# the engine's.
$(BUILD)/tests/bench/bench_gpu: $(patsubst %,$(BUILD)/tests/bench/%.o,bench_gpu gpu_models \
        gpu_trace gpu_train gpu_answer gpu_limits) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -Wl,--wrap=sea_params_fill -o $@ $^ $(LIBS)
$(BUILD)/tests/bench/bench_%: $(BUILD)/tests/bench/bench_%.o $(LIB_PIPELINE) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(LIB_PIPELINE) $(LIB_ENGINE) $(LIB_KERNELS)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)

## tests      build the test programs without running them
tests: $(TEST_BINS) $(FAULT) $(SEA)

## demo       the main job on a demo world: from a YAML file to a leaderboard (4 to 8 min)
demo: deps
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)configs/demo.sh

## test       build and run every test; T=pattern runs those whose path matches
test: deps
	$(Q)tests/check/deps.sh $(TEST_PACKAGES) || true
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all tests
	$(Q)BUILD=$(BUILD) T='$(T)' tests/run.sh

## test-gpu   the CUDA back end on a card; EMU=1: on emulated threads, about 10 minutes
test-gpu: all tests
	$(Q)BUILD=$(BUILD) tests/gpu/run.sh

## bench-gpu  what a card reaches beside its limits and beside PyTorch (about 10 min)
## gpu-bundle build/gpu-bundle: both of these for a machine with a card and little else
.PHONY: bench-gpu gpu-bundle
bench-gpu: all $(BUILD)/tests/bench/bench_gpu
	$(Q)BUILD=$(BUILD) tests/bench/gpu.sh
gpu-bundle: all tests $(BUILD)/tests/bench/bench_gpu
	$(Q)BUILD=$(BUILD) tests/gpu/bundle.sh

## test-slurm  stages as jobs of a real Slurm, started here from its packages; takes root
.PHONY: test-slurm
test-slurm: all
	$(Q)SEA_BUILD='$(abspath $(BUILD))' tests/slurm/run.sh

## asan       the C tests under AddressSanitizer and UndefinedBehaviorSanitizer
asan: deps
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/asan OPT='-O1' DEVELOPER=1 \
	    SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' tests
	$(Q)BUILD=build/asan QUICK=1 T='$(T)' tests/run.sh

## oracle     against transformers, PEFT, tokenizers ... of PYTHON (python3); T=pattern (about 10 min)
.PHONY: oracle
oracle: all tests
	$(Q)BUILD='$(BUILD)' PYTHON='$(PYTHON)' T='$(T)' tests/oracle/run.sh

## fault      10,000 seeded faults against the service, and the history checked (about 15 min)
## fault-smoke     a slice of it, part of `make test`
## fault-points    a worker killed at every call in turn
## fault-demo      the demo under kills of workers, stages, schedulers, PostgreSQL: the same bits
## fault-outage    PostgreSQL and disks away for longer than a lease, with real stages (2 min)
## fault-slurm     1,000 submissions against a cluster that lies (3 min)
## fault-mutation  each fence of the service's SQL removed once: each must be missed
.PHONY: fault fault-smoke fault-points fault-demo fault-outage fault-slurm fault-mutation
FAULT_RUNS ?= 10000
FAULT_SEED ?= 1
fault: $(FAULT)
	$(Q)SEA_ROOT=. $(BUILD)/tests/fault/fault --runs $(FAULT_RUNS) --seed $(FAULT_SEED) \
	    --seconds 7200 --report docs/reports/fault.json
fault-smoke: $(FAULT)
	$(Q)SEA_BUILD=$(BUILD) tests/fault/test_fault_smoke.sh
fault-points: $(FAULT)
	$(Q)SEA_ROOT=. $(BUILD)/tests/fault/fault --points 1000 --seconds 600 --report docs/reports/fault-points.json
fault-demo: $(SEA)
	$(Q)REPORT=docs/reports/fault-demo.json SEA_BUILD=$(CURDIR)/$(BUILD) tests/fault/demo.sh
fault-outage: $(SEA)
	$(Q)SEA_BUILD=$(CURDIR)/$(BUILD) tests/fault/outage.sh
fault-slurm: $(BUILD)/tests/scheduler/test_slurm
	$(Q)SEA_ROOT='$(CURDIR)' SEA_SLURM_RUNS=1000 SEA_SLURM_REPORT=docs/reports/slurm-shim.json \
	    $(BUILD)/tests/scheduler/test_slurm many_jobs_with_faults
fault-mutation: $(BUILD)/tests/scheduler/test_fence
	$(Q)SEA_ROOT=. $(BUILD)/tests/scheduler/test_fence

## fuzz       each fuzz program for FUZZ_SECONDS (600) with sanitizers; FUZZ=pattern: only these
FUZZ_SECONDS ?= 600
fuzz:
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ='$(FUZZ)' tests/fuzz/run.sh

## clang      build everything with clang, warnings as errors
clang:
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/clang CC=clang DEVELOPER=1 tests

## lint       directions of includes, headers alone, banned calls, statuses, analysers
lint: layers headers
	$(Q)tests/check/banned.sh
	$(Q)tests/check/statuses.sh
	$(Q)tests/check/lint.sh
layers:
	$(Q)tests/check/layers.sh
headers:
	$(Q)CC='$(CC)' tests/check/headers.sh

## fmt        lay the C files out with clang-format; fmt-check only looks
fmt:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')
fmt-check:
	$(Q)clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')

## bench      GEMM against the FMA peak; a training step against PyTorch where it is installed
bench: all $(BENCH_BINS)
	$(Q)BUILD=$(BUILD) tests/bench/run.sh

## bench-queue     claim and commit of the queue beside pgbench on the same server
.PHONY: bench-queue
bench-queue: all
	$(Q)$(SEA) bench queue

## install    DESTDIR and PREFIX as usual
PREFIX ?= /usr/local
install: all
	install -D -m 755 $(SEA) $(DESTDIR)$(PREFIX)/bin/sea
	$(if $(CUDA_PLUGIN),install -D -m 755 $(CUDA_PLUGIN) $(DESTDIR)$(PREFIX)/lib/sea/libsea_cuda.so)

## clean      remove build/ (the demo's database and data live there, too)
clean:
	@if [ -x build/sea ]; then build/sea down >/dev/null 2>&1 || true; fi
	rm -rf build

-include $(shell find $(BUILD)/ -name '*.d' 2>/dev/null)
.SECONDARY:
