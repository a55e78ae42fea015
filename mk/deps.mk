# Packages that a bare Debian 12 or 13 needs. `make demo` and `make test` install them.

DEPS_BUILD := gcc libc6-dev make git pkg-config protobuf-c-compiler protobuf-compiler libprotobuf-c-dev libuv1-dev libnghttp2-dev \
	libcurl4-openssl-dev libssl-dev libc-ares-dev libcjson-dev libyaml-dev libmbedtls-dev libmicrohttpd-dev libgnutls28-dev libseccomp-dev ca-certificates
DEPS_TEST := libcmocka-dev libprotobuf-dev python3 python3-pytest python3-pytest-xdist python3-pytest-timeout python3-grpcio python3-protobuf python3-yaml python3-cryptography valgrind \
	golang-go openssl gnutls-bin libnss3-tools etcd-server nghttp2-server procps rsyslog strace util-linux libsystemd-shared busybox-static \
	default-jdk-headless
DEPS_STATIC := cmake dpkg-dev gperf xz-utils bzip2 patch debian-archive-keyring \
	$(if $(filter $(HOST_ARCH),$(ARCH)),,$(if $(filter arm64,$(ARCH)),gcc-aarch64-linux-gnu libc6-dev-arm64-cross,gcc-x86-64-linux-gnu libc6-dev-amd64-cross))
DEPS_E2E := containerd containernetworking-plugins runc busybox-static dnsmasq-base iproute2 skopeo
# Debian 13: the CNI plugins above satisfy what buildah depends on, but it insists on netavark, even with nothing to run.
DEPS_IMAGES := buildah netavark ca-certificates python3
DEPS_RELEASE := gettext-base golang-go minisign skopeo
DEPS_CHECK := clang clang-tidy clang-format cppcheck
# The runtime must belong to the clang in use, which need not be the newest one of the archive.
DEPS_FUZZ = clang $(shell apt-cache depends clang 2>/dev/null | awk '/Depends: clang-[0-9]+$$/ { sub(/clang-/, "", $$2); print "libclang-rt-" $$2 "-dev" }')

# Installs only what is missing; needs root only then. One at a time, because make may run several.
define apt-install
	@missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing packages:" $$missing; \
	  flock mk/deps.mk sh -ec 'apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$@"' apt $$missing; \
	fi
endef

##@ Set-up
.PHONY: deps deps-build deps-test deps-e2e deps-check deps-fuzz deps-static deps-images deps-release
deps: deps-build deps-test deps-e2e deps-check deps-fuzz ## install everything (build, test, e2e, check, fuzz) by package name
deps-build: ## install what building and the demo need
	$(call apt-install,$(DEPS_BUILD))
deps-test: deps-build ## install what the tests need on top
	$(call apt-install,$(DEPS_TEST))
deps-static: deps-build
	$(call apt-install,$(DEPS_STATIC))
deps-e2e: deps-test
	$(call apt-install,$(DEPS_E2E))
deps-images: deps-static
	$(call apt-install,$(DEPS_IMAGES))
deps-release: deps-images
	$(call apt-install,$(DEPS_RELEASE))
deps-check:
	$(call apt-install,$(DEPS_CHECK))
deps-fuzz:
	$(call apt-install,$(DEPS_FUZZ))
