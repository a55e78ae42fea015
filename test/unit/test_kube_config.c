/*
 * test_kube_config.c - where the configuration of the Kubernetes API comes from, and the kubeconfig format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "common/kube/kube_config_load.h"
#include "common/kube/kubeconfig_file.h"
#include "test/unit/scratch.h"

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

static const char *in_scratch(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", scratch.dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_scratch(name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_secret(const struct secret *secret, const char *text)
{
    assert_int_equal(secret_len(secret), strlen(text));
    assert_memory_equal(secret_bytes(secret), text, strlen(text));
}

/* A kubeconfig with one context; `cluster` and `user` are the members of the two maps. */
#define CONFIG(cluster, user)                                                                                \
    "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u, namespace: shop}}]\n"           \
    "clusters: [{name: k, cluster: {" cluster "}}]\nusers: [{name: u, user: {" user "}}]\n"
#define SERVER "server: https://api:6443"

static int parse(const char *text, struct kube_rest_config *config, struct error **err)
{
    const struct kubeconfig_text texts[] = {
        {.path = in_scratch("config"), .text = text, .len = strlen(text)}};

    return kubeconfig_parse(texts, 1, config, err);
}

static struct kube_rest_config must_parse(const char *text)
{
    struct kube_rest_config config = {0};
    cleanup_error struct error *error = NULL;

    if (parse(text, &config, &error) < 0)
        fail_msg("refused: %s", error_message(error));
    return config;
}

/* --- kubeconfig --- */

static void a_context_selects_cluster_user_and_namespace(void **state)
{
    cleanup_kube_rest_config struct kube_rest_config config = must_parse(
        "current-context: two\n"
        "contexts:\n- {name: one, context: {cluster: x, user: x}}\n"
        "- {name: two, context: {cluster: k, user: u, namespace: shop}}\n"
        "clusters:\n- {name: x, cluster: {server: https://wrong}}\n"
        "- {name: k, cluster: {server: 'https://api:6443/prefix//', certificate-authority: ca.crt}}\n"
        "users:\n- {name: x, user: {token: wrong}}\n- {name: u, user: {token: abc}}\n");

    (void)state;
    assert_string_equal(config.server, "https://api:6443/prefix");
    assert_string_equal(config.ns, "shop");
    assert_string_equal(config.ca_file, in_scratch("ca.crt"));
    assert_secret(config.token, "abc");
    assert_null(config.token_file);
    assert_null(config.connect_to);
    assert_null(config.client_cert);
    assert_null(config.proxy_url);
    assert_true(config.use_environment_proxy);
    assert_false(config.insecure_skip_verify);
}

static void a_context_without_user_is_anonymous(void **state)
{
    cleanup_kube_rest_config struct kube_rest_config config =
        must_parse("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
                   "clusters: [{name: k, cluster: {server: http://localhost:8001}}]\n");

    (void)state;
    assert_string_equal(config.server, "http://localhost:8001");
    assert_string_equal(config.ns, "");
    assert_null(config.token);
}

static void material_inside_wins_and_files_are_relative_to_the_config(void **state)
{
    cleanup_kube_rest_config struct kube_rest_config config = {0};

    (void)state;
    assert_int_equal(scratch_run(&scratch, "mkdir pki"), 0);
    write_file("pki/key", "KEY");
    config = must_parse(CONFIG(
        SERVER ", certificate-authority-data: Q0E=, certificate-authority: /not/there",
        "client-certificate-data: Q0VSVA==, client-certificate: /not/there, client-key: pki/key, tokenFile: tokens/t"));
    assert_secret(config.ca, "CA");
    assert_null(config.ca_file);
    assert_secret(config.client_cert, "CERT");
    assert_secret(config.client_key, "KEY");
    assert_string_equal(config.token_file, in_scratch("tokens/t")); /* read later: it rotates */
}

