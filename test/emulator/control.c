/*
 * control.c - see control.h; the calls are described in README.md.
 */
#include "test/emulator/control.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "test/emulator/counters.h"
#include "test/emulator/entra.h"
#include "test/emulator/imds.h"
#include "test/emulator/kube.h"
#include "test/emulator/limits.h"
#include "test/emulator/memory.h"
#include "test/emulator/nmi.h"
#include "test/emulator/server.h"
#include "test/emulator/tokens.h"
#include "test/emulator/vault_store.h"

enum { MAX_FIXTURE_BYTES = 64 * 1024 * 1024, MAX_LIFETIME_S = 1000000 };

struct control {
    struct emulator *emulator;
    const struct url *url;
    const cJSON *json; /* may be NULL */
    struct response *response;
};

static void done(struct control *control)
{
    response_copy(control->response, 200, "{}", 2);
}

static void fail(struct control *control, unsigned status, const char *message)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "error", message);
    response_json_take(control->response, status, json);
}

/* `problem` NULL = it worked. */
static void result(struct control *control, const char *problem)
{
    if (problem == NULL)
        done(control);
    else
        fail(control, 400, problem);
}

static void found(struct control *control, bool was_found)
{
    if (was_found)
        done(control);
    else
        fail(control, 404, "there is no such thing");
}

/* ---- entra ---- */

static void put_app(struct control *control)
{
    result(control, entra_put_app(control->emulator->entra, control->json));
}

static void delete_app(struct control *control)
{
    found(control, entra_delete_app(control->emulator->entra, control->json));
}

static void put_issuer(struct control *control)
{
    result(control, entra_put_issuer(control->emulator->entra, control->json));
}

static void revoke_tokens(struct control *control)
{
    tokens_revoke_all(control->emulator->tokens);
    done(control);
}

static void set_token_lifetime(struct control *control)
{
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(control->json, "seconds");
    if (!cJSON_IsNumber(seconds) || seconds->valuedouble < 0 || seconds->valuedouble > MAX_LIFETIME_S) {
        fail(control, 400, "'seconds' is needed, 0 to 1000000");
        return;
    }
    entra_set_token_lifetime(control->emulator->entra, (long)seconds->valuedouble);
    done(control);
}

/* ---- the node ---- */

static void put_imds(struct control *control)
{
    result(control, imds_put(control->emulator->imds, control->json));
}

static void put_pod_identity(struct control *control)
{
    const struct url *url = control->url;
    result(control, nmi_put(control->emulator->nmi, url->segments[2], url->segments[3], control->json));
}

static void delete_pod_identity(struct control *control)
{
    const struct url *url = control->url;
    found(control, nmi_delete(control->emulator->nmi, url->segments[2], url->segments[3]));
}

/* ---- vaults ---- */

static struct vault *the_vault(struct control *control)
{
    struct vault *vault = vault_find(control->emulator->vaults, control->url->segments[1]);
    if (vault == NULL)
        fail(control, 404, "there is no such vault");
    return vault;
}

static void put_vault(struct control *control)
{
    result(control, vault_put(control->emulator->vaults, control->url->segments[1], control->json));
}

static void delete_vault(struct control *control)
{
    found(control, vault_delete(control->emulator->vaults, control->url->segments[1]));
}

static void put_policy(struct control *control)
{
    struct vault *vault = the_vault(control);
    if (vault != NULL)
        result(control, vault_put_policy(vault, control->json));
}

/* The vault and the kind of the path; KIND_COUNT with the error set. */
static enum vault_kind the_kind(struct control *control, struct vault **ret_vault)
{
    *ret_vault = the_vault(control);
    if (*ret_vault == NULL)
        return KIND_COUNT;
    enum vault_kind kind = vault_kind_find(control->url->segments[2]);
    if (kind == KIND_COUNT)
        fail(control, 404, "there is no such kind of objects");
    return kind;
}

