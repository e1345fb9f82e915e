/* SPDX-License-Identifier: Apache-2.0 */
/* Answers do not depend on their neighbours: slots, order, shared beginnings, pieces of a
 * prefill change neither a word nor a bit of a logit; and they are what a plain forward of
 * the whole sequence gives. */
#include "engine/base/sea_buf.h"
#include "engine/sea_generate.h"
#include "engine/sea_tokenizer.h"
#include "tests/engine/model_twin.h"

#define PATCHES 9
#define FEATURES 12
#define VOCAB 40
#define PROMPTS 23
#define IMAGES 5
#define MAX_NEW 10
#define ROOM 48
#define GIVEN SEA_LM_GIVEN

static struct sea_device device;
static struct sea_mllm mllm;
static float features[IMAGES * PATCHES * FEATURES];
static int32_t words[PROMPTS][24];
static struct sea_prompt prompts[PROMPTS];

static void
set_up(void)
{
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_err err = { 0 };

    if (device.ops)
        return;
    CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    desc.vocab = VOCAB;
    desc.D = 32;
    desc.F = 48;
    desc.layers = 3;
    desc.H = 4;
    desc.K = 2;
    desc.E = 8;
    desc.max_positions = 64;
    desc.init_scale = 0.35f;
    desc.eos[0] = 3;
    desc.eos[1] = 17;
    desc.eos_count = 2;
    CHECK_OK(sea_lm_create(&mllm.lm, &device, &desc, 11, false, &err), err);
    CHECK_OK(sea_adapter_create(&mllm.adapter, &device, SEA_ADAPTER_MLP2X_GELU, FEATURES, 32,
                                4, false, &err), err);
    mllm.patches = PATCHES;
    for (int i = 0; i < IMAGES * PATCHES * FEATURES; i++)
        features[i] = (float)sea_rng_normal_at(6, 6, (uint64_t)i);
    /* A system text, a picture (or none), a question; some differ in the last word only,
     * one pair is equal, and some differ in the first word. */
    for (int i = 0; i < PROMPTS; i++) {
        int n = 0, image = i * 7 % (IMAGES + 1) - 1;

        words[i][n++] = i == 9 ? 8 : 1;
        words[i][n++] = 5;
        if (image >= 0)
            words[i][n++] = GIVEN;
        for (int k = 0; k < 2 + i % 5; k++)
            words[i][n++] = (int32_t)(4 + sea_rng_uniform_at(2, 2, (uint64_t)(k + i % 4 * 9)) *
                                      30);
        prompts[i] = (struct sea_prompt){ words[i], n, image, 1000 + i };
    }
    prompts[22] = prompts[3];
    prompts[22].id = 1022;
}

struct answers {
    int32_t ids[PROMPTS][MAX_NEW];
    struct sea_answer list[PROMPTS];
};

static void
generate(const struct sea_generate_desc *desc, const struct sea_prompt *list,
         const struct sea_sampling *sampling, struct answers *out)
{
    struct sea_generator *generator;
    struct sea_err err = { 0 };

    memset(out, 0, sizeof(*out));
    for (int i = 0; i < PROMPTS; i++)
        out->list[i].ids = out->ids[i];
    CHECK_OK(sea_generator_create(&generator, &mllm, desc, &err), err);
    if (!generator)
        return;
    CHECK_OK(sea_generate(generator, list, PROMPTS, features, IMAGES, sampling, out->list,
                          &err), err);
    sea_generator_destroy(generator);
}

static bool
same_answer(const struct sea_answer *a, const struct sea_answer *b)
{
    return a->count == b->count && a->ended == b->ended &&
           !memcmp(a->ids, b->ids, (size_t)a->count * sizeof(int32_t));
}

