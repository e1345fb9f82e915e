/* SPDX-License-Identifier: Apache-2.0 */
/* Dialogues become the ids that LLaVA's code makes of the whole text, with exact labels. */
#include <stdlib.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_conversation.h"
#include "tests/sea_test.h"

#define FIXTURES "tests/oracle/fixtures"
#define TURNS 8

static struct sea_tokenizer *
load_family(const char *name)
{
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    snprintf(dir, sizeof(dir), "%s/" FIXTURES "/tokenizers/%s", sea_test_root(), name);
    CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err);
    return tokenizer;
}

static int
same(const struct sea_ids *ids, const struct sea_node *list)
{
    const struct sea_node *item = list->first;
    size_t i = 0;

    if (ids->len != list->count)
        return 0;
    for (; item; item = item->next)
        if (ids->data[i++] != item->integer)
            return 0;
    return 1;
}

static size_t
read_turns(const struct sea_node *list, struct sea_turn turns[TURNS])
{
    size_t count = 0;

    for (const struct sea_node *item = list->first; item; item = item->next)
        turns[count++] = (struct sea_turn){ item->first->text, item->last->text,
                                            item->last->text_len };
    return count;
}

/* Supervised ids must decode to all the answers. */
static void
check_spans(struct sea_tokenizer *tokenizer, const struct sea_sample *sample)
{
    size_t supervised = 0;

    CHECK_INT(sample->ids.len, sample->labels.len);
    for (size_t i = 0; i < sample->ids.len; i++) {
        CHECK(sample->labels.data[i] == SEA_LABEL_NONE ||
              sample->labels.data[i] == sample->ids.data[i]);
        supervised += sample->labels.data[i] != SEA_LABEL_NONE;
    }
    CHECK_INT(supervised, sample->supervised);
    CHECK_INT(sample->ids.data[0], sea_tokenizer_special(tokenizer)->bos);
}

static void
ids_are_those_of_the_whole_text(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    int rows = 0, ids_good = 0, labels = 0, labels_good = 0, prompts = 0, prompts_good = 0;
    const struct sea_node *family, *row;
    struct sea_sample sample = { 0 };
    struct sea_turn turns[TURNS];
    struct sea_node *root;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/" FIXTURES "/conversations.json", sea_test_root());
    if (!CHECK_OK(sea_json_load(path, 1 << 22, arena, &root, &err), err))
        goto out;
    for (family = root->first; family; family = family->next) {
        const char *name = sea_node_text(sea_node_get(family, "tokenizer"), "");
        struct sea_tokenizer *tokenizer = load_family(name);

        for (row = sea_node_get(family, "rows")->first; row; row = row->next, rows++) {
            bool plain = *sea_node_text(sea_node_get(row, "kind"), "") == 'p';
            struct sea_conversation conversation =
                sea_conversation_defaults(plain ? SEA_TEMPLATE_PLAIN : SEA_TEMPLATE_V1);
            const struct sea_node *want = sea_node_get(row, "labels");
            size_t count = read_turns(sea_node_get(row, "turns"), turns);

            CHECK_OK(sea_conversation_encode(&conversation, tokenizer, turns, count,
                                             sea_node_bool(sea_node_get(row, "image"), false),
                                             &sample, &err), err);
            ids_good += CHECK_MSG(same(&sample.ids, sea_node_get(row, "ids")),
                                  "%s, row %d: ids differ", name, rows);
            check_spans(tokenizer, &sample);
            if (want->kind == SEA_NODE_LIST) {
                labels++;
                labels_good += CHECK_MSG(same(&sample.labels, want), "%s, row %d: labels differ",
                                         name, rows);
            }
        }
        for (row = sea_node_get(family, "prompts")->first; row; row = row->next, prompts++) {
            struct sea_conversation conversation = sea_conversation_defaults(SEA_TEMPLATE_V1);
            struct sea_ids ids = { 0 };

            CHECK_OK(sea_conversation_prompt(&conversation, tokenizer,
                                             sea_node_get(row, "question")->text,
                                             sea_node_bool(sea_node_get(row, "image"), false), &ids,
                                             &err), err);
            prompts_good += CHECK_MSG(same(&ids, sea_node_get(row, "ids")),
                                      "%s, prompt %d: ids differ", name, prompts);
            sea_ids_release(&ids);
        }
        sea_tokenizer_destroy(tokenizer);
    }
    printf("  %d of %d rows, %d of %d labels, %d of %d prompts agree\n", ids_good, rows,
           labels_good, labels, prompts_good, prompts);
    CHECK(rows == 55 && labels >= 12 && prompts == 20);
out:
    sea_sample_release(&sample);
    sea_arena_destroy(arena);
}

