/*
 * test_work_pool.c - jobs in threads: all end on the loop, fairly, and cancelled ones do not begin.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "provider-azure/network/work_pool.h"

enum { JOBS_MAX = 64 };

struct fixture {
    uv_loop_t loop;
    struct work_pool *pool;
    uv_sem_t gate; /* blockers wait for it */
    atomic_int blocked;
    atomic_int n_started;
    int started[JOBS_MAX]; /* by number, in the order in which they began */
    int n_done;
};

struct job {
    struct fixture *fixture;
    int number;
    bool ran;
    int niceness;
    uv_thread_t thread;
    bool done;
    uint64_t cost; /* of a job that does not begin in the quick lane */
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.n_done = 0};
    assert_int_equal(uv_loop_init(&fixture.loop), 0);
    assert_int_equal(uv_sem_init(&fixture.gate, 0), 0);
    fixture.pool = work_pool_create(&fixture.loop, NULL);
    assert_non_null(fixture.pool);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    work_pool_destroy(fixture->pool);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    uv_sem_destroy(&fixture->gate);
    return 0;
}

static void block(void *arg, struct pkcs12_run *run)
{
    struct job *job = arg;
    (void)run;
    atomic_fetch_add(&job->fixture->blocked, 1);
    uv_sem_wait(&job->fixture->gate);
}

static void note(void *arg, struct pkcs12_run *run)
{
    struct job *job = arg;
    (void)run;
    job->ran = true;
    job->thread = uv_thread_self();
    job->niceness = getpriority(PRIO_PROCESS, 0);
    job->fixture->started[atomic_fetch_add(&job->fixture->n_started, 1)] = job->number;
}

/* Needs the slow lane, and waits for the gate there. */
static void block_slow(void *arg, struct pkcs12_run *run)
{
    struct job *job = arg;
    run->later = run->cost_now < job->cost;
    run->cost = job->cost;
    if (!run->later)
        block(arg, run);
}

static void note_slow(void *arg, struct pkcs12_run *run)
{
    struct job *job = arg;
    run->later = run->cost_now < job->cost;
    run->cost = job->cost;
    if (!run->later)
        note(arg, run);
}

static void run_until_stopped(void *arg, struct pkcs12_run *run)
{
    struct job *job = arg;
    atomic_fetch_add(&job->fixture->blocked, 1);
    while (!atomic_load(run->stop))
        (void)usleep(100);
}

static void on_done(void *arg)
{
    struct job *job = arg;
    assert_false(job->done);
    job->done = true;
    job->fixture->n_done++;
}

static struct work_job *add(struct fixture *fixture, work_function *run, struct job *job, uint64_t used)
{
    const struct work work = {.run = run, .done = on_done, .arg = job, .used = used};
    job->fixture = fixture;
    struct work_job *added = work_pool_add(fixture->pool, &work, NULL);
    assert_non_null(added);
    return added;
}

static void run_until_done(struct fixture *fixture, int n)
{
    while (fixture->n_done < n)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
}

/* Occupies all threads but `free`. */
static void occupy(struct fixture *fixture, struct job *blockers, int free)
{
    for (int i = 0; i < WORK_POOL_THREADS - free; i++)
        (void)add(fixture, block, &blockers[i], 0);
    while (atomic_load(&fixture->blocked) < WORK_POOL_THREADS - free)
        (void)uv_thread_self(); /* until the threads have begun */
}

static void open_gate(struct fixture *fixture, int n)
{
    for (int i = 0; i < n; i++)
        uv_sem_post(&fixture->gate);
}

static void a_job_runs_in_a_thread_of_lower_priority_and_ends_on_the_loop(void **state)
{
    struct fixture *fixture = *state;
    struct job job = {.number = 1};
    uv_thread_t self = uv_thread_self();
    int niceness = getpriority(PRIO_PROCESS, 0);
    (void)add(fixture, note, &job, 0);
    run_until_done(fixture, 1);
    assert_true(job.ran);
    assert_false(uv_thread_equal(&job.thread, &self));
    assert_true(job.niceness > niceness || niceness >= 10);
}

static void the_mount_that_used_least_goes_first_and_equals_in_order(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        int number;
        uint64_t used;
    } rows[] = {{4, 900}, {5, 900}, {1, 0}, {3, 500}, {2, 0}, {6, 901}};
    enum { ROWS = sizeof(rows) / sizeof(*rows) };
    struct job blockers[WORK_POOL_THREADS] = {{.number = 0}}, jobs[ROWS] = {{.number = 0}};

    occupy(fixture, blockers, 0);
    for (size_t i = 0; i < ROWS; i++) {
        jobs[i].number = rows[i].number;
        (void)add(fixture, note, &jobs[i], rows[i].used);
    }
    open_gate(fixture, 1); /* one thread does all of them */
    run_until_done(fixture, ROWS + 1);
    open_gate(fixture, WORK_POOL_THREADS - 1);
    run_until_done(fixture, ROWS + WORK_POOL_THREADS);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(fixture->started[i], i + 1);
}

