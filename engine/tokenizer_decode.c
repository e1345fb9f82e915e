/* SPDX-License-Identifier: Apache-2.0 */
/* Ids to text: the words of the ids go through the decoder's steps as a list, and are then
 * written one after another. */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

struct word {
    const char *text;
    size_t len;
};

struct words {
    struct word *list;
    size_t count;
    struct sea_arena *arena;    /* holds list and new texts */
};

static struct word
keep(struct sea_arena *arena, struct sea_buf *buf)
{
    struct word word = { sea_arena_strndup(arena, buf->data, buf->len), buf->len };

    sea_buf_clear(buf);
    return word;
}

/* Appends bytes as text: each byte that cannot belong to a character, or each maximal part
 * of one, becomes U+FFFD. */
static void
add_lossy(const char *bytes, size_t len, struct sea_buf *out)
{
    size_t good, at = 0, n;

    while (at < len) {
        good = sea_utf8_check(bytes + at, len - at);
        sea_buf_add(out, bytes + at, good);
        at += good;
        if (at == len)
            return;
        sea_buf_puts(out, "\xEF\xBF\xBD");
        /* The longest start of a character that is still possible goes as a whole. */
        for (n = 1; n < 4 && at + n < len; n++) {
            unsigned char first = (unsigned char)bytes[at], b = (unsigned char)bytes[at + n];
            unsigned char low = 0x80, high = 0xBF;
            size_t need = first >= 0xF0 && first <= 0xF4 ? 4 : first >= 0xE0 ? 3 : 2;

            if (first < 0xC2 || first > 0xF4 || n >= need)
                break;
            if (n == 1) {
                low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
                high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
            }
            if (b < low || b > high)
                break;
        }
        at += n;
    }
}

/* The bytes of a word in GPT-2's characters; one with other characters as it is. */
static void
add_bytes(struct word word, struct sea_buf *out)
{
    uint32_t code;
    char c;

    for (size_t at = 0; at < word.len;) {
        at += sea_utf8_next(word.text + at, word.len - at, &code);
        if (sea_byte_of_char(code) < 0) {
            sea_buf_add(out, word.text, word.len);
            return;
        }
    }
    for (size_t at = 0; at < word.len;) {
        at += sea_utf8_next(word.text + at, word.len - at, &code);
        c = (char)sea_byte_of_char(code);
        sea_buf_add(out, &c, 1);
    }
}

static void
byte_level(struct words *words, struct sea_buf *buf)
{
    struct sea_buf bytes;

    sea_buf_init(&bytes, SIZE_MAX / 2);
    for (size_t i = 0; i < words->count; i++)
        add_bytes(words->list[i], &bytes);
    add_lossy(bytes.data, bytes.len, buf);
    sea_buf_release(&bytes);
    words->list[0] = keep(words->arena, buf);
    words->count = words->count ? 1 : 0;
}

/* The byte of "<0xNN>", -1: another word. */
static int
fallback_byte(struct word word)
{
    if (word.len != 6 || memcmp(word.text, "<0x", 3) != 0 || word.text[5] != '>' ||
        sea_hex_digit(word.text[3]) < 0 || sea_hex_digit(word.text[4]) < 0)
        return -1;
    return sea_hex_digit(word.text[3]) * 16 + sea_hex_digit(word.text[4]);
}

/* Runs of byte words become one word: their characters, or as many U+FFFD as bytes. */
static void
byte_fallback(struct words *words, struct sea_buf *buf)
{
    size_t count = 0;

    for (size_t i = 0; i < words->count; i++) {
        int byte = fallback_byte(words->list[i]);
        char c = (char)byte;

        if (byte < 0) {
            words->list[count++] = words->list[i];
            continue;
        }
        sea_buf_add(buf, &c, 1);
        if (i + 1 < words->count && fallback_byte(words->list[i + 1]) >= 0)
            continue;
        if (sea_utf8_check(buf->data, buf->len) != buf->len) {
            size_t bytes = buf->len;

            sea_buf_clear(buf);
            while (bytes--)
                sea_buf_puts(buf, "\xEF\xBF\xBD");
        }
        words->list[count++] = keep(words->arena, buf);
    }
    words->count = count;
}

