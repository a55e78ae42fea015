/*
 * test_http_client.c - the HTTP client against independent servers: Python's http.server with misbehaviour on
 * demand, a CONNECT proxy, and nghttpd for TLS and HTTP/2, each started in a temporary directory with a
 * certificate made there by openssl.
 *
 * getaddrinfo() is replaced in this program, so that names can hang, fail and be counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/http/client.h"
#include "common/secret.h"

/* A name server of our own */

static sem_t hang_until;
static atomic_int lookups;

static struct addrinfo *loopback_address(void)
{
    struct addrinfo *ai = calloc(1, sizeof(*ai) + sizeof(struct sockaddr_in));
    assert_non_null(ai);
    struct sockaddr_in *address = (struct sockaddr_in *)(void *)(ai + 1);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ai->ai_family = AF_INET;
    ai->ai_socktype = SOCK_STREAM;
    ai->ai_addr = (struct sockaddr *)address;
    ai->ai_addrlen = sizeof(*address);
    return ai;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    (void)service;
    (void)hints;
    atomic_fetch_add(&lookups, 1);
    if (strcmp(node, "hang.test") == 0) {
        while (sem_wait(&hang_until) != 0)
            ;
        return EAI_AGAIN;
    }
    if (strcmp(node, "loop.test") != 0)
        return EAI_NONAME;
    *list = loopback_address();
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

/* Servers */

static const char SERVER_PY[] =
    "import http.server, socket, socketserver, struct, sys, threading, time\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    protocol_version = 'HTTP/1.1'\n"
    "    def log_message(self, *a): pass\n"
    "    def body(self, b, status=200, headers=()):\n"
    "        self.send_response(status)\n"
    "        for k, v in headers: self.send_header(k, v)\n"
    "        self.send_header('Content-Length', str(len(b))); self.end_headers(); self.wfile.write(b)\n"
    "    def chunk(self, b): self.wfile.write(b'%x\\r\\n%s\\r\\n' % (len(b), b)); self.wfile.flush()\n"
    "    def do_GET(self):\n"
    "        p = self.path.split('?')[0]\n"
    "        if p == '/hello': self.body(b'hello')\n"
    "        elif p == '/headers': self.body(str(self.headers).encode())\n"
    "        elif p == '/status': self.body(b'gone', 410, [('X-Why', 'test'), ('Retry-After', '3')])\n"
    "        elif p == '/redirect': self.body(b'', 302, [('Location', '/hello')])\n"
    "        elif p == '/slow': time.sleep(3)\n"
    "        elif p == '/big': self.body(b'x' * 100000)\n"
    "        elif p == '/bigchunks':\n"
    "            self.send_response(200); self.send_header('Transfer-Encoding', 'chunked'); "
    "self.end_headers()\n"
    "            try:\n"
    "                while True: self.chunk(b'x' * 1000)\n"
    "            except OSError: pass\n"
    "            self.close_connection = True\n"
    "        elif p == '/truncated':\n"
    "            self.send_response(200); self.send_header('Content-Length', '100'); self.end_headers()\n"
    "            self.wfile.write(b'half'); self.close_connection = True\n"
    "        elif p == '/reset':\n"
    "            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
    "            self.connection.close(); self.close_connection = True\n"
    "        elif p == '/garbage': self.wfile.write(b'\\x00\\x01garbage\\r\\n\\r\\n'); self.close_connection "
    "= True\n"
    "        elif p == '/manyheaders': self.body(b'', 200, [('X-%d' % i, 'v') for i in range(99)] * 2)\n"
    "        elif p == '/stream' or p == '/stall':\n"
    "            self.send_response(200); self.send_header('Transfer-Encoding', 'chunked'); "
    "self.end_headers()\n"
    "            for i in range(3): self.chunk(b'event%d\\n' % i)\n"
    "            if p == '/stall': time.sleep(3)\n"
    "            self.wfile.write(b'0\\r\\n\\r\\n')\n"
    "        else: self.body(b'nothing here', 404)\n"
    "    do_DELETE = do_GET\n"
    "    def do_POST(self):\n"
    "        n = int(self.headers.get('Content-Length', '0'))\n"
    "        self.body(self.command.encode() + b' ' + str(self.headers.get('Content-Type')).encode() + b' ' "
    "+ self.rfile.read(n))\n"
    "    do_PUT = do_POST; do_PATCH = do_POST\n"
    "    def do_CONNECT(self):\n"
    "        if 'refuse' in self.path:\n"
    "            self.body(b'no', 407); self.close_connection = True; return\n"
    "        host, port = self.path.rsplit(':', 1)\n"
    "        up = socket.create_connection(('127.0.0.1', int(port)))\n"
    "        self.connection.sendall(b'HTTP/1.1 200 ok\\r\\nX-Proxy: yes\\r\\n\\r\\n')\n"
    "        def pump(a, b):\n"
    "            try:\n"
    "                while True:\n"
    "                    d = a.recv(65536)\n"
    "                    if not d: break\n"
    "                    b.sendall(d)\n"
    "            except OSError: pass\n"
    "            try: b.shutdown(socket.SHUT_WR)\n"
    "            except OSError: pass\n"
    "        t = threading.Thread(target=pump, args=(up, self.connection)); t.start()\n"
    "        pump(self.connection, up); t.join(); self.close_connection = True\n"
    "class S(socketserver.ThreadingMixIn, http.server.HTTPServer):\n"
    "    daemon_threads = True; request_queue_size = 256\n"
    "    def handle_error(self, *a): pass\n"
    "s = S(('127.0.0.1', 0), H)\n"
    "print(s.server_address[1], flush=True)\n"
    "s.serve_forever()\n";

static struct {
    char dir[64];
    pid_t python, nghttpd;
    unsigned port;     /* python: HTTP/1.1 and CONNECT proxy */
    unsigned tls_port; /* nghttpd: TLS, HTTP/2 */
    char ca[96];
} servers;

static pid_t start(const char *const *argv, int stdout_fd)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        union {
            const char *const *in;
            char *const *out;
        } args = {.in = argv};
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)dup2(stdout_fd >= 0 ? stdout_fd : null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)execv(argv[0], args.out);
        _exit(127);
    }
    return pid;
}

