/* SPDX-License-Identifier: Apache-2.0 */
/* Experiment files: defaults, refusals that help, overrides, sweeps, stable resolution. */
#include <stdlib.h>

#include "engine/base/sea_buf.h"
#include "pipeline/sea_experiment.h"
#include "tests/sea_test.h"

static const char *const base =
    "name: t\n"
    "model:\n"
    "  vision: {path: \"@foundation/vision\"}\n"
    "  language: {path: \"@foundation/language\"}\n"
    "data:\n"
    "  pretrain: {json: p.json, images: p}\n"
    "  instruct: {json: i.json, images: i}\n"
    "  text: {file: t.jsonl}\n"
    "stages:\n"
    "  eval: {suite: scenes}\n";

static struct sea_arena *arena;
static struct sea_err err;
static struct sea_experiments all;

static enum sea_status
parse(const char *text, const char *const *sets, size_t sets_count)
{
    sea_arena_destroy(arena);
    arena = sea_arena_create(NULL, "test");
    sea_err_clear(&err);
    return sea_experiment_parse(text, strlen(text), "file.yaml", sets, sets_count, arena, &all,
                                &err);
}

/* base with more lines behind */
static enum sea_status
parse_more(const char *more)
{
    static char text[8192];

    snprintf(text, sizeof(text), "%s%s", base, more);
    return parse(text, NULL, 0);
}

static const struct sea_node *
at(size_t i, const char *path)
{
    return sea_node_path(all.list[i].config, path);
}

static void
defaults_are_filled_in_and_numbers_take_their_kind(void)
{
    CHECK_OK(parse_more("  align: {lambda: 0}\n"), err);
    if (err.status)
        return;
    CHECK_INT(all.count, 1);
    CHECK_STR(all.list[0].name, "t");
    CHECK_INT(at(0, "stages.align.lambda")->kind, SEA_NODE_REAL);
    CHECK_INT(at(0, "stages.align.window")->integer, 2);
    CHECK_NEAR(at(0, "stages.align.tau.max_scale")->real, 100, 0);
    CHECK_STR(at(0, "stages.label.prompt")->text, "{}");
    CHECK_INT(at(0, "model.vision.layer")->integer, -2);
    CHECK(at(0, "data.heldout") == NULL);
}

static void
a_resolved_experiment_resolves_to_itself(void)
{
    struct sea_experiments again;
    struct sea_buf one, two;

    CHECK_OK(parse_more("seed: 7\n"), err);
    if (err.status)
        return;
    sea_buf_init(&one, 1 << 20);
    sea_buf_init(&two, 1 << 20);
    CHECK_OK(sea_json_write(all.list[0].config, SEA_JSON_PRETTY, &one, &err), err);
    CHECK_OK(sea_experiment_parse(one.data, one.len, "r.json", NULL, 0, arena, &again, &err),
             err);
    if (!err.status) {
        CHECK_OK(sea_json_write(again.list[0].config, SEA_JSON_PRETTY, &two, &err), err);
        CHECK_STR(two.data, one.data);
    }
    sea_buf_release(&one);
    sea_buf_release(&two);
}

static void
an_unknown_key_is_refused_with_line_and_nearest_key(void)
{
    parse_more("  align: {lamda: 0.5}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "file.yaml:11: unknown key \"stages.align.lamda\"");
    CHECK(strstr(err.hint, "\"stages.align.lambda\"") != NULL);
    parse_more("label: {top: 5}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "unknown key \"label\"");
    CHECK(strstr(err.hint, "\"stages.label\"") != NULL);
    parse_more("modle: {adapter: linear}\n");
    CHECK(strstr(err.hint, "\"model\"") != NULL);
    parse_more("  tun: {lr: 0.1}\n");
    CHECK(strstr(err.hint, "\"stages.tune\"") != NULL);
    parse_more("sede: 5\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "unknown key \"sede\"");
    CHECK(strstr(err.hint, "\"seed\"") != NULL);
}

