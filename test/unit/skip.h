/*
 * skip.h - skipping a test with its reason, which cmocka's skip() does not have.
 */
#ifndef TEST_UNIT_SKIP_H
#define TEST_UNIT_SKIP_H

/* After the headers that cmocka.h needs. */
#include <cmocka.h>

/* Ends the test that runs as skipped, and prints what it lacks. */
static inline void skip_without(const char *what)
{
    print_message("skipped, it needs %s\n", what);
    skip();
}

#endif
