# Compiler and linker flags per variant, and the libraries.

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 -Wvla -Wpointer-arith -Wwrite-strings -Wundef -Wimplicit-fallthrough \
	-Wdouble-promotion
# clang also warns in macros of system headers, and protobuf-c's INIT macros cast `const` away.
ifeq ($(findstring clang,$(notdir $(firstword $(CC)))),)
WARNINGS += -Wcast-qual
endif
# Warnings are fatal by default. With a compiler newer than ours, build with WERROR=
WERROR ?= -Werror

# 1 if the compiler accepts the flag.
cc-option = $(shell printf 'int main(void){return 0;}' | $(CC) -Werror $(1) -x c -S - -o /dev/null >/dev/null 2>&1 && echo '$(1)')

HARDEN := -fstack-protector-strong -fPIE $(call cc-option,-fstack-clash-protection) $(call cc-option,-fcf-protection) \
	$(call cc-option,-ftrivial-auto-var-init=zero)
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed

# Beside the machine code of an object, for the programs that are optimized as a whole (mk/rules.mk); none with `LTO=`.
# With them the assembler writes the directory of the sources into debug information: the option gives it another name.
LTO := -flto -ffat-lto-objects -Wa,--debug-prefix-map=$(CURDIR)=/src

OPT_release := -O2 -g -DNDEBUG -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(if $(call cc-option,-O2 -D_FORTIFY_SOURCE=3),3,2)
OPT_debug   := -Og -g3
OPT_static   = -O2 -g -DNDEBUG $(LTO) -ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)=/src -ffile-prefix-map=$(abspath $(STATIC_DEPS))=/deps
OPT_asan    := -O1 -g3 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
OPT_coverage := -O0 -g --coverage -fprofile-update=atomic
OPT_fuzz    := -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -O1 -g3 -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
LD_asan     := -fsanitize=address,undefined
LD_coverage := --coverage
LD_fuzz     := -fsanitize=address,undefined
LD_static   := -Wl,--gc-sections

ifeq ($(OPT_$(VARIANT)),)
$(error VARIANT must be release, debug, asan, coverage, fuzz or static, not '$(VARIANT)')
endif

# libssl, libcrypto: the TLS library of Debian's libcurl, for what its callbacks hand out.
PKGS := libuv libnghttp2 libprotobuf-c libcurl libssl libcrypto libcares libcjson yaml-0.1 libmicrohttpd libseccomp
# Debian 12's mbedTLS ships no .pc files.
MBEDTLS_LIBS := -lmbedtls -lmbedx509 -lmbedcrypto
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
ifeq ($(VARIANT),static)
# mk/static/build.sh built the compiler and the archives; the compiler knows where they are.
PKG_CFLAGS := -DHTTP_TLS_MBEDTLS -DHTTP2_FIELD_KIB=16384
PKG_LIBS := -lcurl -lcares -lmbedtls -lnghttp2 -luv -lprotobuf-c -lcjson -lyaml -lmicrohttpd -lseccomp
# Other libraries (for example a fixed one) count as other flags: everything is built again.
LIBRARIES_NOW := $(shell cat $(STATIC_DEPS)/$(ARCH)/.state 2>/dev/null)
HARDEN_LD := $(filter-out -pie,$(HARDEN_LD)) # the compiler says -static-pie
endif
PKG_CFLAGS := $(PKG_CFLAGS)
PKG_LIBS := $(PKG_LIBS)

# Generated headers are system headers: our warnings do not apply to their macros.
PROJECT_CPPFLAGS := -I. -isystem $(GEN) -D_GNU_SOURCE
PROJECT_CFLAGS := -std=c17 $(WARNINGS) $(WERROR) $(HARDEN) $(OPT_$(VARIANT)) $(CFLAGS)
PROJECT_LDFLAGS := $(HARDEN_LD) $(LD_$(VARIANT)) $(LDFLAGS)
PROJECT_LIBS = $(PKG_LIBS) $(MBEDTLS_LIBS) -pthread
