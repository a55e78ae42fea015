# The SDK for providers in C: headers, one static library, a .pc file, the contract.

SDK_HEADERS := $(sort $(wildcard common/*.h common/base/*.h common/process/*.h common/crypto/digest.h common/crypto/encoding.h)) common/grpc/server.h
SDK_INCLUDE := $(PREFIX)/include/secrets-store-provider
SDK_REQUIRES := libuv libnghttp2 libprotobuf-c libcjson

##@ Providers in C
.PHONY: install-sdk uninstall-sdk
install-sdk: $(COMMON_LIB) ## install headers and library for providers in C below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(SDK_INCLUDE)/proto
	for header in $(SDK_HEADERS); do install -D -m 0644 $$header $(DESTDIR)$(SDK_INCLUDE)/$$header || exit 1; done
	install -m 0644 proto/provider.proto $(DESTDIR)$(SDK_INCLUDE)/proto/
	install -m 0644 $(COMMON_LIB) $(DESTDIR)$(PREFIX)/lib/libsecrets-store-provider.a
	printf '%s\n' 'Name: secrets-store-provider' 'Description: Write a provider for the Secrets Store CSI driver in C' \
	  'Version: $(VERSION)' 'Requires: $(SDK_REQUIRES)' 'Cflags: -I$(SDK_INCLUDE)' \
	  'Libs: -L$(PREFIX)/lib -lsecrets-store-provider -lmbedcrypto -pthread' \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/secrets-store-provider.pc

uninstall-sdk:
	rm -rf $(DESTDIR)$(SDK_INCLUDE)
	rm -f $(DESTDIR)$(PREFIX)/lib/libsecrets-store-provider.a $(DESTDIR)$(PREFIX)/lib/pkgconfig/secrets-store-provider.pc
