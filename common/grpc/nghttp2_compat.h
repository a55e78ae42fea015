/*
 * nghttp2_compat.h - the one place that knows how nghttp2's API changed.
 *
 * nghttp2 1.60 introduced forms of its functions that use nghttp2_ssize (a ptrdiff_t) in place of ssize_t and
 * deprecated the old ones. Debian 12 has only the old ones.
 */
#ifndef COMMON_GRPC_NGHTTP2_COMPAT_H
#define COMMON_GRPC_NGHTTP2_COMPAT_H

#include <nghttp2/nghttp2.h>
#include <sys/types.h>

#if NGHTTP2_VERSION_NUM >= 0x013c00

typedef nghttp2_ssize http2_ssize;
typedef nghttp2_data_provider2 http2_data_provider;
#define http2_mem_recv        nghttp2_session_mem_recv2
#define http2_mem_send        nghttp2_session_mem_send2
#define http2_submit_request  nghttp2_submit_request2
#define http2_submit_response nghttp2_submit_response2

#else

typedef ssize_t http2_ssize;
typedef nghttp2_data_provider http2_data_provider;
#define http2_mem_recv        nghttp2_session_mem_recv
#define http2_mem_send        nghttp2_session_mem_send
#define http2_submit_request  nghttp2_submit_request
#define http2_submit_response nghttp2_submit_response

#endif
#endif
