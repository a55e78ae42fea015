# The release: static executables, images.

##@ Release
.PHONY: static static-deps
static: static-deps ## build static executables into build/static/bin (ARCH=arm64: build/static-arm64, cross-built)
	$(MAKE) $(jobs) VARIANT=static ARCH=$(ARCH) programs

# The libraries of the release come as source packages; once per checkout, and again when mk/static/ changes.
static-deps: deps-static
	@[ $(STATIC_DEPS)/packages -nt mk/static/sources ] || mk/static/fetch.sh $(STATIC_DEPS)
	@mk/static/build.sh $(STATIC_DEPS) $(ARCH)