static void a_cancelled_job_does_not_begin_and_ends_nevertheless(void **state)
{
    struct fixture *fixture = *state;
    struct job blockers[WORK_POOL_THREADS] = {{.number = 0}}, jobs[2] = {{.number = 1}, {.number = 2}};
    struct work_job *none = NULL;

    work_job_cancel(&none);
    occupy(fixture, blockers, 0);
    struct work_job *first = add(fixture, note, &jobs[0], 0);
    (void)add(fixture, note, &jobs[1], 0);
    work_job_cancel(&first);
    assert_null(first);
    assert_false(jobs[0].done); /* in a later turn */
    run_until_done(fixture, 1);
    assert_true(jobs[0].done);
    open_gate(fixture, WORK_POOL_THREADS);
    run_until_done(fixture, WORK_POOL_THREADS + 2);
    assert_false(jobs[0].ran);
    assert_true(jobs[1].ran);
}

/* What costs a second takes the other threads only. */
static void quick_jobs_run_beside_any_number_of_slow_ones(void **state)
{
    enum { SLOW = 16, SLOW_THREADS = WORK_POOL_THREADS - WORK_POOL_QUICK_THREADS };
    struct fixture *fixture = *state;
    struct job slow[SLOW], quick = {.number = 1};
    for (int i = 0; i < SLOW; i++) {
        slow[i] = (struct job){.cost = WORK_POOL_QUICK_COST + 1};
        (void)add(fixture, block_slow, &slow[i], 0);
    }
    while (atomic_load(&fixture->blocked) < SLOW_THREADS)
        (void)usleep(100);
    (void)add(fixture, note, &quick, 1000000); /* also one whose mount has used more */
    run_until_done(fixture, 1);
    assert_true(quick.done);
    assert_int_equal(atomic_load(&fixture->blocked), SLOW_THREADS);
    open_gate(fixture, SLOW);
    run_until_done(fixture, 1 + SLOW);
}

static void of_the_slow_jobs_the_mount_that_used_least_then_the_cheapest_goes_first(void **state)
{
    enum { BASE = WORK_POOL_QUICK_COST, SLOW_THREADS = WORK_POOL_THREADS - WORK_POOL_QUICK_THREADS };
    static const struct {
        int number;
        uint64_t used, cost;
    } rows[] = {{5, 9, BASE + 1}, {3, 0, BASE + 900}, {1, 0, BASE + 5}, {4, 0, BASE + 900}, {2, 0, BASE + 6}};
    enum { ROWS = sizeof(rows) / sizeof(*rows) };
    struct fixture *fixture = *state;
    struct job blockers[SLOW_THREADS], jobs[ROWS], last = {.number = 0};
    for (int i = 0; i < SLOW_THREADS; i++) {
        blockers[i] = (struct job){.cost = BASE + 1};
        (void)add(fixture, block_slow, &blockers[i], 0);
    }
    while (atomic_load(&fixture->blocked) < SLOW_THREADS)
        (void)usleep(100);
    for (size_t i = 0; i < ROWS; i++) {
        jobs[i] = (struct job){.number = rows[i].number, .cost = rows[i].cost};
        (void)add(fixture, note_slow, &jobs[i], rows[i].used);
    }
    (void)add(fixture, note, &last, UINT64_MAX); /* the quick lane is empty when it is done */
    run_until_done(fixture, 1);
    open_gate(fixture, 1); /* one thread does all of them */
    run_until_done(fixture, 2 + ROWS);
    open_gate(fixture, SLOW_THREADS - 1);
    run_until_done(fixture, 1 + ROWS + SLOW_THREADS);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(fixture->started[1 + i], i + 1);
}

static void a_job_that_runs_is_told_when_nobody_waits_any_more(void **state)
{
    struct fixture *fixture = *state;
    struct job job = {.number = 1};
    struct work_job *running = add(fixture, run_until_stopped, &job, 0);
    while (atomic_load(&fixture->blocked) == 0)
        (void)usleep(100);
    work_job_cancel(&running);
    run_until_done(fixture, 1);
}

static void the_end_of_the_pool_stops_what_runs(void **state)
{
    struct fixture *fixture = *state;
    struct job job = {.number = 1};
    (void)add(fixture, run_until_stopped, &job, 0);
    while (atomic_load(&fixture->blocked) == 0)
        (void)usleep(100);
    work_pool_destroy(fixture->pool);
    fixture->pool = NULL;
    assert_true(job.done);
}

static void the_end_of_the_pool_ends_all_jobs(void **state)
{
    struct fixture *fixture = *state;
    struct job blockers[WORK_POOL_THREADS] = {{.number = 0}}, jobs[8] = {{.number = 0}};

    occupy(fixture, blockers, 0);
    for (int i = 0; i < 8; i++)
        (void)add(fixture, block, &jobs[i], 0);
    open_gate(fixture, WORK_POOL_THREADS + 8); /* some may run, all are done */
    work_pool_destroy(fixture->pool);
    fixture->pool = NULL;
    assert_int_equal(fixture->n_done, WORK_POOL_THREADS + 8);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_job_runs_in_a_thread_of_lower_priority_and_ends_on_the_loop),
        CASE(the_mount_that_used_least_goes_first_and_equals_in_order),
        CASE(a_cancelled_job_does_not_begin_and_ends_nevertheless),
        CASE(quick_jobs_run_beside_any_number_of_slow_ones),
        CASE(of_the_slow_jobs_the_mount_that_used_least_then_the_cheapest_goes_first),
        CASE(a_job_that_runs_is_told_when_nobody_waits_any_more),
        CASE(the_end_of_the_pool_stops_what_runs),
        CASE(the_end_of_the_pool_ends_all_jobs),
    };
    return cmocka_run_group_tests_name("work pool", tests, NULL, NULL);
}
