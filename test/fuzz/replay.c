/*
 * replay.c - runs a fuzz target over files instead of under a fuzzer: a corpus becomes an ordinary test.
 *
 *     fuzz_json test/fuzz/corpus/json crash-1234...
 *
 * Every argument is a file or a directory, of which each file is taken. Each input is handed over in a block
 * of exactly its size, so that a sanitizer sees the first byte read behind it. Without arguments, or when
 * there was no file at all, the exit status is 1: a test that tests nothing must not pass.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    cleanup_file FILE *file = fopen(path, "rb");
    struct stat st;
    if (file == NULL || fstat(fileno(file), &st) == -1) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    size_t size = (size_t)st.st_size;
    cleanup_free uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return -1;
    }
    (void)LLVMFuzzerTestOneInput(data, size);
    return 1;
}

/* The number of files run, -1 on failure. */
static int replay_directory(const char *path)
{
    cleanup_dir DIR *dir = opendir(path);
    if (dir == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    int n = 0;
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        cleanup_free char *name = NULL;
        if (asprintf(&name, "%s/%s", path, entry->d_name) < 0 || replay_file(name) < 0)
            return -1;
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool is_directory = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        int n = is_directory ? replay_directory(argv[i]) : replay_file(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
