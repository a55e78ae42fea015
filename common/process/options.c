/*
 * options.c - the command line of a program as one table.
 *
 * getopt_long() cannot express Go's rules (long names behind one dash, booleans that take a value only behind
 * '=', the end of parsing at the first other word), hence this module. Error texts are those of Go's flag
 * package, because people search for them.
 */
#include "common/process/options.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "common/crypto/encoding.h"

static const char not_a_value[] = "parse error";
static const char out_of_range[] = "value out of range";

/* --- numbers --- */

/* Reads 0x, 0o, 0b or a leading 0 as Go's ParseInt(s, 0, 64) does. *text moves behind the prefix. */
static unsigned take_base(const char **text)
{
    if ((*text)[0] != '0' || (*text)[1] == '\0')
        return 10;
    char kind = (char)tolower((unsigned char)(*text)[1]);
    unsigned base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    *text += base != 0 ? 2 : 1;
    return base != 0 ? base : 8;
}

/* Gives sign * magnitude; false when it does not fit. */
static bool apply_sign(uint64_t magnitude, bool negative, int64_t *ret)
{
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static bool take_sign(const char **text)
{
    bool negative = **text == '-';
    if (**text == '-' || **text == '+')
        (*text)++;
    return negative;
}

/* NULL on success, else the reason. An underscore may stand between digits and behind a prefix. */
static const char *parse_int(const char *text, int64_t *ret)
{
    bool negative = take_sign(&text);
    const char *start = text;
    unsigned base = take_base(&text);
    bool after_digit = text != start; /* behind a prefix an underscore is fine, too */
    uint64_t magnitude = 0;
    bool overflow = false;

    if (*text == '\0')
        return not_a_value;
    for (; *text != '\0'; text++) {
        if (*text == '_' && after_digit && text[1] != '\0') {
            after_digit = false;
            continue;
        }
        unsigned digit = hex_digit(*text);
        if (digit >= base) /* HEX_NO_DIGIT is no digit of any base, either */
            return not_a_value;
        after_digit = true;
        overflow = overflow || __builtin_mul_overflow(magnitude, base, &magnitude) ||
                   __builtin_add_overflow(magnitude, digit, &magnitude);
    }
    return !overflow && apply_sign(magnitude, negative, ret) ? NULL : out_of_range;
}

static const char *parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret = strcmp(text, yes[i]) == 0;
            return NULL;
        }
    }
    return not_a_value;
}

/* --- durations --- */

static const struct duration_unit {
    const char *name;
    uint64_t ns;
} duration_units[] = {
    {"ns", 1},           {"us", 1000},      {"\xC2\xB5s", 1000}, /* U+00B5 micro sign */
    {"\xCE\xBCs", 1000},                                         /* U+03BC Greek letter mu */
    {"ms", 1000000},     {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes the digits at *text; false on overflow. */
static bool take_whole(const char **text, uint64_t *ret_value)
{
    for (; is_digit(**text); (*text)++) {
        if (__builtin_mul_overflow(*ret_value, 10, ret_value) ||
            __builtin_add_overflow(*ret_value, (uint64_t)(**text - '0'), ret_value))
            return false;
    }
    return true;
}

/* Takes the digits behind the point as value / scale; digits beyond 63 bits do not count, as in Go. */
static void take_fraction(const char **text, uint64_t *ret_value, double *ret_scale)
{
    bool full = false;
    for (; is_digit(**text); (*text)++) {
        full = full || *ret_value > (uint64_t)INT64_MAX / 10 - 1;
        if (full)
            continue;
        *ret_value = *ret_value * 10 + (uint64_t)(**text - '0');
        *ret_scale *= 10;
    }
}

/* Takes a unit at *text: everything up to the next digit or point. */
static const struct duration_unit *take_unit(const char **text)
{
    size_t len = 0;
    while ((*text)[len] != '\0' && (*text)[len] != '.' && !is_digit((*text)[len]))
        len++;
    for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
        if (strlen(duration_units[i].name) == len && memcmp(duration_units[i].name, *text, len) == 0) {
            *text += len;
            return &duration_units[i];
        }
    }
    return NULL;
}

/* Takes "1.5h" at *text and adds it to *total. */
static bool take_duration_part(const char **text, uint64_t *total)
{
    const char *start = *text;
    uint64_t whole = 0, fraction = 0;
    double scale = 1;
    if (!take_whole(text, &whole))
        return false;
    bool digits = *text != start;
    if (**text == '.') {
        (*text)++;
        const char *behind_point = *text;
        take_fraction(text, &fraction, &scale);
        digits = digits || *text != behind_point;
    }
    const struct duration_unit *unit = digits ? take_unit(text) : NULL;
    if (unit == NULL)
        return false;

    uint64_t ns = 0;
    if (__builtin_mul_overflow(whole, unit->ns, &ns))
        return false;
    uint64_t below = (uint64_t)((double)fraction * ((double)unit->ns / scale)); /* less than one unit */
    return !__builtin_add_overflow(ns, below, &ns) && !__builtin_add_overflow(*total, ns, total);
}

static bool parse_duration(const char *text, int64_t *ret_ns)
{
    bool negative = take_sign(&text);
    uint64_t total = 0;
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return true;
    }
    if (*text == '\0')
        return false;
    while (*text != '\0') {
        if (!take_duration_part(&text, &total))
            return false;
    }
    return apply_sign(total, negative, ret_ns);
}

