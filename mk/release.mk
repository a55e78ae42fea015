# The release: static executables, images.

##@ Release
.PHONY: static static-deps
static: static-deps ## build static executables into build/static/bin (ARCH=arm64: build/static-arm64, cross-built)
	$(MAKE) $(jobs) VARIANT=static ARCH=$(ARCH) programs

# The libraries of the release come as source packages; once per machine, and again when mk/static/ changes.
static-deps: deps-static
	@mkdir -p $(STATIC_DEPS)
	@flock $(STATIC_DEPS)/lock sh -ec '[ -e $(STATIC_DEPS)/packages ] || mk/static/fetch.sh $(STATIC_DEPS); mk/static/build.sh $(STATIC_DEPS) $(ARCH)'

IMAGE_PREFIX ?= localhost
IMAGE_TAG ?= $(VERSION)
IMAGES := build/images
IMAGE_EPOCH = $(shell echo $${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)})
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.PHONY: images images-multiarch
images: static deps-images ## build both container images, with their parts lists, into build/images (no container daemon needed)
	@IMAGE_PREFIX=$(IMAGE_PREFIX) IMAGE_TAG=$(IMAGE_TAG) REVISION=$(REVISION) SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) \
	  images/build.sh $(STATIC_B) $(ARCH) $(IMAGES)
	@$(call sbom,driver,)
	@$(call sbom,provider-azure,--certificates)
	@$(call check-image,driver)
	@$(call check-image,provider-azure)

sbom = SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) images/sbom.py --name secrets-store-$(1) --version $(VERSION) --revision $(REVISION) \
	--arch $(ARCH) --executable $(STATIC_B)/bin/secrets-store-$(1) --packages $(STATIC_DEPS)/packages $(2) \
	> $(IMAGES)/secrets-store-$(1)-$(ARCH).spdx.json

check-image = images/check.py --name secrets-store-$(1) --version $(VERSION) --arch $(ARCH) --executable $(STATIC_B)/bin/secrets-store-$(1) \
	--images $(IMAGES)

images-multiarch: ## build the images for amd64 and arm64 (one cross-built), each alone and both in one archive
	$(MAKE) images ARCH=amd64
	$(MAKE) images ARCH=arm64
	@SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) images/index.py --name secrets-store-driver --images $(IMAGES) amd64 arm64
	@SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) images/index.py --name secrets-store-provider-azure --images $(IMAGES) amd64 arm64

.PHONY: static-units static-test static-emulated static-repro sizes bench-static
static-units: static
	$(MAKE) $(jobs) VARIANT=static ARCH=$(ARCH) units
	@ln -sfn ../../release/bin/vault-emulator $(STATIC_B)/bin/vault-emulator

static-test: deps-static deps-test ## run unit tests and integration suites against the static build, also the slow ones
	@$(PYTHON) test/run.py --only-static

static-emulated: FOREIGN := $(if $(filter amd64,$(HOST_ARCH)),arm64,amd64)
static-emulated: deps-test ## run the integration suites against the executables of the other architecture, in qemu
	$(call apt-install,qemu-user)
	$(MAKE) static ARCH=$(FOREIGN)
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator
	@test/integration/emulated.sh build/static-$(FOREIGN) qemu-$(if $(filter arm64,$(FOREIGN)),aarch64,x86_64) build/release/bin/vault-emulator

static-repro: static ## build the release again in another directory and compare the bytes (FULL=1: also its libraries)
	@FULL=$(FULL) mk/static/reproducible.sh $(STATIC_B) $(STATIC_DEPS) $(ARCH)

sizes: images ## print file size, resident memory, shared objects and image size of both daemons
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs
	@test/bench/sizes.sh build/release $(STATIC_B) $(IMAGES)

bench-static: static ## run the benchmark on the static build
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator bench-program
	@for program in vault-emulator secrets-store-bench; do ln -sfn ../../release/bin/$$program $(STATIC_B)/bin/$$program; done
	@BUILD=$(STATIC_B) test/bench/bench.sh
