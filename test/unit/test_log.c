/*
 * test_log.c - lines as they leave through a pipe: text against a regular expression, JSON against cJSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/utf8.h"

struct sink {
    int read_fd, write_fd;
    char text[1 << 17];
};

static struct sink sink;

static int open_sink(void **state)
{
    (void)state;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) == -1)
        return -1;
    (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 17);
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    sink.read_fd = fds[0];
    sink.write_fd = fds[1];
    return 0;
}

static int close_sink(void **state)
{
    (void)state;
    (void)close(sink.read_fd);
    (void)close(sink.write_fd);
    return 0;
}

/* What was written since the last call. */
static const char *written(void)
{
    ssize_t n = read(sink.read_fd, sink.text, sizeof(sink.text) - 1);
    sink.text[n > 0 ? n : 0] = '\0';
    return sink.text;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int result = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    if (result != 0)
        fail_msg("'%s' does not match %s", text, pattern);
}

static cJSON *parse_line(const char *line)
{
    size_t len = strlen(line);
    assert_true(len > 0 && line[len - 1] == '\n');
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    assert_true(utf8_valid(line, len));
    cJSON *json = cJSON_Parse(line);
    assert_non_null(json);
    return json;
}

static const char *string_of(const cJSON *json, const char *key)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(json, key);
    assert_true(cJSON_IsString(member));
    return member->valuestring;
}

static void a_text_line_is_one_of_klog(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);
    cleanup_error struct error *err = NULL;
    error_set(&err, GRPC_STATUS_UNAVAILABLE, "no \"way\"");
    log_error(log, "mount failed", LOG_OBJECT("pod", "ns", "web"), LOG_INT("i", INT64_MIN),
              LOG_UINT("u", UINT64_MAX), LOG_BOOL("yes", true), LOG_BOOL("no", false), LOG_STR("none", NULL),
              LOG_ERR(err));
    assert_matches(
        written(),
        "^E[01][0-9][0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{6} +[0-9]+ test_log\\.c:[0-9]+\\] \"mount failed\" pod=\"ns/web\" i=-9223372036854775808 u=18446744073709551615 yes=true no=false "
        "none=\"\" err=\"no \\\\\"way\\\\\"\" code=\"UNAVAILABLE\"\n$");
    log_warning(log, "w", LOG_OBJECT("pod", NULL, "web"), LOG_OBJECT("class", NULL, NULL));
    assert_matches(written(), "^W[0-9]{4} .*\\] \"w\" pod=\"/web\" class=\"/\"\n$");
    log_info(log, "i");
    assert_matches(written(), "^I[0-9]{4} .*\\] \"i\"\n$");
}

static void lines_other_than_errors_can_go_to_another_descriptor(void **state)
{
    (void)state;
    int other[2];
    char text[256] = "";
    assert_int_equal(pipe(other), 0);
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);
    log_split(log, other[1]);
    log_error(log, "e");
    assert_matches(written(), "^E.*\\] \"e\"\n$");
    log_warning(log, "w");
    assert_true(read(other[0], text, sizeof(text) - 1) > 0);
    assert_matches(text, "^W.*\\] \"w\"\n$");
    (void)close(other[0]);
    (void)close(other[1]);
}

/* strptime(3) reads the same time that the clock has had since `before`. The log reads this clock: time(2)
 * is up to a tick behind it. */
static void assert_between_now_and(struct timespec before, const char *timestamp)
{
    struct tm tm = {0};
    struct timespec now;

    assert_non_null(strptime(timestamp, "%Y-%m-%dT%H:%M:%S", &tm));
    time_t seconds = timegm(&tm);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    assert_in_range(seconds, before.tv_sec, now.tv_sec);
}

