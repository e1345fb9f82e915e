/* SPDX-License-Identifier: Apache-2.0 */
/* train.c - writes train/ and heldout/: pictures, captions, conversations, objects, text */
#include <stdlib.h>
#include <string.h>

#include "pipeline/scenes/scenes_int.h"

static const char *const prompts[] = {
    "Describe the image briefly.\n<image>",
    "<image>\nWhat is in the picture?",
    "Give a short caption of the image.\n<image>",
    "<image>\nName everything that can be seen.",
};

/* 1 to objects_max objects: one scene in ten has one, four in ten two, the rest more. */
static int
draw_count(struct sea_rng *rng, int objects_max)
{
    static const double upto[] = { 0.1, 0.5, 0.75, 1.0 };
    double u = sea_rng_uniform(rng) * upto[objects_max - 1];
    int count = 1;

    while (count < objects_max && u >= upto[count - 1])
        count++;
    return count;
}

static void
write_pretrain(struct sea_buf *buf, const struct sea_scenes_job *job,
               const struct sea_scene *scene, int64_t i, struct sea_rng *rng)
{
    uint32_t prompt = sea_rng_below(rng, sizeof(prompts) / sizeof(prompts[0]));
    struct sea_buf caption;

    sea_buf_init(&caption, 4096);
    sea_say_caption(&caption, scene, &job->kinds, sea_rng_below(rng, 10) == 0);
    sea_buf_addf(buf,
                 "%s\n{\"id\": \"%06lld\", \"image\": \"%06lld.png\", \"conversations\": "
                 "[{\"from\": \"human\", \"value\": ",
                 i ? "," : "", (long long)i, (long long)i);
    sea_json_quote(buf, prompts[prompt], strlen(prompts[prompt]));
    sea_buf_puts(buf, "}, {\"from\": \"gpt\", \"value\": ");
    sea_json_quote(buf, caption.data, caption.len);
    sea_buf_puts(buf, "}]}");
    sea_buf_release(&caption);
}

struct objects_text {
    struct sea_buf images, boxes;
    int64_t boxes_count;
};

static void
write_objects(struct objects_text *text, const struct sea_scene *scene, int64_t i, int size)
{
    sea_buf_addf(&text->images,
                 "%s\n{\"id\": %lld, \"file_name\": \"%06lld.png\", \"width\": %d, "
                 "\"height\": %d, \"background\": \"%s\"}",
                 i ? "," : "", (long long)i + 1, (long long)i, size, size,
                 sea_scene_colors[scene->color]);
    for (int o = 0; o < scene->count; o++) {
        const struct sea_object *object = &scene->objects[o];

        sea_buf_addf(&text->boxes,
                     "%s\n{\"id\": %lld, \"image_id\": %lld, \"category_id\": %d, "
                     "\"bbox\": [%d, %d, %d, %d], \"area\": %d, \"iscrowd\": 0}",
                     text->boxes_count ? "," : "", (long long)text->boxes_count + 1,
                     (long long)i + 1, object->kind + 1, object->x, object->y, object->w,
                     object->h, object->w * object->h);
        text->boxes_count++;
    }
}

static enum sea_status
save_objects(struct sea_scenes_job *job, struct objects_text *text, const char *folder,
             struct sea_err *err)
{
    struct sea_buf *out = &text->images;

    sea_buf_puts(out, "\n],\n\"annotations\": [");
    sea_buf_add(out, text->boxes.data, text->boxes.len);
    sea_buf_puts(out, "\n],\n\"categories\": [");
    for (int k = 0; k < job->kinds.count; k++)
        sea_buf_addf(out, "%s\n{\"id\": %d, \"name\": \"%s\", \"supercategory\": \"%s\"}",
                     k ? "," : "", k + 1, job->kinds.items[k].name,
                     job->kinds.items[k].category);
    sea_buf_puts(out, "\n]}\n");
    return sea_scenes_write(job, folder, "objects.json", out->data, out->len, err);
}

/* A row of instruct.json; one in ten has words instead of the picture. */
static void
write_instruct(struct sea_buf *buf, struct sea_talk *talk, const struct sea_scene *scene,
               int64_t i, struct sea_rng *rng)
{
    bool words = sea_rng_below(rng, 10) == 0;
    struct sea_talk_about about = { .head = "<image>\n", .turns = talk->options->turns,
                                    .caption = !words, .color = true, .place = true };
    struct sea_buf head, rounds;

    sea_buf_init(&head, 4096);
    sea_buf_init(&rounds, 1 << 20);
    if (words) {
        about.color = sea_rng_below(rng, 2);
        sea_buf_puts(&head, "Scene: ");
        sea_say_caption(&head, scene, talk->kinds, about.color);
        sea_buf_puts(&head, ".\n");
        about.head = head.data;
    }
    if (sea_talk_write(talk, &about, scene, rng, &rounds)) {
        sea_buf_addf(buf, "%s\n{\"id\": \"%06lld\", ", buf->len > 1 ? "," : "", (long long)i);
        if (!words)
            sea_buf_addf(buf, "\"image\": \"%06lld.png\", ", (long long)i);
        sea_buf_puts(buf, "\"conversations\": ");
        sea_buf_add(buf, rounds.data, rounds.len);
        sea_buf_puts(buf, "}");
    }
    sea_buf_release(&head);
    sea_buf_release(&rounds);
}

