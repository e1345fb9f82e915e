/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: k steps, save, load in fresh objects, k steps give the bits of 2 k steps;
 * whatever is torn, cut, changed or left over is passed over with its reason; a write that
 * fails at any byte leaves the checkpoint before it as it was.
 */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_checkpoint.h"
#include "tests/sea_test.h"

static struct sea_device device;
static int folders;             /* each test has its own */

struct run {
    struct sea_arena *arena;
    struct sea_params part[2];
    struct sea_adamw *adamw;
    char dir[400];
};

/* rows: of one matrix; another number is another model. seed: of the first weights. */
static void
run_open(struct run *run, const char *dir, int64_t rows, uint64_t seed)
{
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_COSINE, 40, 0.1));
    struct sea_adamw_part parts[2] = {
        { .name = "adapter", .lr = 1e-2, .weight_decay = 0.1 },
        { .name = "theta", .lr = 1e-3 },
    };
    const int64_t matrix[2] = { rows, 11 }, one = 1;
    struct sea_err err = { 0 };
    int i;

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, sea_test_device(), &err), err);
    memset(run, 0, sizeof(*run));
    run->arena = sea_arena_create(NULL, "test");
    for (i = 0; i < 2; i++) {
        sea_params_init(&run->part[i], run->arena);
        if (i == 0) {
            sea_params_add(&run->part[i], "w.weight", 2, matrix, SEA_INIT_NORMAL, 1);
            sea_params_add(&run->part[i], "w.bias", 1, matrix, SEA_INIT_ONE, 0);
        } else {
            sea_params_add(&run->part[i], "theta", 1, &one, SEA_INIT_ONE, 0);
        }
        CHECK_OK(sea_params_reserve(&run->part[i], &device, true, &err), err);
        CHECK_OK(sea_params_fill(&run->part[i], seed, "part", &err), err);
        parts[i].params = &run->part[i];
    }
    CHECK_OK(sea_adamw_create(&run->adamw, &device, &desc, parts, 2, &err), err);
    if (dir)
        snprintf(run->dir, sizeof(run->dir), "%s", dir);
    else
        snprintf(run->dir, sizeof(run->dir), "%s/run-%d", sea_test_dir(), folders++);
}

static void
run_close(struct run *run)
{
    sea_adamw_destroy(run->adamw);
    sea_params_release(&run->part[0]);
    sea_params_release(&run->part[1]);
    sea_arena_destroy(run->arena);
}

/* Gradients depend on weights and step, so that any lost bit spreads. */
static void
run_steps(struct run *run, int count)
{
    struct sea_err err = { 0 };
    int s, i;

    for (s = 0; s < count; s++) {
        for (i = 0; i < 2; i++) {
            struct sea_params *params = &run->part[i];
            size_t bytes = (size_t)params->floats * sizeof(float);
            float *host = sea_xcalloc((size_t)params->floats, sizeof(*host));
            int64_t k;

            CHECK_OK(sea_device_get(&device, host, params->data, bytes, &err), err);
            for (k = 0; k < params->floats; k++)
                host[k] = host[k] == 0 && k > 0 ? 0 : 0.3f * host[k] + (float)
                    sea_rng_normal_at(9, (uint64_t)sea_adamw_steps(run->adamw), (uint64_t)k);
            CHECK_OK(sea_device_put(&device, params->grad, host, bytes, &err), err);
            free(host);
        }
        CHECK_OK(sea_adamw_step(run->adamw, NULL, &err), err);
    }
}

static struct sea_node *
make_notes(struct sea_arena *arena, int64_t cursor)
{
    struct sea_node *notes = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list;

    sea_node_put_int(arena, notes, "cursor", cursor);
    sea_node_put_int(arena, notes, "big", INT64_C(9007199254740993));
    sea_node_put_real(arena, notes, "third", 1.0 / 3);
    sea_node_put_text(arena, notes, "order", "shuffled \"by\" é\n");
    list = sea_node_put(arena, notes, "losses", SEA_NODE_LIST);
    sea_node_put_real(arena, list, NULL, 0.1);
    sea_node_put_real(arena, list, NULL, 5e-324);
    sea_node_put_real(arena, list, NULL, -1.7976931348623157e308);
    return notes;
}

static void
save(struct run *run)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_checkpoint_save(run->dir, run->adamw,
                                 make_notes(run->arena, sea_adamw_steps(run->adamw)), &err),
             err);
}