static void run_and_wait(const char *const *argv)
{
    int status = 0;
    pid_t pid = start(argv, -1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int connect_loopback(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* A port that nobody listens on: bound once by the kernel's choice and released. */
static unsigned free_port(void)
{
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void start_nghttpd(void)
{
    char key[96];
    char port[16];
    (void)snprintf(key, sizeof(key), "%s/key.pem", servers.dir);
    (void)snprintf(servers.ca, sizeof(servers.ca), "%s/cert.pem", servers.dir);
    run_and_wait((const char *const[]){"/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                                       "-days", "2", "-subj", "/CN=loop.test", "-addext",
                                       "subjectAltName=DNS:loop.test,DNS:localhost,DNS:a.localhost",
                                       "-keyout", key, "-out", servers.ca, NULL});
    servers.tls_port = free_port();
    (void)snprintf(port, sizeof(port), "%u", servers.tls_port);
    servers.nghttpd = start((const char *const[]){"/usr/sbin/nghttpd", "-a", "127.0.0.1", "-d", servers.dir,
                                                  port, key, servers.ca, NULL},
                            -1);
    int fd = -1;
    for (int i = 0; i < 500 && (fd = connect_loopback(servers.tls_port)) < 0; i++)
        (void)usleep(10000); /* nghttpd tells nobody when it is ready */
    assert_true(fd >= 0);
    (void)close(fd);
}

static int start_servers(void **state)
{
    (void)state;
    assert_int_equal(sem_init(&hang_until, 0, 0), 0);
    assert_int_equal(http_library_init(NULL), 0);
    (void)snprintf(servers.dir, sizeof(servers.dir), "%s", "/tmp/test_http_client.XXXXXX");
    assert_non_null(mkdtemp(servers.dir));
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    servers.python = start((const char *const[]){"/usr/bin/python3", "-c", SERVER_PY, NULL}, pipe_fds[1]);
    (void)close(pipe_fds[1]);
    FILE *out = fdopen(pipe_fds[0], "r");
    assert_int_equal(fscanf(out, "%u", &servers.port), 1);
    (void)fclose(out);
    start_nghttpd();
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/hello", servers.dir);
    FILE *file = fopen(path, "we");
    (void)fputs("hello over tls", file);
    return fclose(file);
}

static int stop_servers(void **state)
{
    (void)state;
    static const char *const names[] = {"hello", "key.pem", "cert.pem"};
    (void)kill(servers.python, SIGKILL);
    (void)kill(servers.nghttpd, SIGKILL);
    (void)waitpid(servers.python, NULL, 0);
    (void)waitpid(servers.nghttpd, NULL, 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), "%s/%s", servers.dir, names[i]);
        (void)unlink(path);
    }
    return rmdir(servers.dir);
}

/* One client on one loop, and the outcomes of its calls */

struct outcome {
    int calls; /* how often the callback ran */
    int status;
    char body[4096];
    size_t body_len;
    char why[64];
    int64_t retry_after_ms;
    bool new_connection;
    enum http_hop hop;
    enum grpc_status code;
    char message[512];
    char data[256]; /* on_data */
    struct http_call *call;
    bool cancel_in_data;
    bool destroy_in_data;
    struct fixture *fixture;
};

struct fixture {
    uv_loop_t loop;
    struct http_client *client;
};

static void open_client(struct fixture *f, const struct http_client_config *config)
{
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->client = http_client_create(&f->loop, config, NULL);
    assert_non_null(f->client);
}

static void close_client(struct fixture *f)
{
    http_client_destroy(f->client);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void on_outcome(struct http_response *response, enum http_hop hop, const struct error *error,
                       void *arg)
{
    struct outcome *o = arg;
    o->calls++;
    o->call = NULL;
    o->hop = hop;
    o->code = error_code(error);
    (void)snprintf(o->message, sizeof(o->message), "%s", error_message(error));
    assert_true((response == NULL) == (error != NULL));
    if (response == NULL)
        return;
    o->status = response->status;
    o->body_len = response->body.len;
    (void)snprintf(o->body, sizeof(o->body), "%s", buffer_str(&response->body));
    const char *why = http_response_header(response, "x-why");
    (void)snprintf(o->why, sizeof(o->why), "%s", why != NULL ? why : "");
    o->retry_after_ms = http_retry_after_ms(response, 0);
    o->new_connection = response->new_connection;
}

static void on_data(const void *bytes, size_t len, void *arg)
{
    struct outcome *o = arg;
    size_t used = strlen(o->data);
    assert_true(used + len < sizeof(o->data));
    memcpy(o->data + used, bytes, len);
    if (o->cancel_in_data && o->call != NULL)
        http_call_cancel(&o->call);
    if (o->destroy_in_data && o->fixture->client != NULL)
        http_client_destroy(steal_ptr(&o->fixture->client));
}

static const char *url(char *out, size_t size, const char *scheme, const char *host, unsigned port,
                       const char *path)
{
    (void)snprintf(out, size, "%s://%s:%u%s", scheme, host, port, path);
    return out;
}

/* Runs until every outcome has been told. */
static void wait_for(struct fixture *f, const struct outcome *outcomes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while (outcomes[i].calls == 0)
            (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static struct outcome fetch(struct fixture *f, struct http_request request)
{
    struct outcome o = {0};
    if (request.method == NULL)
        request.method = "GET";
    if (request.timeout_ms == 0)
        request.timeout_ms = 20000;
    o.call = http_call_start(f->client, &request, on_outcome, &o, NULL);
    assert_non_null(o.call);
    assert_int_equal(o.calls, 0);
    wait_for(f, &o, 1);
    assert_int_equal(o.calls, 1);
    return o;
}

static struct outcome get_path(struct fixture *f, const char *path)
{
    char text[256];
    return fetch(
        f, (struct http_request){.url = url(text, sizeof(text), "http", "127.0.0.1", servers.port, path)});
}

static const struct http_client_config PLAIN = {.user_agent = "test/1"};

static void any_status_is_a_response_with_headers(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    struct outcome o = get_path(&f, "/hello");
    assert_int_equal(o.status, 200);
    assert_string_equal(o.body, "hello");
    o = get_path(&f, "/status");
    assert_int_equal(o.status, 410);
    assert_string_equal(o.body, "gone");
    assert_string_equal(o.why, "test");
    assert_int_equal(o.retry_after_ms, 3000);
    o = get_path(&f, "/redirect");
    assert_int_equal(o.status, 302); /* not followed */
    close_client(&f);
}

static void connections_are_kept_and_closed_when_broken(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    assert_true(get_path(&f, "/hello").new_connection);
    assert_false(get_path(&f, "/hello").new_connection);
    (void)get_path(&f, "/reset");
    assert_true(get_path(&f, "/hello").new_connection);
    close_client(&f);
}

static void requests_carry_what_was_asked_and_nothing_more(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    char text[256];
    static const char *const headers[] = {"X-Mine: 1", NULL};
    struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "127.0.0.1",
                                                                  servers.port, "/headers"),
                                                       .headers = headers,
                                                       .bearer_token = "token"});
    assert_non_null(strstr(o.body, "X-Mine: 1"));
    assert_non_null(strstr(o.body, "Authorization: Bearer token"));
    assert_non_null(strstr(o.body, "User-Agent: test/1"));
    assert_null(strstr(o.body, "Content-Type"));
    static const char *const methods[] = {"POST", "PUT", "PATCH"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        char expected[64];
        o = fetch(
            &f, (struct http_request){.method = methods[i],
                                      .url = url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/"),
                                      .headers = (const char *const[]){"Content-Type: a/b", NULL},
                                      .body = "a=b",
                                      .body_len = 3});
        (void)snprintf(expected, sizeof(expected), "%s a/b a=b", methods[i]);
        assert_string_equal(o.body, expected);
    }
    o = fetch(&f,
              (struct http_request){.method = "POST",
                                    .url = url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/")});
    assert_string_equal(o.body, "POST None ");
    close_client(&f);
}

static void misbehaving_servers_give_named_errors(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum grpc_status code;
        enum http_hop hop;
        const char *message;
    } cases[] = {
        {"/truncated?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "answer of 127.0.0.1 broke off"},
        {"/reset?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "no answer from 127.0.0.1"},
        {"/garbage?q=canary", GRPC_STATUS_UNAVAILABLE, HTTP_HOP_RECEIVE, "no answer from 127.0.0.1"},
        {"/manyheaders?q=canary", GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_HOP_RECEIVE, "too large a header"},
        {"/big?q=canary", GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_HOP_RECEIVE, "is larger than 1000 bytes"},
        {"/bigchunks?q=canary", GRPC_STATUS_RESOURCE_EXHAUSTED, HTTP_HOP_RECEIVE,
         "is larger than 1000 bytes"},
        {"/slow?q=canary", GRPC_STATUS_DEADLINE_EXCEEDED, HTTP_HOP_TIMEOUT,
         "no answer from 127.0.0.1 within 300 ms"},
        {"/stall?q=canary", GRPC_STATUS_DEADLINE_EXCEEDED, HTTP_HOP_TIMEOUT, "not complete within 300 ms"},
    };
    struct fixture f;
    open_client(&f, &PLAIN);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[256];
        struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "127.0.0.1",
                                                                      servers.port, cases[i].path),
                                                           .max_response_bytes = 1000,
                                                           .timeout_ms = i < 6 ? 20000 : 300});
        assert_non_null(strstr(o.message, cases[i].message));
        assert_null(strstr(o.message, "canary"));
        assert_int_equal(o.code, cases[i].code);
        assert_int_equal(o.hop, cases[i].hop);
    }
    close_client(&f);
}

static void an_unreachable_port_and_an_unknown_name_are_told_apart(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    char text[256];
    char expected[128];
    unsigned port = free_port();
    struct outcome o =
        fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "loop.test", port, "/")});
    (void)snprintf(expected, sizeof(expected), "connect to loop.test:%u: Connection refused", port);
    assert_string_equal(o.message, expected);
    assert_int_equal(o.hop, HTTP_HOP_CONNECT);
    o = fetch(&f, (struct http_request){.url = "https://nowhere.test/secret?x=canary"});
    assert_non_null(strstr(o.message, "DNS lookup of 'nowhere.test' failed: "));
    assert_int_equal(o.hop, HTTP_HOP_DNS);
    assert_int_equal(o.code, GRPC_STATUS_UNAVAILABLE);
    close_client(&f);
}

