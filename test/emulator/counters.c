/*
 * counters.c - see counters.h.
 */
#include "test/emulator/counters.h"

#include <stdatomic.h>
#include <stdio.h>

#include "test/emulator/map.h"
#include "test/emulator/memory.h"

enum { LOG_ENTRIES = 10000, LOGGED_TARGET_BYTES = 256, LOGGED_HEADER_BYTES = 128 };

/* The headers that the services of a node read beside the path. */
static const char *const logged_headers[] = {"Metadata", "podname", "podns"};

struct log_entry {
    double time_unix;
    double duration_ms;
    enum service service;
    unsigned status;
    enum fault_kind fault;
    const char *protocol; /* static text */
    uint64_t connection;
    char method[16];
    char host[MAX_HOST_BYTES];
    char target[LOGGED_TARGET_BYTES];
    char client_id[64];
    char headers[ARRAY_SIZE(logged_headers)][LOGGED_HEADER_BYTES]; /* "" when absent */
};

struct route_count {
    enum service service;
    unsigned status;
    uint64_t n;
    const char *route; /* static text */
    char method[16];
};

struct counters {
    atomic_uint_fast64_t connections_total;
    atomic_int_fast64_t connections_open;
    uint64_t requests;
    uint64_t in_flight;
    uint64_t peak_in_flight;
    uint64_t tokens_issued;
    uint64_t unknown_vault;
    uint64_t by_service[SERVICE_COUNT];
    uint64_t http1_requests;
    uint64_t http2_requests;
    struct map routes; /* struct route_count */
    struct log_entry *log;
    uint64_t logged; /* ever since the reset; the newest is at (logged - 1) % LOG_ENTRIES */
};

struct counters *counters_create(void)
{
    struct counters *counters = xcalloc(1, sizeof(*counters));
    counters->log = xcalloc(LOG_ENTRIES, sizeof(*counters->log));
    return counters;
}

void counters_destroy(struct counters *counters)
{
    map_finish(&counters->routes, free);
    free(counters->log);
    free(counters);
}

void counters_connection(struct counters *counters, bool opened)
{
    if (opened)
        atomic_fetch_add(&counters->connections_total, 1);
    atomic_fetch_add(&counters->connections_open, opened ? 1 : -1);
}

void counters_request_arrived(struct counters *counters)
{
    if (++counters->in_flight > counters->peak_in_flight)
        counters->peak_in_flight = counters->in_flight;
}

void counters_request_ended(struct counters *counters)
{
    counters->in_flight--;
}

void counters_token_issued(struct counters *counters)
{
    counters->tokens_issued++;
}

void counters_unknown_vault(struct counters *counters)
{
    counters->unknown_vault++;
}

void counters_request_done(struct counters *counters, const struct request *request, const char *route,
                           unsigned status)
{
    counters->requests++;
    counters->by_service[request->service]++;
    if (strcmp(request->transport->protocol, "h2") == 0)
        counters->http2_requests++;
    else
        counters->http1_requests++;

    char key[160];
    (void)snprintf(key, sizeof(key), "%d %s %s %u", (int)request->service, request->method, route, status);
    struct route_count *count = map_get(&counters->routes, key);
    if (count == NULL) {
        count = xcalloc(1, sizeof(*count));
        count->service = request->service;
        count->status = status;
        count->route = route;
        memcpy(count->method, request->method, sizeof(count->method));
        (void)map_set(&counters->routes, key, count);
    }
    count->n++;

    struct log_entry *entry = &counters->log[counters->logged++ % LOG_ENTRIES];
    entry->time_unix = request->started_unix;
    entry->duration_ms = (unix_now_precise() - request->started_unix) * 1e3;
    entry->service = request->service;
    entry->status = status;
    entry->fault = request->fault.kind;
    entry->protocol = request->transport->protocol;
    entry->connection = request->connection->id;
    memcpy(entry->method, request->method, sizeof(entry->method));
    memcpy(entry->host, request->host, sizeof(entry->host));
    memcpy(entry->client_id, request->client_id, sizeof(entry->client_id));
    for (size_t i = 0; i < ARRAY_SIZE(logged_headers); i++) {
        const char *value = request_header(request, logged_headers[i]);
        (void)snprintf(entry->headers[i], sizeof(entry->headers[i]), "%s", value != NULL ? value : "");
    }
    struct text target = {0};
    url_append_safe(&target, request->target);
    (void)snprintf(entry->target, sizeof(entry->target), "%s", target.bytes != NULL ? target.bytes : "");
    text_finish(&target);
}

