/* SPDX-License-Identifier: Apache-2.0 */
/* The foundation's language model: tokenizer and training on texts and dialogues in the
 * conversation template, then figures on texts that it has not seen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/foundation_int.h"

#define HELD_EVERY 40           /* one text in 40 is kept for figures, */
#define HELD_FROM 200           /* when there are so many at least */
#define MEASURED_MAX 300        /* texts that figures are taken from */
#define LOG_EVERY 10
#define SYSTEM "A chat between a curious user and an artificial intelligence assistant. The " \
    "assistant gives helpful, detailed, and polite answers to the user's questions."

struct text_run {
    struct sea_stage *stage;
    const struct sea_text_set *texts;
    const struct sea_dataset *captions;
    struct sea_tokenizer *tokenizer;
    struct sea_samples learned, held;
    struct sea_lm *lm;
    struct sea_lm_work *work;
    struct sea_adamw *adamw;
    struct sea_order order;
    struct sea_packed packed;
    int64_t batch, steps;
    int64_t before;             /* CLIP's steps: this stage's count on */
    bool in_file_order;
};

/* ---- tokenizer ---- */

/* All texts as the model will meet them: the system sentence, turns with their speakers,
 * plain texts, captions. */
struct reading {
    const struct sea_text_set *texts;
    const struct sea_dataset *captions;
    int64_t row, caption;
    size_t turn;                /* 0: the system sentence */
    struct sea_buf text;
};

static bool
next_text(void *arg, const char **text, size_t *len)
{
    struct reading *r = arg;

    while (r->row < r->texts->count) {
        const struct sea_text_row *row = &r->texts->rows[r->row];

        if (row->turns_count == 0) {
            r->row++;
            *text = row->text;
            *len = row->text_len;
            return true;
        }
        if (r->turn <= row->turns_count) {
            const struct sea_turn *turn = r->turn ? &row->turns[r->turn - 1] : NULL;
            bool human = turn && strcmp(turn->from, "human") == 0;

            sea_buf_clear(&r->text);
            if (!turn) {
                sea_buf_puts(&r->text, row->is_bare ? "" : SYSTEM);
            } else if (row->is_bare) {
                sea_buf_puts(&r->text, turn->value);
            } else {
                sea_buf_puts(&r->text, human ? " USER: " : " ");
                sea_buf_add(&r->text, turn->value, turn->len ? turn->len : strlen(turn->value));
                sea_buf_puts(&r->text, human ? " ASSISTANT:" : "");
            }
            r->turn++;
            *text = r->text.data;
            *len = r->text.len;
            return true;
        }
        r->turn = 0;
        r->row++;
    }
    if (r->caption >= r->captions->count)
        return false;
    *text = sea_row_caption(&r->captions->rows[r->caption++]);
    *len = strlen(*text);
    return true;
}

static enum sea_status
train_tokenizer(struct text_run *run, const char *dir, struct sea_err *err)
{
    static const char *const special[] = { "<unk>", "<s>", "</s>", "<pad>", SEA_IMAGE_TAG };
    struct reading reading = { .texts = run->texts, .captions = run->captions };
    struct sea_tokenizer_train options = {
        .vocab_size = (int32_t)sea_stage_int(run->stage, "language.vocab"),
        .special = special, .special_count = 5, .unk = special[0], .bos = special[1],
        .eos = special[2], .pad = special[3], .add_bos = true, .split = SEA_SPLIT_GPT2,
        .model_max_length = sea_stage_int(run->stage, "language.positions"),
        .next = next_text, .arg = &reading };
    enum sea_status status;

    sea_buf_init(&reading.text, SEA_TOKENIZER_TEXT_MAX);
    status = sea_tokenizer_train(&options, dir, err);
    sea_buf_release(&reading.text);
    return status ? status : sea_tokenizer_load(&run->tokenizer, dir, err);
}

/* ---- texts as samples ---- */

