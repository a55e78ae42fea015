/*
 * imds.c - see imds.h.
 */
#include "test/emulator/imds.h"

#include <stdio.h>
#include <strings.h>

#include "test/emulator/emulator.h"
#include "test/emulator/memory.h"
#include "test/emulator/node_token.h"

struct imds {
    char *tenant;          /* owned; NULL: no identity at all */
    char *system_assigned; /* owned; may be NULL */
    cJSON *user_assigned;  /* owned array of client ids; may be NULL */
    enum node_times times;
};

static void clear(struct imds *imds)
{
    free(imds->tenant);
    free(imds->system_assigned);
    cJSON_Delete(imds->user_assigned);
    *imds = (struct imds){0};
}

struct imds *imds_create(void)
{
    return xcalloc(1, sizeof(struct imds));
}

void imds_destroy(struct imds *imds)
{
    clear(imds);
    free(imds);
}

const char *imds_put(struct imds *imds, const cJSON *json)
{
    enum node_times times;
    if (!node_times_read(json, &times))
        return "'times' is not known";
    clear(imds);
    imds->tenant = xstrdup(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "tenant")));
    imds->system_assigned =
        xstrdup(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "system_assigned")));
    imds->user_assigned = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(json, "user_assigned"), 1);
    imds->times = times;
    return NULL;
}

/* The identity that a request gets: the named one, the system-assigned one, or the only user-assigned one. */
static const char *choose(const struct imds *imds, const char *named, const char **ret_problem)
{
    int n = cJSON_GetArraySize(imds->user_assigned);
    *ret_problem = "Identity not found";
    if (imds->tenant == NULL)
        return NULL;
    if (named == NULL && imds->system_assigned != NULL)
        return imds->system_assigned;
    if (named == NULL && n > 1)
        *ret_problem =
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request";
    if (named == NULL)
        return n == 1 ? cJSON_GetStringValue(cJSON_GetArrayItem(imds->user_assigned, 0)) : NULL;
    for (int i = 0; i < n; i++) {
        const char *id = cJSON_GetStringValue(cJSON_GetArrayItem(imds->user_assigned, i));
        if (id != NULL && strcasecmp(id, named) == 0)
            return id;
    }
    return NULL;
}

static void serve_token(struct emulator *emulator, struct request *request, struct response *response)
{
    const struct imds *imds = emulator->imds;
    const char *metadata = request_header(request, "Metadata");
    const char *version = params_get(&request->url.query, "api-version");
    const char *problem;
    if (metadata == NULL || strcasecmp(metadata, "true") != 0) {
        node_error(response, 400, "bad_request_102", "Required metadata header not specified");
        return;
    }
    if (request_header(request, "X-Forwarded-For") != NULL || request_header(request, "Via") != NULL) {
        node_error(response, 403, "forbidden", "Requests through a proxy are not answered");
        return;
    }
    if (version == NULL || strcmp(version, "2018-02-01") != 0) {
        node_error(response, 400, "invalid_request",
                   "Bad request. api-version is invalid or was not specified");
        return;
    }
    const char *client_id = choose(imds, params_get(&request->url.query, "client_id"), &problem);
    if (client_id == NULL) {
        node_error(response, 400, "invalid_request", problem);
        return;
    }
    (void)snprintf(request->client_id, sizeof(request->client_id), "%s", client_id);
    cJSON *json = node_token_make(emulator, request, imds->tenant, client_id, imds->times, response);
    if (json != NULL)
        response_json_take(response, 200, json);
}

void imds_error_body(struct emulator *emulator, unsigned status, struct response *response)
{
    (void)emulator;
    response_header_static(response, "Content-Type", "application/json; charset=utf-8");
    node_error(response, status, status == 429 ? "too_many_requests" : "internal_error", "Please try again.");
}

void imds_serve(struct emulator *emulator, struct request *request, struct response *response)
{
    const struct url *url = &request->url;
    response_header_static(response, "Content-Type", "application/json; charset=utf-8");
    response_header_static(response, "Server", "IMDS/150.870.65.1854");
    if (url->n == 4 && strcmp(url->segments[0], "metadata") == 0 &&
        strcmp(url->segments[1], "identity") == 0 && strcmp(url->segments[2], "oauth2") == 0 &&
        strcmp(url->segments[3], "token") == 0) {
        response->route = "/metadata/identity/oauth2/token";
        if (request_is(request, "GET"))
            serve_token(emulator, request, response);
        else
            node_error(response, 405, "method_not_allowed", "GET is the only method");
    } else {
        node_error(response, 404, "not_found", "There is no such thing");
    }
}
