/*
 * text_frame.c - where a text stands in another one.
 */
#include "common/lint/text_frame.h"

#include <string.h>

/* The blanks in front of the first line of `text` that is not blank. */
static unsigned first_indent(const char *text)
{
    const char *line = text;
    size_t blanks = strspn(line, " ");

    while (line[blanks] == '\n' || line[blanks] == '\r') {
        line += blanks + 1;
        blanks = strspn(line, " ");
    }
    return (unsigned)blanks;
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 1;

    for (const char *newline = strchr(text, '\n'); newline != NULL && newline[1] != '\0';
         newline = strchr(newline + 1, '\n'))
        lines++;
    return lines;
}

/* What follows the first `n` lines. */
static const char *skip_lines(const char *text, unsigned n)
{
    for (; n > 0; n--) {
        const char *end = strchr(text, '\n');
        if (end == NULL)
            return text + strlen(text);
        text = end + 1;
    }
    return text;
}

struct text_frame text_frame_of_scalar(const struct text_frame *outer, const char *outer_text,
                                       const struct yaml_node *scalar)
{
    struct text_place begin = {scalar->line, scalar->column};

    if (!scalar->literal || !outer->exact)
        return (struct text_frame){.begin = text_frame_place(outer, begin)};
    /* The text may begin with blanks of its own, when the block says how deep it is indented. */
    unsigned outside = first_indent(skip_lines(outer_text, scalar->line)),
             inside = first_indent(scalar->text);
    unsigned indent = outside > inside ? outside - inside : 0;

    return (struct text_frame){.begin = {text_frame_place(outer, begin).line + 1, outer->indent + indent + 1},
                               .indent = outer->indent + indent,
                               .lines = count_lines(scalar->text),
                               .exact = true};
}

struct text_place text_frame_place(const struct text_frame *frame, struct text_place place)
{
    if (place.line == 0 || !frame->exact)
        return frame->begin;
    if (frame->lines > 0 && place.line > frame->lines)
        place = (struct text_place){frame->lines, 0};
    return (struct text_place){frame->begin.line + place.line - 1,
                               place.column > 0 ? frame->indent + place.column : 0};
}