/* A row of text.jsonl: a caption, or questions below a caption or the words of the cells. */
static void
write_text(struct sea_buf *buf, struct sea_talk *talk, int64_t i)
{
    const struct sea_scenes_options *options = talk->options;
    struct sea_talk_about about = { .color = true, .caption = true };
    struct sea_buf head, rounds;
    struct sea_scene scene;
    struct sea_rng rng;
    uint32_t form;
    int count;

    sea_rng_init(&rng, options->seed, sea_rng_stream("scenes text", (uint64_t)i, 0));
    form = i < options->train * options->text_rows * 9 / 20 ? 1 : sea_rng_below(&rng, 20);
    count = draw_count(&rng, options->objects_max);
    /* In the order of learning. Comparing a word with the words above it is what the language
     * model must be able to do before it meets pictures, and it is learned first, in a few
     * hundred steps, where many one-word questions stand close to long lists. The rest of the
     * file carries it over to the wording and the template of the conversations. */
    about.is_bare = form > 0 && form < 6;
    about.is_short = form > 0 && form < 10;
    if (about.is_short && count < 3)
        count = options->objects_max;
    sea_scene_sample(&rng, talk->kinds, options->image_size, count, false, &scene);
    sea_buf_init(&head, 1 << 20);
    sea_buf_init(&rounds, 1 << 20);
    if (form < 1) {
        sea_say_caption(&head, &scene, talk->kinds, sea_rng_below(&rng, 10) == 0);
        sea_buf_puts(buf, "{\"text\": ");
        sea_json_quote(buf, head.data, head.len);
        sea_buf_puts(buf, "}\n");
        goto out;
    }
    about.only_existence = form < 16;
    about.turns = about.is_short ? 6 : 2 + (int)sea_rng_below(&rng, 3);
    about.place = sea_rng_below(&rng, 2);
    if (about.place) {
        about.color = sea_rng_below(&rng, 4) == 0;
        sea_say_caption(&head, &scene, talk->kinds, about.color);
    } else {
        sea_say_cells(&head, &scene, talk->kinds, options->image_size, &rng);
    }
    sea_buf_puts(&head, about.is_bare ? ". " : "\n");
    about.head = head.data;
    if (sea_talk_write(talk, &about, &scene, &rng, &rounds)) {
        sea_buf_puts(buf, "{\"conversations\": ");
        sea_buf_add(buf, rounds.data, rounds.len);
        sea_buf_puts(buf, about.is_bare ? ", \"template\": \"bare\"}\n" : "}\n");
    }
out:
    sea_buf_release(&head);
    sea_buf_release(&rounds);
}

/* Pictures, pretrain.json and objects.json of a folder; instruct.json with talk. */
static enum sea_status
write_scenes(struct sea_scenes_job *job, const char *folder, int64_t count, bool held,
             struct sea_talk *talk, struct sea_err *err)
{
    const struct sea_scenes_options *options = job->options;
    const char *images = sea_arena_printf(job->arena, "%s/images", folder);
    struct sea_buf pretrain, instruct;
    struct objects_text objects = { .boxes_count = 0 };
    enum sea_status status = SEA_OK;

    sea_buf_init(&pretrain, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&instruct, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&objects.images, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&objects.boxes, SEA_SCENES_TEXT_MAX);
    sea_buf_puts(&pretrain, "[");
    sea_buf_puts(&instruct, "[");
    sea_buf_puts(&objects.images, "{\"images\": [");
    for (int64_t i = 0; i < count && !status; i++) {
        struct sea_scene scene;
        struct sea_rng rng;
        char name[32];

        sea_rng_init(&rng, options->seed, sea_rng_stream(folder, (uint64_t)i, 0));
        sea_scene_sample(&rng, &job->kinds, options->image_size,
                         draw_count(&rng, options->objects_max), held, &scene);
        write_pretrain(&pretrain, job, &scene, i, &rng);
        write_objects(&objects, &scene, i, options->image_size);
        if (talk)
            write_instruct(&instruct, talk, &scene, i, &rng);
        snprintf(name, sizeof(name), "%06lld.png", (long long)i);
        status = sea_scenes_picture_at(job, &scene, images, name, err);
    }
    sea_buf_puts(&pretrain, "\n]\n");
    sea_buf_puts(&instruct, "\n]\n");
    if (!status)
        status = sea_scenes_write(job, folder, "pretrain.json", pretrain.data, pretrain.len, err);
    if (!status)
        status = save_objects(job, &objects, folder, err);
    if (!status && talk)
        status = sea_scenes_write(job, folder, "instruct.json", instruct.data, instruct.len, err);
    sea_buf_release(&pretrain);
    sea_buf_release(&instruct);
    sea_buf_release(&objects.images);
    sea_buf_release(&objects.boxes);
    return status;
}

enum sea_status
sea_scenes_write_train(struct sea_scenes_job *job, struct sea_err *err)
{
    const struct sea_scenes_options *options = job->options;
    size_t n = (size_t)job->kinds.count;
    struct sea_talk talk = { .kinds = &job->kinds, .options = options };
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, SEA_SCENES_TEXT_MAX);
    talk.yes = sea_arena_alloc(job->arena, n, sizeof(*talk.yes));
    talk.no = sea_arena_alloc(job->arena, n, sizeof(*talk.no));
    status = write_scenes(job, "train", options->train, false, &talk, err);
    if (status)
        goto out;
    memset(talk.yes, 0, n * sizeof(*talk.yes));
    memset(talk.no, 0, n * sizeof(*talk.no));
    for (int64_t i = 0; i < options->train * options->text_rows; i++)
        write_text(&text, &talk, i);
    status = sea_scenes_write(job, "train", "text.jsonl", text.data, text.len, err);
out:
    sea_buf_release(&text);
    return status;
}

enum sea_status
sea_scenes_write_heldout(struct sea_scenes_job *job, struct sea_err *err)
{
    return write_scenes(job, "heldout", job->options->eval, true, NULL, err);
}
