/*
 * floor_get.c - the floor of a secret: one HTTPS GET on a kept connection, with the TLS library that the
 * programs have and nothing around it.
 *
 *   floor-get CA_FILE HOST PORT TOKEN_PATH TOKEN_BODY GET_PATH ROUNDS HANDSHAKES
 *
 * libcurl connects and then only passes bytes to the TLS library (CURLOPT_CONNECT_ONLY); the requests are
 * fixed texts. A bearer token comes first: a POST of TOKEN_BODY to TOKEN_PATH of login.localhost:PORT. HOST
 * is looked for on 127.0.0.1. Prints CPU time and time of a GET, and of a connection with its full handshake,
 * in microseconds: "cpu_us=... wall_us=... handshake_cpu_us=... handshake_wall_us=...".
 */
#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/bench/floor_clock.h"

enum { RESPONSE_BYTES = 64 * 1024, REQUEST_BYTES = 16 * 1024, TOKEN_BYTES = 8 * 1024 };

struct exchange {
    char request[REQUEST_BYTES];
    char response[RESPONSE_BYTES];
    size_t len;
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "floor-get: %s\n", what);
    exit(1);
}

static void check(CURLcode code, const char *what)
{
    if (code == CURLE_OK)
        return;
    (void)fprintf(stderr, "floor-get: %s: %s\n", what, curl_easy_strerror(code));
    exit(1);
}

static CURL *connect_to(const char *ca_file, const char *host, const char *port)
{
    char url[512];
    char resolve[512];
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        fail("no memory");
    (void)snprintf(url, sizeof(url), "https://%s:%s/", host, port);
    (void)snprintf(resolve, sizeof(resolve), "%s:%s:127.0.0.1", host, port);
    struct curl_slist *addresses = curl_slist_append(NULL, resolve);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_RESOLVE, addresses);
    (void)curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    check(curl_easy_perform(curl), "connect");
    curl_slist_free_all(addresses);
    return curl;
}

static void send_all(CURL *curl, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(curl, bytes, len, &sent);
        if (code != CURLE_AGAIN)
            check(code, "send");
        bytes += sent;
        len -= sent;
    }
}

/* Whether header and body, whose length is announced, are there. */
static int is_complete(const struct exchange *exchange)
{
    const char *body = strstr(exchange->response, "\r\n\r\n");
    const char *length = strstr(exchange->response, "ontent-Length: ");
    if (body == NULL)
        return 0;
    if (length == NULL || length > body)
        fail("the response has no length");
    return exchange->len >=
           (size_t)(body + 4 - exchange->response) + strtoul(length + strlen("ontent-Length: "), NULL, 10);
}

static void run(CURL *curl, struct exchange *exchange)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    check(curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd), "socket");
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    send_all(curl, exchange->request, strlen(exchange->request));
    for (exchange->len = 0; exchange->len == 0 || !is_complete(exchange);) {
        size_t n = 0;
        CURLcode code =
            curl_easy_recv(curl, exchange->response + exchange->len, RESPONSE_BYTES - 1 - exchange->len, &n);
        if (code == CURLE_AGAIN) {
            (void)poll(&readable, 1, -1);
            continue;
        }
        check(code, "receive");
        if (n == 0)
            fail("the connection ended");
        exchange->len += n;
        exchange->response[exchange->len] = '\0';
    }
    if (strncmp(exchange->response, "HTTP/1.1 200", 12) != 0)
        fail(exchange->response);
}

static void get_token(CURL *curl, const char *path, const char *body, char token[static TOKEN_BYTES])
{
    static const char key[] = "\"access_token\":\"";
    static struct exchange exchange;
    (void)snprintf(exchange.request, sizeof(exchange.request),
                   "POST %s HTTP/1.1\r\nHost: login.localhost\r\nContent-Type: "
                   "application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s",
                   path, strlen(body), body);
    run(curl, &exchange);
    const char *value = strstr(exchange.response, key);
    if (value == NULL)
        fail("the response has no token");
    value += sizeof(key) - 1;
    (void)snprintf(token, TOKEN_BYTES, "%.*s", (int)strcspn(value, "\""), value);
}

int main(int argc, char **argv)
{
    static struct exchange exchange;
    char token[TOKEN_BYTES];
    if (argc != 9) {
        (void)fputs("usage: floor-get CA_FILE HOST PORT TOKEN_PATH TOKEN_BODY GET_PATH ROUNDS HANDSHAKES\n",
                    stderr);
        return 2;
    }
    long rounds = strtol(argv[7], NULL, 10);
    long handshakes = strtol(argv[8], NULL, 10);
    check(curl_global_init(CURL_GLOBAL_DEFAULT), "libcurl");
    CURL *login = connect_to(argv[1], "login.localhost", argv[3]);
    get_token(login, argv[4], argv[5], token);
    curl_easy_cleanup(login);

    CURL *vault = connect_to(argv[1], argv[2], argv[3]);
    (void)snprintf(exchange.request, sizeof(exchange.request),
                   "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", argv[6], argv[2],
                   token);
    run(vault, &exchange);
    double cpu = cpu_us();
    double wall = wall_us();
    for (long i = 0; i < rounds; i++)
        run(vault, &exchange);
    (void)printf("cpu_us=%.1f wall_us=%.1f", (cpu_us() - cpu) / (double)rounds,
                 (wall_us() - wall) / (double)rounds);
    curl_easy_cleanup(vault);

    cpu = cpu_us();
    wall = wall_us();
    for (long i = 0; i < handshakes; i++)
        curl_easy_cleanup(connect_to(argv[1], argv[2], argv[3]));
    (void)printf(" handshake_cpu_us=%.1f handshake_wall_us=%.1f\n", (cpu_us() - cpu) / (double)handshakes,
                 (wall_us() - wall) / (double)handshakes);
    curl_global_cleanup();
    return 0;
}
