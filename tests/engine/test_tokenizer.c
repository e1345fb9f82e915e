/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers of every family give the ids and texts of the `tokenizers` library; training is
 * repeatable and its files load; files that we cannot compute are refused by name. */
#include <stdlib.h>
#include <time.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_tokenizer.h"
#include "engine/tokenizer_int.h"
#include "tests/sea_test.h"

#define FIXTURES "tests/oracle/fixtures/tokenizers"

static const char *
ids_text(char out[512], const int32_t *ids, size_t count)
{
    size_t len = 0;

    out[0] = 0;
    for (size_t i = 0; i < count && len + 16 < 512; i++)
        len += (size_t)snprintf(out + len, 512 - len, "%d ", ids[i]);
    return out;
}

static int
same_ids(const struct sea_node *list, const struct sea_ids *ids, const char *name, const char *text)
{
    const struct sea_node *item = list->first;
    struct sea_ids want = { 0 };
    char a[512], b[512];
    int ok;

    for (; item; item = item->next)
        sea_ids_add(&want, (int32_t)item->integer);
    ok = want.len == ids->len &&
         (!want.len || memcmp(want.data, ids->data, want.len * sizeof(*want.data)) == 0);
    CHECK_MSG(ok, "%s: \"%s\" gives %s, want %s", name, text, ids_text(a, ids->data, ids->len),
              ids_text(b, want.data, want.len));
    sea_ids_release(&want);
    return ok;
}

static int
same_text(const struct sea_node *want, const struct sea_buf *got, const char *name, const char *of)
{
    int ok = want->kind == SEA_NODE_NULL ||
             (want->text_len == got->len && memcmp(want->text, got->data, got->len) == 0);

    CHECK_MSG(ok, "%s: ids of \"%s\" decode to \"%s\", want \"%s\"", name, of, got->data,
              want->text);
    return ok;
}

/* One row of a family's cases. Returns how many of its four comparisons hold. */
static int
check_case(struct sea_tokenizer *tokenizer, const char *name, const struct sea_node *row)
{
    const struct sea_node *text = sea_node_get(row, "text");
    struct sea_ids ids = { 0 }, special = { 0 };
    struct sea_err err = { 0 };
    struct sea_buf out;
    int good = 0;

    sea_buf_init(&out, 1 << 20);
    CHECK_OK(sea_tokenizer_encode(tokenizer, text->text, text->text_len, false, &ids, &err), err);
    good += same_ids(sea_node_get(row, "ids"), &ids, name, text->text);
    CHECK_OK(sea_tokenizer_encode(tokenizer, text->text, text->text_len, true, &special, &err),
             err);
    good += same_ids(sea_node_get(row, "special"), &special, name, text->text);
    CHECK_OK(sea_tokenizer_decode(tokenizer, ids.data, ids.len, false, &out, &err), err);
    good += same_text(sea_node_get(row, "decoded"), &out, name, text->text);
    sea_buf_clear(&out);
    CHECK_OK(sea_tokenizer_decode(tokenizer, special.data, special.len, true, &out, &err), err);
    good += same_text(sea_node_get(row, "skipped"), &out, name, text->text);
    sea_buf_release(&out);
    sea_ids_release(&ids);
    sea_ids_release(&special);
    return good;
}

static void
families_agree_with_tokenizers(void)
{
    static const char *const names[] = { "gpt2", "gpt2_prefix", "llama3", "clip", "llama2",
                                         "metaspace_first", "metaspace_always", "gemma",
                                         "splits", "qwen2", "marks", "unigram", "unigram_bytes",
                                         "sentencepiece", "spm_unigram" };
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    char dir[SEA_PATH_MAX], path[SEA_PATH_MAX];
    struct sea_tokenizer *tokenizer;
    struct sea_node *rows, *row;
    struct sea_err err = { 0 };
    int good, all;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        good = all = 0;
        snprintf(dir, sizeof(dir), "%s/" FIXTURES "/%s", sea_test_root(), names[i]);
        snprintf(path, sizeof(path), "%s/" FIXTURES "/%s/cases.json", sea_test_root(), names[i]);
        CHECK_OK(sea_json_load(path, 1 << 22, arena, &rows, &err), err);
        if (!CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err))
            break;
        for (int round = 0; round < 2; round++) /* the second one from the cache */
            for (row = rows->first; row; row = row->next, all += 4)
                good += check_case(tokenizer, names[i], row);
        printf("  %s: %d of %d comparisons agree, %d words\n", names[i], good, all,
               sea_tokenizer_count(tokenizer));
        CHECK(all >= 8 * 35);
        sea_tokenizer_destroy(tokenizer);
    }
    sea_arena_destroy(arena);
}