static void
wrong_kinds_and_values_say_what_was_expected(void)
{
    static const struct {
        const char *more, *words;
    } cases[] = {
        { "seed: abc\n", "file.yaml:11: key \"seed\" is \"abc\", expected a whole number from 0" },
        { "seed: 1.5\n", "key \"seed\" is 1.5, expected a whole number" },
        { "seed: -1\n", "key \"seed\" is -1, expected a whole number from 0" },
        { "  align: {lambda: -0.1}\n", "expected a number from 0 to 1000" },
        { "  align: {lambda: .nan}\n", "expected a number from 0 to 1000" },
        { "  align: {tau: 0.07}\n", "\"stages.align.tau\" is a number, expected a map" },
        { "  align: {tau: {learn: 1}}\n", "is 1, expected true or false" },
        { "  label: {variant: surgry}\n",
          "expected one of: auto|raw_pos|raw_neg|maskclip|surgery" },
        { "  label: {variant: auto|raw_pos}\n", "expected one of" },
        { "  label: {prompt: a photo}\n", "has no {}" },
        { "  tune: [1, 2]\n", "expected a map" },
        { "  foundation: {clip: {width: 100, heads: 3}}\n", "is not a multiple of" },
        { "  tune: {order: length, batch: 32, chunk: 5}\n", "chunk = 5 does not divide" },
        { "  tune: {lora: {targets: [q_proj, 3]}}\n", "targets\" holds 3, expected a list" },
        { "resources: {device: gpu}\n", "resources.device \"gpu\" is no device" },
        { "resources: {device: cpu:0}\n", "is no device" },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse_more(cases[i].more);
        CHECK_FAILS(err, SEA_E_CONFIG, cases[i].words);
    }
}

static void
text_that_is_no_yaml_is_refused_as_configuration(void)
{
    parse("name: [1, 2\n", NULL, 0);
    CHECK_INT(err.status, SEA_E_CONFIG);
    CHECK(strstr(err.message, "file.yaml") != NULL);
    parse("- 1\n- 2\n", NULL, 0);
    CHECK_FAILS(err, SEA_E_CONFIG, "an experiment is a map");
    parse("", NULL, 0);
    CHECK_INT(err.status, SEA_E_CONFIG);
    parse("name: a\nname: b\n", NULL, 0);
    CHECK_INT(err.status, SEA_E_CONFIG);
}

static void
missing_keys_name_the_stage_that_needs_them(void)
{
    parse("name: t\nmodel: {vision: {path: v}, language: {path: l}}\n"
          "data: {pretrain: {json: p, images: p}}\nstages: {align: {}}\n", NULL, 0);
    CHECK_OK(err.status, err);
    parse("name: t\nmodel: {vision: {path: v}, language: {path: l}}\n"
          "data: {pretrain: {json: p, images: p}}\nstages: {tune: {}}\n", NULL, 0);
    CHECK_FAILS(err, SEA_E_CONFIG, "key \"data.instruct.json\" is missing; stage tune needs it");
    parse("model: {path: m}\nstages: {eval: {suite: s}}\n", NULL, 0);
    CHECK_FAILS(err, SEA_E_CONFIG, "key \"name\" is missing");
    parse("name: \"a b\"\nmodel: {path: m}\nstages: {eval: {suite: s}}\n", NULL, 0);
    CHECK_FAILS(err, SEA_E_CONFIG, "name \"a b\" cannot be used");
}

static void
stages_follow_from_sections_and_models(void)
{
    CHECK_OK(parse_more(""), err);
    CHECK_INT(sea_experiment_stages(all.list[0].config), 31);
    parse("name: t\nmodel: {vision: {path: v}, language: {path: l}}\n"
          "data: {pretrain: {json: p, images: p}}\nstages: {label: {}}\n", NULL, 0);
    CHECK_INT(sea_experiment_stages(all.list[0].config), SEA_BIT_LABEL);
    CHECK(at(0, "stages.align") == NULL);
    parse("name: t\nmodel: {path: m}\nstages: {eval: {suite: s}}\n", NULL, 0);
    CHECK_OK(err.status, err);
    CHECK_INT(sea_experiment_stages(all.list[0].config), SEA_BIT_EVAL);
    parse("name: t\nmodel: {path: m}\ndata: {instruct: {json: p, images: p}}\n"
          "stages: {tune: {mode: lora, lora: {rank: 8, targets: [q_proj]}}}\n", NULL, 0);
    CHECK_OK(err.status, err);
    CHECK_INT(sea_experiment_stages(all.list[0].config), SEA_BIT_TUNE);
    CHECK_STR(sea_node_text(at(0, "stages.tune.lora.targets")->first, ""), "q_proj");
    parse("name: t\nmodel: {path: m}\ndata: {instruct: {json: p, images: p}}\n"
          "stages: {tune: {mode: lora}, eval: {suite: s}}\n", NULL, 0);
    CHECK_OK(err.status, err);
    CHECK_INT(sea_experiment_stages(all.list[0].config), SEA_BIT_TUNE | SEA_BIT_EVAL);
    parse("name: t\nmodel: {path: m}\nstages: {tune: {}}\n", NULL, 0);
    CHECK_FAILS(err, SEA_E_CONFIG, "data.instruct.json");
}

