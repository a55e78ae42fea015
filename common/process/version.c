/*
 * version.c - build information; the values come from the Makefile, so that only this file is compiled again
 * when they change.
 */
#include "common/process/lifecycle.h"

#ifndef BUILD_VERSION
#define BUILD_VERSION "0.0.0"
#define BUILD_COMMIT  "unknown"
#define BUILD_DATE    "unknown"
#endif

const char *build_version(void)
{
    return BUILD_VERSION;
}

const char *build_commit(void)
{
    return BUILD_COMMIT;
}

const char *build_date(void)
{
    return BUILD_DATE;
}
