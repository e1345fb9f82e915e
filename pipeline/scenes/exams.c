/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exams.c - writes eval/: questions about held-out scenes, in published file layouts
 *
 *   pope        is there a KIND? three splits that differ in which absent kinds they ask for
 *   gqa         what stands beside a KIND, in scenes of two objects
 *   vqav2       colour, number, and yes/no about places; ten equal answers each
 *
 * and scienceqa and mmbench, which are in exams_choice.c.
 *
 * Each benchmark has scenes of its own, so that its answers can be balanced exactly:
 * numbers and colours are dealt out in shuffled turns, letters and yes/no, too.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/scenes/scenes_int.h"

int64_t *
sea_scenes_deal(struct sea_scenes_job *job, const char *what, int64_t n, int64_t values)
{
    int64_t *deck = sea_arena_alloc(job->arena, (size_t)n, sizeof(*deck));
    struct sea_rng rng;

    for (int64_t i = 0; i < n; i++)
        deck[i] = i % values;
    sea_rng_init(&rng, job->options->seed, sea_rng_stream(what, (uint64_t)n, (uint64_t)values));
    sea_rng_shuffle(&rng, deck, (size_t)n);
    return deck;
}

void
sea_scenes_field(struct sea_buf *buf, const char *before, const char *text)
{
    sea_buf_puts(buf, before);
    sea_json_quote(buf, text, strlen(text));
}

/* A row of LLaVA's question files. */
static void
add_question(struct sea_buf *buf, const char *id, const char *image, const char *question,
             const char *suffix, const char *category)
{
    struct sea_buf text;

    sea_buf_init(&text, 1 << 20);
    sea_buf_puts(&text, question);
    sea_buf_puts(&text, suffix);
    sea_buf_addf(buf, "{\"question_id\": %s", id);
    sea_scenes_field(buf, ", \"image\": ", image);
    sea_scenes_field(buf, ", \"text\": ", text.data);
    sea_scenes_field(buf, ", \"category\": ", category);
    sea_buf_puts(buf, "}\n");
    sea_buf_release(&text);
}

/* ---- pope ---- */

enum { RANDOM, POPULAR, ADVERSARIAL, SPLITS };
static const char *const split_names[SPLITS] = { "random", "popular", "adversarial" };
static const int64_t split_base[SPLITS] = { 10000000, 20000000, 0 };

struct pope {
    const struct sea_kinds *kinds;
    const struct sea_scene *scenes;
    int64_t count;
    int64_t *frequency;         // (kinds): scenes with this kind
    int64_t *together;          // (kinds, kinds): scenes with both
    int64_t *surplus;           // (kinds): asked with answer yes minus no, split random
    struct sea_buf labels[SPLITS], questions[SPLITS];
    int64_t asked[SPLITS];
};

static void
count_kinds(struct pope *pope, struct sea_arena *arena)
{
    size_t n = (size_t)pope->kinds->count;

    pope->frequency = sea_arena_alloc(arena, n, sizeof(int64_t));
    pope->together = sea_arena_alloc(arena, n * n, sizeof(int64_t));
    pope->surplus = sea_arena_alloc(arena, n, sizeof(int64_t));
    for (int64_t i = 0; i < pope->count; i++)
        for (int a = 0; a < pope->scenes[i].count; a++) {
            size_t kind = (size_t)pope->scenes[i].objects[a].kind;

            pope->frequency[kind]++;
            for (int b = 0; b < pope->scenes[i].count; b++)
                pope->together[kind * n + (size_t)pope->scenes[i].objects[b].kind]++;
        }
}

static int64_t
weight_of_absent(const struct pope *pope, const struct sea_scene *scene, int split, int kind)
{
    int64_t weight = 0;

    if (split == RANDOM)
        return pope->surplus[kind];
    if (split == POPULAR)
        return pope->frequency[kind];
    for (int o = 0; o < scene->count; o++)
        weight += pope->together[scene->objects[o].kind * pope->kinds->count + kind];
    return weight;
}

