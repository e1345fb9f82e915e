/* SPDX-License-Identifier: Apache-2.0 */
/* PCRE2 stays inside this file. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include "engine/sea_pattern.h"

#define SPACE_SET "\\t-\\r\\x{85}\\p{Z}"        /* White_Space, as tokenizers' \s means it */

struct sea_regex {
    pcre2_code *code;
    size_t plain_len;           /* a literal pattern needs no engine */
    char *plain;
    enum sea_hand hand;         /* nor does one that is split by hand */
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

/* What is in a category beside what the library knows. */
static void
put_newer(const char *name, size_t len, struct sea_buf *out)
{
    for (size_t i = 0; i < sea_new_categories_count; i++)
        if (len && len <= 2 && !memcmp(sea_new_categories[i].name, name, len))
            sea_buf_addf(out, "\\x{%x}-\\x{%x}", sea_new_categories[i].first,
                         sea_new_categories[i].last);
}

/* \p{NAME} at pattern, as members of a class; the bytes it takes, 0: it is something else. */
static size_t
spell_category(const char *pattern, size_t len, struct sea_buf *out)
{
    const char *end = len > 3 && pattern[2] == '{' ? memchr(pattern, '}', len) : NULL;
    size_t n = end ? (size_t)(end - pattern) + 1 : 3;

    if (len < 3 || (pattern[2] == '{' && (!end || pattern[3] == '^')))
        return 0;
    sea_buf_add(out, pattern, n);
    if (end)
        put_newer(pattern + 3, n - 4, out);
    else
        put_newer(pattern + 2, 1, out);
    return n;
}

#define WORD_SET "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}" \
                 "\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}" \
                 "\\x{1F170}-\\x{1F189}"

static void
put_word_set(struct sea_buf *out)
{
    sea_buf_puts(out, WORD_SET);
    put_newer("L", 1, out);
    put_newer("M", 1, out);
    put_newer("Nd", 2, out);
    put_newer("Nl", 2, out);
    put_newer("Pc", 2, out);
}

/* One escape of the pattern, as members of a class; its bytes, 0: it stays as it is. */
static size_t
spell_escape(const char *pattern, size_t len, struct sea_buf *out)
{
    switch (pattern[1]) {
    case 's': case 'S':
        sea_buf_puts(out, SPACE_SET);
        return 2;
    case 'w': case 'W':
        put_word_set(out);
        return 2;
    case 'd': case 'D':
        sea_buf_puts(out, "\\p{Nd}");
        put_newer("Nd", 2, out);
        return 2;
    case 'p': case 'P':
        return spell_category(pattern, len, out);
    default:
        return 0;
    }
}

/* Classes of characters, in the words of PCRE2: its own are of an older Unicode, and some mean
 * other things than those of the engine in `tokenizers` (Oniguruma, with Ruby's syntax). NULL,
 * or what cannot be said. */
static const char *
spell_out(const char *pattern, size_t len, struct sea_buf *out)
{
    struct sea_buf set;
    bool in_class = false;
    const char *why = NULL;
    size_t n;

    sea_buf_init(&set, SIZE_MAX / 2);
    for (size_t i = 0; i < len && !why; i += n) {
        char c = pattern[i], next = i + 1 < len ? pattern[i + 1] : 0;
        bool negated = c == '\\' && next && strchr("SWDP", next);

        n = c == '\\' && next ? 2 : 1;
        sea_buf_clear(&set);
        if (n == 2 && strchr("hHRXKGyY", next)) {
            why = "an escape with another meaning in Ruby";
        } else if (n == 2 && !(in_class && negated)) {
            size_t used = spell_escape(pattern + i, len - i, &set);

            if (used && negated && (next == 'P'))
                set.data[1] = 'p';
            if (!used)
                sea_buf_add(out, pattern + i, n);
            else
                sea_buf_addf(out, "%s%s%s", in_class ? "" : negated ? "[^" : "[", set.data,
                             in_class ? "" : "]");
            n = used ? used : n;
        } else if (in_class && (c == '[' || (c == '&' && next == '&'))) {
            why = next == ':' ? "a class in [: :]" : "a set inside a set";
        } else if (!in_class && c == '(' && !strncmp(pattern + i, "(?m", len - i < 3 ? len - i : 3)
                   && len - i >= 3) {
            why = "the option (?m";
        } else {
            if (!in_class && c == '[') {
                in_class = true;
                n = next == '^' ? 2 : 1;
                n += i + n < len && pattern[i + n] == ']';      /* a first ] is a member */
            } else if (c == ']') {
                in_class = false;
            }
            sea_buf_add(out, pattern + i, n);
        }
    }
    sea_buf_release(&set);
    return why;
}

enum sea_status
sea_regex_create(struct sea_regex **out, const char *pattern, size_t len, bool literal,
                 struct sea_err *err)
{
    struct sea_regex *regex = sea_xcalloc(1, sizeof(*regex));
    struct sea_buf spelled;
    const char *why;
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
    regex->hand = sea_hand_of(pattern, len);
    if (regex->hand)
        return SEA_OK;
    sea_buf_init(&spelled, SIZE_MAX / 2);
    why = spell_out(pattern, len, &spelled);
    if (why) {
        sea_fail(err, SEA_E_FORMAT, "cannot use pattern \"%.200s\": it has %s", pattern, why);
        sea_buf_release(&spelled);
        sea_regex_destroy(regex);
        *out = NULL;
        return err->status;
    }
    regex->code = pcre2_compile((PCRE2_SPTR)spelled.data, spelled.len,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
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

struct sea_regex *
sea_regex_by_hand(enum sea_hand hand)
{
    struct sea_regex *regex = sea_xcalloc(1, sizeof(*regex));

    regex->hand = hand;
    return regex;
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
    if (regex->hand) {
        sea_hand_find(regex->hand, text, len, out);
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

enum sea_status
sea_pattern_fits_end(const char *expression, const char *text, bool *yes, struct sea_err *err)
{
    struct sea_spans spans = { 0 };
    struct sea_regex *regex = NULL;
    struct sea_buf whole;
    enum sea_status status;

    sea_buf_init(&whole, SIZE_MAX / 2);
    sea_buf_addf(&whole, "\\A(?:.*\\.)?(?:%s)\\z", expression);
    status = sea_regex_create(&regex, whole.data, whole.len, false, err);
    if (!status)
        status = sea_regex_find(regex, text, strlen(text), &spans, err);
    *yes = spans.count > 0;
    sea_regex_destroy(regex);
    sea_spans_release(&spans);
    sea_buf_release(&whole);
    return status;
}
