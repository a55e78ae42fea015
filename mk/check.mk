# Static checks and formatting.

CHECK_SRC := $(COMMON_SRC) $(DRIVER_SRC) $(PROVIDER_SRC) $(CTL_SRC)
OUR_SRC = $(wildcard $(shell git ls-files '*.c' '*.h'))
TIDY_FLAGS = -std=c17 -DSTATIC_ANALYSIS $(PROJECT_CPPFLAGS) $(PKG_CFLAGS)

##@ Check
.PHONY: check check-includes check-format check-tidy check-cppcheck check-analyzer format
check: deps-check ## include order, clang-format (dry run), clang-tidy, cppcheck and gcc -fanalyzer
	$(MAKE) check-includes check-format check-tidy check-cppcheck check-analyzer

check-includes:
	$(call say,INCLUDES,mk/include_order.txt)
	$(Q)mk/include_order.py

# String literals stay whole, so that a text can be found with grep; only they may make a line longer than 110 columns.
check-format:
	$(call say,FORMAT,dry run)
	$(Q)clang-format --dry-run --Werror $(OUR_SRC)
	$(Q)! LC_ALL=C.UTF-8 grep -nE '^[^"]{111,}$$' $(OUR_SRC)

TIDY_STAMPS := $(CHECK_SRC:%=$(B)/tidy/%.ok)
check-tidy: $(TIDY_STAMPS)
$(B)/tidy/%.ok: % .clang-tidy | $(PROTO_HDR)
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(TIDY_FLAGS) 2>/dev/null
	@touch $@

# Leaks: cppcheck does not know cleanup attributes; the sanitizers find them.
check-cppcheck: | $(PROTO_HDR)
	$(call say,CPPCHECK,all directories)
	$(Q)cppcheck --quiet --std=c17 --language=c --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	  --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=memleak --suppress=resourceLeak \
	  --max-configs=4 -I. -D_GNU_SOURCE -D__x86_64__ $(CHECK_SRC)

# Nor does the analyzer, and it does not follow ownership from file to file: leaks and the like are switched off by name.
ANALYZER_FLAGS := -fanalyzer -DSTATIC_ANALYSIS -Wno-unused-value \
	-Wno-analyzer-malloc-leak -Wno-analyzer-fd-leak -Wno-analyzer-possible-null-dereference -Wno-analyzer-use-of-uninitialized-value
check-analyzer:
	$(MAKE) VARIANT=debug CC=gcc B=build/analyzer CFLAGS='$(ANALYZER_FLAGS)' programs

format: deps-check ## apply .clang-format to all our sources
	clang-format -i $(OUR_SRC)