/* Absent kinds with the largest weights; among equals a random one. */
static void
choose_absent(const struct pope *pope, const struct sea_scene *scene, int split, int wanted,
              struct sea_rng *rng, int *out)
{
    int n = pope->kinds->count;

    for (int i = 0; i < wanted; i++) {
        int start = (int)sea_rng_below(rng, (uint32_t)n), best = -1;
        int64_t most = 0;

        for (int k = 0; k < n; k++) {
            int kind = (start + k) % n, taken = sea_scene_has(scene, kind);
            int64_t weight = weight_of_absent(pope, scene, split, kind);

            for (int j = 0; j < i; j++)
                taken |= out[j] == kind;
            if (!taken && (best < 0 || weight > most)) {
                best = kind;
                most = weight;
            }
        }
        out[i] = best;
    }
}

static void
ask_pope(struct pope *pope, int split, int64_t scene, int kind, bool yes)
{
    char id[32], image[64];
    struct sea_buf question;

    sea_buf_init(&question, 4096);
    sea_say_exists(&question, pope->kinds->items[kind].name);
    snprintf(image, sizeof(image), "COCO_val2014_%012lld.png", (long long)scene + 1);
    pope->asked[split]++;
    sea_buf_addf(&pope->labels[split], "{\"question_id\": %lld", (long long)pope->asked[split]);
    sea_scenes_field(&pope->labels[split], ", \"image\": ", image);
    sea_scenes_field(&pope->labels[split], ", \"text\": ", question.data);
    sea_scenes_field(&pope->labels[split], ", \"label\": ", yes ? "yes" : "no");
    sea_buf_puts(&pope->labels[split], "}\n");
    snprintf(id, sizeof(id), "%lld", (long long)(split_base[split] + pope->asked[split]));
    add_question(&pope->questions[split], id, image, question.data, SEA_SAY_SHORT,
                 split_names[split]);
    sea_buf_release(&question);
}

static enum sea_status
save_pope(struct sea_scenes_job *job, struct pope *pope, struct sea_err *err)
{
    static const int order[SPLITS] = { ADVERSARIAL, POPULAR, RANDOM };
    enum sea_status status = SEA_OK;
    struct sea_buf all;

    sea_buf_init(&all, SEA_SCENES_TEXT_MAX);
    for (int s = 0; s < SPLITS && !status; s++) {
        struct sea_buf *labels = &pope->labels[s];

        sea_buf_add(&all, pope->questions[order[s]].data, pope->questions[order[s]].len);
        status = sea_scenes_write(
            job, "eval/pope/coco",
            sea_arena_printf(job->arena, "coco_pope_%s.json", split_names[s]), labels->data,
            labels->len, err);
    }
    if (!status)
        status = sea_scenes_write(job, "eval/pope", "llava_pope_test.jsonl", all.data, all.len,
                                  err);
    sea_buf_release(&all);
    return status;
}

