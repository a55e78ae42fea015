/*
 * fuzz_provider_response.c - the driver's side of the protocol: a provider's response, in wire format, and
 * the failures of a call (an input that begins with a byte above 0x7f: code and text; with 0xff it is
 * cancelled).
 *
 * An accepted response has versions, and files that are unique, on harmless paths, and have the contents of
 * one of the message's files. The request reads back as it was given.
 */
#include "common/base/secret.h"
#include "common/base/utf8.h"
#include "common/grpc/client.h"
#include "common/grpc/message.h"
#include "common/process/loop_timer.h"
#include "driver/provider/provider_client.h"
#include "proto/provider.pb-c.h"
#include "test/fuzz/fuzz.h"

#define SOCKET "/providers/fuzz.sock"

enum { TIMEOUT_MS = 60000 };

/* --- in place of the registry, the channel and the timers --- */

static uv_loop_t loop;
static bool returns_files;

static struct {
    grpc_client_callback *callback;
    void *arg;
    struct grpc_pushback *pushback;
    unsigned tries;
} sent;

static struct {
    loop_timer_callback *callback;
    void *arg;
    bool running;
} timer;

uv_loop_t *provider_registry_loop(const struct provider_registry *registry)
{
    (void)registry;
    return &loop;
}

struct provider_ref *provider_registry_find(struct provider_registry *registry, const char *name,
                                            struct error **err)
{
    static char ref;

    (void)registry;
    (void)name;
    (void)err;
    return (struct provider_ref *)(void *)&ref;
}

void provider_ref_release(struct provider_ref *ref)
{
    (void)ref;
}

struct grpc_channel *provider_ref_channel(const struct provider_ref *ref)
{
    (void)ref;
    return NULL;
}

const char *provider_ref_path(const struct provider_ref *ref)
{
    (void)ref;
    return SOCKET;
}

bool provider_ref_returns_files(const struct provider_ref *ref)
{
    (void)ref;
    return returns_files;
}

bool provider_registry_returned_files(const struct provider_registry *registry, const char *name)
{
    (void)registry;
    (void)name;
    return returns_files;
}

void provider_ref_set_returns_files(struct provider_ref *ref, bool value)
{
    (void)ref;
    returns_files = value;
}

struct loop_timer *loop_timer_create(uv_loop_t *on, loop_timer_callback *callback, void *arg,
                                     struct error **err)
{
    (void)on;
    (void)err;
    timer.callback = callback;
    timer.arg = arg;
    timer.running = false;
    return (struct loop_timer *)(void *)&timer;
}

void loop_timer_start(struct loop_timer *started, uint64_t delay_ms)
{
    (void)started;
    EXPECT(delay_ms <= TIMEOUT_MS);
    if (sent.pushback->kind == GRPC_PUSHBACK_NONE)
        EXPECT(delay_ms > 0 && delay_ms <= 2UL * PROVIDER_REFUSED_PAUSE_MS);
    else
        EXPECT(sent.pushback->kind == GRPC_PUSHBACK_AFTER && delay_ms == sent.pushback->pause_ms);
    timer.running = true;
}

void loop_timer_destroy(struct loop_timer *destroyed)
{
    if (destroyed != NULL)
        timer.running = false;
}

static const struct string_map_entry attributes[] = {{(char[]){"a"}, (char[]){"1"}},
                                                     {(char[]){"b\n"}, (char[]){"\xc3\xa4\""}}};

static void check_request(const V1alpha1__MountRequest *request)
{
    cleanup_string_map struct string_map map = {0};

    EXPECT(string_map_from_json(&map, request->attributes, strlen(request->attributes), NULL, NULL) == 0);
    EXPECT(map.n == ARRAY_SIZE(attributes));
    for (size_t i = 0; i < map.n; i++)
        EXPECT(strcmp(map.entries[i].value, attributes[i].value) == 0);
    EXPECT(strcmp(request->secrets, "null") == 0 && strcmp(request->target_path, "/t") == 0);
    EXPECT(request->n_current_object_version == 1);
}

struct grpc_client_call *grpc_client_call_start(struct grpc_channel *channel, const char *method,
                                                const ProtobufCMessage *request,
                                                const ProtobufCMessageDescriptor *response_type,
                                                uint64_t timeout_ms, grpc_client_callback *callback,
                                                void *arg, struct error **err)
{
    (void)channel;
    (void)method;
    (void)timeout_ms;
    (void)err;
    EXPECT(response_type == &v1alpha1__mount_response__descriptor);
    check_request((const V1alpha1__MountRequest *)request);
    sent.callback = callback;
    sent.arg = arg;
    sent.tries++;
    return (struct grpc_client_call *)(void *)&sent;
}

void grpc_client_call_reserve(struct grpc_client_call *call, struct byte_budget *budget,
                              struct byte_reservation *reservation)
{
    (void)call;
    (void)budget;
    (void)reservation;
}