static void bad_requests_are_refused_at_the_start(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    static const char *const split_header[] = {"X: a\nY: b", NULL};
    const struct http_request cases[] = {
        {.method = "GET", .url = "ftp://host/x", .timeout_ms = 1000},
        {.method = "GET", .url = "https://", .timeout_ms = 1000},
        {.method = "GET", .url = "not a url", .timeout_ms = 1000},
        {.method = "GET", .url = "http://host/\r\nX: y", .timeout_ms = 1000},
        {.method = "G T", .url = "http://host/", .timeout_ms = 1000},
        {.method = "GET", .url = "http://host/", .timeout_ms = 1000, .bearer_token = "a\r\nX: y"},
        {.method = "GET", .url = "http://host/", .timeout_ms = 1000, .headers = split_header},
        {.method = "GET", .url = "http://host/", .timeout_ms = 1000, .proxy_url = "http://"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *error = NULL;
        assert_null(http_call_start(f.client, &cases[i], on_outcome, NULL, &error));
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    }
    close_client(&f);
}

static void streams_deliver_pieces_and_notice_a_stall(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    char text[256];
    struct http_request request = {.url =
                                       url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/stream"),
                                   .timeout_ms = UINT64_MAX,
                                   .on_data = on_data};
    struct outcome o = fetch(&f, request);
    assert_string_equal(o.data, "event0\nevent1\nevent2\n");
    assert_int_equal(o.body_len, 0);
    request.url = url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/stall");
    request.stall_timeout_ms = 200;
    o = fetch(&f, request);
    assert_string_equal(o.data, "event0\nevent1\nevent2\n");
    assert_string_equal(o.message, "no byte from 127.0.0.1 for 200 ms");
    request.url = url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/missing");
    o = fetch(&f, request);
    assert_int_equal(o.status, 404);
    assert_string_equal(o.body, "nothing here"); /* only 2xx bodies are streamed */
    close_client(&f);
}

static void a_call_may_be_cancelled_and_the_client_destroyed_from_on_data(void **state)
{
    (void)state;
    for (int destroy = 0; destroy <= 1; destroy++) {
        struct fixture f;
        open_client(&f, &PLAIN);
        char text[256];
        struct outcome o = {.cancel_in_data = destroy == 0, .destroy_in_data = destroy == 1, .fixture = &f};
        const struct http_request request = {
            .method = "GET",
            .url = url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/stall"),
            .timeout_ms = 20000,
            .on_data = on_data};
        o.call = http_call_start(f.client, &request, on_outcome, &o, NULL);
        assert_non_null(o.call);
        while (o.data[0] == '\0')
            (void)uv_run(&f.loop, UV_RUN_ONCE);
        close_client(&f);
        assert_int_equal(o.calls, 0);
    }
}

static void a_hanging_lookup_delays_neither_cancel_nor_deadline_and_is_joined(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    int before = atomic_load(&lookups);
    struct outcome o[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        const struct http_request request = {
            .method = "GET", .url = "https://hang.test/", .timeout_ms = i == 0 ? 100 : 60000};
        o[i].call = http_call_start(f.client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    /* A busy machine may take its time to start the worker; from here on it hangs in the lookup. */
    while (atomic_load(&lookups) == before)
        (void)usleep(1000);
    wait_for(&f, o, 1);
    assert_string_equal(o[0].message, "DNS lookup of 'hang.test' failed: no answer within 100 ms");
    assert_int_equal(o[0].code, GRPC_STATUS_DEADLINE_EXCEEDED);
    uint64_t start_ns = uv_hrtime();
    http_call_cancel(&o[1].call);
    assert_null(o[1].call);
    http_client_destroy(f.client); /* with a call still waiting */
    assert_true(uv_hrtime() - start_ns < 100000000);
    assert_int_equal(atomic_load(&lookups), before + 1);
    assert_int_equal(sem_post(&hang_until), 0);
    assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    assert_int_equal(o[1].calls + o[2].calls, 0);
}

static void names_are_looked_up_once_and_localhost_never(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    int before = atomic_load(&lookups);
    char text[256];
    for (int i = 0; i < 3; i++) {
        struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "loop.test",
                                                                      servers.port, "/hello")});
        assert_int_equal(o.status, 200);
    }
    assert_int_equal(atomic_load(&lookups), before + 1);
    struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "a.localhost",
                                                                  servers.port, "/hello")});
    assert_int_equal(o.status, 200);
    assert_int_equal(atomic_load(&lookups), before + 1);
    close_client(&f);
}

