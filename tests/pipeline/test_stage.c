/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime of stages: keys follow contents and nothing else; foreign folders are refused. */
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_experiment.h"
#include "pipeline/sea_manifest.h"
#include "pipeline/sea_stage.h"
#include "tests/sea_test.h"

static struct sea_arena *arena;
static struct sea_err err;
static char root[512];

static void
put(const char *name, const char *text)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

static void
make_world(const char *name)
{
    static const char *const folders[] = { "img", "img2", "vision", "language" };
    char path[1024];
    size_t i;

    sea_arena_destroy(arena);
    arena = sea_arena_create(NULL, "test");
    sea_err_clear(&err);
    snprintf(root, sizeof(root), "%s/%s", sea_test_dir(), name);
    for (i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        CHECK_OK(sea_dir_create(path, &err), err);
    }
    put("pre.json", "[{\"id\":\"1\",\"image\":\"a.png\",\"conversations\":["
                    "{\"from\":\"human\",\"value\":\"<image>\"},"
                    "{\"from\":\"gpt\",\"value\":\"a cat\"}]}]");
    put("img/a.png", "one picture");
    put("img2/a.png", "one picture");
    put("vision/config.json", "{}");
    put("vision/model.safetensors", "weights");
    put("language/config.json", "{}");
}

static const struct sea_node *
config(const char *const *sets, size_t count)
{
    struct sea_experiments all;
    char text[4096];

    snprintf(text, sizeof(text),
             "name: t\nmodel: {vision: {path: %s/vision}, language: {path: %s/language}}\n"
             "data: {pretrain: {json: %s/pre.json, images: %s/img}}\n"
             "stages: {align: {}}\n", root, root, root, root);
    CHECK_OK(sea_experiment_parse(text, strlen(text), "t.yaml", sets, count, arena, &all, &err),
             err);
    return err.status ? NULL : all.list[0].config;
}

static const char *
key(const char *stage, const char *set)
{
    static char out[2][SEA_SHA256_TEXT];
    static int turn;
    struct sea_stage_input input = {
        .key = "label",
        .digest = "0000000000000000000000000000000000000000000000000000000000000000" };
    const struct sea_node *node = config(&set, set ? 1 : 0);

    turn = !turn;
    CHECK_OK(sea_stage_key(stage, node, &input, strcmp(stage, "align") == 0, out[turn], &err),
             err);
    return out[turn];
}

static void
what_changes_a_result_changes_the_key(void)
{
    char base[SEA_SHA256_TEXT];

    make_world("changes");
    snprintf(base, sizeof(base), "%s", key("align", NULL));
    CHECK_STR(key("align", NULL), base);
    CHECK(strcmp(key("align", "align.lambda=0.5"), base) != 0);
    CHECK(strcmp(key("align", "seed=2"), base) != 0);
    CHECK(strcmp(key("align", "model.vision.layer=-1"), base) != 0);
    put("vision/model.safetensors", "weightz");
    CHECK(strcmp(key("align", NULL), base) != 0);
    put("vision/model.safetensors", "weights");
    CHECK_STR(key("align", NULL), base);
    put("img/a.png", "an0ther one");
    CHECK(strcmp(key("align", NULL), base) != 0);
}

static void
what_only_changes_speed_or_place_does_not(void)
{
    char base[SEA_SHA256_TEXT], set[1024];

    make_world("speed");
    snprintf(base, sizeof(base), "%s", key("align", NULL));
    CHECK_STR(key("align", "align.checkpoint_every=7"), base);
    CHECK_STR(key("align", "resources.device=cpu"), base);
    CHECK_STR(key("align", "name=other"), base);
    snprintf(set, sizeof(set), "data.pretrain.images=%s/img2", root);
    CHECK_STR(key("align", set), base);
}

static void
labels_do_not_depend_on_the_seed(void)
{
    char base[SEA_SHA256_TEXT];

    make_world("label");
    snprintf(base, sizeof(base), "%s", key("label", NULL));
    CHECK_STR(key("label", "seed=9"), base);
    CHECK_STR(key("label", "align.lambda=0"), base);
    CHECK_STR(key("label", "label.batch=5"), base);
    CHECK(strcmp(key("label", "label.top=5"), base) != 0);
}

