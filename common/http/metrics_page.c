/*
 * metrics_page.c - the metrics registry as a page of the admin server.
 */
#include "common/http/metrics_page.h"

#include "common/process/metrics.h"

/* Series are bounded (metrics.h) and fill far less. */
enum { METRICS_TEXT_MAX = 16 * 1024 * 1024 };

void metrics_page_respond(struct admin_request *request, void *arg)
{
    const struct metrics *metrics = arg;
    cleanup_buffer struct buffer text = {0};

    buffer_init(&text, METRICS_TEXT_MAX);
    if (metrics_render(metrics, &text, NULL) < 0)
        admin_request_reply(request, 500, "text/plain; charset=utf-8", "", 0);
    else
        admin_request_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.len);
}
