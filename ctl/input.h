/*
 * input.h - the commands' input: key=value words, secret files, SecretProviderClass files.
 *
 * Secret values come only from files, never from the command line, where every user of the machine could see
 * them.
 */
#ifndef CTL_INPUT_H
#define CTL_INPUT_H

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "ctl/command.h"

/* Sets every "key=value" word in `map`. An INVALID_ARGUMENT error names the flag and the word. */
int input_attributes(const struct word_list *words, const char *flag, struct string_map *map,
                     struct error **err);

/* Reads the entries of a nodePublishSecretRef: every regular file of options->secrets_dir and every
 * --secret-file key=path. Names that start with a dot are skipped, so that the directory can be a mounted
 * Secret. *ret_given is whether any of the flags was used. Values must be text without NUL. */
int input_secrets(const struct ctl_options *options, struct string_map *map, bool *ret_given,
                  struct error **err);

/* Builds the value of the key csi.storage.k8s.io/serviceAccount.tokens, as a kubelet does, from --token-file
 * audience=path words. *ret_tokens is in wiped memory (secret_free()), and stays NULL without words. */
int input_tokens(const struct word_list *words, char **ret_tokens, struct error **err);

/* Reads `spec.parameters` of the first SecretProviderClass in a YAML file into `map`, and `spec.provider`
 * into *ret_provider ("" if it is not set), which the caller frees; `ret_provider` may be NULL. */
int input_class(const char *path, struct string_map *map, char **ret_provider, struct error **err);

#endif
