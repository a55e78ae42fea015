/*
 * test_azure_vault_failure.c - which failures of a read mean that the vault could not answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include "provider-azure/vault/vault_call.h"
#include "provider-azure/vault/vault_failure.h"
#include "test/unit/azure_principal.h"
#include "test/unit/test_azure_fake.h"

static void statuses_are_refusals_or_mean_that_the_vault_cannot_answer(void **state)
{
    static const struct {
        int status;
        enum vault_failure failure;
    } rows[] = {
        {400, VAULT_FAILURE_OTHER},       {401, VAULT_FAILURE_REFUSED},     {402, VAULT_FAILURE_OTHER},
        {403, VAULT_FAILURE_REFUSED},     {404, VAULT_FAILURE_REFUSED},     {405, VAULT_FAILURE_OTHER},
        {408, VAULT_FAILURE_UNAVAILABLE}, {409, VAULT_FAILURE_OTHER},       {410, VAULT_FAILURE_OTHER},
        {429, VAULT_FAILURE_UNAVAILABLE}, {200, VAULT_FAILURE_OTHER},       {302, VAULT_FAILURE_OTHER},
        {499, VAULT_FAILURE_OTHER},       {500, VAULT_FAILURE_UNAVAILABLE}, {501, VAULT_FAILURE_UNAVAILABLE},
        {502, VAULT_FAILURE_UNAVAILABLE}, {503, VAULT_FAILURE_UNAVAILABLE}, {504, VAULT_FAILURE_UNAVAILABLE},
        {599, VAULT_FAILURE_UNAVAILABLE}, {600, VAULT_FAILURE_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct http_reply reply = {.status = rows[i].status};
        assert_int_equal(vault_failure_classify(&reply, NULL), rows[i].failure);
    }
}

static void failures_without_a_response_are_told_by_code_and_type(void **state)
{
    static const struct {
        enum grpc_status code;
        const char *type;
        enum vault_failure failure;
    } rows[] = {
        {GRPC_STATUS_UNAVAILABLE, "", VAULT_FAILURE_UNAVAILABLE}, /* DNS, TCP, proxy, TLS, reset */
        {GRPC_STATUS_DEADLINE_EXCEEDED, "", VAULT_FAILURE_UNAVAILABLE},
        {GRPC_STATUS_DEADLINE_EXCEEDED, HTTP_RETRY_NO_TIME, VAULT_FAILURE_OTHER}, /* not asked */
        {GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_RETRY_THROTTLED, VAULT_FAILURE_UNAVAILABLE},
        {GRPC_STATUS_RESOURCE_EXHAUSTED, "", VAULT_FAILURE_OTHER}, /* too large, or no memory */
        {GRPC_STATUS_INTERNAL, "", VAULT_FAILURE_OTHER},
        {GRPC_STATUS_INVALID_ARGUMENT, "", VAULT_FAILURE_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error *error = NULL;
        error_set(&error, rows[i].code, "x");
        (void)error_set_type(&error, rows[i].type);
        assert_int_equal(vault_failure_classify(NULL, error), rows[i].failure);
        error_free(error);
    }
}

static void a_mark_survives_copies_and_context_and_can_be_removed(void **state)
{
    struct error *error = NULL;
    (void)state;
    error_set(&error, GRPC_STATUS_UNAVAILABLE, "x");
    assert_int_equal(vault_failure_of(error), VAULT_FAILURE_OTHER);
    assert_int_equal(vault_failure_of(NULL), VAULT_FAILURE_OTHER);
    for (int failure = VAULT_FAILURE_OTHER; failure <= VAULT_FAILURE_REFUSED; failure++) {
        assert_int_equal(vault_failure_mark(&error, (enum vault_failure)failure), -1);
        struct error *copy = error_copy(error);
        error_wrap(&copy, "context");
        assert_int_equal(vault_failure_of(copy), failure);
        error_free(copy);
    }
    assert_int_equal(vault_failure_mark(&error, VAULT_FAILURE_OTHER), -1);
    assert_int_equal(vault_failure_of(error), VAULT_FAILURE_OTHER);
    assert_int_equal(vault_failure_mark(NULL, VAULT_FAILURE_REFUSED), -1);
    error_free(error);
}

/* --- the errors of a read --- */

struct fixture {
    struct fake fake;
    struct throttle_table throttles;
    struct network network;
    struct token_cache *tokens;
    struct principal reader;
    struct fake_response response; /* of the vault */
    struct fake_response entra;
    struct vault_call *call;
    struct error *error;
};

static struct fake_response respond(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    struct fixture *fixture = fake->arg;
    (void)bearer;
    (void)body;
    return strncmp(url, "https://login.", 14) == 0 ? fixture->entra : fixture->response;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fake_init(&fixture->fake, respond, fixture);
    fixture->network = (struct network){.transport = &fixture->fake.base, .throttles = &fixture->throttles};
    fixture->tokens = token_cache_create(&fixture->network, NULL);
    fixture->reader = principal_create("app");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    token_cache_destroy(fixture->tokens);
    principal_destroy(&fixture->reader);
    error_free(fixture->error);
    fake_assert_idle(&fixture->fake);
    free(fixture);
    return 0;
}

static void on_response(struct vault_response *response, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;
    fixture->call = NULL;
    fixture->error = error_copy(response != NULL ? response->not_found : error);
    vault_response_unref(response);
}