static void a_cancelled_connect_and_a_destroyed_client_call_nobody_back(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    struct outcome o[20] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        char text[256];
        const struct http_request request = {
            .method = "GET",
            .url = url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/slow"),
            .timeout_ms = 60000};
        o[i].call = http_call_start(f.client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    http_call_cancel(&o[0].call);
    (void)uv_run(&f.loop, UV_RUN_ONCE);
    http_call_cancel(&o[1].call);
    (void)uv_run(&f.loop, UV_RUN_ONCE);
    close_client(&f);
    for (size_t i = 0; i < ARRAY_SIZE(o); i++)
        assert_int_equal(o[i].calls, 0);
}

/* Runs 100 calls at once; returns how many connections they made. */
static int hundred_calls(struct fixture *f, const char *target, int status)
{
    static struct outcome o[100];
    memset(o, 0, sizeof(o));
    int made = 0;
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        const struct http_request request = {.method = "GET", .url = target, .timeout_ms = 20000};
        o[i].call = http_call_start(f->client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    wait_for(f, o, ARRAY_SIZE(o));
    for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].status, status);
        made += o[i].new_connection;
    }
    return made;
}

static void a_hundred_parallel_calls_use_a_bounded_number_of_connections(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    open_client(&f, &(const struct http_client_config){.max_connections_per_host = 8});
    int made = hundred_calls(&f, url(text, sizeof(text), "http", "127.0.0.1", servers.port, "/hello"), 200);
    assert_in_range(made, 1, 8);
    assert_int_equal(hundred_calls(&f, text, 200), 0);
    close_client(&f);
}