static struct sea_tokenizer *
load_family(const char *name)
{
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    snprintf(dir, sizeof(dir), "%s/" FIXTURES "/%s", sea_test_root(), name);
    CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err);
    return tokenizer;
}

static void
special_words_are_found(void)
{
    struct sea_tokenizer *llama = load_family("llama2"), *clip = load_family("clip");
    const struct sea_tokenizer_special *ids;

    ids = sea_tokenizer_special(llama);
    CHECK_INT(ids->unk, 0);
    CHECK_INT(ids->bos, 1);
    CHECK_INT(ids->eos, 2);
    CHECK_INT(ids->pad, 0);
    CHECK(ids->adds_bos && !ids->adds_eos && ids->marks_start);
    CHECK_INT(sea_tokenizer_find(llama, "</s>"), 2);
    CHECK_INT(sea_tokenizer_find(llama, "no such word"), -1);
    CHECK_STR(sea_tokenizer_word(llama, 3), "<0x00>");
    CHECK(!sea_tokenizer_word(llama, 1 << 20));
    ids = sea_tokenizer_special(clip);
    CHECK(ids->adds_bos && ids->adds_eos && !ids->marks_start && ids->bos == 0 && ids->eos == 1);
    sea_tokenizer_destroy(llama);
    sea_tokenizer_destroy(clip);
}

static void
length_is_cut_inside_the_template(void)
{
    struct sea_tokenizer *clip = load_family("clip");
    const char *text = "a red cat sleeps beside the river and a dog stands under the old tree";
    struct sea_ids ids = { 0 }, all = { 0 };
    struct sea_err err = { 0 };

    CHECK_OK(sea_tokenizer_encode(clip, text, strlen(text), true, &all, &err), err);
    sea_ids_add(&ids, 77);
    CHECK_OK(sea_tokenizer_encode_max(clip, text, strlen(text), 8, &ids, &err), err);
    CHECK_INT(ids.len, 9);
    CHECK_INT(ids.data[0], 77);
    CHECK(memcmp(ids.data + 1, all.data, 7 * sizeof(int32_t)) == 0);
    CHECK_INT(ids.data[8], 1);
    sea_ids_clear(&ids);
    CHECK_OK(sea_tokenizer_encode_max(clip, text, strlen(text), 500, &ids, &err), err);
    CHECK_INT(ids.len, all.len);
    CHECK(memcmp(ids.data, all.data, all.len * sizeof(int32_t)) == 0);
    CHECK(sea_tokenizer_encode_max(clip, text, strlen(text), 1, &ids, &err) == SEA_E_CONFIG);
    sea_ids_release(&ids);
    sea_ids_release(&all);
    sea_tokenizer_destroy(clip);
}

/* ---- added words beside tokenizer.json ---- */

static void
write_text(const char *dir, const char *name, const char *text)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    CHECK_OK(sea_path_join(path, dir, name, &err), err);
    if (text)
        CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
    else
        remove(path);
}

/* The ids of left, one word, the ids of right: what the whole text must give. */
static void
check_around(const char *dir, const char *text, const char *left, const char *word,
             const char *right, int32_t id)
{
    struct sea_ids got = { 0 }, want = { 0 };
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_err err = { 0 };
    char a[512], b[512];

    if (!CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err))
        return;
    CHECK_INT(sea_tokenizer_find(tokenizer, word), id);
    CHECK_OK(sea_tokenizer_encode(tokenizer, left, strlen(left), false, &want, &err), err);
    sea_ids_add(&want, id);
    CHECK_OK(sea_tokenizer_encode(tokenizer, right, strlen(right), false, &want, &err), err);
    CHECK_OK(sea_tokenizer_encode(tokenizer, text, strlen(text), false, &got, &err), err);
    CHECK_MSG(got.len == want.len && !memcmp(got.data, want.data, got.len * sizeof(int32_t)),
              "\"%s\" gives %s, want %s", text, ids_text(a, got.data, got.len),
              ids_text(b, want.data, want.len));
    sea_ids_release(&got);
    sea_ids_release(&want);
    sea_tokenizer_destroy(tokenizer);
}

