/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

void
sea_spans_add(struct sea_spans *spans, size_t at, size_t end)
{
    if (spans->count == spans->room) {
        spans->room = spans->room ? 2 * spans->room : 64;
        spans->list = sea_xrealloc(spans->list, spans->room, sizeof(*spans->list));
    }
    spans->list[spans->count++] = (struct sea_span){ at, end };
}

void
sea_spans_release(struct sea_spans *spans)
{
    free(spans->list);
    *spans = (struct sea_spans){ 0 };
}

void
sea_work_init(struct sea_work *work)
{
    *work = (struct sea_work){ 0 };
    /* Marks and normal forms make a text longer, but not without end. */
    sea_buf_init(&work->text, 32 * SEA_TOKENIZER_TEXT_MAX);
    sea_buf_init(&work->other, 32 * SEA_TOKENIZER_TEXT_MAX);
    sea_buf_init(&work->part, SEA_TOKENIZER_TEXT_MAX);
}

void
sea_work_release(struct sea_work *work)
{
    sea_buf_release(&work->text);
    sea_buf_release(&work->other);
    sea_buf_release(&work->part);
    sea_spans_release(&work->words);
    sea_spans_release(&work->next);
    sea_spans_release(&work->matches);
}

static void
swap_text(struct sea_work *work)
{
    struct sea_buf text = work->text;

    work->text = work->other;
    work->other = text;
}

static void
swap_words(struct sea_work *work)
{
    struct sea_spans words = work->words;

    work->words = work->next;
    work->next = words;
}

/* ---- normalizers: work->text to work->other ---- */

static size_t
first_len(const struct sea_buf *text)
{
    uint32_t code;

    return text->len ? sea_utf8_next(text->data, text->len, &code) : 0;
}

static enum sea_status
replace(const struct sea_norm *norm, struct sea_work *work, struct sea_err *err)
{
    const struct sea_buf *text = &work->text;
    enum sea_status status;
    size_t done = 0, front = work->front;

    work->matches.count = 0;
    status = sea_regex_find(norm->regex, text->data, text->len, &work->matches, err);
    for (size_t i = 0; i < work->matches.count && work->matches.list[i].at < work->front; i++) {
        struct sea_span span = work->matches.list[i];

        /* What is put for more than the front's bytes belongs to what follows. */
        if (span.end > work->front)
            front -= work->front - span.at;
        else
            front += norm->len - (span.end - span.at);
    }
    work->front = front;
    for (size_t i = 0; i < work->matches.count && !status; i++) {
        struct sea_span span = work->matches.list[i];

        status = sea_buf_append(&work->other, text->data + done, span.at - done, err);
        if (!status)
            status = sea_buf_append(&work->other, norm->text, norm->len, err);
        done = span.end;
    }
    if (!status)
        status = sea_buf_append(&work->other, text->data + done, text->len - done, err);
    return status;
}

static enum sea_status
strip(const struct sea_norm *norm, struct sea_work *work, struct sea_err *err)
{
    const struct sea_buf *text = &work->text;
    size_t from = 0, end = 0, at = 0;
    bool begun = false;
    uint32_t code;

    while (at < text->len) {
        size_t n = sea_utf8_next(text->data + at, text->len - at, &code);

        if (!sea_unicode_is_space(code)) {
            from = begun ? from : at;
            begun = true;
            end = at + n;
        }
        at += n;
    }
    if (!begun && (norm->left || norm->right))
        return SEA_OK;
    from = norm->left ? from : 0;
    work->front -= from < work->front ? from : work->front;
    end = norm->right ? end : text->len;
    return sea_buf_append(&work->other, text->data + from, end - from, err);
}

/* Characters that are left out (StripAccents, Nmt) or become a blank (Nmt). */
static enum sea_status
filter(const struct sea_norm *norm, struct sea_work *work, struct sea_err *err)
{
    const struct sea_buf *text = &work->text;
    const size_t front = work->front;
    enum sea_status status = SEA_OK;
    uint32_t code;

    for (size_t at = 0, n; at < text->len && !status; at += n) {
        bool blank = false, drop;

        n = sea_utf8_next(text->data + at, text->len - at, &code);
        if (norm->kind == SEA_NORM_ACCENTS) {
            drop = sea_unicode_is_accent(code);
        } else {
            drop = (code >= 1 && code <= 8) || code == 0xB || (code >= 0xE && code <= 0x1F) ||
                   code == 0x7F || code == 0x8F || code == 0x9F;
            blank = (code >= 9 && code <= 0xD) || code == 0x1680 ||
                    (code >= 0x200B && code <= 0x200F) || code == 0x2028 || code == 0x2029 ||
                    code == 0x2581 || code == 0xFEFF || code == 0xFFFD;
        }
        if (at < front)
            work->front -= drop ? n : blank ? n - 1 : 0;
        if (!drop)
            status = blank ? sea_buf_append(&work->other, " ", 1, err)
                           : sea_buf_append(&work->other, text->data + at, n, err);
    }
    return status;
}

