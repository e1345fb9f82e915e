/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime of a stage: what stands around its body. */
#include "pipeline/sea_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "engine/sea_checkpoint.h"
#include "engine/base/sea_version.h"
#include "pipeline/sea_manifest.h"
#include "pipeline/sea_ranks.h"
#include "pipeline/sea_stage_body.h"

#define MARK_BYTES_MAX ((size_t)1 << 16)

struct body {
    struct sea_stage_def def;
    sea_stage_fn *run;
};

static const struct body bodies[] = {
    { { "foundation", SEA_BIT_FOUNDATION, { NULL, NULL },
        "trains a small CLIP and a small language model" }, sea_stage_foundation },
    { { "label", SEA_BIT_LABEL, { "foundation", NULL },
        "names every image patch with words" }, sea_stage_label },
    { { "align", SEA_BIT_ALIGN, { "foundation", "label" },
        "trains the adapter: captions, and SEA's loss on labelled patches" }, sea_stage_align },
    { { "tune", SEA_BIT_TUNE, { "foundation", "align" },
        "instruction tuning of adapter and language model" }, sea_stage_tune },
    { { "eval", SEA_BIT_EVAL, { "tune", NULL },
        "answers the questions of a suite and scores them" }, sea_stage_eval },
};
#define BODIES_COUNT (sizeof(bodies) / sizeof(bodies[0]))

/* Written by the signal handler, read between steps. */
static volatile sig_atomic_t stop_signal;

static const struct body *
find_body(const char *name)
{
    size_t i;

    for (i = 0; i < BODIES_COUNT; i++)
        if (strcmp(bodies[i].def.name, name) == 0)
            return &bodies[i];
    return NULL;
}

const struct sea_stage_def *
sea_stage_find(const char *name)
{
    const struct body *body = find_body(name);

    return body ? &body->def : NULL;
}

size_t
sea_stage_parents(const struct sea_node *config, const struct sea_stage_def *def,
                  const char *out[SEA_STAGE_INPUTS_MAX])
{
    unsigned running = sea_experiment_stages(config);
    bool foundation = sea_experiment_uses_foundation(config);
    size_t i, n = 0;

    for (i = 0; i < SEA_STAGE_INPUTS_MAX && def->inputs[i]; i++) {
        const struct sea_stage_def *parent = sea_stage_find(def->inputs[i]);

        if (parent->bit == SEA_BIT_FOUNDATION ? foundation : (running & parent->bit) != 0)
            out[n++] = def->inputs[i];
    }
    return n;
}

/* ---- stopping ---- */

static void
on_signal(int number)
{
    stop_signal = number;
}

static void
catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    stop_signal = 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    action.sa_flags = SA_RESETHAND;     /* a second ^C ends at once */
    sigaction(SIGINT, &action, NULL);
}

bool
sea_stage_is_stopped(void)
{
    return stop_signal != 0;
}

enum sea_status
sea_stage_stop(const struct sea_stage *stage, struct sea_err *err)
{
    sea_fail(err, SEA_E_STOPPED, "stage %s stopped on request", stage->def->name);
    sea_hint(err, "Start it again with the same --out to go on from here.");
    return SEA_E_STOPPED;
}

/* ---- the output folder ---- */

static enum sea_status
write_mark(struct sea_stage *stage, struct sea_err *err)
{
    struct sea_node *mark = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP);

    sea_node_put_text(stage->arena, mark, "stage", stage->def->name);
    sea_node_put_text(stage->arena, mark, "key", stage->key);
    sea_node_put_int(stage->arena, mark, "phase", stage->phase);
    return sea_stage_write_json(stage, SEA_STAGE_MARK, mark, err);
}

enum sea_status
sea_stage_set_phase(struct sea_stage *stage, int64_t phase, struct sea_err *err)
{
    stage->phase = phase;
    return write_mark(stage, err);
}

static enum sea_status
refuse_folder(const struct sea_stage *stage, const char *whose, struct sea_err *err)
{
    sea_fail(err, SEA_E_CONFIG, "output folder \"%s\" holds %s", stage->out, whose);
    sea_hint(err, "Give --out a new or empty folder.");
    return SEA_E_CONFIG;
}

static enum sea_status
found_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    (void)relative;
    (void)bytes;
    (void)err;
    *(bool *)arg = true;
    return SEA_OK;
}

