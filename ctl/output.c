/*
 * output.c - results as aligned lines for people, or as one JSON object for programs.
 */
#include "ctl/output.h"

#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

enum { NAME_COLUMN = 16 };

static void print_escaped(FILE *out, const char *text, const char *keep)
{
    char shown[UTF8_SHOWN_MAX];
    size_t consumed;

    for (; *text != '\0'; text += consumed) {
        size_t len = utf8_show(text, shown, &consumed);
        if (strchr(keep, *text) != NULL)
            (void)putc(*text, out);
        else
            (void)fwrite(shown, 1, len, out);
    }
}

void output_text(FILE *out, const char *text)
{
    print_escaped(out, text, /* keep= */ "");
}

/* The contents of a file have lines. */
static void print_string(const cJSON *value)
{
    bool lines = value->string != NULL && strcmp(value->string, OUTPUT_CONTENTS) == 0;

    print_escaped(stdout, value->valuestring, lines ? "\n\t" : "");
}

static void print_scalar(const cJSON *value)
{
    if (cJSON_IsString(value))
        print_string(value);
    else if (cJSON_IsBool(value))
        (void)fputs(cJSON_IsTrue(value) ? "yes" : "no", stdout);
    else if (cJSON_IsNumber(value))
        (void)printf("%.0f", value->valuedouble);
    else
        (void)fputs("-", stdout);
}

/* Prints one row of an array: its members in order, separated by two blanks. */
static void print_row(const cJSON *row)
{
    const cJSON *member;
    const char *separator = "    ";

    cJSON_ArrayForEach(member, row)
    {
        (void)fputs(separator, stdout);
        print_scalar(member);
        separator = "  ";
    }
    (void)putchar('\n');
}

static void print_text(const cJSON *result)
{
    const cJSON *member;
    const cJSON *row;

    cJSON_ArrayForEach(member, result)
    {
        if (cJSON_IsObject(member)) {
            (void)printf("%s:\n", member->string);
            cJSON_ArrayForEach(row, member)
            {
                (void)fputs("    ", stdout);
                output_text(stdout, row->string);
                (void)fputs("  ", stdout);
                print_scalar(row);
                (void)putchar('\n');
            }
        } else if (cJSON_IsArray(member)) {
            (void)printf("%s:%s\n", member->string, cJSON_GetArraySize(member) == 0 ? " none" : "");
            cJSON_ArrayForEach(row, member)
            {
                if (cJSON_IsObject(row)) {
                    print_row(row);
                } else {
                    (void)fputs("    ", stdout);
                    print_scalar(row);
                    (void)putchar('\n');
                }
            }
        } else {
            (void)printf("%-*s ", NAME_COLUMN, member->string);
            print_scalar(member);
            (void)putchar('\n');
        }
    }
}

int output_result(const cJSON *result, bool json, struct error **err)
{
    if (json) {
        cleanup_secret_free char *text = json_print(result, err);

        if (text == NULL)
            return -1;
        (void)puts(text);
    } else {
        print_text(result);
    }
    return output_flush(err);
}

int output_flush(struct error **err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set(err, GRPC_STATUS_INTERNAL, "cannot write the result");
    return 0;
}

void output_error(const struct error *error, bool json)
{
    const char *code = grpc_status_name(error_code(error));

    if (json) {
        cleanup_json cJSON *root = cJSON_CreateObject();
        cJSON *body = cJSON_AddObjectToObject(root, "error");

        if (body != NULL && cJSON_AddStringToObject(body, "code", code) != NULL &&
            cJSON_AddNumberToObject(body, "number", error_code(error)) != NULL &&
            cJSON_AddStringToObject(body, "message", error_message(error)) != NULL) {
            cleanup_secret_free char *text = json_print(root, /* err= */ NULL);

            if (text != NULL) {
                (void)fprintf(stderr, "%s\n", text);
                return;
            }
        }
    }
    (void)fprintf(stderr, "error: %s: ", code);
    output_text(stderr, error_message(error));
    (void)fputc('\n', stderr);
}

void output_mode(unsigned mode, char ret_text[10])
{
    static const char letters[] = "rwxrwxrwx";

    for (unsigned i = 0; i < 9; i++) {
        if ((mode & (0400u >> i)) != 0)
            ret_text[i] = letters[i];
        else
            ret_text[i] = '-';
    }
    ret_text[9] = '\0';
}
