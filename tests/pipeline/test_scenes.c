/* SPDX-License-Identifier: Apache-2.0 */
/* The demo world: equal options give equal bytes, held-out pairs stay out of training, answers
 * are balanced, pictures show what the object list says, bad options are refused. */
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"
#include "engine/sea_image.h"
#include "pipeline/sea_scenes.h"
#include "tests/sea_test.h"

#define KINDS 40
#define TRAIN 240
#define EVAL 40
#define JSON_MAX ((size_t)64 << 20)

static char world[SEA_PATH_MAX];        /* made once, read by most tests */
static struct sea_arena *arena;

static struct sea_scenes_options
options_for(const char *out)
{
    struct sea_scenes_options options;

    sea_scenes_defaults(&options);
    options.out = out;
    options.train = TRAIN;
    options.eval = EVAL;
    options.kinds = KINDS;
    return options;
}

static bool
fonts_are_here(void)
{
    return sea_file_exists("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf") &&
           sea_file_exists("/usr/share/unicode/cldr/common/annotations/en.xml");
}

/* Makes the shared world at the first call; false: it cannot be made here. */
static bool
have_world(void)
{
    struct sea_scenes_options options;
    struct sea_err err = { 0 };
    bool made = false;

    if (world[0])
        return true;
    if (!fonts_are_here())
        return false;
    arena = sea_arena_create(NULL, "test");
    snprintf(world, sizeof(world), "%s/world", sea_test_dir());
    options = options_for(world);
    CHECK_OK(sea_scenes_make(&options, NULL, NULL, &made, &err), err);
    CHECK(made);
    return made;
}

#define NEED_WORLD()                                                                \
    if (!have_world()) {                                                            \
        SEA_SKIP("the emoji font or CLDR is not installed");                        \
        return;                                                                     \
    }

static struct sea_node *
load(const char *name)
{
    char path[SEA_PATH_MAX + 128];
    struct sea_err err = { 0 };
    struct sea_node *node = NULL;

    snprintf(path, sizeof(path), "%s/%s", world, name);
    CHECK_OK(sea_json_load(path, JSON_MAX, arena, &node, &err), err);
    return node;
}

/* JSON Lines as a list. */
static struct sea_node *
load_lines(const char *name)
{
    struct sea_node *list = sea_node_put(arena, NULL, NULL, SEA_NODE_LIST);
    char path[SEA_PATH_MAX + 128];
    struct sea_err err = { 0 };
    struct sea_buf text;

    sea_buf_init(&text, JSON_MAX);
    snprintf(path, sizeof(path), "%s/%s", world, name);
    CHECK_OK(sea_file_read(path, &text, &err), err);
    for (const char *at = text.data; *at;) {
        const char *end = strchr(at, '\n');
        struct sea_node *row = NULL;

        if (!end || sea_json_parse(at, (size_t)(end - at), name, arena, &row, &err)) {
            CHECK_OK(err.status, err);
            break;
        }
        sea_node_put_copy(arena, list, NULL, row);
        at = end + 1;
    }
    sea_buf_release(&text);
    return list;
}

/* names[k] in the order of scenes.json; held[a * KINDS + b]. */
static const char *names[KINDS];
static bool held[KINDS * KINDS];

static int
kind_named(const char *name)
{
    for (int k = 0; k < KINDS; k++)
        if (strcmp(names[k], name) == 0)
            return k;
    return -1;
}

static void
load_kinds(void)
{
    struct sea_node *top = load("scenes.json"), *pairs = sea_node_get(top, "held_out");
    int k = 0;

    for (struct sea_node *n = sea_node_get(top, "kinds")->first; n && k < KINDS; n = n->next)
        names[k++] = sea_node_text(sea_node_get(n, "name"), "");
    CHECK_INT(k, KINDS);
    for (struct sea_node *n = pairs->first; n; n = n->next) {
        int a = kind_named(n->first->text), b = kind_named(n->last->text);

        held[a * KINDS + b] = held[b * KINDS + a] = true;
    }
    CHECK_INT(pairs->count, KINDS * (KINDS - 1) / 2 / 5);
}

/* present[i]: bit k for kind k in image i of FOLDER/objects.json. */
static size_t
load_present(const char *folder, uint64_t *present, size_t room)
{
    char name[64];
    struct sea_node *top;

    snprintf(name, sizeof(name), "%s/objects.json", folder);
    top = load(name);
    memset(present, 0, room * sizeof(*present));
    for (struct sea_node *n = sea_node_get(top, "annotations")->first; n; n = n->next) {
        int64_t image = sea_node_int(sea_node_get(n, "image_id"), 0) - 1;
        int64_t kind = sea_node_int(sea_node_get(n, "category_id"), 0) - 1;

        CHECK(image >= 0 && (size_t)image < room && kind >= 0 && kind < KINDS);
        CHECK(!(present[image] >> kind & 1));
        present[image] |= (uint64_t)1 << kind;
    }
    return sea_node_get(top, "images")->count;
}

