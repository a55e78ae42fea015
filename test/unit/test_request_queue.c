/*
 * test_request_queue.c - the order in which requests leave the queue of a host, and the limits of hosts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/cleanup.h"
#include "common/http/host.h"
#include "common/http/request_queue.h"

struct request {
    struct queue_entry entry;
    char name[4]; /* flow and number */
};

/* Adds "a1", "b1", ...: a letter is a flow, '-' none. */
static void add(struct request_queue *queue, struct request *request, const char *name)
{
    uint64_t flow = name[0] == '-' ? 0 : (uint64_t)name[0];
    queue_entry_init(&request->entry, flow);
    (void)strncpy(request->name, name, sizeof(request->name) - 1);
    request_queue_add(queue, &request->entry);
}

static void add_all(struct request_queue *queue, struct request *requests, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++)
        add(queue, &requests[i], names[i]);
}

static void expect_order(struct request_queue *queue, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        struct queue_entry *entry = request_queue_next(queue);
        assert_non_null(entry);
        assert_string_equal(container_of(entry, struct request, entry)->name, names[i]);
    }
    assert_null(request_queue_next(queue));
    assert_int_equal(queue->n, 0);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void flows_take_turns_and_each_keeps_its_order(void **state)
{
    (void)state;
    struct request_queue queue;
    struct request requests[16] = {0};
    request_queue_init(&queue);
    add_all(&queue, requests, NAMES("a1", "a2", "a3", "a4", "b1", "b2", "-1", "c1", "-2"));
    expect_order(&queue, NAMES("a1", "b1", "-1", "c1", "-2", "a2", "b2", "a3", "a4"));
}

static void a_mount_of_two_is_not_held_up_by_one_of_five_hundred(void **state)
{
    (void)state;
    struct request_queue queue;
    struct request large[500] = {0};
    struct request small[2] = {0};
    request_queue_init(&queue);
    for (size_t i = 0; i < ARRAY_SIZE(large); i++)
        add(&queue, &large[i], "l");
    add_all(&queue, small, NAMES("s1", "s2"));
    unsigned left = 2;
    unsigned served = 0;
    while (left > 0) {
        struct queue_entry *entry = request_queue_next(&queue);
        served++;
        left -= container_of(entry, struct request, entry)->name[0] == 's';
    }
    assert_int_equal(served, 4);
    assert_int_equal(queue.n, 498);
}

static void whoever_leaves_early_takes_nothing_along(void **state)
{
    (void)state;
    struct request_queue queue;
    struct request requests[8] = {0};
    request_queue_init(&queue);
    add_all(&queue, requests, NAMES("a1", "a2", "a3", "b1", "b2", "b3"));
    request_queue_remove(&queue, &requests[0].entry); /* the first of its flow */
    request_queue_remove(&queue, &requests[4].entry); /* one behind the first */
    request_queue_remove(&queue, &requests[4].entry); /* harmless */
    assert_int_equal(queue.n, 4);
    expect_order(&queue, NAMES("a2", "b1", "a3", "b3"));
    request_queue_remove(&queue, &requests[1].entry);

    add_all(&queue, requests, NAMES("a1", "b1"));
    request_queue_remove(&queue, &requests[0].entry); /* the only one */
    expect_order(&queue, NAMES("b1"));
}

static void what_starts_again_goes_first(void **state)
{
    (void)state;
    struct request_queue queue;
    struct request requests[8] = {0};
    request_queue_init(&queue);
    add_all(&queue, requests, NAMES("a1", "a2", "b1", "b2"));
    struct queue_entry *first = request_queue_next(&queue);
    request_queue_add_again(&queue, first);
    assert_int_equal(queue.n, 4);
    add(&queue, &requests[4], "a3"); /* behind its flow, wherever that is */
    expect_order(&queue, NAMES("a1", "b1", "a2", "b2", "a3"));
}

/* --- hosts --- */

static const struct host_key vault = {
    .name = "vault", .port = 443, .tls = true, .peer = "vault", .peer_port = 443};

static void a_host_is_known_by_name_port_and_peer_and_forgotten_only_when_it_is_idle(void **state)
{
    (void)state;
    struct host_table table;
    host_table_init(&table);
    struct http_host *host = host_table_get(&table, &vault, 32);
    host->users++;
    struct host_key other = vault;
    other.name = "VAULT";
    assert_ptr_equal(host_table_get(&table, &other, 32), host);
    other.peer = "proxy";
    assert_ptr_not_equal(host_table_get(&table, &other, 32), host);
    for (unsigned i = 0; i < 200; i++) {
        other.port = i;
        assert_non_null(host_table_get(&table, &other, 32));
    }
    assert_int_equal(table.n, HOSTS_MAX);
    assert_ptr_equal(host_table_get(&table, &vault, 32), host);
    host->users--;
    host_table_finish(&table);
}