/* The mask of a row: [[first, behind the last], ...]. */
static int
same_mask(const struct sea_sample *sample, const struct sea_node *runs)
{
    const struct sea_node *run = runs->first;

    for (size_t i = 0; i < sample->labels.len; i++) {
        while (run && (int64_t)i >= run->last->integer)
            run = run->next;
        if ((sample->labels.data[i] != SEA_LABEL_NONE) !=
            (run && (int64_t)i >= run->first->integer))
            return 0;
    }
    return 1;
}

static void
templates_agree_with_llava(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    int rows = 0, ids = 0, masks = 0, masks_good = 0, skips = 0, skipped = 0;
    struct sea_sample sample = { 0 };
    struct sea_turn turns[TURNS];
    struct sea_node *root, *family, *row;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/" FIXTURES "/templates.json", sea_test_root());
    if (!CHECK_OK(sea_json_load(path, 1 << 22, arena, &root, &err), err))
        goto out;
    for (family = root->first; family; family = family->next) {
        const char *name = sea_node_text(sea_node_get(family, "tokenizer"), "");
        struct sea_tokenizer *tokenizer = load_family(name);

        for (row = sea_node_get(family, "rows")->first; row; row = row->next, rows++) {
            const char *template = sea_node_text(sea_node_get(row, "template"), "");
            const struct sea_node *mask = sea_node_get(row, "mask");
            const struct sea_node *skip = sea_node_get(row, "skips");
            size_t count = read_turns(sea_node_get(row, "turns"), turns);
            struct sea_conversation conversation;
            enum sea_template kind;

            CHECK_OK(sea_template_parse(&kind, template, &err), err);
            CHECK_STR(sea_template_name(kind), template);
            conversation = sea_conversation_defaults(kind);
            conversation.system = sea_node_text(sea_node_get(row, "system"), NULL);
            conversation.compares = true;
            CHECK_OK(sea_conversation_encode(&conversation, tokenizer, turns, count,
                                             sea_node_bool(sea_node_get(row, "image"), false),
                                             &sample, &err), err);
            ids += CHECK_MSG(same(&sample.ids, sea_node_get(row, "ids")),
                             "%s, %s, row %d: ids differ", name, template, rows);
            check_spans(tokenizer, &sample);
            if (mask->kind == SEA_NODE_LIST) {
                masks++;
                masks_good += CHECK_MSG(same_mask(&sample, mask),
                                        "%s, %s, row %d: masks differ", name, template, rows);
            }
            if (skip->kind == SEA_NODE_BOOL) {
                skips += CHECK_MSG(sample.llava_skips == (skip->integer != 0),
                                   "%s, %s, row %d: LLaVA would %slearn", name, template, rows,
                                   skip->integer ? "not " : "");
                skipped += sample.llava_skips;
            }
        }
        sea_tokenizer_destroy(tokenizer);
    }
    printf("  ids of %d of %d rows, %d of %d masks agree; LLaVA skips %d\n", ids, rows, masks_good,
           masks, skipped);
    CHECK(rows > 250 && masks > 200 && skips > 100 && skipped > 20);
out:
    sea_sample_release(&sample);
    sea_arena_destroy(arena);
}

static void
answers_alone_are_learnt(void)
{
    static const char *const names[] = { "llama2", "llama3", "gemma", "metaspace_first" };
    struct sea_turn turns[] = { { "human", "<image>\nWhat is it?", 0 }, { "gpt", "A red cat.", 0 },
                                { "human", "Where?", 0 }, { "gpt", "Near the river.", 0 } };
    struct sea_conversation conversation = sea_conversation_defaults(SEA_TEMPLATE_V1);
    struct sea_sample sample = { 0 };
    struct sea_ids learnt = { 0 };
    struct sea_err err = { 0 };
    struct sea_buf text;

    sea_buf_init(&text, 1 << 16);
    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        struct sea_tokenizer *tokenizer = load_family(names[n]);

        CHECK_OK(sea_conversation_encode(&conversation, tokenizer, turns, 4, true, &sample, &err),
                 err);
        sea_ids_clear(&learnt);
        for (size_t i = 0; i < sample.ids.len; i++)
            if (sample.labels.data[i] != SEA_LABEL_NONE)
                sea_ids_add(&learnt, sample.labels.data[i]);
        sea_buf_clear(&text);
        CHECK_OK(sea_tokenizer_decode(tokenizer, learnt.data, learnt.len, false, &text, &err), err);
        CHECK_STR(text.data + (text.data[0] == ' '), "A red cat.</s> Near the river.</s>");
        CHECK_INT(sample.images, 1);
        sea_tokenizer_destroy(tokenizer);
    }
    sea_buf_release(&text);
    sea_ids_release(&learnt);
    sea_sample_release(&sample);
}