static void a_json_line_holds_the_same_as_members(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_JSON, 5);
    cleanup_error struct error *err = NULL;
    struct timespec before;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &before), 0);
    error_set(&err, GRPC_STATUS_NOT_FOUND, "gone");
    log_error(log, "failed", LOG_STR("s", "a\"b\\c\n\t\r\x01\x7f"), LOG_INT("i", -5), LOG_BOOL("b", true),
              LOG_ERR(err));
    cJSON *json = parse_line(written());
    assert_matches(string_of(json, "timestamp"),
                   "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$");
    assert_between_now_and(before, string_of(json, "timestamp"));
    assert_string_equal(string_of(json, "level"), "error");
    assert_matches(string_of(json, "caller"), "^test_log\\.c:[0-9]+$");
    assert_string_equal(string_of(json, "message"), "failed");
    assert_string_equal(string_of(json, "s"), "a\"b\\c\n\t\r\x01\x7f");
    assert_true(cJSON_GetObjectItem(json, "i")->valuedouble == -5);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "b")));
    assert_string_equal(string_of(json, "err"), "gone");
    assert_string_equal(string_of(json, "code"), "NOT_FOUND");
    assert_null(cJSON_GetObjectItem(json, "v"));
    cJSON_Delete(json);

    log_debug(log, 5, "d");
    json = parse_line(written());
    assert_true(cJSON_GetObjectItem(json, "v")->valuedouble == 5);
    assert_string_equal(string_of(json, "level"), "info");
    cJSON_Delete(json);
}

/* Outside data can neither start a line of its own nor talk to a terminal. */
static void control_characters_and_broken_utf8_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *value, *text, *json;
    } rows[] = {
        {"a\nE0101 fake", "\"a\\nE0101 fake\"", "a\nE0101 fake"},
        {"\x1b[31m", "\"\\u001b[31m\"", "\x1b[31m"},
        {"\xc2\x9b", "\"\\u009b\"", "\xc2\x9b"},
        {"\xe2\x80\xaex", "\"\\u202ex\"", "\xe2\x80\xaex"},
        {"\xf3\xa0\x81\x81", "\"\\udb40\\udc41\"", "\xf3\xa0\x81\x81"},
        {"\xff!", "\"\\xff!\"", "\xef\xbf\xbd!"},
        {"\xe2\x82", "\"\\xe2\\x82\"", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"", "gr\xc3\xbc\xc3\x9f"},
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80"},
    };
    cleanup_log struct log *text = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);
    cleanup_log struct log *json = log_create(sink.write_fd, LOG_FORMAT_JSON, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        log_info(text, "m", LOG_STR("k", rows[i].value));
        const char *line = written();
        const char *value = strstr(line, "k=");
        assert_non_null(value);
        assert_int_equal(strlen(value + 2), strlen(rows[i].text) + 1);
        assert_memory_equal(value + 2, rows[i].text, strlen(rows[i].text));
        assert_ptr_equal(strchr(line, '\n') + 1, line + strlen(line));

        log_info(json, "m", LOG_STR("k", rows[i].value));
        cJSON *parsed = parse_line(written());
        assert_string_equal(string_of(parsed, "k"), rows[i].json);
        cJSON_Delete(parsed);
    }
}

/* Each kind of character, at each offset to the limit: the line stays valid and later fields stay on it. */
static void a_long_value_is_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    static const char *const units[] = {"x", "\"", "\x01", "\xf0\x9f\x98\x80", "\xf3\xa0\x81\x81", "\xff"};
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_JSON, 0);
    for (size_t unit = 0; unit < ARRAY_SIZE(units); unit++) {
        for (int shift = 0; shift < 7; shift++) {
            static char value[40000];
            size_t len = 0;
            for (int i = 0; i < shift; i++)
                value[len++] = '.';
            while (len < 30000) {
                memcpy(value + len, units[unit], strlen(units[unit]));
                len += strlen(units[unit]);
            }
            value[len] = '\0';
            log_info(log, value, LOG_STR("a", value), LOG_INT("n", 7));
            cJSON *json = parse_line(written());
            const char *a = string_of(json, "a");
            assert_string_equal(a + strlen(a) - 3, "...");
            assert_true(cJSON_GetObjectItem(json, "n")->valuedouble == 7);
            cJSON_Delete(json);
        }
    }
}

static void a_full_line_leaves_fields_out_and_stays_whole(void **state)
{
    (void)state;
    char value[6001];
    for (size_t len = 5; len < 6000; len += 13) {
        memset(value, 'x', len);
        value[len] = '\0';
        cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_JSON, 0);
        log_info(log, "m", LOG_STR("a", value), LOG_STR("b", value), LOG_STR("c", value), LOG_STR("d", value),
                 LOG_STR("e", value), LOG_STR("f", value), LOG_INT("g", 1), LOG_BOOL("h", true));
        const char *line = written();
        assert_true(strlen(line) <= 16 * 1024);
        cJSON_Delete(parse_line(line));
    }
}

