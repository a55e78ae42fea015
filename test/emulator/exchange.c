/*
 * exchange.c - see exchange.h.
 */
#include "test/emulator/exchange.h"

#include <stdio.h>
#include <strings.h>

#include "test/emulator/counters.h"
#include "test/emulator/memory.h"
#include "test/emulator/tls.h"

static const struct {
    const char *name;
    void (*serve)(struct emulator *emulator, struct request *request, struct response *response);
    void (*error_body)(struct emulator *emulator, unsigned status, struct response *response);
} services[SERVICE_COUNT] = {
    [SERVICE_NONE] = {"unknown", NULL, NULL},
    [SERVICE_ENTRA] = {"entra", entra_serve, entra_error_body},
    [SERVICE_VAULT] = {"vault", keyvault_serve, keyvault_error_body},
    [SERVICE_KUBE] = {"kube", kube_serve, kube_error_body},
    [SERVICE_IMDS] = {"imds", imds_serve, imds_error_body},
    [SERVICE_NMI] = {"nmi", nmi_serve, nmi_error_body},
    [SERVICE_TOKEN_PROXY] = {"token-proxy", entra_serve, entra_error_body},
    [SERVICE_CONTROL] = {"control", control_serve, NULL},
};

const char *service_name(enum service service)
{
    return services[service].name;
}

const char *request_header(const struct request *request, const char *name)
{
    return request->transport->header(request, name);
}

const char *request_bearer_token(const struct request *request)
{
    const char *value = request_header(request, "Authorization");
    if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0)
        return NULL;
    value += 7 + strspn(value + 7, " ");
    return *value == '\0' ? NULL : value;
}

bool request_is(const struct request *request, const char *method)
{
    return strcmp(request->method, method) == 0;
}