static void
options_change_the_text(void)
{
    struct sea_turn turns[] = { { "human", "Where?", 0 }, { "gpt", "there", 0 } };
    struct sea_conversation conversation = { .kind = SEA_TEMPLATE_V1, .system = "", .eos = 5 };
    struct sea_tokenizer *tokenizer = load_family("llama3");
    struct sea_sample sample = { 0 };
    struct sea_ids whole = { 0 };
    struct sea_err err = { 0 };
    const char *text = "USER: Where? ASSISTANT: there";

    CHECK_OK(sea_conversation_encode(&conversation, tokenizer, turns, 2, false, &sample, &err),
             err);
    CHECK_OK(sea_tokenizer_encode(tokenizer, text, strlen(text), false, &whole, &err), err);
    CHECK_INT(sample.ids.len, whole.len + 2);
    CHECK(memcmp(sample.ids.data + 1, whole.data, whole.len * sizeof(int32_t)) == 0);
    CHECK_INT(sample.ids.data[sample.ids.len - 1], 5);
    sea_ids_clear(&whole);
    CHECK_OK(sea_conversation_encode_text(tokenizer, "a <image> b", 11, &whole, &err), err);
    CHECK(whole.data[0] == sea_tokenizer_special(tokenizer)->bos && whole.len >= 4);
    CHECK(sea_conversation_encode_text(tokenizer, "<image><image>", 14, &whole, &err) ==
          SEA_E_FORMAT);
    sea_ids_release(&whole);
    sea_sample_release(&sample);
    sea_tokenizer_destroy(tokenizer);
}

static void
a_picture_is_one_word(void)
{
    struct sea_turn turns[] = { { "human", "<image>", 0 }, { "gpt", "a red cat sleeps", 0 } };
    struct sea_conversation conversation = sea_conversation_defaults(SEA_TEMPLATE_PLAIN);
    struct sea_tokenizer *tokenizer = load_family("llama3");
    struct sea_sample sample = { 0 };
    struct sea_err err = { 0 };
    size_t len;

    CHECK_OK(sea_conversation_encode(&conversation, tokenizer, turns, 2, true, &sample, &err), err);
    len = sample.ids.len;
    CHECK_INT(sample.labels.len, len);
    CHECK_INT(sample.images, 1);
    CHECK_INT(sample.supervised, len - 2);
    CHECK(sample.ids.data[1] == SEA_IMAGE_ID && sample.labels.data[1] == SEA_LABEL_NONE);
    for (size_t i = 2; i < len; i++)
        CHECK(sample.ids.data[i] >= 0 && sample.labels.data[i] == sample.ids.data[i]);
    sea_sample_release(&sample);
    sea_tokenizer_destroy(tokenizer);
}

static void
check_broken(enum sea_template kind, const struct sea_turn *turns, size_t count, bool image,
             const char *words)
{
    struct sea_conversation conversation = sea_conversation_defaults(kind);
    struct sea_tokenizer *tokenizer = load_family("llama3");
    struct sea_sample sample = { 0 };
    struct sea_err err = { 0 };

    CHECK(sea_conversation_encode(&conversation, tokenizer, turns, count, image, &sample, &err) ==
          SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, words);
    sea_sample_release(&sample);
    sea_tokenizer_destroy(tokenizer);
}

static void
broken_rows_are_named(void)
{
    struct sea_turn ok[] = { { "human", "q", 0 }, { "gpt", "a", 0 } };
    struct sea_turn twice[] = { { "human", "q", 0 }, { "human", "a", 0 } };
    struct sea_turn odd[] = { { "human", "q", 0 }, { "robot", "a", 0 } };
    struct sea_turn tags[] = { { "human", "<image>", 0 }, { "gpt", "<image>", 0 } };
    struct sea_turn bytes[] = { { "human", "\xFF", 0 }, { "gpt", "a", 0 } };
    enum sea_template kind;
    struct sea_err err = { 0 };

    check_broken(SEA_TEMPLATE_V1, ok, 0, false, "no turn of a human");
    check_broken(SEA_TEMPLATE_V1, ok + 1, 1, false, "no turn of a human");
    check_broken(SEA_TEMPLATE_V1, twice, 2, false, "turns 0 and 1 are both");
    check_broken(SEA_TEMPLATE_V1, odd, 2, false, "\"robot\"");
    check_broken(SEA_TEMPLATE_V1, ok, 2, true, "0 turns hold the tag");
    check_broken(SEA_TEMPLATE_V1, tags, 2, true, "2 turns hold the tag");
    check_broken(SEA_TEMPLATE_PLAIN, ok, 2, false, "plain needs a picture");
    check_broken(SEA_TEMPLATE_V1, bytes, 2, false, "UTF-8");
    CHECK(sea_template_parse(&kind, "v2", &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "\"v2\"");
}

SEA_TEST_MAIN("conversations become ids and labels", TEST(ids_are_those_of_the_whole_text),
              TEST(templates_agree_with_llava), TEST(answers_alone_are_learnt),
              TEST(options_change_the_text),
              TEST(a_picture_is_one_word), TEST(broken_rows_are_named))
