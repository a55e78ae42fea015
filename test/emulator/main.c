/*
 * main.c - vault-emulator: Key Vault, Entra and the little of the Kubernetes API that the driver and its
 * Azure provider use, for tests, demonstrations and benchmarks. README.md is the manual.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/emulator/base64.h"
#include "test/emulator/connections.h"
#include "test/emulator/control.h"
#include "test/emulator/counters.h"
#include "test/emulator/entra.h"
#include "test/emulator/imds.h"
#include "test/emulator/kube.h"
#include "test/emulator/limits.h"
#include "test/emulator/memory.h"
#include "test/emulator/nmi.h"
#include "test/emulator/server.h"
#include "test/emulator/tokens.h"
#include "test/emulator/vault_store.h"

#define DEMO_TENANT        "7b0e5c3a-4d6f-4a1b-9c2e-5f8d1a3b6c90"
#define DEMO_CLIENT_ID     "c1d2e3f4-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
#define DEMO_CLIENT_SECRET "demo~client.secret-with+odd/characters="
#define DEMO_VAULT         "contosoKeyVault5"

struct options {
    const char *dir;
    const char *fixture;
    const char *address;
    const char *domain;
    unsigned short port;
    unsigned short control_port;
    unsigned short node_port;
    struct http_settings http;
    bool tls12;
    bool verbose;
    bool demo;
};

/* 100 streams, as RFC 9113 6.5.2 recommends at least; the rest are its initial values. */
static const struct http_settings default_http = {.http1 = true,
                                                  .http2 = true,
                                                  .max_streams = 100,
                                                  .initial_window = 65535,
                                                  .window_updates = true,
                                                  .frame_bytes = 16384};

static const char usage[] =
    "usage: vault-emulator --dir DIR [--port N] [--control-port N] [--node-port N] [--address IP]\n"
    "                      [--domain NAME] [--tls12] [--protocols LIST] [--fixture FILE] [--demo] [--verbose]\n"
    "  --dir DIR         where ca.pem, cloud.json, kubeconfig, ports.json and ready are written; made if missing\n"
    "  --port N          TLS port of all services, on 127.0.0.1; 0 = any free one (default)\n"
    "  --control-port N  port of the control calls, plain HTTP on 127.0.0.1; 0 = any free one (default)\n"
    "  --node-port N     port of IMDS and NMI, plain HTTP on 127.0.0.1; 0 = any free one (default)\n"
    "  --address IP      where the TLS port is instead\n"
    "  --domain NAME     be login.NAME, *.vault.NAME, *.managedhsm.NAME; localhost by default\n"
    "  --tls12           do not offer TLS 1.3\n"
    "  --protocols LIST  what ALPN may choose on the TLS port: h2,http/1.1 (default), h2 or http/1.1\n"
    "  --fixture FILE    control calls to do at start, a JSON array of {\"method\", \"path\", \"body\"}\n"
    "  --demo            start with a tenant, an application and a vault with two secrets; writes demo.json\n"
    "  --verbose         one line a request on stderr\n";

static int parse_port(const char *name, const char *text, unsigned short *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value > 65535) {
        (void)fprintf(stderr, "vault-emulator: --%s: '%s' is not a port\n", name, text);
        return -1;
    }
    *ret = (unsigned short)value;
    return 0;
}

static int parse_protocols(const char *text, struct http_settings *settings)
{
    settings->http2 = strcmp(text, "h2") == 0 || strcmp(text, "h2,http/1.1") == 0;
    settings->http1 = strcmp(text, "h2") != 0;
    if (settings->http2 || strcmp(text, "http/1.1") == 0)
        return 0;
    (void)fprintf(stderr, "vault-emulator: --protocols: '%s' is not h2,http/1.1, h2 or http/1.1\n", text);
    return -1;
}

/* 0 = go on, 1 = done (--help), -1 = error. */
static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"dir", required_argument, NULL, 'd'},
        {"port", required_argument, NULL, 'p'},
        {"control-port", required_argument, NULL, 'c'},
        {"node-port", required_argument, NULL, 'n'},
        {"fixture", required_argument, NULL, 'f'},
        {"address", required_argument, NULL, 'a'},
        {"domain", required_argument, NULL, 'o'},
        {"protocols", required_argument, NULL, 'P'},
        {"tls12", no_argument, NULL, 't'},
        {"demo", no_argument, NULL, 'D'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'd':
            options->dir = optarg;
            break;
        case 'p':
            if (parse_port("port", optarg, &options->port) != 0)
                return -1;
            break;
        case 'c':
            if (parse_port("control-port", optarg, &options->control_port) != 0)
                return -1;
            break;
        case 'n':
            if (parse_port("node-port", optarg, &options->node_port) != 0)
                return -1;
            break;
        case 'f':
            options->fixture = optarg;
            break;
        case 'a':
            options->address = optarg;
            break;
        case 'o':
            options->domain = optarg;
            break;
        case 'P':
            if (parse_protocols(optarg, &options->http) != 0)
                return -1;
            break;
        case 't':
            options->tls12 = true;
            break;
        case 'D':
            options->demo = true;
            break;
        case 'v':
            options->verbose = true;
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return 1;
        default:
            return -1;
        }
    }
    if (options->dir == NULL || optind != argc) {
        (void)fputs(usage, stderr);
        return -1;
    }
    return 0;
}