/* The key and the secret that come with a certificate. */
static const char *put_companions(struct control *control, struct vault *vault, const char *version)
{
    static const struct {
        enum vault_kind kind;
        const char *from, *to;
    } companions[] = {{KIND_KEY, "key", "key"}, {KIND_SECRET, "secret", "value"}};
    const char *name = control->url->segments[3];
    const char *error = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(companions) && error == NULL; i++) {
        const cJSON *content = cJSON_GetObjectItemCaseSensitive(control->json, companions[i].from);
        if (content == NULL)
            continue;
        cJSON *json = cJSON_Duplicate(control->json, 1);
        char *kid = format_text("https://%s/keys/%s/%s", vault->authority, name, version);
        cJSON_DeleteItemFromObjectCaseSensitive(json, "version");
        cJSON_AddStringToObject(json, "version", version);
        cJSON_AddStringToObject(json, "kid", kid);
        cJSON_AddBoolToObject(json, "managed", 1);
        cJSON_DeleteItemFromObjectCaseSensitive(json, companions[i].to);
        cJSON_AddItemToObject(json, companions[i].to, cJSON_Duplicate(content, 1));
        (void)vault_put_object(vault, companions[i].kind, name, json, &error);
        cJSON_Delete(json);
        free(kid);
    }
    return error;
}

static void put_vault_object(struct control *control)
{
    const char *error;
    struct vault *vault;
    enum vault_kind kind = the_kind(control, &vault);
    if (kind == KIND_COUNT)
        return;
    const struct object_version *version =
        vault_put_object(vault, kind, control->url->segments[3], control->json, &error);
    if (version != NULL && kind == KIND_CERTIFICATE)
        error = put_companions(control, vault, version->version);
    if (error != NULL) {
        fail(control, 400, error);
        return;
    }
    response_take(control->response, 200, format_text("{\"version\":\"%s\"}", version->version));
}

static void patch_vault_object(struct control *control)
{
    struct vault *vault;
    enum vault_kind kind = the_kind(control, &vault);
    if (kind == KIND_COUNT)
        return;
    const struct object *object = vault_find_object(vault, kind, control->url->segments[3]);
    struct object_version *version = NULL;
    if (object != NULL)
        version = strcmp(control->url->segments[4], "latest") == 0
                      ? object->latest
                      : vault_find_version(object, control->url->segments[4]);
    if (version != NULL)
        vault_patch_version(version, control->json);
    found(control, version != NULL);
}

static void delete_vault_object(struct control *control)
{
    struct vault *vault;
    enum vault_kind kind = the_kind(control, &vault);
    if (kind != KIND_COUNT)
        found(control, vault_delete_object(vault, kind, control->url->segments[3]));
}

/* ---- kube ---- */

/* The resource of the path; "-" stands for no namespace. */
static const struct kube_resource *the_resource(struct control *control, const char **ret_ns)
{
    const struct url *url = control->url;
    const struct kube_resource *resource = kube_resource_by_plural(url->segments[1]);
    if (resource == NULL)
        fail(control, 404, "the emulator does not know this resource");
    *ret_ns = url->n > 2 && strcmp(url->segments[2], "-") != 0 ? url->segments[2] : "";
    return resource;
}

static void put_object(struct control *control)
{
    const char *ns;
    const struct kube_resource *resource = the_resource(control, &ns);
    if (resource == NULL)
        return;
    struct kube_object *object = kube_store_put(control->emulator->kube, resource, ns,
                                                control->url->segments[3], cJSON_Duplicate(control->json, 1));
    const char *text = kube_object_text(object);
    response_copy(control->response, 200, text, strlen(text));
}

static void get_object(struct control *control)
{
    const char *ns;
    const struct kube_resource *resource = the_resource(control, &ns);
    if (resource == NULL)
        return;
    struct kube_object *object =
        kube_store_get(control->emulator->kube, resource, ns, control->url->segments[3]);
    if (object == NULL) {
        found(control, false);
        return;
    }
    const char *text = kube_object_text(object);
    response_copy(control->response, 200, text, strlen(text));
}