static void http2_shares_one_connection_even_in_the_first_burst(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    open_client(&f, &(const struct http_client_config){.ca_file = servers.ca});
    assert_int_equal(
        hundred_calls(&f, url(text, sizeof(text), "https", "loop.test", servers.tls_port, "/hello"), 200), 1);
    assert_int_equal(hundred_calls(&f, text, 200), 0);
    close_client(&f);
}

static void servers_are_trusted_only_by_the_given_authority_and_name(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    char peer[64];
    open_client(&f, &PLAIN);
    url(text, sizeof(text), "https", "loop.test", servers.tls_port, "/hello");
    struct outcome o = fetch(&f, (struct http_request){.url = text});
    assert_int_equal(o.hop, HTTP_HOP_TLS);
    assert_non_null(strstr(o.message, "TLS handshake with loop.test: "));
    o = fetch(&f, (struct http_request){.url = text, .ca_file = servers.ca});
    assert_string_equal(o.body, "hello over tls");
    o = fetch(&f, (struct http_request){.url = text, .insecure_skip_verify = true});
    assert_int_equal(o.status, 200);

    char pem[8192];
    cleanup_file FILE *file = fopen(servers.ca, "re");
    size_t len = fread(pem, 1, sizeof(pem), file);
    o = fetch(&f, (struct http_request){.url = text, .ca_blob = pem, .ca_blob_len = len});
    assert_int_equal(o.status, 200);

    /* The name of the URL counts for TLS, the other address for the socket; no lookup of the name is needed.
     */
    (void)snprintf(peer, sizeof(peer), "127.0.0.1:%u", servers.tls_port);
    o = fetch(&f, (struct http_request){
                      .url = "https://a.localhost/hello", .connect_to = peer, .ca_file = servers.ca});
    assert_int_equal(o.status, 200);
    o = fetch(&f, (struct http_request){
                      .url = "https://other.test/hello", .connect_to = peer, .ca_file = servers.ca});
    assert_int_equal(o.hop, HTTP_HOP_TLS);
    close_client(&f);
}