cJSON *request_json(const struct request *request)
{
    cJSON *json = cJSON_ParseWithLength(request->body.bytes, request->body.len);
    if (cJSON_IsObject(json))
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* ---- from the request to its service ---- */

/* "login.cloud.test" becomes "login.localhost" when `domain` is "cloud.test". */
static void use_own_domain(char host[static MAX_HOST_BYTES], const char *domain)
{
    static const char own[] = "localhost";
    size_t len = strlen(host);
    size_t domain_len = strlen(domain);
    if (!ends_with(host, domain) || len == domain_len || host[len - domain_len - 1] != '.' ||
        len - domain_len + sizeof(own) > MAX_HOST_BYTES)
        return;
    memcpy(host + len - domain_len, own, sizeof(own));
}

static enum service service_of_host(const char *host)
{
    if (strcmp(host, LOGIN_HOST) == 0 || strcmp(host, REMOTE_LOGIN_HOST) == 0 ||
        strcmp(host, DISCOVERY_HOST) == 0)
        return SERVICE_ENTRA;
    if (ends_with(host, "." VAULT_SUFFIX) || ends_with(host, "." HSM_SUFFIX) ||
        ends_with(host, "." REMOTE_VAULT_SUFFIX))
        return SERVICE_VAULT;
    if (strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 || starts_with(host, "kubernetes"))
        return SERVICE_KUBE;
    return SERVICE_NONE;
}

static void identify(struct request *request)
{
    /* Only the TLS server name distinguishes AKS' token proxy; the Host header is that of the API server. */
    if (request->service == SERVICE_NONE && request->transport->server_name_is(request, TOKEN_PROXY_SNI))
        request->service = SERVICE_TOKEN_PROXY;
    const char *host = request_header(request, "Host");
    if (host == NULL || !lower_into(host, request->host, sizeof(request->host)))
        request->host[0] = '\0';
    request->host[strcspn(request->host, ":")] = '\0';
    use_own_domain(request->host, request->emulator->domain);
    if (request->service == SERVICE_NONE)
        request->service = service_of_host(request->host);
}

/* ---- the way of a request ---- */

void exchange_begin(struct request *request, const char *target)
{
    struct emulator *emulator = request->emulator;
    request->target = xstrdup(target);
    request->started_unix = unix_now_precise();
    if (request->service == SERVICE_CONTROL)
        return;
    (void)pthread_mutex_lock(&emulator->lock);
    counters_request_arrived(emulator->counters);
    struct connection *connection = request->connection;
    connection->requests++;
    if (++connection->in_flight > connection->peak_in_flight)
        connection->peak_in_flight = connection->in_flight;
    (void)pthread_mutex_unlock(&emulator->lock);
}

void exchange_body(struct request *request, const void *bytes, size_t len)
{
    if (request->body.len + len > MAX_BODY_BYTES)
        request->body_too_large = true;
    else
        text_append_bytes(&request->body, bytes, len);
}

static const char *const retry_headers[RETRY_SPELLINGS] = {
    [RETRY_AFTER] = "Retry-After",
    [RETRY_AFTER_MS] = "retry-after-ms",
    [X_MS_RETRY_AFTER_MS] = "x-ms-retry-after-ms",
};

static void apply_fault(struct request *request, struct response *response)
{
    static const char garbage[] = "\x1f\x8b\x08<html>\xff\xfe not { json \"";
    struct fault_decision *fault = &request->fault;
    if (fault->kind == FAULT_GARBAGE) {
        response_copy(response, 200, garbage, sizeof(garbage) - 1);
        response_header_static(response, "Content-Type", "application/json");
    } else if (fault->kind == FAULT_STATUS) {
        if (services[request->service].error_body != NULL)
            services[request->service].error_body(request->emulator, fault->status, response);
        if (fault->body != NULL)
            response_copy(response, fault->status, fault->body, strlen(fault->body));
        response->status = fault->status;
        if (fault->retry_after >= 0)
            response_headerf(response, retry_headers[fault->retry_spelling], "%d", fault->retry_after);
    }
}

static void refuse(struct request *request, unsigned status)
{
    request->fault = (struct fault_decision){.kind = FAULT_STATUS, .status = status, .retry_after = -1};
}

enum exchange_wait exchange_complete(struct request *request, uint64_t *ret_deadline_ns)
{
    struct emulator *emulator = request->emulator;
    identify(request);
    if (url_parse(&request->url, request->target) != 0) {
        refuse(request, 400);
        return EXCHANGE_NOW;
    }
    if (request->body_too_large) {
        refuse(request, 413);
        return EXCHANGE_NOW;
    }
    if (request->service == SERVICE_CONTROL)
        return EXCHANGE_NOW;

    (void)pthread_mutex_lock(&emulator->lock);
    bool silent = request->connection->silent;
    if (!silent)
        request->fault = faults_decide(emulator->faults, service_name(request->service),
                                       strcmp(request->transport->protocol, "h2") == 0, request->method,
                                       request->host, request->target);
    (void)pthread_mutex_unlock(&emulator->lock);
    if (silent || request->fault.kind == FAULT_BLACKHOLE)
        return EXCHANGE_NEVER;
    if (request->fault.latency_ms == 0)
        return EXCHANGE_NOW;
    *ret_deadline_ns = monotonic_ns() + request->fault.latency_ms * UINT64_C(1000000);
    return EXCHANGE_LATER;
}

/* Whether the faults leave the request to its service. */
static bool is_served(const struct request *request)
{
    switch (request->fault.kind) {
    case FAULT_RESET:
    case FAULT_CLOSE:
    case FAULT_STREAM_RESET:
        return false;
    case FAULT_GOAWAY:
        return request->fault.accepted;
    default:
        return services[request->service].serve != NULL;
    }
}

bool exchange_respond(struct request *request, struct response *response)
{
    struct emulator *emulator = request->emulator;
    enum fault_kind fault = request->fault.kind;
    response->route = "-";

    (void)pthread_mutex_lock(&emulator->lock);
    bool silent = request->connection != NULL && request->connection->silent;
    if (!silent && (fault == FAULT_GARBAGE || fault == FAULT_STATUS))
        apply_fault(request, response);
    else if (!silent && is_served(request))
        services[request->service].serve(emulator, request, response);
    if (!silent && request->service != SERVICE_CONTROL)
        counters_request_done(emulator->counters, request, response->route, response->status);
    (void)pthread_mutex_unlock(&emulator->lock);

    if (!silent && emulator->verbose)
        (void)fprintf(stderr, "%s %s %s %s%s -> %u\n", request->transport->protocol,
                      service_name(request->service), request->method, request->host, response->route,
                      response->status);
    return !silent;
}

void exchange_give_up(struct request *request)
{
    struct emulator *emulator = request->emulator;
    (void)pthread_mutex_lock(&emulator->lock);
    counters_request_done(emulator->counters, request, "-", 0);
    (void)pthread_mutex_unlock(&emulator->lock);
}

void exchange_end(struct request *request)
{
    struct emulator *emulator = request->emulator;
    if (request->service != SERVICE_CONTROL) {
        (void)pthread_mutex_lock(&emulator->lock);
        counters_request_ended(emulator->counters);
        request->connection->in_flight--;
        (void)pthread_mutex_unlock(&emulator->lock);
    }
    free(request->target);
    url_finish(&request->url);
    text_finish(&request->body);
    free(request->fault.body);
}