static enum sea_status
encode_plain(struct text_run *run, const struct sea_text_row *row, struct sea_sample *sample,
             struct sea_err *err)
{
    enum sea_status status = sea_tokenizer_encode(run->tokenizer, row->text, row->text_len, true,
                                                  &sample->ids, err);
    size_t i;

    if (status)
        return status;
    sea_ids_add(&sample->ids, sea_tokenizer_special(run->tokenizer)->eos);
    for (i = 0; i < sample->ids.len; i++)
        sea_ids_add(&sample->labels, i ? sample->ids.data[i] : SEA_LABEL_NONE);
    return SEA_OK;
}

/* The values as they stand, one after another; what the answerer says is learned. */
static enum sea_status
encode_bare(struct text_run *run, const struct sea_text_row *row, struct sea_sample *sample,
            struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t t, i;

    for (t = 0; t < row->turns_count && !status; t++) {
        const struct sea_turn *turn = &row->turns[t];
        size_t len = turn->len ? turn->len : strlen(turn->value);
        bool learned = strcmp(turn->from, "gpt") == 0;

        status = sea_tokenizer_encode(run->tokenizer, turn->value, len, t == 0, &sample->ids,
                                      err);
        for (i = sample->labels.len; i < sample->ids.len; i++)
            sea_ids_add(&sample->labels, learned ? sample->ids.data[i] : SEA_LABEL_NONE);
    }
    return status;
}

static enum sea_status
encode_texts(struct text_run *run, struct sea_err *err)
{
    struct sea_conversation conversation = sea_conversation_defaults(SEA_TEMPLATE_V1);
    int64_t positions = sea_stage_int(run->stage, "language.positions"), i;
    struct sea_sample sample = { 0 };
    enum sea_status status = SEA_OK;

    for (i = 0; i < run->texts->count && !status; i++) {
        const struct sea_text_row *row = &run->texts->rows[i];
        bool held = run->texts->count >= HELD_FROM && i % HELD_EVERY == HELD_EVERY - 1
                    && !row->is_bare;   /* figures are about the template that tune uses */

        sea_sample_clear(&sample);
        if (row->is_bare)
            status = encode_bare(run, row, &sample, err);
        else if (row->turns_count)
            status = sea_conversation_encode(&conversation, run->tokenizer, row->turns,
                                             row->turns_count, false, &sample, err);
        else
            status = encode_plain(run, row, &sample, err);
        if (status)
            sea_context(err, "in text %lld of \"%s\"", (long long)i,
                        sea_stage_text(run->stage, "data.text.file"));
        else
            sea_samples_add(held ? &run->held : &run->learned, &sample, 0, positions);
    }
    sea_sample_release(&sample);
    if (!status && run->learned.count < 1)
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" holds no text",
                          sea_stage_text(run->stage, "data.text.file"));
    return status;
}

/* ---- the model ---- */

