/*
 * node_token.c - see node_token.h.
 */
#include "test/emulator/node_token.h"

#include <stdio.h>

#include "test/emulator/counters.h"
#include "test/emulator/entra.h"
#include "test/emulator/memory.h"
#include "test/emulator/tokens.h"

bool node_times_read(const cJSON *json, enum node_times *ret)
{
    static const char *const names[] = {"string", "number", "date", "empty", "short"};
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "times"));
    *ret = NODE_TIMES_STRING;
    for (size_t i = 0; name != NULL && i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum node_times)i;
            return true;
        }
    }
    return name == NULL;
}

void node_error(struct response *response, unsigned status, const char *error, const char *description)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "error", error);
    cJSON_AddStringToObject(json, "error_description", description);
    response_json_take(response, status, json);
}

static void add_time(cJSON *json, const char *name, time_t value, enum node_times times)
{
    char text[RFC3339_SIZE];
    struct tm parts;
    bool is_date = times == NODE_TIMES_DATE && strcmp(name, "expires_on") == 0;
    if (times == NODE_TIMES_NUMBER) {
        cJSON_AddNumberToObject(json, name, (double)value);
        return;
    }
    if (times == NODE_TIMES_EMPTY && strcmp(name, "expires_on") != 0)
        text[0] = '\0';
    else if (is_date && gmtime_r(&value, &parts) != NULL)
        (void)strftime(text, sizeof(text), "%m/%d/%Y %H:%M:%S", &parts);
    else
        (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    cJSON_AddStringToObject(json, name, text);
}

cJSON *node_token_make(struct emulator *emulator, const struct request *request, const char *tenant,
                       const char *client_id, enum node_times times, struct response *response)
{
    const char *resource = params_get(&request->url.query, "resource");
    if (resource == NULL || *resource == '\0') {
        node_error(response, 400, "invalid_request", "Required query variable 'resource' is missing");
        return NULL;
    }
    if (strcmp(resource, emulator->resource) != 0 && strcmp(resource, emulator->hsm_resource) != 0) {
        node_error(response, 400, "invalid_resource",
                   "AADSTS500011: The resource principal was not found in the tenant.");
        return NULL;
    }
    long life = entra_token_lifetime(emulator->entra);
    char *token =
        tokens_issue(emulator->tokens, emulator->login_url, tenant, client_id, client_id, resource, life);
    counters_token_issued(emulator->counters);
    time_t now = unix_now();
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "access_token", token);
    cJSON_AddStringToObject(json, "client_id", client_id);
    cJSON_AddStringToObject(json, "refresh_token", "");
    add_time(json, "expires_in", life, times);
    if (times != NODE_TIMES_SHORT) {
        add_time(json, "expires_on", now + life, times);
        add_time(json, "not_before", now, times);
    }
    cJSON_AddStringToObject(json, "resource", resource);
    cJSON_AddStringToObject(json, "token_type", "Bearer");
    free(token);
    return json;
}