static enum sea_status
replace(const struct sea_dec *dec, struct words *words, struct sea_buf *buf,
        struct sea_err *err)
{
    struct sea_spans matches = { 0 };
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < words->count && !status; i++) {
        struct word word = words->list[i];
        size_t done = 0;

        matches.count = 0;
        status = sea_regex_find(dec->regex, word.text, word.len, &matches, err);
        if (status || !matches.count)
            continue;
        for (size_t m = 0; m < matches.count; m++) {
            sea_buf_add(buf, word.text + done, matches.list[m].at - done);
            sea_buf_add(buf, dec->text, dec->len);
            done = matches.list[m].end;
        }
        sea_buf_add(buf, word.text + done, word.len - done);
        words->list[i] = keep(words->arena, buf);
    }
    sea_spans_release(&matches);
    return status;
}

static void
strip(const struct sea_dec *dec, struct words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        struct word *word = &words->list[i];

        for (int64_t n = 0; n < dec->start && word->len >= dec->len &&
                            memcmp(word->text, dec->text, dec->len) == 0; n++) {
            word->text += dec->len;
            word->len -= dec->len;
        }
        for (int64_t n = 0; n < dec->stop && word->len >= dec->len &&
                            memcmp(word->text + word->len - dec->len, dec->text, dec->len) == 0;
             n++)
            word->len -= dec->len;
    }
}

static void
metaspace(const struct sea_dec *dec, struct words *words, struct sea_buf *buf)
{
    for (size_t i = 0; i < words->count; i++) {
        struct word word = words->list[i];

        for (size_t at = 0; at < word.len;) {
            bool is_mark = word.len - at >= dec->len &&
                           memcmp(word.text + at, dec->text, dec->len) == 0;

            if (!is_mark)
                sea_buf_add(buf, word.text + at, 1);
            else if (i || !dec->drops_first)
                sea_buf_puts(buf, " ");
            at += is_mark ? dec->len : 1;
        }
        words->list[i] = keep(words->arena, buf);
    }
}

/* BPEDecoder: the end-of-word mark becomes a blank, nothing in the last word. */
static void
suffix(const struct sea_dec *dec, struct words *words, struct sea_buf *buf)
{
    for (size_t i = 0; i < words->count; i++) {
        struct word word = words->list[i];

        for (size_t at = 0; at < word.len;) {
            bool is_mark = dec->len && word.len - at >= dec->len &&
                           memcmp(word.text + at, dec->text, dec->len) == 0;

            if (!is_mark)
                sea_buf_add(buf, word.text + at, 1);
            else if (i + 1 < words->count)
                sea_buf_puts(buf, " ");
            at += is_mark ? dec->len : 1;
        }
        words->list[i] = keep(words->arena, buf);
    }
}

static void
replace_all(struct sea_buf *text, const char *what, const char *by, struct sea_buf *buf)
{
    size_t n = strlen(what);
    struct sea_buf other;

    for (size_t at = 0; at < text->len;) {
        bool hit = text->len - at >= n && memcmp(text->data + at, what, n) == 0;

        if (hit)
            sea_buf_puts(buf, by);
        else
            sea_buf_add(buf, text->data + at, 1);
        at += hit ? n : 1;
    }
    other = *text;
    *text = *buf;
    *buf = other;
    sea_buf_clear(buf);
}

/* A prefix joins a word to the one before, a blank goes before others; then, when asked for,
 * there is none before marks and short forms. */
static void
wordpiece(const struct sea_dec *dec, struct words *words, struct sea_buf *buf)
{
    static const char *const pairs[][2] = {
        { " .", "." }, { " ?", "?" }, { " !", "!" }, { " ,", "," }, { " ' ", "'" },
        { " n't", "n't" }, { " 'm", "'m" }, { " do not", " don't" }, { " 's", "'s" },
        { " 've", "'ve" }, { " 're", "'re" },
    };
    struct sea_buf text;

    sea_buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i < words->count; i++) {
        struct word word = words->list[i];
        bool joins = word.len >= dec->len && memcmp(word.text, dec->text, dec->len) == 0;

        sea_buf_puts(&text, i && !joins ? " " : "");
        sea_buf_add(&text, word.text + (i && joins ? dec->len : 0),
                    word.len - (i && joins ? dec->len : 0));
        for (size_t p = 0; dec->cleans && p < sizeof(pairs) / sizeof(pairs[0]); p++)
            replace_all(&text, pairs[p][0], pairs[p][1], buf);
        words->list[i] = keep(words->arena, &text);
    }
    sea_buf_release(&text);
}