static int
held_pairs_in(uint64_t kinds)
{
    int count = 0;

    for (int a = 0; a < KINDS; a++)
        for (int b = a + 1; b < KINDS; b++)
            count += (kinds >> a & 1) && (kinds >> b & 1) && held[a * KINDS + b];
    return count;
}

/* Kinds whose names stand in text as whole words. */
static uint64_t
kinds_in_text(const char *text)
{
    uint64_t found = 0;

    for (int k = 0; k < KINDS; k++) {
        size_t n = strlen(names[k]);

        for (const char *at = text; (at = strstr(at, names[k])) != NULL; at += n) {
            char before = at == text ? ' ' : at[-1], after = at[n];

            if (!((before >= 'a' && before <= 'z') || (after >= 'a' && after <= 'z')))
                found |= (uint64_t)1 << k;
        }
    }
    return found;
}

static void
held_out_pairs_are_never_trained_on(void)
{
    uint64_t present[TRAIN];
    struct sea_node *rows;
    int shown = 0, asked = 0, checked = 0;

    NEED_WORLD();
    load_kinds();
    CHECK_INT(load_present("train", present, TRAIN), TRAIN);
    for (int i = 0; i < TRAIN; i++)
        shown += held_pairs_in(present[i]);
    CHECK_INT(shown, 0);
    rows = load("train/instruct.json");
    for (struct sea_node *row = rows->first; row; row = row->next) {
        int64_t i = strtoll(sea_node_text(sea_node_get(row, "id"), "-1"), NULL, 10);
        struct sea_node *turn = sea_node_get(row, "conversations")->first;

        for (; turn; turn = turn->next, checked++) {
            uint64_t there = kinds_in_text(sea_node_text(sea_node_get(turn, "value"), ""));

            for (int k = 0; k < KINDS; k++)     /* beside each kind of the scene */
                if (there >> k & 1)
                    for (int p = 0; p < KINDS; p++)
                        asked += (present[i] >> p & 1) && held[p * KINDS + k];
        }
    }
    CHECK_INT(asked, 0);
    CHECK_MSG(checked > 4 * TRAIN, "only %d turns were checked", checked);
    asked = 0;
    rows = load_lines("train/text.jsonl");
    for (struct sea_node *row = rows->first; row; row = row->next) {
        struct sea_node *turns = sea_node_get(row, "conversations");
        uint64_t scene;

        if (!turns) {
            asked += held_pairs_in(kinds_in_text(sea_node_text(sea_node_get(row, "text"), "")));
            continue;
        }
        scene = 0;
        for (struct sea_node *turn = turns->first; turn; turn = turn->next) {
            const char *value = sea_node_text(sea_node_get(turn, "value"), "");
            uint64_t there;

            if (turn == turns->first) {         /* its first line, or sentence, is the scene */
                char *line = sea_arena_strndup(arena, value, strcspn(value, "\n."));

                scene = kinds_in_text(line);
                asked += held_pairs_in(scene);
                value += strcspn(value, "\n.");
            }
            there = kinds_in_text(value);
            for (int k = 0; k < KINDS; k++)
                for (int p = 0; p < KINDS; p++)
                    asked += (there >> k & 1) && (scene >> p & 1) && held[p * KINDS + k];
        }
    }
    CHECK_INT(asked, 0);
    CHECK_INT(rows->count, 10 * TRAIN);
}

static void
held_out_scenes_show_a_held_out_pair(void)
{
    uint64_t present[EVAL];
    struct sea_node *rows;
    int with = 0, several = 0;

    NEED_WORLD();
    load_kinds();
    CHECK_INT(load_present("heldout", present, EVAL), EVAL);
    for (int i = 0; i < EVAL; i++) {
        bool two = (present[i] & (present[i] - 1)) != 0;

        several += two;
        with += two && held_pairs_in(present[i]) > 0;
    }
    CHECK_INT(with, several);
    CHECK(several > EVAL / 2);
    /* POPE's positive questions name the scene; each has three or more objects. */
    rows = load_lines("eval/pope/coco/coco_pope_random.json");
    for (int i = 0; i < EVAL; i++)
        present[i] = 0;
    for (struct sea_node *row = rows->first; row; row = row->next) {
        const char *image = sea_node_text(sea_node_get(row, "image"), "");
        long long i = strtoll(image + strlen("COCO_val2014_"), NULL, 10) - 1;

        if (strcmp(sea_node_text(sea_node_get(row, "label"), ""), "yes") == 0)
            present[i] |= kinds_in_text(sea_node_text(sea_node_get(row, "text"), ""));
    }
    for (int i = 0; i < EVAL; i += 2)           /* even scenes have exactly three */
        CHECK_MSG(held_pairs_in(present[i]) > 0, "pope scene %d has no held-out pair", i);
}

