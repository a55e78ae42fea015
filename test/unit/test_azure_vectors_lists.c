/*
 * test_azure_vectors_lists.c - lists of versions, the histories that are made of them, and responses of
 * another shape, row by row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "provider-azure/objects/objects.h"
#include "provider-azure/vault/vault_response.h"

/* An empty list that keeps at most `count` versions from `start` on. */
static struct vault_list history(const char *start, size_t count)
{
    struct vault_list list = {.filter = vault_list_filter_create(start, NULL)};
    assert_non_null(list.filter);
    vault_list_filter_add_count(list.filter, count);
    return list;
}

/* A list of versions v0 (newest), v1, ... one hour apart, in the order in which `order` names them. */
static struct vault_list versions(const char *order, const char *start, size_t count)
{
    struct vault_list list = history(start, count);
    char page[4096] = "{\"value\":[";
    size_t used = strlen(page);
    for (const char *c = order; *c != '\0'; c++)
        used += (size_t)snprintf(
            page + used, sizeof(page) - used,
            "%s{\"id\":\"https://v/secrets/s/v%c\",\"attributes\":{\"enabled\":true,\"created\":%d}}",
            c == order ? "" : ",", *c, 1700000000 - 3600 * (*c - '0'));
    (void)snprintf(page + used, sizeof(page) - used, "]}");
    char *next = NULL;
    assert_int_equal(vault_list_add_page(&list, page, strlen(page), &next, NULL), 0);
    assert_null(next);
    return list;
}