/* The step that a fresh run finds in the folder, -1: none. why: reasons, may be NULL. */
static int64_t
found_step(const char *dir, char *why, size_t room)
{
    struct sea_err err = { 0 };
    struct sea_node *notes;
    struct sea_buf skipped;
    struct run run;
    int64_t step;

    sea_buf_init(&skipped, 1 << 16);
    run_open(&run, dir, 6, 77);
    CHECK_OK(sea_checkpoint_load(dir, run.adamw, run.arena, &notes, &skipped, &err), err);
    step = notes ? sea_adamw_steps(run.adamw) : -1;
    if (notes)
        CHECK_INT(sea_node_int(sea_node_get(notes, "cursor"), -5), step);
    if (why)
        snprintf(why, room, "%s", skipped.data ? skipped.data : "");
    sea_buf_release(&skipped);
    run_close(&run);
    return step;
}

static void
check_equal(const struct run *a, const struct run *b)
{
    struct sea_err err = { 0 };
    int i, which;

    for (i = 0; i < 2; i++)
        for (which = 0; which < 3; which++) {
            size_t bytes = (size_t)a->part[i].floats * sizeof(float);
            char *x = sea_xcalloc(bytes, 1), *y = sea_xcalloc(bytes, 1);
            const float *from[2][3] = {
                { a->part[i].data, sea_adamw_m(a->adamw, i), sea_adamw_v(a->adamw, i) },
                { b->part[i].data, sea_adamw_m(b->adamw, i), sea_adamw_v(b->adamw, i) },
            };

            CHECK_OK(sea_device_get(&device, x, from[0][which], bytes, &err), err);
            CHECK_OK(sea_device_get(&device, y, from[1][which], bytes, &err), err);
            CHECK_MSG(memcmp(x, y, bytes) == 0, "part %d, piece %d differs", i, which);
            free(x);
            free(y);
        }
    CHECK_INT(sea_adamw_steps(a->adamw), sea_adamw_steps(b->adamw));
}

static void
a_resumed_run_has_equal_bits(void)
{
    struct sea_err err = { 0 };
    struct run whole, first, second;
    struct sea_node *notes, *losses;
    struct sea_buf skipped;

    sea_buf_init(&skipped, 1 << 16);
    run_open(&whole, NULL, 6, 1);
    run_steps(&whole, 20);
    run_open(&first, NULL, 6, 1);
    run_steps(&first, 10);
    save(&first);
    run_open(&second, first.dir, 6, 2);         /* other first weights: all must be read */
    CHECK_OK(sea_checkpoint_load(second.dir, second.adamw, second.arena, &notes, &skipped,
                                 &err), err);
    check_equal(&first, &second);
    run_steps(&second, 10);
    check_equal(&whole, &second);
    CHECK_INT(skipped.len, 0);
    CHECK_INT(sea_node_int(sea_node_get(notes, "big"), 0), INT64_C(9007199254740993));
    CHECK(sea_node_real(sea_node_get(notes, "third"), 0) == 1.0 / 3);
    CHECK_STR(sea_node_text(sea_node_get(notes, "order"), ""), "shuffled \"by\" é\n");
    losses = sea_node_get(notes, "losses");
    CHECK(losses && losses->count == 3 && losses->first->real == 0.1
          && losses->first->next->real == 5e-324
          && losses->last->real == -1.7976931348623157e308);
    sea_buf_release(&skipped);
    run_close(&whole);
    run_close(&first);
    run_close(&second);
}

/* Pieces of 4 MiB: a part of 1.1 million numbers takes two. */
static void
large_parts_come_back_whole(void)
{
    struct sea_err err = { 0 };
    struct run run, again;
    struct sea_node *notes;
    struct sea_buf skipped;

    sea_buf_init(&skipped, 1 << 16);
    run_open(&run, NULL, 100003, 1);
    run_steps(&run, 2);
    save(&run);
    run_open(&again, run.dir, 100003, 2);
    CHECK_OK(sea_checkpoint_load(run.dir, again.adamw, again.arena, &notes, &skipped, &err),
             err);
    check_equal(&run, &again);
    sea_buf_release(&skipped);
    run_close(&run);
    run_close(&again);
}

/* Number of entries below DIR/checkpoint. */
static int
entries(const char *dir)
{
    char path[512];
    struct dirent *entry;
    int count = 0;
    DIR *list;

    snprintf(path, sizeof(path), "%s/checkpoint", dir);
    list = opendir(path);
    while (list && (entry = readdir(list)) != NULL)
        count += entry->d_name[0] != '.';
    if (list)
        closedir(list);
    return count;
}