int duration_parse(const char *text, int64_t *ret_ns, struct error **err)
{
    if (!parse_duration(text, ret_ns))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid duration \"%s\"", text);
    return 0;
}

/* --- one flag --- */

static bool is_boolean(const struct option_row *row)
{
    return row->type == OPTION_BOOL || row->type == OPTION_IGNORED_BOOL;
}

static bool has_upper_limit(const struct option_row *row)
{
    return row->max >= row->min && !(row->min == 0 && row->max == 0);
}

/* Writes a limit the way a user would write the value. */
static void format_limit(const struct option_row *row, int64_t limit, char text[32])
{
    if (row->type == OPTION_INT || limit == 0)
        (void)snprintf(text, 32, "%" PRId64, limit);
    else if (limit % 1000000000 == 0)
        (void)snprintf(text, 32, "%" PRId64 "s", limit / 1000000000);
    else if (limit % 1000000 == 0)
        (void)snprintf(text, 32, "%" PRId64 "ms", limit / 1000000);
    else
        (void)snprintf(text, 32, "%" PRId64 "ns", limit);
}

static int invalid_value(const struct option_row *row, const char *value, const char *why, struct error **err)
{
    if (is_boolean(row))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid boolean value \"%s\" for -%s: %s", value,
                         row->name, why);
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid value \"%s\" for flag -%s: %s", value,
                     row->name, why);
}

static int check_range(const struct option_row *row, const char *value, int64_t number, struct error **err)
{
    if (number >= row->min && (!has_upper_limit(row) || number <= row->max))
        return 0;
    char min[32], max[32], why[96];
    format_limit(row, row->min, min);
    format_limit(row, row->max, max);
    if (has_upper_limit(row))
        (void)snprintf(why, sizeof(why), "must be between %s and %s", min, max);
    else
        (void)snprintf(why, sizeof(why), "must be at least %s", min);
    return invalid_value(row, value, why, err);
}

static int set_value(const struct option_row *row, const char *value, void *destination, struct error **err)
{
    void *target = (char *)destination + row->offset;
    const char *why = NULL;
    int64_t number = 0;
    bool truth = false;

    switch (row->type) {
    case OPTION_IGNORED:
    case OPTION_IGNORED_BOOL:
        return 0;
    case OPTION_STRING:
        *(const char **)target = value;
        return 0;
    case OPTION_BOOL:
        why = parse_bool(value, &truth);
        if (why != NULL)
            return invalid_value(row, value, why, err);
        *(bool *)target = truth;
        return 0;
    case OPTION_INT:
        why = parse_int(value, &number);
        break;
    case OPTION_DURATION:
        why = parse_duration(value, &number) ? NULL : not_a_value;
        break;
    }
    if (why != NULL)
        return invalid_value(row, value, why, err);
    if (check_range(row, value, number, err) < 0)
        return -1;
    *(int64_t *)target = number;
    return 0;
}

/* The value of a flag that is not given; as text, so that it is parsed like every value. */
static const char *default_text(const struct option_row *row)
{
    if (row->default_value != NULL)
        return row->default_value;
    switch (row->type) {
    case OPTION_BOOL:
    case OPTION_IGNORED_BOOL:
        return "false";
    case OPTION_INT:
    case OPTION_DURATION:
        return "0";
    case OPTION_STRING:
    case OPTION_IGNORED:
        break;
    }
    return "";
}

/* --- the command line --- */

static const struct option_row *find_row(const struct option_row *rows, size_t n_rows, const char *name,
                                         size_t len)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
            return &rows[i];
    }
    return NULL;
}

static bool is_help(const char *name, size_t len)
{
    return (len == 1 && name[0] == 'h') || (len == 4 && memcmp(name, "help", 4) == 0);
}