/* As transformers adds them: the decoder by its numbers, then the named words. */
static void
words_are_added_by_the_files_beside(void)
{
    static const char config[] =
        "{\"added_tokens_decoder\": {\"431\": {\"content\": \"<two>\", \"special\": true}, "
        "\"430\": {\"content\": \"<one>\", \"rstrip\": true, \"special\": true}, \"2\": "
        "{\"content\": \"<|im_end|>\", \"rstrip\": true, \"special\": true}}, \"pad_token\": "
        "\"[PAD]\", \"additional_special_tokens\": [\"<|im_end|>\", \"<more>\"]}";
    struct sea_tokenizer *tokenizer = load_family("qwen2");
    int32_t next = sea_tokenizer_count(tokenizer), end = sea_tokenizer_find(tokenizer, "<|im_end|>");
    char dir[SEA_PATH_MAX], from[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    struct sea_buf bytes;

    sea_tokenizer_destroy(tokenizer);
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "beside", &err), err);
    CHECK_OK(sea_dir_create(dir, &err), err);
    snprintf(from, sizeof(from), "%s/" FIXTURES "/qwen2/tokenizer.json", sea_test_root());
    sea_buf_init(&bytes, 1 << 22);
    CHECK_OK(sea_file_read(from, &bytes, &err), err);
    write_text(dir, "tokenizer.json", bytes.data);
    sea_buf_release(&bytes);
    check_around(dir, "a<|im_end|> b", "a", "<|im_end|>", " b", end);

    write_text(dir, "tokenizer_config.json", config);
    write_text(dir, "special_tokens_map.json", "{\"cls_token\": \"<never>\"}");
    check_around(dir, "a<one> \n b", "a", "<one>", "b", next);
    check_around(dir, "a<two> b", "a", "<two>", " b", next + 1);
    check_around(dir, "a<|im_end|> b", "a", "<|im_end|>", "b", end);    /* flags of the decoder */
    check_around(dir, "a[PAD]b", "a", "[PAD]", "b", next + 2);
    check_around(dir, "<more>b", "", "<more>", "b", next + 3);
    CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err);
    CHECK_INT(sea_tokenizer_find(tokenizer, "<never>"), -1);    /* there is a decoder */
    CHECK_INT(sea_tokenizer_special(tokenizer)->pad, next + 2);
    sea_tokenizer_destroy(tokenizer);

    write_text(dir, "tokenizer_config.json", NULL);
    write_text(dir, "special_tokens_map.json", "{\"pad_token\": {\"content\": \"<p>\", "
               "\"lstrip\": true, \"normalized\": false}}");
    write_text(dir, "added_tokens.json", "{\"<b>\": 501, \"<a>\": 500}");
    check_around(dir, "a<b>b", "a", "<b>", "b", next + 1);
    check_around(dir, "a <p>b", "a", "<p>", "b", next + 2);
}