static int
count_answers(const char *file, const char *word)
{
    struct sea_node *rows = load_lines(file);
    int n = 0;

    for (struct sea_node *row = rows->first; row; row = row->next)
        n += strcmp(sea_node_text(sea_node_get(row, "label"), ""), word) == 0;
    return n;
}

/* Most frequent value of a field among the rows that have it, and how many rows do. */
static void
tally(struct sea_node *rows, const char *field, const char *only, int *most, int *all)
{
    const char *seen[64];
    int count[64], n = 0;

    *most = *all = 0;
    for (struct sea_node *row = rows->first; row; row = row->next) {
        const struct sea_node *node = sea_node_get(row, field);
        const char *text = sea_node_text(node, NULL);
        int i = 0;

        if (!text || (only && strcmp(sea_node_text(sea_node_get(row, "answer_type"), ""), only)))
            continue;
        while (i < n && strcmp(seen[i], text) != 0)
            i++;
        if (i == n && n < 64) {
            seen[n] = text;
            count[n++] = 0;
        }
        count[i]++;
        ++*all;
        *most = count[i] > *most ? count[i] : *most;
    }
}

static void
answers_of_each_exam_are_balanced(void)
{
    static const char *const splits[] = { "random", "popular", "adversarial" };
    int surplus[KINDS] = { 0 }, most, all, letters[4] = { 0 };
    struct sea_node *rows;

    NEED_WORLD();
    load_kinds();
    for (int s = 0; s < 3; s++) {
        char file[64];

        snprintf(file, sizeof(file), "eval/pope/coco/coco_pope_%s.json", splits[s]);
        CHECK_INT(count_answers(file, "yes"), 3 * EVAL);
        CHECK_INT(count_answers(file, "no"), 3 * EVAL);
    }
    rows = load_lines("eval/pope/coco/coco_pope_random.json");
    for (struct sea_node *row = rows->first; row; row = row->next) {
        uint64_t kind = kinds_in_text(sea_node_text(sea_node_get(row, "text"), ""));
        bool yes = strcmp(sea_node_text(sea_node_get(row, "label"), ""), "yes") == 0;

        for (int k = 0; k < KINDS; k++)
            surplus[k] += kind >> k & 1 ? (yes ? 1 : -1) : 0;
    }
    most = 0;
    for (int k = 0; k < KINDS; k++)
        most = abs(surplus[k]) > most ? abs(surplus[k]) : most;
    printf("  pope random: largest |yes - no| of one kind %d (bound 3)\n", most);
    CHECK(most <= 3);
    rows = sea_node_get(load("eval/vqav2/v2_mscoco_val2014_annotations.json"), "annotations");
    tally(rows, "multiple_choice_answer", "yes/no", &most, &all);
    CHECK_INT(2 * most, all);
    tally(rows, "multiple_choice_answer", "number", &most, &all);
    CHECK_INT(4 * most, all);
    tally(rows, "multiple_choice_answer", "other", &most, &all);
    CHECK_INT(8 * most, all);
    rows = load("eval/gqa/data/testdev_balanced_questions.json");
    tally(rows, "answer", NULL, &most, &all);
    printf("  gqa: most frequent of %d answers stands %d times\n", all, most);
    CHECK_INT(all, 2 * EVAL);
    CHECK(most <= all / 8);
    rows = load("eval/scienceqa/problems.json");
    for (struct sea_node *row = rows->first; row; row = row->next)
        letters[sea_node_int(sea_node_get(row, "answer"), 0)]++;
    for (int i = 0; i < 4; i++)
        CHECK_INT(letters[i], EVAL / 4);
}

/* The asked and the unasked must be told apart by the picture: where the list says that an
 * object stands, pixels differ from the ground; elsewhere they are ground and texture. */
