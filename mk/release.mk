# The release: static executables, images.

##@ Release
.PHONY: static static-deps
static: static-deps ## build static executables into build/static/bin (ARCH=arm64: build/static-arm64, cross-built)
	$(MAKE) $(jobs) VARIANT=static ARCH=$(ARCH) programs

# The libraries of the release come as source packages; once per machine, and again when mk/static/ changes.
static-deps: deps-static
	@mkdir -p $(STATIC_DEPS)
	@flock $(STATIC_DEPS)/lock sh -ec 'mk/static/fetch.sh $(STATIC_DEPS); mk/static/build.sh $(STATIC_DEPS) $(ARCH)'

IMAGE_PREFIX ?= localhost
IMAGE_TAG ?= $(VERSION)
IMAGE_PROGRAMS := driver provider-azure ctl
IMAGES := build/images
IMAGE_EPOCH = $(shell echo $${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)})
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.PHONY: images images-multiarch
images: static deps-images ## build the container images, with their parts lists, into build/images (no container daemon needed)
	@VERSION=$(VERSION) IMAGE_PREFIX=$(IMAGE_PREFIX) IMAGE_TAG=$(IMAGE_TAG) REVISION=$(REVISION) SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) \
	  images/build.sh $(STATIC_B) $(ARCH) $(IMAGES)
	@$(foreach program,$(IMAGE_PROGRAMS),$(call sbom,$(program),spdx,spdx) && $(call sbom,$(program),cyclonedx,cdx) && $(call check-image,$(program)) &&) true

# program, format, its name in file names
sbom = SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) images/sbom.py --format $(2) --name secrets-store-$(1) --version $(VERSION) --revision $(REVISION) \
	--arch $(ARCH) --executable $(STATIC_B)/bin/secrets-store-$(1) --packages $(STATIC_DEPS)/packages $(if $(filter provider-azure,$(1)),--certificates) \
	> $(IMAGES)/secrets-store-$(1)-$(ARCH).$(3).json

check-image = images/check.py --name secrets-store-$(1) --version $(VERSION) --arch $(ARCH) --executable $(STATIC_B)/bin/secrets-store-$(1) \
	--images $(IMAGES)

images-multiarch: ## build the images for amd64 and arm64 (one cross-built), each alone and both in one archive
	$(MAKE) images ARCH=amd64
	$(MAKE) images ARCH=arm64
	@$(foreach program,$(IMAGE_PROGRAMS),SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) images/index.py --name secrets-store-$(program) --images $(IMAGES) amd64 arm64 &&) true

# Where the images of a release will be; its charts name them there.
REGISTRY ?= 127.0.0.1:5000/secrets-store-csi
RELEASE := build/release-$(VERSION)

.PHONY: release release-publish release-test release-repro release-table print-static-packages print-static-libraries
release: deps-release ## build everything that is published into build/release-VERSION (REGISTRY, RELEASE_KEY; docs/release.md)
	$(MAKE) images-multiarch
	$(MAKE) $(jobs) VARIANT=release CC=gcc programs
	@SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) REVISION=$(REVISION) REGISTRY=$(REGISTRY) RELEASE_KEY=$(RELEASE_KEY) release/build.sh $(VERSION) $(RELEASE)

release-publish: deps-release ## put images and charts of build/release-VERSION into REGISTRY (INSECURE=1: one without TLS)
	@release/publish.sh $(VERSION) $(RELEASE) $(REGISTRY)

RELEASE_TEST_KEY := build/release-test.key
release-test: deps-release deps-test ## build a release, signed with a key made for it, and test it as its users would
	$(call apt-install,busybox-static man-db)
	@[ -e $(RELEASE_TEST_KEY) ] || minisign -G -W -p $(RELEASE_TEST_KEY).pub -s $(RELEASE_TEST_KEY) > /dev/null
	$(MAKE) release RELEASE_KEY=$(RELEASE_TEST_KEY)
	@RELEASE_PUBLIC_KEY=$(abspath $(RELEASE_TEST_KEY).pub) test/release/run.sh $(RELEASE) $(VERSION)

release-repro: deps-release ## make the release of HEAD twice in different folders and compare every byte (OTHER: one made on another Debian)
	@OTHER=$(OTHER) KEEP=$(KEEP) release/reproducible.sh $(VERSION) $(REGISTRY)

release-table: ## write the table of files, sizes and commands of build/release-VERSION into docs/release.md
	@release/artifacts.py $(VERSION) $(RELEASE) --update > /dev/null

print-static-packages:
	@echo $(STATIC_DEPS)/packages

print-static-libraries:
	@echo $(STATIC_DEPS)/$(ARCH)/lib

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

bench-static: static ## run the benchmark on the static build alone (SECTIONS="floors cpu": a part of it)
	$(MAKE) $(jobs) VARIANT=static ARCH=$(ARCH) bench-program
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator
	@ln -sfn ../../release/bin/vault-emulator $(STATIC_B)/bin/vault-emulator
	@BUILD=$(STATIC_B) test/bench/bench.sh $(SECTIONS)

.PHONY: serving-functions
serving-functions: static deps-test ## list the functions that serve calls and their constants in mk/static/serving_*, for the order of the release
	$(call apt-install,valgrind)
	$(MAKE) $(jobs) VARIANT=static ARCH=$(ARCH) LTO= B=$(STATIC_B)-apart programs bench-program
	$(MAKE) $(jobs) VARIANT=release CC=gcc emulator
	@mk/static/serving.sh $(STATIC_B)-apart $(STATIC_B) $(STATIC_DEPS)/$(ARCH)/lib

SITE_VENV := build/site-venv
.PHONY: site site-test
site: deps-build ## build the documents as a site into build/site (SOURCE_REPOSITORY: where links to sources lead)
	$(call apt-install,python3 python3-venv)
	@[ -e $(SITE_VENV)/requirements.txt ] && cmp -s site/requirements.txt $(SITE_VENV)/requirements.txt || { \
	  $(PYTHON) -m venv $(SITE_VENV) && $(SITE_VENV)/bin/pip install --quiet --disable-pip-version-check -r site/requirements.txt && \
	  cp site/requirements.txt $(SITE_VENV)/; }
	@NO_MKDOCS_2_WARNING=1 $(SITE_VENV)/bin/mkdocs build --quiet --strict --clean --config-file site/mkdocs.yml
	@echo "  SITE     build/site/index.html"

site-test: site deps-test ## open every page of the site in a browser, desktop and phone; screenshots in build/site-screenshots
	$(call apt-install,chromium chromium-driver python3-selenium)
	@test/integration/run.sh test/site -q
