/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_command.h - the commands of the one program
 *
 * main.c holds the table; each command parses its own arguments, calls the layers below and
 * returns one status. Results go to stdout, progress and errors to stderr.
 */
#ifndef SEA_COMMAND_H
#define SEA_COMMAND_H

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"

struct sea_call {
    int argc;
    char **argv;                /* after the command's name */
    const char *usage;          /* of the command, for --help and hints */
    const char *program;        /* absolute path of this executable */
    struct sea_arena *arena;    /* ends with the command */
};

typedef enum sea_status sea_command_fn(const struct sea_call *call, struct sea_err *err);

/* stages and tools: no database (cmd/stage.c, cmd/data.c, cmd/model.c, ...) */
sea_command_fn sea_cmd_stage, sea_cmd_data, sea_cmd_model, sea_cmd_tokenize, sea_cmd_detokenize,
    sea_cmd_image, sea_cmd_score, sea_cmd_plan, sea_cmd_config, sea_cmd_doctor, sea_cmd_bench,
    sea_cmd_overlap,            /* sea data overlap */
    sea_cmd_parquet;            /* sea data parquet */
/* the service */
sea_command_fn sea_cmd_up, sea_cmd_down, sea_cmd_migrate, sea_cmd_worker, sea_cmd_scheduler,
    sea_cmd_workers, sea_cmd_serve, sea_cmd_drain, sea_cmd_gc;
/* experiments */
sea_command_fn sea_cmd_submit, sea_cmd_run, sea_cmd_status, sea_cmd_logs, sea_cmd_cancel,
    sea_cmd_retry, sea_cmd_why, sea_cmd_get, sea_cmd_leaderboard, sea_cmd_compare, sea_cmd_nightly,
    sea_cmd_study;

#endif