/* "add_bos_token" without a "bos_token": the model file's, or that of special_tokens_map.json. */
static void
switches_need_no_names(void)
{
    static const char config[] = "{\"tokenizer_class\": \"LlamaTokenizer\", \"add_bos_token\": true}";
    static const char *const maps[] = { NULL, "{\"bos_token\": \"</s>\"}" };
    struct sea_tokenizer *tokenizer = NULL;
    char dir[SEA_PATH_MAX], from[SEA_PATH_MAX], to[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    struct sea_buf bytes;

    CHECK_OK(sea_path_join(dir, sea_test_dir(), "switches", &err), err);
    CHECK_OK(sea_dir_create(dir, &err), err);
    snprintf(from, sizeof(from), "%s/" FIXTURES "/sentencepiece/tokenizer.model",
             sea_test_root());
    sea_buf_init(&bytes, 1 << 22);
    CHECK_OK(sea_file_read(from, &bytes, &err), err);
    CHECK_OK(sea_path_join(to, dir, "tokenizer.model", &err), err);
    CHECK_OK(sea_file_replace(to, bytes.data, bytes.len, &err), err);
    sea_buf_release(&bytes);
    write_text(dir, "tokenizer_config.json", config);
    for (size_t i = 0; i < 2; i++) {
        struct sea_ids ids = { 0 };

        write_text(dir, "special_tokens_map.json", maps[i]);
        if (!CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err))
            return;
        CHECK_OK(sea_tokenizer_encode(tokenizer, "a", 1, true, &ids, &err), err);
        CHECK_INT(ids.len > 0 ? ids.data[0] : -1,
                  sea_tokenizer_find(tokenizer, i ? "</s>" : "<s>"));
        CHECK(sea_tokenizer_special(tokenizer)->adds_bos);
        sea_ids_release(&ids);
        sea_tokenizer_destroy(tokenizer);
    }
}

/* The id that a frozen trie has for a word, -1: none. */
static int32_t
walk_to(const struct sea_trie *trie, const char *word, size_t len)
{
    int32_t node = 0;

    for (size_t i = 0; i < len && node >= 0; i++)
        node = sea_trie_walk(trie, node, (unsigned char)word[i]);
    return node < 0 ? -1 : trie->cells[node].id;
}

/* Random words of few and of all bytes, with many that begin alike; and texts that are none. */
static void
frozen_tries_hold_the_same_words(void)
{
    enum { WORDS = 4000, LONGEST = 7 };
    static char words[2 * WORDS][LONGEST];
    static size_t lens[2 * WORDS];
    int held = 0;

    for (int round = 0; round < 4; round++) {
        struct sea_trie plain = { .keys = NULL }, frozen = { .keys = NULL };
        int many = round == 3 ? 0 : WORDS, wrong = 0;

        for (int w = 0; w < 2 * WORDS; w++) {
            lens[w] = 1 + (size_t)(sea_rng_uniform_at(3, (uint64_t)round, (uint64_t)w) * LONGEST);
            for (size_t i = 0; i < lens[w]; i++)
                words[w][i] = (char)(sea_rng_uniform_at(4, (uint64_t)(8 * w + round), i) *
                                     (round == 0 ? 3 : 256));
        }
        for (int w = 0; w < many; w++) {
            sea_trie_add(&plain, words[w], lens[w], w);
            sea_trie_add(&frozen, words[w], lens[w], w);
        }
        sea_trie_freeze(&frozen);
        for (int w = 0; w < 2 * WORDS; w++) {
            int32_t id, want = sea_trie_longest(&plain, words[w], lens[w], &id) == lens[w] ? id : -1;

            wrong += walk_to(&frozen, words[w], lens[w]) != want;
            held += want >= 0;
        }
        CHECK_INT(wrong, 0);
        sea_trie_release(&plain);
        sea_trie_release(&frozen);
    }
    printf("  %d words found again in frozen tries\n", held);
    CHECK(held > 3 * WORDS);
}

static void
pieces_join_to_the_whole(void)
{
    static const char *const names[] = { "gpt2", "llama3", "llama2", "metaspace_first",
                                         "metaspace_always", "gemma" };
    const char *left = "USER: what is it? ASSISTANT:", *right = " A red cat, isn't it?";
    struct sea_ids whole = { 0 }, parts = { 0 };
    struct sea_err err = { 0 };
    char text[128];

    snprintf(text, sizeof(text), "%s%s", left, right);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sea_tokenizer *tokenizer = load_family(names[i]);

        sea_ids_clear(&whole);
        sea_ids_clear(&parts);
        CHECK_OK(sea_tokenizer_encode(tokenizer, text, strlen(text), false, &whole, &err), err);
        CHECK_OK(sea_tokenizer_encode_piece(tokenizer, left, strlen(left), SEA_PIECE_FIRST, &parts,
                                            &err), err);
        CHECK_OK(sea_tokenizer_encode_piece(tokenizer, right, strlen(right), SEA_PIECE_CONTINUES,
                                            &parts, &err), err);
        CHECK_MSG(whole.len == parts.len &&
                      memcmp(whole.data, parts.data, whole.len * sizeof(int32_t)) == 0,
                  "%s: two pieces give other ids than the whole", names[i]);
        sea_tokenizer_destroy(tokenizer);
    }
    sea_ids_release(&whole);
    sea_ids_release(&parts);
}

