# Static checks and formatting.

CHECK_SRC := $(COMMON_SRC) $(DRIVER_SRC) $(PROVIDER_SRC) $(CTL_SRC)
OUR_SRC = $(shell git ls-files '*.c' '*.h')
TIDY_FLAGS = -std=c17 $(PROJECT_CPPFLAGS) $(PKG_CFLAGS)

##@ Check
.PHONY: check check-format check-tidy check-cppcheck check-analyzer format
check: deps-check ## clang-format (dry run), clang-tidy, cppcheck and gcc -fanalyzer
	$(MAKE) check-format check-tidy check-cppcheck check-analyzer

check-format:
	$(call say,FORMAT,dry run)
	$(Q)clang-format --dry-run --Werror $(OUR_SRC)

TIDY_STAMPS := $(CHECK_SRC:%=$(B)/tidy/%.ok)
check-tidy: $(TIDY_STAMPS)
$(B)/tidy/%.ok: % .clang-tidy | $(PROTO_HDR)
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(TIDY_FLAGS) 2>/dev/null
	@touch $@

check-cppcheck: | $(PROTO_HDR)
	$(call say,CPPCHECK,all rooms)
	$(Q)cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	  --suppress=missingIncludeSystem --suppress=unknownMacro --max-configs=4 -I. -D_GNU_SOURCE $(CHECK_SRC)

# The analyzer knows neither cleanup attributes nor ownership across files well; what it gets wrong is switched off by name.
check-analyzer:
	$(MAKE) VARIANT=debug CC=gcc B=build/analyzer \
	  CFLAGS='-fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-fd-leak -Wno-analyzer-use-of-uninitialized-value' programs

format: deps-check ## apply .clang-format to all our sources
	clang-format -i $(OUR_SRC)
