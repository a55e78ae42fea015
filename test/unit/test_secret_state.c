/*
 * test_secret_state.c - what the node knows of Secrets, and what a sync copies out of a publish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "driver/sync/secret_source.h"
#include "driver/sync/secret_state.h"

enum { NOW = 1000000, AGE = 1000 };

struct fixture {
    struct secret_states states;
    struct secret_content content;
    struct owner_references owners;
    struct secret_state *state;
    struct secret_state_refs refs;
};

static int make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    secret_states_init(&fixture->states);
    fixture->content.digest[0] = 7;
    assert_int_equal(string_map_set(&fixture->content.labels, "a", "b", NULL), 0);
    assert_int_equal(owner_references_add(&fixture->owners, "apps/v1", "ReplicaSet", "web-1", "u1", NULL), 0);
    fixture->state = secret_state_refs_add(&fixture->refs, &fixture->states, "shop", "web", "s", NULL);
    assert_non_null(fixture->state);
    *state = fixture;
    return 0;
}

static int unmake(void **state)
{
    struct fixture *fixture = *state;

    secret_state_refs_finish(&fixture->refs);
    assert_int_equal(fixture->states.table.n, 0);
    secret_states_finish(&fixture->states);
    secret_content_finish(&fixture->content);
    owner_references_finish(&fixture->owners);
    free(fixture);
    return 0;
}

static struct desired_secret desired_of(const struct fixture *fixture, enum secret_mode mode)
{
    return (struct desired_secret){.content = &fixture->content, .owners = &fixture->owners, .mode = mode};
}

static void update(struct fixture *fixture, enum secret_mode mode, const char *object)
{
    cleanup_json cJSON *json = json_parse(object, strlen(object), 4096, NULL);
    const struct desired_secret desired = desired_of(fixture, mode);

    secret_state_update(fixture->state, &desired, json, NOW);
}

#define OWNED_BY_U1                                                                                          \
    "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":"      \
    "\"web-1\",\"uid\":\"u1\"}]}}"

static bool matches(struct fixture *fixture, enum secret_mode mode, uint64_t now)
{
    const struct desired_secret desired = desired_of(fixture, mode);

    return secret_state_matches(fixture->state, &desired, now, AGE);
}

static void nothing_is_known_at_first(void **state)
{
    assert_false(matches(*state, SECRET_RESTORE, NOW));
}

static void a_state_counts_until_it_is_old(void **state)
{
    update(*state, SECRET_APPLY, OWNED_BY_U1);
    assert_true(matches(*state, SECRET_APPLY, NOW));
    assert_true(matches(*state, SECRET_RESTORE, NOW + AGE));
    assert_false(matches(*state, SECRET_APPLY, NOW + AGE + 1));
}

static void other_content_or_another_owner_does_not_match(void **state)
{
    struct fixture *fixture = *state;

    update(fixture, SECRET_APPLY, OWNED_BY_U1);
    fixture->content.digest[31] = 1;
    assert_false(matches(fixture, SECRET_APPLY, NOW));
    fixture->content.digest[31] = 0;
    assert_true(matches(fixture, SECRET_APPLY, NOW));
    assert_int_equal(owner_references_add(&fixture->owners, "apps/v1", "ReplicaSet", "web-1", "u2", NULL), 0);
    assert_false(matches(fixture, SECRET_APPLY, NOW));
}

/* It left the data alone, so it says nothing about the data. */
static void a_restore_does_not_stand_for_an_apply(void **state)
{
    update(*state, SECRET_RESTORE, OWNED_BY_U1);
    assert_true(matches(*state, SECRET_RESTORE, NOW));
    assert_false(matches(*state, SECRET_APPLY, NOW));
}

static void the_owners_in_the_servers_response_count(void **state)
{
    update(*state, SECRET_APPLY, "{\"metadata\":{}}");
    assert_false(matches(*state, SECRET_APPLY, NOW));
    update(*state, SECRET_APPLY, "{\"metadata\":{\"ownerReferences\":[{}]}}"); /* malformed */
    assert_false(matches(*state, SECRET_APPLY, NOW));
}

