/*
 * input.h - what the commands read: key=value words, secret files, SecretProviderClass files.
 *
 * Secret values are only ever read from files, never from the command line, where every user of the machine
 * could see them.
 */
#ifndef CTL_INPUT_H
#define CTL_INPUT_H

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "ctl/command.h"

/* Sets every "key=value" word in `map`. INVALID_ARGUMENT names the flag and the word. */
int input_attributes(const struct word_list *words, const char *flag, struct string_map *map,
                     struct error **err);

/* What a kubelet takes from a nodePublishSecretRef: every regular file of options->secrets_dir (names that
 * start with a dot are skipped, so that a mounted Secret can be given) and every --secret-file key=path.
 * *ret_given tells whether any of the flags was used. Values must be text without NUL. */
int input_secrets(const struct ctl_options *options, struct string_map *map, bool *ret_given,
                  struct error **err);

/* The value of the csi.storage.k8s.io/serviceAccount.tokens key, as a kubelet writes it, from --token-file
 * audience=path words; wiped memory (secret_free()). *ret_tokens stays NULL when there are none. */
int input_tokens(const struct word_list *words, char **ret_tokens, struct error **err);

/* The `spec.parameters` of the first SecretProviderClass in a YAML file. */
int input_class_parameters(const char *path, struct string_map *map, struct error **err);

#endif
