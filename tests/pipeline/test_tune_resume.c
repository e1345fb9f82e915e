/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tune stage goes on where it was: killed or stopped at several steps, and continued with
 * another number of threads and with recomputation switched on, it writes the bytes of a run
 * that never stopped. Full, low-rank and adapter-only, with a trained tower, in both
 * storages, packed and accumulated.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/sea_stage_body.h"
#include "tests/pipeline/small_model.h"

#define STEPS 9

static char model_dir[SEA_PATH_MAX], data_dir[SEA_PATH_MAX];

static void
write_text(const char *dir, const char *name, const char *text)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    CHECK_OK(sea_path_join(path, dir, name, &err), err);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

static void
make_data(void)
{
    static const char *const pictures[] = { "rgb.png", "grey.jpg", "lossy.webp" };
    struct sea_err err = { 0 };
    struct sea_buf json;
    int i;

    sea_buf_init(&json, (size_t)1 << 20);
    for (i = 0; i < 13; i++) {
        sea_buf_addf(&json, "%s{\"id\":\"%d\",", i ? ",\n" : "[", i);
        if (i % 4 != 3)
            sea_buf_addf(&json, "\"image\":\"%s\",", pictures[i % 3]);
        sea_buf_addf(&json, "\"conversations\":[{\"from\":\"human\",\"value\":\"%sWhat is %d "
                     "%s?\"},{\"from\":\"gpt\",\"value\":\"It is %d, %s.\"}]}",
                     i % 4 != 3 ? "<image>\\n" : "", i, i % 2 ? "in the long row of old trees"
                                                            : "there", i * 7,
                     i % 3 ? "near the river" : "no");
    }
    sea_buf_puts(&json, "]\n");
    CHECK_OK(sea_path_join(data_dir, sea_test_dir(), "data", &err), err);
    CHECK_OK(sea_dir_create(data_dir, &err), err);
    write_text(data_dir, "instruct.json", json.data);
    sea_buf_release(&json);
}

/* One experiment as JSON below the test's folder; keys of tune are the caller's. */
static void
write_config(const char *name, const char *precision, const char *keys, bool recompute)
{
    struct sea_buf json;

    sea_buf_init(&json, 65536);
    sea_buf_addf(&json, "{\"name\":\"resume\",\"seed\":5,\"model\":{\"path\":\"%s\","
                 "\"precision\":\"%s\"},\"data\":{\"instruct\":{\"json\":\"%s/instruct.json\","
                 "\"images\":\"tests/oracle/fixtures/images\"}},\"stages\":{\"tune\":{%s,"
                 "\"batch\":6,\"micro_rows\":700,\"lr\":0.003,\"steps\":%d,\"max_length\":400,"
                 "\"recompute\":%s,\"checkpoint_every\":1}}}\n", model_dir, precision, data_dir,
                 keys, STEPS, recompute ? "true" : "false");
    write_text(sea_test_dir(), name, json.data);
    sea_buf_release(&json);
}