void grpc_client_call_pushback(struct grpc_client_call *call, struct grpc_pushback *ret)
{
    (void)call;
    sent.pushback = ret;
}

void grpc_client_call_cancel(struct grpc_client_call **call)
{
    *call = NULL;
}

/* --- the outcome --- */

struct outcome {
    const V1alpha1__MountResponse *message; /* a copy of what was delivered; NULL: a failure was */
    unsigned n;
};

static bool is_in_message(const struct payload_file *file, const V1alpha1__MountResponse *message)
{
    for (size_t i = 0; i < message->n_files; i++) {
        const V1alpha1__File *other = message->files[i];

        if (strcmp(other->path, file->path) == 0 && other->contents.len == secret_len(file->contents) &&
            (other->contents.len == 0 ||
             memcmp(other->contents.data, secret_bytes(file->contents), other->contents.len) == 0))
            return true;
    }
    return false;
}

static void on_outcome(struct provider_response *response, const struct error *error, const char *error_type,
                       void *arg)
{
    struct outcome *outcome = arg;

    outcome->n++;
    EXPECT((response == NULL) == (error != NULL));
    if (response == NULL) {
        EXPECT(error_message(error)[0] != '\0' && error_type[0] != '\0');
        return;
    }
    EXPECT(outcome->message != NULL && response->versions.n > 0);
    EXPECT(response->no_files == (response->payload.n == 0));
    EXPECT(response->n_warnings <= PROVIDER_WARNINGS_MAX);
    for (size_t i = 0; i < response->n_warnings; i++) {
        const char *warning = response->warnings[i];

        EXPECT(warning[0] != '\0' && strlen(warning) <= PROVIDER_WARNING_BYTES_MAX &&
               strpbrk(warning, "\r\n\t\x1b") == NULL && utf8_valid(warning, strlen(warning)));
    }
    for (size_t i = 0; i < response->payload.n; i++) {
        const struct payload_file *file = &response->payload.files[i];

        EXPECT(payload_check_path(file->path, NULL) == 0 && (file->mode & ~0777U) == 0);
        EXPECT(i == 0 || strcmp(response->payload.files[i - 1].path, file->path) != 0);
        EXPECT(is_in_message(file, outcome->message));
    }
}

/* A failure of the call: retried as often as its kind is and the provider wants, then final. */
static void deliver_failures(uint8_t code, const char *text)
{
    cleanup_error struct error *error = NULL;

    if ((code & 0x10) != 0)
        *sent.pushback = metadata_parse_pushback(text, strlen(text));

    (void)error_set(&error, 1 + code % 16, "%s%s", (code & 0x20) != 0 ? SOCKET ": " : "", text);
    if ((code & 0x40) != 0)
        (void)error_set_type(&error, GRPC_CLIENT_LOST);
    for (sent.callback(NULL, error, sent.arg); timer.running; sent.callback(NULL, error, sent.arg)) {
        timer.running = false;
        timer.callback(timer.arg);
    }
    EXPECT(sent.tries <= PROVIDER_TRIES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct string_map_entry mounted = {(char[]){"secret/a"}, (char[]){"1"}};
    const struct string_map map = {.entries = (struct string_map_entry *)(uintptr_t)attributes,
                                   .n = ARRAY_SIZE(attributes)};
    const struct string_map none = {0}, versions = {.entries = &mounted, .n = 1};
    const struct provider_mount_request request = {.attributes = &map,
                                                   .secrets = &none,
                                                   .target_path = "/t",
                                                   .may_write = true,
                                                   .current_versions = &versions,
                                                   .timeout_ms = TIMEOUT_MS};
    bool fails = size > 0 && data[0] > 0x7f;
    ProtobufCMessage *message =
        fails ? NULL : message_unpack(&v1alpha1__mount_response__descriptor, data, size, NULL);
    ProtobufCMessage *copy =
        fails ? NULL : message_unpack(&v1alpha1__mount_response__descriptor, data, size, NULL);
    struct outcome outcome = {.message = (const V1alpha1__MountResponse *)copy};

    if (!fails && message == NULL)
        return 0;
    sent.tries = 0;
    struct provider_call *call = provider_call_start(NULL, "fuzz", &request, on_outcome, &outcome, NULL);
    EXPECT(call != NULL);
    if (fails && data[0] == 0xff) {
        provider_call_cancel(&call);
        return 0;
    }
    if (fails) {
        struct fuzz_input input = {data + 1, size - 1};
        char *text = fuzz_line(&input);

        deliver_failures(data[0] & 0x7f, text);
        free(text);
    } else {
        sent.callback(message, NULL, sent.arg); /* takes the message over */
    }
    EXPECT(outcome.n == 1);
    message_free(copy);
    return 0;
}
