/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys, and the reference page that is made from it. */
#include "pipeline/sea_experiment.h"

#include <string.h>

#define F SEA_BIT_FOUNDATION
#define L SEA_BIT_LABEL
#define A SEA_BIT_ALIGN
#define T SEA_BIT_TUNE
#define E SEA_BIT_EVAL
#define BIG 1e9
#define TINY 1e-12              /* for numbers that must be above 0 */

/* clang-format off */
static const struct sea_config_key keys[] = {
    { "name", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, F|L|A|T|E, "name of the experiment: letters, digits and . _ - + = , / @" },
    { "seed", SEA_KEY_INT, "1", 0, 2147483647, NULL, A|T, 0, "random numbers of align and tune: weights, order of data, label draws" },

    { "model.path", SEA_KEY_MODEL, NULL, 0, 0, NULL, T|E, 0, "a finished LlavaForConditionalGeneration folder: only eval runs, or tune, when there is a section for it, goes on from there" },
    { "model.vision.path", SEA_KEY_MODEL, NULL, 0, 0, NULL, L|A|T, L|A|T, "vision model: a CLIPModel or SiglipModel folder (both towers), a Dinov2Model folder (with stages.label.transfer_tower), or \"@foundation/vision\"" },
    { "model.vision.layer", SEA_KEY_INT, "-2", -1000, 1000, NULL, A|T, 0, "hidden state that the adapter reads; negative counts from the end" },
    { "model.language.path", SEA_KEY_MODEL, NULL, 0, 0, NULL, A|T, A|T, "LlamaForCausalLM-class folder, or \"@foundation/language\"" },
    { "model.precision", SEA_KEY_TEXT, "f32", 0, 0, "f32|bf16", A|T|E, 0, "storage of matrices in align, tune and eval; what is trained keeps float32 masters, training may round what it multiplies to bfloat16, sums are float32 always" },
    { "model.adapter", SEA_KEY_TEXT, "mlp2x_gelu", 0, 0, "linear|mlp1x_gelu|mlp2x_gelu|mlp3x_gelu|mlp4x_gelu|mlp5x_gelu|mlp6x_gelu|mlp7x_gelu|mlp8x_gelu", A, 0, "kind of adapter: linear layers with GELU between them" },

    { "data.pretrain.json", SEA_KEY_FILE, NULL, 0, 0, NULL, F|L|A, F|L|A, "captions, LLaVA JSON (as LLaVA-Pretrain 558k)" },
    { "data.pretrain.images", SEA_KEY_FOLDER, NULL, 0, 0, NULL, F|L|A, F|L|A, "folder that its image names start from" },
    { "data.pretrain.objects", SEA_KEY_FILE, NULL, 0, 0, NULL, L, 0, "COCO instances of these pictures; for figures and for label.variant auto" },
    { "data.heldout.json", SEA_KEY_FILE, NULL, 0, 0, NULL, F|L|A, 0, "captions of pictures kept out of training; for figures only" },
    { "data.heldout.images", SEA_KEY_FOLDER, NULL, 0, 0, NULL, F|L|A, 0, "folder that its image names start from" },
    { "data.heldout.objects", SEA_KEY_FILE, NULL, 0, 0, NULL, L|A, 0, "COCO instances of these pictures; for figures and for label.variant auto" },
    { "data.instruct.json", SEA_KEY_FILE, NULL, 0, 0, NULL, T, T, "conversations, LLaVA JSON (as llava_v1_5_mix665k)" },
    { "data.instruct.images", SEA_KEY_FOLDER, NULL, 0, 0, NULL, T, T, "folder that its image names start from" },
    { "data.text.file", SEA_KEY_FILE, NULL, 0, 0, NULL, F, F, "JSON Lines {\"text\": ...} for the foundation's language model" },

    { "stages.foundation.seed", SEA_KEY_INT, "1", 0, 2147483647, NULL, F, 0, "random numbers of the foundation; a sweep over seed leaves it alone" },
    { "stages.foundation.clip.image", SEA_KEY_INT, "72", 8, 1024, NULL, F, 0, "pixels per side" },
    { "stages.foundation.clip.patch", SEA_KEY_INT, "12", 2, 64, NULL, F, 0, "pixels per side of a patch" },
    { "stages.foundation.clip.width", SEA_KEY_INT, "128", 16, 4096, NULL, F, 0, "width of the vision tower" },
    { "stages.foundation.clip.layers", SEA_KEY_INT, "4", 2, 64, NULL, F, 0, "blocks of the vision tower" },
    { "stages.foundation.clip.heads", SEA_KEY_INT, "4", 1, 64, NULL, F, 0, "attention heads of the vision tower" },
    { "stages.foundation.clip.text_width", SEA_KEY_INT, "128", 16, 4096, NULL, F, 0, "width of the text tower" },
    { "stages.foundation.clip.text_layers", SEA_KEY_INT, "2", 1, 64, NULL, F, 0, "blocks of the text tower" },
    { "stages.foundation.clip.text_heads", SEA_KEY_INT, "4", 1, 64, NULL, F, 0, "attention heads of the text tower" },
    { "stages.foundation.clip.positions", SEA_KEY_INT, "77", 8, 4096, NULL, F, 0, "tokens of a caption at most" },
    { "stages.foundation.clip.vocab", SEA_KEY_INT, "1024", 300, 100000, NULL, F, 0, "words of its tokenizer at most" },
    { "stages.foundation.clip.joint", SEA_KEY_INT, "128", 8, 4096, NULL, F, 0, "width of the joint space" },
    { "stages.foundation.clip.steps", SEA_KEY_INT, "750", 1, BIG, NULL, F, 0, "training steps" },
    { "stages.foundation.clip.batch", SEA_KEY_INT, "32", 2, 65536, NULL, F, 0, "pictures per step" },
    { "stages.foundation.clip.lr", SEA_KEY_REAL, "1.0e-3", TINY, 1, NULL, F, 0, "peak learning rate" },
    { "stages.foundation.clip.weight_decay", SEA_KEY_REAL, "0.05", 0, 1, NULL, F, 0, "AdamW's decay of matrices" },
    { "stages.foundation.clip.beta2", SEA_KEY_REAL, "0.98", 0, 0.999999, NULL, F, 0, "AdamW's second moment" },
    { "stages.foundation.clip.warmup", SEA_KEY_REAL, "0.1", 0, 1, NULL, F, 0, "share of steps with rising learning rate" },
    { "stages.foundation.language.vocab", SEA_KEY_INT, "1024", 300, 100000, NULL, F, 0, "words of its tokenizer at most" },
    { "stages.foundation.language.width", SEA_KEY_INT, "128", 16, 8192, NULL, F, 0, "width" },
    { "stages.foundation.language.layers", SEA_KEY_INT, "3", 1, 128, NULL, F, 0, "blocks" },
    { "stages.foundation.language.heads", SEA_KEY_INT, "4", 1, 128, NULL, F, 0, "attention heads" },
    { "stages.foundation.language.ffn", SEA_KEY_INT, "352", 16, 65536, NULL, F, 0, "width of the feed-forward part" },
    { "stages.foundation.language.positions", SEA_KEY_INT, "512", 32, 131072, NULL, F, 0, "tokens of a sequence at most, pictures included" },
    { "stages.foundation.language.steps", SEA_KEY_INT, "800", 1, BIG, NULL, F, 0, "training steps" },
    { "stages.foundation.language.batch", SEA_KEY_INT, "32", 1, 65536, NULL, F, 0, "texts per step" },
    { "stages.foundation.language.order", SEA_KEY_TEXT, "shuffle", 0, 0, "shuffle|file", F, 0, "texts at random, or as they stand in the file (easy ones first)" },
    { "stages.foundation.language.lr", SEA_KEY_REAL, "2.0e-3", TINY, 1, NULL, F, 0, "peak learning rate" },
    { "stages.foundation.language.weight_decay", SEA_KEY_REAL, "0.05", 0, 1, NULL, F, 0, "AdamW's decay of matrices" },
    { "stages.foundation.language.beta2", SEA_KEY_REAL, "0.98", 0, 0.999999, NULL, F, 0, "AdamW's second moment" },
    { "stages.foundation.language.warmup", SEA_KEY_REAL, "0.05", 0, 1, NULL, F, 0, "share of steps with rising learning rate" },
    { "stages.foundation.checkpoint_every", SEA_KEY_INT, "200", 1, BIG, NULL, 0, 0, "steps between two checkpoints" },

    { "stages.label.words", SEA_KEY_TEXT, "auto", 0, 0, NULL, L, 0, "\"auto\" builds the word list from the captions; else a file, one word per line" },
    { "stages.label.min_count", SEA_KEY_INT, "3", 1, BIG, NULL, L, 0, "captions that an automatic word occurs in at least" },
    { "stages.label.top", SEA_KEY_INT, "10", 1, 64, NULL, L, 0, "words per patch at most" },
    { "stages.label.variant", SEA_KEY_TEXT, "auto", 0, 0, "auto|raw_pos|raw_neg|maskclip|surgery", L, 0, "how patches are read from the tower; \"auto\" tries all four and takes the best" },
    { "stages.label.transfer_tower", SEA_KEY_MODEL, NULL, 0, 0, NULL, L, 0, "CLIPModel or SiglipModel folder that labels instead of model.vision.path, for a tower without texts; it reads that tower's view, and cells are matched by the patches' centres" },
    { "stages.label.prompt", SEA_KEY_TEXT, "\"{}\"", 0, 0, NULL, L, 0, "text around a word, {} is the word" },
    { "stages.label.precision", SEA_KEY_TEXT, "f32", 0, 0, "f32|bf16", L, 0, "storage of the towers' matrices; a card multiplies bfloat16 some ten times faster, words of near cosines may change places" },
    { "stages.label.min_score", SEA_KEY_REAL, "0", 0, 1, NULL, L, 0, "labels below this cosine are dropped" },
    { "stages.label.sample", SEA_KEY_INT, "2000", 1, BIG, NULL, L, 0, "pictures on which variants are compared and figures are taken" },
    { "stages.label.overlays", SEA_KEY_INT, "4", 0, 1000, NULL, L, 0, "pictures drawn with the words of their patches" },
    { "stages.label.batch", SEA_KEY_INT, "32", 1, 65536, NULL, 0, 0, "pictures at once; changes speed, not results" },

    { "stages.align.lambda", SEA_KEY_REAL, "1.0", 0, 1000, NULL, A, 0, "weight of SEA's loss; 0 is the LLaVA baseline" },
    { "stages.align.tau.init", SEA_KEY_REAL, "0.0", -20, 20, NULL, A, 0, "log of the scale (1/tau) of cosines at first" },
    { "stages.align.tau.learn", SEA_KEY_BOOL, "true", 0, 0, NULL, A, 0, "whether the scale is trained" },
    { "stages.align.tau.max_scale", SEA_KEY_REAL, "100", 0, 1e6, NULL, A, 0, "limit of the scale; 0: none" },
    { "stages.align.window", SEA_KEY_INT, "2", 1, 64, NULL, A, 0, "side of the windows of which one patch takes part" },
    { "stages.align.window_edge", SEA_KEY_TEXT, "ceil", 0, 0, "ceil|floor", A, 0, "odd grids: clipped windows at the edge, or none" },
    { "stages.align.window_pick", SEA_KEY_TEXT, "uniform", 0, 0, "uniform|score", A, 0, "which patch of a window: at random, or the best label" },
    { "stages.align.draw", SEA_KEY_TEXT, "proportional", 0, 0, "proportional|best|uniform", A, 0, "which label of a patch" },
    { "stages.align.dedup", SEA_KEY_TEXT, "random", 0, 0, "random|none", A, 0, "patches that share a word: keep one at random, or all" },
    { "stages.align.group_images", SEA_KEY_INT, "32", 1, 4096, NULL, A, 0, "pictures of one contrastive group; splits a batch" },
    { "stages.align.negatives", SEA_KEY_TEXT, "local", 0, 0, "local|global", A, 0, "what a pair is compared with: the pairs of its group, or of the whole batch" },
    { "stages.align.subtoken_space", SEA_KEY_BOOL, "true", 0, 0, NULL, A, 0, "words are tokenized as inside a sentence, after a space" },
    { "stages.align.batch", SEA_KEY_INT, "256", 1, 65536, NULL, A, 0, "pictures per step" },
    { "stages.align.lr", SEA_KEY_REAL, "1.0e-3", TINY, 1, NULL, A, 0, "peak learning rate" },
    { "stages.align.schedule", SEA_KEY_TEXT, "cosine", 0, 0, "cosine|linear|constant", A, 0, "learning rate after the warm-up: to 0 along a cosine or a line, or constant" },
    { "stages.align.epochs", SEA_KEY_REAL, "1", 0, 10000, NULL, A, 0, "passes over the data when steps is 0" },
    { "stages.align.steps", SEA_KEY_INT, "0", 0, BIG, NULL, A, 0, "training steps; 0: from epochs" },
    { "stages.align.warmup", SEA_KEY_REAL, "0.03", 0, 1, NULL, A, 0, "share of steps with rising learning rate" },
    { "stages.align.weight_decay", SEA_KEY_REAL, "0", 0, 1, NULL, A, 0, "AdamW's decay of matrices" },
    { "stages.align.clip", SEA_KEY_REAL, "1.0", 0, 1e6, NULL, A, 0, "limit of the gradient's norm; 0: none" },
    { "stages.align.max_length", SEA_KEY_INT, "2048", 8, 131072, NULL, A, 0, "tokens of a sample at most, picture included" },
    { "stages.align.checkpoint_every", SEA_KEY_INT, "200", 1, BIG, NULL, 0, 0, "steps between two checkpoints" },

    { "stages.tune.mode", SEA_KEY_TEXT, "full", 0, 0, "full|lora|adapter", T, 0, "what is trained with the adapter: the whole language model, low-rank adapters of its layers, or nothing" },
    { "stages.tune.lora.rank", SEA_KEY_INT, "128", 1, 65536, NULL, T, 0, "mode lora: rank of the adapters" },
    { "stages.tune.lora.alpha", SEA_KEY_REAL, "256", TINY, 1e6, NULL, T, 0, "mode lora: their part counts alpha / rank" },
    { "stages.tune.lora.dropout", SEA_KEY_REAL, "0", 0, 0.99, NULL, T, 0, "mode lora: share of their inputs that is dropped (LLaVA: 0.05)" },
    { "stages.tune.lora.targets", SEA_KEY_LIST, "[]", 0, 0, NULL, T, 0, "mode lora: layers by the last word of their names, as q_proj; empty: all linear layers of the blocks" },
    { "stages.tune.lora.merge", SEA_KEY_BOOL, "true", 0, 0, NULL, T, 0, "mode lora: write one merged model; false: the base model and a PEFT folder" },
    { "stages.tune.template", SEA_KEY_TEXT, "v1", 0, 0, "v1|tiny-llama|tiny-gemma|tiny-phi|tiny-qwen2|"
      "tiny-qwen2-instruct|llama-3|phi-3|gemma|qwen2", T, 0, "conversation template: LLaVA's, TinyLLaVA's with another end word, or a family's own" },
    { "stages.tune.aspect", SEA_KEY_TEXT, "pad", 0, 0, "pad|square", T, 0, "pictures that are not square: padded, or cropped by the tower's processor" },
    { "stages.tune.batch", SEA_KEY_INT, "128", 1, 65536, NULL, T, 0, "conversations per step" },
    { "stages.tune.micro_rows", SEA_KEY_INT, "4096", 64, 1048576, NULL, T, 0, "tokens that run at once at most; a step is packed into parts of so many" },
    { "stages.tune.recompute", SEA_KEY_BOOL, "false", 0, 0, NULL, 0, 0, "keep only the inputs of blocks for the backward pass: less memory, a third more work, the same bits" },
    { "stages.tune.order", SEA_KEY_TEXT, "shuffle", 0, 0, "shuffle|length|modality_length", T, 0, "how a pass is dealt to steps: at random, conversations of like length together, or of like length and all with or all without a picture (LLaVA)" },
    { "stages.tune.chunk", SEA_KEY_INT, "16", 1, 65536, NULL, T, 0, "orders by length: conversations of one chunk of a step (LLaVA: batch per device); divides batch" },
    { "stages.tune.lr", SEA_KEY_REAL, "2.0e-5", TINY, 1, NULL, T, 0, "peak learning rate of the language model, or of its low-rank adapters (LLaVA: 2.0e-4 for these)" },
    { "stages.tune.adapter_lr", SEA_KEY_REAL, "0", 0, 1, NULL, T, 0, "peak learning rate of the adapter; 0: lr" },
    { "stages.tune.tower_lr", SEA_KEY_REAL, "0", 0, 1, NULL, T, 0, "peak learning rate of the vision tower; 0: it is frozen" },
    { "stages.tune.schedule", SEA_KEY_TEXT, "cosine", 0, 0, "cosine|linear|constant", T, 0, "learning rate after the warm-up: to 0 along a cosine or a line, or constant" },
    { "stages.tune.epochs", SEA_KEY_REAL, "1", 0, 10000, NULL, T, 0, "passes over the data when steps is 0" },
    { "stages.tune.steps", SEA_KEY_INT, "0", 0, BIG, NULL, T, 0, "training steps; 0: from epochs" },
    { "stages.tune.warmup", SEA_KEY_REAL, "0.03", 0, 1, NULL, T, 0, "share of steps with rising learning rate" },
    { "stages.tune.weight_decay", SEA_KEY_REAL, "0", 0, 1, NULL, T, 0, "AdamW's decay of matrices" },
    { "stages.tune.clip", SEA_KEY_REAL, "1.0", 0, 1e6, NULL, T, 0, "limit of the gradient's norm; 0: none" },
    { "stages.tune.max_length", SEA_KEY_INT, "2048", 8, 131072, NULL, T, 0, "tokens of a conversation at most, picture included; the rest is cut off" },
    { "stages.tune.checkpoint_every", SEA_KEY_INT, "200", 1, BIG, NULL, 0, 0, "steps between two checkpoints" },

    { "stages.eval.suite", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, E, "name of a file in configs/suites, or a path with a /" },
    { "stages.eval.root", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "folder that takes the place of the suite's root" },
    { "stages.eval.controls", SEA_KEY_LIST, "[]", 0, 0, "shuffle|no-image", E, 0, "the same questions again with pictures permuted, or without" },
    { "stages.eval.limit", SEA_KEY_INT, "0", 0, BIG, NULL, E, 0, "questions per benchmark at most, the first ones; 0: all" },
    { "stages.eval.max_new", SEA_KEY_INT, "0", 0, 65536, NULL, E, 0, "words of an answer at most; 0: what the benchmark says" },
    { "stages.eval.template", SEA_KEY_TEXT, "auto", 0, 0, "auto|v1|tiny-llama|tiny-gemma|tiny-phi|tiny-qwen2|"
      "tiny-qwen2-instruct|llama-3|phi-3|gemma|qwen2", E, 0, "conversation template; \"auto\" is the one that the model was tuned with" },
    { "stages.eval.batch", SEA_KEY_INT, "16", 1, 4096, NULL, 0, 0, "answers decoded together; changes speed, not results" },
    { "stages.eval.repeat", SEA_KEY_INT, NULL, 1, BIG, NULL, E, 0, "which repetition of an evaluation this is: one with another number is computed anew, not found in the cache" },

    { "resources.device", SEA_KEY_TEXT, "auto", 0, 0, NULL, 0, 0, "auto, cpu, cpu:THREADS or cuda:NUMBER; a worker with GPUs chooses the number" },
    { "resources.gpus", SEA_KEY_INT, "1", 0, 1024, NULL, 0, 0, "GPUs of one machine for align and tune, a process on each (other stages take one); workers reserve them (docs/service.md). 0: none. With device cpu, processes on it" },
    { "resources.backend", SEA_KEY_TEXT, "local", 0, 0, "local|slurm", 0, 0, "who runs the stages: workers, or jobs of the cluster that a scheduler submits (docs/slurm.md)" },
    { "resources.partition", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "backend slurm: partition of the jobs; without it what sea.yaml says, or the cluster's default" },
    { "resources.account", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "backend slurm: account that is charged" },
    { "resources.qos", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "backend slurm: quality of service" },
    { "resources.constraint", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "backend slurm: features that the node must have" },
    { "resources.memory", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "backend slurm: memory of a job, as 64G" },
    { "resources.cpus", SEA_KEY_INT, "0", 0, 4096, NULL, 0, 0, "backend slurm: cores of a job; 0: the cluster's default" },
    { "resources.time", SEA_KEY_INT, "0", 0, 5256000, NULL, 0, 0, "backend slurm: minutes that a job may take; then the stage writes a checkpoint and goes on in another job; 0: by hours, by sea.yaml, or the partition's limit" },
    { "resources.queue", SEA_KEY_TEXT, "default", 0, 0, NULL, 0, 0, "which workers may run it: those of `sea worker --queue NAME`" },
    { "resources.priority", SEA_KEY_INT, "0", -1000, 1000, NULL, 0, 0, "higher ones start first; waiting adds one per ten minutes" },
    { "resources.hours", SEA_KEY_REAL, "0", 0, 100000, NULL, 0, 0, "longest life of one attempt of a stage; then it writes a checkpoint, ends, and is tried again; 0: no limit" },
    { "resources.wait_hours", SEA_KEY_REAL, "0", 0, 100000, NULL, 0, 0, "longest wait of a stage for its start once its inputs are there; then it fails as timed out; 0: for ever" },
    { "resources.total_hours", SEA_KEY_REAL, "0", 0, 100000, NULL, 0, 0, "all stages have to end so long after the submission; then those that wait fail as timed out, and what runs is asked to end; 0: no limit" },

    { "halving.metric", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "early stopping: what the experiments of a sweep are compared by while they run, as tune.loss; the word before the dot is the stage (docs/service.md)" },
    { "halving.mode", SEA_KEY_TEXT, NULL, 0, 0, "min|max", 0, 0, "which is better; without it min" },
    { "halving.first", SEA_KEY_INT, NULL, 1, BIG, NULL, 0, 0, "step of the first comparison; later ones at this times eta, eta squared, ..." },
    { "halving.eta", SEA_KEY_INT, NULL, 2, 100, NULL, 0, 0, "one of so many goes on behind each comparison; without it 3" },
    { "halving.study", SEA_KEY_TEXT, NULL, 0, 0, NULL, 0, 0, "experiments of one study are compared, whenever they were submitted; without it the name of the file's experiment" },
};
/* clang-format on */
#undef F
#undef L
#undef A
#undef T
#undef E