/* Normalizers that go from left to right, without an eye for the start of the text. */
static enum sea_status
map_text(const struct sea_norm *norm, const char *text, size_t len, struct sea_buf *out,
         struct sea_err *err)
{
    switch (norm->kind) {
    case SEA_NORM_CHARSMAP:
        return sea_charsmap_apply(norm->map, text, len, out, err);
    case SEA_NORM_FORM:
        return sea_unicode_normalize(norm->form, text, len, out, err);
    default:
        return sea_unicode_lower(text, len, out, err);
    }
}

/* The front becomes what it becomes alone. */
static enum sea_status
map_front(const struct sea_norm *norm, struct sea_work *work, struct sea_err *err)
{
    enum sea_status status;

    if (work->front == 1 && work->text.data[0] > ' ' && norm->kind != SEA_NORM_CHARSMAP)
        return SEA_OK;          /* ASCII */
    sea_buf_clear(&work->part);
    status = map_text(norm, work->text.data, work->front, &work->part, err);
    work->front = work->part.len;
    return status;
}

/* Bytes of the first n characters. */
static size_t
chars_len(const struct sea_buf *text, size_t n)
{
    size_t at = 0;
    uint32_t code;

    for (; n && at < text->len; n--)
        at += sea_utf8_next(text->data + at, text->len - at, &code);
    return at;
}

static enum sea_status
map_whole(const struct sea_norm *norm, struct sea_work *work, struct sea_err *err)
{
    size_t chars = 0;
    enum sea_status status;

    while (chars_len(&work->text, chars) < work->front)
        chars++;
    status = map_front(norm, work, err);
    if (!status)
        status = map_text(norm, work->text.data, work->text.len, &work->other, err);
    /* `tokenizers` forgets characters that a table drops at the very start: those that follow
     * stand for them. */
    if (!status && chars && !work->front && norm->kind == SEA_NORM_CHARSMAP)
        work->front = chars_len(&work->other, chars);
    return status;
}

static enum sea_status
apply(const struct sea_tokenizer *tokenizer, const struct sea_norm *norm, enum sea_piece piece,
      struct sea_work *work, struct sea_err *err)
{
    const struct sea_buf *text = &work->text;
    enum sea_status status = SEA_OK;

    switch (norm->kind) {
    case SEA_NORM_SPM:
        return sea_spm_normalize(&tokenizer->spm, text->data, text->len, piece, &work->other, err);
    case SEA_NORM_ACCENTS:
    case SEA_NORM_NMT:
        return filter(norm, work, err);
    case SEA_NORM_CHARSMAP:
    case SEA_NORM_FORM:
    case SEA_NORM_LOWER:
        return map_whole(norm, work, err);
    case SEA_NORM_REPLACE:
        return replace(norm, work, err);
    case SEA_NORM_STRIP:
        return strip(norm, work, err);
    case SEA_NORM_PREPEND:
        if (text->len && piece != SEA_PIECE_CONTINUES) {
            status = sea_buf_append(&work->other, norm->text, norm->len, err);
            work->front += work->front ? norm->len : 0;
        }
        return status ? status : sea_buf_append(&work->other, text->data, text->len, err);
    }
    return SEA_OK;
}

/* A character that was composed with the next one became longer. */
static void
end_front(struct sea_work *work)
{
    const struct sea_buf *text = &work->text;

    while (work->front < text->len && ((unsigned char)text->data[work->front] & 0xC0) == 0x80)
        work->front++;
    if (work->front > text->len)
        work->front = text->len;
}

enum sea_status
sea_text_normalize(const struct sea_tokenizer *tokenizer, const char *text, size_t len,
                   enum sea_piece piece, struct sea_work *work, struct sea_err *err)
{
    enum sea_status status;

    sea_buf_clear(&work->text);
    status = sea_buf_append(&work->text, text, len, err);
    work->front = first_len(&work->text);
    for (size_t i = 0; i < tokenizer->norm_count && !status; i++) {
        sea_buf_clear(&work->other);
        status = apply(tokenizer, &tokenizer->norms[i], piece, work, err);
        swap_text(work);
        end_front(work);
    }
    return status;
}

/* ---- pre-tokenizers ---- */

/* What a range of the text is to the splitter. */
struct part {
    struct sea_span span;
    bool is_match;
};

/* One more part, from left to right, as the behaviour says. before: was the last one a match,
 * is there a last one that may grow. */
static void
add_part(const struct sea_pre *pre, struct part part, bool previous_match, size_t base,
         struct sea_spans *out)
{
    bool grows = false;

