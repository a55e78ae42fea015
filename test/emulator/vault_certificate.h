/*
 * vault_certificate.h - what a vault makes of a certificate that a control call describes.
 *
 * {cer: base64 of DER, contentType?: of the secret behind it, secret?: its value, key?: JSON web key}. As in
 * the service a certificate comes with a key and a secret of the same name and version; they are made when
 * `key` and `secret` are given.
 */
#ifndef EMULATOR_VAULT_CERTIFICATE_H
#define EMULATOR_VAULT_CERTIFICATE_H

#include <cjson/cJSON.h>

/* NULL, or what is wrong. */
const char *vault_certificate_check(const cJSON *json);

/* Adds x5t (thumbprint) and subject to what lists show, cer and policy to what a GET shows. */
void vault_certificate_describe(const cJSON *json, cJSON *list, cJSON *get);

#endif
