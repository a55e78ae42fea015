/*
 * fuzz_kube_objects.c - what the Kubernetes API responds to an operation of several requests. The
 * first byte chooses the operation; each line is a response: a character for the status, then the
 * body.
 *
 * The target stands in for the API client and its timers. A Secret's owners come from the very pod or
 * from its own status object; a patch names the version that it was made for; the node keeps the
 * taints of others.
 */
#include "common/kube/kube_client.h"
#include "common/kube/kube_meta.h"
#include "common/process/loop_timer.h"
#include "driver/class/class_kube.h"
#include "driver/kube/kube_upsert.h"
#include "driver/kubelet/node_taint.h"
#include "driver/sync/owner_lookup.h"
#include "test/fuzz/fuzz.h"

#define POD_UID "uid-1"

/* --- in place of the client --- */

static struct {
    kube_callback *callback; /* NULL: no request is in flight */
    void *arg;
    bool reads_pod;
    bool proved; /* an object of the pod has been served */
} sent;

static void check_patch(const cJSON *body)
{
    const cJSON *taints =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(body, "spec"), "taints");
    const cJSON *taint;

    EXPECT(kube_metadata_string(body, "resourceVersion")[0] != '\0');
    cJSON_ArrayForEach(taint, taints)
    {
        const cJSON *key = cJSON_GetObjectItemCaseSensitive(taint, "key");

        EXPECT(!cJSON_IsString(key) || strcmp(key->valuestring, NODE_TAINT_KEY) != 0);
    }
}

struct kube_call *kube_call_start(struct kube_client *client, const struct kube_request *request,
                                  kube_callback *callback, void *arg, struct error **err)
{
    (void)client;
    (void)err;
    EXPECT(sent.callback == NULL && strncmp(request->path, "/api", 4) == 0);
    if (strcmp(request->method, "PATCH") == 0)
        check_patch(request->body);
    sent.reads_pod = strstr(request->path, "/pods/") != NULL;
    sent.callback = callback;
    sent.arg = arg;
    return (struct kube_call *)(void *)&sent;
}

void kube_call_cancel(struct kube_call **call)
{
    sent.callback = NULL;
    *call = NULL;
}

uv_loop_t *kube_client_loop(const struct kube_client *client)
{
    static uv_loop_t loop;

    (void)client;
    return &loop;
}

void kube_client_listen(struct kube_client *client, struct kube_health_listener *listener)
{
    (void)client;
    listener->on_recovered(listener->arg);
}

void kube_health_unlisten(struct kube_health_listener *listener)
{
    (void)listener;
}

/* --- in place of the timers --- */

struct loop_timer {
    loop_timer_callback *callback; /* NULL: not in use */
    void *arg;
    bool running;
};

static struct loop_timer timers[4];

struct loop_timer *loop_timer_create(uv_loop_t *loop, loop_timer_callback *callback, void *arg,
                                     struct error **err)
{
    struct loop_timer *timer = timers;

    (void)loop;
    (void)err;
    while (timer->callback != NULL)
        timer++;
    EXPECT(timer < timers + sizeof(timers) / sizeof(timers[0]));
    *timer = (struct loop_timer){.callback = callback, .arg = arg};
    return timer;
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    EXPECT(delay_ms < UINT32_MAX);
    timer->running = true;
}

void loop_timer_stop(struct loop_timer *timer)
{
    timer->running = false;
}

bool loop_timer_is_running(const struct loop_timer *timer)
{
    return timer->running;
}

void loop_timer_destroy(struct loop_timer *timer)
{
    if (timer != NULL)
        *timer = (struct loop_timer){0};
}

static bool fire_timer(void)
{
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        if (!timers[i].running)
            continue;
        timers[i].running = false;
        timers[i].callback(timers[i].arg);
        return true;
    }
    return false;
}

/* --- responses --- */

static void note_proof(const cJSON *json)
{
    cleanup_owner_references struct owner_references owners = {0};

    if (sent.reads_pod)
        sent.proved |= strcmp(kube_metadata_string(json, "uid"), POD_UID) == 0;
    else if (owner_references_from_object(json, &owners, NULL) == 0)
        sent.proved |= owner_references_contain(&owners, POD_UID);
}

static void respond(const char *line)
{
    static const int statuses[] = {200, 404, 409, 403, 410, 500, 429, 0};
    struct kube_response response = {.status = statuses[(uint8_t)line[0] % 8]};
    const char *body = line[0] != '\0' ? line + 1 : line;
    cleanup_error struct error *error = NULL;
    kube_callback *callback = sent.callback;

    sent.callback = NULL;
    if (response.status != 0)
        response.json = json_parse(body, strlen(body), KUBE_RESPONSE_MAX, NULL);
    if (response.status == 0)
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "no response");
    else if (response.status != 200)
        (void)kube_status_error(response.status, response.json, &error);
    else if (response.json == NULL)
        (void)error_set(&error, GRPC_STATUS_INTERNAL, "no JSON");
    else
        note_proof(response.json);
    callback(&response, error, sent.arg);
    cJSON_Delete(response.json);
}

