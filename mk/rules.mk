# Rules to compile and link.

.PHONY: programs emulator bench-program units fuzzers
programs: $(PROGRAMS)
emulator: $(EMULATOR)
bench-program: $(BENCH) $(LOAD) $(FLOORS)
units: $(UNITS)
fuzzers: $(FUZZERS)

# A change of flags rebuilds: every object depends on this file, which is only touched when its content changes.
BUILD_FLAGS := $(B)/.flags
FLAGS_NOW = $(CC) $(PROJECT_CPPFLAGS) $(PROJECT_CFLAGS) $(PKG_CFLAGS) $(PROJECT_LDFLAGS) $(PROJECT_LIBS) $(LIBRARIES_NOW)
.PHONY: flags-check
flags-check:
	@mkdir -p $(B)
	@printf '%s\n' '$(FLAGS_NOW)' | cmp -s - $(BUILD_FLAGS) || printf '%s\n' '$(FLAGS_NOW)' > $(BUILD_FLAGS)
$(BUILD_FLAGS): flags-check ;

# Generated protobuf code: never committed, compiled without our warnings.
$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h: %.proto
	$(call say,PROTOC,$<)
	@mkdir -p $(GEN)
	$(Q)protoc-c --c_out=$(GEN) --proto_path=. $<

$(B)/obj/gen/%.o: $(GEN)/%.c $(BUILD_FLAGS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PROJECT_CPPFLAGS) $(filter-out $(WARNINGS) $(WERROR),$(PROJECT_CFLAGS)) -w -MD -MP -c -o $@ $<

VERSION_DEFS := -DBUILD_VERSION='"$(VERSION)"' -DBUILD_COMMIT='"$(COMMIT)"' -DBUILD_DATE='"$(BUILD_DATE)"'
$(B)/obj/common/process/version.o: EXTRA_DEFS := $(VERSION_DEFS)
$(B)/obj/common/process/version.o: $(B)/.version
.PHONY: version-check
version-check:
	@mkdir -p $(B)
	@printf '%s\n' '$(VERSION_DEFS)' | cmp -s - $(B)/.version || printf '%s\n' '$(VERSION_DEFS)' > $(B)/.version
$(B)/.version: version-check ;

$(B)/obj/%.o: %.c $(BUILD_FLAGS) | $(PROTO_HDR)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PROJECT_CPPFLAGS) $(EXTRA_DEFS) $(PROJECT_CFLAGS) $(PKG_CFLAGS) -MD -MP -c -o $@ $<

GEN_OBJ := $(patsubst $(GEN)/%.c,$(B)/obj/gen/%.o,$(PROTO_GEN))
$(COMMON_LIB): $(call obj,$(COMMON_SRC)) $(GEN_OBJ)
$(DRIVER_LIB): $(call obj,$(filter-out driver/main.c,$(DRIVER_SRC)))
$(PROVIDER_LIB): $(call obj,$(filter-out provider-azure/main.c,$(PROVIDER_SRC)))
$(B)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

comma := ,
define link
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PROJECT_CFLAGS) $(LINK_LTO) $(PROJECT_LDFLAGS) $(patsubst %,-Wl$(comma)-T$(comma)%,$(filter %.ld,$^)) -o $@ \
	  $(filter %.o,$^) $(filter-out %.o %.ld,$^) $(PROJECT_LIBS) $(EXTRA_LIBS)
	$(after-link)
