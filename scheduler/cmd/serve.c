/* SPDX-License-Identifier: Apache-2.0 */
/* sea serve: the dashboard, and numbers for Prometheus. */
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
    struct sea_http_options options = { .port = 8080, .stop = &sea_role_stop };
    const struct sea_arg table[] = {
        { "--port", SEA_ARG_INT, &options.port, "N", "of the loopback address (8080)" },
        { "--metrics", SEA_ARG_FLAG, &options.metrics, NULL, "answer /metrics, for Prometheus" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 3, .data = &data,
                                        .role = "sea serve" };
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    if (options.port < 1 || options.port > 65535)
        status = sea_fail(err, SEA_E_CONFIG, "--port %lld is not in 1..65535",
                          (long long)options.port);
    if (!status)
        status = sea_home_connect(&command.home, command.role, &command.db, err);
    if (!status)
        status = sea_role_hold(command.home.dir, NULL, err);
    if (!status) {
        sea_log_open("serve", SEA_LOG_INFO, stderr);
        printf("http://127.0.0.1:%lld/\n", (long long)options.port);
        fflush(stdout);
        options.data = command.home.dir;
        status = sea_http_serve(command.db, &options, err);
    }
    sea_db_close(command.db);
    return status;
}