static void
fuse(struct words *words, struct sea_buf *buf)
{
    for (size_t i = 0; i < words->count; i++)
        sea_buf_add(buf, words->list[i].text, words->list[i].len);
    words->list[0] = keep(words->arena, buf);
    words->count = words->count ? 1 : 0;
}

static enum sea_status
apply(const struct sea_dec *dec, struct words *words, struct sea_buf *buf, struct sea_err *err)
{
    switch (dec->kind) {
    case SEA_DEC_BYTE_LEVEL:
        byte_level(words, buf);
        break;
    case SEA_DEC_REPLACE:
        return replace(dec, words, buf, err);
    case SEA_DEC_BYTE_FALLBACK:
        byte_fallback(words, buf);
        break;
    case SEA_DEC_FUSE:
        fuse(words, buf);
        break;
    case SEA_DEC_STRIP:
        strip(dec, words);
        break;
    case SEA_DEC_METASPACE:
        metaspace(dec, words, buf);
        break;
    case SEA_DEC_SUFFIX:
        suffix(dec, words, buf);
        break;
    case SEA_DEC_WORDPIECE:
        wordpiece(dec, words, buf);
        break;
    }
    return SEA_OK;
}

static bool
is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
}

/* CLIP's words carry an end mark that its decoder leaves in: transformers puts a blank for
 * it and strips the result. */
static struct word
without_marks(const char *mark, struct word word, struct sea_arena *arena, struct sea_buf *buf)
{
    size_t n = strlen(mark);

    for (size_t at = 0; at < word.len;) {
        bool is_mark = word.len - at >= n && memcmp(word.text + at, mark, n) == 0;

        sea_buf_add(buf, is_mark ? " " : word.text + at, 1);
        at += is_mark ? n : 1;
    }
    word = keep(arena, buf);
    while (word.len && is_blank(word.text[0])) {
        word.text++;
        word.len--;
    }
    while (word.len && is_blank(word.text[word.len - 1]))
        word.len--;
    return word;
}

/* Special is what is shown as a special word is spelled, whatever its id: so `tokenizers`. */
static bool
is_shown(const struct sea_tokenizer *tokenizer, int32_t id, bool skip_special)
{
    const struct sea_text *text;

    if (id < 0 || id >= tokenizer->vocab.count || !tokenizer->vocab.words[id])
        return false;
    text = &tokenizer->shown[id];
    if (skip_special && text->text != tokenizer->vocab.words[id])
        id = sea_vocab_find(&tokenizer->vocab, text->text, text->len);
    return !(skip_special && id >= 0 && tokenizer->special[id]);
}

enum sea_status
sea_tokenizer_decode(const struct sea_tokenizer *tokenizer, const int32_t *ids, size_t count,
                     bool skip_special, struct sea_buf *out, struct sea_err *err)
{
    struct words words = { 0 };
    enum sea_status status = SEA_OK;
    bool has_marks = tokenizer->bpe.suffix[0] && tokenizer->dec_count &&
                     tokenizer->decs[0].kind == SEA_DEC_BYTE_LEVEL;
    struct sea_buf buf;

    if (tokenizer->is_spm)
        return sea_spm_decode(tokenizer, ids, count, skip_special, out, err);
    words.arena = sea_arena_create(NULL, "decoding");
    sea_buf_init(&buf, SIZE_MAX / 2);
    words.list = sea_arena_alloc(words.arena, count + 1, sizeof(*words.list));
    for (size_t i = 0; i < count; i++)
        if (is_shown(tokenizer, ids[i], skip_special))
            words.list[words.count++] = (struct word){ tokenizer->shown[ids[i]].text,
                                                       tokenizer->shown[ids[i]].len };
    for (size_t i = 0; i < tokenizer->dec_count && !status; i++)
        status = apply(&tokenizer->decs[i], &words, &buf, err);
    for (size_t i = 0; i < words.count && !status; i++) {
        if (i && !tokenizer->dec_count)
            status = sea_buf_append(out, " ", 1, err);
        if (status)
            break;
        if (has_marks)
            words.list[i] = without_marks(tokenizer->bpe.suffix, words.list[i], words.arena, &buf);
        status = sea_buf_append(out, words.list[i].text, words.list[i].len, err);
    }
    sea_buf_release(&buf);
    sea_arena_destroy(words.arena);
    return status;
}
