/* SPDX-License-Identifier: Apache-2.0 */
/* The program: finds the command, calls it, reports one error. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_version.h"
#include "pipeline/sea_near.h"
#include "scheduler/sea_command.h"

struct command {
    const char *name;
    sea_command_fn *run;
    const char *usage;          /* what follows "sea " */
    const char *about;
};

/* clang-format off */
static const struct command commands[] = {
    { "up",          sea_cmd_up,          "up [--data DIR] [--workers N] [--device D] [--gpus N] [--ttl SECONDS]", "start PostgreSQL (private), scheduler and worker" },
    { "down",        sea_cmd_down,        "down [--data DIR]", "stop what up started" },
    { "submit",      sea_cmd_submit,      "submit FILE [--set KEY=VALUE …] [--key K] [--wait] [--json]", "queue an experiment" },
    { "run",         sea_cmd_run,         "run FILE [--set KEY=VALUE …]", "submit an experiment and work it to the end here" },
    { "plan",        sea_cmd_plan,        "plan FILE|DIR [--set KEY=VALUE …] [--json]", "what an experiment would cost, before it is queued" },
    { "status",      sea_cmd_status,      "status [ID] [--limit N] [--json]", "experiments and their stages" },
    { "logs",        sea_cmd_logs,        "logs ID [-f] [--json]", "what the stages of an experiment said" },
    { "cancel",      sea_cmd_cancel,      "cancel ID", "cancel an experiment" },
    { "retry",       sea_cmd_retry,       "retry ID", "submit a failed or cancelled experiment again, as a new one" },
    { "why",         sea_cmd_why,         "why ID [--json]", "why a stage is not running" },
    { "get",         sea_cmd_get,         "get ID [STAGE --out DIR] [--json]", "list the files of an experiment, or write one stage's to a folder" },
    { "leaderboard", sea_cmd_leaderboard, "leaderboard [--suite S] [--benchmark B] [--format table|csv|json|jsonl|md]", "scores with intervals" },
    { "compare",     sea_cmd_compare,     "compare A B | --last [--control] [--json]", "paired test of two experiments" },
    { "study",       sea_cmd_study,       "study [NAME] [--json]", "sweeps that are thinned out while they run" },
    { "nightly",     sea_cmd_nightly,     "nightly add FILE | list | enable NAME | disable NAME | run NAME [--wait] | report [NAME] [--night DATE] [--format text|md|json] | mark ID STATE [--note TEXT]", "evaluate on a schedule, and tell what got worse" },
    { "worker",      sea_cmd_worker,      "worker [--device D] [--gpus N] [--queue NAME] [--once]", "claim stages and run them" },
    { "workers",     sea_cmd_workers,     "workers [--json]", "who works where, and who holds which GPU" },
    { "scheduler",   sea_cmd_scheduler,   "scheduler", "promote, resolve and rescue stages" },
    { "serve",       sea_cmd_serve,       "serve [--port N] [--metrics]", "dashboard over HTTP, numbers for Prometheus" },
    { "drain",       sea_cmd_drain,       "drain [WORKER|all] [--now] [--json]", "list workers; let them leave after their stage" },
    { "gc",          sea_cmd_gc,          "gc [--dry-run] [--grace MINUTES] [--keep DAYS] [--json]", "remove files of the store that nothing refers to" },
    { "migrate",     sea_cmd_migrate,     "migrate [--to N [--lose-data]] [--json]", "bring the database's schema up to date, or back" },
    { "doctor",      sea_cmd_doctor,      "doctor [--store] [--json]", "what is installed, what is wrong, how to mend it" },
    { "config",      sea_cmd_config,      "config check FILE | config doc | config errors", "check an experiment file; print the reference of keys, of errors" },
    { "stage",       sea_cmd_stage,       "stage foundation|label|align|tune|eval --config FILE --in KEY=DIR … --out DIR [--events FD|FILE] [--device D] [--ranks N]", "run one stage alone, without PostgreSQL" },
    { "data",        sea_cmd_data,        "data scenes --out DIR [--train N] [--eval N] [--kinds K] [--seed S] | data overlap --train F --bench NAME --questions F [--train-images DIR --images DIR] | data parquet F [--head N] [--json] [--out F --images DIR]", "make the demo data set; find questions that training has seen; read Parquet" },
    { "model",       sea_cmd_model,       "model inspect|plan|logits|generate --model DIR …", "look at a model alone" },
    { "tokenize",    sea_cmd_tokenize,    "tokenize --model DIR", "one text per line on stdin to one JSON array of ids" },
    { "detokenize",  sea_cmd_detokenize,  "detokenize --model DIR", "one JSON array of ids per line to text" },
    { "image",       sea_cmd_image,       "image --model DIR --image FILE [--aspect pad|square] --out FILE.safetensors", "the pixels that the vision tower sees" },
    { "score",       sea_cmd_score,       "score BENCH --questions F --answers F [--annotations F …] [--json] | score --list", "score an answer file, no model needed" },
    { "bench",       sea_cmd_bench,       "bench gemm|attention|train|generate|label|queue [--device D] [--json]", "speed of this machine and this build" },
};
/* clang-format on */
#define COMMANDS_COUNT (sizeof(commands) / sizeof(commands[0]))

