/*
 * nmi.c - see nmi.h.
 */
#include "test/emulator/nmi.h"

#include <stdio.h>

#include "test/emulator/emulator.h"
#include "test/emulator/map.h"
#include "test/emulator/memory.h"
#include "test/emulator/node_token.h"

struct nmi {
    struct map pods; /* "namespace/name" -> struct binding */
};

struct binding {
    char *tenant; /* owned, both */
    char *client_id;
    enum node_times times;
};

static void binding_free(void *value)
{
    struct binding *binding = value;
    if (binding == NULL)
        return;
    free(binding->tenant);
    free(binding->client_id);
    free(binding);
}

struct nmi *nmi_create(void)
{
    return xcalloc(1, sizeof(struct nmi));
}

void nmi_destroy(struct nmi *nmi)
{
    map_finish(&nmi->pods, binding_free);
    free(nmi);
}

const char *nmi_put(struct nmi *nmi, const char *ns, const char *pod, const cJSON *json)
{
    const char *tenant = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "tenant"));
    const char *client_id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "client_id"));
    enum node_times times;
    if (tenant == NULL || client_id == NULL || !node_times_read(json, &times))
        return "'tenant' and 'client_id' are needed, 'times' must be known";
    struct binding *binding = xcalloc(1, sizeof(*binding));
    binding->tenant = xstrdup(tenant);
    binding->client_id = xstrdup(client_id);
    binding->times = times;
    char *key = format_text("%s/%s", ns, pod);
    binding_free(map_set(&nmi->pods, key, binding));
    free(key);
    return NULL;
}

bool nmi_delete(struct nmi *nmi, const char *ns, const char *pod)
{
    char *key = format_text("%s/%s", ns, pod);
    struct binding *binding = map_remove(&nmi->pods, key);
    free(key);
    binding_free(binding);
    return binding != NULL;
}

static void plain(struct response *response, unsigned status, const char *text)
{
    response_header_static(response, "Content-Type", "text/plain; charset=utf-8");
    response_copy(response, status, text, strlen(text));
}

void nmi_error_body(struct emulator *emulator, unsigned status, struct response *response)
{
    (void)emulator;
    plain(response, status, "nmi is not well\n");
}

static void serve_token(struct emulator *emulator, struct request *request, struct response *response)
{
    const char *pod = request_header(request, "podname");
    const char *ns = request_header(request, "podns");
    if (pod == NULL || ns == NULL || *pod == '\0' || *ns == '\0') {
        plain(response, 400, "missing 'podname' or 'podns' from request header\n");
        return;
    }
    char *key = format_text("%s/%s", ns, pod);
    const struct binding *binding = map_get(&emulator->nmi->pods, key);
    free(key);
    if (binding == NULL) {
        char *text = format_text(
            "getting assigned identities for pod %s/%s in CREATED state failed after 16 attempts, retry duration [5]s. Error: <nil>\n",
            ns, pod);
        plain(response, 404, text);
        free(text);
        return;
    }
    (void)snprintf(request->client_id, sizeof(request->client_id), "%s", binding->client_id);
    cJSON *token =
        node_token_make(emulator, request, binding->tenant, binding->client_id, binding->times, response);
    if (token == NULL)
        return;
    cJSON_DeleteItemFromObjectCaseSensitive(token, "client_id");
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "token", token);
    cJSON_AddStringToObject(json, "clientid", binding->client_id);
    response_header_static(response, "Content-Type", "application/json");
    response_json_take(response, 200, json);
}

void nmi_serve(struct emulator *emulator, struct request *request, struct response *response)
{
    const struct url *url = &request->url;
    if (url->n == 3 && strcmp(url->segments[0], "host") == 0 && strcmp(url->segments[1], "token") == 0 &&
        url->segments[2][0] == '\0' && request_is(request, "GET")) {
        response->route = "/host/token/";
        serve_token(emulator, request, response);
    } else {
        plain(response, 404, "404 page not found\n");
    }
}