static void
only_the_newest_is_kept(void)
{
    struct sea_err err = { 0 };
    char name[64];
    struct run run;

    run_open(&run, NULL, 6, 1);
    CHECK_INT(found_step(run.dir, NULL, 0), -1);
    run_steps(&run, 2);
    save(&run);
    run_steps(&run, 3);
    save(&run);
    save(&run);                 /* the same step once more */
    CHECK_INT(entries(run.dir), 1);
    CHECK_INT(found_step(run.dir, NULL, 0), 5);
    sea_checkpoint_name(5, name);
    CHECK_STR(name, "checkpoint/step-00000005");
    CHECK_OK(sea_checkpoint_remove(run.dir, &err), err);
    CHECK_INT(found_step(run.dir, NULL, 0), -1);
    CHECK_INT(entries(run.dir), 0);
    run_close(&run);
}

/* Copies DIR/checkpoint/FROM to DIR/checkpoint/TO. */
static void
copy_folder(const char *dir, const char *from, const char *to)
{
    static const char *const names[] = { "state.safetensors", "state.json", "DONE" };
    char source[800], target[800];
    struct sea_err err = { 0 };
    int i;

    snprintf(target, sizeof(target), "%s/checkpoint/%s", dir, to);
    CHECK_OK(sea_dir_create(target, &err), err);
    for (i = 0; i < 3; i++) {
        struct sea_buf bytes;

        sea_buf_init(&bytes, 1 << 20);
        snprintf(source, sizeof(source), "%s/checkpoint/%s/%s", dir, from, names[i]);
        snprintf(target, sizeof(target), "%s/checkpoint/%s/%s", dir, to, names[i]);
        CHECK_OK(sea_file_read(source, &bytes, &err), err);
        CHECK_OK(sea_file_replace(target, bytes.data, bytes.len, &err), err);
        sea_buf_release(&bytes);
    }
}

/* A good checkpoint of step 4, and one of step 9 that harm() has spoilt. */
static void
check_harm(void (*harm)(const char *folder), const char *words)
{
    char path[700], why[2000];
    struct run run;

    run_open(&run, NULL, 6, 1);
    run_steps(&run, 4);
    save(&run);
    copy_folder(run.dir, "step-00000004", "keep");
    run_steps(&run, 5);
    save(&run);
    snprintf(path, sizeof(path), "%s/checkpoint", run.dir);
    CHECK_INT(found_step(run.dir, NULL, 0), 9);
    copy_folder(run.dir, "keep", "step-00000004");
    snprintf(path, sizeof(path), "%s/checkpoint/step-00000009", run.dir);
    harm(path);
    CHECK_INT(found_step(run.dir, why, sizeof(why)), 4);
    CHECK_MSG(strstr(why, words) != NULL, "reason is \"%s\", want \"%s\"", why, words);
    run_close(&run);
}

static void
cut_state(const char *folder)
{
    char path[800];
    struct stat st;

    snprintf(path, sizeof(path), "%s/state.safetensors", folder);
    CHECK(stat(path, &st) == 0 && truncate(path, st.st_size - 4) == 0);
}

static void
flip_bit(const char *folder)
{
    char path[800];
    FILE *file;

    snprintf(path, sizeof(path), "%s/state.safetensors", folder);
    file = fopen(path, "r+");
    if (file) {
        int c;

        fseek(file, -9, SEEK_END);
        c = fgetc(file);
        fseek(file, -9, SEEK_END);
        fputc(c ^ 1, file);
        fclose(file);
    }
}

static void
lose_done(const char *folder)
{
    char path[800];

    snprintf(path, sizeof(path), "%s/DONE", folder);
    CHECK(unlink(path) == 0);
}

static void
cut_done(const char *folder)
{
    char path[800];

    snprintf(path, sizeof(path), "%s/DONE", folder);
    CHECK(truncate(path, 20) == 0);
}

static void
lose_notes(const char *folder)
{
    char path[800];

    snprintf(path, sizeof(path), "%s/state.json", folder);
    CHECK(unlink(path) == 0);
}

static void
spoilt_checkpoints_are_passed_over(void)
{
    check_harm(cut_state, "bytes, need");
    check_harm(flip_bit, "another SHA-256");
    check_harm(lose_done, "DONE");
    check_harm(cut_done, "DONE");
    check_harm(lose_notes, "state.json");
}