    if (part.span.at == part.span.end)
        return;
    switch (pre->behavior) {
    case SEA_SPLIT_REMOVED:
        if (part.is_match)
            return;
        break;
    case SEA_SPLIT_ISOLATED:
        break;
    case SEA_SPLIT_WITH_PREVIOUS:
        grows = part.is_match && !previous_match;
        break;
    case SEA_SPLIT_WITH_NEXT:
        grows = !part.is_match && previous_match;
        break;
    case SEA_SPLIT_CONTIGUOUS:
        grows = part.is_match == previous_match;
        break;
    }
    if (grows && out->count > base)
        out->list[out->count - 1].end = part.span.end;
    else
        sea_spans_add(out, part.span.at, part.span.end);
}

static enum sea_status
split_word(const struct sea_pre *pre, struct sea_span word, struct sea_work *work,
           struct sea_err *err)
{
    size_t done = word.at, base = work->next.count;
    enum sea_status status;
    bool previous = false;
    struct part part;

    work->matches.count = 0;
    status = sea_regex_find(pre->regex, work->text.data + word.at, word.end - word.at,
                            &work->matches, err);
    if (status)
        return status;
    for (size_t i = 0; i <= work->matches.count; i++) {
        struct sea_span match = { word.end - word.at, word.end - word.at };

        if (i < work->matches.count)
            match = work->matches.list[i];
        part = (struct part){ { done, word.at + match.at }, pre->invert };
        add_part(pre, part, previous, base, &work->next);
        previous = part.span.at < part.span.end ? part.is_match : previous;
        part = (struct part){ { word.at + match.at, word.at + match.end }, !pre->invert };
        add_part(pre, part, previous, base, &work->next);
        previous = part.span.at < part.span.end ? part.is_match : previous;
        done = word.at + match.end;
    }
    return SEA_OK;
}

/* Copies a word to work->other and replaces blanks by mark (when there is one). */
static enum sea_status
copy_word(const struct sea_pre *pre, struct sea_span word, struct sea_work *work,
          struct sea_err *err)
{
    const char *text = work->text.data;
    enum sea_status status = SEA_OK;
    size_t done = word.at;

    for (size_t i = word.at; pre->mark && i < word.end && !status; i++) {
        if (text[i] != ' ')
            continue;
        status = sea_buf_append(&work->other, text + done, i - done, err);
        if (!status)
            status = sea_buf_append(&work->other, pre->mark, strlen(pre->mark), err);
        done = i + 1;
    }
    return status ? status
                  : sea_buf_append(&work->other, text + done, word.end - done, err);
}

/* Does the i-th word get a blank (or a mark) in front? */
static bool
wants_front(const struct sea_pre *pre, const struct sea_work *work, size_t i,
            enum sea_piece piece)
{
    const struct sea_span word = work->words.list[i];
    const char *text = work->text.data;
    size_t n = pre->mark ? strlen(pre->mark) : 0;

    if (!i && piece == SEA_PIECE_CONTINUES)
        return false;
    if (pre->prepend == SEA_PREPEND_NEVER ||
        (pre->prepend == SEA_PREPEND_FIRST &&
         !(word.at < work->front && piece == SEA_PIECE_FIRST)))
        return false;
    if (word.end > word.at && text[word.at] == ' ')
        return false;
    return !(n && word.end - word.at >= n && memcmp(text + word.at, pre->mark, n) == 0);
}

/* ByteLevel's add_prefix_space and Metaspace: the text is written anew. */
static enum sea_status
rewrite_words(const struct sea_pre *pre, struct sea_work *work, enum sea_piece piece,
              struct sea_err *err)
{
    const char *front = pre->mark ? pre->mark : " ";
    enum sea_status status = SEA_OK;
    size_t at, new_front = 0;

    sea_buf_clear(&work->other);
    for (size_t i = 0; i < work->words.count && !status; i++) {
        at = work->other.len;
        if (wants_front(pre, work, i, piece))
            status = sea_buf_append(&work->other, front, strlen(front), err);
        if (work->words.list[i].at < work->front)
            new_front = work->other.len + 1;    /* a byte of each word is enough */
        if (!status)
            status = copy_word(pre, work->words.list[i], work, err);
        sea_spans_add(&work->next, at, work->other.len);
    }
    work->front = new_front;
    swap_text(work);
    return status;
}

enum sea_status
sea_text_split(const struct sea_tokenizer *tokenizer, struct sea_work *work,
               enum sea_piece piece, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    for (size_t p = 0; p < tokenizer->pre_count && !status; p++) {
        const struct sea_pre *pre = &tokenizer->pres[p];

        work->next.count = 0;
        if (pre->kind != SEA_PRE_SPLIT)
            status = rewrite_words(pre, work, piece, err);
        for (size_t i = 0; pre->kind == SEA_PRE_SPLIT && i < work->words.count && !status; i++)
            status = split_word(pre, work->words.list[i], work, err);
        swap_words(work);
    }
    return status;
}