static int calls;
static const char *costly(void)
{
    calls++;
    return "x";
}

static void debug_lines_appear_only_at_their_verbosity(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 4);
    calls = 0;
    log_debug(log, 5, "hidden", LOG_STR("k", costly()));
    assert_int_equal(calls, 0);
    assert_string_equal(written(), "");
    log_debug(log, 4, "shown", LOG_STR("k", costly()));
    assert_matches(written(), "^I.*\"shown\" k=\"x\"\n$");
}

static void no_logger_is_silent(void **state)
{
    (void)state;
    log_error((struct log *)NULL, "x");
    assert_false(log_enabled(NULL, 0));
    log_destroy(NULL);
}

static void a_line_that_cannot_be_written_does_no_harm(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(1 << 20, LOG_FORMAT_TEXT, 0); /* no such descriptor */
    errno = ENOTDIR;
    log_info(log, "x");
    assert_int_equal(errno, ENOTDIR);
}

/* --- nobody reads --- */

/* Lines so long that a few fill a pipe, each with its number first. */
static void write_numbered(struct log *log, enum log_level level, unsigned first, unsigned n)
{
    char text[1000] = {0};

    memset(text, '-', sizeof(text) - 1);
    for (unsigned i = first; i < first + n; i++) {
        if (level == LOG_LEVEL_ERROR)
            log_error(log, "numbered", LOG_UINT("i", i), LOG_STR("text", text));
        else
            log_info(log, "numbered", LOG_UINT("i", i), LOG_STR("text", text));
    }
}

/* What a reader has got. */
struct reading {
    unsigned numbered, errors, notes;
    unsigned long noted;      /* the sum of the notes */
    unsigned last;            /* number */
    bool in_order, all_whole; /* every line ends where the next one begins */
};

static void read_line(struct reading *reading, const char *line)
{
    const char *number = strstr(line, "\"numbered\" i=");
    const char *note = strstr(line, "because they were not read\" lines=");

    if (number != NULL) {
        unsigned i = (unsigned)strtoul(number + strlen("\"numbered\" i="), NULL, 10);

        reading->in_order = reading->in_order && (reading->numbered == 0 || i > reading->last);
        reading->last = i;
        reading->numbered++;
        reading->errors += line[0] == 'E';
    } else if (note != NULL) {
        reading->notes++;
        reading->noted += strtoul(note + strlen("because they were not read\" lines="), NULL, 10);
    } else {
        reading->all_whole = false;
    }
}

/* Reads until there is a line with `end`. */
static struct reading read_until(const char *end)
{
    struct reading reading = {.in_order = true, .all_whole = true};
    FILE *stream = fdopen(dup(sink.read_fd), "r");
    char *line = NULL;
    size_t size = 0;

    (void)fcntl(sink.read_fd, F_SETFL, 0);
    while (getline(&line, &size, stream) > 0 && strstr(line, end) == NULL)
        read_line(&reading, line);
    free(line);
    (void)fclose(stream);
    return reading;
}

static void without_a_reader_the_newest_lines_are_dropped_and_counted(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);

    write_numbered(log, LOG_LEVEL_INFO, 0,
                   1000); /* about 1 MB; the pipe takes an eighth, the buffer a quarter */
    uint64_t dropped = log_dropped(log);
    assert_in_range(dropped, 600, 750);
    log_error(log, "end");
    struct reading reading = read_until("\"end\"");
    assert_true(reading.in_order && reading.all_whole);
    assert_int_equal(reading.last, reading.numbered - 1); /* the oldest are there, without a gap */
    assert_int_equal(reading.noted, dropped);
    assert_int_equal(reading.notes, 1);
    assert_int_equal(reading.numbered + dropped, 1000);
    assert_int_equal(log_dropped(log), dropped);
}