static void
print_help(FILE *to)
{
    size_t i;

    fprintf(to, "sea %s: train and evaluate multimodal language models from a queue\n\n",
            SEA_VERSION);
    for (i = 0; i < COMMANDS_COUNT; i++)
        fprintf(to, "  sea %-12s %s\n", commands[i].name, commands[i].about);
    fprintf(to, "\n  sea COMMAND --help tells a command's options. Start: sea doctor\n");
}

static bool
is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static const struct command *
find_command(const char *name)
{
    size_t i;

    for (i = 0; i < COMMANDS_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* A write that failed inside a command left its mark on the stream, but no errno. */
static enum sea_status
finish_output(struct sea_err *err)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
    int flushed = fflush(stdout), why = flushed ? errno : 0;

    if (why == EPIPE || (!flushed && !ferror(stdout)) ||
        (poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP))))
        return SEA_OK;          /* all is written, or the reader went away */
    sea_fail(err, SEA_E_IO, "could not write all to standard output%s%s", why ? ": " : "",
             why ? strerror(why) : "");
    sea_hint(err, "The disk that it goes to may be full, or it was closed (`>&-`).");
    return SEA_E_IO;
}

/* A caller may have closed them. The next file that is opened would take their numbers, and what
 * is meant for people would be written into it: a data file, or the connection to PostgreSQL.
 * Here reading finds the end, and writing fails. */
static void
hold_standard_files(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static enum sea_status
unknown_command(const char *name, struct sea_err *err)
{
    const char *near = commands[0].name;
    size_t i;

    for (i = 1; i < COMMANDS_COUNT; i++)
        if (sea_near_distance(name, commands[i].name) < sea_near_distance(name, near))
            near = commands[i].name;
    sea_fail(err, SEA_E_CONFIG, "unknown command \"%s\"", name);
    if (sea_near_distance(name, near) < 3)
        sea_hint(err, "Did you mean `sea %s`? `sea --help` lists the commands.", near);
    else
        sea_hint(err, "`sea --help` lists the commands.");
    return SEA_E_CONFIG;
}

/* The result of the whole program: its last output, one error. */
static int
end(enum sea_status status, struct sea_err *err)
{
    if (!status)
        status = finish_output(err);
    if (status)
        sea_err_print(err, "sea", stderr);
    return sea_status_exit(status);
}

int
main(int argc, char **argv)
{
    static char program[PATH_MAX];
    struct sea_err err = { 0 };
    const struct command *command;
    struct sea_call call;
    enum sea_status status;
    int code;

    hold_standard_files();
    /* A reader that goes away (`sea logs | head`) is an ordinary end, seen as EPIPE. */
    signal(SIGPIPE, SIG_IGN);
    /* Whoever started us may have ignored it: then the ends of children are told to nobody. */
    signal(SIGCHLD, SIG_DFL);
    if (argc == 3 && strcmp(argv[1], "help") == 0) {    /* sea help COMMAND */
        argv[1] = argv[2];
        argv[2] = "--help";
    }
    if (argc < 2 || is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? sea_status_exit(SEA_E_CONFIG) : end(SEA_OK, &err);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("sea %s\n", SEA_VERSION);
        return end(SEA_OK, &err);
    }
    command = find_command(argv[1]);
    if (!command)
        return end(unknown_command(argv[1], &err), &err);
    if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
        snprintf(program, sizeof(program), "%s", argv[0]);
    if (argc > 2 && is_help(argv[2]))
        printf("sea %s: %s\n", command->name, command->about);
    call = (struct sea_call){ .argc = argc - 2, .argv = argv + 2, .usage = command->usage,
                              .program = program,
                              .arena = sea_arena_create(NULL, command->name) };
    status = command->run(&call, &err);
    code = end(status, &err);
    sea_arena_destroy(call.arena);
    return code;
}