/* Greedy words by whole forwards, one word at a time. */
static void
check_plainly(const struct answers *answers)
{
    const struct sea_mllm_limits limits = { .text = { .rows = 64 }, .images = 1 };
    float *logits = calloc(64 * VOCAB, sizeof(*logits));
    struct sea_mllm_work *work;
    struct sea_err err = { 0 };

    CHECK_OK(sea_mllm_work_create(&work, &mllm, &limits, &err), err);
    for (int i = 0; i < PROMPTS; i++) {
        const struct sea_answer *answer = &answers->list[i];
        int32_t ids[64], start[2] = { 0, 0 };
        struct sea_mllm_batch batch = { .text = { 0, 1, start, ids, NULL } };

        for (int64_t k = 0; k < prompts[i].count; k++)
            for (int j = 0; j < (words[i][k] == GIVEN ? PATCHES : 1); j++)
                ids[start[1]++] = prompts[i].ids[k];
        batch.images = prompts[i].image >= 0;
        batch.features = features + prompts[i].image * PATCHES * FEATURES;
        for (int64_t n = 0; n < answer->count + answer->ended; n++) {
            int best = 0;

            batch.text.rows = start[1];
            CHECK_OK(sea_mllm_logits(&mllm, work, &batch, logits, &err), err);
            for (int v = 0; v < VOCAB; v++)
                if (logits[(start[1] - 1) * VOCAB + v] > logits[(start[1] - 1) * VOCAB + best])
                    best = v;
            if (n < answer->count)
                CHECK_INT(answer->ids[n], best);
            else
                CHECK(best == 3 || best == 17);
            ids[start[1]++] = best;
        }
    }
    sea_mllm_work_destroy(work);
    free(logits);
}

static void
greedy_answers_are_those_of_whole_forwards(void)
{
    const struct sea_generate_desc desc = { .slots = 4, .room = ROOM, .share = true };
    const struct sea_sampling greedy = { .max_new = MAX_NEW };
    static struct answers answers;
    int ended = 0, words_count = 0;

    set_up();
    generate(&desc, prompts, &greedy, &answers);
    for (int i = 0; i < PROMPTS; i++) {
        ended += answers.list[i].ended;
        words_count += (int)answers.list[i].count;
        CHECK(answers.list[i].ended || answers.list[i].count == MAX_NEW);
    }
    printf("%d answers, %d words, %d ended by themselves\n", PROMPTS, words_count, ended);
    CHECK(ended > 0 && ended < PROMPTS);        /* both ends occur in this test */
    CHECK(same_answer(&answers.list[3], &answers.list[22]));
    check_plainly(&answers);
}

static void
answers_do_not_depend_on_company(void)
{
    static const struct sea_generate_desc descs[] = {
        { .slots = 1, .room = ROOM, .share = true },
        { .slots = 3, .room = ROOM, .share = true, .batch_rows = ROOM },
        { .slots = 8, .room = ROOM, .share = false },
        { .slots = 64, .room = ROOM, .share = true },
        { .slots = 64, .room = ROOM + 9, .share = true, .batch_rows = 60 },
    };
    static const struct sea_sampling samplings[2] = {
        { .max_new = MAX_NEW },
        { .max_new = MAX_NEW, .temperature = 0.8, .top_k = 12, .top_p = 0.95, .seed = 5 },
    };
    static struct answers first, next;
    struct sea_prompt turned[PROMPTS];

    set_up();
    for (int s = 0; s < 2; s++) {
        generate(&descs[0], prompts, &samplings[s], &first);
        for (size_t d = 1; d < sizeof(descs) / sizeof(descs[0]); d++) {
            generate(&descs[d], prompts, &samplings[s], &next);
            for (int i = 0; i < PROMPTS; i++)
                CHECK_MSG(same_answer(&first.list[i], &next.list[i]),
                          "answer %d differs with setting %zu, sampling %d", i, d, s);
        }
        for (int i = 0; i < PROMPTS; i++)
            turned[i] = prompts[PROMPTS - 1 - i];
        generate(&descs[1], turned, &samplings[s], &next);
        for (int i = 0; i < PROMPTS; i++)
            CHECK(same_answer(&first.list[i], &next.list[PROMPTS - 1 - i]));
    }
}

static void
first_logits_are_equal_to_the_bit(void)
{
    static const struct sea_generate_desc descs[3] = {
        { .slots = 1, .room = ROOM }, { .slots = 5, .room = ROOM, .share = true },
        { .slots = 32, .room = ROOM, .share = true, .batch_rows = 64 },
    };
    static float logits[3][PROMPTS * VOCAB];
    struct sea_generator *generator;
    struct sea_err err = { 0 };

    set_up();
    for (int d = 0; d < 3; d++) {
        CHECK_OK(sea_generator_create(&generator, &mllm, &descs[d], &err), err);
        CHECK_OK(sea_generate_logits(generator, prompts, PROMPTS, features, IMAGES, logits[d],
                                     &err), err);
        sea_generator_destroy(generator);
    }
    CHECK(!memcmp(logits[0], logits[1], sizeof(logits[0])));
    CHECK(!memcmp(logits[0], logits[2], sizeof(logits[0])));
}

