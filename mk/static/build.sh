#!/bin/bash
# build.sh - the libraries of the release, as static archives, from the sources that fetch.sh unpacked.
#
#   mk/static/build.sh DIRECTORY ARCH     DIRECTORY has src/; writes DIRECTORY/ARCH/{include,lib,bin/cc}; ARCH is amd64 or arm64
#
# The C library is musl: it is small, and needs nothing at run time, where a static glibc loads shared objects. DIRECTORY/ARCH/bin/cc is the
# compiler for everything that stands on it: it makes static position-independent executables. A finished library leaves a stamp; a changed
# source, compiler or script removes them all.
set -euo pipefail

# what our own make was called with is not meant for theirs
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL ARCH CC CFLAGS CPPFLAGS LDFLAGS
# nor is a base folder of ccache: it makes paths relative, and those are not mapped (see -ffile-prefix-map)
export CCACHE_BASEDIR=

root=$(cd "$(dirname "$0")/../.." && pwd)
deps=$(cd "$1" && pwd)
arch=$2
src=$deps/src
prefix=$deps/$arch
obj=$prefix/obj
jobs=$(nproc)

case $arch in
amd64) triple=x86_64-linux-gnu machine=x86_64 processor=x86_64 ;;
arm64) triple=aarch64-linux-gnu machine=aarch64 processor=aarch64 ;;
*) echo "build.sh: unknown architecture $arch" >&2; exit 2 ;;
esac
if [ "$(uname -m)" = "$machine" ]; then
    gcc=gcc ar=ar ranlib=ranlib
    kernel=(/usr/include/linux /usr/include/asm-generic "/usr/include/$triple/asm")
    queue=/usr/include/$triple/sys/queue.h
else
    gcc=$triple-gcc ar=$triple-ar ranlib=$triple-ranlib
    kernel=("/usr/$triple/include/linux" "/usr/$triple/include/asm-generic" "/usr/$triple/include/asm")
    queue=/usr/$triple/include/sys/queue.h
fi

state=$({ cat "$deps/packages" "$root"/mk/static/{build.sh,memchr.c,memcpy.c,strlen.c,mbedtls_config.h,mbedtls-curve25519.patch,mbedtls-certificates.patch,nghttp2-wipe.c,curl-text.patch}; "$gcc" --version; } | sha256sum)
if [ "$(cat "$prefix/.state" 2>/dev/null)" != "$state" ]; then
    rm -rf "$prefix"
    mkdir -p "$prefix/bin" "$prefix/include" "$prefix/lib" "$obj"
    printf '%s\n' "$state" > "$prefix/.state"
fi

# No path of this machine may reach the executables: not by __FILE__, not by debug information.
maps="-ffile-prefix-map=$src=/src -ffile-prefix-map=$prefix/src=/src -ffile-prefix-map=$obj=/obj"
# What our own code is hardened with (mk/flags.mk) holds for the libraries as well. -fcf-protection is for amd64.
harden="-fstack-protector-strong -fstack-clash-protection"
[ "$arch" != amd64 ] || harden="$harden -fcf-protection"
cflags="-O2 -g0 -DNDEBUG -fPIE -ffunction-sections -fdata-sections $harden -ftrivial-auto-var-init=zero $maps"
# With what serves calls, each daemon is optimized as a whole when it is linked (mk/rules.mk); everything else is linked from the machine code, which
# the archives hold as well. mbedTLS stays as its authors test it: some of its functions take the same time whatever a key is.
whole=(libuv nghttp2 libyaml cjson protobuf-c curl)
lto="-flto -ffat-lto-objects"

once() { # NAME FUNCTION
    [ ! -e "$prefix/.$1" ] || return 0
    printf '  %-8s %s (%s)\n' LIBRARY "$1" "$arch"
    rm -rf "${obj:?}/$1"
    mkdir -p "$obj/$1"
    local status=0
    set +e # a list with || would switch -e off inside as well
    (set -e; cd "$obj/$1"; [[ " ${whole[*]} " != *" $1 "* ]] || cflags="$cflags $lto"; "$2") > "$obj/$1.log" 2>&1
    status=$?
    set -e
    [ "$status" = 0 ] || { tail -40 "$obj/$1.log" >&2; echo "build.sh: $1 failed, see $obj/$1.log" >&2; exit 1; }
    touch "$prefix/.$1"
}