static void
text_must_be_utf8(void)
{
    /* A byte alone, cut off, too long a form, half of a pair, beyond the last code point. */
    static const char *const bad[] = { "a\x80", "a\xFF", "a\xE2\x82", "a\xF0\x9F\x98", "a\xC0\xAF",
                                       "a\xE0\x80\xAF", "a\xED\xA0\x80", "a\xF4\x90\x80\x80" };
    struct sea_tokenizer *tokenizer = load_family("gpt2");
    struct sea_ids ids = { 0 };
    struct sea_err err = { 0 };

    CHECK(sea_tokenizer_encode(tokenizer, "ab\xC3(", 4, false, &ids, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "byte 2 is 0xc3");
    CHECK_INT(ids.len, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err = (struct sea_err){ 0 };
        CHECK(sea_tokenizer_encode(tokenizer, bad[i], strlen(bad[i]), true, &ids, &err) ==
              SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, "byte 1 is");
        CHECK_INT(ids.len, 0);
    }
    err = (struct sea_err){ 0 };
    CHECK_OK(sea_tokenizer_encode(tokenizer, "a\0\xEF\xBB\xBF\xF4\x8F\xBF\xBF", 9, false, &ids,
                                  &err),
             err);
    CHECK_INT(ids.len, 9);
    sea_ids_release(&ids);
    sea_tokenizer_destroy(tokenizer);
}

static void
check_by_hand(const char *json, const char *text, const char *want)
{
    struct sea_tokenizer *tokenizer;
    struct sea_ids ids = { 0 };
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX], got[512];

    snprintf(path, sizeof(path), "%s/hand.json", sea_test_dir());
    CHECK_OK(sea_file_replace(path, json, strlen(json), &err), err);
    if (!CHECK_OK(sea_tokenizer_load(&tokenizer, path, &err), err))
        return;
    CHECK_OK(sea_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &err), err);
    CHECK_STR(ids_text(got, ids.data, ids.len), want);
    sea_ids_release(&ids);
    sea_tokenizer_destroy(tokenizer);
}

/* Rules that the trained fixtures seldom touch. */
static void
small_models_by_hand(void)
{
#define HAND_SPLIT(pattern)                                                                    \
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\"," \
    "\"pattern\":{\"Regex\":\"" pattern "\"},\"behavior\":\"Isolated\"}," \
    "{\"type\":\"ByteLevel\",\"use_regex\":false,\"add_prefix_space\":false}]}," \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\\u0120\":1,\"\\u010a\":2," \
    "\"\\u010a\\u0120\":3,\"7\":4,\"77\":5},\"merges\":[\"\\u010a \\u0120\",\"7 7\"]}}"
#define HAND_LLAMA3(digits)                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" \
    digits "| ?[^\\\\s" \
    "\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

    /* A run of blanks ends with its last line end; digits come in threes, or one by one. */
    check_by_hand(HAND_SPLIT(HAND_LLAMA3("{1,3}")), "\n  a7777", "2 1 1 0 5 4 4 ");
    check_by_hand(HAND_SPLIT(HAND_LLAMA3("")), "\n  a77", "2 1 1 0 4 4 ");
    check_by_hand(HAND_SPLIT("\\\\s+"), "\n  a", "3 1 0 ");
    /* Unknown costs 10 more than the worst word: "ab" (-3), not unknown (-13) and "b" (5). */
    check_by_hand("{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],"
                  "[\"ab\",-3],"
                  "[\"b\",5]]}}", "abxxb", "1 0 2 ");
    /* An added word is no word of the model: "x" alone is unknown. */
    check_by_hand("{\"added_tokens\":[{\"id\":2,\"content\":\"x\",\"single_word\":true}],"
                  "\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\","
                  "\"vocab\":{\"a\":0,\"u\":1},\"merges\":[]}}",
                  "x xa", "2 1 1 0 ");
    /* U+02D9 is a blank and a dot above to NFKC. With the blank stripped, the dot still begins
     * the text to Metaspace's "first"; the a behind a stripped blank does not. */
#define HAND_FIRST                                                                             \
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"}," \
    "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":false}]},"                \
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\","         \
    "\"prepend_scheme\":\"first\",\"split\":true},\"model\":{\"type\":\"Unigram\"," \
    "\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"\\u2581\",-1],[\"\\u0307\",-1],[\"a\",-1]]}}"
    check_by_hand(HAND_FIRST, "\xCB\x99" "a", "1 2 3 ");
    check_by_hand(HAND_FIRST, " a", "3 ");
    check_by_hand(HAND_FIRST, " \xCB\x99" "a", "2 3 ");
    check_by_hand(HAND_FIRST, "a", "1 3 ");
}

