/* SPDX-License-Identifier: Apache-2.0 */
/* language.c - the sentences of the demo world: few words, one way to say each thing */
#include <string.h>

#include "pipeline/scenes/scenes_int.h"

static const char *const digits[] = { "0", "1", "2", "3", "4", "5" };

static const char *
article(const char *name)
{
    static const char *const silent_h[] = { "hour", "honest" };

    for (size_t i = 0; i < sizeof(silent_h) / sizeof(silent_h[0]); i++)
        if (strncmp(name, silent_h[i], strlen(silent_h[i])) == 0)
            return "an";
    if (strncmp(name, "uni", 3) == 0 || strncmp(name, "uti", 3) == 0)
        return "a";
    return strchr("aeiou", name[0]) ? "an" : "a";
}

/* "a cat" */
static void
say_kind(struct sea_buf *buf, const char *name)
{
    sea_buf_addf(buf, "%s %s", article(name), name);
}

void
sea_say_caption(struct sea_buf *buf, const struct sea_scene *scene,
                const struct sea_kinds *kinds, bool with_color)
{
    for (int i = 0; i < scene->count; i++) {
        if (i > 0)
            sea_buf_puts(buf, i + 1 == scene->count ? " and " : ", ");
        say_kind(buf, kinds->items[scene->objects[i].kind].name);
    }
    if (with_color) {
        const char *color = sea_scene_colors[scene->color];

        sea_buf_addf(buf, " on %s %s background", article(color), color);
    }
}

static const char *
word_of_cell(const struct sea_scene *scene, const struct sea_kinds *kinds, int column, int row)
{
    int x = column * SEA_SCENE_CELL + SEA_SCENE_CELL / 2;
    int y = row * SEA_SCENE_CELL + SEA_SCENE_CELL / 2;

    for (int i = 0; i < scene->count; i++) {
        const struct sea_object *o = &scene->objects[i];

        if (x >= o->x && x < o->x + o->w && y >= o->y && y < o->y + o->h)
            return kinds->items[o->kind].name;
    }
    return sea_scene_colors[scene->color];
}

void
sea_say_cells(struct sea_buf *buf, const struct sea_scene *scene, const struct sea_kinds *kinds,
              int size, struct sea_rng *rng)
{
    int cells = size / SEA_SCENE_CELL;

    for (int row = 0; row < cells; row++)
        for (int column = 0; column < cells;) {
            const char *word = word_of_cell(scene, kinds, column, row);
            int run = 1, times = 1 + (int)sea_rng_below(rng, 2);

            while (column + run < cells && word_of_cell(scene, kinds, column + run, row) == word)
                run++;
            for (int i = 0; i < run && i < times; i++)
                sea_buf_addf(buf, "%s%s", row + column + i > 0 ? " " : "", word);
            column += run;
        }
}

void
sea_say_exists(struct sea_buf *buf, const char *name)
{
    sea_buf_addf(buf, "Is there %s %s in the image?", article(name), name);
}

void
sea_say_beside(struct sea_buf *buf, bool left, const char *name)
{
    sea_buf_addf(buf, "What is to the %s of the %s?", left ? "left" : "right", name);
}

void
sea_say_relation(struct sea_buf *buf, bool left, const char *a, const char *b)
{
    sea_buf_addf(buf, "Is the %s to the %s of the %s?", a, left ? "left" : "right", b);
}

static bool
choose_kinds(struct sea_choice *choice, const struct sea_scene *scene,
             const struct sea_kinds *kinds, bool in_training, struct sea_rng *rng)
{
    int right = scene->objects[sea_rng_below(rng, (uint32_t)scene->count)].kind;
    int wrong[3], found = 0;

    for (int tries = 0; tries < 64 * kinds->count && found < 3; tries++) {
        int kind = (int)sea_rng_below(rng, (uint32_t)kinds->count), seen = 0;

        for (int j = 0; j < found; j++)
            seen += wrong[j] == kind;
        if (!seen && !sea_scene_has(scene, kind) &&
            (!in_training || sea_scene_allows(scene, kinds, kind)))
            wrong[found++] = kind;
    }
    if (found < 3)
        return false;
    for (int i = 0, w = 0; i < 4; i++)
        choice->options[i] = kinds->items[i == choice->answer ? right : wrong[w++]].name;
    return true;
}

bool
sea_choice_make(struct sea_choice *choice, enum sea_choice_about about, int answer,
                const struct sea_scene *scene, const struct sea_kinds *kinds, bool in_training,
                struct sea_rng *rng)
{
    int64_t order[SEA_SCENE_COLORS];

    *choice = (struct sea_choice){ .about = about, .answer = answer };
    switch (about) {
    case SEA_CHOICE_COLOR:
        choice->question = SEA_SAY_COLOR;
        for (int i = 0; i < SEA_SCENE_COLORS; i++)
            order[i] = i;
        sea_rng_shuffle(rng, order, SEA_SCENE_COLORS);
        for (int i = 0, at = 0; i < 4; i++) {
            at += order[at] == scene->color;
            choice->options[i] = sea_scene_colors[i == answer ? scene->color : order[at++]];
        }
        return true;
    case SEA_CHOICE_COUNT:
        choice->question = SEA_SAY_COUNT;
        /* 1 to 4 turned so that the right one stands at answer */
        for (int i = 0; i < 4; i++)
            choice->options[i] = digits[1 + (scene->count - 1 + i - answer + 4) % 4];
        return true;
    default:
        choice->question = SEA_SAY_WHICH;
        return choose_kinds(choice, scene, kinds, in_training, rng);
    }
}

void
sea_say_options(struct sea_buf *buf, const struct sea_choice *choice)
{
    for (int i = 0; i < 4; i++)
        sea_buf_addf(buf, "\n%c. %s", 'A' + i, choice->options[i]);
}
