/* SPDX-License-Identifier: Apache-2.0 */
/* What SentencePiece does with text before its model cuts it, and how it writes ids. Its
 * rules are not those of `tokenizers`, which imitates them with steps of its own. */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

/* No piece of the user begins with it, no entry of the table is it, or it and more ASCII. */
static bool
is_plain(const struct sea_spm_text *spm, char c)
{
    char both[2] = { c, 1 };
    struct sea_text to;

    if (sea_trie_step(&spm->users, 0, (unsigned char)c) >= 0)
        return false;
    if (!spm->map)
        return true;
    if (sea_charsmap_find(spm->map, both, 1, true, &to))
        return false;
    for (int next = 1; next < 128; next++) {
        both[1] = (char)next;
        if (sea_charsmap_begins(spm->map, both, 2))
            return false;
    }
    return true;
}

void
sea_spm_ready(struct sea_spm_text *spm)
{
    for (int c = 1; c < 128; c++)
        spm->plain[c] = is_plain(spm, (char)c);
}

/* Bytes from text on that stay as they are, none of them a blank. */
static size_t
plain_run(const struct sea_spm_text *spm, const char *text, size_t len)
{
    const unsigned char *b = (const unsigned char *)text;
    size_t n = 0;

    while (n < len && b[n] < 128 && b[n] != ' ' && spm->plain[b[n]])
        n++;
    return n && n < len && b[n] >= 128 ? n - 1 : n;
}

/* What the next characters become; the bytes they take. Pieces of the user stay. */
static size_t
next_piece(const struct sea_spm_text *spm, const char *text, size_t len, struct sea_text *to)
{
    uint32_t code;
    int32_t id;
    size_t n = sea_trie_longest(&spm->users, text, len, &id);

    if (!n && spm->map) {
        n = sea_charsmap_find(spm->map, text, len, true, to);
        if (n)
            return n;
    }
    n = n ? n : sea_utf8_next(text, len, &code);
    *to = (struct sea_text){ text, n };
    return n;
}

static enum sea_status
put_blank(const struct sea_spm_text *spm, struct sea_buf *out, struct sea_err *err)
{
    return spm->escapes ? sea_buf_append(out, SEA_SPM_MARK, 3, err)
                        : sea_buf_append(out, " ", 1, err);
}

static enum sea_status
put_text(const struct sea_spm_text *spm, struct sea_text text, struct sea_buf *out,
         struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    const char *space;

    while (text.len && !status) {
        space = spm->escapes ? memchr(text.text, ' ', text.len) : NULL;
        size_t n = space ? (size_t)(space - text.text) : text.len;

        status = sea_buf_append(out, text.text, n, err);
        if (space && !status)
            status = put_blank(spm, out, err);
        n += space != NULL;
        text.text += n;
        text.len -= n;
    }
    return status;
}

/* remove_extra_whitespaces: no blanks at the end. */
static void
strip_end(const struct sea_spm_text *spm, size_t from, struct sea_buf *out)
{
    const char *blank = spm->escapes ? SEA_SPM_MARK : " ";
    size_t n = strlen(blank);

    while (out->len - from >= n && memcmp(out->data + out->len - n, blank, n) == 0)
        out->len -= n;
    if (out->room)
        out->data[out->len] = 0;
}

enum sea_status
sea_spm_normalize(const struct sea_spm_text *spm, const char *text, size_t len,
                  enum sea_piece piece, struct sea_buf *out, struct sea_err *err)
{
    bool prefix = spm->add_prefix && (piece == SEA_PIECE_FIRST ||
                                      (piece == SEA_PIECE_AFTER_SPECIAL && spm->is_legacy));
    bool was_blank = spm->strips && piece != SEA_PIECE_CONTINUES;
    size_t at = 0, from = out->len, n;
    enum sea_status status = SEA_OK;
    struct sea_text to;