static void
left_overs_are_understood(void)
{
    char path[700], other[700], why[2000];
    struct run run;

    run_open(&run, NULL, 6, 1);
    run_steps(&run, 4);
    save(&run);
    /* a crash before DONE: only a part of a newer one */
    copy_folder(run.dir, "step-00000004", "step-00000008.tmp");
    snprintf(path, sizeof(path), "%s/checkpoint/step-00000008.tmp", run.dir);
    lose_done(path);
    CHECK_INT(found_step(run.dir, why, sizeof(why)), 4);
    CHECK(strstr(why, "step-00000008.tmp") != NULL);
    /* names that are none of ours */
    snprintf(path, sizeof(path), "%s/checkpoint/step-00000009.old", run.dir);
    CHECK(mkdir(path, 0777) == 0);
    snprintf(path, sizeof(path), "%s/checkpoint/step-12", run.dir);
    CHECK(mkdir(path, 0777) == 0);
    CHECK_INT(found_step(run.dir, why, sizeof(why)), 4);
    CHECK(strstr(why, "step-00000009") == NULL && strstr(why, "step-12") == NULL);
    /* a crash between removing the old name and the rename */
    snprintf(path, sizeof(path), "%s/checkpoint/step-00000004", run.dir);
    snprintf(other, sizeof(other), "%s/checkpoint/step-00000004.tmp", run.dir);
    CHECK(rename(path, other) == 0);
    CHECK_INT(found_step(run.dir, NULL, 0), 4);
    CHECK(sea_dir_exists(path) && !sea_dir_exists(other));
    /* a folder that says another step than its name */
    run_steps(&run, 1);
    save(&run);
    CHECK_INT(found_step(run.dir, NULL, 0), 5);
    snprintf(path, sizeof(path), "%s/checkpoint/step-00000005", run.dir);
    snprintf(other, sizeof(other), "%s/checkpoint/step-00000007", run.dir);
    CHECK(rename(path, other) == 0);
    {
        struct sea_err err = { 0 };
        struct sea_node *notes;
        struct sea_buf skipped;

        sea_buf_init(&skipped, 1 << 16);
        CHECK(sea_checkpoint_load(run.dir, run.adamw, run.arena, &notes, &skipped, &err));
        CHECK_FAILS(err, SEA_E_FORMAT, "not the state of step 7");
        sea_buf_release(&skipped);
    }
    run_close(&run);
}

static void
another_models_checkpoint_is_refused(void)
{
    struct sea_err err = { 0 };
    struct sea_node *notes;
    struct sea_buf skipped;
    struct run run, other;

    sea_buf_init(&skipped, 1 << 16);
    run_open(&run, NULL, 6, 1);
    run_steps(&run, 2);
    save(&run);
    run_open(&other, run.dir, 7, 1);
    CHECK(sea_checkpoint_load(run.dir, other.adamw, other.arena, &notes, &skipped, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "part \"adapter\"");
    CHECK(err.hint[0] && notes == NULL);
    sea_buf_release(&skipped);
    run_close(&run);
    run_close(&other);
}

/* The limit on file sizes stands for a full disk: every write behind it fails. */
static void
failed_writes_leave_the_one_before(void)
{
    struct rlimit before, limit;
    struct run run;
    int failed = 0, at;

    run_open(&run, NULL, 6, 1);
    run_steps(&run, 4);
    save(&run);
    run_steps(&run, 1);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    for (at = 0; at < 20000; at = at < 400 ? at + 20 : at + at / 5) {
        struct sea_err err = { 0 };
        enum sea_status status;

        limit = before;
        limit.rlim_cur = (rlim_t)at;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        status = sea_checkpoint_save(run.dir, run.adamw, make_notes(run.arena, 5), &err);
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        if (!status)
            break;
        failed++;
        CHECK_FAILS(err, SEA_E_IO, "");
        CHECK(err.context[0]);
        CHECK_INT(found_step(run.dir, NULL, 0), 4);
        CHECK_INT(entries(run.dir), 1);
    }
    printf("saving failed at %d limits and left the one before, then passed at %d bytes\n",
           failed, at);
    CHECK(failed > 5);
    CHECK_INT(found_step(run.dir, NULL, 0), 5);
    run_close(&run);
}

SEA_TEST_MAIN("checkpoint",
    TEST(a_resumed_run_has_equal_bits),
    TEST(large_parts_come_back_whole),
    TEST(only_the_newest_is_kept),
    TEST(spoilt_checkpoints_are_passed_over),
    TEST(left_overs_are_understood),
    TEST(another_models_checkpoint_is_refused),
    TEST(failed_writes_leave_the_one_before))
