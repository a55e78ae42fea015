/*
 * lint_providers.c - one run of a provider's executable.
 *
 * The request and the response are in memory files: whatever the program reads and writes, and in which
 * order, neither side waits for the other. A limit of the file size bounds the response. An alarm bounds the
 * time, also when this program is gone; programs in Go ignore it, so this one ends them.
 */
#include "ctl/lint_providers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/secret.h"
#include "common/process/lifecycle.h"

#define PROGRAM_PREFIX "secrets-store-provider-"

enum { NAME_MAX_LEN = 30, STATUS_NOT_STARTED = 127, NS_PER_S = 1000000000 };

static bool is_name(const char *name, size_t len)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    return len > 0 && len <= NAME_MAX_LEN && strspn(name, valid) >= len;
}

int lint_providers_check_name(const char *name, struct error **err)
{
    if (is_name(name, strlen(name)))
        return 0;
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "invalid provider \"%.64s\": a name has 1 to %d letters, digits, '-' and '_'", name,
                     NAME_MAX_LEN);
}

int lint_providers_check(const struct word_list *given, struct error **err)
{
    for (size_t i = 0; i < given->n; i++) {
        const char *equals = strchr(given->words[i], '=');
        if (equals == NULL || equals[1] == '\0' ||
            !is_name(given->words[i], (size_t)(equals - given->words[i])))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--provider needs NAME=FILE, not '%s'",
                             given->words[i]);
    }
    return 0;
}

/* --- the executable --- */

static const char *find_given(const struct word_list *given, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = given->n; i > 0; i--) {
        const char *word = given->words[i - 1];
        if (strncmp(word, name, len) == 0 && word[len] == '=')
            return word + len + 1;
    }
    return NULL;
}

/* DIRECTORY/secrets-store-provider-NAME, if that can be run. */
static bool try_directory(const char *directory, size_t len, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%.*s/" PROGRAM_PREFIX "%s", (int)len, directory, name);

    return n > 0 && n < PATH_MAX && access(path, X_OK) == 0;
}

static bool find_beside(const char *name, char path[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len <= 0)
        return false;
    self[len] = '\0';
    const char *slash = strrchr(self, '/');
    return slash != NULL && try_directory(self, (size_t)(slash - self), name, path);
}

static bool find_in_path(const char *name, char path[PATH_MAX])
{
    const char *at = getenv("PATH");

    while (at != NULL) {
        size_t len = strcspn(at, ":");
        if (len > 0 && len < PATH_MAX && try_directory(at, len, name, path))
            return true;
        at = at[len] == ':' ? at + len + 1 : NULL;
    }
    return false;
}

/* There may be one with other letters: the driver takes the socket of exactly this name. */
static int not_found(const char *name, struct error **err)
{
    char lower[NAME_MAX_LEN + 1], path[PATH_MAX];

    (void)error_set(err, GRPC_STATUS_NOT_FOUND,
                    "there is no executable " PROGRAM_PREFIX
                    "%.64s beside this program or in PATH (--provider %.64s=FILE)",
                    name, name);
    (void)snprintf(lower, sizeof(lower), "%s", name);
    for (char *at = lower; *at != '\0'; at++)
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    if (strcmp(lower, name) != 0 && (find_beside(lower, path) || find_in_path(lower, path)))
        (void)error_hint(err, "there is one of provider %s; the case of a provider's name counts", lower);
    return -1;
}

static int find_program(const struct lint_providers *providers, const char *name, char path[PATH_MAX],
                        struct error **err)
{
    const char *given = providers != NULL ? find_given(providers->given, name) : NULL;

    if (given != NULL && strlen(given) < PATH_MAX) {
        (void)snprintf(path, PATH_MAX, "%s", given);
        return 0;
    }
    if (providers != NULL && (find_beside(name, path) || find_in_path(name, path)))
        return 0;
    return not_found(name, err);
}

/* --- the run --- */