/* Seconds of this thread for one text of n bytes, the pieces again and again. */
static double
seconds_for(struct sea_tokenizer *tokenizer, const char *piece, size_t n)
{
    size_t len = strlen(piece);
    char *text = malloc(n + len);
    struct sea_ids ids = { 0 };
    struct sea_err err = { 0 };
    clock_t start;

    for (size_t at = 0; at < n; at += len)
        memcpy(text + at, piece, len);
    n -= n % len;
    start = clock();
    CHECK_OK(sea_tokenizer_encode(tokenizer, text, n, true, &ids, &err), err);
    sea_ids_release(&ids);
    free(text);
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void
long_words_take_no_square(void)
{
    static const char *const names[] = { "gpt2", "llama3", "clip", "llama2", "gemma", "marks",
                                         "unigram", "sentencepiece", "spm_unigram" };
    static const char *const pieces[] = { "a", "catriver", " ", "7", "!", "\n", "e\xCC\xA3\xCC\x81",
                                          "\xCC\xA3\xCC\x81", "\xE6\x97\xA5", "\xF0\x9F\x87\xA9" };
    double worst = 0, slow = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sea_tokenizer *tokenizer = load_family(names[i]);

        for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
            double few = seconds_for(tokenizer, pieces[p], 25000);
            double many = seconds_for(tokenizer, pieces[p], 200000);

            /* 8 times the text: a square takes 64 times as long. Short times say nothing. */
            CHECK_MSG(many < 32 * few || many < 0.25,
                      "%s: 25 kB of \"%s\" take %.4f s, 200 kB %.4f s",
                      names[i], pieces[p], few, many);
            worst = few > 1e-3 && many / few > worst ? many / few : worst;
            slow = many > slow ? many : slow;
        }
        sea_tokenizer_destroy(tokenizer);
    }
    printf("  8 times the text takes at most %.1f times as long; 200 kB at most %.3f s\n", worst,
           slow);
}

/* ---- files that cannot be used ---- */

static void
check_refused(const char *json, const char *words)
{
    struct sea_tokenizer *tokenizer;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/bad.json", sea_test_dir());
    CHECK_OK(sea_file_replace(path, json, strlen(json), &err), err);
    CHECK(sea_tokenizer_load(&tokenizer, path, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, words);
    CHECK(!tokenizer);
    sea_tokenizer_destroy(tokenizer);
}

#define MODEL \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"

static void
what_is_unknown_is_named(void)
{
    struct sea_tokenizer *tokenizer;
    struct sea_err err = { 0 };

    check_refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "no list \"vocab\"");
    check_refused("{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", "\"WordPiece\"");
    check_refused("{\"normalizer\":{\"type\":\"Precompiled\"}," MODEL "}", "\"Precompiled\"");
    check_refused("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
                  "\"BertPreTokenizer\"}]}," MODEL "}", "\"BertPreTokenizer\"");
    check_refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},"
                  "\"behavior\":"
                  "\"Isolated\"}," MODEL "}", "pattern");
    check_refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},"
                  "\"behavior\":"
                  "\"Sometimes\"}," MODEL "}", "\"Sometimes\"");
    check_refused("{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", "decoder \"CTC\"");
    check_refused("{\"post_processor\":{\"type\":\"Odd\"}," MODEL "}", "post-processor \"Odd\"");
    check_refused("{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":"
                  "[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],"
                  "\"special_tokens\":{}}," MODEL "}",
                  "\"<s>\" has no ids");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a c\"]}}",
                  "merge 0");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"abc\"]}}",
                  "merge 0");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
                  "two words");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "id in 0");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999999},\"merges\":[]}}",
                  "id in 0");
    check_refused("{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{\"a\":0},"
                  "\"merges\":[]}}",
                  "dropout");
    check_refused("{\"added_tokens\":[{\"id\":1,\"content\":\"<s>\"}]," MODEL "}", "\"<s>\"");
    check_refused("{\"added_tokens\":[{\"id\":7}]," MODEL "}", "added word");
    check_refused("{}", "no \"model\"");
    check_refused("{\"model\":", "line 1");
    CHECK(sea_tokenizer_load(&tokenizer, sea_test_dir(), &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "tokenizer.json");
}

