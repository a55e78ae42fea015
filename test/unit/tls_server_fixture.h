/*
 * tls_server_fixture.h - for tests: nghttpd, a server with TLS and HTTP/2, beside the server of
 * http_client_fixture.h.
 */
#ifndef TEST_UNIT_TLS_SERVER_FIXTURE_H
#define TEST_UNIT_TLS_SERVER_FIXTURE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "test/unit/http_client_fixture.h"

static struct {
    char dir[64]; /* what it serves, and its certificate */
    char ca[96];
    pid_t pid;
    unsigned port;
} tls;

static inline void run_and_wait(const char *const *argv)
{
    int status = 0;
    pid_t pid = start(argv, -1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline int connect_loopback(unsigned port)
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
static inline unsigned free_port(void)
{
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static inline void start_nghttpd(void)
{
    char key[96];
    char port[16];
    (void)snprintf(key, sizeof(key), "%s/key.pem", tls.dir);
    (void)snprintf(tls.ca, sizeof(tls.ca), "%s/cert.pem", tls.dir);
    run_and_wait((const char *const[]){"/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                                       "-days", "2", "-subj", "/CN=loop.test", "-addext",
                                       "subjectAltName=DNS:loop.test,DNS:localhost,DNS:a.localhost",
                                       "-keyout", key, "-out", tls.ca, NULL});
    tls.port = free_port();
    (void)snprintf(port, sizeof(port), "%u", tls.port);
    tls.pid = start(
        (const char *const[]){"/usr/sbin/nghttpd", "-a", "127.0.0.1", "-d", tls.dir, port, key, tls.ca, NULL},
        -1);
    int fd = -1;
    for (int i = 0; i < 500 && (fd = connect_loopback(tls.port)) < 0; i++)
        (void)usleep(10000); /* nghttpd does not report when it is ready */
    assert_true(fd >= 0);
    (void)close(fd);
}

static inline int start_servers(void **state)
{
    assert_int_equal(start_server(state), 0);
    (void)snprintf(tls.dir, sizeof(tls.dir), "%s", "/tmp/test_http_client.XXXXXX");
    assert_non_null(mkdtemp(tls.dir));
    start_nghttpd();
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/hello", tls.dir);
    FILE *file = fopen(path, "we");
    (void)fputs("hello over tls", file);
    return fclose(file);
}

static inline int stop_servers(void **state)
{
    static const char *const names[] = {"hello", "key.pem", "cert.pem"};
    (void)kill(tls.pid, SIGKILL);
    (void)waitpid(tls.pid, NULL, 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), "%s/%s", tls.dir, names[i]);
        (void)unlink(path);
    }
    return stop_server(state) == 0 ? rmdir(tls.dir) : -1;
}

#endif
