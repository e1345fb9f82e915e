/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk.c - conversations: which questions a row asks, and their answers
 *
 * Balance: how many of a row's existence questions have the answer "yes" is drawn from a
 * distribution symmetric about the half; which kinds are asked for evens out each kind's
 * "yes" and "no" over all rows. Relations and sides are drawn with even odds. Numbers of
 * objects are asked the less often the more scenes have that number (see train.c).
 *
 * Order: a question about places names what is in the picture, and so answers later
 * existence questions without a look. Existence, colour and number therefore come first,
 * in any order, then the rest; but in every other row one of the rest opens, so that each
 * form of question is also seen right behind the picture, where evaluation asks it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/scenes/scenes_int.h"

#define ROUNDS_MAX 16
#define TEXT_MAX 512
#define EXISTENCE_MAX 6         /* existence questions of a row */

struct round {
    struct sea_buf question, answer;
    enum sea_ask ask;
    int kind;                   /* asked by an existence question, else -1 */
    bool yes;
    bool is_side;               /* asks what stands beside an object */
};

struct rounds {
    int count;
    struct round items[ROUNDS_MAX];
};

static struct round *
add_round(struct rounds *rounds, enum sea_ask ask)
{
    struct round *round = &rounds->items[rounds->count++];

    assert(rounds->count <= ROUNDS_MAX);
    round->ask = ask;
    round->kind = -1;
    sea_buf_init(&round->question, TEXT_MAX);
    sea_buf_init(&round->answer, TEXT_MAX);
    return round;
}

static bool
asked_already(const struct rounds *rounds, int kind)
{
    for (int i = 0; i < rounds->count; i++)
        if (rounds->items[i].kind == kind)
            return true;
    return false;
}

/* The kind, present or absent, with the least surplus of the wanted answer; -1: none. */
static int
kind_to_ask(const struct sea_talk *talk, const struct rounds *rounds,
            const struct sea_scene *scene, bool present, struct sea_rng *rng)
{
    const struct sea_kinds *kinds = talk->kinds;
    int start = (int)sea_rng_below(rng, (uint32_t)kinds->count), best = -1;
    int64_t least = 0;

    for (int i = 0; i < kinds->count; i++) {
        int kind = (start + i) % kinds->count;
        int64_t surplus = talk->yes[kind] - talk->no[kind];

        if (sea_scene_has(scene, kind) != present || asked_already(rounds, kind))
            continue;
        if (!present && !sea_scene_allows(scene, kinds, kind))
            continue;
        surplus = present ? surplus : -surplus;
        if (best < 0 || surplus < least) {
            best = kind;
            least = surplus;
        }
    }
    return best;
}

/* How many of m answers are "yes": coins, drawn again until there are enough objects for
 * so many "yes" and, to stay symmetric, as many "no". */
static int
draw_yes(struct sea_rng *rng, int m, int objects)
{
    int yes;

    do {
        yes = 0;
        for (int i = 0; i < m; i++)
            yes += (int)sea_rng_below(rng, 2);
    } while (yes > objects || m - yes > objects);
    return yes;
}

static void
ask_existence(const struct sea_talk *talk, struct rounds *rounds, const struct sea_scene *scene,
              bool is_short, struct sea_rng *rng)
{
    int n = scene->count, most = 2 * n < EXISTENCE_MAX ? 2 * n : EXISTENCE_MAX;
    int m = is_short ? most : n + (int)sea_rng_below(rng, (uint32_t)(most - n + 1));
    int yes = draw_yes(rng, m, n);

    for (int i = 0; i < m; i++) {
        int kind = kind_to_ask(talk, rounds, scene, i < yes, rng);
        struct round *round;

        if (kind < 0)           /* few kinds: no absent one may be named */
            continue;
        round = add_round(rounds, SEA_ASK_WORD);
        round->kind = kind;
        round->yes = i < yes;
        if (is_short)
            sea_buf_addf(&round->question, "%s?", talk->kinds->items[kind].name);
        else
            sea_say_exists(&round->question, talk->kinds->items[kind].name);
        sea_buf_puts(&round->answer, round->yes ? "yes" : "no");
    }
}

static void
ask_place(const struct sea_talk *talk, struct rounds *rounds, const struct sea_scene *scene,
          bool relation, struct sea_rng *rng)
{
    int n = scene->count, i = (int)sea_rng_below(rng, (uint32_t)n);
    int j = (i + 1 + (int)sea_rng_below(rng, (uint32_t)n - 1)) % n;
    const struct sea_object *a = &scene->objects[i < j ? i : j];
    const struct sea_object *b = &scene->objects[i < j ? j : i];
    const char *left_name = talk->kinds->items[a->kind].name;
    const char *right_name = talk->kinds->items[b->kind].name;
    struct round *round;

    if (!sea_object_is_left(a, b))
        return;
    if (scene->count == 2) {
        bool left = sea_rng_below(rng, 2);

        round = add_round(rounds, SEA_ASK_WORD);
        round->is_side = true;
        sea_say_beside(&round->question, left, left ? right_name : left_name);
        sea_buf_puts(&round->answer, left ? left_name : right_name);
    }
    if (relation) {
        bool left = sea_rng_below(rng, 2), in_order = sea_rng_below(rng, 2);

        round = add_round(rounds, SEA_ASK_WORD);
        sea_say_relation(&round->question, left, in_order ? left_name : right_name,
                         in_order ? right_name : left_name);
        sea_buf_puts(&round->answer, left == in_order ? "yes" : "no");
    }
}

