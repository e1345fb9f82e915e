/* SPDX-License-Identifier: Apache-2.0 */
/* sea serve: the dashboard. */
#include <stdio.h>

#include "engine/base/sea_log.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_http.h"
#include "scheduler/sea_role.h"

enum sea_status
sea_cmd_serve(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL;
    int64_t port = 8080;
    struct sea_db *db = NULL;
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--port", SEA_ARG_INT, &port, "N", "of the loopback address (8080)" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 2, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status && (port < 1 || port > 65535))
        status = sea_fail(err, SEA_E_CONFIG, "--port %lld is not in 1..65535", (long long)port);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (!status)
        status = sea_home_connect(&home, "sea serve", &db, err);
    if (!status)
        status = sea_role_hold(home.dir, NULL, err);
    if (!status) {
        sea_log_open("serve", SEA_LOG_INFO, stderr);
        printf("http://127.0.0.1:%lld/\n", (long long)port);
        fflush(stdout);
        status = sea_http_serve(db, port, &sea_role_stop, err);
    }
    sea_db_close(db);
    return status;
}
