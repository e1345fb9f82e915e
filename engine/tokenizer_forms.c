/* SPDX-License-Identifier: Apache-2.0 */
/* Normal forms and lower case, by utf8proc; what `tokenizers` does otherwise comes from
 * tokenizer_tables.c. */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#define LONG_RUN 64             /* marks; shorter runs are fast as they are */

struct mark {
    size_t at;                  /* in the text: keeps equal classes in their order */
    int class;
};

static int
by_class(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;

    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* End of the run of marks at `from`, and how many there are. */
static size_t
run_of_marks(const char *text, size_t len, size_t from, size_t *count)
{
    size_t at = from, n;
    uint32_t code;

    *count = 0;
    for (; at < len; at += n, ++*count) {
        n = sea_utf8_next(text + at, len - at, &code);
        if (code < 0x300 || !utf8proc_get_property((utf8proc_int32_t)code)->combining_class)
            break;
    }
    return at;
}

static void
put_sorted(const char *text, size_t from, size_t end, size_t count, struct sea_buf *out)
{
    struct mark *marks = sea_xcalloc(count, sizeof(*marks));
    size_t at = from, n;
    uint32_t code;

    for (size_t i = 0; i < count; i++) {
        n = sea_utf8_next(text + at, end - at, &code);
        marks[i] = (struct mark){
            at, utf8proc_get_property((utf8proc_int32_t)code)->combining_class };
        at += n;
    }
    qsort(marks, count, sizeof(*marks), by_class);
    for (size_t i = 0; i < count; i++)
        sea_buf_add(out, text + marks[i].at,
                    sea_utf8_next(text + marks[i].at, end - marks[i].at, &code));
    free(marks);
}

/* utf8proc orders a run of marks in a time that grows with its square. Long runs are put in
 * order before, which does not change the normal form. False: there are none. */
static bool
sort_marks(const char *text, size_t len, struct sea_buf *out)
{
    size_t at = 0, done = 0, end, count;
    uint32_t code;

    while (at < len) {
        if ((unsigned char)text[at] < 0xCC) {   /* before U+0300 */
            at++;
            continue;
        }
        end = run_of_marks(text, len, at, &count);
        if (count > LONG_RUN) {
            sea_buf_add(out, text + done, at - done);
            put_sorted(text, at, end, count, out);
            done = end;
        }
        at = end > at ? end : at + sea_utf8_next(text + at, len - at, &code);
    }
    if (done)
        sea_buf_add(out, text + done, len - done);
    return done > 0;
}

static enum sea_status
normalize(enum sea_unicode_form form, const char *text, size_t len, struct sea_buf *out,
          struct sea_err *err)
{
    static const utf8proc_option_t options[] = {
        [SEA_FORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [SEA_FORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [SEA_FORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [SEA_FORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_uint8_t *mapped = NULL;
    enum sea_status status = SEA_OK;
    struct sea_buf sorted;
    utf8proc_ssize_t n;

    if (!len)
        return SEA_OK;
    sea_buf_init(&sorted, SIZE_MAX / 2);
    if (sort_marks(text, len, &sorted))
        text = sorted.data;
    n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &mapped,
                     options[form]);
    if (n < 0)
        status = sea_fail(err, SEA_E_FORMAT, "could not normalise text: %s", utf8proc_errmsg(n));
    else
        status = sea_buf_append(out, mapped, (size_t)n, err);
    free(mapped);
    sea_buf_release(&sorted);
    return status;
}

enum sea_status
sea_unicode_normalize(enum sea_unicode_form form, const char *text, size_t len,
                      struct sea_buf *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t at = 0, done = 0, n;
    uint32_t code;

    while (at < len && (unsigned char)text[at] < 0x80)
        at++;
    if (at == len)              /* ASCII is its own normal form */
        return sea_buf_append(out, text, len, err);
    for (; at < len && !status; at += n) {
        n = sea_utf8_next(text + at, len - at, &code);
        if (code < 0x7FD || !sea_codes_hold(sea_no_form, sea_no_form_count, code))
            continue;
        status = normalize(form, text + done, at - done, out, err);
        if (!status)
            status = sea_buf_append(out, text + at, n, err);
        done = at + n;
    }
    return status ? status : normalize(form, text + done, len - done, out, err);
}

static uint32_t
lower(uint32_t code)
{
    for (size_t i = 0; i < sea_new_lower_count && code >= sea_new_lower[0].first; i++)
        if (code >= sea_new_lower[i].first && code <= sea_new_lower[i].last)
            return (uint32_t)((int32_t)code + sea_new_lower[i].delta);
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

enum sea_status
sea_unicode_lower(const char *text, size_t len, struct sea_buf *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t at = 0, n;
    uint32_t code;
    char put[4];

    while (at < len && !status) {
        at += sea_utf8_next(text + at, len - at, &code);
        if (code == 0x130) {    /* the one character that becomes two */
            status = sea_buf_append(out, "i\xCC\x87", 3, err);
            continue;
        }
        n = sea_utf8_put(put, lower(code));
        status = sea_buf_append(out, put, n, err);
    }
    return status;
}

/* ---- clusters of characters ---- */

size_t
sea_grapheme_next(const char *text, size_t len)
{
    utf8proc_int32_t state = 0;
    uint32_t code, next;
    size_t at = sea_utf8_next(text, len, &code), n;

    while (at < len) {
        n = sea_utf8_next(text + at, len - at, &next);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next,
                                             &state))
            break;
        at += n;
        code = next;
    }
    return at;
}
