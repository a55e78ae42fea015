# secrets-store-csi in C. `make help` lists the targets; CONTRIBUTING.md has the rules.
#
#   make [all] [VARIANT=release|debug|asan|coverage|fuzz] [CC=gcc|clang] [V=1]
#   make static [ARCH=amd64|arm64]
#
# Objects go to build/<variant>[-clang]/, so variants live side by side and a second `make` does nothing.

VARIANT ?= release
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX  ?= /usr/local
VERSION ?= $(shell cat VERSION)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
BUILD_DATE ?= $(shell date -u -d @$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} +%Y-%m-%dT%H:%M:%SZ)

# What takes long to fetch or build and does not depend on our sources (test/tools/cache.sh). Safe to remove.
export CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/secrets-store-csi

include mk/static/variant.mk

B ?= build/$(VARIANT)$(if $(findstring clang,$(notdir $(firstword $(CC)))),-clang)
BIN := $(B)/bin
GEN := $(B)/gen

ifneq ($(V),1)
Q := @
say = @printf '  %-8s %s\n' "$(1)" "$(2)"
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

include mk/flags.mk
include mk/sources.mk
include mk/rules.mk
include mk/deps.mk
include mk/release.mk
include mk/test.mk
include mk/check.mk
include mk/sdk.mk

##@ Build
.PHONY: all
all: programs ## build both daemons and the command-line client
emulator: ## build the emulator of Key Vault and Entra ID (tests, docs/quick-start.md)

##@ Install and remove
.PHONY: install uninstall
install: programs ## install the programs below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin/

uninstall: uninstall-sdk ## remove the files of install and install-sdk
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(PROGRAMS)))

.PHONY: clean
clean: ## remove build/
	rm -rf build

.PHONY: help
help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } \
	     /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	     /^[a-zA-Z0-9_-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