static void delete_object(struct control *control)
{
    const char *ns;
    const struct kube_resource *resource = the_resource(control, &ns);
    if (resource != NULL)
        found(control, kube_store_delete(control->emulator->kube, resource, ns, control->url->segments[3]));
}

static void list_objects(struct control *control)
{
    const char *ns;
    const struct kube_resource *resource = the_resource(control, &ns);
    if (resource == NULL)
        return;
    struct text list = {0};
    text_append(&list, "[");
    for (struct kube_object *object = kube_store_first(control->emulator->kube, resource); object != NULL;
         object = object->next) {
        text_append(&list, kube_object_text(object));
        text_append(&list, object->next != NULL ? "," : "");
    }
    text_append(&list, "]");
    response_take(control->response, 200, text_take(&list));
}

/* ---- faults ---- */

static void add_fault(struct control *control)
{
    result(control, faults_add(control->emulator->faults, control->json));
}

static void list_faults(struct control *control)
{
    response_json_take(control->response, 200, faults_list(control->emulator->faults));
}

/* Requests in a black hole are let go with their rules; if other black holes remain, their requests go too.
 * Silent connections are closed. */
static void delete_faults(struct control *control)
{
    struct emulator *emulator = control->emulator;
    faults_remove(emulator->faults, control->url->n > 1 ? control->url->segments[1] : NULL);
    connections_end_silence(emulator->connections);
    if (emulator->server != NULL)
        server_wake_held(emulator->server);
    done(control);
}

/* ---- limits ---- */

static void put_limits(struct control *control)
{
    result(control, limits_set(control->emulator->limits, control->json));
}

static void delete_limits(struct control *control)
{
    limits_destroy(control->emulator->limits);
    control->emulator->limits = limits_create();
    done(control);
}

static void get_limits(struct control *control)
{
    response_json_take(control->response, 200, limits_report(control->emulator->limits));
}

/* ---- connections ---- */

static double number_or(const cJSON *json, const char *key, double otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

/* Which of the two are in the array; both unchanged without an array. False: something else is in it. */
static bool read_protocols(const cJSON *array, struct http_settings *settings)
{
    const cJSON *item;
    if (array == NULL)
        return true;
    settings->http1 = settings->http2 = false;
    cJSON_ArrayForEach(item, array)
    {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        if (strcmp(name, "h2") == 0)
            settings->http2 = true;
        else if (strcmp(name, "http/1.1") == 0)
            settings->http1 = true;
        else
            return false;
    }
    return settings->http1 || settings->http2;
}

static void put_http(struct control *control)
{
    static const double max_window = 2147483647; /* RFC 9113 6.9.1; the other settings have 32 bits */
    static const double max_frame = 16384;       /* what every client takes */
    struct emulator *emulator = control->emulator;
    struct http_settings settings = emulator->http_defaults;
    double streams = number_or(control->json, "max_streams", settings.max_streams);
    double window = number_or(control->json, "initial_window", settings.initial_window);
    double frame = number_or(control->json, "frame_bytes", settings.frame_bytes);
    if (!read_protocols(cJSON_GetObjectItemCaseSensitive(control->json, "protocols"), &settings)) {
        fail(control, 400, "'protocols' must be a list of h2 and http/1.1");
        return;
    }
    if (streams < 0 || streams > max_window || window < 0 || window > max_window || frame < 1 ||
        frame > max_frame) {
        fail(control, 400, "a number is out of range");
        return;
    }
    settings.max_streams = (uint32_t)streams;
    settings.initial_window = (uint32_t)window;
    settings.frame_bytes = (uint32_t)frame;
    settings.window_updates =
        !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(control->json, "window_updates"));
    emulator->http = settings;
    done(control);
}

static void get_connections(struct control *control)
{
    response_json_take(control->response, 200, connections_report(control->emulator->connections));
}

