/*
 * lint_providers.c - one run of a provider's executable.
 *
 * The request and the response are in memory files: whatever the program reads and writes, and in which
 * order, neither side waits for the other. A limit of the file size bounds the response, an alarm the time.
 */
#include "ctl/lint_providers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/secret.h"

#define PROGRAM_PREFIX "secrets-store-provider-"

enum { NAME_MAX_LEN = 30, STATUS_NOT_STARTED = 127 };

static bool is_name(const char *name, size_t len)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    return len > 0 && len <= NAME_MAX_LEN && strspn(name, valid) >= len;
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

static int find_program(const struct lint_providers *providers, const char *name, char path[PATH_MAX],
                        struct error **err)
{
    const char *given = providers != NULL ? find_given(providers->given, name) : NULL;

    if (given != NULL && strlen(given) < PATH_MAX) {
        (void)snprintf(path, PATH_MAX, "%s", given);
        return 0;
    }
    if (providers != NULL && is_name(name, strlen(name)) &&
        (find_beside(name, path) || find_in_path(name, path)))
        return 0;
    return error_set(err, GRPC_STATUS_NOT_FOUND,
                     "there is no executable " PROGRAM_PREFIX
                     "%.64s beside this program or in PATH (--provider %.64s=FILE)",
                     name, name);
}

/* --- the run --- */

/* In the child. Returns only when the program does not start. */
static void become_program(const char *path, int in, int out)
{
    const struct rlimit bytes = {LINT_BYTES_MAX, LINT_BYTES_MAX};
    char *const arguments[] = {(char *)(uintptr_t)path, (char[]){"lint"}, NULL};

    if (dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1 ||
        setrlimit(RLIMIT_FSIZE, &bytes) == -1)
        return;
    (void)alarm(LINT_PROVIDER_SECONDS);
    (void)execv(path, arguments);
}

static int wait_for(pid_t child, const char *path, struct error **err)
{
    int status = 0;

    while (waitpid(child, &status, 0) == -1) {
        if (errno != EINTR)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "wait for %s", path);
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
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
    pid_t child = fork();

    if (child == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "start %s", path);
    if (child == 0) {
        become_program(path, in, out);
        _exit(STATUS_NOT_STARTED);
    }
    return wait_for(child, path, err);
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