static void
a_cut_sentencepiece_file_is_refused(void)
{
    struct sea_tokenizer *tokenizer;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct sea_buf bytes;
    size_t refused = 0, tried = 0;

    snprintf(path, sizeof(path), "%s/" FIXTURES "/sentencepiece/tokenizer.model", sea_test_root());
    sea_buf_init(&bytes, 1 << 20);
    CHECK_OK(sea_file_read(path, &bytes, &err), err);
    snprintf(path, sizeof(path), "%s/cut.model", sea_test_dir());
    for (size_t n = 0; n < bytes.len; n += 97, tried++) {
        struct sea_err cut = { 0 };

        CHECK_OK(sea_file_replace(path, bytes.data, n, &err), err);
        refused += sea_tokenizer_load(&tokenizer, path, &cut) == SEA_E_FORMAT;
        CHECK_FAILS(cut, SEA_E_FORMAT, "cut.model");
        sea_tokenizer_destroy(tokenizer);
    }
    printf("  %zu of %zu lengths refused\n", refused, tried);
    CHECK_INT(refused, tried);
    sea_buf_release(&bytes);
}

/* ---- training ---- */

struct texts {
    int at, count;
    char text[128];
};

static bool
next_text(void *arg, const char **text, size_t *len)
{
    static const char *const nouns[] = { "cat", "river", "caf\u00e9", "tree", "lamp" };
    static const char *const verbs[] = { "sleeps", "shines", "isn't", "waits" };
    struct texts *texts = arg;
    int i = texts->at++;

    if (i >= texts->count)
        return false;
    snprintf(texts->text, sizeof(texts->text), "The %s %s near the %s. %d!\n", nouns[i % 5],
             verbs[i % 4], nouns[i / 3 % 5], i % 97);
    *text = texts->text;
    *len = strlen(texts->text);
    return true;
}

static enum sea_status
train(const char *dir, int count, enum sea_tokenizer_split split, bool lowercase, int32_t size,
      struct sea_err *err)
{
    static const char *const special[] = { "<unk>", "<s>", "</s>", "<image>" };
    struct texts texts = { .count = count };
    struct sea_tokenizer_train options = {
        .vocab_size = size, .special = special, .special_count = 4,
        .bos = "<s>", .eos = "</s>", .unk = "<unk>", .pad = "<unk>", .add_bos = true,
        .add_eos = lowercase, .lowercase = lowercase, .split = split, .model_max_length = 512,
        .next = next_text, .arg = &texts,
    };

    return sea_tokenizer_train(&options, dir, err);
}

/* The trained file is the one whose ids tests/oracle/io_trained.py took from `tokenizers`. */
static void
check_trained(const char *dir, const struct sea_node *want)
{
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    struct sea_tokenizer *tokenizer;
    struct sea_err err = { 0 };
    int good = 0, all = 0;
    uint64_t bytes;

    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    CHECK_OK(sea_hash_file(path, digest, &bytes, &err), err);
    CHECK_STR(digest, sea_node_text(sea_node_get(want, "sha256"), ""));
    if (!CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err))
        return;
    for (const struct sea_node *row = sea_node_get(want, "cases")->first; row; row = row->next) {
        good += check_case(tokenizer, dir, row);
        all += 4;
    }
    printf("  %s: %d of %d comparisons agree\n", sea_node_text(sea_node_get(want, "name"), ""),
           good, all);
    CHECK(all > 100);
    sea_tokenizer_destroy(tokenizer);
}