static void silence_connections(struct control *control)
{
    const char *port = params_get(&control->url->query, "port");
    unsigned n = connections_silence(control->emulator->connections, port);
    response_take(control->response, 200, format_text("{\"silenced\":%u}", n));
}

/* ---- counters, end ---- */

static void get_counters(struct control *control)
{
    response_json_take(control->response, 200, counters_report(control->emulator->counters));
}

static void reset_counters(struct control *control)
{
    counters_reset(control->emulator->counters);
    connections_reset(control->emulator->connections);
    done(control);
}

static void get_requests(struct control *control)
{
    long last = 0;
    (void)params_get_int(&control->url->query, "last", 0, 1000000, &last);
    response_json_take(control->response, 200,
                       counters_requests(control->emulator->counters,
                                         params_get(&control->url->query, "service"), (size_t)last));
}

/* ---- several calls ---- */

/* Connections stay, and versions of Kubernetes objects go on: none is given twice. */
static void forget_all(struct emulator *emulator)
{
    tokens_destroy(emulator->tokens);
    entra_destroy(emulator->entra);
    imds_destroy(emulator->imds);
    nmi_destroy(emulator->nmi);
    vault_store_destroy(emulator->vaults);
    emulator->tokens = tokens_create();
    emulator->entra = entra_create();
    emulator->imds = imds_create();
    emulator->nmi = nmi_create();
    emulator->vaults = vault_store_create(emulator->domain, emulator->tls_port);
    kube_store_clear(emulator->kube);
    emulator->http = emulator->http_defaults;
}

/* One {method, path, body?}. Its response is dropped; on failure *ret_problem is a text that the caller
 * frees. */
static int make_call(struct emulator *emulator, const cJSON *call, char **ret_problem)
{
    const char *method = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(call, "method"));
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(call, "path"));
    struct response response = {0};
    struct url url = {0};
    if (method != NULL && path != NULL && url_parse(&url, path) == 0)
        control_call(emulator, method, &url, cJSON_GetObjectItemCaseSensitive(call, "body"), &response);
    int failed = response.status == 200 ? 0 : -1;
    if (failed != 0)
        *ret_problem = format_text("%s %s: %s", method != NULL ? method : "(no method)",
                                   path != NULL ? path : "(no path)",
                                   response.body != NULL ? response.body : "bad call");
    url_finish(&url);
    response_finish(&response);
    return failed;
}

/* The first call that fails is the last. */
static void reset(struct control *control)
{
    char *problem = NULL;
    const cJSON *calls = cJSON_GetObjectItemCaseSensitive(control->json, "calls");
    forget_all(control->emulator);
    delete_limits(control);
    delete_faults(control);
    for (const cJSON *call = calls != NULL ? calls->child : NULL; call != NULL && problem == NULL;
         call = call->next)
        (void)make_call(control->emulator, call, &problem);
    result(control, problem);
    free(problem);
    counters_reset(control->emulator->counters);
    connections_reset(control->emulator->connections);
}

static void quit(struct control *control)
{
    done(control);
    (void)kill(getpid(), SIGTERM);
}