static void
sampling_follows_its_settings(void)
{
    const struct sea_generate_desc desc = { .slots = 8, .room = ROOM, .share = true };
    const struct sea_sampling cold = { .max_new = 4, .temperature = 1e-4, .seed = 1 };
    const struct sea_sampling one = { .max_new = 4, .temperature = 5.0, .top_k = 1 };
    const struct sea_sampling tight = { .max_new = 4, .temperature = 5.0, .top_p = 1e-9 };
    const struct sea_sampling hot = { .max_new = 4, .temperature = 5.0, .seed = 1 };
    const struct sea_sampling hot2 = { .max_new = 4, .temperature = 5.0, .seed = 2 };
    const struct sea_sampling greedy = { .max_new = 4 };
    static struct answers want, got, other;
    int differ = 0;

    set_up();
    generate(&desc, prompts, &greedy, &want);
    generate(&desc, prompts, &cold, &got);
    for (int i = 0; i < PROMPTS; i++)
        CHECK(same_answer(&want.list[i], &got.list[i]));
    generate(&desc, prompts, &one, &got);
    for (int i = 0; i < PROMPTS; i++)
        CHECK(same_answer(&want.list[i], &got.list[i]));
    generate(&desc, prompts, &tight, &got);
    for (int i = 0; i < PROMPTS; i++)
        CHECK(same_answer(&want.list[i], &got.list[i]));
    generate(&desc, prompts, &hot, &got);
    generate(&desc, prompts, &hot2, &other);
    for (int i = 0; i < PROMPTS; i++)
        differ += !same_answer(&other.list[i], &got.list[i]);
    CHECK(differ > PROMPTS / 2);
    CHECK(!same_answer(&got.list[3], &got.list[22]));   /* equal prompts, other ids */
}

/* First words of one prompt under many ids: how often each word comes, against the softmax
 * of its logits with the cuts done plainly. */
#define DRAWS 4000

static void
check_frequencies(double temperature, int64_t top_k, double top_p)
{
    const struct sea_generate_desc desc = { .slots = 64, .room = ROOM, .share = true };
    const struct sea_sampling sampling = { .max_new = 1, .temperature = temperature,
                                           .top_k = top_k, .top_p = top_p, .seed = 3 };
    static struct sea_prompt same[DRAWS];
    static struct sea_answer answers[DRAWS];
    static int32_t ids[DRAWS];
    float logits[VOCAB];
    double p[VOCAB], total = 0.0, kept = 0.0, worst = 0.0;
    int count[VOCAB] = { 0 }, order[VOCAB], left = 0, wrong = 0;
    struct sea_generator *generator;
    struct sea_err err = { 0 };

    set_up();
    for (int i = 0; i < DRAWS; i++) {
        same[i] = (struct sea_prompt){ words[1], 2, -1, 7000 + i };
        answers[i].ids = &ids[i];
    }
    CHECK_OK(sea_generator_create(&generator, &mllm, &desc, &err), err);
    CHECK_OK(sea_generate_logits(generator, same, 1, NULL, 0, logits, &err), err);
    CHECK_OK(sea_generate(generator, same, DRAWS, NULL, 0, &sampling, answers, &err), err);
    sea_generator_destroy(generator);
    for (int v = 0; v < VOCAB; v++) {
        p[v] = exp((double)logits[v] / temperature);
        order[v] = v;
    }
    for (int i = 0; i < VOCAB; i++)             /* best first */
        for (int j = i + 1; j < VOCAB; j++)
            if (p[order[j]] > p[order[i]]) {
                int swap = order[i];

                order[i] = order[j];
                order[j] = swap;
            }
    for (int i = top_k > 0 ? (int)top_k : VOCAB; i < VOCAB; i++)
        p[order[i]] = 0.0;
    for (int v = 0; v < VOCAB; v++)
        total += p[v];
    for (int i = 0; i < VOCAB; i++) {
        if (top_p > 0 && i && kept >= top_p * total)
            p[order[i]] = 0.0;
        kept += p[order[i]];
    }
    for (int i = 0; i < DRAWS; i++)
        count[answers[i].count ? ids[i] : 3]++;         /* 3 and 17 end an answer */
    p[3] += p[17];
    p[17] = 0.0;
    for (int v = 0; v < VOCAB; v++) {
        double want = p[v] / kept, spread = sqrt(want * (1 - want) / DRAWS);

        wrong += want == 0.0 && count[v];
        left += want > 0.0;
        if (want > 0.0)
            worst = fmax(worst, fabs(count[v] / (double)DRAWS - want) / spread);
    }
    printf("temperature %g, top-k %lld, top-p %g: %d words possible, frequencies within %.1f "
           "deviations (bound 4.5)\n", temperature, (long long)top_k, top_p, left, worst);
    CHECK_INT(wrong, 0);
    CHECK(worst <= 4.5);
}

