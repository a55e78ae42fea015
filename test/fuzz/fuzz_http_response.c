/*
 * fuzz_http_response.c - bytes of a server against the HTTP client: status line, header fields, body, and
 * the texts for what is none of that. Over a socket of the loopback interface; each input is one connection.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http/client.h"
#include "test/fuzz/fuzz.h"

/* What a socket takes without the other side reading. */
enum { INPUT_MAX = 32 * 1024, RESPONSE_MAX = 8 * 1024 };

struct target {
    uv_loop_t loop;
    struct http_client *client;
    int listen_fd;
    char url[64];
    unsigned n_outcomes;
};

static struct target target = {.listen_fd = -1};

static void start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const struct http_client_config config = {.user_agent = "fuzz"};

    (void)signal(SIGPIPE, SIG_IGN);
    EXPECT(http_library_init(NULL) == 0 && uv_loop_init(&target.loop) == 0);
    target.client = http_client_create(&target.loop, &config, NULL);
    target.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    EXPECT(target.client != NULL && bind(target.listen_fd, (struct sockaddr *)&address, len) == 0);
    EXPECT(listen(target.listen_fd, 16) == 0);
    EXPECT(getsockname(target.listen_fd, (struct sockaddr *)&address, &len) == 0);
    (void)snprintf(target.url, sizeof(target.url), "http://127.0.0.1:%d/", ntohs(address.sin_port));
}

static void on_outcome(struct http_response *response, enum http_hop hop, const struct error *error,
                       void *arg)
{
    static const char *const names[] = {"retry-after", "WWW-Authenticate", "date", "x-ms-request-id", ""};

    (void)arg;
    target.n_outcomes++;
    EXPECT((response == NULL) == (error != NULL));
    if (response == NULL) {
        EXPECT(error_message(error)[0] != '\0' && error_code(error) != GRPC_STATUS_OK);
        return;
    }
    EXPECT(hop == HTTP_HOP_NONE && response->body.len <= RESPONSE_MAX);
    EXPECT(response->status >= 100 && response->status <= 599);
    EXPECT(http_retry_after_ms(response, 1700000000) >= -1);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = http_response_header(response, names[i]);

        EXPECT(value == NULL || *value == '\0' || value[strspn(value, "\r\n")] != '\0');
    }
}

/* Gives the input to every connection that the client makes, and resets it afterwards: a connection that is
 * closed in order would keep its port for a minute. */
static void serve(const uint8_t *data, size_t size)
{
    const struct linger reset = {.l_onoff = 1};
    int fd = -1;

    while (target.n_outcomes == 0) {
        int next = accept4(target.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (next != -1) {
            if (fd != -1)
                (void)close(fd);
            fd = next;
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
            (void)send(fd, data, size, MSG_NOSIGNAL);
            (void)shutdown(fd, SHUT_WR);
        }
        (void)uv_run(&target.loop, UV_RUN_NOWAIT);
    }
    if (fd != -1)
        (void)close(fd);
    for (int i = 0; i < 3; i++) /* the client notices */
        (void)uv_run(&target.loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request = {
        .method = "GET", .timeout_ms = 5000, .max_response_bytes = RESPONSE_MAX, .proxy = HTTP_PROXY_NONE};

    if (target.client == NULL)
        start();
    if (size > INPUT_MAX)
        return 0;
    request.url = target.url;
    target.n_outcomes = 0;
    EXPECT(http_call_start(target.client, &request, on_outcome, NULL, NULL) != NULL);
    serve(data, size);
    EXPECT(target.n_outcomes == 1);
    return 0;
}