static void https_goes_through_a_tunnel_of_the_proxy(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    char proxy[128];
    url(proxy, sizeof(proxy), "http", "user:canary@loop.test", servers.port, "");
    assert_int_equal(setenv("HTTPS_PROXY", proxy, 1), 0);
    assert_int_equal(setenv("NO_PROXY", "direct.test", 1), 0);
    open_client(&f, &(const struct http_client_config){.ca_file = servers.ca});
    (void)unsetenv("HTTPS_PROXY"); /* read once */
    (void)unsetenv("NO_PROXY");
    struct http_request request = {
        .url = url(text, sizeof(text), "https", "loop.test", servers.tls_port, "/hello"),
        .proxy = HTTP_PROXY_ENVIRONMENT};
    struct outcome o = fetch(&f, request);
    assert_string_equal(o.body, "hello over tls");

    request.url = "https://refuse.test/x?q=canary"; /* the proxy says 407; the name is not looked up here */
    o = fetch(&f, request);
    assert_int_equal(o.hop, HTTP_HOP_PROXY);
    assert_non_null(strstr(o.message, "refused a tunnel to refuse.test:443: HTTP status 407"));
    assert_null(strstr(o.message, "canary"));

    request.url = "https://direct.test/";
    o = fetch(&f, request);
    assert_int_equal(o.hop, HTTP_HOP_DNS);
    assert_non_null(strstr(o.message, "'direct.test'"));

    char dead[64];
    request.proxy_url = url(dead, sizeof(dead), "http", "127.0.0.1", free_port(), "");
    o = fetch(&f, request);
    assert_int_equal(o.hop, HTTP_HOP_PROXY);
    assert_non_null(strstr(o.message, "connect to proxy 127.0.0.1:"));
    close_client(&f);
}

