/*
 * response_files.h - writes the files of a provider's response below a directory.
 */
#ifndef CTL_RESPONSE_FILES_H
#define CTL_RESPONSE_FILES_H

#include "common/base/error.h"
#include "proto/provider.pb-c.h"

/* Creates the directory `path` if it is missing, and writes all files of the response below it, with mode
 * 0600. It follows no links, and refuses a path that leads outside. */
int response_files_write(const char *path, const V1alpha1__MountResponse *response, struct error **err);

#endif
