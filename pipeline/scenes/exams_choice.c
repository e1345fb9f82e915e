/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exams_choice.c - writes the questions of eval/ that have four options
 *
 *   scienceqa   every other problem has words instead of a picture
 *   mmbench     each question in its four rotations
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_base64.h"
#include "pipeline/scenes/scenes_int.h"

/* Question i of n: about kinds (half), colours and numbers, with the dealt answer. */
static void
sample_choice(struct sea_scenes_job *job, const char *stream, int64_t i, int answer,
              struct sea_scene *scene, struct sea_choice *choice)
{
    static const enum sea_choice_about about[] = { SEA_CHOICE_WHICH, SEA_CHOICE_COLOR,
                                                   SEA_CHOICE_WHICH, SEA_CHOICE_COUNT };
    const struct sea_scenes_options *options = job->options;
    int count = 1 + (int)(i / 8 % options->objects_max);
    struct sea_rng rng;

    sea_rng_init(&rng, options->seed, sea_rng_stream(stream, (uint64_t)i, 0));
    do {
        sea_scene_sample(&rng, &job->kinds, options->image_size, count, true, scene);
    } while (!sea_choice_make(choice, about[i / 2 % 4], answer, scene, &job->kinds, false, &rng));
}

struct science {
    struct sea_buf rows, problems, ids;
};

static void
add_problem(struct science *science, const struct sea_scene *scene,
            const struct sea_kinds *kinds, const struct sea_choice *choice, int64_t id,
            bool picture)
{
    struct sea_buf value, hint;
    const char *comma = science->ids.len ? "," : "";

    sea_buf_init(&value, 1 << 16);
    sea_buf_init(&hint, 1 << 16);
    if (!picture) {
        sea_buf_puts(&hint, "Scene: ");
        sea_say_caption(&hint, scene, kinds, choice->about == SEA_CHOICE_COLOR);
        sea_buf_puts(&hint, ".");
    }
    sea_buf_addf(&value, "%s%s%s%s%s", picture ? "<image>\n" : "", picture ? "" : "Context: ",
                 hint.data, picture ? "" : "\n", choice->question);
    sea_say_options(&value, choice);
    sea_buf_addf(&science->rows, "%s\n{\"id\": \"%lld\", ", comma, (long long)id);
    if (picture)
        sea_buf_addf(&science->rows, "\"image\": \"%lld/image.png\", ", (long long)id);
    sea_scenes_field(&science->rows, "\"conversations\": [{\"from\": \"human\", \"value\": ",
                     value.data);
    sea_buf_addf(&science->rows, "}, {\"from\": \"gpt\", \"value\": \"%c\"}]}",
                 'A' + choice->answer);
    sea_buf_addf(&science->problems, "%s\n\"%lld\": {", comma, (long long)id);
    sea_scenes_field(&science->problems, "\"question\": ", choice->question);
    for (int o = 0; o < 4; o++)
        sea_scenes_field(&science->problems, o ? ", " : ", \"choices\": [", choice->options[o]);
    sea_buf_addf(&science->problems, "], \"answer\": %d", choice->answer);
    sea_scenes_field(&science->problems, ", \"hint\": ", hint.data);
    sea_buf_addf(&science->problems,
                 ", \"image\": %s, \"task\": \"closed choice\", \"grade\": \"grade1\", "
                 "\"subject\": \"natural science\", \"topic\": \"scenes\", \"category\": "
                 "\"scenes\", \"skill\": \"look at a scene\", \"lecture\": \"\", "
                 "\"solution\": \"\", \"split\": \"test\"}",
                 picture ? "\"image.png\"" : "null");
    sea_buf_addf(&science->ids, "%s\"%lld\"", science->ids.len ? ", " : "", (long long)id);
    sea_buf_release(&value);
    sea_buf_release(&hint);
}

static enum sea_status
save_science(struct sea_scenes_job *job, struct science *science, struct sea_err *err)
{
    enum sea_status status;
    struct sea_buf splits;

    sea_buf_init(&splits, SEA_SCENES_TEXT_MAX);
    sea_buf_puts(&science->rows, "\n]\n");
    sea_buf_puts(&science->problems, "\n}\n");
    sea_buf_addf(&splits, "{\"train\": [], \"val\": [], \"test\": [%s], \"trainval\": [], "
                 "\"minitrain\": [], \"minival\": [], \"minitest\": []}\n",
                 science->ids.data);
    status = sea_scenes_write(job, "eval/scienceqa", "llava_test_CQM-A.json",
                              science->rows.data, science->rows.len, err);
    if (!status)
        status = sea_scenes_write(job, "eval/scienceqa", "problems.json",
                                  science->problems.data, science->problems.len, err);
    if (!status)
        status = sea_scenes_write(job, "eval/scienceqa", "pid_splits.json", splits.data,
                                  splits.len, err);
    sea_buf_release(&splits);
    return status;
}

