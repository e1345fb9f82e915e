/* SPDX-License-Identifier: Apache-2.0 */
/* sea config: check an experiment file; print the reference pages that follow from tables. */
#include <stdio.h>
#include <string.h>

#include "pipeline/sea_experiment.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_sqlstate.h"

#define PAGE_BYTES_MAX ((size_t)1 << 20)
#define JSON_BYTES_MAX ((size_t)64 << 20)

struct status_line {
    const char *name, *retry;
    int code;
    const char *words;
};

static const struct status_line status_lines[] = {
#define X(name, retry, code, words) { #name, #retry, code, words },
    SEA_STATUS_MAP(X)
#undef X
};

static void
print_sqlstates(void)
{
    size_t i, count;
    const struct sea_sqlstate *states = sea_sqlstates(&count);

    printf("\n## Errors of PostgreSQL\n\n"
           "A code of two to four characters stands for all that begin with it and have no row of\n"
           "their own. What is not here is `E_INTERNAL`, a defect. LF001 to LF020 are this\n"
           "program's own functions in the database.\n\n"
           "| SQLSTATE | error | exit status | means | hint |\n|---|---|---|---|---|\n");
    for (i = 0; i < count; i++)
        printf("| `%s` | `%s` | %d | %s | %s |\n", states[i].code,
               sea_status_name(states[i].status), sea_status_exit(states[i].status),
               states[i].words, states[i].hint ? states[i].hint : "");
}

static void
print_errors(void)
{
    static const struct { const char *retry, *words; } retries[] = {
        { "NEVER", "never: mend the input first" },
        { "LATER", "after a pause, up to the cap of attempts" },
        { "FREE", "resumes at no cost to the retry budget" } };
    size_t i, r;

    printf("# Errors\n\n"
           "Every failure is one message (what, where, what was expected), the steps it happened\n"
           "in, and a hint. A stage ends with the exit status of its error; the scheduler decides\n"
           "by it whether the stage is tried again. Printed by `sea config errors`.\n\n"
           "| error | exit status | tried again | means |\n|---|---|---|---|\n"
           "| `OK` | 0 | | done |\n");
    for (i = 0; i < sizeof(status_lines) / sizeof(status_lines[0]); i++) {
        const char *when = "";

        for (r = 0; r < sizeof(retries) / sizeof(retries[0]); r++)
            if (strcmp(retries[r].retry, status_lines[i].retry) == 0)
                when = retries[r].words;
        printf("| `%s` | %d | %s | %s |\n", status_lines[i].name, status_lines[i].code, when,
               status_lines[i].words);
    }
    print_sqlstates();
}

static void
print_doc(void)
{
    struct sea_buf page;

    sea_buf_init(&page, PAGE_BYTES_MAX);
    sea_experiment_doc(&page);
    fputs(page.data, stdout);
    sea_buf_release(&page);
}

static enum sea_status
check_file(const char *path, const struct sea_texts *sets, bool json, struct sea_arena *arena,
           struct sea_err *err)
{
    struct sea_experiments found;
    struct sea_buf text;
    enum sea_status status;
    size_t i;

    sea_buf_init(&text, JSON_BYTES_MAX);
    status = sea_experiment_load(path, sets->at, sets->count, arena, &found, err);
    for (i = 0; !status && i < found.count; i++) {
        if (!json) {
            printf("%s\n", found.list[i].name);
            continue;
        }
        sea_buf_clear(&text);
        status = sea_json_write(found.list[i].config, SEA_JSON_PRETTY, &text, err);
        if (!status)
            fputs(text.data, stdout);
    }
    sea_buf_release(&text);
    return status;
}

enum sea_status
sea_cmd_config(const struct sea_call *call, struct sea_err *err)
{
    struct sea_texts rest, sets = { .count = 0 };
    bool json = false, helped;
    const struct sea_arg table[] = {
        { "--set", SEA_ARG_LIST, &sets, "KEY=VALUE", "override a key" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "print the resolved experiments" },
    };
    enum sea_status status;

    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 2, call->usage, err);
    if (status)
        return status;
    if (strcmp(rest.at[0], "doc") == 0 && rest.count == 1) {
        print_doc();
        return SEA_OK;
    }
    if (strcmp(rest.at[0], "errors") == 0 && rest.count == 1) {
        print_errors();
        return SEA_OK;
    }
    if (strcmp(rest.at[0], "check") == 0 && rest.count == 2)
        return check_file(rest.at[1], &sets, json, call->arena, err);
    if (strcmp(rest.at[0], "check") == 0)
        return sea_args_count(&rest, 2, 2, call->usage, err);
    if (strcmp(rest.at[0], "doc") == 0 || strcmp(rest.at[0], "errors") == 0)
        return sea_args_count(&rest, 1, 1, call->usage, err);
    status = sea_fail(err, SEA_E_CONFIG, "\"config %s\" is not a command", rest.at[0]);
    sea_hint(err, "Usage: sea %s", call->usage);
    return status;
}
