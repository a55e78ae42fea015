/*
 * test_mount_table.c - lines of /proc/self/mountinfo, as proc_pid_mountinfo(5) describes and kernels print
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "driver/volume/mount_table.h"

static struct mount_info parse(char *line)
{
    struct mount_info info;

    if (!mount_info_parse(line, &info))
        fail_msg("refused: %s", line);
    return info;
}

static void a_line_has_its_fields(void **state)
{
    char line[] = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
    struct mount_info info = parse(line);

    (void)state;
    assert_int_equal(info.id, 36);
    assert_int_equal(info.parent, 35);
    assert_string_equal(info.device, "98:0");
    assert_string_equal(info.root, "/mnt1");
    assert_string_equal(info.point, "/mnt2");
    assert_string_equal(info.options, "rw,noatime");
    assert_false(info.shared);
    assert_string_equal(info.type, "ext3");
    assert_string_equal(info.source, "/dev/root");
    assert_string_equal(info.super_options, "rw,errors=continue");
}

static void a_shared_mount_says_so_among_any_tags(void **state)
{
    static const struct {
        const char *tags;
        bool shared;
    } table[] = {{"shared:7 ", true},
                 {"shared:7 master:3 ", true},
                 {"master:3 propagate_from:2 ", false},
                 {"unbindable ", false},
                 {"", false},
                 {"future shared:1 other:2 ", true},
                 {"propagate_from:7 ", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char line[128];

        (void)snprintf(line, sizeof(line), "1 1 0:1 / / rw %s- tmpfs tmpfs rw", table[i].tags);
        assert_int_equal(parse(line).shared, table[i].shared);
    }
}

static void escapes_are_undone(void **state)
{
    char line[] = "1 1 0:1 /a\\040b /c\\011d\\134\\012e rw - tmpfs odd\\040name rw";
    char odd[] = "1 1 0:1 /\\9\\04 /\\\\ rw - tmpfs \\400 rw";
    struct mount_info info = parse(line);

    (void)state;
    assert_string_equal(info.root, "/a b");
    assert_string_equal(info.point, "/c\td\\\ne");
    assert_string_equal(info.source, "odd name");
    info = parse(odd); /* the kernel writes none of these */
    assert_string_equal(info.root, "/\\9\\04");
    assert_string_equal(info.source, "\\400");
}

static void what_is_no_line_is_refused(void **state)
{
    static const char *const lines[] = {"",
                                        " ",
                                        "x 1 0:1 / / rw - tmpfs tmpfs rw",
                                        "1 -1 0:1 / / rw - tmpfs tmpfs rw",
                                        "1 99999999999999999999 0:1 / / rw - tmpfs tmpfs rw",
                                        "1 1x 0:1 / / rw - tmpfs tmpfs rw",
                                        "1 1 0:1 / / rw shared:1 tmpfs tmpfs rw",
                                        "1 1 0:1 / / rw - tmpfs tmpfs",
                                        "1 1 0:1 / / rw -",
                                        "1 1 0:1 /"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char line[128];
        struct mount_info info;

        (void)snprintf(line, sizeof(line), "%s", lines[i]);
        if (mount_info_parse(line, &info))
            fail_msg("accepted: %s", lines[i]);
    }
}

static void options_are_found_by_their_whole_name(void **state)
{
    const char *value = "";

    (void)state;
    assert_true(mount_option_find("rw,size=1024k,mode=755", "size", &value));
    assert_int_equal(strtoull(value, NULL, 10), 1024);
    assert_true(mount_option_find("rw,nosuid", "nosuid", &value));
    assert_null(value);
    assert_true(mount_option_find("mode=755", "mode", NULL));
    assert_false(mount_option_find("rw,nosuidx,xnosuid", "nosuid", NULL));
    assert_false(mount_option_find("", "rw", NULL));
    assert_false(mount_option_find("rw,", "ro", NULL));
}

static void the_table_knows_what_covers_what(void **state)
{
    char texts[][64] = {"1 0 0:1 / / rw - ext4 a rw", "2 1 0:2 / /x rw - tmpfs b rw",
                        "3 2 0:3 / /x rw - tmpfs c rw", "4 3 0:4 / /x/y rw - tmpfs d rw",
                        "5 5 0:5 / /z rw - tmpfs e rw"};
    struct mount_info list[ARRAY_SIZE(texts)];
    const struct mount_table table = {.list = list, .n = ARRAY_SIZE(texts)};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        list[i] = parse(texts[i]);
    assert_ptr_equal(mount_table_find(&table, 4), &list[3]);
    assert_null(mount_table_find(&table, 6));
    assert_ptr_equal(mount_table_covered(&table, &list[2]), &list[1]);
    assert_null(mount_table_covered(&table, &list[1]));
    assert_null(mount_table_covered(&table, &list[3]));
    assert_null(mount_table_covered(&table, &list[0])); /* its parent is outside of the namespace */
    assert_null(mount_table_covered(&table, &list[4]));
}

static void a_path_lies_on_the_topmost_mount_with_the_longest_point(void **state)
{
    char texts[][64] = {"1 0 0:1 / / rw - ext4 a rw", "2 1 0:2 / /x rw shared:1 - tmpfs b rw",
                        "3 2 0:3 / /x rw - tmpfs c rw", "4 3 0:4 / /x/y rw - tmpfs d rw"};
    static const struct {
        const char *path;
        int64_t id;
    } table[] = {{"/", 1}, {"/xy", 1}, {"/x", 3}, {"/x/z", 3}, {"/x/y", 4}, {"/x/y/z", 4}, {"/x/yz", 3}};
    struct mount_info list[ARRAY_SIZE(texts)];
    const struct mount_table mounts = {.list = list, .n = ARRAY_SIZE(texts)}, none = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        list[i] = parse(texts[i]);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_int_equal(mount_table_containing(&mounts, table[i].path)->id, table[i].id);
    assert_null(mount_table_containing(&none, "/x"));
}

static void this_process_has_a_root(void **state)
{
    cleanup_mount_table struct mount_table table = {0};
    bool found = false;

    (void)state;
    assert_int_equal(mount_table_read(&table, NULL), 0);
    for (size_t i = 0; i < table.n; i++)
        found = found || strcmp(table.list[i].point, "/") == 0;
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_fields),
        cmocka_unit_test(a_shared_mount_says_so_among_any_tags),
        cmocka_unit_test(escapes_are_undone),
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(options_are_found_by_their_whole_name),
        cmocka_unit_test(the_table_knows_what_covers_what),
        cmocka_unit_test(a_path_lies_on_the_topmost_mount_with_the_longest_point),
        cmocka_unit_test(this_process_has_a_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
