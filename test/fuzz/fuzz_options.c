/*
 * fuzz_options.c - command lines: the input is cut into words at newlines and NULs. The value of -s is read
 * as a listen address, too.
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/grpc/address.h"
#include "common/process/endpoint.h"
#include "common/process/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
    bool flag;
    int64_t number, port, duration;
    const char *text;
};

static const struct option_row rows[] = {
    {"b", OPTION_BOOL, offsetof(struct settings, flag), "true", 0, 0, "switch"},
    {"n", OPTION_INT, offsetof(struct settings, number), NULL, INT64_MIN, INT64_MAX, "number"},
    {"port", OPTION_INT, offsetof(struct settings, port), "80", 1, 65535, "port"},
    {"d", OPTION_DURATION, offsetof(struct settings, duration), "2m", 0, 3600000000000, "time"},
    {"s", OPTION_STRING, offsetof(struct settings, text), "x", 0, 0, "text"},
    {"i", OPTION_IGNORED, 0, NULL, 0, 0, NULL},
    {"ib", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},
};

/* A Unix socket has an absolute path, and an address that is read is one of the two families. */
static void read_endpoint(const char *text)
{
    struct endpoint endpoint = {0};
    struct sockaddr_un local;
    struct sockaddr_storage address;

    if (endpoint_parse(text, &endpoint, /* err= */ NULL) < 0)
        return;
    if (endpoint.kind == ENDPOINT_UNIX)
        assert(endpoint.address[0] == '/' && (address_unix(endpoint.address, &local, NULL) < 0 ||
                                              strcmp(local.sun_path, endpoint.address) == 0));
    else if (address_tcp(endpoint.address, &address, NULL) == 0)
        assert(address.ss_family == AF_INET || address.ss_family == AF_INET6);
    endpoint_finish(&endpoint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MAX_WORDS = 64, MAX_SIZE = 4096 };
    char text[MAX_SIZE + 1];
    char program[] = "program";
    char *words[MAX_WORDS + 1] = {program};
    if (size > MAX_SIZE)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';

    int n = 1;
    for (size_t at = 0; at < size && n < MAX_WORDS; at++) {
        words[n++] = text + at;
        at += strcspn(text + at, "\n");
        text[at] = '\0';
    }

    struct settings settings;
    int rest = -1;
    cleanup_error struct error *err = NULL;
    enum options_result result = options_parse(rows, ARRAY_SIZE(rows), n, words, &settings, &rest, &err);
    assert((result == OPTIONS_ERROR) == (err != NULL));
    assert(result != OPTIONS_RUN || (rest >= 1 && rest <= n));
    assert(settings.port >= 1 && settings.port <= 65535);
    assert(settings.duration >= 0 && settings.duration <= 3600000000000);
    assert(settings.text != NULL);
    read_endpoint(settings.text);
    return 0;
}
