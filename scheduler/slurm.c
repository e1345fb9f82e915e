/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slurm by its commands: sbatch, squeue, sacct, scancel.
 *
 * What these commands promise, and what they do not (all seen with 22.05):
 * sbatch may fail after the job was accepted, and may use an id up for one that was refused;
 * a controller that crashes gives an id to two jobs; squeue shows ended jobs for MinJobAge;
 * a terminal state does not mean that the processes are dead; scancel of what is not there
 * exits 0. So nothing here concludes: it reports what was said, or that nothing was.
 */
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "scheduler/sea_backend.h"
#include "scheduler/sea_exec.h"

#define ANSWER_BYTES_MAX ((size_t)256 << 20)
#define ARGS_MAX (32 + SEA_BACKEND_OPTIONS_MAX)
#define SIGNAL_S 120            /* before the time limit: a stage writes its checkpoint */
#define FIELDS 5

static enum sea_status
fail_answer(const char *command, const struct sea_exec_answer *answer, struct sea_err *err)
{
    return sea_fail(err, SEA_E_SERVICE, "%s ended with exit status %d%s%s", command,
                    answer->exit_status, answer->said[0] ? ": " : "", answer->said);
}

/* ---- submit ---- */

struct words {                  /* an argument list, built up */
    struct sea_arena *arena;
    const char *at[ARGS_MAX];
    size_t count;
};