static enum sea_status
write_pope(struct sea_scenes_job *job, struct sea_err *err)
{
    const struct sea_scenes_options *options = job->options;
    int present = options->objects_max < 3 ? options->objects_max : 3;
    struct sea_scene *scenes =
        sea_arena_alloc(job->arena, (size_t)options->eval, sizeof(*scenes));
    struct pope pope = { .kinds = &job->kinds, .scenes = scenes, .count = options->eval };
    enum sea_status status = SEA_OK;
    struct sea_rng rng;

    for (int64_t i = 0; i < options->eval; i++) {
        int count = present + (int)(i % (options->objects_max - present + 1));

        sea_rng_init(&rng, options->seed, sea_rng_stream("scenes pope", (uint64_t)i, 0));
        sea_scene_sample(&rng, &job->kinds, options->image_size, count, true, &scenes[i]);
    }
    count_kinds(&pope, job->arena);
    for (int s = 0; s < SPLITS; s++) {
        sea_buf_init(&pope.labels[s], SEA_SCENES_TEXT_MAX);
        sea_buf_init(&pope.questions[s], SEA_SCENES_TEXT_MAX);
    }
    for (int64_t i = 0; i < options->eval && !status; i++) {
        int absent[SPLITS][3];
        char name[64];

        sea_rng_init(&rng, options->seed, sea_rng_stream("scenes pope asks", (uint64_t)i, 0));
        for (int p = 0; p < present; p++)
            pope.surplus[scenes[i].objects[p].kind]++;
        for (int s = 0; s < SPLITS; s++)
            choose_absent(&pope, &scenes[i], s, present, &rng, absent[s]);
        for (int p = 0; p < present; p++) {
            pope.surplus[absent[RANDOM][p]]--;
            for (int s = 0; s < SPLITS; s++) {
                ask_pope(&pope, s, i, scenes[i].objects[p].kind, true);
                ask_pope(&pope, s, i, absent[s][p], false);
            }
        }
        snprintf(name, sizeof(name), "COCO_val2014_%012lld.png", (long long)i + 1);
        status = sea_scenes_picture_at(job, &scenes[i], "eval/pope/val2014", name, err);
    }
    if (!status)
        status = save_pope(job, &pope, err);
    for (int s = 0; s < SPLITS; s++) {
        sea_buf_release(&pope.labels[s]);
        sea_buf_release(&pope.questions[s]);
    }
    return status;
}

/* ---- gqa ---- */

static void
ask_gqa(struct sea_buf *questions, struct sea_buf *records, const struct sea_kinds *kinds,
        int64_t image, bool left, int asked, int answer)
{
    const char *name = kinds->items[asked].name, *word = kinds->items[answer].name;
    struct sea_buf text, full;
    char id[32], quoted[40], file[32];

    sea_buf_init(&text, 4096);
    sea_buf_init(&full, 4096);
    snprintf(id, sizeof(id), "%08lld", (long long)(image * 2 + left));
    snprintf(quoted, sizeof(quoted), "\"%s\"", id);
    snprintf(file, sizeof(file), "n%06lld.png", (long long)image);
    sea_say_beside(&text, left, name);
    sea_buf_addf(&full, "The %s is to the %s of the %s.", word, left ? "left" : "right", name);
    add_question(questions, quoted, file, text.data, SEA_SAY_SHORT, "default");
    sea_buf_addf(records, "%s\n\"%s\": {\"imageId\": \"n%06lld\"", records->len > 1 ? "," : "",
                 id, (long long)image);
    sea_scenes_field(records, ", \"question\": ", text.data);
    sea_scenes_field(records, ", \"answer\": ", word);
    sea_scenes_field(records, ", \"fullAnswer\": ", full.data);
    sea_buf_addf(records,
                 ", \"isBalanced\": true, \"groups\": {\"global\": null, \"local\": \"%s\"}, "
                 "\"types\": {\"structural\": \"query\", \"semantic\": \"rel\", \"detailed\": "
                 "\"relO\"}, \"entailed\": [], \"equivalent\": [\"%s\"], \"semantic\": [], "
                 "\"semanticStr\": \"\", \"annotations\": {\"answer\": {}, \"question\": {}, "
                 "\"fullAnswer\": {}}}",
                 left ? "left" : "right", id);
    sea_buf_release(&text);
    sea_buf_release(&full);
}