static pid_t
start(const char *config, const char *out, const char *device)
{
    struct sea_stage_options options = { .name = "tune", .device = device };
    char path[SEA_PATH_MAX], dir[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    enum sea_status status;
    pid_t pid;

    CHECK_OK(sea_path_join(path, sea_test_dir(), config, &err), err);
    CHECK_OK(sea_path_join(dir, sea_test_dir(), out, &err), err);
    fflush(NULL);
    pid = fork();
    if (pid)
        return pid;
    options.config_path = path;
    options.out_dir = dir;
    options.events = "/dev/null";
    status = sea_stage_run(&options, &err);
    if (status && status != SEA_E_STOPPED)
        sea_err_print(&err, "test_tune_resume", stderr);
    _exit(sea_status_exit(status));
}

/* Sends a signal once the checkpoint of a step is there; returns how the child ended. */
static int
interrupt(pid_t pid, const char *out, int step, int sig)
{
    const struct timespec pause = { .tv_nsec = 200000 };
    char name[128], path[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    struct stat st;
    int how = 0;

    snprintf(name, sizeof(name), "%s/checkpoint/step-%08d", out, step);
    CHECK_OK(sea_path_join(path, sea_test_dir(), name, &err), err);
    while (stat(path, &st) != 0 && waitpid(pid, &how, WNOHANG) == 0)
        nanosleep(&pause, NULL);
    kill(pid, sig);
    return wait_for(pid);
}

static void
digest(const char *out, char text[SEA_SHA256_TEXT])
{
    char name[64], path[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    snprintf(name, sizeof(name), "%s/model", out);
    CHECK_OK(sea_path_join(path, sea_test_dir(), name, &err), err);
    CHECK_OK(sea_digest_folder(path, text, &err), err);
}

static void
remove_out(const char *out)
{
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    CHECK_OK(sea_path_join(path, sea_test_dir(), out, &err), err);
    CHECK_OK(sea_dir_remove(path, &err), err);
}

/* Logits of one text by the model in OUT/model, (n, vocab); the caller frees. */
static float *
logits_of(const char *out, enum sea_store store, bool *attached, int64_t *n)
{
    static const int32_t ids[] = { 1, 40, 77, 12, 300 }, start[] = { 0, 5 };
    const struct sea_mllm_batch batch = { .text = { 5, 1, start, ids, NULL } };
    const struct sea_mllm_limits limits = { .text = { .rows = 5 } };
    struct sea_mllm_folder folder;
    struct sea_mllm_work *work;
    struct sea_device device;
    struct sea_mllm mllm;
    struct sea_err err = { 0 };
    char name[64], path[SEA_PATH_MAX];
    float *logits;

    snprintf(name, sizeof(name), "%s/model", out);
    CHECK_OK(sea_path_join(path, sea_test_dir(), name, &err), err);
    CHECK_OK(sea_device_open(&device, "cpu:1", &err), err);
    device.store = store;
    CHECK_OK(sea_mllm_load(&folder, &device, path, (struct sea_mllm_trained){ 0 }, &err), err);
    *attached = folder.lora != NULL;
    *n = 5 * folder.lm->desc.vocab;
    logits = sea_xcalloc((size_t)*n, sizeof(*logits));
    mllm = (struct sea_mllm){ folder.lm, folder.adapter, folder.patches };
    CHECK_OK(sea_mllm_work_create(&work, &mllm, &limits, &err), err);
    CHECK_OK(sea_mllm_logits(&mllm, work, &batch, logits, &err), err);
    sea_mllm_work_destroy(work);
    sea_mllm_release(&folder);
    sea_device_close(&device);
    return logits;
}

/* What a PEFT folder is depends on its base model, too. */
static void
check_digest(const char *out)
{
    char name[64], path[SEA_PATH_MAX], base[SEA_PATH_MAX];
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT], three[SEA_SHA256_TEXT];
    struct sea_err err = { 0 };

    snprintf(name, sizeof(name), "%s/model", out);
    CHECK_OK(sea_path_join(path, sea_test_dir(), name, &err), err);
    CHECK_OK(sea_path_join(base, path, "base/generation_config.json", &err), err);
    CHECK_OK(sea_digest_model(path, one, &err), err);
    CHECK_OK(sea_digest_model(path, two, &err), err);
    CHECK_STR(two, one);
    CHECK_OK(sea_file_replace(base, "{}", 2, &err), err);
    CHECK_OK(sea_digest_model(path, three, &err), err);
    CHECK(strcmp(three, one) != 0);
}

/* A PEFT folder opens like any model: merged in float32, attached in bfloat16. */
static void
check_adapters(const char *out)
{
    bool merged, attached;
    int64_t n, i;
    float *full = logits_of(out, SEA_STORE_F32, &merged, &n);
    float *half = logits_of(out, SEA_STORE_BF16, &attached, &n);
    double off = 0, all = 0;

    CHECK(!merged && attached);
    for (i = 0; i < n; i++) {
        off += ((double)half[i] - (double)full[i]) * ((double)half[i] - (double)full[i]);
        all += (double)full[i] * (double)full[i];
    }
    printf("adapters merged and attached: %.2g apart (bound 2e-2: bfloat16 weights)\n",
           sqrt(off / all));
    CHECK(sqrt(off / all) <= 2e-2);
    free(full);
    free(half);
    check_digest(out);
}

static void
check_mode(const char *what, const char *precision, const char *keys)
{
    static const struct {
        int step, sig;
    } ends[] = { { 1, SIGKILL }, { 4, SIGTERM }, { 7, SIGKILL } };
    char whole[SEA_SHA256_TEXT], again[SEA_SHA256_TEXT];
    int cut = 0, how;

    write_config("plain.json", precision, keys, false);
    write_config("redo.json", precision, keys, true);
    CHECK_INT(wait_for(start("plain.json", "whole", "cpu:1")), 0);
    digest("whole", whole);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        how = interrupt(start("plain.json", "cut", i % 2 ? "cpu:1" : "cpu:3"), "cut",
                        ends[i].step, ends[i].sig);
        cut += how == 128 + SIGKILL || how == sea_status_exit(SEA_E_STOPPED);
    }
    CHECK_INT(wait_for(start("redo.json", "cut", "cpu:2")), 0);
    digest("cut", again);
    CHECK_STR(again, whole);
    printf("%s, %s: %d of 3 runs were cut, %.12s both times\n", what, precision, cut, whole);
    CHECK(cut >= 2);
    if (strstr(keys, "\"merge\":false"))
        check_adapters("whole");
    remove_out("whole");
    remove_out("cut");
}

static void
training_goes_on_as_if_it_had_never_stopped(void)
{
    small_model_make(model_dir, 0.1f);
    make_data();
    check_mode("full, frozen tower", "f32", "\"mode\":\"full\",\"order\":\"modality_length\","
               "\"chunk\":3,\"weight_decay\":0.1");
    check_mode("low-rank, dropped", "f32", "\"mode\":\"lora\",\"lora\":{\"rank\":3,\"alpha\":6,"
               "\"dropout\":0.2,\"merge\":false}");
    check_mode("adapter", "f32", "\"mode\":\"adapter\",\"schedule\":\"linear\"");
    check_mode("full, trained tower", "bf16", "\"mode\":\"full\",\"tower_lr\":0.001");
    check_mode("low-rank, merged", "bf16", "\"mode\":\"lora\",\"lora\":{\"rank\":2,\"alpha\":6,"
               "\"targets\":[\"q_proj\",\"up_proj\"]},\"adapter_lr\":0.001");
}

SEA_TEST_MAIN("resuming the tune stage",
              TEST(training_goes_on_as_if_it_had_never_stopped))