static void switches_and_proxies_are_copied(void **state)
{
    cleanup_kube_rest_config struct kube_rest_config config =
        must_parse(CONFIG(SERVER ", insecure-skip-tls-verify: true, proxy-url: 'http://proxy:3128'", ""));

    (void)state;
    assert_true(config.insecure_skip_verify);
    assert_string_equal(config.proxy_url, "http://proxy:3128");
}

/* The name goes into the URL, where TLS looks for it; the address is what is connected to. */
static void a_tls_server_name_replaces_the_host_but_not_the_connection(void **state)
{
    static const struct {
        const char *server, *url, *connect_to;
    } table[] = {
        {"https://10.0.0.1:6443", "https://kubernetes:6443", "10.0.0.1:6443"},
        {"https://10.0.0.1", "https://kubernetes", "10.0.0.1:443"},
        {"https://10.0.0.1:6443/a/b", "https://kubernetes:6443/a/b", "10.0.0.1:6443"},
        {"https://[fd00::1]:6443", "https://kubernetes:6443", "[fd00::1]:6443"},
        {"https://[fd00::1]", "https://kubernetes", "[fd00::1]:443"},
        {"http://10.0.0.1:80", "http://10.0.0.1:80", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_kube_rest_config struct kube_rest_config config = {0};
        char text[512];

        (void)snprintf(text, sizeof(text), CONFIG("server: '%s', tls-server-name: kubernetes", ""),
                       table[i].server);
        config = must_parse(text);
        assert_string_equal(config.server, table[i].url);
        if (table[i].connect_to == NULL)
            assert_null(config.connect_to);
        else
            assert_string_equal(config.connect_to, table[i].connect_to);
    }
}

static void unsupported_or_wrong_members_are_refused_by_name(void **state)
{
    static const struct {
        const char *text, *expected;
    } table[] = {
        {CONFIG(SERVER, "exec: {command: aws}"), "'exec' is not supported; use a token"},
        {CONFIG(SERVER, "auth-provider: {name: gcp}"), "'auth-provider' is not supported"},
        {CONFIG(SERVER, "username: me"), "'username' is not supported"},
        {CONFIG(SERVER, "password: x, token: t"), "'password' is not supported"},
        {CONFIG(SERVER, "as: root"), "'as' is not supported"},
        {CONFIG(SERVER, "as-groups: [a]"), "'as-groups' is not supported"},
        {CONFIG(SERVER, "client-certificate-data: Q0E="),
         "client-certificate and client-key belong together"},
        {CONFIG(SERVER, "client-key-data: Q0E="), "client-certificate and client-key belong together"},
        {CONFIG(SERVER, "client-certificate-data: '!', client-key-data: Q0E="),
         "client-certificate-data: illegal base64 data at input byte 0"},
        {CONFIG(SERVER, "token: [x]"), "line 4: token must be a string"},
        {CONFIG(SERVER ", certificate-authority-data: '*'", ""),
         "certificate-authority-data: illegal base64 data at input byte 0"},
        {CONFIG(SERVER ", tls-server-name: 'a/b'", ""), "tls-server-name 'a/b' is not a host name"},
        {CONFIG("server: api:6443", ""), "server 'api:6443' is not an http(s) URL"},
        {CONFIG("server: 'https://'", ""), "is not an http(s) URL"},
        {CONFIG("server: 'https:///'", ""), "is not an http(s) URL"},
        {CONFIG("server: 'https:///path'", ""), "is not an http(s) URL"},
        {CONFIG("", ""), "server '' is not an http(s) URL"},
        {"", "no current-context"},
        {"current-context: ''\n", "no current-context"},
        {"current-context: [c]\n", "current-context must be a string"},
        {"current-context: c\n", "context 'c' is not defined"},
        {"current-context: c\ncontexts: {c: {}}\n", "context 'c' is not defined"},
        {"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n", "cluster 'k' is not defined"},
        {"current-context: c\ncontexts: [{name: c}]\n", "cluster '' is not defined"},
        {"current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
         "clusters: [{name: k, cluster: {server: https://h}}]\n",
         "user 'u' is not defined"},
        {"current-context: {", "config: yaml"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_kube_rest_config struct kube_rest_config config = {0};
        cleanup_error struct error *error = NULL;

        if (parse(table[i].text, &config, &error) == 0)
            fail_msg("taken: %s", table[i].text);
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
        if (strstr(error_message(error), table[i].expected) == NULL)
            fail_msg("'%s' is not in '%s'", table[i].expected, error_message(error));
    }
}

static void a_secret_in_a_kubeconfig_is_not_quoted_in_errors(void **state)
{
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    cleanup_error struct error *error = NULL;

    (void)state;
    assert_int_equal(
        parse(CONFIG(SERVER, "client-key-data: '!CANARY!', client-certificate-data: Q0E="), &config, &error),
        -1);
    assert_null(strstr(error_message(error), "CANARY"));
}

static void the_first_file_that_defines_a_name_wins(void **state)
{
    static const char first[] =
        "clusters: [{name: k, cluster: {server: https://first, certificate-authority: ca}}]\n";
    static const char second[] = CONFIG("server: https://second", "tokenFile: t");
    const struct kubeconfig_text texts[] = {
        {.path = "/one/config", .text = first, .len = sizeof(first) - 1},
        {.path = "/two/config", .text = second, .len = sizeof(second) - 1},
    };
    cleanup_kube_rest_config struct kube_rest_config config = {0};

    (void)state;
    assert_int_equal(kubeconfig_parse(texts, 2, &config, NULL), 0);
    assert_string_equal(config.server, "https://first");
    assert_string_equal(config.ca_file, "/one/ca");
    assert_string_equal(config.token_file, "/two/t");
}

static void a_byte_order_mark_is_no_part_of_a_kubeconfig(void **state)
{
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    (void)state;
    assert_int_equal(parse("\xef\xbb\xbf" CONFIG(SERVER, "tokenFile: t"), &config, NULL), 0);
    assert_string_equal(config.server, "https://api:6443");
}

/* --- which source applies --- */

static void load_expecting(const struct kube_environment *environment, const char *server)
{
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    cleanup_error struct error *error = NULL;

    if (kube_config_load(environment, &config, &error) < 0)
        fail_msg("refused: %s", error_message(error));
    assert_string_equal(config.server, server);
}

static void sources_are_tried_in_their_order(void **state)
{
    struct kube_environment environment = {.service_host = "10.0.0.1", .service_port = "443"};
    char list[600];

    (void)state;
    assert_int_equal(scratch_run(&scratch, "mkdir -p .kube sa"), 0);
    write_file("flag", CONFIG("server: https://flag", ""));
    write_file("env", CONFIG("server: https://env", ""));
    write_file(".kube/config", CONFIG("server: https://home", ""));
    write_file("sa/token", "t");
    (void)snprintf(list, sizeof(list), "%s::%s", in_scratch("missing"), in_scratch("env"));
    environment.kubeconfig = in_scratch("flag");
    environment.kubeconfig_env = list;
    environment.home = scratch.dir;
    environment.service_account_dir = in_scratch("sa");
    load_expecting(&environment, "https://flag");
    environment.kubeconfig = "";
    load_expecting(&environment, "https://env");
    environment.kubeconfig_env = NULL;
    load_expecting(&environment, "https://kubernetes.default.svc");
    environment.service_port = "";
    load_expecting(&environment, "https://home");
}

static void only_the_absence_of_every_source_is_not_found(void **state)
{
    const struct {
        struct kube_environment environment;
        enum grpc_status code;
    } table[] = {
        {{0}, GRPC_STATUS_NOT_FOUND},
        {{.kubeconfig = "", .kubeconfig_env = "", .home = scratch.dir}, GRPC_STATUS_NOT_FOUND},
        {{.kubeconfig = in_scratch("missing")}, GRPC_STATUS_FAILED_PRECONDITION},
        {{.kubeconfig_env = in_scratch("missing")}, GRPC_STATUS_FAILED_PRECONDITION},
        {{.service_host = "h", .service_port = "443", .service_account_dir = in_scratch("missing")},
         GRPC_STATUS_FAILED_PRECONDITION},
        {{.kubeconfig_env = scratch.dir}, GRPC_STATUS_INTERNAL}, /* a directory */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_kube_rest_config struct kube_rest_config config = {0};
        cleanup_error struct error *error = NULL;

        assert_int_equal(kube_config_load(&table[i].environment, &config, &error), -1);
        if (error_code(error) != table[i].code)
            fail_msg("row %zu: %s", i, error_message(error));
    }
}

static void a_list_of_too_many_files_is_refused(void **state)
{
    char list[4096] = "";
    size_t len = 0;
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    cleanup_error struct error *error = NULL;

    (void)state;
    write_file("c", CONFIG(SERVER, ""));
    for (size_t i = 0; i <= KUBECONFIG_FILES_MAX; i++)
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s:", in_scratch("c"));
    assert_int_equal(kube_config_load(&(struct kube_environment){.kubeconfig_env = list}, &config, &error),
                     -1);
    assert_non_null(strstr(error_message(error), "more than 16 files"));
}

static void in_a_pod_the_name_is_fixed_and_the_address_is_connected_to(void **state)
{
    static const struct {
        const char *host, *port, *connect_to; /* NULL: refused */
    } table[] = {
        {"10.0.0.1", "443", "10.0.0.1:443"},
        {"fd00::1", "6443", "[fd00::1]:6443"},
        {"api.example", "1", "api.example:1"},
        {"10.0.0.1", "0", NULL},
        {"10.0.0.1", "65536", NULL},
        {"10.0.0.1", "https", NULL},
        {"10.0.0.1", "44 3", NULL},
        {"10.0.0.1", " 443", NULL},
        {"10.0.0.1", "+443", NULL},
        {"10.0.0.1/x", "443", NULL},
        {"a b", "443", NULL},
    };

    (void)state;
    write_file("token", "t");
    write_file("namespace", "shop\n");
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_kube_rest_config struct kube_rest_config config = {0};
        cleanup_error struct error *error = NULL;
        int ret = kube_rest_config_in_cluster(table[i].host, table[i].port, scratch.dir, &config, &error);

        if (ret != (table[i].connect_to == NULL ? -1 : 0))
            fail_msg("%s %s: %s", table[i].host, table[i].port, error_message(error));
        if (ret < 0) {
            assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
            continue;
        }
        assert_string_equal(config.server, "https://kubernetes.default.svc");
        assert_string_equal(config.connect_to, table[i].connect_to);
        assert_string_equal(config.ns, "shop");
        assert_string_equal(config.token_file, in_scratch("token"));
        assert_string_equal(config.ca_file, in_scratch("ca.crt"));
        assert_false(config.use_environment_proxy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_context_selects_cluster_user_and_namespace),
        TEST(a_context_without_user_is_anonymous),
        TEST(material_inside_wins_and_files_are_relative_to_the_config),
        TEST(switches_and_proxies_are_copied),
        TEST(a_tls_server_name_replaces_the_host_but_not_the_connection),
        TEST(unsupported_or_wrong_members_are_refused_by_name),
        TEST(a_secret_in_a_kubeconfig_is_not_quoted_in_errors),
        TEST(a_byte_order_mark_is_no_part_of_a_kubeconfig),
        TEST(the_first_file_that_defines_a_name_wins),
        TEST(sources_are_tried_in_their_order),
        TEST(only_the_absence_of_every_source_is_not_found),
        TEST(a_list_of_too_many_files_is_refused),
        TEST(in_a_pod_the_name_is_fixed_and_the_address_is_connected_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