    while (was_blank && at < len) {
        n = next_piece(spm, text + at, len - at, &to);
        if (to.len != 1 || *to.text != ' ')
            break;
        at += n;
    }
    if (at == len)
        return SEA_OK;
    if (prefix && !spm->suffix_mode)
        status = put_blank(spm, out, err);
    for (; at < len && !status; at += n) {
        n = plain_run(spm, text + at, len - at);
        if (n) {
            was_blank = false;
            status = sea_buf_append(out, text + at, n, err);
            continue;
        }
        n = next_piece(spm, text + at, len - at, &to);
        while (was_blank && to.len && *to.text == ' ') {
            to.text++;
            to.len--;
        }
        if (to.len)
            was_blank = spm->strips && to.text[to.len - 1] == ' ';
        status = put_text(spm, to, out, err);
    }
    if (spm->strips)
        strip_end(spm, from, out);
    if (prefix && spm->suffix_mode && !status)
        status = put_blank(spm, out, err);
    return status;
}

/* ---- ids to text ---- */

/* Bytes that came as words, one after another: their characters; U+FFFD for each byte that
 * is part of none. */
static enum sea_status
put_bytes(struct sea_buf *bytes, struct sea_buf *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t at = 0, good;

    while (at < bytes->len && !status) {
        good = sea_utf8_check(bytes->data + at, bytes->len - at);
        status = sea_buf_append(out, bytes->data + at, good, err);
        at += good;
        if (at < bytes->len && !status)
            status = sea_buf_append(out, "\xEF\xBF\xBD", 3, err);
        at++;
    }
    sea_buf_clear(bytes);
    return status;
}

static enum sea_status
put_word(const struct sea_spm_text *spm, struct sea_text word, bool is_first, bool *had_blank,
         struct sea_buf *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    *had_blank = false;
    if (is_first && (spm->add_prefix || spm->strips) && word.len >= 3 &&
        memcmp(word.text, SEA_SPM_MARK, 3) == 0) {
        word.text += 3;
        word.len -= 3;
        *had_blank = !spm->strips;      /* else blanks go on to be dropped */
    }
    for (size_t i = 0; i < word.len && !status;) {
        bool is_mark = word.len - i >= 3 && memcmp(word.text + i, SEA_SPM_MARK, 3) == 0;

        status = sea_buf_append(out, is_mark ? " " : word.text + i, 1, err);
        i += is_mark ? 3 : 1;
    }
    return status;
}

enum sea_status
sea_spm_decode(const struct sea_tokenizer *tokenizer, const int32_t *ids, size_t count,
               bool skip_special, struct sea_buf *out, struct sea_err *err)
{
    const struct sea_spm_text *spm = &tokenizer->spm;
    const struct sea_vocab *vocab = &tokenizer->vocab;
    enum sea_status status = SEA_OK;
    bool is_first = true, had_blank = false;
    struct sea_buf bytes;
    size_t begun;

    sea_buf_init(&bytes, SIZE_MAX / 2);
    for (size_t i = 0; i < count && !status; i++) {
        int32_t id = ids[i];
        int kind = id >= 0 && id < spm->count ? spm->kinds[id] : SEA_WORD_USER;

        if (id < 0 || id >= vocab->count || !vocab->words[id])
            continue;
        if (kind == SEA_WORD_BYTE) {
            int high = sea_hex_digit(vocab->words[id][3]), low = sea_hex_digit(vocab->words[id][4]);
            char byte = (char)(16 * high + low);

            sea_buf_add(&bytes, &byte, 1);
            is_first = false;
            continue;
        }
        status = put_bytes(&bytes, out, err);
        if (status)
            break;
        begun = out->len;
        if (kind == SEA_WORD_CONTROL || (id >= spm->count && tokenizer->special[id])) {
            if (!skip_special)
                status = sea_buf_append(out, vocab->words[id], vocab->lens[id], err);
        } else if (kind == SEA_WORD_UNKNOWN) {
            status = skip_special
                         ? sea_buf_append(out, spm->unk_surface, strlen(spm->unk_surface), err)
                         : sea_buf_append(out, vocab->words[id], vocab->lens[id], err);
        } else {
            status = put_word(spm, (struct sea_text){ vocab->words[id], vocab->lens[id] }, is_first,
                              &had_blank, out, err);
        }
        if (had_blank || out->len > begun)
            is_first = false;
    }
    if (!status)
        status = put_bytes(&bytes, out, err);
    sea_buf_release(&bytes);
    return status;
}