/* "*" stands for any one segment that is not empty. */
static const struct {
    const char *method;
    const char *path[5];
    void (*handler)(struct control *control);
    bool needs_body;
} routes[] = {
    {"POST", {"entra", "apps"}, put_app, true},
    {"DELETE", {"entra", "apps"}, delete_app, true},
    {"POST", {"entra", "issuers"}, put_issuer, true},
    {"PUT", {"imds"}, put_imds, true},
    {"PUT", {"nmi", "pods", "*", "*"}, put_pod_identity, true},
    {"DELETE", {"nmi", "pods", "*", "*"}, delete_pod_identity, false},
    {"POST", {"entra", "revoke-tokens"}, revoke_tokens, false},
    {"POST", {"entra", "token-lifetime"}, set_token_lifetime, true},
    {"PUT", {"vaults", "*"}, put_vault, true},
    {"DELETE", {"vaults", "*"}, delete_vault, false},
    {"PUT", {"vaults", "*", "policies"}, put_policy, true},
    {"PUT", {"vaults", "*", "*", "*"}, put_vault_object, true},
    {"PATCH", {"vaults", "*", "*", "*", "*"}, patch_vault_object, true},
    {"DELETE", {"vaults", "*", "*", "*"}, delete_vault_object, false},
    {"PUT", {"kube", "*", "*", "*"}, put_object, true},
    {"GET", {"kube", "*", "*", "*"}, get_object, false},
    {"DELETE", {"kube", "*", "*", "*"}, delete_object, false},
    {"GET", {"kube", "*"}, list_objects, false},
    {"POST", {"faults"}, add_fault, true},
    {"GET", {"faults"}, list_faults, false},
    {"DELETE", {"faults"}, delete_faults, false},
    {"DELETE", {"faults", "*"}, delete_faults, false},
    {"PUT", {"limits"}, put_limits, true},
    {"GET", {"limits"}, get_limits, false},
    {"DELETE", {"limits"}, delete_limits, false},
    {"PUT", {"http"}, put_http, true},
    {"GET", {"connections"}, get_connections, false},
    {"POST", {"connections", "silence"}, silence_connections, false},
    {"GET", {"counters"}, get_counters, false},
    {"POST", {"counters", "reset"}, reset_counters, false},
    {"GET", {"requests"}, get_requests, false},
    {"POST", {"reset"}, reset, true},
    {"POST", {"quit"}, quit, false},
};

static bool path_matches(const struct url *url, const char *const path[5])
{
    size_t n = 0;
    while (n < 5 && path[n] != NULL)
        n++;
    if (url->n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(path[i], "*") == 0 ? url->segments[i][0] == '\0' : strcmp(path[i], url->segments[i]) != 0)
            return false;
    return true;
}

void control_call(struct emulator *emulator, const char *method, const struct url *url, const cJSON *json,
                  struct response *response)
{
    struct control control = {emulator, url, json, response};
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (strcmp(routes[i].method, method) != 0 || !path_matches(url, routes[i].path))
            continue;
        if (routes[i].needs_body && json == NULL)
            fail(&control, 400, "the body must be a JSON object");
        else
            routes[i].handler(&control);
        return;
    }
    fail(&control, 404, "there is no such control call");
}

void control_serve(struct emulator *emulator, struct request *request, struct response *response)
{
    cJSON *json = request_json(request);
    response_header_static(response, "Content-Type", "application/json");
    control_call(emulator, request->method, &request->url, json, response);
    cJSON_Delete(json);
}

/* ---- fixtures ---- */

static cJSON *read_json(const char *file)
{
    struct text content = {0};
    char chunk[65536];
    FILE *stream = fopen(file, "re");
    if (stream == NULL)
        return NULL;
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), stream)) > 0 && content.len <= MAX_FIXTURE_BYTES;)
        text_append_bytes(&content, chunk, n);
    (void)fclose(stream);
    cJSON *json = cJSON_ParseWithLength(content.bytes, content.len);
    text_finish(&content);
    return json;
}

int control_load_fixture(struct emulator *emulator, const char *file)
{
    cJSON *calls = read_json(file);
    int failed = cJSON_IsArray(calls) ? 0 : -1;
    if (failed != 0)
        (void)fprintf(stderr, "vault-emulator: %s: cannot be read, or is not a JSON array of calls\n", file);
    const cJSON *call;
    cJSON_ArrayForEach(call, calls)
    {
        char *problem = NULL;
        if (make_call(emulator, call, &problem) != 0) {
            (void)fprintf(stderr, "vault-emulator: %s: %s\n", file, problem);
            failed = -1;
        }
        free(problem);
    }
    cJSON_Delete(calls);
    return failed;
}
