# Sources of each program, found by directory.

COMMON_SRC   := $(sort $(wildcard common/*.c common/*/*.c))
DRIVER_SRC   := $(sort $(wildcard driver/*.c driver/*/*.c))
PROVIDER_SRC := $(sort $(wildcard provider-azure/*.c provider-azure/*/*.c))
CTL_SRC      := $(sort $(wildcard ctl/*.c))
EMULATOR_SRC := $(sort $(wildcard test/emulator/*.c))
UNIT_SRC     := $(sort $(wildcard test/unit/test_*.c))
ifeq ($(VARIANT),static)
# They replace functions of libraries (malloc() and free(), libuv's clock), which only the dynamic linker allows.
UNIT_SRC := $(filter-out test/unit/test_secret.c test/unit/test_%_memory.c test/unit/test_resolver.c,$(UNIT_SRC))
endif
FUZZ_SRC     := $(sort $(wildcard test/fuzz/fuzz_*.c))
BENCH_SRC    := test/bench/main.c
LOAD_SRC     := test/bench/cluster_load.c
FLOOR_SRC    := $(sort $(wildcard test/bench/floor_*.c))
PROTOS       := $(sort $(wildcard proto/*.proto))

PROTO_GEN := $(PROTOS:%.proto=$(GEN)/%.pb-c.c)
PROTO_HDR := $(PROTOS:%.proto=$(GEN)/%.pb-c.h)
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

COMMON_LIB   := $(B)/libcommon.a
DRIVER_LIB   := $(B)/libdriver.a
PROVIDER_LIB := $(B)/libprovider.a

PROGRAMS := $(BIN)/secrets-store-driver $(BIN)/secrets-store-provider-azure $(BIN)/secrets-store-ctl
EMULATOR := $(BIN)/vault-emulator
BENCH    := $(BIN)/secrets-store-bench
LOAD     := $(BIN)/cluster-load
FLOORS   := $(patsubst test/bench/floor_%.c,$(BIN)/floor-%,$(FLOOR_SRC))
UNITS    := $(UNIT_SRC:test/unit/%.c=$(B)/unit/%)
FUZZERS  := $(FUZZ_SRC:test/fuzz/%.c=$(B)/fuzz/%)
