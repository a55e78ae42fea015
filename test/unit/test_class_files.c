/*
 * test_class_files.c - SecretProviderClasses from a directory: which files count, precedence, reported
 * problems about bad ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "driver/base/worker.h"
#include "driver/class/class_files.h"
#include "test/unit/scratch.h"

#define CLASS(name, provider)                                                                                \
    "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {name: " name           \
    "}\nspec: {provider: " provider "}\n"
#define CLASS_JSON(name, provider)                                                                           \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClass\",\"metadata\":"       \
    "{\"name\":\"" name "\",\"namespace\":\"shop\"},\"spec\":{\"provider\":\"" provider "\"}}"

static struct scratch scratch;

static int set_up(void **state)
{
    (void)state;
    return scratch_make(&scratch);
}

static int tear_down(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", scratch.dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_provider(const char *ns, const char *name, const char *provider)
{
    cleanup_free char *problems = NULL;
    cleanup_class_stamps struct class_stamps stamps = {0};
    cleanup_error struct error *error = NULL;
    cleanup_class struct secret_provider_class *class =
        class_files_find(scratch.dir, ns, name, &problems, &stamps, &error);

    if (class == NULL) {
        fail_msg("%s", error_message(error));
        return;
    }
    assert_string_equal(class->provider, provider);
    assert_string_equal(class->name, name);
    assert_string_equal(class->ns, ns);
}

static void assert_not_found(const char *ns, const char *name)
{
    cleanup_free char *problems = NULL;
    cleanup_class_stamps struct class_stamps stamps = {0};
    cleanup_error struct error *error = NULL;

    assert_null(class_files_find(scratch.dir, ns, name, &problems, &stamps, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_NOT_FOUND);
    assert_non_null(strstr(error_message(error), "not found"));
}

static void files_of_both_notations_are_read_and_others_are_not(void **state)
{
    (void)state;
    write_file("a.yaml", CLASS("a", "pa"));
    write_file("b.YML", CLASS("b", "pb"));
    write_file("c.json", CLASS_JSON("c", "pc"));
    write_file(".hidden.yaml", CLASS("hidden", "x"));
    write_file("notes.txt", CLASS("notes", "x"));
    write_file(".yaml", CLASS("bare", "x"));
    assert_int_equal(
        scratch_run(&scratch, "mkdir sub dir.yaml && cp a.yaml sub/ && sed s/a/z/ a.yaml > sub/z.yaml"), 0);
    assert_provider("default", "a", "pa");
    assert_provider("default", "b", "pb");
    assert_provider("shop", "c", "pc");
    assert_not_found("default", "c");
    assert_not_found("default", "hidden");
    assert_not_found("default", "notes");
    assert_not_found("default", "bare");
    assert_not_found("default", "z");
}

static void a_byte_order_mark_is_no_part_of_a_class(void **state)
{
    (void)state;
    write_file("marked.yaml", "\xef\xbb\xbf" CLASS("m1", "pm") "---\n\xef\xbb\xbf" CLASS("m2", "pm"));
    write_file("marked.json", "\xef\xbb\xbf" CLASS_JSON("m3", "pm"));
    assert_provider("default", "m1", "pm");
    assert_provider("default", "m2", "pm");
    assert_provider("shop", "m3", "pm");
}

static void the_first_file_by_name_wins(void **state)
{
    (void)state;
    write_file("20.yaml", CLASS("web", "second"));
    write_file("10.yaml", CLASS("other", "x") "---\n" CLASS("web", "first") "---\n" CLASS("web", "later"));
    assert_provider("default", "web", "first");
}

static void an_edit_is_seen_by_the_next_lookup(void **state)
{
    (void)state;
    assert_not_found("default", "web");
    write_file("a.yaml", CLASS("web", "old"));
    assert_provider("default", "web", "old");
    write_file("a.yaml", CLASS("web", "new"));
    assert_provider("default", "web", "new");
}

/* A ConfigMap in a volume: files are links into a directory with a leading "..". */
static void a_mounted_config_map_is_read_through_its_links(void **state)
{
    (void)state;
    write_file("x", CLASS("web", "linked"));
    assert_int_equal(
        scratch_run(&scratch,
                    "mkdir ..1 && mv x ..1/a.yaml && ln -s ..1 ..data && ln -s ..data/a.yaml a.yaml"),
        0);
    assert_provider("default", "web", "linked");
}

