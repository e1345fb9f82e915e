/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_headlines.h"
#include "scheduler/sea_table.h"

#define LIST_BYTES_MAX ((size_t)65536)

struct page {                   /* one answer under construction */
    char *text;
    size_t len;
    FILE *to;
};

static const char page_head[] =
    "<!doctype html><meta charset=utf-8><title>sea</title>"
    "<meta http-equiv=refresh content=10>"
    "<style>body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:0 0 2em}td,th{padding:.2em .8em .2em 0;"
    "text-align:left;border-bottom:1px solid #ddd;white-space:nowrap}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    "h1{font-size:1.4em}h2{font-size:1.1em}</style><h1>sea</h1>";

static void
escape(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", to);
        else if (*text == '&')
            fputs("&amp;", to);
        else if (*text == '"')
            fputs("&quot;", to);
        else
            fputc(*text, to);
    }
}

static void
html_table(const char *title, const struct sea_rows *rows, FILE *to)
{
    size_t r, c, columns = sea_rows_columns_count(rows);

    fprintf(to, "<h2>%s</h2>", title);
    if (sea_rows_count(rows) == 0) {
        fputs("<p>none yet</p>", to);
        return;
    }
    fputs("<table><tr>", to);
    for (c = 0; c < columns; c++) {
        bool number = sea_rows_column_kind(rows, c) == SEA_COLUMN_NUMBER;

        fprintf(to, "<th%s>", number ? " class=n" : "");
        escape(to, sea_rows_column(rows, c));
    }
    for (r = 0; r < sea_rows_count(rows); r++) {
        fputs("<tr>", to);
        for (c = 0; c < columns; c++) {
            const char *cell = sea_rows_cell(rows, r, c);
            bool number = sea_rows_column_kind(rows, c) == SEA_COLUMN_NUMBER;

            fprintf(to, "<td%s>", number ? " class=n" : "");
            if (cell && number && strchr(cell, '.'))
                fprintf(to, "%.4g", strtod(cell, NULL));
            else
                escape(to, cell ? cell : "");
        }
    }
    fputs("</table>", to);
}

static enum sea_status
query(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
      struct sea_rows **rows, struct sea_err *err)
{
    *rows = NULL;
    if (sea_db_is_lost(db) && sea_db_reconnect(db, err))
        return err->status;
    return sea_db_query(db, name, params, count, rows, err);
}

static enum sea_status
write_dashboard(struct sea_db *db, FILE *to, struct sea_err *err)
{
    struct sea_rows *experiments = NULL, *board = NULL;
    struct sea_buf metrics;
    enum sea_status status;

    status = query(db, "cli_experiments", SEA_NO_PARAMS, &experiments, err);
    sea_buf_init(&metrics, LIST_BYTES_MAX);
    sea_headlines(&metrics);
    if (!status)
        status = query(db, "cli_leaderboard",
                       SEA_PARAMS(SEA_P_NULL, SEA_P_NULL, SEA_P_TEXT(metrics.data)), &board, err);
    sea_buf_release(&metrics);
    if (!status) {
        fputs(page_head, to);
        html_table("Experiments", experiments, to);
        html_table("Leaderboard", board, to);
    }
    sea_rows_close(experiments);
    sea_rows_close(board);
    return status;
}

static enum sea_status
write_json(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
           FILE *to, struct sea_err *err)
{
    struct sea_rows *rows;
    enum sea_status status = query(db, name, params, count, &rows, err);

    if (!status)
        sea_table_print(rows, SEA_FORMAT_JSON, "", to);
    sea_rows_close(rows);
    return status;
}

/* Fills to for url and returns the HTTP status. */
static unsigned
answer(struct sea_db *db, struct MHD_Connection *connection, const char *url, FILE *to,
       const char **type, struct sea_err *err)
{
    const char *id = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "id");
    enum sea_status status;

    *type = "application/json";
    if (strcmp(url, "/") == 0) {
        *type = "text/html; charset=utf-8";
        status = write_dashboard(db, to, err);
    } else if (strcmp(url, "/api/experiments") == 0) {
        status = write_json(db, "cli_experiments_all", SEA_NO_PARAMS, to, err);
    } else if (strcmp(url, "/api/stages") == 0 && id && strtoll(id, NULL, 10) > 0) {
        status = write_json(db, "cli_stages_all",
                            SEA_PARAMS(SEA_P_INT(strtoll(id, NULL, 10))), to, err);
    } else if (strcmp(url, "/api/leaderboard") == 0) {
        status = write_json(db, "cli_scores", SEA_PARAMS(SEA_P_NULL, SEA_P_NULL), to, err);
    } else if (strcmp(url, "/health") == 0) {
        struct sea_rows *rows;

        *type = "text/plain";
        status = query(db, "cli_schedules", SEA_NO_PARAMS, &rows, err);
        sea_rows_close(rows);
        fputs("ok\n", to);
    } else {
        fputs("{\"error\":\"no such page\"}\n", to);
        return MHD_HTTP_NOT_FOUND;
    }
    return status ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *upload, size_t *upload_size, void **state)
{
    struct sea_db *db = arg;
    struct sea_err err = { 0 };
    struct page page = { 0 };
    struct MHD_Response *response;
    enum MHD_Result sent;
    const char *type;
    unsigned code;

    (void)version, (void)upload, (void)upload_size, (void)state;
    if (strcmp(method, "GET") != 0)
        return MHD_NO;
    page.to = open_memstream(&page.text, &page.len);
    if (!page.to)
        return MHD_NO;
    code = answer(db, connection, url, page.to, &type, &err);
    fclose(page.to);
    if (err.status) {
        sea_log_err(SEA_LOG_WARN, &err);
        page.len = 0;           /* half an answer is none */
    }
    response = MHD_create_response_from_buffer(page.len, page.text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(page.text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    sent = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return sent;
}

enum sea_status
sea_http_serve(struct sea_db *db, int64_t port, const volatile sig_atomic_t *stop,
               struct sea_err *err)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct MHD_Daemon *daemon;

    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, (uint16_t)port, NULL, NULL, handle,
                              db, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_TIMEOUT,
                              30u, MHD_OPTION_END);
    if (!daemon) {
        sea_fail(err, SEA_E_SERVICE, "could not listen on port %lld: %s", (long long)port,
                 strerror(errno));
        sea_hint(err, "Choose another port with --port.");
        return err->status;
    }
    while (!*stop)
        sea_clock_sleep_ms(200);
    MHD_stop_daemon(daemon);
    return SEA_OK;
}