static enum sea_status
write_gqa(struct sea_scenes_job *job, struct sea_err *err)
{
    const struct sea_scenes_options *options = job->options;
    struct sea_buf questions, records;
    enum sea_status status = SEA_OK;

    sea_buf_init(&questions, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&records, SEA_SCENES_TEXT_MAX);
    sea_buf_puts(&records, "{");
    for (int64_t i = 0; i < options->eval && !status; i++) {
        struct sea_scene scene;
        struct sea_rng rng;
        char name[32];

        sea_rng_init(&rng, options->seed, sea_rng_stream("scenes gqa", (uint64_t)i, 0));
        do {
            sea_scene_sample(&rng, &job->kinds, options->image_size, 2, true, &scene);
        } while (!sea_object_is_left(&scene.objects[0], &scene.objects[1]));
        for (int left = 0; left < 2; left++)
            ask_gqa(&questions, &records, &job->kinds, i + 1, left, scene.objects[left].kind,
                    scene.objects[!left].kind);
        snprintf(name, sizeof(name), "n%06lld.png", (long long)i + 1);
        status = sea_scenes_picture_at(job, &scene, "eval/gqa/data/images", name, err);
    }
    sea_buf_puts(&records, "\n}\n");
    if (!status)
        status = sea_scenes_write(job, "eval/gqa", "llava_gqa_testdev_balanced.jsonl",
                                  questions.data, questions.len, err);
    if (!status)
        status = sea_scenes_write(job, "eval/gqa/data", "testdev_balanced_questions.json",
                                  records.data, records.len, err);
    sea_buf_release(&questions);
    sea_buf_release(&records);
    return status;
}

/* ---- vqav2 ---- */

struct vqa {
    struct sea_buf rows, questions, answers;
};

static void
ask_vqa(struct vqa *vqa, int64_t image, int k, const char *question, const char *answer,
        const char *question_type, const char *answer_type)
{
    char id[32], file[64];

    snprintf(id, sizeof(id), "%lld", (long long)(image * 1000 + k));
    snprintf(file, sizeof(file), "COCO_val2014_%012lld.png", (long long)image);
    add_question(&vqa->rows, id, file, question, SEA_SAY_SHORT, "default");
    sea_buf_addf(&vqa->questions, "%s\n{\"image_id\": %lld, \"question_id\": %s",
                 vqa->answers.len ? "," : "", (long long)image, id);
    sea_scenes_field(&vqa->questions, ", \"question\": ", question);
    sea_buf_puts(&vqa->questions, "}");
    sea_buf_addf(&vqa->answers, "%s\n{\"question_id\": %s, \"image_id\": %lld",
                 vqa->answers.len ? "," : "", id, (long long)image);
    sea_scenes_field(&vqa->answers, ", \"question_type\": ", question_type);
    sea_scenes_field(&vqa->answers, ", \"answer_type\": ", answer_type);
    sea_scenes_field(&vqa->answers, ", \"multiple_choice_answer\": ", answer);
    sea_buf_puts(&vqa->answers, ", \"answers\": [");
    for (int i = 1; i <= 10; i++) {
        sea_scenes_field(&vqa->answers, i > 1 ? ", {\"answer\": " : "{\"answer\": ", answer);
        sea_buf_addf(&vqa->answers, ", \"answer_confidence\": \"yes\", \"answer_id\": %d}", i);
    }
    sea_buf_puts(&vqa->answers, "]}");
}

/* A relation where two objects stand side by side, else existence. */
static void
ask_vqa_yes_no(struct vqa *vqa, const struct sea_kinds *kinds, const struct sea_scene *scene,
               int64_t image, bool yes, struct sea_rng *rng)
{
    const struct sea_object *a = &scene->objects[0], *b = &scene->objects[scene->count - 1];
    const char *answer = yes ? "yes" : "no";
    struct sea_buf text;

    sea_buf_init(&text, 4096);
    if (scene->count > 1 && sea_object_is_left(a, b)) {
        bool left = sea_rng_below(rng, 2), in_order = left == yes;

        sea_say_relation(&text, left, kinds->items[in_order ? a->kind : b->kind].name,
                         kinds->items[in_order ? b->kind : a->kind].name);
        ask_vqa(vqa, image, 2, text.data, answer, "is the", "yes/no");
    } else {
        int kind = a->kind;

        while (!yes && sea_scene_has(scene, kind))
            kind = (int)sea_rng_below(rng, (uint32_t)kinds->count);
        sea_say_exists(&text, kinds->items[kind].name);
        ask_vqa(vqa, image, 2, text.data, answer, "is there a", "yes/no");
    }
    sea_buf_release(&text);
}

