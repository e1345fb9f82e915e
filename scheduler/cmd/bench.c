/* SPDX-License-Identifier: Apache-2.0 */
/* sea bench: how fast this build multiplies matrices here. `make bench` compares. */
#include <stdio.h>
#include <string.h>

#include "pipeline/sea_doctor.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"

enum sea_status
sea_cmd_bench(const struct sea_call *call, struct sea_err *err)
{
    const char *device = "auto";
    struct sea_texts rest;
    enum sea_status status;
    bool helped, json = false;
    const struct sea_arg table[] = {
        { "--device", SEA_ARG_TEXT, &device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 2, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (status)
        return status;
    if (strcmp(rest.at[0], "gemm") != 0) {
        status = sea_fail(err, SEA_E_CONFIG, "unknown benchmark \"%s\", know: gemm", rest.at[0]);
        sea_hint(err, "`make bench` compares a training step with PyTorch.");
        return status;
    }
    return sea_doctor_gemm(device, json, stdout, err);
}
