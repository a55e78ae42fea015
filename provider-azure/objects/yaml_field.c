/*
 * yaml_field.c - texts and numbers of a YAML mapping.
 */
#include "provider-azure/objects/yaml_field.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/base/parameter_text.h"

int yaml_field_wrong_shape(const struct yaml_node *node, const char *wanted, struct error **err)
{
    const char *tag = node->kind == YAML_SEQUENCE ? "!!seq" : node->kind == YAML_MAPPING ? "!!map" : "!!str";
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "yaml: unmarshal errors: line %u: cannot unmarshal %s into %s", node->line, tag, wanted);
}

int yaml_field_text(const struct yaml_node *mapping, const char *field, char **ret, struct error **err)
{
    const struct yaml_node *node = yaml_get(mapping, field);
    if (node != NULL && node->kind != YAML_SCALAR)
        return yaml_field_wrong_shape(node, "string", err);
    *ret = parameter_text_trim(node == NULL || yaml_is_null(node) ? "" : node->text);
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

/* Text of a YAML integer without its sign and without '_'. Octal is written 0o17 or 017. */
static bool parse_digits(const char *text, int64_t *ret)
{
    static const struct {
        const char *prefix;
        int base;
    } bases[] = {{"0x", 16}, {"0X", 16}, {"0o", 8}, {"0O", 8}, {"0b", 2}, {"0B", 2}, {"0", 8}, {"", 10}};

    for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
        size_t skip = strlen(bases[i].prefix);
        const char *digits = text + skip;
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): strncmp() saw `skip` bytes */
        if (strncmp(text, bases[i].prefix, skip) != 0 || *digits == '\0' || strpbrk(digits, "+- \t") != NULL)
            continue;
        char *end = NULL;
        errno = 0;
        long long value = strtoll(digits, &end, bases[i].base);
        if (*end == '\0' && errno == 0) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* YAML's integer and float spellings, as the Go decoder turns them into an int32: floats are cut towards
 * zero. */
static bool parse_int32(const char *text, int32_t *ret)
{
    char plain[64];
    size_t n = 0;
    if (text[0] == '_') /* between digits and behind them, but a number does not begin with it */
        return false;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '_')
            continue;
        if (n == sizeof(plain) - 1)
            return false;
        plain[n++] = *c;
    }
    plain[n] = '\0';

    bool negative = plain[0] == '-';
    const char *digits = plain + (plain[0] == '-' || plain[0] == '+' ? 1 : 0);
    int64_t value = 0;
    if (!parse_digits(digits, &value)) {
        char *end = NULL;
        if (digits[strspn(digits, "0123456789.eE+-")] != '\0' || strpbrk(digits, "0123456789") == NULL ||
            digits[0] == '+' || digits[0] == '-')
            return false;
        double number = strtod(digits, &end);
        if (*end != '\0' || !isfinite(number) || number > (double)INT64_MAX / 2)
            return false;
        value = (int64_t)number;
    }
    if (negative)
        value = -value;
    if (value < INT32_MIN || value > INT32_MAX)
        return false;
    *ret = (int32_t)value;
    return true;
}

/* What Go's decoder takes a plain scalar for that is no number of ours. */
static const char *tag_of(const struct yaml_node *node)
{
    static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE"};

    for (size_t i = 0; i < ARRAY_SIZE(bools); i++)
        if (node->plain && strcmp(node->text, bools[i]) == 0)
            return "!!bool";
    return node->plain && node->text[strspn(node->text, "+-0123456789_")] == '\0' ? "!!int" : "!!str";
}

int yaml_field_int32(const struct yaml_node *mapping, const char *field, int32_t *ret, struct error **err)
{
    const struct yaml_node *node = yaml_get(mapping, field);
    *ret = 0;
    if (yaml_is_null(node))
        return 0;
    if (node->kind != YAML_SCALAR)
        return yaml_field_wrong_shape(node, "int32", err);
    if (!node->plain || !parse_int32(node->text, ret))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "yaml: unmarshal errors: line %u: cannot unmarshal %s `%.64s` into int32",
                         node->line, tag_of(node), node->text);
    return 0;
}
