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
#include "engine/base/sea_node.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_headlines.h"
#include "scheduler/sea_metrics.h"
#include "scheduler/sea_table.h"

#define LIST_BYTES_MAX ((size_t)65536)
#define EXPERIMENTS_MAX 100     /* on the page; /api/experiments has all */
#define RANKS_MAX 20            /* of each board on the page; /api/leaderboard has all */

struct page {                   /* one answer under construction */
    char *text;
    size_t len;
    FILE *to;
};

struct server {
    struct sea_db *db;
    struct sea_metrics *metrics;        /* NULL: not asked for */
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
    struct sea_rows *experiments = NULL, *board = NULL, *count = NULL;
    struct sea_buf metrics;
    int64_t hidden = 0;
    enum sea_status status;

    status = query(db, "cli_experiments", SEA_PARAMS(SEA_P_INT(EXPERIMENTS_MAX)), &experiments,
                   err);
    if (!status)
        status = query(db, "cli_experiments_count", SEA_NO_PARAMS, &count, err);
    if (!status)
        hidden = sea_rows_int(count, 0, "n", err) - (int64_t)sea_rows_count(experiments);
    sea_buf_init(&metrics, LIST_BYTES_MAX);
    sea_headlines(&metrics);
    if (!status)
        status = query(db, "cli_leaderboard",
                       SEA_PARAMS(SEA_P_NULL, SEA_P_NULL, SEA_P_TEXT(metrics.data), SEA_P_NULL,
                                  SEA_P_INT(RANKS_MAX)),
                       &board, err);
    sea_buf_release(&metrics);
    if (!status) {
        fputs(page_head, to);
        html_table("Experiments", experiments, to);
        if (hidden > 0)
            fprintf(to, "<p>and %lld older ones: <a href=/api/experiments>all as JSON</a></p>",
                    (long long)hidden);
        html_table("Leaderboard, the first 20 of each board", board, to);
    }
    sea_rows_close(experiments);
    sea_rows_close(count);
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

static enum sea_status
write_stages(struct sea_db *db, const char *id, FILE *to, struct sea_err *err)
{
    int64_t number;
    enum sea_status status;

    if (!id)
        return sea_fail(err, SEA_E_CONFIG, "/api/stages needs ?id= and the id of an experiment");
    status = sea_args_id(id, "an experiment", &number, err);
    return status ? status
                  : write_json(db, "cli_stages_all", SEA_PARAMS(SEA_P_INT(number)), to, err);
}

static enum sea_status
write_health(struct sea_db *db, FILE *to, struct sea_err *err)
{
    struct sea_rows *rows;
    enum sea_status status = query(db, "cli_ping", SEA_NO_PARAMS, &rows, err);

    sea_rows_close(rows);
    fputs("ok\n", to);
    return status;
}

/* Writes the page of url; *type is its kind. */
static enum sea_status
write_page(const struct server *server, const char *url, const char *id, FILE *to,
           const char **type, struct sea_err *err)
{
    struct sea_db *db = server->db;

    *type = "application/json";
    if (strcmp(url, "/metrics") == 0 && server->metrics) {
        *type = SEA_METRICS_TYPE;
        sea_metrics_write(server->metrics, db, to);
        return SEA_OK;
    }
    if (strcmp(url, "/api/experiments") == 0)
        return write_json(db, "cli_experiments_all", SEA_PARAMS(SEA_P_NULL), to, err);
    if (strcmp(url, "/api/stages") == 0)
        return write_stages(db, id, to, err);
    if (strcmp(url, "/api/leaderboard") == 0)
        return write_json(db, "cli_scores", SEA_PARAMS(SEA_P_NULL, SEA_P_NULL), to, err);
    if (strcmp(url, "/") == 0) {
        *type = "text/html; charset=utf-8";
        return write_dashboard(db, to, err);
    }
    if (strcmp(url, "/health") == 0) {
        *type = "text/plain";
        return write_health(db, to, err);
    }
    (void)sea_fail(err, SEA_E_MISSING, "there is no page %s", url);
    sea_hint(err, "Pages: /, /health, /api/experiments, /api/stages?id=ID, /api/leaderboard; "
                  "/metrics with `sea serve --metrics`.");
    return err->status;
}

static unsigned
http_code(enum sea_status status)
{
    switch (status) {
    case SEA_OK:
        return MHD_HTTP_OK;
    case SEA_E_CONFIG:
        return MHD_HTTP_BAD_REQUEST;
    case SEA_E_MISSING:
        return MHD_HTTP_NOT_FOUND;
    default:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }
}

/* What went wrong, in place of whatever was written so far. */
static void
write_error(struct page *page, const struct sea_err *what, const char **type)
{
    struct sea_buf text;

    sea_buf_init(&text, LIST_BYTES_MAX);
    sea_buf_puts(&text, "{\"error\":");
    sea_json_quote(&text, what->message, strlen(what->message));
    sea_buf_puts(&text, ",\"hint\":");
    sea_json_quote(&text, what->hint, strlen(what->hint));
    sea_buf_puts(&text, "}\n");
    free(page->text);
    page->text = sea_buf_take(&text);
    page->len = strlen(page->text);
    *type = "application/json";
}

/* Nothing is changed from here. */
static enum MHD_Result
refuse_method(struct MHD_Connection *connection)
{
    static char text[] = "{\"error\":\"pages are read only\",\"hint\":\"Ask with GET or HEAD.\"}\n";
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof(text) - 1, text,
                                                                    MHD_RESPMEM_PERSISTENT);
    enum MHD_Result sent;

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "Allow", "GET, HEAD");
    sent = MHD_queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *upload, size_t *upload_size, void **state)
{
    const struct server *server = arg;
    struct sea_err err = { 0 };
    struct page page = { 0 };
    struct MHD_Response *response;
    enum MHD_Result sent;
    const char *type, *id;

    (void)version, (void)upload, (void)upload_size, (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return refuse_method(connection);
    page.to = open_memstream(&page.text, &page.len);
    if (!page.to)
        return MHD_NO;
    id = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "id");
    (void)write_page(server, url, id, page.to, &type, &err);
    fclose(page.to);
    if (err.status)
        write_error(&page, &err, &type);
    if (http_code(err.status) == MHD_HTTP_SERVICE_UNAVAILABLE)
        sea_log_err(SEA_LOG_WARN, &err);
    response = MHD_create_response_from_buffer(page.len, page.text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(page.text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    sent = MHD_queue_response(connection, http_code(err.status), response);
    MHD_destroy_response(response);
    return sent;
}

enum sea_status
sea_http_serve(struct sea_db *db, const struct sea_http_options *options, struct sea_err *err)
{
    struct server server = { .db = db };
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct MHD_Daemon *daemon;

    address.sin_port = htons((uint16_t)options->port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (options->metrics)
        server.metrics = sea_metrics_create(options->data);
    daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, (uint16_t)options->port, NULL, NULL,
                              handle, &server, MHD_OPTION_SOCK_ADDR, &address,
                              MHD_OPTION_CONNECTION_TIMEOUT, 30u, MHD_OPTION_END);
    if (!daemon) {
        sea_fail(err, SEA_E_SERVICE, "could not listen on port %lld: %s", (long long)options->port,
                 strerror(errno));
        sea_metrics_destroy(server.metrics);
        sea_hint(err, "Choose another port with --port.");
        return err->status;
    }
    while (!*options->stop)
        sea_clock_sleep_ms(200);
    MHD_stop_daemon(daemon);
    sea_metrics_destroy(server.metrics);
    return SEA_OK;
}
