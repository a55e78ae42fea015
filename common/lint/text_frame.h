/*
 * text_frame.h - where a text stands in another one: that of a scalar in a YAML text, and one in that again.
 */
#ifndef COMMON_LINT_TEXT_FRAME_H
#define COMMON_LINT_TEXT_FRAME_H

#include <stdbool.h>

#include "common/base/yaml.h"

/* A place in a text. {0}: not known, or the whole text. */
struct text_place {
    unsigned line;   /* from 1 */
    unsigned column; /* in characters, from 1; 0: not known */
};

/* A text in the outermost one. */
struct text_frame {
    struct text_place begin;
    unsigned indent; /* columns in front of each line */
    unsigned lines;  /* that it has; 0: not known */
    bool exact;      /* its lines are lines of the outermost text; otherwise only its beginning is known */
};

/* The outermost text itself. */
#define TEXT_FRAME_WHOLE ((struct text_frame){.begin = {1, 1}, .exact = true})

/* The frame of a scalar's text. `outer_text`, in `outer`, was parsed into the tree that the scalar is of. */
struct text_frame text_frame_of_scalar(const struct text_frame *outer, const char *outer_text,
                                       const struct yaml_node *scalar);

/* From a place in the text of `frame` to one in the outermost text: its beginning when `place` is {0}, its
 * last line when `place` is behind that, as parsers say of what is missing at the end. */
struct text_place text_frame_place(const struct text_frame *frame, struct text_place place);

#endif
