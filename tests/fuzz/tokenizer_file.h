/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_file.h - any bytes at all as a tokenizer's file. What must hold: a refused file
 * gives no tokenizer and one error; with an accepted one every text is cut into ids of its
 * vocabulary, twice the same ones, and they are written as UTF-8 again. */
#ifndef SEA_TESTS_TOKENIZER_FILE_H
#define SEA_TESTS_TOKENIZER_FILE_H

#include "tests/fuzz/mutate.h"

#include "engine/sea_tokenizer.h"

static const char *
check_text(struct sea_tokenizer *tokenizer, const char *text, size_t len)
{
    struct sea_ids ids = { 0 }, again = { 0 };
    struct sea_err err = { 0 };
    const char *wrong = NULL;
    struct sea_buf out;

    sea_buf_init(&out, (size_t)64 << 20);
    if (sea_tokenizer_encode(tokenizer, text, len, true, &ids, &err)) {
        wrong = err.status == SEA_E_FORMAT && err.message[0] && !ids.len
                    ? NULL : "a text that is refused leaves ids, or no message";
        goto out;
    }
    for (size_t i = 0; i < ids.len && !wrong; i++)
        if (ids.data[i] < 0 || ids.data[i] >= sea_tokenizer_count(tokenizer) ||
            !sea_tokenizer_word(tokenizer, ids.data[i]))
            wrong = "an id is outside the vocabulary";
    if (!wrong && (sea_tokenizer_encode(tokenizer, text, len, true, &again, &err) ||
                   again.len != ids.len ||
                   (ids.len && memcmp(ids.data, again.data, ids.len * sizeof(*ids.data)))))
        wrong = "the same text gives other ids";
    if (!wrong && (sea_tokenizer_decode(tokenizer, ids.data, ids.len, false, &out, &err) ||
                   sea_tokenizer_decode(tokenizer, ids.data, ids.len, true, &out, &err)))
        wrong = "ids cannot be written";
out:
    sea_buf_release(&out);
    sea_ids_release(&ids);
    sea_ids_release(&again);
    return wrong;
}

static const char *
check_tokenizer_file(const char *name, const uint8_t *data, size_t n)
{
    static const char text[] = "A red cat, isn't it? No. 1234\n\n  <s>caf\xC3\xA9</s> <image>"
                               "\xE2\x96\x81\xE6\x97\xA5\xE6\x9C\xAC\xF0\x9F\x98\x80 "
                               "e\xCC\x81\0x\t";
    const char *wrong = fuzz_write(name, data, n);
    struct sea_tokenizer *tokenizer;
    struct sea_err err = { 0 };

    if (wrong)
        return wrong;
    if (sea_tokenizer_load(&tokenizer, fuzz_path, &err)) {
        sea_fuzz_refused++;
        return tokenizer ? "a refused file left a tokenizer" : check_refusal(&err);
    }
    sea_fuzz_accepted++;
    wrong = check_text(tokenizer, text, sizeof(text) - 1);
    if (!wrong)                 /* the file is a text, too, when it is UTF-8 */
        wrong = check_text(tokenizer, (const char *)data, n < 2000 ? n : 2000);
    sea_tokenizer_destroy(tokenizer);
    return wrong;
}

#endif