static void a_state_lives_as_long_as_its_users(void **state)
{
    struct fixture *fixture = *state;
    struct secret_state_refs refs = {0};
    struct secret_state *same = secret_state_refs_add(&refs, &fixture->states, "shop", "web", "s", NULL);
    struct secret_state *other = secret_state_refs_add(&refs, &fixture->states, "shop2", "web", "s", NULL);
    struct secret_state *another = secret_state_refs_add(&refs, &fixture->states, "shop", "api", "s", NULL);

    assert_ptr_equal(same, fixture->state);
    assert_ptr_not_equal(other, fixture->state);
    assert_ptr_not_equal(another, fixture->state);
    secret_state_refs_finish(&refs);
    assert_int_equal(fixture->state->users, 1);
    assert_int_equal(fixture->states.table.n, 1);
}

static int keep(struct secret_provider_class *class, void *arg, struct error **err)
{
    (void)err;
    *(struct secret_provider_class **)arg = class;
    return 0;
}

static void only_what_a_sync_needs_is_copied(void **state)
{
    static const char text[] =
        "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"
        "metadata: {name: web, namespace: shop}\nspec:\n  provider: p\n  parameters: {a: b}\n  secretObjects:\n"
        "  - {secretName: s, type: Opaque, labels: {l: m}, annotations: {n: o}, data: [{objectName: ' x/y ', key: k}]}\n  - {}\n";
    struct secret_provider_class *found = NULL;
    cleanup_payload struct payload files = {0}, copied = {0};
    (void)state;
    assert_int_equal(class_yaml_each(text, sizeof(text) - 1, "default", keep, &found, NULL), 0);
    cleanup_class struct secret_provider_class *class = found;
    cleanup_class struct secret_provider_class *copy = secret_source_class(class, NULL);

    assert_string_equal(copy->name, "web");
    assert_string_equal(copy->ns, "shop");
    assert_string_equal(copy->provider, "p");
    assert_int_equal(copy->parameters.n, 0);
    assert_int_equal(copy->n_secret_objects, 2);
    assert_string_equal(copy->secret_objects[0].secret_name, "s");
    assert_string_equal(copy->secret_objects[0].data[0].key, "k");
    assert_string_equal(string_map_get(&copy->secret_objects[0].labels, "l"), "m");
    assert_string_equal(string_map_get(&copy->secret_objects[0].annotations, "n"), "o");
    assert_string_equal(copy->secret_objects[1].type, "");

    assert_int_equal(payload_add(&files, "x/y", 0400, secret_from_bytes("1", 1), NULL), 0);
    assert_int_equal(payload_add(&files, "unnamed", 0400, secret_from_bytes("2", 1), NULL), 0);
    assert_int_equal(payload_seal(&files, NULL), 0);
    assert_int_equal(secret_source_files(copy, &files, &copied, NULL), 0);
    assert_int_equal(copied.n, 2);
    assert_string_equal(copied.files[0].path, "unnamed"); /* for reports */
    assert_int_equal(secret_len(copied.files[0].contents), 0);
    assert_string_equal(copied.files[1].path, "x/y");
    assert_true(secret_equal(copied.files[1].contents, files.files[1].contents));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_known_at_first, make, unmake),
        cmocka_unit_test_setup_teardown(a_state_counts_until_it_is_old, make, unmake),
        cmocka_unit_test_setup_teardown(other_content_or_another_owner_does_not_match, make, unmake),
        cmocka_unit_test_setup_teardown(a_restore_does_not_stand_for_an_apply, make, unmake),
        cmocka_unit_test_setup_teardown(the_owners_in_the_servers_response_count, make, unmake),
        cmocka_unit_test_setup_teardown(a_state_lives_as_long_as_its_users, make, unmake),
        cmocka_unit_test(only_what_a_sync_needs_is_copied),
    };
    return cmocka_run_group_tests_name("secret_state", tests, NULL, NULL);
}