const struct sea_config_key *
sea_experiment_keys(size_t *count)
{
    *count = sizeof(keys) / sizeof(keys[0]);
    return keys;
}

static void
doc_type(struct sea_buf *buf, const struct sea_config_key *key)
{
    static const char *const names[] = { "text", "whole number", "number", "true or false",
                                         "list",  "file",         "folder", "model folder" };
    const char *at;

    if (!key->choices) {
        sea_buf_puts(buf, names[key->kind]);
        if ((key->kind == SEA_KEY_INT || key->kind == SEA_KEY_REAL) &&
            (key->min != 0 || key->max != 0)) {
            if (key->min == TINY)
                sea_buf_addf(buf, ", > 0, <= %g", key->max);
            else
                sea_buf_addf(buf, ", %.10g to %.10g", key->min, key->max);
        }
        return;
    }
    if (key->kind == SEA_KEY_LIST)
        sea_buf_puts(buf, "list of ");
    for (at = key->choices; *at; at++) {
        if (at == key->choices)
            sea_buf_puts(buf, "`");
        if (*at == '|')
            sea_buf_puts(buf, "`, `");
        else
            sea_buf_add(buf, at, 1);
    }
    sea_buf_puts(buf, "`");
}

static void
doc_stages(struct sea_buf *buf, unsigned bits)
{
    static const char *const names[] = { "foundation", "label", "align", "tune", "eval" };
    bool first = true;
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!(bits & 1u << i))
            continue;
        sea_buf_addf(buf, "%s%s", first ? "" : ", ", names[i]);
        first = false;
    }
    if (first)
        sea_buf_puts(buf, "-");
}

void
sea_experiment_doc(struct sea_buf *buf)
{
    size_t i;

    sea_buf_puts(buf, "| key | value | default | needed by | changes | meaning |\n"
                      "|---|---|---|---|---|---|\n");
    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct sea_config_key *key = &keys[i];

        sea_buf_addf(buf, "| `%s` | ", key->path);
        doc_type(buf, key);
        if (key->fallback)
            sea_buf_addf(buf, " | `%s` | ", key->fallback);
        else
            sea_buf_puts(buf, " | none | ");
        doc_stages(buf, key->needed);
        sea_buf_puts(buf, " | ");
        doc_stages(buf, key->stages);
        sea_buf_addf(buf, " | %s |\n", key->about);
    }
    sea_buf_puts(buf, "| `sweep` | map from keys to lists | none | - | - | one experiment per "
                      "combination of values; \"stages.\" may be left out of keys |\n");
}