cJSON *counters_report(const struct counters *counters)
{
    cJSON *report = cJSON_CreateObject();
    cJSON_AddNumberToObject(report, "connections", (double)atomic_load(&counters->connections_total));
    cJSON_AddNumberToObject(report, "connections_open", (double)atomic_load(&counters->connections_open));
    cJSON_AddNumberToObject(report, "requests", (double)counters->requests);
    cJSON_AddNumberToObject(report, "in_flight", (double)counters->in_flight);
    cJSON_AddNumberToObject(report, "peak_in_flight", (double)counters->peak_in_flight);
    cJSON_AddNumberToObject(report, "tokens_issued", (double)counters->tokens_issued);
    cJSON_AddNumberToObject(report, "unknown_vault", (double)counters->unknown_vault);
    cJSON *by_service = cJSON_AddObjectToObject(report, "by_service");
    for (int s = SERVICE_NONE; s < SERVICE_COUNT; s++)
        if (s != SERVICE_CONTROL)
            cJSON_AddNumberToObject(by_service, service_name((enum service)s),
                                    (double)counters->by_service[s]);
    cJSON *by_protocol = cJSON_AddObjectToObject(report, "by_protocol");
    cJSON_AddNumberToObject(by_protocol, "http/1.1", (double)counters->http1_requests);
    cJSON_AddNumberToObject(by_protocol, "h2", (double)counters->http2_requests);
    cJSON *routes = cJSON_AddArrayToObject(report, "routes");
    struct map_cursor cursor = {0};
    for (const struct map_entry *entry; (entry = map_next(&counters->routes, &cursor)) != NULL;) {
        const struct route_count *count = entry->value;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "service", service_name(count->service));
        cJSON_AddStringToObject(item, "method", count->method);
        cJSON_AddStringToObject(item, "route", count->route);
        cJSON_AddNumberToObject(item, "status", count->status);
        cJSON_AddNumberToObject(item, "count", (double)count->n);
        cJSON_AddItemToArray(routes, item);
    }
    return report;
}

cJSON *counters_requests(const struct counters *counters, const char *service, size_t last)
{
    cJSON *list = cJSON_CreateArray();
    uint64_t kept = counters->logged < LOG_ENTRIES ? counters->logged : LOG_ENTRIES;
    if (last != 0 && last < kept)
        kept = last;
    for (uint64_t i = counters->logged - kept; i < counters->logged; i++) {
        const struct log_entry *entry = &counters->log[i % LOG_ENTRIES];
        if (service != NULL && strcmp(service, service_name(entry->service)) != 0)
            continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "time", entry->time_unix);
        cJSON_AddNumberToObject(item, "duration_ms", entry->duration_ms);
        cJSON_AddStringToObject(item, "service", service_name(entry->service));
        cJSON_AddStringToObject(item, "method", entry->method);
        cJSON_AddStringToObject(item, "host", entry->host);
        cJSON_AddStringToObject(item, "path", entry->target);
        cJSON_AddNumberToObject(item, "status", entry->status);
        cJSON_AddStringToObject(item, "client_id", entry->client_id);
        cJSON_AddStringToObject(item, "protocol", entry->protocol);
        cJSON_AddNumberToObject(item, "connection", (double)entry->connection);
        cJSON_AddBoolToObject(item, "fault", entry->fault != FAULT_NONE);
        cJSON *headers = cJSON_AddObjectToObject(item, "headers");
        for (size_t h = 0; h < ARRAY_SIZE(logged_headers); h++)
            if (entry->headers[h][0] != '\0')
                cJSON_AddStringToObject(headers, logged_headers[h], entry->headers[h]);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

void counters_reset(struct counters *counters)
{
    /* Connections and requests under way stay counted: they will end later. */
    atomic_store(&counters->connections_total, 0);
    counters->requests = 0;
    counters->peak_in_flight = counters->in_flight;
    counters->tokens_issued = 0;
    counters->unknown_vault = 0;
    counters->http1_requests = 0;
    counters->http2_requests = 0;
    memset(counters->by_service, 0, sizeof(counters->by_service));
    map_finish(&counters->routes, free);
    counters->logged = 0;
}