static void a_bad_file_affects_no_other_and_is_reported(void **state)
{
    cleanup_free char *problems = NULL;
    cleanup_class_stamps struct class_stamps stamps = {0};
    cleanup_error struct error *error = NULL;
    struct secret_provider_class *class;

    (void)state;
    write_file("1.yaml", "a: [\n");
    write_file("2.json", "{");
    write_file("3.yaml", CLASS("web", "fine"));
    write_file("4.yaml", "never read");
    class = class_files_find(scratch.dir, "default", "web", &problems, &stamps, &error);
    assert_non_null(class);
    secret_provider_class_free(class);
    assert_non_null(strstr(problems, "1.yaml: "));
    assert_non_null(strstr(problems, "; 2.json: "));
    assert_null(strstr(problems, "4.yaml"));
    free(steal_ptr(&problems));
    assert_null(class_files_find(scratch.dir, "default", "missing", &problems, &stamps, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_NOT_FOUND);
    assert_non_null(strstr(error_message(error), "4.yaml: "));
    assert_non_null(strstr(problems, "4.yaml: "));
}

static void problem_texts_are_bounded(void **state)
{
    cleanup_free char *problems = NULL;
    cleanup_class_stamps struct class_stamps stamps = {0};

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "%u.yaml", i);
        write_file(name, "a: [\n");
    }
    assert_null(class_files_find(scratch.dir, "default", "web", &problems, &stamps, NULL));
    assert_in_range(strlen(problems), 500, CLASS_FILES_PROBLEMS_MAX);
}