static enum sea_status
prepare(struct text_run *run, const char *dir, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_adamw_part part = { .name = "language" };
    struct sea_adamw_desc adamw;
    struct sea_lm_limits limits = { .trained = true };
    const struct sea_tokenizer_special *special;
    uint64_t seed = (uint64_t)sea_stage_int(stage, "seed");
    enum sea_status status = train_tokenizer(run, dir, err);

    if (!status)
        status = encode_texts(run, err);
    if (status)
        return status;
    special = sea_tokenizer_special(run->tokenizer);
    desc.vocab = sea_tokenizer_count(run->tokenizer);
    desc.D = sea_stage_int(stage, "language.width");
    desc.F = sea_stage_int(stage, "language.ffn");
    desc.layers = sea_stage_int(stage, "language.layers");
    desc.H = desc.K = sea_stage_int(stage, "language.heads");
    desc.E = desc.D / desc.H;
    desc.max_positions = sea_stage_int(stage, "language.positions");
    desc.init_scale = (float)sqrt(1.0 / (double)desc.D);
    desc.bos = special->bos;
    desc.pad = special->pad;
    desc.eos[0] = special->eos;
    desc.eos_count = 1;
    run->batch = sea_stage_int(stage, "language.batch");
    run->steps = sea_stage_int(stage, "language.steps");
    run->in_file_order = strcmp(sea_stage_text(stage, "language.order"), "file") == 0;
    limits.rows = sea_samples_most(&run->learned, run->batch, 0);
    sea_packed_init(&run->packed, limits.rows);
    sea_order_init(&run->order, run->learned.count, seed, "foundation.language.order");
    status = sea_lm_create(&run->lm, &stage->device, &desc, seed, true, err);
    if (!status)
        status = sea_lm_work_create(&run->work, run->lm, &limits, err);
    if (status)
        return status;
    part.params = &run->lm->params;
    part.lr = sea_stage_real(stage, "language.lr");
    part.weight_decay = sea_stage_real(stage, "language.weight_decay");
    adamw = sea_adamw_defaults(sea_schedule_make(SEA_SCHEDULE_COSINE, run->steps,
                                                 sea_stage_real(stage, "language.warmup")));
    adamw.beta2 = sea_stage_real(stage, "language.beta2");
    return sea_adamw_create(&run->adamw, &stage->device, &adamw, &part, 1, err);
}

/* "file": the rows as they stand, so that a file can put easy ones first. */
static int64_t
row_at(struct text_run *run, int64_t at)
{
    return run->in_file_order ? at % run->learned.count : sea_order_at(&run->order, at);
}

static enum sea_status
step(void *arg, int64_t t, struct sea_err *err)
{
    struct text_run *run = arg;
    struct sea_lm_batch batch;
    double loss = 0, norm;
    enum sea_status status;
    int64_t i;

    sea_packed_clear(&run->packed);
    for (i = 0; i < run->batch; i++)
        sea_packed_add(&run->packed, &run->learned,
                       row_at(run, t * run->batch + i), 0);
    batch = sea_packed_batch(&run->packed);
    status = sea_adamw_zero(run->adamw, err);
    if (!status)
        status = sea_lm_forward(run->lm, run->work, &batch, NULL,
                                run->packed.supervised ? 1.0f / (float)run->packed.supervised
                                                       : 0.0f, true, err);
    if (!status)
        status = sea_lm_backward(run->lm, run->work, NULL, err);
    if (!status)
        status = sea_adamw_step(run->adamw, &norm, err);
    if (!status && (t % LOG_EVERY == 0 || t + 1 == run->steps)) {
        status = sea_lm_loss(run->work, &loss, err);
        sea_events_metric(run->stage->events, "foundation.text_loss", run->before + t + 1,
                          loss / (double)(run->packed.supervised ? run->packed.supervised : 1));
        sea_events_metric(run->stage->events, "foundation.text_grad_norm", run->before + t + 1,
                          norm);
    }
    return status;
}

/* ---- figures on texts kept out ---- */

struct counts {
    int64_t words, right;       /* supervised words, those guessed best */
    int64_t asked, answered;    /* yes/no answers, those right */
    int64_t yes;                /* of asked, those answered "yes" */
};

static void
count_sample(const float *logits, const struct sea_samples *samples, int64_t i, int64_t V,
             int32_t yes, int32_t no, struct counts *counts)
{
    int64_t from = samples->start[i], len = samples->start[i + 1] - from, t, v;

    for (t = 1; t < len; t++) {
        const float *row = logits + (t - 1) * V;
        int32_t id = samples->ids[from + t], best = 0;

        if (!samples->on[from + t])
            continue;
        for (v = 1; v < V; v++)
            if (row[v] > row[best])
                best = (int32_t)v;
        counts->words++;
        counts->right += best == id;
        if ((id == yes || id == no) && !samples->on[from + t - 1]) {
            bool says_yes = row[yes] > row[no];

            counts->asked++;
            counts->yes += says_yes;
            counts->answered += says_yes == (id == yes);
        }
    }
}