enum sea_status
sea_scenes_write_scienceqa(struct sea_scenes_job *job, struct sea_err *err)
{
    int64_t n = job->options->eval, *letters = sea_scenes_deal(job, "scienceqa letters", n, 4);
    enum sea_status status = SEA_OK;
    struct science science;

    sea_buf_init(&science.rows, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&science.problems, SEA_SCENES_TEXT_MAX);
    sea_buf_init(&science.ids, SEA_SCENES_TEXT_MAX);
    sea_buf_puts(&science.rows, "[");
    sea_buf_puts(&science.problems, "{");
    for (int64_t i = 0; i < n && !status; i++) {
        struct sea_scene scene;
        struct sea_choice choice;
        char folder[64];
        bool picture = i % 2 == 0;

        sample_choice(job, "scenes scienceqa", i, (int)letters[i], &scene, &choice);
        add_problem(&science, &scene, &job->kinds, &choice, i + 1, picture);
        if (!picture) {
            job->done++;
            continue;
        }
        snprintf(folder, sizeof(folder), "eval/scienceqa/images/test/%lld", (long long)i + 1);
        status = sea_scenes_picture_at(job, &scene, folder, "image.png", err);
    }
    if (!status)
        status = save_science(job, &science, err);
    sea_buf_release(&science.rows);
    sea_buf_release(&science.problems);
    sea_buf_release(&science.ids);
    return status;
}

static void
add_rotations(struct sea_buf passes[4], const struct sea_choice *choice, int64_t index,
              const char *picture)
{
    static const char *const category[] = { "object_presence", "background_color",
                                            "object_count" };
    static const char *const group[] = { "FP-S", "AR", "FP-C" };

    for (int turn = 0; turn < 4; turn++) {
        sea_buf_addf(&passes[turn], "%lld\t%s\t", (long long)(index + 1000000 * turn),
                     choice->question);
        for (int o = 0; o < 4; o++)
            sea_buf_addf(&passes[turn], "\t%s", choice->options[(o + turn) % 4]);
        sea_buf_addf(&passes[turn], "\t%c\t%s\t%s\tscenes\t%s\t\tdev\n",
                     'A' + (choice->answer - turn + 4) % 4, category[choice->about], picture,
                     group[choice->about]);
    }
}

enum sea_status
sea_scenes_write_mmbench(struct sea_scenes_job *job, struct sea_err *err)
{
    int64_t n = job->options->eval, *letters = sea_scenes_deal(job, "mmbench letters", n, 4);
    struct sea_buf passes[4], png, text;
    enum sea_status status = SEA_OK;
    char *picture;

    sea_buf_init(&png, 1 << 24);
    sea_buf_init(&text, SEA_SCENES_TEXT_MAX);
    for (int turn = 0; turn < 4; turn++)
        sea_buf_init(&passes[turn], SEA_SCENES_TEXT_MAX);
    for (int64_t i = 0; i < n && !status; i++) {
        struct sea_scene scene;
        struct sea_choice choice;

        sample_choice(job, "scenes mmbench", i, (int)letters[i], &scene, &choice);
        sea_buf_clear(&png);
        status = sea_scenes_picture(job, &scene, &png, err);
        if (status)
            break;
        picture = sea_xcalloc(sea_base64_length(png.len) + 1, 1);
        sea_base64_write(picture, png.data, png.len);
        add_rotations(passes, &choice, i + 1, picture);
        free(picture);
    }
    sea_buf_puts(&text, "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\t"
                        "l2-category\tcomment\tsplit\n");
    for (int turn = 0; turn < 4; turn++) {
        sea_buf_add(&text, passes[turn].data, passes[turn].len);
        sea_buf_release(&passes[turn]);
    }
    if (!status)
        status = sea_scenes_write(job, "eval/mmbench", "mmbench_dev_20230712.tsv", text.data,
                                  text.len, err);
    sea_buf_release(&png);
    sea_buf_release(&text);
    return status;
}