# The sources of fetch.sh stay as they are: what changes some gets a copy in which nothing has been changed yet. So a recipe that has changed, a
# build that ended half-way and another architecture find what they expect, in a DIRECTORY that is used again as well.
copy_source() { # LIBRARY: sets $source
    source=$prefix/src/$1
    rm -rf "${source:?}"
    mkdir -p "$prefix/src"
    cp -a "$src/$1" "$source"
}

build_musl() {
    copy_source musl
    # Its memcmp() compares byte by byte. With a bearer token in each request that counts; here it does so from the first word on that differs.
    sed -i '/^\tfor (; n && \*l == \*r; n--, l++, r++);$/i\
\tstruct word { unsigned long w; } __attribute__((packed, may_alias));\
\tfor (; n >= sizeof(struct word); n -= sizeof(struct word), l += sizeof(struct word), r += sizeof(struct word))\
\t\tif (((const struct word *)l)->w != ((const struct word *)r)->w) break;' "$source/src/string/memcmp.c"
    grep -q 'struct word' "$source/src/string/memcmp.c"
    # A group of blocks that a call has needed and left is kept for the next call, also beside one other that has room. Otherwise each call maps a
    # page and gives it back, wherever the blocks of a call happen to begin in one group and to end in the next.
    # (A group of a single block has no next one while it is in use.)
    sed -i 's/^\tif (g->next != g) return 1;$/\tif (g->next != g \&\& !(is_bouncing(sc) \&\& g->next \&\& g->next->next == g)) return 1;/' \
        "$source/src/malloc/mallocng/free.c"
    grep -q 'is_bouncing(sc) && g->next && g->next->next == g' "$source/src/malloc/mallocng/free.c"
    # For amd64, memchr(), memcpy() and strlen() in C; the assembly of memmove() jumps into that of memcpy().
    cp "$root"/mk/static/{memchr,memcpy,strlen}.c "$source/src/string/x86_64/"
    rm "$source/src/string/x86_64/memcpy.s" "$source/src/string/x86_64/memmove.s"
    CC=$gcc AR=$ar RANLIB=$ranlib CROSS_COMPILE='' CFLAGS="-fPIE -g0 $harden $maps" \
        "$source/configure" --prefix="$prefix" --host="$machine-linux-musl" --disable-shared --disable-wrapper
    make -j"$jobs" install AR="$ar" RANLIB="$ranlib"
    # the kernel's interface, and the BSD lists, which are macros only
    local header
    for header in "${kernel[@]}"; do ln -sfn "$header" "$prefix/include/"; done
    ln -sf "$queue" "$prefix/include/sys/queue.h"
}

# Standard paths off, ours on. What does not stop before linking gets musl's start files and a static executable. (-Wl for what comes last: a
# "-x c -" among the arguments would have it compiled.) Sections for the optimization at link time have random names, unless something of the source
# gives them one.
write_cc() {
    local lib=$prefix/lib
    cat > "$prefix/bin/cc" << END
#!/bin/sh
# made by mk/static/build.sh
export CCACHE_BASEDIR=
links=yes source=/dev/null
for argument; do
    case \$argument in
    -c | -E | -S | -M | -MM | -v | --version | -dumpversion | -dumpmachine | -print-*) links= ;;
    *.c) [ ! -f "\$argument" ] || source=\$argument ;;
    esac
done
[ -n "\$links" ] ||
    exec ${gcc} -nostdinc -isystem $prefix/include -isystem $($gcc -print-file-name=include) "\$@" -frandom-seed="\$(cksum < "\$source")"
exec ${gcc} -nostdinc -isystem $prefix/include -isystem $($gcc -print-file-name=include) -nostdlib -nostartfiles -static-pie \\
    $lib/rcrt1.o $lib/crti.o $($gcc -print-file-name=crtbeginS.o) "\$@" -L$lib \\
    -Wl,--start-group,-lc,$($gcc -print-file-name=libgcc.a),$($gcc -print-file-name=libgcc_eh.a),--end-group \\
    -Wl,$($gcc -print-file-name=crtendS.o),$lib/crtn.o
END
    chmod +x "$prefix/bin/cc"
}