static int32_t
single_id(struct sea_tokenizer *tokenizer, const char *text)
{
    struct sea_ids ids = { 0 };
    struct sea_err ignored = { 0 };
    int32_t id = -1;

    if (sea_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &ignored) == SEA_OK &&
        ids.len == 1)
        id = ids.data[0];
    sea_ids_release(&ids);
    return id;
}

static enum sea_status
measure(struct text_run *run, struct sea_node *figures, struct sea_err *err)
{
    int64_t V = run->lm->desc.vocab, i, n = run->held.count, room;
    int32_t yes = single_id(run->tokenizer, " yes"), no = single_id(run->tokenizer, " no");
    struct counts counts = { 0 };
    struct sea_packed packed;
    float *logits;
    enum sea_status status = SEA_OK;

    if (n == 0)
        return SEA_OK;
    n = n > MEASURED_MAX ? MEASURED_MAX : n;
    room = sea_samples_most(&run->held, 1, 0);
    if (room > run->packed.rows_room)
        room = run->packed.rows_room;   /* what the work was made for */
    sea_packed_init(&packed, room);
    logits = sea_xcalloc((size_t)(room * V), sizeof(float));
    for (i = 0; i < n && !status; i++) {
        struct sea_lm_batch batch;

        if (sea_samples_rows(&run->held, i, 0) > room)
            continue;
        sea_packed_clear(&packed);
        sea_packed_add(&packed, &run->held, i, 0);
        batch = sea_packed_batch(&packed);
        status = sea_lm_logits(run->lm, run->work, &batch, NULL, logits, err);
        if (!status)
            count_sample(logits, &run->held, i, V, yes < 0 ? 0 : yes, no < 0 ? 0 : no, &counts);
    }
    if (!status && counts.words)
        sea_figure(run->stage, figures, "text_word_accuracy",
                   (double)counts.right / (double)counts.words);
    if (!status && counts.asked && yes >= 0 && no >= 0) {
        sea_figure(run->stage, figures, "text_yes_no_accuracy",
                   (double)counts.answered / (double)counts.asked);
        sea_figure(run->stage, figures, "text_yes_share",
                   (double)counts.yes / (double)counts.asked);
        sea_figure(run->stage, figures, "text_yes_no_asked", (double)counts.asked);
    }
    free(logits);
    sea_packed_release(&packed);
    return status;
}

static void
release(struct text_run *run)
{
    sea_adamw_destroy(run->adamw);
    sea_lm_work_destroy(run->work);
    sea_lm_destroy(run->lm);
    sea_tokenizer_destroy(run->tokenizer);
    sea_order_release(&run->order);
    sea_packed_release(&run->packed);
    sea_samples_release(&run->learned);
    sea_samples_release(&run->held);
}

enum sea_status
sea_foundation_text(struct sea_stage *stage, const struct sea_text_set *texts,
                    const struct sea_dataset *captions, struct sea_node *figures,
                    struct sea_err *err)
{
    struct text_run run = { .stage = stage, .texts = texts, .captions = captions,
                            .before = sea_stage_int(stage, "clip.steps") };
    struct sea_train train = { .every = sea_stage_int(stage, "checkpoint_every"), .step = step,
                               .before = run.before, .arg = &run,
                               .what = "the foundation's language model" };
    char dir[SEA_PATH_MAX];
    enum sea_status status = sea_stage_path(stage, "language", dir, err);

    if (!status)
        status = prepare(&run, dir, err);
    train.adamw = run.adamw;
    train.steps = run.steps;
    if (!status)
        status = sea_stage_train(stage, &train, err);
    if (!status)
        status = measure(&run, figures, err);
    if (!status)
        status = sea_lm_save(run.lm, dir, err);
    release(&run);
    return status;
}