/* Until nothing is to be done, no response is left or there have been as many steps as any
 * operation takes. */
static void run(struct fuzz_input input)
{
    for (int i = 0; i < 64; i++) {
        if ((sent.callback == NULL && !fire_timer()) || (sent.callback != NULL && input.left == 0))
            return;
        if (sent.callback == NULL)
            continue;
        char *line = fuzz_line(&input);
        respond(line);
        free(line);
    }
}

/* --- operations --- */

static unsigned n_outcomes;

static void on_owners(struct owner_references *owners, const struct error *error, void *arg)
{
    (void)arg;
    n_outcomes++;
    EXPECT((owners == NULL) == (error != NULL));
    EXPECT(owners == NULL || (owners->n > 0 && sent.proved));
}

static void look_up_owners(struct fuzz_input input, bool bare)
{
    static const struct volume_names target = {
        .target_path = "/t", .ns = "shop", .pod_name = "web-0", .pod_uid = POD_UID, .class_name = "db"};
    struct owner_lookup *lookup = owner_lookup_start(NULL, &target, bare, on_owners, NULL, NULL);

    EXPECT(lookup != NULL);
    run(input);
    if (n_outcomes == 0)
        owner_lookup_cancel(&lookup);
}

static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    cJSON *object = cJSON_CreateObject();

    (void)arg;
    (void)err;
    EXPECT((current == NULL) == (step == KUBE_UPSERT_CREATE));
    if (cJSON_HasObjectItem(current, "done")) {
        cJSON_Delete(object);
        return NULL;
    }
    (void)cJSON_AddTrueToObject(object, "done");
    return object;
}

static void on_upsert(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    (void)arg;
    n_outcomes++;
    EXPECT(error == NULL || (error_message(error)[0] != '\0' && result->object == NULL));
}

static void upsert(struct fuzz_input input, enum kube_upsert_step first)
{
    const struct kube_upsert_request request = {.group = "g",
                                                .version = "v1",
                                                .ns = "shop",
                                                .resource = "things",
                                                .name = "one",
                                                .first = first,
                                                .build = build};
    struct kube_upsert *upsert = kube_upsert_start(NULL, &request, on_upsert, NULL, NULL);

    EXPECT(upsert != NULL);
    run(input);
    if (n_outcomes == 0)
        kube_upsert_cancel(&upsert);
}

static void remove_taint(struct fuzz_input input)
{
    struct node_taint *taint = node_taint_create(NULL, "node-1", 0, /* log= */ NULL, NULL);

    EXPECT(taint != NULL);
    node_taint_remove(taint);
    run(input);
    node_taint_destroy(taint);
    sent.callback = NULL;
}

static void on_class(struct secret_provider_class *class, const struct error *error, void *arg)
{
    (void)arg;
    n_outcomes++;
    EXPECT((class == NULL) == (error != NULL));
    EXPECT(class == NULL || (class_name_valid(class->name) && class_name_valid(class->ns)));
    secret_provider_class_free(class);
}

static void look_up_class(struct fuzz_input input, const char *not_older)
{
    struct class_source source = {0};

    EXPECT(class_kube_create(NULL, &source, NULL) == 0);
    struct class_lookup *lookup =
        not_older == NULL
            ? class_source_start(&source, "shop", "db", 1000, on_class, NULL, NULL)
            : source.start_not_older(source.state, "shop", "db", not_older, 1000, on_class, NULL, NULL);
    EXPECT(lookup != NULL);
    run(input);
    if (n_outcomes == 0)
        class_source_cancel(&source, &lookup);
    class_source_destroy(&source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);

    memset(&sent, 0, sizeof(sent));
    n_outcomes = 0;
    switch (kind % 8) {
    case 0:
    case 1:
        look_up_owners(input, /* bare= */ kind % 8 == 1);
        break;
    case 2:
        upsert(input, KUBE_UPSERT_CREATE);
        break;
    case 3:
        upsert(input, KUBE_UPSERT_READ);
        break;
    case 4:
        remove_taint(input);
        break;
    default:
        look_up_class(input, kind % 8 == 5 ? NULL : kind % 8 == 6 ? "17" : "17&watch=true");
        break;
    }
    EXPECT(n_outcomes <= 1);
    return 0;
}