with_cmake() { # SOURCE OPTION...
    local source=$1
    shift
    cmake -G 'Unix Makefiles' -S "$source" -B . -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$processor" \
        -DCMAKE_C_COMPILER="$prefix/bin/cc" -DCMAKE_AR="$(command -v "$ar")" -DCMAKE_RANLIB="$(command -v "$ranlib")" \
        -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_FIND_ROOT_PATH="$prefix" \
        -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY \
        -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$cflags" -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF "$@"
    make -j"$jobs" install
}

one_file() { # SOURCE LIBRARY: an archive of a single source file
    # shellcheck disable=SC2086 # a list of flags
    "$prefix/bin/cc" $cflags -I"$(dirname "$1")" -c -o one.o "$1"
    "$ar" rcs "$prefix/lib/$2" one.o
}

build_libuv() {
    copy_source libuv1
    # Each turn of the loop would zero 15 KiB (-ftrivial-auto-var-init), of which it reads what epoll_pwait() has filled in.
    sed -i 's/^  struct epoll_event \(events\[1024\]\|prep\[256\]\);$/  __attribute__((uninitialized)) &/; s/^\(  __attribute__((uninitialized))\)   */\1 /' \
        "$source/src/unix/linux.c"
    [ "$(grep -c '^  __attribute__((uninitialized)) struct epoll_event' "$source/src/unix/linux.c")" = 2 ]
    with_cmake "$source" -DLIBUV_BUILD_SHARED=OFF -DLIBUV_BUILD_TESTS=OFF -DLIBUV_BUILD_BENCH=OFF
}
build_nghttp2() {
    # libcurl leaves nghttp2 its own allocator, and bodies of requests (the data of Secrets) pass through its frames: what it gives back is wiped.
    # A block never grows in place, so nothing is left behind when one moves.
    copy_source nghttp2
    local memory=$source/lib/nghttp2_mem.c
    sed -i -e 's/^  free(ptr);$/  wipe_and_free(ptr);/' -e 's/^  return realloc(ptr, size);$/  return wipe_and_realloc(ptr, size);/' "$memory"
    sed -i "/^#include \"nghttp2_mem.h\"\$/r $root/mk/static/nghttp2-wipe.c" "$memory"
    [ "$(grep -c 'wipe_and_\(free\|realloc\)(ptr' "$memory")" -ge 2 ]
    # The longest header field that it reads; no option changes it. A provider's error text is one field (common/grpc/header_check.h).
    sed -i 's/^#define NGHTTP2_HD_MAX_NV .*/#define NGHTTP2_HD_MAX_NV (16 * 1024 * 1024)/' "$source/lib/nghttp2_hd.h"
    grep -q '^#define NGHTTP2_HD_MAX_NV (16 \* 1024 \* 1024)$' "$source/lib/nghttp2_hd.h"
    # Bearer tokens, 1 KiB and more, go into the table of header fields, so that a request repeats one in a byte. By itself it indexes no
    # `authorization`, because a password of few bits could be guessed from the length of requests; a token cannot (RFC 7541, 7.1.3).
    sed -i 's/^  indexing_mode = token == NGHTTP2_TOKEN_AUTHORIZATION ||$/  indexing_mode = (token == NGHTTP2_TOKEN_AUTHORIZATION \&\& nv->valuelen < 256) ||/' \
        "$source/lib/nghttp2_hd.c"
    grep -q '^  indexing_mode = (token == NGHTTP2_TOKEN_AUTHORIZATION && nv->valuelen < 256) ||$' "$source/lib/nghttp2_hd.c"
    with_cmake "$source" -DENABLE_LIB_ONLY=ON -DBUILD_STATIC_LIBS=ON -DENABLE_DOC=OFF
}
# No threads of its own: our loop drives it.
build_c_ares() { with_cmake "$src/c-ares" -DCARES_STATIC=ON -DCARES_SHARED=OFF -DCARES_BUILD_TOOLS=OFF -DCARES_BUILD_TESTS=OFF -DCARES_THREADS=OFF; }
build_libyaml() {
    copy_source libyaml
    # A parser starts with buffers of 64 KiB, and every item of `objects` has a parser of its own: with musl that is a mapping made, touched and
    # given back each time, a tenth of what a mount costs the provider. Longer texts are read in pieces.
    sed -i 's/^#define INPUT_RAW_BUFFER_SIZE .*/#define INPUT_RAW_BUFFER_SIZE 1024/' "$source/src/yaml_private.h"
    grep -q '^#define INPUT_RAW_BUFFER_SIZE 1024$' "$source/src/yaml_private.h"
    with_cmake "$source" -DINSTALL_CMAKE_DIR=lib/cmake
}
build_cjson() {
    one_file "$src/cjson/cJSON.c" libcjson.a
    install -D -m 0644 "$src/cjson/cJSON.h" "$prefix/include/cjson/cJSON.h"
}
build_protobuf_c() {
    one_file "$src/protobuf-c/protobuf-c/protobuf-c.c" libprotobuf-c.a
    install -D -m 0644 "$src/protobuf-c/protobuf-c/protobuf-c.h" "$prefix/include/protobuf-c/protobuf-c.h"
}
build_libmicrohttpd() {
    "$src/libmicrohttpd/configure" CC="$prefix/bin/cc" AR="$ar" RANLIB="$ranlib" CFLAGS="$cflags" --host="$machine-linux-musl" \
        --prefix="$prefix" --enable-static --disable-shared --disable-https --disable-doc --disable-examples --disable-tools \
        --disable-curl --disable-bauth --disable-dauth --disable-postprocessor --disable-httpupgrade --disable-poll \
        --enable-messages
    make -j"$jobs" -C src/microhttpd install
    make -C src/include install
}
build_libseccomp() {
    "$src/libseccomp/configure" CC="$prefix/bin/cc" AR="$ar" RANLIB="$ranlib" CFLAGS="$cflags" --host="$machine-linux-musl" \
        --prefix="$prefix" --enable-static --disable-shared --disable-python
    make -j"$jobs" -C include install
    make -j"$jobs" -C src install
}
build_mbedtls() {
    copy_source mbedtls
    # It asks for getrandom() only where there is glibc, and would read /dev/urandom, which a bare root does not have.
    sed -i 's/((defined(__linux__) && defined(__GLIBC__)) || defined(__midipix__))/(defined(__linux__) || defined(__midipix__))/' \
        "$source/library/entropy_poll.c"
    grep -q '^#if (defined(__linux__) || defined(__midipix__))' "$source/library/entropy_poll.c"
    # 3.6.6 offers RSA-PSS signatures and then refuses them from servers that choose TLS 1.2, as OpenSSL's and others with RSA certificates do.
    # Corrected upstream after that release; on a corrected source this changes nothing.
    sed -i '/^static int ssl_parse_signature_algorithm/,/^}/s/if (!mbedtls_ssl_sig_alg_is_supported(ssl, sig_alg)) {/if (*pk_alg != MBEDTLS_PK_RSASSA_PSS \&\& !mbedtls_ssl_sig_alg_is_supported(ssl, sig_alg)) {/' \
        "$source/library/ssl_tls12_client.c"
    # The arithmetic of Curve25519, most of what a handshake costs: 2.2 ms before, 1 ms with it.
    patch --batch --forward -d "$source" -p1 < "$root/mk/static/mbedtls-curve25519.patch"
    # Name constraints and RSA-PSS keys.
    patch --batch --forward -d "$source" -p1 < "$root/mk/static/mbedtls-certificates.patch"
    cp "$root/mk/static/mbedtls_config.h" "$prefix/include/mbedtls_release_config.h"
    cflags="$cflags -DMBEDTLS_USER_CONFIG_FILE='<mbedtls_release_config.h>'" \
        with_cmake "$source" -DENABLE_PROGRAMS=OFF -DENABLE_TESTING=OFF -DGEN_FILES=OFF -DUSE_STATIC_MBEDTLS_LIBRARY=ON
    local everest=$source/3rdparty/everest
    # shellcheck disable=SC2086 # a list of flags
    "$prefix/bin/cc" $cflags -DMBEDTLS_ECDH_VARIANT_EVEREST_ENABLED -I"$source/include" -I"$source/library" -I"$everest/include" \
        -I"$everest/include/everest" -I"$everest/include/everest/kremlib" -c -o curve25519.o "$everest/library/Hacl_Curve25519_joined.c"
    "$ar" rs "$prefix/lib/libmbedcrypto.a" curve25519.o
    # whoever includes the headers sees the configuration they were built with
    sed -i '1i #define MBEDTLS_USER_CONFIG_FILE <mbedtls_release_config.h>' "$prefix/include/mbedtls/build_info.h"
}
# for the unit tests
build_cmocka() {
    with_cmake "$src/cmocka" -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF # its old versions make a shared object only
    rm -f "$prefix"/lib/libcmocka.so*
    cflags="$cflags -DHAVE_CONFIG_H -I. -I$src/cmocka/include" one_file "$src/cmocka/src/cmocka.c" libcmocka.a
}
build_curl() {
    copy_source curl
    # Its printf appends each character for itself. With the token in a header that is a quarter of what a secret costs the provider: headers
    # are not formatted, and curl-text.patch has the rest.
    sed -i 's|  result = curlx_dyn_addf(req, "%s\\r\\n", origp);|{\
        result = curlx_dyn_add(req, origp);\
        if(!result)\
          result = curlx_dyn_add(req, "\\r\\n");\
      }|' "$source/lib/http.c"
    grep -q 'result = curlx_dyn_add(req, origp);' "$source/lib/http.c"
    patch -d "$source" -p1 < "$root/mk/static/curl-text.patch"
    # A session of TLS 1.3 stays for the next connections, as those of TLS 1.2 do. curl uses each once, so that a listener cannot tell that two
    # connections come from one client (RFC 8446, C.4): ours all come from one node. Otherwise the connections that a first mount opens at the
    # same moment share two or three sessions, and the rest pays for a full handshake. A server that accepts a session only once is asked for a
    # full handshake, as before.
    sed -i '/^void Curl_ssl_scache_return/,/^}/s/  if(s && s->ietf_tls_id < 0x304)/  if(s)/' "$source/lib/vtls/vtls_scache.c"
    sed -n '/^void Curl_ssl_scache_return/,/^}/p' "$source/lib/vtls/vtls_scache.c" | grep -q '^  if(s)$'
    with_cmake "$source" -DBUILD_CURL_EXE=OFF -DBUILD_STATIC_LIBS=ON -DBUILD_LIBCURL_DOCS=OFF -DBUILD_MISC_DOCS=OFF \
        -DENABLE_CURL_MANUAL=OFF -DBUILD_EXAMPLES=OFF -DHTTP_ONLY=ON -DCURL_USE_OPENSSL=OFF -DCURL_USE_MBEDTLS=ON -DUSE_NGHTTP2=ON \
        -DCURL_USE_PKGCONFIG=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DUSE_LIBIDN2=OFF -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF \
        -DCURL_ZSTD=OFF -DENABLE_THREADED_RESOLVER=OFF -DENABLE_UNIX_SOCKETS=OFF -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_AWS=ON \
        -DCURL_DISABLE_COOKIES=ON -DCURL_DISABLE_DIGEST_AUTH=ON -DCURL_DISABLE_DOH=ON -DCURL_DISABLE_FORM_API=ON -DCURL_DISABLE_MIME=ON \
        -DCURL_DISABLE_GETOPTIONS=ON -DCURL_DISABLE_HEADERS_API=ON -DCURL_DISABLE_HSTS=ON -DCURL_DISABLE_KERBEROS_AUTH=ON -DCURL_DISABLE_NEGOTIATE_AUTH=ON \
        -DCURL_DISABLE_NETRC=ON -DCURL_DISABLE_NTLM=ON -DCURL_DISABLE_PROGRESS_METER=ON -DCURL_DISABLE_SRP=ON -DCURL_DISABLE_WEBSOCKETS=ON \
        -DCURL_DISABLE_SHA512_256=ON -DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none -DCURL_CA_FALLBACK=OFF \
        -DMBEDTLS_INCLUDE_DIR="$prefix/include" -DMBEDTLS_LIBRARY="$prefix/lib/libmbedtls.a" \
        -DMBEDX509_LIBRARY="$prefix/lib/libmbedx509.a" -DMBEDCRYPTO_LIBRARY="$prefix/lib/libmbedcrypto.a" \
        -DNGHTTP2_INCLUDE_DIR="$prefix/include" -DNGHTTP2_LIBRARY="$prefix/lib/libnghttp2.a" -DNGHTTP2_USE_STATIC_LIBS=ON
}

once musl build_musl
[ -x "$prefix/bin/cc" ] || write_cc
once libuv build_libuv
once nghttp2 build_nghttp2
once c-ares build_c_ares
once libyaml build_libyaml
once cjson build_cjson
once protobuf-c build_protobuf_c
once libmicrohttpd build_libmicrohttpd
once libseccomp build_libseccomp
once mbedtls build_mbedtls
once curl build_curl
[ "$(uname -m)" != "$machine" ] || once cmocka build_cmocka