static void versions_that_a_history_takes(void **state)
{
    static const struct {
        int history;
        const char *available; /* their digits, in the order of the list */
        const char *start;
        const char *one_more; /* that users of the old provider have; NULL: NOT_FOUND */
        const char *exact;    /* as its documentation says */
    } rows[] = {
        {5, "01234", "latest", "01234", "01234"},
        {5, "01234", "", "01234", "01234"},
        {5, "31402", "", "01234", "01234"}, /* sorted, newest first */
        {200, "01", "", "01", "01"},
        {5, "01234", "v2", "234", "234"},
        {5, "012345", "", "012345", "01234"},
        {2, "0123456789", "", "012", "01"},
        {2, "9876543210", "v4", "456", "45"},
        {3, "01234", "nosuch", NULL, NULL},
        {3, "", "", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
        const bool exact = i % 2 == 1;
        const char *expected = exact ? rows[i / 2].exact : rows[i / 2].one_more;
        char text[256], got[32] = "";
        struct object_list list = {0};
        (void)snprintf(
            text, sizeof(text),
            "array:\n - \"{objectName: secret1, objectType: secret, objectVersionHistory: %d, objectVersion: '%s'}\"\n",
            rows[i / 2].history, rows[i / 2].start);
        assert_int_equal(
            objects_parse(text,
                          &(struct object_defaults){.history = exact ? HISTORY_EXACT : HISTORY_ONE_MORE},
                          &list, NULL),
            0);
        cleanup_vault_list struct vault_list available =
            versions(rows[i / 2].available, list.items[0].version, list.items[0].versions);
        const struct vault_entry *chosen[300];
        cleanup_error struct error *error = NULL;
        int n = vault_list_select(&available, list.items[0].version, list.items[0].versions, chosen, &error);
        for (int k = 0; k < n; k++)
            got[k] = chosen[k]->version[1];
        if (expected == NULL ? error_code(error) != GRPC_STATUS_NOT_FOUND : strcmp(got, expected) != 0)
            fail_msg("row %zu, %s: '%s'", i / 2, exact ? "exact" : "one more", got);
        object_list_finish(&list);
    }
}

static void versions_of_equal_age_are_ordered_and_disabled_ones_skipped(void **state)
{
    static const char page[] =
        "{\"value\":[{\"id\":\"https://v/secrets/s/b\",\"attributes\":{\"enabled\":true,\"created\":5,\"updated\":7}},"
        "{\"id\":\"https://v/secrets/s/c\",\"attributes\":{\"enabled\":true,\"created\":5,\"updated\":9}},{\"id\":\"https://v/secrets/s/a\",\"attributes\":{\"enabled\":true,\"created\":5,\"updated\":7}},"
        "{\"id\":\"https://v/secrets/s/off\",\"attributes\":{\"enabled\":false,\"created\":9}},{\"id\":\"https://v/secrets/s/bare\"},"
        "{\"id\":\"https://v/secrets/s/old\",\"attributes\":{\"enabled\":true}}],\"nextLink\":null}";
    static const char *const expected[] = {"c", "a", "b", "old"};
    const struct vault_entry *chosen[10];
    char *next = NULL;
    (void)state;
    cleanup_vault_list struct vault_list list = history("", 10);
    assert_int_equal(vault_list_add_page(&list, page, sizeof(page) - 1, &next, NULL), 0);
    assert_int_equal(vault_list_select(&list, "", 10, chosen, NULL), ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_string_equal(chosen[i]->version, expected[i]);
    assert_int_equal(vault_list_select(&list, "off", 10, chosen, NULL), -1);
}

/* A page with so many versions; free(). */
static char *long_page(size_t n)
{
    size_t cap = n * 128 + 64, used = 0;
    char *page = malloc(cap);
    assert_non_null(page);
    used += (size_t)snprintf(page, cap, "{\"value\":[");
    for (size_t i = 0; i < n; i++)
        used +=
            (size_t)snprintf(page + used, cap - used,
                             "%s{\"id\":\"https://v/secrets/s/%032zu\",\"attributes\":{\"enabled\":true}}",
                             i > 0 ? "," : "", i);
    (void)snprintf(page + used, cap - used, "]}");
    return page;
}

static int add_page(struct vault_list *list, const char *page, struct error **err)
{
    char *next = NULL;
    int rc = vault_list_add_page(list, page, strlen(page), &next, err);
    assert_null(next);
    return rc;
}

static void long_lists_are_bounded_together_and_leave_space_for_short_ones(void **state)
{
    enum { LONG = 1000, SHORT = 100, LISTS_MAX = 200 };
    struct vault_lists all = {0};
    struct vault_list lists[LISTS_MAX];
    cleanup_free char *page = long_page(LONG);
    cleanup_free char *short_page = long_page(SHORT);
    cleanup_error struct error *error = NULL;
    size_t n = 0, entries = 0;
    int rc = 0;
    (void)state;
    while (rc == 0) {
        assert_true(n < LISTS_MAX);
        lists[n] = history("nosuch", 1);
        lists[n].all = &all;
        rc = add_page(&lists[n++], page, &error);
        entries += rc == 0 ? LONG : 0;
    }
    assert_int_equal(error_code(error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_true(entries * 64 < VAULT_LISTS_MAX_BYTES + n * VAULT_LIST_SMALL);
    assert_true(all.bytes <= VAULT_LISTS_MAX_BYTES);
    cleanup_vault_list struct vault_list other = history("nosuch", 1);
    other.all = &all;
    assert_int_equal(add_page(&other, short_page, NULL), 0);
    assert_int_equal(other.n, SHORT);
    for (size_t i = 0; i < n; i++)
        vault_list_finish(&lists[i]);
    assert_int_equal(all.bytes, 0);
}

static void a_history_keeps_what_it_needs_and_no_more(void **state)
{
    cleanup_free char *page = long_page(1000);
    cleanup_vault_list struct vault_list newest = history("", 3);
    cleanup_vault_list struct vault_list from = history("00000000000000000000000000000500", 3);
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(add_page(&newest, page, NULL), 0);
        assert_int_equal(add_page(&from, page, NULL), 0);
    }
    assert_true(newest.n == 3 && from.n == 3 && newest.bytes < 1024 && from.bytes < 1024);
    assert_int_equal(newest.read, 5000);
    assert_string_equal(newest.entries[0].version, "00000000000000000000000000000000");
    assert_string_equal(from.entries[0].version, "00000000000000000000000000000500");
}

static void a_response_of_another_shape_is_attributed_to_the_vault(void **state)
{
    static const struct {
        bool list;
        const char *json;
        enum grpc_status code;
        const char *text;
    } rows[] = {
        {false, "{\"value\":[1]}", GRPC_STATUS_FAILED_PRECONDITION,
         "the vault's response: JSON member 'value'"},
        {false, "{}", GRPC_STATUS_FAILED_PRECONDITION, "secret value is nil"},
        {false, "[]", GRPC_STATUS_UNAVAILABLE, "the vault's response is not a JSON object"},
        {false, "{\"value\":\"x\"", GRPC_STATUS_FAILED_PRECONDITION,
         "the vault's response cannot be read: invalid JSON"},
        {false, "{\"value\":\"\xff\"}", GRPC_STATUS_FAILED_PRECONDITION,
         "the vault's response cannot be read: invalid JSON"},
        {false, "{\"value\":\"x\",\"id\":\"\\u0000\"}", GRPC_STATUS_FAILED_PRECONDITION,
         "the vault's response: JSON member 'id' contains a NUL"},
        {true, "{\"value\":[{\"id\":\"\\u0000\"}]}", GRPC_STATUS_FAILED_PRECONDITION,
         "the vault's response cannot be read: invalid JSON: NUL in a string"},
        {true, "{\"value\":{}}", GRPC_STATUS_FAILED_PRECONDITION,
         "the vault's response: JSON member 'value'"},
        {true, "{\"value\":[1]}", GRPC_STATUS_FAILED_PRECONDITION, "the vault's response: list: an entry"},
        {true, "{\"nextLink\":1}", GRPC_STATUS_FAILED_PRECONDITION,
         "the vault's response: JSON member 'nextLink'"},
        {true, "<html>", GRPC_STATUS_UNAVAILABLE, "the vault's response is not JSON"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_error struct error *error = NULL;
        cleanup_vault_list struct vault_list list = history("", 10);
        cleanup_vault_object struct vault_object object = {0};
        char *next = NULL;
        const char *json = rows[i].json;
        if (rows[i].list)
            assert_int_equal(vault_list_add_page(&list, json, strlen(json), &next, &error), -1);
        else
            assert_int_equal(vault_object_parse(OBJECT_SECRET, json, strlen(json), &object, &error), -1);
        assert_int_equal(error_code(error), rows[i].code);
        if (strncmp(error_message(error), rows[i].text, strlen(rows[i].text)) != 0)
            fail_msg("row %zu: %s", i, error_message(error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_of_another_shape_is_attributed_to_the_vault),
        cmocka_unit_test(long_lists_are_bounded_together_and_leave_space_for_short_ones),
        cmocka_unit_test(a_history_keeps_what_it_needs_and_no_more),
        cmocka_unit_test(versions_that_a_history_takes),
        cmocka_unit_test(versions_of_equal_age_are_ordered_and_disabled_ones_skipped),
    };
    return cmocka_run_group_tests_name("azure vectors lists", tests, NULL, NULL);
}
