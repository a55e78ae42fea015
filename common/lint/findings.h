/*
 * findings.h - what is wrong, or probably not meant, in a SecretProviderClass: findings, each with the rule
 * that it breaks and its place.
 *
 * A parser that gets a collector adds findings to it and goes on; without one (NULL) nothing is collected.
 * Findings are advice: those that memory lacks for are counted, and nothing fails.
 */
#ifndef COMMON_LINT_FINDINGS_H
#define COMMON_LINT_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/lint/text_frame.h"

/* A class may have thousands of mistakes; nobody reads that many. */
enum { FINDINGS_MAX = 1000, FINDING_MESSAGE_MAX = 1500 };

enum finding_level {
    FINDING_NOTE,    /* may be meant; shown by lint alone */
    FINDING_WARNING, /* is probably not meant */
    FINDING_ERROR,   /* a mount fails, or something that the class asks for is not made */
};

/* docs/lint.md explains each by its id. */
struct lint_rule {
    const char *id;
    enum finding_level level;
};

/* A parser refuses the text; the message is its error. */
extern const struct lint_rule lint_rule_refused;

struct finding {
    enum finding_level level;
    char *rule;
    char *parameter; /* that it is about; "": the parameters as a whole */
    unsigned line;   /* in the text of the parameter, from 1; 0: the place is not known */
    unsigned column; /* in characters, from 1; 0: not known */
    char *message;   /* one line */
};

struct findings {
    struct finding *list;
    size_t n;
    size_t left_out; /* more than `max`, or without memory */
    size_t max;      /* 0: FINDINGS_MAX */
    /* Errors become findings, and the parser goes on behind them (findings_take()). Otherwise they end it,
     * and the caller gets them. */
    bool takes_errors;

    /* The text that is read now: findings_enter(). */
    const char *parameter;
    struct text_frame frame;
    struct text_place error_place; /* of the next error; {0}: not known */
};

/* The findings behind this call are about a text in the parameter `parameter` (borrowed; "" or NULL: none),
 * which stands at `frame` in it. `findings` may be NULL. */
void findings_enter(struct findings *findings, const char *parameter, struct text_frame frame);

/* Adds one at a place in the text that is read; {0}: its beginning. `findings` may be NULL. */
void findings_add(struct findings *findings, const struct lint_rule *rule, struct text_place place,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The next error is about this place in the text that is read. */
void findings_mark(struct findings *findings, struct text_place place);

/* True when the collector takes errors: *err is a finding then, and NULL. Its place is the marked one, or the
 * line that the error names ("line 3: ..."). */
bool findings_take(struct findings *findings, const struct lint_rule *rule, struct error **err);

/* Adds a copy of a finding, at its own place. */
void findings_put(struct findings *findings, const struct finding *finding);

/* "note", "warning", "error". */
const char *finding_level_name(enum finding_level level);

/* Frees what it holds; empty and usable then. */
void findings_finish(struct findings *findings);
#define cleanup_findings CLEANUP(findings_finish)

#endif
