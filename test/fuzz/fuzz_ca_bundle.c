/*
 * fuzz_ca_bundle.c - CA certificates of the node: the input is a bundle, a file beside it and one that
 * a class adds, separated by lines "%".
 *
 * What libcurl gets holds no certificate twice, and none that is in none of the files. A class's file
 * without one is refused.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/crypto/pem.h"
#include "common/http/ca_bundle.h"
#include "test/fuzz/fuzz.h"

static char directory[] = "/tmp/fuzz-ca-XXXXXX";
static char bundle_path[64], other_directory[64], other_path[128], extra_path[64];

static void clean_up(void)
{
    (void)unlink(bundle_path);
    (void)unlink(other_path);
    (void)unlink(extra_path);
    (void)rmdir(other_directory);
    (void)rmdir(directory);
}

static void start(void)
{
    EXPECT(mkdtemp(directory) != NULL);
    (void)snprintf(bundle_path, sizeof(bundle_path), "%s/bundle", directory);
    (void)snprintf(extra_path, sizeof(extra_path), "%s/extra", directory);
    (void)snprintf(other_directory, sizeof(other_directory), "%s/d", directory);
    (void)snprintf(other_path, sizeof(other_path), "%s/any-name", other_directory);
    EXPECT(mkdir(other_directory, 0700) == 0 && atexit(clean_up) == 0);
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "wbe");

    EXPECT(file != NULL && fwrite(bytes, 1, len, file) == len);
    EXPECT(fclose(file) == 0);
}

/* The input up to the next separator. */
static struct fuzz_input next_file(struct fuzz_input *input)
{
    static const char separator[] = "\n%\n";
    const uint8_t *end = input->left > 0 ? memmem(input->at, input->left, separator, 3) : NULL;
    struct fuzz_input file = {input->at, end != NULL ? (size_t)(end - input->at) : input->left};
    size_t step = end != NULL ? file.left + 3 : file.left;

    input->at += step;
    input->left -= step;
    return file;
}

static unsigned count(const void *text, size_t len, const struct secret *wanted)
{
    const char *at = text, *end = at + len;
    struct pem_block block;
    unsigned n = 0;

    while (len > 0 && pem_next(&at, end, &block)) {
        cleanup_secret struct secret *der = pem_decode(block.body, block.body_len, NULL);

        n += der != NULL && secret_equal(der, wanted);
    }
    return n;
}

/* What is made of several files: see above. A single file is handed over as it is. */
static void check_made(const char *path, const struct fuzz_input files[3])
{
    cleanup_buffer struct buffer made;
    struct pem_block block;

    buffer_init(&made, 16 << 20);
    EXPECT(file_read(path, 16 << 20, &made, NULL) == 0);
    if (strncmp(path, "/proc/self/fd/", 14) != 0)
        return;
    const char *at = buffer_str(&made), *end = at + made.len;
    while (pem_next(&at, end, &block)) {
        cleanup_secret struct secret *der = pem_decode(block.body, block.body_len, NULL);
        unsigned n = 0;

        EXPECT(der != NULL);
        for (int i = 0; i < 3; i++)
            n += count(files[i].at, files[i].left, der);
        EXPECT(count(buffer_str(&made), made.len, der) == 1 && n >= 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    cleanup_error struct error *error = NULL;

    if (other_path[0] == '\0')
        start();
    if (size == 0)
        return 0;
    const char *paths[] = {bundle_path, other_path, extra_path};
    struct fuzz_input files[3];
    for (int i = 0; i < 3; i++) {
        files[i] = next_file(&input);
        write_file(paths[i], files[i].at, files[i].left);
    }
    struct ca_bundle *ca = ca_bundle_create(bundle_path, other_directory, /* log= */ NULL);
    EXPECT(ca != NULL);
    const char *path = ca_bundle_path(ca, /* extra= */ NULL, /* now_ms= */ 0, NULL);
    if (path != NULL)
        check_made(path, files);
    for (int i = 0; i < 2; i++) { /* the second time it is known */
        path = ca_bundle_path(ca, extra_path, (uint64_t)i, i == 0 ? &error : NULL);
        EXPECT(i != 0 || (path == NULL) == (error != NULL));
        if (path != NULL)
            check_made(path, files);
    }
    ca_bundle_destroy(ca);
    return 0;
}