static void one_request_opens_the_first_connection_to_a_tls_host(void **state)
{
    (void)state;
    struct host_table table;
    host_table_init(&table);
    struct host_key plain = vault;
    plain.tls = false;
    assert_int_equal(host_limit(host_table_get(&table, &plain, 32), 0), 32);
    struct http_host *host = host_table_get(&table, &vault, 32);
    assert_int_equal(host_limit(host, 0), 1);
    struct http_connection *connection = host_connection_add(host, 1000000, state, 0);
    assert_int_equal(host_limit(host, 0), 1);
    connection->ready = true;
    host_forget_attempts(host, state); /* it is one no more */
    (void)host_connection_add(host, 1000001, state, 0);
    host_forget_attempts(host, NULL);
    assert_non_null(host_table_connection(&table, 1000001));
    host_forget_attempts(host, state);
    assert_null(host_table_connection(&table, 1000001));
    assert_int_equal(host_limit(host, 0), 2); /* does it share the connection? */
    struct http_connection *second = host_connection_add(host, 1000001, state, 0);
    assert_int_equal(host_limit(host, 0), 2);
    second->ready = true;
    assert_int_equal(host_limit(host, 0), 32);
    host_connection_remove(second);
    assert_ptr_equal(host_table_connection(&table, 1000000), connection);
    host_responded(host, HOST_HTTP1);
    host_connection_remove(connection);
    assert_null(host_table_connection(&table, 1000000));
    assert_int_equal(host_limit(host, 0), 32);
    host_table_finish(&table);
}

static void two_requests_on_one_connection_are_http2(void **state)
{
    (void)state;
    struct host_table table;
    host_table_init(&table);
    struct http_host *host = host_table_get(&table, &vault, 32);
    struct http_connection *connection = host_connection_add(host, 1000000, state, 0);
    connection->ready = true;
    assert_int_equal(host_limit(host, 0), 2);
    host_shares_connection(host);
    assert_int_equal(host_limit(host, 0), 32);
    assert_int_equal(host->protocol, HOST_HTTP2);
    host_connection_remove(connection);
    host_table_finish(&table);
}

static void a_connection_that_serves_the_next_request_at_once_is_not_shared(void **state)
{
    (void)state;
    struct host_table table;
    host_table_init(&table);
    struct host_key plain = vault;
    plain.tls = false;
    struct http_host *host = host_table_get(&table, &plain, 32);
    host_shares_connection(host);
    assert_int_equal(host->protocol, HOST_HTTP1);
    host = host_table_get(&table, &vault, 32);
    host_responded(host, HOST_HTTP1);
    host_shares_connection(host);
    assert_int_equal(host->protocol, HOST_HTTP1);
    host_table_finish(&table);
}

static void requests_over_http2_grow_while_one_connection_carries_them(void **state)
{
    (void)state;
    struct host_table table;
    struct http_connection *connections[3];
    struct list calls[3];
    host_table_init(&table);
    struct http_host *host = host_table_get(&table, &vault, 32);
    for (int i = 0; i < 3; i++) {
        connections[i] = host_connection_add(host, 1000000 + i, state, 0);
        connections[i]->ready = true;
        list_init(&calls[i]);
    }
    list_insert_before(&connections[0]->calls, &calls[0]);
    for (int i = 0; i < 1000; i++)
        host_responded(host, HOST_HTTP2);
    assert_int_equal(host_limit(host, 0), HOST_STREAMS_MAX);
    list_insert_before(&connections[1]->calls, &calls[1]);
    host_responded(host, HOST_HTTP2); /* two are in order */
    assert_int_equal(host_limit(host, 0), HOST_STREAMS_MAX);
    list_insert_before(&connections[2]->calls, &calls[2]);
    host_responded(host, HOST_HTTP2);
    assert_int_equal(host_limit(host, 0), HOST_STREAMS_MAX - 1);
    for (int i = 0; i < 1000; i++)
        host_responded(host, HOST_HTTP2);
    assert_int_equal(host_limit(host, 0), HOST_STREAMS_MIN);
    for (int i = 0; i < 3; i++) {
        list_remove(&calls[i]);
        host_connection_remove(connections[i]);
    }
    host_table_finish(&table);
}