static void the_last_quarter_of_the_buffer_is_for_errors_and_warnings(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);

    write_numbered(log, LOG_LEVEL_INFO, 0, 1000);
    uint64_t before = log_dropped(log);
    write_numbered(log, LOG_LEVEL_ERROR, 1000, 40); /* 40 KB of 64 */
    assert_int_equal(log_dropped(log), before);
    struct reading reading = read_until("\"numbered\" i=1039 ");
    assert_int_equal(reading.errors, 39);
    assert_int_equal(reading.noted, before); /* before the lines that follow the gap */
    assert_true(reading.in_order && reading.all_whole);
}

static void a_descriptor_that_is_shared_keeps_its_flags(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);

    write_numbered(log, LOG_LEVEL_INFO, 0, 1000);
    assert_int_equal(fcntl(sink.write_fd, F_GETFL) & O_NONBLOCK, 0);
}

static void the_end_of_a_log_without_a_reader_is_bounded(void **state)
{
    (void)state;
    struct timespec start, end;
    struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);

    write_numbered(log, LOG_LEVEL_INFO, 0, 1000);
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    log_destroy(log);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range(end.tv_sec - start.tv_sec, 0, 3);
}

static void the_end_of_a_log_waits_for_a_slow_reader(void **state)
{
    (void)state;
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);

    write_numbered(log, LOG_LEVEL_INFO, 0, 200);
    struct reading reading = read_until("\"numbered\" i=199 ");
    assert_int_equal(reading.numbered, 199);
}

static void a_socket_without_a_reader_does_not_wait_either(void **state)
{
    (void)state;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct log *log = log_create(fds[1], LOG_FORMAT_TEXT, 0);
    write_numbered(log, LOG_LEVEL_INFO, 0, 1000);
    assert_in_range(log_dropped(log), 300, 900);
    (void)close(fds[0]); /* now each write fails: the buffer is lost, and counted */
    log_flush(log, 5000);
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    uint64_t before = log_dropped(log);
    log_info(log, "refused");
    assert_int_equal(log_dropped(log), before + 1);
    log_destroy(log);
    (void)close(fds[1]);
}

static void *log_from_a_thread(void *log)
{
    write_numbered(log, LOG_LEVEL_INFO, 0, 300);
    return NULL;
}

static void lines_of_threads_stay_whole_when_they_have_to_wait(void **state)
{
    (void)state;
    enum { N_THREADS = 4 };
    pthread_t threads[N_THREADS];
    cleanup_log struct log *log = log_create(sink.write_fd, LOG_FORMAT_TEXT, 0);

    for (unsigned i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_from_a_thread, log), 0);
    for (unsigned i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    log_error(log, "end");
    struct reading reading = read_until("\"end\"");
    assert_true(reading.all_whole);
    assert_int_equal(reading.numbered + log_dropped(log), N_THREADS * 300);
    assert_int_equal(reading.noted, log_dropped(log));
}

#define WITH_SINK(test) cmocka_unit_test_setup_teardown(test, open_sink, close_sink)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SINK(a_text_line_is_one_of_klog),
        WITH_SINK(lines_other_than_errors_can_go_to_another_descriptor),
        WITH_SINK(a_json_line_holds_the_same_as_members),
        WITH_SINK(control_characters_and_broken_utf8_are_escaped),
        WITH_SINK(a_long_value_is_cut_and_the_line_stays_whole),
        WITH_SINK(a_full_line_leaves_fields_out_and_stays_whole),
        WITH_SINK(debug_lines_appear_only_at_their_verbosity),
        WITH_SINK(no_logger_is_silent),
        WITH_SINK(a_line_that_cannot_be_written_does_no_harm),
        WITH_SINK(without_a_reader_the_newest_lines_are_dropped_and_counted),
        WITH_SINK(the_last_quarter_of_the_buffer_is_for_errors_and_warnings),
        WITH_SINK(a_descriptor_that_is_shared_keeps_its_flags),
        WITH_SINK(the_end_of_a_log_without_a_reader_is_bounded),
        WITH_SINK(the_end_of_a_log_waits_for_a_slow_reader),
        WITH_SINK(a_socket_without_a_reader_does_not_wait_either),
        WITH_SINK(lines_of_threads_stay_whole_when_they_have_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