static void
ask_choice(const struct sea_talk *talk, struct rounds *rounds, const struct sea_scene *scene,
           bool color, struct sea_rng *rng)
{
    static const enum sea_choice_about usual[] = { SEA_CHOICE_WHICH, SEA_CHOICE_WHICH,
                                                   SEA_CHOICE_COLOR, SEA_CHOICE_COUNT };
    enum sea_choice_about about = usual[sea_rng_below(rng, 4)];
    int answer = (int)sea_rng_below(rng, 4);
    struct sea_choice choice;
    struct round *round;

    if (about == SEA_CHOICE_COLOR && !color)
        about = SEA_CHOICE_WHICH;
    if (!sea_choice_make(&choice, about, answer, scene, talk->kinds, true, rng))
        return;
    round = add_round(rounds, SEA_ASK_LETTER);
    sea_buf_puts(&round->question, choice.question);
    sea_say_options(&round->question, &choice);
    sea_buf_addf(&round->answer, "%c", 'A' + choice.answer);
}

static void
ask_look(const struct sea_talk *talk, struct rounds *rounds, const struct sea_talk_about *about,
         const struct sea_scene *scene, struct sea_rng *rng)
{
    /* One scene in ten has one object, four have two, ...: see train.c. */
    static const double count_odds[] = { 0, 1.0, 0.25, 0.4, 0.4 };
    struct round *round;

    ask_existence(talk, rounds, scene, about->is_short, rng);
    if (about->only_existence)
        return;
    if (about->color && sea_rng_below(rng, 3) == 0) {
        round = add_round(rounds, SEA_ASK_WORD);
        sea_buf_puts(&round->question, SEA_SAY_COLOR);
        sea_buf_puts(&round->answer, sea_scene_colors[scene->color]);
    }
    if (sea_rng_uniform(rng) < count_odds[scene->count]) {
        round = add_round(rounds, SEA_ASK_WORD);
        sea_buf_puts(&round->question, SEA_SAY_COUNT);
        sea_buf_addf(&round->answer, "%d", scene->count);
    }
}

static void
ask_rest(const struct sea_talk *talk, struct rounds *rounds, const struct sea_talk_about *about,
         const struct sea_scene *scene, struct sea_rng *rng)
{
    struct round *round;

    if (scene->count >= 2)
        ask_place(talk, rounds, scene, about->place, rng);
    if (sea_rng_below(rng, 2) == 0)
        ask_choice(talk, rounds, scene, about->color, rng);
    if (about->caption && sea_rng_below(rng, 5) == 0) {
        round = add_round(rounds, SEA_ASK_FREE);
        sea_buf_puts(&round->question, SEA_SAY_CAPTION);
        sea_say_caption(&round->answer, scene, talk->kinds, false);
    }
}

/* See "Order" above: the first `looks` rounds, then the rest, one of which may open: the
 * question what stands beside an object where there is one, as only few scenes allow it. */
static void
put_in_order(const struct rounds *rounds, struct sea_rng *rng, int64_t *order, int looks)
{
    int count = rounds->count;

    for (int i = 0; i < count; i++)
        order[i] = i;
    sea_rng_shuffle(rng, order, (size_t)looks);
    if (looks < count && sea_rng_below(rng, 2)) {
        int rest = count - looks;
        int pick = rounds->items[looks].is_side ? 0 : (int)sea_rng_below(rng, (uint32_t)rest);
        int64_t opening = looks + pick;

        memmove(order + 1, order, (size_t)(looks + pick) * sizeof(*order));
        order[0] = opening;
        looks++;
    }
    sea_rng_shuffle(rng, order + looks, (size_t)(count - looks));
}

static void
write_turn(struct sea_buf *buf, const char *from, const char *head, const struct sea_buf *text,
           const char *tail)
{
    struct sea_buf value;

    sea_buf_init(&value, 1 << 20);
    sea_buf_puts(&value, head);
    sea_buf_add(&value, text->data, text->len);
    sea_buf_puts(&value, tail);
    sea_buf_addf(buf, "{\"from\": \"%s\", \"value\": ", from);
    sea_json_quote(buf, value.data, value.len);
    sea_buf_puts(buf, "}");
    sea_buf_release(&value);
}

bool
sea_talk_write(struct sea_talk *talk, const struct sea_talk_about *about,
               const struct sea_scene *scene, struct sea_rng *rng, struct sea_buf *buf)
{
    static const char *const tails[] = { SEA_SAY_SHORT, SEA_SAY_LETTER, "" };
    struct rounds rounds = { 0 };
    int64_t order[ROUNDS_MAX];
    int turns, looks;

    ask_look(talk, &rounds, about, scene, rng);
    looks = rounds.count;
    if (!about->only_existence)
        ask_rest(talk, &rounds, about, scene, rng);
    put_in_order(&rounds, rng, order, looks);
    turns = rounds.count < about->turns ? rounds.count : about->turns;
    for (int i = 0; i < turns; i++) {
        const struct round *round = &rounds.items[order[i]];

        sea_buf_puts(buf, i ? ", " : "[");
        write_turn(buf, "human", i == 0 ? about->head : about->is_bare ? ". " : "",
                   &round->question, about->is_short ? "" : tails[round->ask]);
        sea_buf_puts(buf, ", ");
        write_turn(buf, "gpt", about->is_bare ? " " : "", &round->answer, "");
        if (round->kind >= 0)
            ++*(round->yes ? &talk->yes[round->kind] : &talk->no[round->kind]);
    }
    if (turns > 0)
        sea_buf_puts(buf, "]");
    for (int i = 0; i < rounds.count; i++) {
        sea_buf_release(&rounds.items[i].question);
        sea_buf_release(&rounds.items[i].answer);
    }
    return turns > 0;
}
