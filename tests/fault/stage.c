/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.c - a stage of a few milliseconds, for thousands of faults
 *
 * Called like `sea stage NAME --config F --in K=D ... --out D --events 3`. Adds the numbers 1 to
 * "steps" with a pause after each, tells each as a metric, writes a checkpoint every three, goes
 * on from the newest one, and leaves result.txt and manifest.json. Every step appends a line to
 * the file named by SEA_FAULT_HISTORY: what ran when, outside the database.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_manifest.h"

#define EVERY 3

static volatile sig_atomic_t stopped;
static const char *name, *out;
static long long stage_id, epoch, seed;
static int history = -1;

static void
on_term(int number)
{
    (void)number;
    stopped = 1;
}

static void
note(const char *what)
{
    char line[160];
    int len = snprintf(line, sizeof(line), "%s %lld %lld %lld %ld\n", what, stage_id, epoch,
                       (long long)sea_clock_ms(), (long)getpid());

    if (history >= 0 && write(history, line, (size_t)len) != len)
        _exit(70);
}

static void
say(const char *fmt, long long a, long long b)
{
    char line[256];
    int len;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    len = snprintf(line, sizeof(line), fmt, a, b);
#pragma GCC diagnostic pop
    if (write(3, line, (size_t)len) != len)
        _exit(74);
}

static void
save(long long at, long long sum)
{
    char folder[SEA_PATH_MAX], temp[SEA_PATH_MAX + 8], path[SEA_PATH_MAX + 24], text[96];
    struct sea_err err = { 0 };
    int len;

    snprintf(folder, sizeof(folder), "%s/checkpoint/step-%08lld", out, at);
    snprintf(temp, sizeof(temp), "%s.tmp", folder);
    len = snprintf(text, sizeof(text), "%lld %lld\n", at, sum);
    snprintf(path, sizeof(path), "%s/state", temp);
    if (sea_dir_create(temp, &err) || sea_file_replace(path, text, (size_t)len, &err))
        exit(74);
    len = snprintf(text, sizeof(text), "{\"files\":[{\"path\":\"state\",\"bytes\":%d}]}", len);
    snprintf(path, sizeof(path), "%s/DONE", temp);
    if (sea_file_replace(path, text, (size_t)len, &err) || sea_dir_remove(folder, &err) ||
        rename(temp, folder))
        exit(74);
    say("{\"t\":\"checkpoint\",\"path\":\"checkpoint/step-%08lld\",\"step\":%lld}\n", at, at);
}

/* The newest whole checkpoint: the highest step wins. */
static void
resume(long long *at, long long *sum)
{
    char path[SEA_PATH_MAX];
    long long step;

    for (step = 999; step > 0; step--) {
        FILE *from;

        snprintf(path, sizeof(path), "%s/checkpoint/step-%08lld/DONE", out, step);
        if (access(path, F_OK))
            continue;
        snprintf(path, sizeof(path), "%s/checkpoint/step-%08lld/state", out, step);
        from = fopen(path, "r");
        if (!from || fscanf(from, "%lld %lld", at, sum) != 2)
            exit(70);
        fclose(from);
        return;
    }
}

static long long
field(const char *config, const char *key, long long fallback)
{
    char quoted[48];
    const char *found;

    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    found = strstr(config, quoted);
    return found ? strtoll(found + strlen(quoted), NULL, 10) : fallback;
}

static void
finish(long long sum)
{
    char path[SEA_PATH_MAX], text[128], key[80];
    struct sea_err err = { 0 };
    int len;

    snprintf(path, sizeof(path), "%s/checkpoint", out);
    if (sea_dir_remove(path, &err))
        exit(74);
    len = snprintf(text, sizeof(text), "%s %lld %lld\n", name, seed, sum);
    snprintf(path, sizeof(path), "%s/result.txt", out);
    snprintf(key, sizeof(key), "%064lld", seed);
    if (sea_file_replace(path, text, (size_t)len, &err) ||
        sea_manifest_write(out, name, key, NULL, &err))
        exit(74);
}

int
main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_term };
    const char *config = NULL, *at_dot;
    struct sea_err err = { 0 };
    struct sea_buf text;
    long long at = 0, sum = 0, steps, pause;
    int i;

    sigaction(SIGTERM, &action, NULL);
    name = argc > 2 ? argv[2] : "";
    for (i = 3; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--config") == 0)
            config = argv[i + 1];
        else if (strcmp(argv[i], "--out") == 0)
            out = argv[i + 1];
    if (!config || !out)
        return 64;
    sea_buf_init(&text, 1 << 20);
    if (sea_file_read(config, &text, &err))
        return 66;
    seed = field(text.data, "seed", 0);
    steps = field(text.data, "steps", 6);
    pause = field(text.data, "pause", 5);
    /* .../STAGE.EPOCH/out */
    at_dot = strrchr(out, '/');
    while (at_dot > out && at_dot[-1] != '/')
        at_dot--;
    stage_id = strtoll(at_dot, NULL, 10);
    epoch = strtoll(strchr(at_dot, '.') + 1, NULL, 10);
    if (getenv("SEA_FAULT_HISTORY"))
        history = open(getenv("SEA_FAULT_HISTORY"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    note("begin");
    resume(&at, &sum);
    while (at < steps) {
        sum += ++at;
        say("{\"t\":\"metric\",\"name\":\"sum\",\"step\":%lld,\"value\":%lld}\n", at, sum);
        if (at % EVERY == 0)
            save(at, sum);
        note("step");
        sea_clock_sleep_ms(pause);
        if (stopped) {
            save(at, sum);
            return 75;
        }
    }
    finish(sum);
    note("end");
    return 0;
}