static void
training_is_repeatable_and_agrees(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    char a[SEA_PATH_MAX], b[SEA_PATH_MAX], sum_a[SEA_SHA256_TEXT], sum_b[SEA_SHA256_TEXT];
    char path[SEA_PATH_MAX];
    const char *keep = getenv("SEA_KEEP");      /* tests/oracle/io_trained.py asks for them */
    struct sea_err err = { 0 };
    struct sea_node *want;

    snprintf(a, sizeof(a), "%s/gpt2", keep ? keep : sea_test_dir());
    snprintf(b, sizeof(b), "%s/again", sea_test_dir());
    CHECK_OK(train(a, 500, SEA_SPLIT_GPT2, false, 330, &err), err);
    CHECK_OK(train(b, 500, SEA_SPLIT_GPT2, false, 330, &err), err);
    CHECK_OK(sea_hash_dir(a, sum_a, &err), err);
    CHECK_OK(sea_hash_dir(b, sum_b, &err), err);
    CHECK_STR(sum_a, sum_b);
    snprintf(b, sizeof(b), "%s/llama3", keep ? keep : sea_test_dir());
    CHECK_OK(train(b, 500, SEA_SPLIT_LLAMA3, true, 300, &err), err);
    snprintf(path, sizeof(path), "%s/" FIXTURES "/trained.json", sea_test_root());
    if (!keep && CHECK_OK(sea_json_load(path, 1 << 22, arena, &want, &err), err)) {
        check_trained(a, want->first);
        check_trained(b, want->last);
    }
    sea_arena_destroy(arena);
}

static void
training_stops_when_texts_end(void)
{
    struct sea_tokenizer *tokenizer;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    snprintf(dir, sizeof(dir), "%s/few", sea_test_dir());
    CHECK_OK(train(dir, 2, SEA_SPLIT_GPT2, false, 5000, &err), err);
    CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err);
    CHECK(sea_tokenizer_count(tokenizer) >= 260 && sea_tokenizer_count(tokenizer) < 320);
    CHECK_INT(sea_tokenizer_find(tokenizer, "<image>"), 3);
    sea_tokenizer_destroy(tokenizer);
    CHECK_OK(train(dir, 0, SEA_SPLIT_GPT2, false, 260, &err), err);
    CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err);
    CHECK_INT(sea_tokenizer_count(tokenizer), 260);
    sea_tokenizer_destroy(tokenizer);
    CHECK(train(dir, 2, SEA_SPLIT_GPT2, false, 259, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "need >= 260");
}

static void
copies_are_equal(void)
{
    struct sea_tokenizer *tokenizer;
    char from[SEA_PATH_MAX], to[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    snprintf(from, sizeof(from), "%s/" FIXTURES "/clip", sea_test_root());
    snprintf(to, sizeof(to), "%s/copy", sea_test_dir());
    CHECK_OK(sea_dir_create(to, &err), err);
    CHECK_OK(sea_tokenizer_copy(from, to, &err), err);
    CHECK_OK(sea_tokenizer_load(&tokenizer, to, &err), err);
    CHECK_INT(sea_tokenizer_special(tokenizer)->eos, 1);
    sea_tokenizer_destroy(tokenizer);
    CHECK(sea_tokenizer_copy(sea_test_dir(), to, &err) == SEA_E_MISSING);
}

SEA_TEST_MAIN("tokenizers agree with Hugging Face's", TEST(families_agree_with_tokenizers),
              TEST(special_words_are_found), TEST(length_is_cut_inside_the_template),
              TEST(words_are_added_by_the_files_beside), TEST(switches_need_no_names),
              TEST(frozen_tries_hold_the_same_words),
              TEST(pieces_join_to_the_whole), TEST(text_must_be_utf8),
              TEST(long_words_take_no_square),
              TEST(small_models_by_hand),
              TEST(what_is_unknown_is_named), TEST(a_cut_sentencepiece_file_is_refused),
              TEST(training_is_repeatable_and_agrees),
              TEST(training_stops_when_texts_end), TEST(copies_are_equal))