/* ---- files ---- */

/* Like mkdir -p. */
static int make_directory(const char *path)
{
    char *copy = xstrdup(path);
    int failed = 0;
    for (char *slash = copy + 1; failed == 0 && (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        failed = mkdir(copy, 0700) != 0 && errno != EEXIST;
        *slash = '/';
    }
    if (failed || (mkdir(copy, 0700) != 0 && errno != EEXIST)) {
        perror(path);
        failed = 1;
    }
    free(copy);
    return failed ? -1 : 0;
}

/* Writes DIR/name atomically; takes `content`. */
static int write_file(const char *dir, const char *name, char *content)
{
    char *path = format_text("%s/%s", dir, name);
    char *temporary = format_text("%s/.%s.new", dir, name);
    FILE *stream = fopen(temporary, "we");
    int failed = stream == NULL || fputs(content, stream) == EOF;
    if (stream != NULL && fclose(stream) != 0)
        failed = 1;
    if (failed || rename(temporary, path) != 0) {
        perror(path);
        failed = 1;
    }
    free(content);
    free(temporary);
    free(path);
    return failed ? -1 : 0;
}

static int write_files(const struct emulator *emulator, const struct options *options,
                       const struct tls_identity *identity)
{
    unsigned port = emulator->tls_port;
    const char *dir = options->dir;
    char *ca = base64_encode(identity->ca_pem, strlen(identity->ca_pem));
    char *kubeconfig = format_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: emulator\n"
        "contexts:\n- name: emulator\n  context:\n    cluster: emulator\n    user: emulator\n"
        "clusters:\n- name: emulator\n  cluster:\n    server: https://localhost:%u\n    certificate-authority-data: %s\n"
        "users:\n- name: emulator\n  user:\n    token: %s\n",
        port, ca, emulator->kube_token);
    free(ca);
    char *cloud = format_text(
        "{\"name\":\"AzureStackCloud\",\"activeDirectoryEndpoint\":\"%s/\",\"keyVaultEndpoint\":\"%s/\",\"keyVaultDNSSuffix\":\"%s\",\"managedHSMEndpoint\":\"%s/\",\"managedHSMDNSSuffix\":\"%s\"}\n",
        emulator->login_url, emulator->resource, emulator->resource + strlen("https://"),
        emulator->hsm_resource, emulator->hsm_resource + strlen("https://"));
    char *remote = format_text(
        "{\"name\":\"AzureStackCloud\",\"activeDirectoryEndpoint\":\"https://" REMOTE_LOGIN_HOST
        ":%u/\",\"keyVaultEndpoint\":\"%s/\",\"keyVaultDNSSuffix\":\"" REMOTE_VAULT_SUFFIX ":%u\"}\n",
        port, emulator->resource, port);
    char *ports =
        format_text("{\"tls\":%u,\"control\":%u,\"node\":%u,\"pid\":%ld}\n", port,
                    (unsigned)emulator->control_port, (unsigned)emulator->node_port, (long)getpid());
    int failed = write_file(dir, "ca.pem", xstrdup(identity->ca_pem));
    failed |= write_file(dir, "kubeconfig", kubeconfig);
    failed |= write_file(dir, "cloud.json", cloud);
    failed |= write_file(dir, "cloud-remote.json", remote);
    failed |= write_file(dir, "ports.json", ports);
    if (options->demo)
        failed |= write_file(dir, "demo.json",
                             xstrdup("{\"tenant\":\"" DEMO_TENANT "\",\"client_id\":\"" DEMO_CLIENT_ID
                                     "\",\"client_secret\":\"" DEMO_CLIENT_SECRET "\",\"vault\":\"" DEMO_VAULT
                                     "\"}\n"));
    return failed != 0 ? -1 : write_file(dir, "ready", xstrdup("ready\n"));
}

/* ---- content ---- */

static void demo_call(struct emulator *emulator, const char *method, const char *path, const char *body)
{
    struct response response = {0};
    struct url url;
    cJSON *json = cJSON_Parse(body);
    if (url_parse(&url, path) == 0)
        control_call(emulator, method, &url, json, &response);
    if (response.status != 200)
        abort(); /* these texts are ours */
    cJSON_Delete(json);
    url_finish(&url);
    response_finish(&response);
}