/* Handles the flag in argv[*at], whose name starts at `name`, and moves *at behind it and its value. */
static enum options_result parse_flag(const struct option_row *rows, size_t n_rows, int argc, char **argv,
                                      int *at, const char *name, void *destination, struct error **err)
{
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    (*at)++;

    if (len == 0 || name[0] == '-') {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "bad flag syntax: %s", argv[*at - 1]);
        return OPTIONS_ERROR;
    }
    const struct option_row *row = find_row(rows, n_rows, name, len);
    if (row == NULL && is_help(name, len))
        return OPTIONS_HELP;
    if (row == NULL) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "flag provided but not defined: -%.*s",
                        (int)(len < ERROR_MESSAGE_MAX ? len : ERROR_MESSAGE_MAX), name);
        return OPTIONS_ERROR;
    }
    if (value == NULL && is_boolean(row))
        value = "true";
    if (value == NULL && *at < argc)
        value = argv[(*at)++];
    if (value == NULL) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "flag needs an argument: -%s", row->name);
        return OPTIONS_ERROR;
    }
    return set_value(row, value, destination, err) < 0 ? OPTIONS_ERROR : OPTIONS_RUN;
}

static void set_defaults(const struct option_row *rows, size_t n_rows, void *destination)
{
    for (size_t i = 0; i < n_rows; i++) {
        int status = set_value(&rows[i], default_text(&rows[i]), destination, /* err= */ NULL);
        assert(status == 0); /* the table is wrong: a default that the flag itself would refuse */
        (void)status;
    }
}

enum options_result options_parse(const struct option_row *rows, size_t n_rows, int argc, char **argv,
                                  void *destination, int *ret_rest, struct error **err)
{
    set_defaults(rows, n_rows, destination);
    int at = 1;
    while (at < argc) {
        const char *word = argv[at];
        if (word[0] != '-' || word[1] == '\0')
            break;
        if (strcmp(word, "--") == 0) {
            at++;
            break;
        }
        const char *name = word[1] == '-' ? word + 2 : word + 1;
        enum options_result result = parse_flag(rows, n_rows, argc, argv, &at, name, destination, err);
        if (result != OPTIONS_RUN)
            return result;
    }
    *ret_rest = at < argc ? at : argc;
    return OPTIONS_RUN;
}

/* --- usage --- */

static int compare_rows(const void *a, const void *b)
{
    const struct option_row *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static bool is_ignored(const struct option_row *row)
{
    return row->type == OPTION_IGNORED || row->type == OPTION_IGNORED_BOOL;
}

/* Prints " NAME" of the value: the `backquoted` word of the help, else the type. */
static void print_value_name(const struct option_row *row, FILE *out)
{
    static const char *const types[] = {
        [OPTION_INT] = "int", [OPTION_STRING] = "string", [OPTION_DURATION] = "duration"};
    const char *open = row->help != NULL ? strchr(row->help, '`') : NULL;
    const char *close = open != NULL ? strchr(open + 1, '`') : NULL;
    if (close != NULL)
        fprintf(out, " %.*s", (int)(close - open - 1), open + 1);
    else if (!is_boolean(row))
        fprintf(out, " %s", types[row->type]);
}

static void print_row(const struct option_row *row, FILE *out)
{
    fprintf(out, "  --%s", row->name);
    print_value_name(row, out);
    fputs("\n        ", out);
    for (const char *c = row->help != NULL ? row->help : ""; *c != '\0'; c++) {
        if (*c != '`')
            fputc(*c, out);
    }
    const char *value = default_text(row);
    if (row->type == OPTION_STRING && value[0] != '\0')
        fprintf(out, " (default \"%s\")", value);
    else if (value[0] != '\0' && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
        fprintf(out, " (default %s)", value);
    fputc('\n', out);
}

void options_usage(const struct option_row *rows, size_t n_rows, const char *program, FILE *out)
{
    cleanup_free const struct option_row **sorted = calloc(n_rows > 0 ? n_rows : 1, sizeof(*sorted));
    fprintf(out, "Usage of %s:\n", program);
    if (sorted == NULL)
        return;
    for (size_t i = 0; i < n_rows; i++)
        sorted[i] = &rows[i];
    qsort(sorted, n_rows, sizeof(*sorted), compare_rows);

    size_t n_ignored = 0;
    for (size_t i = 0; i < n_rows; i++) {
        if (is_ignored(sorted[i]))
            n_ignored++;
        else
            print_row(sorted[i], out);
    }
    if (n_ignored == 0)
        return;
    fputs("Accepted and ignored:", out);
    for (size_t i = 0; i < n_rows; i++) {
        if (is_ignored(sorted[i]))
            fprintf(out, " --%s", sorted[i]->name);
    }
    fputc('\n', out);
}