static void
inputs_count_by_their_digest(void)
{
    struct sea_stage_input input = { .key = "label", .digest = "a" };
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT];
    const struct sea_node *node;

    make_world("inputs");
    node = config(NULL, 0);
    CHECK_OK(sea_stage_key("align", node, &input, 1, one, &err), err);
    input.dir = "/nowhere";
    CHECK_OK(sea_stage_key("align", node, &input, 1, two, &err), err);
    CHECK_STR(one, two);
    input.digest = "b";
    CHECK_OK(sea_stage_key("align", node, &input, 1, two, &err), err);
    CHECK(strcmp(one, two) != 0);
    input.digest = NULL;
    CHECK_INT(sea_stage_key("align", node, &input, 1, two, &err), SEA_E_MISSING);
    sea_err_clear(&err);
    CHECK_INT(sea_stage_key("aline", node, &input, 1, two, &err), SEA_E_CONFIG);
}

static void
missing_data_is_named_by_its_key(void)
{
    char path[1024], out[SEA_SHA256_TEXT];

    make_world("missing");
    snprintf(path, sizeof(path), "%s/pre.json", root);
    unlink(path);
    CHECK_INT(sea_stage_key("label", config(NULL, 0), NULL, 0, out, &err), SEA_E_MISSING);
    CHECK(strstr(err.context, "data.pretrain.json") != NULL);
}

static void
parents_follow_from_the_experiment(void)
{
    const char *parents[SEA_STAGE_INPUTS_MAX];
    const char *sets[] = { "model.vision.path=\"@foundation/vision\"", "data.text.file=x" };
    const struct sea_node *node;

    make_world("parents");
    node = config(NULL, 0);
    CHECK_INT(sea_stage_parents(node, sea_stage_find("label"), parents), 0);
    CHECK_INT(sea_stage_parents(node, sea_stage_find("align"), parents), 1);
    CHECK_STR(parents[0], "label");
    node = config(sets, 2);
    CHECK_INT(sea_stage_parents(node, sea_stage_find("align"), parents), 2);
    CHECK_STR(parents[0], "foundation");
    CHECK(sea_stage_find("train") == NULL);
}

/* ---- folders ---- */

static enum sea_status
run_label(const char *out)
{
    struct sea_buf text;
    char path[1024], folder[1024];
    struct sea_stage_options options = { .name = "label", .events = "/dev/null",
                                         .device = "cpu:1" };

    sea_err_clear(&err);
    sea_buf_init(&text, 1 << 20);
    CHECK_OK(sea_json_write(config(NULL, 0), SEA_JSON_PRETTY, &text, &err), err);
    put("config.json", text.data);
    sea_buf_release(&text);
    snprintf(path, sizeof(path), "%s/config.json", root);
    snprintf(folder, sizeof(folder), "%s/%s", root, out);
    options.config_path = path;
    options.out_dir = folder;
    return sea_stage_run(&options, &err);
}

static void
foreign_folders_are_refused(void)
{
    char path[1024];

    make_world("folders");
    CHECK_INT(run_label("img"), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "holds files that no stage has made");
    snprintf(path, sizeof(path), "%s/unfinished", root);
    sea_err_clear(&err);
    CHECK_OK(sea_dir_create(path, &err), err);
    put("unfinished/.stage.json", "{\"stage\":\"tune\",\"key\":\"k\",\"phase\":0}");
    CHECK_INT(run_label("unfinished"), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "unfinished work of another stage");
    snprintf(path, sizeof(path), "%s/finished", root);
    sea_err_clear(&err);
    CHECK_OK(sea_dir_create(path, &err), err);
    CHECK_OK(sea_manifest_write(path, "label",
                                "00000000000000000000000000000000"
                                "00000000000000000000000000000000", NULL, &err), err);
    CHECK_INT(run_label("finished"), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "a finished stage of another configuration");
}

static void
a_broken_model_folder_is_named(void)
{
    make_world("model");
    CHECK_INT(run_label("out"), SEA_E_FORMAT);
    CHECK_MSG(strstr(err.message, "vision") || strstr(err.context, "vision"),
              "message \"%s\" context \"%s\"", err.message, err.context);
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("the runtime of stages",
    TEST(what_changes_a_result_changes_the_key),
    TEST(what_only_changes_speed_or_place_does_not),
    TEST(labels_do_not_depend_on_the_seed),
    TEST(inputs_count_by_their_digest),
    TEST(missing_data_is_named_by_its_key),
    TEST(parents_follow_from_the_experiment),
    TEST(foreign_folders_are_refused),
    TEST(a_broken_model_folder_is_named))