static void load_demo(struct emulator *emulator)
{
    demo_call(emulator, "POST", "/entra/apps",
              "{\"tenant\":\"" DEMO_TENANT "\",\"client_id\":\"" DEMO_CLIENT_ID
              "\",\"client_secret\":\"" DEMO_CLIENT_SECRET "\"}");
    demo_call(emulator, "PUT", "/vaults/" DEMO_VAULT, "{\"tenant\":\"" DEMO_TENANT "\"}");
    demo_call(emulator, "PUT", "/vaults/" DEMO_VAULT "/policies",
              "{\"client_id\":\"" DEMO_CLIENT_ID "\",\"permissions\":[\"get\"]}");
    demo_call(emulator, "PUT", "/vaults/" DEMO_VAULT "/secrets/secret1",
              "{\"value\":\"hello from the vault\"}");
    demo_call(emulator, "PUT", "/vaults/" DEMO_VAULT "/secrets/secret2",
              "{\"value\":\"second secret\",\"contentType\":\"text/plain\"}");
}

/* ---- life ---- */

static void emulator_finish(struct emulator *emulator)
{
    kube_store_destroy(emulator->kube);
    vault_store_destroy(emulator->vaults);
    tokens_destroy(emulator->tokens);
    entra_destroy(emulator->entra);
    imds_destroy(emulator->imds);
    nmi_destroy(emulator->nmi);
    counters_destroy(emulator->counters);
    faults_destroy(emulator->faults);
    limits_destroy(emulator->limits);
    connections_destroy(emulator->connections);
    free(emulator->login_url);
    free(emulator->resource);
    free(emulator->hsm_resource);
    free(emulator->kube_token);
    (void)pthread_mutex_destroy(&emulator->lock);
}

/* All state, empty. The ports are known. */
static void emulator_init(struct emulator *emulator)
{
    char token[65];
    random_hex(token, sizeof(token) - 1);
    (void)pthread_mutex_init(&emulator->lock, NULL);
    emulator->login_url = format_text("https://login.%s:%u", emulator->domain, emulator->tls_port);
    emulator->resource = format_text("https://vault.%s:%u", emulator->domain, emulator->tls_port);
    emulator->hsm_resource = format_text("https://managedhsm.%s:%u", emulator->domain, emulator->tls_port);
    emulator->kube_token = xstrdup(token);
    emulator->faults = faults_create();
    emulator->limits = limits_create();
    emulator->connections = connections_create();
    emulator->counters = counters_create();
    emulator->entra = entra_create();
    emulator->imds = imds_create();
    emulator->nmi = nmi_create();
    emulator->tokens = tokens_create();
    emulator->vaults = vault_store_create(emulator->domain, emulator->tls_port);
    emulator->kube = kube_store_create();
}

/* Serves until a signal arrives. */
static int serve(struct emulator *emulator, const struct options *options, const int fds[static SERVER_PORTS],
                 const struct tls_identity *identity, const sigset_t *signals)
{
    struct server *server = server_start(emulator, fds, identity);
    int status = 1;
    if (server == NULL)
        return 1;
    (void)pthread_mutex_lock(&emulator->lock);
    emulator->server = server;
    (void)pthread_mutex_unlock(&emulator->lock);
    if (write_files(emulator, options, identity) == 0) {
        int signal_number;
        (void)printf("ready tls=%u control=%u\n", emulator->tls_port, emulator->control_port);
        (void)fflush(stdout);
        (void)sigwait(signals, &signal_number);
        status = 0;
    }
    (void)pthread_mutex_lock(&emulator->lock);
    emulator->server = NULL;
    (void)pthread_mutex_unlock(&emulator->lock);
    parking_close(emulator->parking);
    server_stop(server);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {.address = "127.0.0.1", .domain = "localhost", .http = default_http};
    struct emulator emulator = {0};
    struct tls_identity identity;
    sigset_t signals;
    int parsed = parse_options(argc, argv, &options);
    if (parsed != 0)
        return parsed > 0 ? 0 : 2;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* inherited by all threads; main() waits for them */
    (void)signal(SIGPIPE, SIG_IGN);
    random_seed();
    emulator.verbose = options.verbose;
    emulator.domain = options.domain;
    emulator.tls12 = options.tls12;
    emulator.http = emulator.http_defaults = options.http;

    if (make_directory(options.dir) != 0)
        return 1;
    char *ready = format_text("%s/ready", options.dir);
    (void)unlink(ready); /* of an earlier run */
    free(ready);
    int fds[SERVER_PORTS];
    fds[0] = server_listen(options.address, options.port, &emulator.tls_port);
    fds[1] = fds[0] < 0 ? -1 : server_listen("127.0.0.1", options.control_port, &emulator.control_port);
    fds[2] = fds[1] < 0 ? -1 : server_listen("127.0.0.1", options.node_port, &emulator.node_port);
    emulator.parking =
        fds[2] < 0 || tls_identity_create(&identity, options.domain) != 0 ? NULL : parking_create();
    if (emulator.parking == NULL)
        return 1;
    emulator_init(&emulator);
    if (options.demo)
        load_demo(&emulator);
    int status = 1;
    if (options.fixture == NULL || control_load_fixture(&emulator, options.fixture) == 0)
        status = serve(&emulator, &options, fds, &identity, &signals);
    parking_destroy(emulator.parking);
    emulator_finish(&emulator);
    tls_identity_finish(&identity);
    return status;
}