SEA_PRINTF(2) static void
add(struct words *words, const char *fmt, ...)
{
    char text[SEA_BACKEND_ID_MAX + 4200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (words->count + 1 < ARGS_MAX)
        words->at[words->count++] = sea_arena_strdup(words->arena, text);
}

/* "123" or "123;cluster", one whole line: half an answer could be half an id. */
static enum sea_status
read_id(const struct sea_buf *text, char id[SEA_BACKEND_ID_MAX], struct sea_err *err)
{
    size_t digits = text->len ? strspn(text->data, "0123456789") : 0, rest = digits;

    if (digits && text->data[rest] == ';')
        while (rest < text->len && isgraph((unsigned char)text->data[rest]))
            rest++;
    if (!digits || digits >= SEA_BACKEND_ID_MAX || rest + 1 != text->len ||
        text->data[rest] != '\n')
        return sea_fail(err, SEA_E_SERVICE, "sbatch answered \"%.60s\", need the id of a job",
                        text->len ? text->data : "");
    snprintf(id, SEA_BACKEND_ID_MAX, "%.*s", (int)digits, text->data);
    return SEA_OK;
}

/* How long before the limit the job is told. A limit of minutes cannot spare two of them. */
static int64_t
signal_seconds(int64_t minutes)
{
    return minutes && minutes * 15 < SIGNAL_S ? minutes * 15 : SIGNAL_S;
}

static void
order_words(struct words *w, const struct sea_backend_settings *settings,
            const struct sea_backend_order *order)
{
    size_t i;

    add(w, "sbatch");
    add(w, "--parsable");
    add(w, "--no-requeue");
    add(w, "--job-name=%s", order->token);
    add(w, "--comment=%s", order->token);
    add(w, "--nodes=1");
    add(w, "--ntasks=1");
    add(w, "--signal=B:USR1@%lld", (long long)signal_seconds(order->minutes));
    add(w, "--output=%s", order->log);
    if (order->partition)
        add(w, "--partition=%s", order->partition);
    if (order->account)
        add(w, "--account=%s", order->account);
    if (order->qos)
        add(w, "--qos=%s", order->qos);
    if (order->constraint)
        add(w, "--constraint=%s", order->constraint);
    if (order->memory)
        add(w, "--mem=%s", order->memory);
    if (order->gpus)
        add(w, "--gres=%s:%lld", settings->gres, (long long)order->gpus);
    if (order->cpus)
        add(w, "--cpus-per-task=%lld", (long long)order->cpus);
    if (order->minutes)
        add(w, "--time=%lld", (long long)order->minutes);
    for (i = 0; i < settings->options_count; i++)
        add(w, "%s", settings->options[i]);
    add(w, "%s", order->script);
    w->at[w->count] = NULL;
}

static enum sea_status
slurm_submit(const struct sea_backend_settings *settings, const struct sea_backend_order *order,
             char id[SEA_BACKEND_ID_MAX], const volatile sig_atomic_t *stop, struct sea_err *err)
{
    struct words words = { .arena = sea_arena_create(NULL, "sbatch") };
    struct sea_exec_answer answer;
    enum sea_status status;

    id[0] = 0;
    order_words(&words, settings, order);
    status = sea_exec_run(&(struct sea_exec){ .argv = words.at, .folder = settings->bin,
                                              .limit_ms = settings->submit_ms, .stop = stop },
                          ANSWER_BYTES_MAX, &answer, err);
    if (!status && answer.exit_status != 0)
        status = fail_answer("sbatch", &answer, err);
    if (!status)
        status = read_id(&answer.out, id, err);
    sea_exec_release(&answer);
    sea_arena_destroy(words.arena);
    return status;
}

/* ---- states ---- */

/* What a state that does not change any more means for an attempt that did not write its own
 * end. CANCELLED and DEADLINE: somebody wanted it to end for good. */
static const struct {
    const char *state, *class;
} over[] = {
    { "COMPLETED", "infra" },           /* ended well, and wrote nothing: it never ran */
    { "PREEMPTED", "preempted" },
    { "NODE_FAIL", "infra" },
    { "BOOT_FAIL", "infra" },
    { "TIMEOUT", "timeout" },
    { "OUT_OF_MEMORY", "oom" },
    { "FAILED", "error" },
    { "CANCELLED", "invalid" },
    { "DEADLINE", "invalid" },
    { "REVOKED", "infra" },
};

static void
judge(struct sea_backend_sight *sight)
{
    size_t len = strcspn(sight->state, " +"), i;        /* "CANCELLED by 1000", "CANCELLED+" */

    sight->phase = strncmp(sight->state, "PENDING", 7) == 0 ? SEA_BACKEND_WAITS
                                                            : SEA_BACKEND_RUNS;
    for (i = 0; i < sizeof(over) / sizeof(over[0]); i++)
        if (strlen(over[i].state) == len && strncmp(sight->state, over[i].state, len) == 0) {
            sight->phase = SEA_BACKEND_OVER;
            sight->class = over[i].class;
            /* A refused submission can leave a failed job that never had a node. */
            sight->was_refused = !sight->node && strcmp(over[i].state, "FAILED") == 0;
        }
}

/* ---- poll ---- */

static const char *
said_or_null(const char *text)
{
    static const char *const nothing[] = { "", "None", "(null)", "n/a", "N/A", "None assigned",
                                           "Unknown" };
    size_t i;

    for (i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
        if (strcmp(text, nothing[i]) == 0)
            return NULL;
    return text;
}

/* "ID|STATE|REASON|NODES|NAME": the name comes last, because others' names may hold anything.
 * False for lines that are none of ours. The line is changed. */
static bool
read_sight(char *line, struct sea_backend_sight *out)
{
    char *field[FIELDS];
    size_t i;

    field[0] = line;
    for (i = 1; i < FIELDS; i++) {
        char *bar = strchr(field[i - 1], '|');

        if (!bar)
            return false;
        *bar = 0;
        field[i] = bar + 1;
    }
    *out = (struct sea_backend_sight){ .id = field[0], .state = field[1],
                                       .reason = said_or_null(field[2]),
                                       .node = said_or_null(field[3]), .token = field[4] };
    if (!isdigit((unsigned char)field[0][0]) || strlen(field[0]) >= SEA_BACKEND_ID_MAX ||
        strncmp(field[4], SEA_BACKEND_PREFIX, strlen(SEA_BACKEND_PREFIX)) != 0)
        return false;
    judge(out);
    return true;
}

/* A last line without its end is half an answer: it counts as none. */
static enum sea_status
read_sights(const char *command, const struct sea_buf *text, struct sea_arena *arena,
            struct sea_backend_sights *out, struct sea_err *err)
{
    char *copy, *line, *end;
    size_t lines = 0;

    *out = (struct sea_backend_sights){ 0 };
    if (text->len == 0)
        return SEA_OK;
    if (text->data[text->len - 1] != '\n' || strlen(text->data) != text->len)
        return sea_fail(err, SEA_E_SERVICE, "the answer of %s is cut off after %zu bytes", command,
                        text->len);
    copy = sea_arena_strdup(arena, text->data);
    for (line = copy; (end = strchr(line, '\n')); line = end + 1)
        lines++;
    out->at = sea_arena_alloc(arena, lines, sizeof(*out->at));
    for (line = copy; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        if (read_sight(line, &out->at[out->count]))
            out->count++;
    }
    sea_backend_sort(out);
    return SEA_OK;
}

static enum sea_status
ask(const struct sea_backend_settings *settings, const char *const *argv, struct sea_arena *arena,
    struct sea_backend_sights *out, const volatile sig_atomic_t *stop, struct sea_err *err)
{
    struct sea_exec_answer answer;
    enum sea_status status;

    *out = (struct sea_backend_sights){ 0 };
    status = sea_exec_run(&(struct sea_exec){ .argv = argv, .folder = settings->bin,
                                              .limit_ms = settings->command_ms, .stop = stop },
                          ANSWER_BYTES_MAX, &answer, err);
    if (!status && answer.exit_status != 0)
        status = fail_answer(argv[0], &answer, err);
    if (!status)
        status = read_sights(argv[0], &answer.out, arena, out, err);
    sea_exec_release(&answer);
    return status;
}

/* One look at all jobs: with a list of ids, one that has ended would fail the whole call. */
static enum sea_status
slurm_poll(const struct sea_backend_settings *settings, struct sea_arena *arena,
           struct sea_backend_sights *out, const volatile sig_atomic_t *stop, struct sea_err *err)
{
    static const char *const argv[] = { "squeue", "-h", "-r", "-a", "-t", "all", "-o",
                                        "%i|%T|%r|%N|%j", NULL };

    return ask(settings, argv, arena, out, stop, err);
}

/* ---- the books ---- */

static enum sea_status
slurm_find(const struct sea_backend_settings *settings, const char *token, struct sea_arena *arena,
           struct sea_backend_sights *out, const volatile sig_atomic_t *stop, struct sea_err *err)
{
    bool is_file = strcmp(settings->accounting, "jobcomp") == 0;
    const char *name = sea_arena_printf(arena, "--name=%s", token);
    /* The default window hides old jobs; -X: no steps; -D: those that were started again, too. */
    const char *const books[] = { "sacct", "-n", "-P", "-X", "-D", "-S", "now-30days", name, "-o",
                                  "JobIDRaw,State,Partition,NodeList,JobName", NULL };
    const char *const file[] = { "sacct", "-c", "-n", "-P", "-S", "now-30days", name, "-o",
                                 "JobID,State,Partition,NodeList,JobName", NULL };
    struct sea_err mine = { 0 };
    enum sea_status status;
    size_t count, i;

    *out = (struct sea_backend_sights){ 0 };
    if (strcmp(settings->accounting, "none") == 0)
        return SEA_OK;
    status = ask(settings, is_file ? file : books, arena, out, stop, &mine);
    /* "auto": a cluster without slurmdbd keeps no books, and says so. */
    if (status && strcmp(settings->accounting, "auto") == 0 &&
        strstr(mine.message, "accounting storage is disabled"))
        return SEA_OK;
    if (status)
        *err = mine;
    count = out->count;
    for (i = out->count = 0; i < count; i++)    /* --name takes a list: look again */
        if (strcmp(out->at[i].token, token) == 0) {
            out->at[out->count] = out->at[i];
            out->at[out->count++].reason = NULL;        /* the partition stood there */
        }
    return status;
}

/* ---- cancel ---- */

static enum sea_status
slurm_cancel(const struct sea_backend_settings *settings, const char *token, const char *id,
             const volatile sig_atomic_t *stop, struct sea_err *err)
{
    char name[128];
    const char *argv[] = { "scancel", name, id, NULL };
    struct sea_exec_answer answer;
    enum sea_status status;

    /* Both have to fit: the id may belong to another job by now. */
    snprintf(name, sizeof(name), "--name=%s", token);
    status = sea_exec_run(&(struct sea_exec){ .argv = argv, .folder = settings->bin,
                                              .limit_ms = settings->command_ms, .stop = stop },
                          ANSWER_BYTES_MAX, &answer, err);
    if (!status && answer.exit_status != 0)
        status = fail_answer("scancel", &answer, err);
    sea_exec_release(&answer);
    return status;
}

const struct sea_backend sea_backend_slurm = {
    .name = "slurm", .submit = slurm_submit, .poll = slurm_poll, .find = slurm_find,
    .cancel = slurm_cancel,
};