/* Left behind by a process that was killed in the middle of a write. */
static enum sea_status
remove_temporary(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    const char *tmp = strstr(relative, ".tmp.");
    char path[SEA_PATH_MAX];
    enum sea_status status;

    (void)bytes;
    if (!tmp || strspn(tmp + 5, "0123456789") != strlen(tmp + 5) || !tmp[5] ||
        strncmp(relative, "checkpoint/", 11) == 0)
        return SEA_OK;
    status = sea_path_join(path, arg, relative, err);
    if (!status && unlink(path) < 0 && errno != ENOENT)
        status = sea_fail_errno(err, "could not remove \"%s\"", path);
    return status;
}

/* *done: the work is finished already. */
static enum sea_status
claim_folder(struct sea_stage *stage, bool *done, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct sea_manifest manifest;
    struct sea_node *mark;
    bool any = false;
    enum sea_status status = sea_dir_create(stage->out, err);

    *done = false;
    if (!status)
        status = sea_stage_path(stage, SEA_MANIFEST_NAME, path, err);
    if (status)
        return status;
    if (sea_file_exists(path)) {
        status = sea_manifest_load(stage->out, stage->arena, &manifest, err);
        if (status)
            return status;
        if (strcmp(manifest.stage, stage->def->name) != 0 ||
            strcmp(manifest.key, stage->key) != 0)
            return refuse_folder(stage, "a finished stage of another configuration", err);
        *done = true;
        return SEA_OK;
    }
    status = sea_stage_path(stage, SEA_STAGE_MARK, path, err);
    if (status)
        return status;
    if (!sea_file_exists(path)) {
        status = sea_dir_walk(stage->out, found_file, &any, err);
        if (!status && any)
            status = refuse_folder(stage, "files that no stage has made", err);
        return status ? status : write_mark(stage, err);
    }
    status = sea_json_load(path, MARK_BYTES_MAX, stage->arena, &mark, err);
    if (status)
        return status;
    if (strcmp(sea_node_text(sea_node_get(mark, "stage"), ""), stage->def->name) != 0 ||
        strcmp(sea_node_text(sea_node_get(mark, "key"), ""), stage->key) != 0)
        return refuse_folder(stage, "unfinished work of another stage or configuration", err);
    stage->phase = sea_node_int(sea_node_get(mark, "phase"), 0);
    return sea_dir_walk(stage->out, remove_temporary, (void *)(uintptr_t)stage->out, err);
}

static enum sea_status
lock_folder(const struct sea_stage *stage, int *fd, struct sea_err *err)
{
    *fd = open(stage->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return sea_fail_errno(err, "could not open folder \"%s\"", stage->out);
    if (flock(*fd, LOCK_EX | LOCK_NB) < 0) {
        sea_fail_errno(err, "could not lock folder \"%s\"", stage->out);
        sea_hint(err, "Another process works in it; wait for it or give --out another folder.");
        return err->status;
    }
    return SEA_OK;
}

/* ---- inputs and provenance ---- */

static enum sea_status
read_inputs(struct sea_stage *stage, const struct sea_stage_options *options,
            struct sea_err *err)
{
    const char *parents[SEA_STAGE_INPUTS_MAX];
    size_t i, j, count = sea_stage_parents(stage->config, stage->def, parents);
    enum sea_status status = SEA_OK;

    stage->inputs = sea_arena_alloc(stage->arena, SEA_STAGE_INPUTS_MAX, sizeof(*stage->inputs));
    for (i = 0; i < options->inputs_count; i++) {
        for (j = 0; j < count && strcmp(parents[j], options->inputs[i].key) != 0; j++)
            ;
        if (j == count) {
            sea_fail(err, SEA_E_CONFIG, "stage %s of this experiment takes no input \"%s\"",
                     stage->def->name, options->inputs[i].key);
            return SEA_E_CONFIG;
        }
    }
    for (j = 0; j < count && !status; j++) {
        struct sea_stage_input *input = &stage->inputs[stage->inputs_count];
        struct sea_manifest manifest = { 0 };

        for (i = 0; i < options->inputs_count; i++)
            if (strcmp(parents[j], options->inputs[i].key) == 0)
                break;
        if (i == options->inputs_count) {
            sea_fail(err, SEA_E_MISSING, "stage %s needs the folder of stage %s",
                     stage->def->name, parents[j]);
            sea_hint(err, "Give it --in %s=DIR.", parents[j]);
            return SEA_E_MISSING;
        }
        *input = options->inputs[i];
        status = sea_manifest_load(input->dir, stage->arena, &manifest, err);
        if (!status)
            status = sea_manifest_verify(input->dir, &manifest, false, err);
        if (!status && strcmp(manifest.stage, input->key) != 0)
            status = sea_fail(err, SEA_E_CONFIG, "folder \"%s\" was made by stage %s, not %s",
                              input->dir, manifest.stage, input->key);
        if (status)
            sea_context(err, "while opening input %s=%s", input->key, input->dir);
        input->digest = manifest.digest;
        stage->inputs_count++;
    }
    return status;
}

static struct sea_node *
make_provenance(const struct sea_stage *stage)
{
    struct sea_node *root = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP), *map;
    size_t i;

    sea_node_put_text(stage->arena, root, "program", "sea " SEA_VERSION);
    sea_node_put_text(stage->arena, root, "numerics",
                      sea_stage_numerics(stage->def, stage->config));
    sea_node_put_text(stage->arena, root, "device", sea_device_text(&stage->device));
    map = sea_node_put(stage->arena, root, "inputs", SEA_NODE_MAP);
    for (i = 0; i < stage->inputs_count; i++)
        sea_node_put_text(stage->arena, map, stage->inputs[i].key, stage->inputs[i].digest);
    sea_node_put_copy(stage->arena, root, "config", stage->config);
    return root;
}