static void a_missing_directory_is_not_found(void **state)
{
    cleanup_free char *problems = NULL;
    cleanup_class_stamps struct class_stamps stamps = {0};
    cleanup_error struct error *error = NULL;

    (void)state;
    assert_null(class_files_find("/nonexistent/classes", "default", "web", &problems, &stamps, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_NOT_FOUND);
    assert_null(problems);
}

/* --- the source --- */

struct outcome {
    unsigned calls;
    enum grpc_status code;
    char provider[32];
};

static void looked_up(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct outcome *outcome = arg;

    outcome->calls++;
    outcome->code = error_code(error);
    (void)snprintf(outcome->provider, sizeof(outcome->provider), "%s", class != NULL ? class->provider : "");
    secret_provider_class_free(class);
}

static void lookups_call_back_once_and_never_when_cancelled(void **state)
{
    uv_loop_t loop;
    struct class_source source = {0};
    struct outcome found = {0}, missing = {0}, cancelled = {0};
    struct class_lookup *lookup;

    (void)state;
    write_file("a.yaml", CLASS("web", "fine"));
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(worker_pool_start(&loop, NULL), 0);
    assert_int_equal(class_files_create(&loop, scratch.dir, NULL, &source, NULL), 0);
    assert_string_equal(source.default_namespace, "default");
    assert_non_null(class_source_start(&source, "default", "web", 1000, looked_up, &found, NULL));
    assert_non_null(class_source_start(&source, "default", "no", 1000, looked_up, &missing, NULL));
    lookup = class_source_start(&source, "default", "web", 1000, looked_up, &cancelled, NULL);
    assert_non_null(lookup);
    assert_int_equal(found.calls, 0); /* never inside start */
    class_source_cancel(&source, &lookup);
    assert_null(lookup);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(found.calls, 1);
    assert_string_equal(found.provider, "fine");
    assert_int_equal(missing.calls, 1);
    assert_int_equal(missing.code, GRPC_STATUS_NOT_FOUND);
    assert_int_equal(cancelled.calls, 0);
    class_source_destroy(&source);
    class_source_destroy(&source);
    worker_pool_stop(&loop);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* A cancelled lookup lingers until its worker is back, also beyond the source. */
static void a_source_may_go_before_its_cancelled_lookups(void **state)
{
    uv_loop_t loop;
    struct class_source source = {0};
    struct outcome outcome = {0};
    struct class_lookup *lookup;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(worker_pool_start(&loop, NULL), 0);
    assert_int_equal(class_files_create(&loop, scratch.dir, NULL, &source, NULL), 0);
    lookup = class_source_start(&source, "default", "web", 1000, looked_up, &outcome, NULL);
    class_source_cancel(&source, &lookup);
    class_source_destroy(&source);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(outcome.calls, 0);
    worker_pool_stop(&loop);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- classes of unchanged files --- */

/* A source whose only worker can be kept busy. */
struct busy_fixture {
    uv_loop_t loop;
    struct class_source source;
    uv_sem_t free_worker;
};

static void wait_until_free(void *job)
{
    uv_sem_wait(job);
}

static void nothing(void *job)
{
    (void)job;
}

static void busy_start(struct busy_fixture *fixture)
{
    *fixture = (struct busy_fixture){0};
    assert_int_equal(setenv("UV_THREADPOOL_SIZE", "1", 1), 0);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(worker_pool_start(&fixture->loop, NULL), 0);
    assert_int_equal(unsetenv("UV_THREADPOOL_SIZE"), 0);
    assert_int_equal(uv_sem_init(&fixture->free_worker, 0), 0);
    assert_int_equal(class_files_create(&fixture->loop, scratch.dir, NULL, &fixture->source, NULL), 0);
}

static void busy_stop(struct busy_fixture *fixture)
{
    class_source_destroy(&fixture->source);
    worker_pool_stop(&fixture->loop);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    uv_sem_destroy(&fixture->free_worker);
}

/* Is the class found while the worker is busy? Then the worker is free again, and finds it in any case. */
static bool is_found_without_worker(struct busy_fixture *fixture, const char *name, struct outcome *outcome)
{
    bool without_worker;

    *outcome = (struct outcome){0};
    assert_int_equal(worker_start(&fixture->loop, wait_until_free, nothing, &fixture->free_worker, NULL), 0);
    assert_non_null(class_source_start(&fixture->source, "default", name, 1000, looked_up, outcome, NULL));
    assert_int_equal(outcome->calls, 0); /* never inside start */
    (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    without_worker = outcome->calls == 1;
    uv_sem_post(&fixture->free_worker);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(outcome->calls, 1);
    return without_worker;
}

/* Lookups until one needs no worker: the files must have been left alone for a moment. */
static void wait_until_kept(struct busy_fixture *fixture, const char *name, struct outcome *outcome)
{
    while (!is_found_without_worker(fixture, name, outcome))
        (void)usleep(1000);
}

static void unchanged_files_need_no_worker(void **state)
{
    struct busy_fixture fixture;
    struct outcome outcome;

    (void)state;
    write_file("10.yaml", CLASS("other", "x"));
    write_file("20.yaml", CLASS("web", "fine"));
    write_file("30.yaml", "never read");
    busy_start(&fixture);
    wait_until_kept(&fixture, "web", &outcome);
    assert_string_equal(outcome.provider, "fine");
    assert_true(is_found_without_worker(&fixture, "web", &outcome));
    assert_false(is_found_without_worker(&fixture, "missing", &outcome));
    assert_int_equal(outcome.code, GRPC_STATUS_NOT_FOUND);
    assert_false(is_found_without_worker(&fixture, "missing", &outcome));
    busy_stop(&fixture);
}

static void every_change_is_seen_by_the_next_lookup(void **state)
{
    static const struct {
        const char *command;
        const char *provider;
    } changes[] = {
        /* The same size, once with the times as they were before. */
        {"sed -i s/fine/edit/ 20.yaml", "edit"},
        {"cp -p 20.yaml old && sed s/edit/back/ old > new && cat new > 20.yaml && touch -r old 20.yaml",
         "back"},
        {"sed 's/other/web/' 10.yaml > 15.yaml", "x"}, /* a file in front of it */
        {"rm 15.yaml", "back"},
        {"sed -i 's/name: other/name: web/' 10.yaml", "x"},
        {"mv 10.yaml 90.yaml", "back"},
        {"mkdir ..1 && mv 20.yaml ..1/ && ln -s ..1 ..data && ln -s ..data/20.yaml 20.yaml", "back"},
        {"mkdir ..2 && sed s/back/next/ 20.yaml > ..2/20.yaml && ln -s ..2 t && mv -T t ..data", "next"},
        {"chmod 755 ..2/20.yaml && sed -i s/next/last/ ..2/20.yaml", "last"},
        {"rm 20.yaml", "x"},
    };
    struct busy_fixture fixture;
    struct outcome outcome;

    (void)state;
    write_file("10.yaml", CLASS("other", "x"));
    write_file("20.yaml", CLASS("web", "fine"));
    busy_start(&fixture);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        wait_until_kept(&fixture, "web", &outcome);
        assert_int_equal(scratch_run(&scratch, "%s", changes[i].command), 0);
        assert_false(is_found_without_worker(&fixture, "web", &outcome));
        if (strcmp(outcome.provider, changes[i].provider) != 0)
            fail_msg("after '%s': %s", changes[i].command, outcome.provider);
    }
    busy_stop(&fixture);
}

static void a_lookup_without_worker_can_be_cancelled(void **state)
{
    struct busy_fixture fixture;
    struct outcome outcome, cancelled = {0};
    struct class_lookup *lookup;

    (void)state;
    write_file("a.yaml", CLASS("web", "fine"));
    busy_start(&fixture);
    wait_until_kept(&fixture, "web", &outcome);
    lookup = class_source_start(&fixture.source, "default", "web", 1000, looked_up, &cancelled, NULL);
    assert_non_null(lookup);
    class_source_cancel(&fixture.source, &lookup);
    assert_true(is_found_without_worker(&fixture, "web", &outcome));
    assert_int_equal(cancelled.calls, 0);
    busy_stop(&fixture);
}

/* Many, large and bad files are read again each time; so are those that have just changed. */
static void what_is_not_kept_is_read_again(void **state)
{
    cleanup_class_stamps struct class_stamps stamps = {0};
    cleanup_free char *problems = NULL;
    struct busy_fixture fixture;
    struct outcome outcome;

    (void)state;
    write_file("now.yaml", CLASS("now", "x"));
    secret_provider_class_free(
        class_files_find(scratch.dir, "default", "now", &problems, &stamps, /* err= */ NULL));
    assert_false(stamps.complete); /* fresh, and nothing is waited for in between */
    assert_int_equal(scratch_run(&scratch,
                                 "(cat now.yaml; head -c 70000 /dev/zero | tr '\\0' '#') > z.yaml && "
                                 "sed -i s/now/large/ z.yaml && mkdir many && cd many && "
                                 "for i in 1 2 3 4 5 6 7 8; do echo > $i.yaml; done && "
                                 "sed s/now/first/ ../now.yaml > 0.yaml"),
                     0);
    busy_start(&fixture);
    wait_until_kept(&fixture, "now", &outcome);
    assert_false(is_found_without_worker(&fixture, "large", &outcome));
    assert_string_equal(outcome.provider, "x");
    assert_false(is_found_without_worker(&fixture, "large", &outcome));
    assert_int_equal(scratch_run(&scratch, "mv many/*.yaml ."), 0);
    wait_until_kept(&fixture, "first", &outcome);
    assert_false(is_found_without_worker(&fixture, "now", &outcome));
    assert_false(is_found_without_worker(&fixture, "now", &outcome));
    assert_string_equal(outcome.provider, "x");
    busy_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(files_of_both_notations_are_read_and_others_are_not),
        TEST(a_byte_order_mark_is_no_part_of_a_class),
        TEST(the_first_file_by_name_wins),
        TEST(an_edit_is_seen_by_the_next_lookup),
        TEST(a_mounted_config_map_is_read_through_its_links),
        TEST(a_bad_file_affects_no_other_and_is_reported),
        TEST(problem_texts_are_bounded),
        TEST(a_missing_directory_is_not_found),
        TEST(lookups_call_back_once_and_never_when_cancelled),
        TEST(a_source_may_go_before_its_cancelled_lookups),
        TEST(unchanged_files_need_no_worker),
        TEST(every_change_is_seen_by_the_next_lookup),
        TEST(a_lookup_without_worker_can_be_cancelled),
        TEST(what_is_not_kept_is_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
