# Architectures, and for VARIANT=static the compiler and the build directory.

HOST_ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
ARCH ?= $(HOST_ARCH)
# The directory of the release's libraries in the cache, one for each content of the recipe and each compiler.
ifeq ($(origin STATIC_DEPS),undefined)
STATIC_DEPS = $(eval STATIC_DEPS := $$(CACHE_DIR)/static-$$(shell { cat $(STATIC_RECIPE); gcc --version; } | sha256sum | cut -c1-12))$(STATIC_DEPS)
endif
STATIC_RECIPE := mk/static/sources mk/static/build.sh mk/static/memchr.c mk/static/memcpy.c mk/static/strlen.c mk/static/mbedtls_config.h mk/static/mbedtls-curve25519.patch \
	mk/static/mbedtls-certificates.patch mk/static/nghttp2-wipe.c mk/static/curl-text.patch
STATIC_B := build/static$(if $(filter $(HOST_ARCH),$(ARCH)),,-$(ARCH))
STATIC_TRIPLE := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-linux-gnu
STATIC_TOOLS := $(if $(filter $(HOST_ARCH),$(ARCH)),,$(STATIC_TRIPLE)-)

ifeq ($(VARIANT),static)
CC := $(abspath $(STATIC_DEPS))/$(ARCH)/bin/cc
B := $(STATIC_B)
endif