static enum sea_status
finish(struct sea_stage *stage, struct sea_err *err)
{
    char mark[SEA_PATH_MAX];
    struct sea_manifest manifest;
    enum sea_status status = sea_checkpoint_remove(stage->out, err);
    size_t i;

    if (!status)
        status = sea_dir_walk(stage->out, remove_temporary, (void *)(uintptr_t)stage->out, err);
    if (!status)
        status = sea_manifest_write(stage->out, stage->def->name, stage->key,
                                    make_provenance(stage), err);
    if (!status)
        status = sea_manifest_load(stage->out, stage->arena, &manifest, err);
    if (!status)
        status = sea_stage_path(stage, SEA_STAGE_MARK, mark, err);
    if (status)
        return status;
    unlink(mark);               /* a leftover beside a manifest means nothing */
    for (i = 0; i < manifest.files_count; i++)
        sea_events_artifact(stage->events, manifest.files[i].path);
    sea_events_artifact(stage->events, SEA_MANIFEST_NAME);
    return sea_events_check(stage->events, err);
}

/* ---- running ---- */

/* The option, where one is given, else the experiment. */
static const char *
choose_device(const struct sea_stage *stage, const struct sea_stage_options *options)
{
    return options->device && options->device[0] ? options->device
                                                 : sea_stage_text(stage, "resources.device");
}

static enum sea_status
prepare(struct sea_stage *stage, const struct sea_stage_options *options, struct sea_err *err)
{
    struct sea_experiment experiment;
    enum sea_status status = sea_experiment_one(options->config_path, stage->arena, &experiment,
                                                err);

    if (status)
        return status;
    stage->config = experiment.config;
    if (!(sea_experiment_stages(stage->config) & stage->def->bit)) {
        sea_fail(err, SEA_E_CONFIG, "experiment \"%s\" has no stage %s", experiment.name,
                 stage->def->name);
        sea_hint(err, "Add a section \"%s\" below \"stages\".", stage->def->name);
        return SEA_E_CONFIG;
    }
    status = read_inputs(stage, options, err);
    if (!status)
        status = sea_stage_key(stage->def->name, stage->config, stage->inputs,
                               stage->inputs_count, stage->key, err);
    if (status)
        return status;
    status = sea_device_open(&stage->device, choose_device(stage, options), err);
    /* The foundation is float32 always: it does not read a key. */
    if (strcmp(sea_stage_precision(stage->def, stage->config), "bf16") == 0)
        stage->device.store = SEA_STORE_BF16;
    return status;
}

/* On rank 0: the folder is ours. All ranks learn whether there is anything to do. */
static enum sea_status
claim(struct sea_stage *stage, int *lock, bool *done, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    if (sea_stage_is_first(stage)) {
        status = sea_dir_create(stage->out, err);
        if (!status)
            status = lock_folder(stage, lock, err);
        if (!status)
            status = claim_folder(stage, done, err);
    }
    return status ? status : sea_comm_broadcast(stage->comm, 0, done, sizeof(*done), err);
}