/* In the child. Returns only when the program does not start. */
static void become_program(const char *path, int in, int out)
{
    const struct rlimit bytes = {LINT_BYTES_MAX, LINT_BYTES_MAX};
    sigset_t none;
    char *const arguments[] = {(char *)(uintptr_t)path, (char[]){"lint"}, NULL};

    if (dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1 ||
        setrlimit(RLIMIT_FSIZE, &bytes) == -1)
        return;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)alarm(LINT_PROVIDER_SECONDS);
    (void)execv(path, arguments);
}

/* Waits for the end of the child, or for the end of its time: then it is killed. SIGCHLD is blocked. */
static int await_end(pid_t child, int *ret_status, bool *ret_late)
{
    const uint64_t end = clock_monotonic_ns() + (uint64_t)LINT_PROVIDER_SECONDS * NS_PER_S;
    sigset_t ends;
    pid_t ended;

    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGCHLD);
    while ((ended = waitpid(child, ret_status, *ret_late ? 0 : WNOHANG)) != child) {
        uint64_t now = clock_monotonic_ns();
        if (ended == -1 && errno != EINTR)
            return -1;
        if (*ret_late)
            continue;
        uint64_t left = end > now ? end - now : 0;
        const struct timespec time = {.tv_sec = (time_t)(left / NS_PER_S),
                                      .tv_nsec = (long)(left % NS_PER_S)};
        *ret_late = left == 0;
        if (*ret_late)
            (void)kill(child, SIGKILL);
        else
            (void)sigtimedwait(&ends, NULL, &time);
    }
    return 0;
}

static int wait_for(pid_t child, const char *path, struct error **err)
{
    int status = 0;
    bool late = false;

    if (await_end(child, &status, &late) < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "wait for %s", path);
    if (late || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM))
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "%s lint took more than %d s", path,
                         LINT_PROVIDER_SECONDS);
    if (WIFSIGNALED(status))
        return error_set(err, GRPC_STATUS_INTERNAL, "%s lint was ended by signal %d", path, WTERMSIG(status));
    if (WEXITSTATUS(status) == STATUS_NOT_STARTED)
        return error_set(err, GRPC_STATUS_INTERNAL, "%s cannot be run", path);
    if (WEXITSTATUS(status) != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "%s lint ended with status %d", path,
                         WEXITSTATUS(status));
    return 0;
}

static int run(const char *path, int in, int out, struct error **err)
{
    sigset_t ends, before;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &ends, &before);
    (void)signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would hide how the child ends */
    pid_t child = fork();

    if (child == 0) {
        become_program(path, in, out);
        _exit(STATUS_NOT_STARTED);
    }
    int result = child != -1 ? wait_for(child, path, err)
                             : error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "start %s", path);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int write_all(int fd, const char *text, struct error **err)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n == -1 && errno != EINTR)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "write the request");
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return lseek(fd, 0, SEEK_SET) == -1
               ? error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "write the request")
               : 0;
}

static int read_all(int fd, struct buffer *text, struct error **err)
{
    char piece[4096];
    off_t at = 0;
    ssize_t n;

    buffer_init(text, LINT_BYTES_MAX);
    while ((n = pread(fd, piece, sizeof(piece), at)) > 0) {
        if (buffer_append(text, piece, (size_t)n, err) < 0)
            return -1;
        at += n;
    }
    return n < 0 ? error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "read the response") : 0;
}

int lint_providers_run(const struct lint_providers *providers, const char *name,
                       const struct string_map *parameters, struct lint_response *ret, struct error **err)
{
    cleanup_buffer struct buffer text = {0};
    cleanup_close int in = -1;
    cleanup_close int out = -1;
    char path[PATH_MAX];

    *ret = (struct lint_response){0};
    if (find_program(providers, name, path, err) < 0)
        return -1;
    cleanup_secret_free char *request = lint_request_print(parameters, err);
    if (request == NULL)
        return -1;
    in = memfd_create("request", MFD_CLOEXEC);
    out = memfd_create("response", MFD_CLOEXEC);
    if (in == -1 || out == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "memory files");
    if (write_all(in, request, err) < 0 || run(path, in, out, err) < 0 || read_all(out, &text, err) < 0)
        return -1;
    if (lint_response_parse(buffer_str(&text), text.len, ret, err) < 0) {
        lint_response_finish(ret);
        return error_wrap(err, "the response of %s lint", path);
    }
    return 0;
}
