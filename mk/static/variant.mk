# Architectures, and for VARIANT=static the compiler and the folder.

HOST_ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
ARCH ?= $(HOST_ARCH)
STATIC_DEPS ?= build/static/deps
STATIC_B := build/static$(if $(filter $(HOST_ARCH),$(ARCH)),,-$(ARCH))
STATIC_TRIPLE := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-linux-gnu
STATIC_TOOLS := $(if $(filter $(HOST_ARCH),$(ARCH)),,$(STATIC_TRIPLE)-)

ifeq ($(VARIANT),static)
CC := $(abspath $(STATIC_DEPS))/$(ARCH)/bin/cc
B := $(STATIC_B)
endif
