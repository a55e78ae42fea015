/*
 * vault_failure.c - kinds of failures of a read.
 */
#include "provider-azure/vault/vault_failure.h"

#include <string.h>

#include "provider-azure/network/http_retry.h"

static const char unavailable[] = "VaultUnavailable";
static const char refused[] = "VaultRefused";

static enum vault_failure classify_status(int status)
{
    switch (status) {
    case 401:
    case 403:
    case 404:
        return VAULT_FAILURE_REFUSED;
    case 408:
    case 429:
        return VAULT_FAILURE_UNAVAILABLE;
    default:
        return status >= 500 && status <= 599 ? VAULT_FAILURE_UNAVAILABLE : VAULT_FAILURE_OTHER;
    }
}

enum vault_failure vault_failure_classify(const struct http_reply *reply, const struct error *error)
{
    if (reply != NULL)
        return classify_status(reply->status);
    if (strcmp(error_type(error), HTTP_RETRY_THROTTLED) == 0)
        return VAULT_FAILURE_UNAVAILABLE;
    if (strcmp(error_type(error), HTTP_RETRY_NO_TIME) == 0)
        return VAULT_FAILURE_OTHER;
    enum grpc_status code = error_code(error);
    return code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_DEADLINE_EXCEEDED
               ? VAULT_FAILURE_UNAVAILABLE
               : VAULT_FAILURE_OTHER;
}

int vault_failure_mark(struct error **err, enum vault_failure failure)
{
    switch (failure) {
    case VAULT_FAILURE_UNAVAILABLE:
        return error_set_type(err, unavailable);
    case VAULT_FAILURE_REFUSED:
        return error_set_type(err, refused);
    case VAULT_FAILURE_OTHER:
        break;
    }
    return error_set_type(err, "");
}

enum vault_failure vault_failure_of(const struct error *error)
{
    if (strcmp(error_type(error), unavailable) == 0)
        return VAULT_FAILURE_UNAVAILABLE;
    return strcmp(error_type(error), refused) == 0 ? VAULT_FAILURE_REFUSED : VAULT_FAILURE_OTHER;
}