static enum sea_status
save_vqa(struct sea_scenes_job *job, struct vqa *vqa, struct sea_err *err)
{
    static const char head[] = "{\"info\": {\"description\": \"scenes\"}, \"task_type\": "
                               "\"Open-Ended\", \"data_type\": \"mscoco\", \"data_subtype\": "
                               "\"val2014\", \"license\": {}, ";
    enum sea_status status;
    struct sea_buf out;

    sea_buf_init(&out, SEA_SCENES_TEXT_MAX);
    status = sea_scenes_write(job, "eval/vqav2", "llava_vqav2_mscoco_val2014.jsonl",
                              vqa->rows.data, vqa->rows.len, err);
    if (!status) {
        sea_buf_addf(&out, "%s\"questions\": [%s\n]}\n", head, vqa->questions.data);
        status = sea_scenes_write(job, "eval/vqav2",
                                  "v2_OpenEnded_mscoco_val2014_questions.json", out.data,
                                  out.len, err);
    }
    if (!status) {
        sea_buf_clear(&out);
        sea_buf_addf(&out, "%s\"annotations\": [%s\n]}\n", head, vqa->answers.data);
        status = sea_scenes_write(job, "eval/vqav2", "v2_mscoco_val2014_annotations.json",
                                  out.data, out.len, err);
    }
    sea_buf_release(&out);
    return status;
}

static enum sea_status
write_vqav2(struct sea_scenes_job *job, struct sea_err *err)
{
    const struct sea_scenes_options *options = job->options;
    int64_t n = options->eval;
    int64_t *counts = sea_scenes_deal(job, "vqav2 counts", n, options->objects_max);
    int64_t *colors = sea_scenes_deal(job, "vqav2 colors", n, SEA_SCENE_COLORS);
    int64_t *answers = sea_scenes_deal(job, "vqav2 yes", n, 2);
    enum sea_status status = SEA_OK;
    struct vqa vqa;

    sea_buf_init(&vqa.rows, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&vqa.questions, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&vqa.answers, SEA_SCENES_TEXT_MAX);
    for (int64_t i = 0; i < n && !status; i++) {
        struct sea_scene scene;
        struct sea_rng rng;
        char text[64];

        sea_rng_init(&rng, options->seed, sea_rng_stream("scenes vqav2", (uint64_t)i, 0));
        sea_scene_sample(&rng, &job->kinds, options->image_size, (int)counts[i] + 1, true,
                         &scene);
        scene.color = (int)colors[i];
        ask_vqa(&vqa, i + 1, 0, SEA_SAY_COLOR, sea_scene_colors[scene.color],
                "what color is the", "other");
        snprintf(text, sizeof(text), "%d", scene.count);
        ask_vqa(&vqa, i + 1, 1, SEA_SAY_COUNT, text, "how many", "number");
        ask_vqa_yes_no(&vqa, &job->kinds, &scene, i + 1, answers[i], &rng);
        snprintf(text, sizeof(text), "COCO_val2014_%012lld.png", (long long)i + 1);
        status = sea_scenes_picture_at(job, &scene, "eval/vqav2/val2014", text, err);
    }
    if (!status)
        status = save_vqa(job, &vqa, err);
    sea_buf_release(&vqa.rows);
    sea_buf_release(&vqa.questions);
    sea_buf_release(&vqa.answers);
    return status;
}

enum sea_status
sea_scenes_write_exams(struct sea_scenes_job *job, struct sea_err *err)
{
    static enum sea_status (*const exams[])(struct sea_scenes_job *, struct sea_err *) = {
        write_pope, write_gqa, write_vqav2, sea_scenes_write_scienceqa,
        sea_scenes_write_mmbench,
    };
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < sizeof(exams) / sizeof(exams[0]) && !status; i++)
        status = exams[i](job, err);
    return status;
}