endef
# In the release, the daemons are optimized as a whole, libraries included. (Warnings are those of each file, which has had them.)
ifeq ($(VARIANT),static)
LINK_LTO := -fno-lto
$(BIN)/secrets-store-driver $(BIN)/secrets-store-provider-azure: LINK_LTO := $(if $(LTO),-flto=auto -w,-fno-lto)
endif
# In the release, the functions that serve calls lie together, and so do the constants: the kernel maps pages of a file in blocks of 64 KiB around
# what is used, and those of the start, once given back, stay away. A name that is no longer there does no harm. Objects of libc.a are listed as
# a whole, for their functions have several names, and a few others. Constants of a function have its name.
ifeq ($(VARIANT),static)
$(BIN)/secrets-store-driver $(BIN)/secrets-store-provider-azure: $(B)/serving.ld
$(B)/serving.ld: mk/static/serving_functions mk/static/serving_constants mk/rules.mk
	@mkdir -p $(@D)
	$(Q){ echo 'SECTIONS { .text.serving : {'; \
	  sed -e '/^#/d' -e 's/^lib.*:.*/*&(.text .text.*)/' -e t -e 's/.*/*(.text.& .text.&.* .text.startup.&)/' $<; \
	  echo '} } INSERT BEFORE .text; SECTIONS { .rodata.serving : {'; \
	  sed -e '/^#/d' -e 's/^lib.*:.*/*&(.rodata .rodata.*)/' -e t -e 's/.*/*(.rodata.& .rodata.&.*)/' $<; \
	  sed -e '/^#/d' -e 's/.*/*(.rodata.& .rodata.&.*)/' $(word 2,$^); \
	  echo '*(.rodata) } } INSERT AFTER .rodata;'; } > $@
endif

# The release is stripped; its debug information is in a file next to it.
ifeq ($(VARIANT),static)
define after-link
	@mkdir -p $(B)/debug
	$(Q)$(STATIC_TOOLS)objcopy --only-keep-debug $@ $(B)/debug/$(@F).debug
	$(Q)$(STATIC_TOOLS)strip --strip-all --remove-section=.comment $@
endef
endif

$(BIN)/secrets-store-driver: $(call obj,driver/main.c) $(DRIVER_LIB) $(COMMON_LIB)
	$(link)
$(BIN)/secrets-store-provider-azure: $(call obj,provider-azure/main.c) $(PROVIDER_LIB) $(COMMON_LIB)
	$(link)
$(BIN)/secrets-store-ctl: $(call obj,$(CTL_SRC)) $(COMMON_LIB)
	$(link)
$(EMULATOR): EXTRA_LIBS = -lmicrohttpd -lcjson -lgnutls -lnghttp2 -luv
$(EMULATOR): $(call obj,$(EMULATOR_SRC))
	$(link)
$(BENCH): $(call obj,$(BENCH_SRC)) $(COMMON_LIB)
	$(link)
$(LOAD): $(call obj,$(LOAD_SRC)) $(DRIVER_LIB) $(COMMON_LIB)
	$(link)
$(FLOORS): $(BIN)/floor-%: $(B)/obj/test/bench/floor_%.o
	$(link)
$(B)/unit/%: EXTRA_LIBS = -lcmocka
$(B)/unit/%: $(B)/obj/test/unit/%.o $(DRIVER_LIB) $(PROVIDER_LIB) $(COMMON_LIB)
	$(link)

# The client's readers are in no library.
$(B)/fuzz/fuzz_ctl_response: $(call obj,ctl/response_files.c)
$(B)/fuzz/fuzz_ctl_objects: $(call obj,$(addprefix ctl/,diagnose_objects.c checks.c object.c))
$(B)/fuzz/fuzz_ctl_lint: $(call obj,ctl/lint_documents.c ctl/lint_class.c ctl/lint_context.c ctl/lint_names.c ctl/lint_secret_objects.c ctl/lint_volume.c)

# Fuzz targets: libFuzzer in the fuzz variant, otherwise a replayer that runs the corpus as a normal test.
ifeq ($(VARIANT),fuzz)
$(B)/fuzz/%: EXTRA_LIBS = -fsanitize=fuzzer
$(B)/fuzz/%: $(B)/obj/test/fuzz/%.o $(DRIVER_LIB) $(PROVIDER_LIB) $(COMMON_LIB)
	$(link)
else
$(B)/fuzz/%: $(B)/obj/test/fuzz/%.o $(B)/obj/test/fuzz/replay.o $(DRIVER_LIB) $(PROVIDER_LIB) $(COMMON_LIB)
	$(link)
endif

.SECONDARY:
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