static void a_silent_tls_peer_fails_within_the_connect_timeout(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    open_client(&f, &(const struct http_client_config){.ca_file = servers.ca, .connect_timeout_ms = 200});
    struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "https", "loop.test",
                                                                  ntohs(address.sin_port), "/")});
    assert_int_equal(o.hop, HTTP_HOP_TLS);
    assert_int_equal(o.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(o.message, "TLS handshake with loop.test: not finished within 200 ms");
    /* Once its queue is full, Linux drops further connection requests: TCP itself hangs. */
    int filler[16];
    for (size_t i = 0; i < ARRAY_SIZE(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&address, sizeof(address));
    }
    o = fetch(&f, (struct http_request){.url = text});
    assert_int_equal(o.hop, HTTP_HOP_CONNECT);
    assert_int_equal(o.code, GRPC_STATUS_UNAVAILABLE);
    for (size_t i = 0; i < ARRAY_SIZE(filler); i++)
        (void)close(filler[i]);
    close_client(&f);
}

static void a_missing_ca_file_is_refused(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    cleanup_error struct error *error = NULL;
    assert_null(
        http_client_create(&loop, &(const struct http_client_config){.ca_file = "/nonexistent.pem"}, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_status_is_a_response_with_headers),
        cmocka_unit_test(connections_are_kept_and_closed_when_broken),
        cmocka_unit_test(requests_carry_what_was_asked_and_nothing_more),
        cmocka_unit_test(misbehaving_servers_give_named_errors),
        cmocka_unit_test(an_unreachable_port_and_an_unknown_name_are_told_apart),
        cmocka_unit_test(bad_requests_are_refused_at_the_start),
        cmocka_unit_test(streams_deliver_pieces_and_notice_a_stall),
        cmocka_unit_test(a_call_may_be_cancelled_and_the_client_destroyed_from_on_data),
        cmocka_unit_test(a_hanging_lookup_delays_neither_cancel_nor_deadline_and_is_joined),
        cmocka_unit_test(names_are_looked_up_once_and_localhost_never),
        cmocka_unit_test(a_cancelled_connect_and_a_destroyed_client_call_nobody_back),
        cmocka_unit_test(a_hundred_parallel_calls_use_a_bounded_number_of_connections),
        cmocka_unit_test(http2_shares_one_connection_even_in_the_first_burst),
        cmocka_unit_test(servers_are_trusted_only_by_the_given_authority_and_name),
        cmocka_unit_test(https_goes_through_a_tunnel_of_the_proxy),
        cmocka_unit_test(a_silent_tls_peer_fails_within_the_connect_timeout),
        cmocka_unit_test(a_missing_ca_file_is_refused),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