static void
samples_follow_the_softmax(void)
{
    check_frequencies(1.0, 0, 0.0);
    check_frequencies(2.5, 0, 0.7);
    check_frequencies(2.5, 6, 0.0);
    check_frequencies(1.5, 12, 0.9);
}

/* More best words than the device lists: the same words as from all logits. */
static void
many_best_words_are_all_words(void)
{
    const struct sea_generate_desc desc = { .slots = 4, .room = ROOM, .share = true };
    const struct sea_sampling few = { .max_new = 6, .temperature = 2.0, .top_k = VOCAB,
                                      .seed = 9 };
    const struct sea_sampling many = { .max_new = 6, .temperature = 2.0, .top_k = 1000,
                                       .seed = 9 };
    static struct answers a, b;

    set_up();
    generate(&desc, prompts, &few, &a);
    generate(&desc, prompts, &many, &b);
    for (int i = 0; i < PROMPTS; i++)
        CHECK(same_answer(&a.list[i], &b.list[i]));
}

/* Stops that begin and end within words; cut from the text, kept in the ids. */
static void
stop_texts_end_answers(void)
{
    const struct sea_generate_desc desc = { .slots = 4, .room = ROOM, .share = true };
    struct sea_sampling sampling = { .max_new = MAX_NEW };
    static struct answers whole, cut;
    struct sea_tokenizer *tokenizer;
    char dir[SEA_PATH_MAX], stop[4] = "";
    const char *stops[2] = { "never spelt", stop };
    struct sea_buf text, part;
    struct sea_err err = { 0 };
    int stopped = 0;

    set_up();
    snprintf(dir, sizeof(dir), "%s/tests/oracle/fixtures/tokenizers/gpt2", sea_test_root());
    CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err);
    generate(&desc, prompts, &sampling, &whole);
    sampling.stop = stops;
    sampling.stop_count = 2;
    sampling.tokenizer = tokenizer;
    sea_buf_init(&text, 4096);
    sea_buf_init(&part, 4096);
    for (int i = 0; i < PROMPTS; i++) {
        size_t at = 0;

        sea_buf_clear(&text);
        sea_buf_clear(&part);
        CHECK_OK(sea_answer_text(&whole.list[i], &sampling, tokenizer, &text, &err), err);
        if (text.len < 5)
            continue;
        memcpy(stop, text.data + 2, 3);         /* the last of one word, the first of others */
        at = (size_t)(strstr(text.data, stop) - text.data);
        generate(&desc, prompts, &sampling, &cut);
        CHECK(cut.list[i].stopped && !cut.list[i].ended);
        CHECK(cut.list[i].count <= whole.list[i].count);
        CHECK(!memcmp(cut.ids[i], whole.ids[i], (size_t)cut.list[i].count * sizeof(int32_t)));
        CHECK_OK(sea_answer_text(&cut.list[i], &sampling, tokenizer, &part, &err), err);
        CHECK_INT(part.len, at);
        CHECK(!memcmp(part.data, text.data, at));
        stopped++;
    }
    printf("%d of %d answers were stopped within their text\n", stopped, PROMPTS);
    CHECK(stopped > PROMPTS / 2);
    sea_buf_release(&text);
    sea_buf_release(&part);
    sea_tokenizer_destroy(tokenizer);
}

