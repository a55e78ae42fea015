/*
 * test_worker.c - the loop's threads for blocking work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <uv.h>

#include "common/base/cleanup.h"
#include "driver/base/worker.h"

enum { JOBS = 200 };

struct fixture {
    uv_loop_t loop;
    uv_thread_t loop_thread;
    unsigned n_done;
    bool starts_more;
};

struct job {
    struct fixture *fixture;
    unsigned runs, dones;
    unsigned done_as; /* 1 = the first one */
    uv_thread_t thread;
    uv_barrier_t *barrier; /* or NULL */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    fixture->loop_thread = uv_thread_self();
    return uv_loop_init(&fixture->loop);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    worker_pool_stop(&fixture->loop);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    int status = uv_loop_close(&fixture->loop);
    (void)unsetenv("UV_THREADPOOL_SIZE");
    free(fixture);
    return status;
}

static void start_pool(struct fixture *fixture, const char *threads)
{
    if (threads != NULL)
        assert_int_equal(setenv("UV_THREADPOOL_SIZE", threads, 1), 0);
    assert_int_equal(worker_pool_start(&fixture->loop, NULL), 0);
}

static void run(void *arg)
{
    struct job *job = arg;
    job->runs++;
    job->thread = uv_thread_self();
    if (job->barrier != NULL)
        (void)uv_barrier_wait(job->barrier);
}

static void done(void *arg)
{
    struct job *job = arg;
    uv_thread_t here = uv_thread_self();
    job->dones++;
    job->done_as = ++job->fixture->n_done;
    assert_true(uv_thread_equal(&here, &job->fixture->loop_thread));
    assert_int_equal(job->runs, job->dones); /* also when it was started from here */
    if (job->fixture->starts_more && job->dones == 1)
        assert_int_equal(worker_start(&job->fixture->loop, run, done, job, NULL), 0);
}

static void start_all(struct fixture *fixture, struct job *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        jobs[i].fixture = fixture;
        assert_int_equal(worker_start(&fixture->loop, run, done, &jobs[i], NULL), 0);
    }
    assert_int_equal(fixture->n_done, 0); /* never inside */
}

static void all_work_is_done_before_the_loop_ends(void **state)
{
    struct fixture *fixture = *state;
    struct job jobs[JOBS] = {0};
    start_pool(fixture, NULL);
    start_all(fixture, jobs, JOBS);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fixture->n_done, JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].runs, 1);
        assert_false(uv_thread_equal(&jobs[i].thread, &fixture->loop_thread));
    }
}

static void one_thread_works_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct job jobs[JOBS] = {0};
    start_pool(fixture, "1");
    start_all(fixture, jobs, JOBS);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].done_as, i + 1);
}

static void work_may_start_more_work_when_it_is_done(void **state)
{
    struct fixture *fixture = *state;
    struct job jobs[JOBS] = {0};
    start_pool(fixture, "3");
    fixture->starts_more = true;
    start_all(fixture, jobs, JOBS);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fixture->n_done, 2 * JOBS);
}

/* Each job waits for all others: they run at the same time. */
static void occupy_twelve_threads(struct fixture *fixture)
{
    enum { THREADS = 12 };
    uv_barrier_t barrier;
    struct job jobs[THREADS] = {0};
    assert_int_equal(uv_barrier_init(&barrier, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++)
        jobs[i].barrier = &barrier;
    start_all(fixture, jobs, THREADS);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fixture->n_done, THREADS);
    uv_barrier_destroy(&barrier);
}

static void there_are_as_many_threads_as_asked_for(void **state)
{
    start_pool(*state, "12");
    occupy_twelve_threads(*state);
}

/* Its stack and caches are warm, and the stacks of the others stay untouched. */
static void work_goes_to_the_thread_that_went_idle_last(void **state)
{
    struct fixture *fixture = *state;
    struct job job = {.fixture = fixture};
    start_pool(fixture, "12");
    occupy_twelve_threads(fixture);
    assert_int_equal(worker_start(&fixture->loop, run, done, &job, NULL), 0);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    uv_thread_t first = job.thread;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(worker_start(&fixture->loop, run, done, &job, NULL), 0);
        assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
        assert_true(uv_thread_equal(&job.thread, &first));
    }
}

static void a_pool_that_did_nothing_stops(void **state)
{
    start_pool(*state, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(all_work_is_done_before_the_loop_ends),       TEST(one_thread_works_in_order),
        TEST(work_may_start_more_work_when_it_is_done),    TEST(there_are_as_many_threads_as_asked_for),
        TEST(work_goes_to_the_thread_that_went_idle_last), TEST(a_pool_that_did_nothing_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