static void
pictures_show_the_listed_objects(void)
{
    struct sea_node *boxes;
    int rows_checked = 0;

    NEED_WORLD();
    boxes = sea_node_get(load("train/objects.json"), "annotations");
    for (struct sea_node *n = boxes->first; n && rows_checked < 50; n = n->next, rows_checked++) {
        struct sea_image image = { 0 };
        struct sea_err err = { 0 };
        struct sea_node *box = sea_node_get(n, "bbox");
        int64_t b[4], i = 0, far = 0;
        char path[SEA_PATH_MAX + 64];

        for (struct sea_node *v = box->first; v; v = v->next)
            b[i++] = v->integer;
        snprintf(path, sizeof(path), "%s/train/images/%06lld.png", world,
                 (long long)sea_node_int(sea_node_get(n, "image_id"), 0) - 1);
        if (sea_image_load(&image, path, &err)) {
            CHECK_OK(err.status, err);
            return;
        }
        CHECK_INT(image.width, 72);
        CHECK(b[0] >= 0 && b[1] >= 0 && b[0] + b[2] <= 72 && b[1] + b[3] <= 72);
        CHECK((b[2] > b[3] ? b[2] : b[3]) >= 22 && (b[2] > b[3] ? b[2] : b[3]) <= 26);
        /* neighbours in a row differ by more than any texture does */
        for (int64_t y = b[1]; y < b[1] + b[3]; y++)
            for (int64_t x = b[0] + 1; x < b[0] + b[2]; x++)
                for (int c = 0; c < 3; c++)
                    far += abs(image.rgb[3 * (y * 72 + x) + c] -
                               image.rgb[3 * (y * 72 + x - 1) + c]) > 20;
        CHECK_MSG(far > 40, "%s: box %lld shows %lld edges", path, (long long)b[0],
                  (long long)far);
        sea_image_release(&image);
    }
    CHECK_INT(rows_checked, 50);
}

static void
equal_options_give_equal_bytes(void)
{
    char again[SEA_PATH_MAX + 16], one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT];
    struct sea_scenes_options options;
    struct sea_err err = { 0 };
    bool made;

    NEED_WORLD();
    snprintf(again, sizeof(again), "%s/again/deeper", sea_test_dir());
    options = options_for(again);
    CHECK_OK(sea_scenes_make(&options, NULL, NULL, &made, &err), err);
    CHECK_OK(sea_hash_dir(world, one, &err), err);
    CHECK_OK(sea_hash_dir(again, two, &err), err);
    CHECK_STR(two, one);
    CHECK_OK(sea_scenes_make(&options, NULL, NULL, &made, &err), err);
    CHECK(!made);
    options.seed = 2;           /* another world must not land on this one */
    CHECK(sea_scenes_make(&options, NULL, NULL, &made, &err) != SEA_OK);
    CHECK_FAILS(err, SEA_E_CONFIG, "holds scenes made with other options");
    snprintf(again, sizeof(again), "%s/third", sea_test_dir());
    err = (struct sea_err){ 0 };
    CHECK_OK(sea_scenes_make(&options, NULL, NULL, &made, &err), err);
    CHECK_OK(sea_hash_dir(again, two, &err), err);
    CHECK(strcmp(one, two) != 0);
}

static void
bad_options_are_refused(void)
{
    const struct sea_scenes_options good = options_for("unused-folder");
    struct sea_scenes_options options = good;
    struct sea_err err = { 0 };
    bool made;

    options.kinds = 3;
    CHECK(sea_scenes_make(&options, NULL, NULL, &made, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "\"kinds\" is 3, expected 12 to");
    options = good;
    options.image_size = 100;
    err = (struct sea_err){ 0 };
    CHECK(sea_scenes_make(&options, NULL, NULL, &made, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "multiple of 12");
    options = good;
    options.font = "/no/such/font.ttf";
    err = (struct sea_err){ 0 };
    CHECK(sea_scenes_make(&options, NULL, NULL, &made, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "/no/such/font.ttf");
    CHECK(strstr(err.hint, "fonts-noto-color-emoji") != NULL);
    options = good;
    options.kinds = 2000;
    err = (struct sea_err){ 0 };
    if (fonts_are_here()) {
        CHECK(sea_scenes_make(&options, NULL, NULL, &made, &err));
        CHECK_FAILS(err, SEA_E_CONFIG, "2000 kinds of object were asked for, there are");
    }
    options = good;
    options.out = sea_test_root();      /* holds something else */
    err = (struct sea_err){ 0 };
    if (fonts_are_here()) {
        CHECK(sea_scenes_make(&options, NULL, NULL, &made, &err));
        CHECK_FAILS(err, SEA_E_CONFIG, "holds something else");
    }
    CHECK(!sea_dir_exists("unused-folder"));
}

SEA_TEST_MAIN("the demo world", TEST(held_out_pairs_are_never_trained_on),
              TEST(held_out_scenes_show_a_held_out_pair),
              TEST(answers_of_each_exam_are_balanced), TEST(pictures_show_the_listed_objects),
              TEST(equal_options_give_equal_bytes), TEST(bad_options_are_refused))
