/*
 * stale_message.h - a value that is kept for outages as a message of proto/handover.proto, and back.
 */
#ifndef PROVIDER_AZURE_VAULT_STALE_MESSAGE_H
#define PROVIDER_AZURE_VAULT_STALE_MESSAGE_H

#include "proto/handover.pb-c.h"
#include "provider-azure/vault/stale_store.h"

/* A message that points into the value, which must outlive it. NULL with err set on lack of memory. */
Handover__V1__Value *stale_message_create(const struct stale_value *value, struct error **err);

/* Frees the message, not the value. Accepts NULL. */
void stale_message_destroy(Handover__V1__Value *message);

/* A copy of what the message says; the caller drops its response. `now_ms` is the transport's time, from
 * which the age counts back. INVALID_ARGUMENT for a digest of another length, a value with neither content
 * nor list, an age that this machine cannot know; RESOURCE_EXHAUSTED. On failure *ret_value is empty. */
int stale_message_read(const Handover__V1__Value *message, uint64_t now_ms, struct stale_value *ret_value,
                       struct error **err);

#endif
