/*
 * fuzz.h - what the targets share: checks that hold in every build, and inputs that are read piece by piece.
 *
 * A target that defines functions of a module itself stands in for that module: the linker then leaves the
 * module out, and the parser in front of it is called without sockets, mounts and waiting.
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

/* A text for an error or a log: one line, without control characters. */
static inline void fuzz_expect_printable(const char *text)
{
    for (; *text != '\0'; text++)
        EXPECT((unsigned char)*text >= ' ' && *text != 0x7f);
}

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* 0 at the end. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

/* The next `len` bytes, or as many as are left, as a text in a block of exactly its size; the
 * caller frees. */
static inline char *fuzz_text(struct fuzz_input *input, size_t len)
{
    size_t n = len < input->left ? len : input->left;
    char *text = malloc(n + 1);

    EXPECT(text != NULL);
    if (n > 0)
        memcpy(text, input->at, n);
    text[n] = '\0';
    input->at += n;
    input->left -= n;
    return text;
}

/* The next line without its end, or what is left. */
static inline char *fuzz_line(struct fuzz_input *input)
{
    const uint8_t *end = input->left > 0 ? memchr(input->at, '\n', input->left) : NULL;
    char *line = fuzz_text(input, end != NULL ? (size_t)(end - input->at) : input->left);

    if (end != NULL)
        (void)fuzz_byte(input);
    return line;
}

#endif