static void
say_where(const struct sea_stage *stage, const char *device)
{
    char ranks[32] = "";

    if (stage->comm)
        snprintf(ranks, sizeof(ranks), ", %d ranks", sea_comm_size(stage->comm));
    sea_events_log(stage->events, "info", "stage %s, key %.12s, on %s%s", stage->def->name,
                   stage->key, sea_device_text(&stage->device), ranks);
    if (strcmp(device, "auto") == 0 &&
        strcmp(stage->device.ops->name, "cpu") == 0)
        sea_events_log(stage->events, "info", "device auto: no GPU is there, using the CPU");
}

static enum sea_status
work(struct sea_stage *stage, const struct body *body, const char *device, struct sea_err *err)
{
    bool done = false;
    int lock = -1;
    enum sea_status status = claim(stage, &lock, &done, err);

    if (status)
        goto out;
    if (done) {
        sea_events_log(stage->events, "info", "\"%s\" is finished already", stage->out);
        goto out;
    }
    say_where(stage, device);
    status = body->run(stage, err);
    if (!status && sea_stage_is_first(stage))
        status = finish(stage, err);
out:
    if (lock >= 0)
        close(lock);
    return status;
}

/* Joins the other ranks, which must be at the same work. */
static enum sea_status
join(struct sea_stage *stage, const struct sea_rank *rank, struct sea_err *err)
{
    const struct sea_comm_options options = {
        .rank = rank->rank, .size = rank->size, .timeout_ms = rank->timeout_ms,
        .links = rank->links, .rendezvous = rank->rendezvous, .word = stage->key };

    return rank->size > 1 ? sea_comm_open(&stage->comm, &options, err) : SEA_OK;
}

enum sea_status
sea_stage_run_rank(const struct sea_stage_options *options, const struct sea_rank *rank,
                   struct sea_err *err)
{
    const struct body *body = find_body(options->name);
    struct sea_stage stage = { .out = options->out_dir, .events = rank->events };
    struct sea_comm *comm = NULL;
    enum sea_status status = SEA_OK;

    if (!rank->events && rank->rank == 0)
        status = sea_events_open(&stage.events, options->events, err);
    if (status)
        return status;
    if (!body) {
        status = sea_fail(err, SEA_E_CONFIG, "unknown stage \"%s\"", options->name);
        sea_hint(err, "Stages are foundation, label, align, tune and eval.");
        goto out;
    }
    catch_signals();
    stage.def = &body->def;
    stage.arena = sea_arena_create(NULL, body->def.name);
    status = prepare(&stage, options, err);
    if (!status)
        status = join(&stage, rank, err);
    comm = stage.comm;
    if (!status)
        status = work(&stage, body, choose_device(&stage, options), err);
out:
    if (status && !rank->quiet)
        sea_events_error(stage.events, err);
    sea_comm_close(comm);
    sea_device_close(&stage.device);
    if (!rank->events)
        sea_events_close(stage.events);
    sea_arena_destroy(stage.arena);
    return status;
}

enum sea_status
sea_stage_run(const struct sea_stage_options *options, struct sea_err *err)
{
    const struct sea_stage_def *def = sea_stage_find(options->name);
    bool trains = def && (def->bit & (SEA_BIT_ALIGN | SEA_BIT_TUNE));
    struct sea_rank rank = { 0 };
    struct sea_comm_place place;
    enum sea_status status = sea_comm_place_read(&place, err);
    int ranks = options->ranks;

    if (!status && place.size > 1 && ranks > 1) {
        status = sea_fail(err, SEA_E_CONFIG, "%d ranks are to be started by rank %d of %d",
                          ranks, place.rank, place.size);
        sea_hint(err, "Give --ranks, or start every rank yourself with SEA_RENDEZVOUS.");
    }
    if (status)
        return status;
    if (place.size > 1 && !trains)      /* one process is enough, and there must be one */
        return place.rank ? SEA_OK : sea_stage_run_rank(options, &rank, err);
    if (place.size > 1) {
        rank = (struct sea_rank){ .rank = place.rank, .size = place.size,
                                  .rendezvous = place.rendezvous,
                                  .timeout_ms = place.timeout_ms };
        return sea_stage_run_rank(options, &rank, err);
    }
    if (trains && !ranks)
        status = sea_ranks_wanted(options, &ranks, err);
    if (status)
        return status;
    return trains && ranks > 1 ? sea_ranks_run(options, ranks, err)
                               : sea_stage_run_rank(options, &rank, err);
}