/* A stop may hold the spelling of a special word, which the text leaves out. */
static void
stops_of_special_words_are_cut_off(void)
{
    static const struct { const char *answer, *stop, *text; } rows[] = {
        { "so<|endoftext|> it", "<|endoftext|>", "so" },
        { "so<|endoftext|> it", "o<|end", "s" },
        { "so<|endoftext|> it", "of", "so" },
        { "so<|endoftext|> it", "> i", "so" },
        { "a<|endoftext|>b c", "b c", "a" },
        { "\xC3\xA9<|endoftext|>\xC3\xA9t", "\xC3\xA9t", "\xC3\xA9" },
    };
    struct sea_tokenizer *tokenizer;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    snprintf(dir, sizeof(dir), "%s/tests/oracle/fixtures/tokenizers/gpt2", sea_test_root());
    CHECK_OK(sea_tokenizer_load(&tokenizer, dir, &err), err);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sea_sampling sampling = { .stop = &rows[i].stop, .stop_count = 1,
                                         .tokenizer = tokenizer };
        struct sea_answer answer = { .stopped = true };
        struct sea_ids ids = { 0 };
        struct sea_buf text;

        sea_buf_init(&text, 4096);
        CHECK_OK(sea_tokenizer_encode(tokenizer, rows[i].answer, strlen(rows[i].answer), false,
                                      &ids, &err), err);
        answer.ids = ids.data;
        answer.count = (int64_t)ids.len;
        CHECK_OK(sea_answer_text(&answer, &sampling, tokenizer, &text, &err), err);
        CHECK_MSG(!strcmp(text.data, rows[i].text), "\"%s\" up to \"%s\" is \"%s\", want \"%s\"",
                  rows[i].answer, rows[i].stop, text.data, rows[i].text);
        sea_buf_release(&text);
        sea_ids_release(&ids);
    }
    sea_tokenizer_destroy(tokenizer);
}

static void
room_and_end_words_end_answers(void)
{
    const struct sea_generate_desc desc = { .slots = 2, .room = 16, .share = true };
    static const int32_t none[1] = { 39 };
    const struct sea_sampling sampling = { .max_new = 100, .eos = none, .eos_count = 0 };
    int32_t ids[100];
    struct sea_answer answer = { .ids = ids };
    const struct sea_prompt prompt = { words[0], 4, -1, 5 };
    struct sea_generator *generator;
    struct sea_err err = { 0 };

    set_up();
    CHECK_OK(sea_generator_create(&generator, &mllm, &desc, &err), err);
    CHECK_OK(sea_generate(generator, &prompt, 1, NULL, 0, &sampling, &answer, &err), err);
    CHECK_INT(answer.count, 16 - 4 + 1);        /* the last word needs no row of its own */
    CHECK(!answer.ended);
    CHECK_OK(sea_generate(generator, NULL, 0, NULL, 0, &sampling, NULL, &err), err);
    sea_generator_destroy(generator);
}

static void
bad_prompts_are_refused_by_id(void)
{
    const struct sea_generate_desc desc = { .slots = 2, .room = 20, .share = true };
    const struct sea_sampling greedy = { .max_new = 2 };
    static const int32_t bad_word[2] = { 1, 40 }, two[3] = { 1, GIVEN, GIVEN };
    static int32_t many[21] = { 1 };
    const struct { struct sea_prompt prompt; const char *words; } wrong[] = {
        { { bad_word, 2, -1, 71 }, "prompt 71 holds word 40" },
        { { bad_word, 0, -1, 72 }, "prompt 72 holds no words" },
        { { two, 2, -1, 73 }, "prompt 73" },
        { { two, 1, 0, 74 }, "prompt 74" },
        { { two, 3, 0, 75 }, "prompt 75" },
        { { two, 2, 9, 76 }, "prompt 76" },
        { { many, 21, -1, 77 }, "prompt 77 has 21 rows" },
    };
    int32_t ids[2];
    struct sea_answer answer = { .ids = ids };
    struct sea_generator *generator;
    struct sea_err err = { 0 };

    set_up();
    CHECK_OK(sea_generator_create(&generator, &mllm, &desc, &err), err);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK(sea_generate(generator, &wrong[i].prompt, 1, features, IMAGES, &greedy, &answer,
                           &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, wrong[i].words);
        sea_err_clear(&err);
    }
    sea_generator_destroy(generator);
}

SEA_TEST_MAIN("generation",
              TEST(greedy_answers_are_those_of_whole_forwards),
              TEST(answers_do_not_depend_on_company),
              TEST(first_logits_are_equal_to_the_bit),
              TEST(sampling_follows_its_settings),
              TEST(samples_follow_the_softmax),
              TEST(many_best_words_are_all_words),
              TEST(stop_texts_end_answers), TEST(stops_of_special_words_are_cut_off),
              TEST(room_and_end_words_end_answers),
              TEST(bad_prompts_are_refused_by_id))