static void
a_sweep_gives_one_experiment_per_combination_in_order(void)
{
    CHECK_OK(parse_more("sweep: {align.lambda: [0, 1.0, 0.25], seed: [1, 2]}\n"), err);
    if (err.status)
        return;
    CHECK_INT(all.count, 6);
    CHECK_STR(all.list[0].name, "t/align.lambda=0,seed=1");
    CHECK_STR(all.list[1].name, "t/align.lambda=0,seed=2");
    CHECK_STR(all.list[3].name, "t/align.lambda=1,seed=2");
    CHECK_STR(all.list[5].name, "t/align.lambda=0.25,seed=2");
    CHECK_NEAR(at(3, "stages.align.lambda")->real, 1, 0);
    CHECK_INT(at(3, "seed")->integer, 2);
    CHECK(at(3, "sweep") == NULL);
}

static void
a_broken_sweep_is_refused(void)
{
    parse_more("sweep: {align.lambada: [0]}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "sweep over unknown key \"align.lambada\"");
    CHECK(strstr(err.hint, "stages.align.lambda") != NULL);
    parse_more("sweep: {seed: 3}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "expected a list");
    parse_more("sweep: {seed: []}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "expected a list");
    parse_more("sweep: {seed: [1, x]}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "key \"seed\" is \"x\"");
    parse_more("sweep: {seed: [1, 1]}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "twice");
    parse_more("sweep: {seed: [1, null]}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "sweep over \"seed\" holds null");
    parse("name:\nsweep: {seed: [1, 2]}\n", NULL, 0);
    CHECK_FAILS(err, SEA_E_CONFIG, "name \"\" cannot be used");
}

/* Early stopping: the trials of a sweep name one study; what cannot be compared is refused. */
static void
the_experiments_of_a_sweep_are_one_study(void)
{
    CHECK_OK(parse_more("sweep: {seed: [1, 2]}\nhalving: {metric: tune.loss, first: 100}\n"), err);
    if (!err.status) {
        CHECK_STR(all.list[1].name, "t/seed=2");
        CHECK_STR(sea_node_text(at(1, "halving.study"), ""), "t");
        CHECK(at(1, "halving.eta") == NULL);
    }
    CHECK_OK(parse_more("halving: {metric: align.loss_text, first: 9, study: mine}\n"), err);
    CHECK_STR(sea_node_text(at(0, "halving.study"), ""), "mine");
    parse_more("halving: {metric: loss, first: 100}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "halving.metric \"loss\" is no metric of a stage");
    parse_more("halving: {metric: eval.pope, first: 100}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "no metric of a stage that runs and trains");
    parse_more("halving: {metric: tune.los, first: 100}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "is measured in no step");
    parse_more("halving: {metric: tune.loss}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "needs key \"halving.first\"");
    parse_more("halving: {metric: tune.loss, first: 1, eta: 1}\n");
    CHECK_FAILS(err, SEA_E_CONFIG, "halving.eta");
}

static void
overrides_win_and_leave_the_sweep(void)
{
    static char text[4096];
    const char *sets[] = { "align.lambda=0.5", "stages.tune.lr=3.0e-4", "sweep.seed=[4, 5]" };
    const char *bad[] = { "align.lamda=1" }, *worse[] = { "align.lambda" };
    const char *list[] = { "eval.controls=[shuffle]" }, *empty[] = { "align.lambda=" };
    const char *whole_sweep[] = { "sweep={align.lambda: [0]}" }, *power[] = { "seed=1e3" };
    const char *several[] = { "align.lambda=[0, 1]" }, *part[] = { "seed=1.5" };

    snprintf(text, sizeof(text), "%ssweep: {align.lambda: [0, 1]}\n", base);
    CHECK_OK(parse(text, sets, 3), err);
    if (!err.status) {
        CHECK_INT(all.count, 2);
        CHECK_STR(all.list[1].name, "t/seed=5");
        CHECK_NEAR(at(1, "stages.align.lambda")->real, 0.5, 0);
        CHECK_NEAR(at(1, "stages.tune.lr")->real, 3e-4, 1e-15);
    }
    parse(base, bad, 1);
    CHECK_FAILS(err, SEA_E_CONFIG, "unknown key \"align.lamda\"");
    parse(base, worse, 1);
    CHECK_FAILS(err, SEA_E_CONFIG, "is not KEY=VALUE");
    parse(base, empty, 1);
    CHECK_FAILS(err, SEA_E_CONFIG, "has no value");
    CHECK_OK(parse(base, list, 1), err);
    CHECK_STR(at(0, "stages.eval.controls")->first->text, "shuffle");
    parse(base, whole_sweep, 1);
    CHECK_FAILS(err, SEA_E_CONFIG, "unknown key \"sweep\"");
    CHECK(strstr(err.hint, "sweep.align.lambda=") != NULL);
    parse(base, several, 1);    /* of --set, not of a line of the file; and what to do instead */
    CHECK_FAILS(err, SEA_E_CONFIG, "--set: key \"stages.align.lambda\" is a list");
    CHECK(strstr(err.hint, "--set 'sweep.align.lambda=[") != NULL);
    CHECK_OK(parse(base, power, 1), err);
    CHECK_INT(at(0, "seed")->integer, 1000);
    parse(base, part, 1);
    CHECK_FAILS(err, SEA_E_CONFIG, "is 1.5, expected a whole number");
}

static void
every_key_of_the_table_is_sound(void)
{
    size_t i, j, count;
    const struct sea_config_key *keys = sea_experiment_keys(&count);
    struct sea_buf page;

    sea_buf_init(&page, 1 << 20);
    sea_experiment_doc(&page);
    for (i = 0; i < count; i++) {
        CHECK_MSG(strstr(page.data, keys[i].path) != NULL, "%s is not in the page", keys[i].path);
        CHECK_MSG(keys[i].min <= keys[i].max, "%s: min > max", keys[i].path);
        for (j = 0; j < i; j++)
            CHECK_MSG(strcmp(keys[i].path, keys[j].path) != 0, "%s twice", keys[i].path);
    }
    sea_buf_release(&page);
}

static void
the_examples_can_be_used(void)
{
    static const char *const files[] = { "scenes-demo", "scenes-tiny", "scenes-study",
                                         "llava-1.5-vicuna-7b", "llava-lora", "eval-only" };
    static const size_t counts[] = { 2, 1, 12, 2, 1, 1 };
    char path[1024];
    size_t i;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        sea_arena_destroy(arena);
        arena = sea_arena_create(NULL, "test");
        sea_err_clear(&err);
        snprintf(path, sizeof(path), "%s/configs/experiments/%s.yaml", sea_test_root(), files[i]);
        CHECK_OK(sea_experiment_load(path, NULL, 0, arena, &all, &err), err);
        CHECK_INT(all.count, counts[i]);
    }
}

static void
a_file_that_is_not_there_is_missing(void)
{
    sea_err_clear(&err);
    CHECK_INT(sea_experiment_load("/nowhere/x.yaml", NULL, 0, arena, &all, &err), SEA_E_MISSING);
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("experiment files",
    TEST(defaults_are_filled_in_and_numbers_take_their_kind),
    TEST(a_resolved_experiment_resolves_to_itself),
    TEST(an_unknown_key_is_refused_with_line_and_nearest_key),
    TEST(wrong_kinds_and_values_say_what_was_expected),
    TEST(text_that_is_no_yaml_is_refused_as_configuration),
    TEST(missing_keys_name_the_stage_that_needs_them),
    TEST(stages_follow_from_sections_and_models),
    TEST(a_sweep_gives_one_experiment_per_combination_in_order),
    TEST(a_broken_sweep_is_refused),
    TEST(the_experiments_of_a_sweep_are_one_study),
    TEST(overrides_win_and_leave_the_sweep),
    TEST(every_key_of_the_table_is_sound),
    TEST(the_examples_can_be_used),
    TEST(a_file_that_is_not_there_is_missing))