static void start(struct fixture *fixture, uint64_t left_ms)
{
    const struct vault_query query = {.vault_url = "https://kv1.vault.azure.net/",
                                      .vault_host = "kv1.vault.azure.net",
                                      .type = OBJECT_SECRET,
                                      .name = "a",
                                      .version = ""};
    error_free(fixture->error);
    fixture->error = NULL;
    fixture->call =
        vault_call_start(&fixture->network, fixture->tokens, &query, fixture->reader.identity,
                         fixture->reader.token, fixture->fake.now_ms + left_ms, on_response, fixture, NULL);
    assert_non_null(fixture->call);
}

static const char challenge[] =
    "Bearer authorization=\"https://login.microsoftonline.com/tenant1\", resource=\"https://vault.azure.net\"";
static const char missing[] = "{\"error\":{\"code\":\"SecretNotFound\",\"message\":\"no\"}}";

static void the_error_of_a_read_says_which_kind_it_is(void **state)
{
    static const struct {
        struct fake_response response;
        struct fake_response entra;
        enum vault_failure failure;
    } rows[] = {
        {{.status = 404, .body = missing}, {0}, VAULT_FAILURE_REFUSED}, /* not_found */
        {{.status = 404, .body = "<html>"}, {0}, VAULT_FAILURE_REFUSED},
        {{.status = 403, .body = "{}"}, {0}, VAULT_FAILURE_REFUSED},
        {{.status = 401, .body = "{}"}, {0}, VAULT_FAILURE_REFUSED},
        /* the vault has answered, whatever is the matter with Entra */
        {{.status = 401, .body = "{}", .challenge = challenge}, {.status = 500}, VAULT_FAILURE_REFUSED},
        {{.status = 401, .body = "{}", .challenge = challenge},
         {.failure = GRPC_STATUS_UNAVAILABLE, .hop = HTTP_HOP_DNS},
         VAULT_FAILURE_REFUSED},
        {{.status = 200, .body = "no json"}, {0}, VAULT_FAILURE_OTHER},
        {{.status = 400, .body = "{}"}, {0}, VAULT_FAILURE_OTHER},
        {{.status = 503, .body = "{}"}, {0}, VAULT_FAILURE_UNAVAILABLE},
        {{.status = 429, .body = "{}", .retry_after_ms = 61000}, {0}, VAULT_FAILURE_UNAVAILABLE},
        {{.failure = GRPC_STATUS_UNAVAILABLE, .hop = HTTP_HOP_TLS}, {0}, VAULT_FAILURE_UNAVAILABLE},
        {{.failure = GRPC_STATUS_RESOURCE_EXHAUSTED, .hop = HTTP_HOP_RECEIVE}, {0}, VAULT_FAILURE_OTHER},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fixture->throttles = (struct throttle_table){0};
        fixture->response = rows[i].response;
        fixture->entra = rows[i].entra;
        start(fixture, 50000);
        fake_run(&fixture->fake, fixture->fake.now_ms + 60000);
        assert_null(fixture->call);
        assert_non_null(fixture->error);
        assert_int_equal(vault_failure_of(fixture->error), rows[i].failure);
    }
}

static void a_vault_that_throttles_beyond_the_callers_time_cannot_answer(void **state)
{
    struct fixture *fixture = *state;
    fixture->response = (struct fake_response){.status = 429, .body = "{}", .retry_after_ms = 30000};
    start(fixture, 5000);
    fake_run(&fixture->fake, fixture->fake.now_ms);
    assert_int_equal(vault_failure_of(fixture->error), VAULT_FAILURE_UNAVAILABLE);
    start(fixture, 5000); /* in the pause: not even sent */
    unsigned sent = fixture->fake.sent;
    fake_run(&fixture->fake, fixture->fake.now_ms);
    assert_int_equal(fixture->fake.sent, sent);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(vault_failure_of(fixture->error), VAULT_FAILURE_UNAVAILABLE);

    struct error *pending = NULL;
    start(fixture, 40000); /* it would be sent in time: this is no failure yet */
    fake_run(&fixture->fake, fixture->fake.now_ms + 1000);
    assert_non_null(fixture->call);
    (void)vault_call_pending_error(fixture->call, &pending);
    assert_int_equal(vault_failure_of(pending), VAULT_FAILURE_UNAVAILABLE);
    error_free(pending);
    vault_call_cancel(&fixture->call);
}

static void a_vault_is_silent_when_the_callers_time_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct error *pending = NULL;
    start(fixture, 5000);
    (void)vault_call_pending_error(fixture->call, &pending);
    assert_int_equal(error_code(pending), GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(vault_failure_of(pending), VAULT_FAILURE_UNAVAILABLE);
    error_free(pending);
    vault_call_cancel(&fixture->call);
}

static void a_vault_that_got_no_request_for_lack_of_time_is_not_blamed(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    fake_run(&fixture->fake, fixture->fake.now_ms);
    assert_int_equal(fixture->fake.sent, 0);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(vault_failure_of(fixture->error), VAULT_FAILURE_OTHER);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_are_refusals_or_mean_that_the_vault_cannot_answer),
        cmocka_unit_test(failures_without_a_response_are_told_by_code_and_type),
        cmocka_unit_test(a_mark_survives_copies_and_context_and_can_be_removed),
        CASE(the_error_of_a_read_says_which_kind_it_is),
        CASE(a_vault_that_throttles_beyond_the_callers_time_cannot_answer),
        CASE(a_vault_is_silent_when_the_callers_time_is_over),
        CASE(a_vault_that_got_no_request_for_lack_of_time_is_not_blamed),
    };
    return cmocka_run_group_tests_name("azure vault failure", tests, NULL, NULL);
}
