/* SPDX-License-Identifier: Apache-2.0 */
/* PCRE2 stays inside this file. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#define SPACE_SET "\\t-\\r\\x{85}\\p{Z}"        /* White_Space, as tokenizers' \s means it */

struct sea_regex {
    pcre2_code *code;
    size_t plain_len;           /* a literal pattern needs no engine */
    char *plain;
};

void
sea_regex_destroy(struct sea_regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    free(regex->plain);
    free(regex);
}

/* PCRE2's \s holds U+180E, which is no blank any more: \s and \S are spelled out. */
static void
spell_out(const char *pattern, size_t len, struct sea_buf *out)
{
    bool in_class = false;

    for (size_t i = 0; i < len; i++) {
        char c = pattern[i], next = i + 1 < len ? pattern[i + 1] : 0;

        if (c == '\\' && next == 's') {
            sea_buf_puts(out, in_class ? SPACE_SET : "[" SPACE_SET "]");
            i++;
        } else if (c == '\\' && next == 'S' && !in_class) {
            sea_buf_puts(out, "[^" SPACE_SET "]");
            i++;
        } else if (c == '\\' && i + 1 < len) {
            sea_buf_add(out, pattern + i, 2);
            i++;
        } else {
            in_class = c == '[' || (in_class && c != ']');
            sea_buf_add(out, &c, 1);
        }
    }
}

enum sea_status
sea_regex_create(struct sea_regex **out, const char *pattern, size_t len, bool literal,
                 struct sea_err *err)
{
    struct sea_regex *regex = sea_xcalloc(1, sizeof(*regex));
    struct sea_buf spelled;
    PCRE2_UCHAR words[128];
    PCRE2_SIZE at;
    int code;

    *out = regex;
    if (literal) {
        regex->plain = sea_xcalloc(len + 1, 1);
        memcpy(regex->plain, pattern, len);
        regex->plain_len = len;
        return SEA_OK;
    }
    sea_buf_init(&spelled, SIZE_MAX / 2);
    spell_out(pattern, len, &spelled);
    regex->code = pcre2_compile((PCRE2_SPTR)spelled.data, spelled.len, PCRE2_UTF | PCRE2_UCP,
                                &code, &at, NULL);
    sea_buf_release(&spelled);
    if (regex->code) {
        (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);       /* else slower */
        return SEA_OK;
    }
    pcre2_get_error_message(code, words, sizeof(words));
    sea_fail(err, SEA_E_FORMAT, "cannot use pattern \"%.200s\": %s at %zu", pattern,
             (const char *)words, at);
    sea_regex_destroy(regex);
    *out = NULL;
    return err->status;
}

static void
find_plain(const struct sea_regex *regex, const char *text, size_t len, struct sea_spans *out)
{
    const char *at = text, *end = text + len;
    size_t n = regex->plain_len;

    while (n && (size_t)(end - at) >= n) {
        at = memchr(at, regex->plain[0], (size_t)(end - at) - n + 1);
        if (!at)
            return;
        if (memcmp(at, regex->plain, n) == 0) {
            sea_spans_add(out, (size_t)(at - text), (size_t)(at - text) + n);
            at += n;
        } else {
            at++;
        }
    }
}

enum sea_status
sea_regex_find(const struct sea_regex *regex, const char *text, size_t len,
               struct sea_spans *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    pcre2_match_data *match;
    PCRE2_SIZE *where;
    size_t from = 0;
    uint32_t code;
    int rc;

    if (regex->plain) {
        find_plain(regex, text, len, out);
        return SEA_OK;
    }
    match = pcre2_match_data_create_from_pattern(regex->code, NULL);
    if (!match)
        return sea_fail(err, SEA_E_INTERNAL, "no host memory for a match");
    where = pcre2_get_ovector_pointer(match);
    while (from < len) {
        rc = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK, match,
                         NULL);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
            rc = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from,
                             PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, NULL);
        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc < 0) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "a text of %zu bytes takes too many steps to split (PCRE2 code %d)",
                              len, rc);
            sea_hint(err, "Look for one very long run without blanks, and break it up.");
            break;
        }
        if (where[1] > where[0])
            sea_spans_add(out, where[0], where[1]);
        from = where[1] > from ? where[1]
                               : from + sea_utf8_next(text + from, len - from, &code);
    }
    pcre2_match_data_free(match);
    return status;
}
