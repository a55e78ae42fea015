/*
 * test_secret_record.c - what is remembered of Secrets, and what a sync copies out of a publish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "driver/sync/secret_state.h"
#include "driver/sync/sync_target.h"
#include "driver/sync/sync_target_pod.h"

enum { NOW = 1000000, AGE = 1000 };

struct world {
    struct secret_records records;
    struct secret_content content;
    struct owners owners;
    struct secret_record *record;
};

static int make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    secret_records_init(&world->records);
    world->content.digest[0] = 7;
    assert_int_equal(string_map_set(&world->content.labels, "a", "b", NULL), 0);
    assert_int_equal(owners_add(&world->owners, "apps/v1", "ReplicaSet", "web-1", "u1", NULL), 0);
    world->record = secret_records_use(&world->records, "shop", "web", "s", NULL);
    assert_non_null(world->record);
    *state = world;
    return 0;
}

static int unmake(void **state)
{
    struct world *world = *state;

    secret_record_release(world->record);
    assert_true(list_empty(&world->records.all));
    secret_content_finish(&world->content);
    owners_finish(&world->owners);
    free(world);
    return 0;
}

static struct secret_wish wish_of(const struct world *world, enum secret_authority authority)
{
    return (struct secret_wish){.content = &world->content, .owners = &world->owners, .authority = authority};
}

static void update(struct world *world, enum secret_authority authority, const char *object)
{
    cleanup_json cJSON *json = json_parse(object, strlen(object), 4096, NULL);
    const struct secret_wish wish = wish_of(world, authority);

    secret_record_update(world->record, &wish, json, NOW);
}

#define OWNED_BY_U1                                                                                          \
    "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":"      \
    "\"web-1\",\"uid\":\"u1\"}]}}"

static bool fulfils(struct world *world, enum secret_authority authority, uint64_t now)
{
    const struct secret_wish wish = wish_of(world, authority);

    return secret_record_fulfils(world->record, &wish, now, AGE);
}

static void nothing_is_known_at_first(void **state)
{
    assert_false(fulfils(*state, SECRET_AUTHORITY_REPAIR, NOW));
}

static void a_record_counts_until_it_is_old(void **state)
{
    update(*state, SECRET_AUTHORITY_FULL, OWNED_BY_U1);
    assert_true(fulfils(*state, SECRET_AUTHORITY_FULL, NOW));
    assert_true(fulfils(*state, SECRET_AUTHORITY_REPAIR, NOW + AGE));
    assert_false(fulfils(*state, SECRET_AUTHORITY_FULL, NOW + AGE + 1));
}

static void other_content_or_another_owner_is_another_wish(void **state)
{
    struct world *world = *state;

    update(world, SECRET_AUTHORITY_FULL, OWNED_BY_U1);
    world->content.digest[31] = 1;
    assert_false(fulfils(world, SECRET_AUTHORITY_FULL, NOW));
    world->content.digest[31] = 0;
    assert_true(fulfils(world, SECRET_AUTHORITY_FULL, NOW));
    assert_int_equal(owners_add(&world->owners, "apps/v1", "ReplicaSet", "web-1", "u2", NULL), 0);
    assert_false(fulfils(world, SECRET_AUTHORITY_FULL, NOW));
}

/* It left the data alone, so it says nothing about the data. */
static void a_repair_does_not_stand_for_a_full_comparison(void **state)
{
    update(*state, SECRET_AUTHORITY_REPAIR, OWNED_BY_U1);
    assert_true(fulfils(*state, SECRET_AUTHORITY_REPAIR, NOW));
    assert_false(fulfils(*state, SECRET_AUTHORITY_FULL, NOW));
}

static void what_the_server_says_about_owners_counts(void **state)
{
    update(*state, SECRET_AUTHORITY_FULL, "{\"metadata\":{}}");
    assert_false(fulfils(*state, SECRET_AUTHORITY_FULL, NOW));
    update(*state, SECRET_AUTHORITY_FULL, "{\"metadata\":{\"ownerReferences\":[{}]}}"); /* malformed */
    assert_false(fulfils(*state, SECRET_AUTHORITY_FULL, NOW));
}

static void a_record_lives_as_long_as_its_users(void **state)
{
    struct world *world = *state;
    struct secret_uses uses = {0};
    struct secret_record *same = secret_records_use(&world->records, "shop", "web", "s", NULL);
    struct secret_record *other = secret_records_use(&world->records, "shop2", "web", "s", NULL);
    struct secret_record *another = secret_records_use(&world->records, "shop", "api", "s", NULL);

    assert_ptr_equal(same, world->record);
    assert_ptr_not_equal(other, world->record);
    assert_ptr_not_equal(another, world->record);
    assert_int_equal(secret_uses_add(&uses, same, NULL), 0);
    assert_int_equal(secret_uses_add(&uses, other, NULL), 0);
    assert_int_equal(secret_uses_add(&uses, another, NULL), 0);
    secret_uses_finish(&uses);
    assert_int_equal(world->record->users, 1);
    assert_ptr_equal(world->records.all.next, &world->record->link);
    assert_ptr_equal(world->records.all.prev, &world->record->link);
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
    cleanup_class struct secret_provider_class *copy = sync_input_class(class, NULL);

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
    assert_int_equal(sync_input_files(copy, &files, &copied, NULL), 0);
    assert_int_equal(copied.n, 1);
    assert_string_equal(copied.files[0].path, "x/y");
    assert_true(secret_equal(copied.files[0].contents, files.files[1].contents));
}

static void a_pod_is_copied_whole(void **state)
{
    struct sync_pod pod = {.target_path = "/t", .ns = "", .name = "web", .uid = "u", .class_name = "c"};
    cleanup_free struct sync_pod *copy = sync_pod_copy(&pod);
    (void)state;
    pod = (struct sync_pod){0};
    assert_string_equal(copy->target_path, "/t");
    assert_string_equal(copy->ns, "");
    assert_string_equal(copy->name, "web");
    assert_string_equal(copy->uid, "u");
    assert_string_equal(copy->class_name, "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_known_at_first, make, unmake),
        cmocka_unit_test_setup_teardown(a_record_counts_until_it_is_old, make, unmake),
        cmocka_unit_test_setup_teardown(other_content_or_another_owner_is_another_wish, make, unmake),
        cmocka_unit_test_setup_teardown(a_repair_does_not_stand_for_a_full_comparison, make, unmake),
        cmocka_unit_test_setup_teardown(what_the_server_says_about_owners_counts, make, unmake),
        cmocka_unit_test_setup_teardown(a_record_lives_as_long_as_its_users, make, unmake),
        cmocka_unit_test(only_what_a_sync_needs_is_copied),
        cmocka_unit_test(a_pod_is_copied_whole),
    };
    return cmocka_run_group_tests_name("secret_record", tests, NULL, NULL);
}
