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

#include <stdatomic.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/cleanup.h"
#include "driver/base/worker.h"

enum { JOBS = 200 };

struct fixture {
    uv_loop_t loop;
    uv_thread_t loop_thread;
    unsigned n_done;
    bool starts_more;
    bool any_thread; /* may run the loop */
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
    assert_true(job->fixture->any_thread || uv_thread_equal(&here, &job->fixture->loop_thread));
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

/* --- the loop's own thread --- */

enum { TURNS = 40, HANG_S = 60 };

struct turns {
    uv_loop_t *loop;
    uv_thread_t first; /* that began to run the loop */
    uv_timer_t timer;
    uv_sem_t gate;
    bool is_busy;
    bool blocks;            /* work does, until the timer has fired meanwhile */
    const unsigned *wanted; /* a number below: the turns go on until it is not 0, for HANG_S at most */
    atomic_uint callbacks;  /* that run now */
    unsigned n_done, n_on_first, n_loop_elsewhere;
};

/* Two at a time would meet here. */
static void enter_callback(struct turns *turns)
{
    uv_thread_t here = uv_thread_self();
    assert_int_equal(atomic_fetch_add(&turns->callbacks, 1), 0);
    turns->n_loop_elsewhere += !uv_thread_equal(&here, &turns->first);
}

static void leave_callback(struct turns *turns)
{
    assert_int_equal(atomic_fetch_sub(&turns->callbacks, 1), 1);
}

static void run_turn(void *arg)
{
    struct turns *turns = arg;
    uv_thread_t here = uv_thread_self();
    if (turns->blocks)
        uv_sem_wait(&turns->gate);
    turns->n_on_first += (unsigned)uv_thread_equal(&here, &turns->first);
}

static void turn_done(void *arg);

static void on_timer(uv_timer_t *timer)
{
    struct turns *turns = timer->data;
    enter_callback(turns);
    if (turns->blocks && turns->n_done % 2 == 1)
        uv_sem_post(&turns->gate);
    leave_callback(turns);
}

static void start_turn(struct turns *turns)
{
    assert_int_equal(worker_start(turns->loop, run_turn, turn_done, turns, NULL), 0);
    turns->n_done++; /* odd while the work waits */
}

static void turn_done(void *arg)
{
    struct turns *turns = arg;
    enter_callback(turns);
    /* The second thread may be late, and until it waits the workers do all work. */
    if (++turns->n_done < 2 * TURNS || (turns->wanted != NULL && *turns->wanted == 0))
        start_turn(turns);
    else
        uv_close((uv_handle_t *)&turns->timer, NULL);
    leave_callback(turns);
}

static bool is_quiet(const void *arg)
{
    (void)arg;
    return true;
}

static bool is_busy(const void *arg)
{
    (void)arg;
    return false;
}

static void run_turns(struct fixture *fixture, struct turns *turns)
{
    turns->loop = &fixture->loop;
    turns->first = uv_thread_self();
    turns->timer.data = turns;
    assert_int_equal(uv_sem_init(&turns->gate, 0), 0);
    start_pool(fixture, "2");
    assert_int_equal(uv_timer_init(&fixture->loop, &turns->timer), 0);
    assert_int_equal(uv_timer_start(&turns->timer, on_timer, 5, 5), 0);
    start_turn(turns);
    (void)alarm(HANG_S);
    worker_pool_run(&fixture->loop, turns->is_busy ? is_busy : is_quiet, NULL);
    (void)alarm(0);
    assert_true(turns->n_done >= 2 * TURNS);
    uv_sem_destroy(&turns->gate);
}

static void work_that_comes_alone_is_done_by_the_thread_of_the_loop(void **state)
{
    struct turns turns = {.wanted = &turns.n_on_first};
    run_turns(*state, &turns);
    assert_true(turns.n_on_first > 0);
}

static void while_the_loop_is_busy_it_is_done_by_workers(void **state)
{
    struct turns turns = {.is_busy = true};
    run_turns(*state, &turns);
    assert_int_equal(turns.n_on_first, 0);
    assert_int_equal(turns.n_loop_elsewhere, 0);
}

static void the_loop_goes_on_while_work_blocks_and_changes_its_thread(void **state)
{
    struct turns turns = {.blocks = true, .wanted = &turns.n_loop_elsewhere};
    run_turns(*state, &turns);
    assert_true(turns.n_loop_elsewhere > 0);
}

/* Each waits for all others. */
static void work_that_does_not_come_alone_is_done_side_by_side(void **state)
{
    enum { N = 6, ROUNDS = 50 };
    struct fixture *fixture = *state;
    uv_barrier_t barrier;
    start_pool(fixture, "8");
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct job jobs[N] = {0};
        assert_int_equal(uv_barrier_init(&barrier, N), 0);
        fixture->n_done = 0;
        for (unsigned i = 0; i < N; i++)
            jobs[i].barrier = &barrier;
        start_all(fixture, jobs, N);
        (void)alarm(HANG_S);
        fixture->any_thread = true;
        worker_pool_run(&fixture->loop, is_quiet, NULL);
        (void)alarm(0);
        assert_int_equal(fixture->n_done, N);
        uv_barrier_destroy(&barrier);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(all_work_is_done_before_the_loop_ends),
        TEST(one_thread_works_in_order),
        TEST(work_may_start_more_work_when_it_is_done),
        TEST(there_are_as_many_threads_as_asked_for),
        TEST(work_goes_to_the_thread_that_went_idle_last),
        TEST(a_pool_that_did_nothing_stops),
        TEST(work_that_comes_alone_is_done_by_the_thread_of_the_loop),
        TEST(while_the_loop_is_busy_it_is_done_by_workers),
        TEST(the_loop_goes_on_while_work_blocks_and_changes_its_thread),
        TEST(work_that_does_not_come_alone_is_done_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