static void a_host_gets_as_many_connections_as_are_let_through(void **state)
{
    enum { LET = 3, SENT = 10 };
    (void)state;
    struct host_table table;
    struct http_connection *connections[LET];
    host_table_init(&table);
    struct http_host *host = host_table_get(&table, &vault, 32);
    for (int i = 0; i < LET; i++)
        connections[i] = host_connection_add(host, 1000000 + i, state, 0);
    assert_false(host_has_let_through(host));
    connections[0]->ready = true;
    assert_false(host_has_let_through(host)); /* it may be HTTP/2 */
    connections[1]->ready = connections[2]->ready = true;
    assert_true(host_has_let_through(host));
    for (host->in_flight = SENT - 1; host->in_flight >= LET; host->in_flight--) {
        assert_int_equal(host_turned_away(host, 5000), host->in_flight == SENT - 1);
        assert_int_equal(host_limit(host, 5000), host->in_flight);
    }
    for (; host->in_flight > 0; host->in_flight--) /* those that stand are let through, busy or not */
        assert_false(host_turned_away(host, 5000));
    assert_int_equal(host_limit(host, 5000), LET);
    host_responded(host, HOST_HTTP1);
    assert_int_equal(host_limit(host, 5000 + HOST_LIMITED_MS - 1), LET);
    assert_int_equal(host_limit(host, 5000 + HOST_LIMITED_MS), 2 * LET);
    assert_int_equal(host_limit(host, 5000 + 3 * HOST_LIMITED_MS), 8 * LET);
    assert_int_equal(host_limit(host, 5000 + 4 * (uint64_t)HOST_LIMITED_MS), 32);
    assert_int_equal(host_limit(host, UINT64_MAX), 32);
    host_turned_away_again(host);
    assert_int_equal(host_limit(host, 5000), 32);
    host_responded(host, HOST_HTTP2);
    assert_false(host_has_let_through(host));
    for (int i = 0; i < LET; i++)
        host_connection_remove(connections[i]);
    host_table_finish(&table);
}

static void a_connection_is_late_by_what_others_took(void **state)
{
    (void)state;
    struct host_table table;
    host_table_init(&table);
    struct http_host *host = host_table_get(&table, &vault, 32);
    assert_int_equal(host_connect_late_ms(host), HOST_CONNECT_LATE_MS);
    host_connected(host, 20);
    assert_int_equal(host_connect_late_ms(host), HOST_CONNECT_LATE_MS);
    host_connected(host, 1200);
    assert_int_equal(host_connect_late_ms(host), 4800);
    for (int i = 0; i < 100; i++)
        host_connected(host, 20);
    assert_int_equal(host_connect_late_ms(host), HOST_CONNECT_LATE_MS);
    host_table_finish(&table);
}

static void a_response_is_late_by_what_the_host_usually_takes(void **state)
{
    (void)state;
    static const struct {
        uint64_t usual_ms, late_ms;
    } cases[] = {{0, 1000}, {5, 1000}, {250, 1000}, {300, 1200}, {500, 2000}, {1000, 2000}, {3000, 6000}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http_host host = {0};
        host_took(&host, cases[i].usual_ms);
        assert_int_equal(host_late_ms(&host), cases[i].late_ms);
    }
    struct http_host host = {0};
    host_took(&host, 3000);
    for (int i = 0; i < 100; i++)
        host_took(&host, 5);
    assert_int_equal(host.usual_ms, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flows_take_turns_and_each_keeps_its_order),
        cmocka_unit_test(a_mount_of_two_is_not_held_up_by_one_of_five_hundred),
        cmocka_unit_test(whoever_leaves_early_takes_nothing_along),
        cmocka_unit_test(what_starts_again_goes_first),
        cmocka_unit_test(a_host_is_known_by_name_port_and_peer_and_forgotten_only_when_it_is_idle),
        cmocka_unit_test(one_request_opens_the_first_connection_to_a_tls_host),
        cmocka_unit_test(two_requests_on_one_connection_are_http2),
        cmocka_unit_test(a_connection_that_serves_the_next_request_at_once_is_not_shared),
        cmocka_unit_test(requests_over_http2_grow_while_one_connection_carries_them),
        cmocka_unit_test(a_host_gets_as_many_connections_as_are_let_through),
        cmocka_unit_test(a_connection_is_late_by_what_others_took),
        cmocka_unit_test(a_response_is_late_by_what_the_host_usually_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
