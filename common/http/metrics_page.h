/*
 * metrics_page.h - the metrics registry as a page of the admin server.
 */
#ifndef COMMON_HTTP_METRICS_PAGE_H
#define COMMON_HTTP_METRICS_PAGE_H

#include "common/http/admin_server.h"

/* An admin_handler; `arg` is the `struct metrics`, which must outlive the server. Replies 200 with the text
 * exposition (version 0.0.4), 500 when it does not fit into memory. */
void metrics_page_respond(struct admin_request *request, void *arg);

#endif
