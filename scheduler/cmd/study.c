/* SPDX-License-Identifier: Apache-2.0 */
/* sea study: the trials of a sweep that is thinned out while it runs. */
#include <stdio.h>

#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_table.h"

enum sea_status
sea_cmd_study(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL, *name = NULL;
    bool json = false;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };
    struct sea_home_command home = { .table = table, .table_count = 2, .max = 1, .data = &data,
                                     .role = "sea" };
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_home_begin(call, &home, err);

    if (status || home.helped)
        return status;
    if (home.rest.count)
        name = home.rest.at[0];
    status = sea_db_query(home.db, "cli_study", SEA_PARAMS(name ? SEA_P_TEXT(name) : SEA_P_NULL),
                          &rows, err);
    if (!status && name && !sea_rows_count(rows)) {
        status = sea_fail(err, SEA_E_CONFIG, "there is no study \"%s\"", name);
        sea_hint(err, "`sea study` lists all; experiments with halving.metric make them.");
    }
    if (!status)
        sea_table_print(rows, json ? SEA_FORMAT_JSON : SEA_FORMAT_TABLE,
                        "no experiments are thinned out (halving.metric)", stdout);
    sea_rows_close(rows);
    sea_db_close(home.db);
    return status;
}
