/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all through the JSON and the YAML parser. What must hold:
 * (1) a refused document gives no node and one error with a printable message;
 * (2) an accepted one, written as JSON in any style and parsed again, gives the same
 *     canonical bytes.
 *
 *   fuzz_documents FILE...          each file once
 *   fuzz_documents -n N [-s SEED]   N random changes of the documents below
 *
 * With libFuzzer: clang -fsanitize=fuzzer,address -DSEA_FUZZ_NO_MAIN, see tests/README.md.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/base/sea_rng.h"

#define DOCUMENT_MAX ((size_t)1 << 16)
#define WRITTEN_MAX ((size_t)1 << 28)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef enum sea_status parse_fn(const char *text, size_t len, const char *name,
                                 struct sea_arena *arena, struct sea_node **out,
                                 struct sea_err *err);

static long accepted[2], refused[2];    /* JSON, YAML */

/* The functions below return NULL, or what does not hold. */

static const char *
check_refusal(const struct sea_node *node, const struct sea_err *err, enum sea_status want)
{
    const char *c;

    if (node)
        return "a refused document left a node";
    if (err->status != want || !err->message[0])
        return "a refused document has the wrong status, or no message";
    for (c = err->message; *c; c++)
        if (iscntrl((unsigned char)*c))
            return "a message holds control characters";
    return NULL;
}

static const char *
check_round_trip(const struct sea_node *node, struct sea_arena *arena)
{
    static const enum sea_json_style styles[] = { SEA_JSON_COMPACT, SEA_JSON_PRETTY,
                                                  SEA_JSON_CANONICAL };
    struct sea_buf want, text, got;
    const char *wrong = NULL;
    struct sea_err err = { 0 };
    struct sea_node *again;
    int i;

    sea_buf_init(&want, WRITTEN_MAX);
    sea_buf_init(&text, WRITTEN_MAX);
    sea_buf_init(&got, WRITTEN_MAX);
    if (sea_json_write(node, SEA_JSON_CANONICAL, &want, &err))
        wrong = "an accepted document cannot be written";
    for (i = 0; i < 3 && !wrong; i++) {
        sea_buf_clear(&text);
        sea_buf_clear(&got);
        if (sea_json_write(node, styles[i], &text, &err)
            || sea_json_parse(text.data, text.len, "again", arena, &again, &err)
            || sea_json_write(again, SEA_JSON_CANONICAL, &got, &err))
            wrong = "what was written does not parse";
        else if (got.len != want.len || memcmp(got.data, want.data, got.len) != 0)
            wrong = "the document changed between writing and parsing";
    }
    sea_buf_release(&want);
    sea_buf_release(&text);
    sea_buf_release(&got);
    return wrong;
}

static const char *
check_document(const char *text, size_t n)
{
    static parse_fn *const parsers[] = { sea_json_parse, sea_yaml_parse };
    static const enum sea_status refusals[] = { SEA_E_FORMAT, SEA_E_CONFIG };
    const char *wrong = NULL;
    int i;

    for (i = 0; i < 2 && !wrong; i++) {
        struct sea_arena *arena = sea_arena_create(NULL, "fuzz");
        struct sea_node *node = NULL;
        struct sea_err err = { 0 };

        if (parsers[i](text, n, "input", arena, &node, &err)) {
            refused[i]++;
            wrong = check_refusal(node, &err, refusals[i]);
        } else {
            accepted[i]++;
            wrong = check_round_trip(node, arena);
        }
        sea_arena_destroy(arena);
    }
    return wrong;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    /* A copy of exactly n bytes: a sanitizer sees a read past the end. */
    char *text = malloc(n ? n : 1);
    const char *wrong;

    if (!text)
        return 0;
    if (n)
        memcpy(text, data, n);
    wrong = check_document(text, n);
    free(text);
    if (wrong) {
        fprintf(stderr, "fuzz_documents: %s\n", wrong);
        abort();
    }
    return 0;
}

/* ---- random changes ---- */

static const char *const seeds[] = {
    "{\"name\":\"scenes\",\"n\":-12,\"r\":1.5e-3,\"l\":[true,false,null,\"\\u00e9\\n\"],\"m\":{}}",
    "[[1,2,[3]],{\"a\":{\"b\":{\"c\":\"\\ud83d\\ude00\"}}},1000000000000000019884624838656]",
    "name: scenes\nmodel:\n  vision: {path: \"x\", layer: -2}\nlist:\n- a\n- b: 1\n  c: ~\n",
    "text: |\n  one\n  two\nfold: >-\n  three\n  four\nnum: [0x1F, 0o17, .5, -.inf, .nan, 1e3]\n",
    "%YAML 1.2\n---\n? a\n: 'it''s'\n\"q\\u00e9\": [a, b, {c: d}] # comment\n...\n",
};

static const char *const pieces[] = {
    "{", "}", "[", "]", ":", ": ", ",", "\"", "'", "\\", "\n", "\n  ", "\t", "- ", "? ", "#", "&a ",
    "*a", "!!int ", "|\n", ">\n", "---\n", "...\n", "%", "null", "true", "1e999", "-", "\\u0000",
    "\\ud800", "\xEF\xBB\xBF", "\xED\xA0\x80", "\xC3", "\xFF", "\x01", "<<: ", "a: 1\n", "\"a\":1",
    "99999999999999999999", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
};

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof((array)[0]))

/* Puts n bytes into text at place `at`; returns the new length. */
static size_t
insert(char *text, size_t len, size_t at, const char *bytes, size_t n)
{
    if (n > DOCUMENT_MAX - len)
        return len;
    memmove(text + at + n, text + at, len - at);
    memmove(text + at, bytes, n);
    return len + n;
}

static size_t
change(char *text, size_t len, struct sea_rng *rng)
{
    size_t at = sea_rng_below(rng, (uint32_t)len + 1);
    size_t n = sea_rng_below(rng, 16), rest = len - at;
    const char *piece;
    char copy[16];

    if (n > rest)
        n = rest;
    switch (sea_rng_below(rng, 6)) {
    case 0:                     /* another bit */
        if (rest)
            text[at] = (char)(text[at] ^ 1 << sea_rng_below(rng, 8));
        return len;
    case 1:                     /* another byte */
        if (rest)
            text[at] = (char)sea_rng_u32(rng);
        return len;
    case 2:                     /* some bytes fewer */
        memmove(text + at, text + at + n, rest - n);
        return len - n;
    case 3:                     /* some bytes twice */
        memcpy(copy, text + at, n);
        return insert(text, len, at, copy, n);
    case 4:                     /* the end is missing, now and then */
        return sea_rng_below(rng, 4) ? len : at;
    default:
        piece = pieces[sea_rng_below(rng, COUNT(pieces))];
        return insert(text, len, at, piece, strlen(piece));
    }
}

/* Runs n changed documents; returns NULL or what does not hold, and then the document is
 * in text[0..*len). */
static const char *
run_changes(long n, uint64_t seed, char *text, size_t *len)
{
    const char *wrong = NULL;
    long i;

    for (i = 0; i < n && !wrong; i++) {
        struct sea_rng rng;
        uint32_t changes;

        sea_rng_init(&rng, seed, (uint64_t)i);
        *len = 0;
        *len = insert(text, 0, 0, seeds[(size_t)i % COUNT(seeds)],
                      strlen(seeds[(size_t)i % COUNT(seeds)]));
        for (changes = sea_rng_below(&rng, 8); changes; changes--)
            *len = change(text, *len, &rng);
        wrong = check_document(text, *len);
    }
    return wrong;
}

#ifndef SEA_FUZZ_NO_MAIN
static int
run_file(const char *path)
{
    struct sea_err err = { 0 };
    struct sea_buf buf;
    int rc = 0;

    sea_buf_init(&buf, (size_t)1 << 30);
    if (sea_file_read(path, &buf, &err)) {
        sea_err_print(&err, "fuzz_documents", stderr);
        rc = sea_status_exit(err.status);
    } else {
        LLVMFuzzerTestOneInput((const uint8_t *)buf.data, buf.len);
    }
    sea_buf_release(&buf);
    return rc;
}

int
main(int argc, char **argv)
{
    static char text[DOCUMENT_MAX + 16];
    const char *wrong = NULL;
    uint64_t seed = 1;
    size_t len = 0;
    long n = 0;
    int i, rc = 0;

    for (i = 1; i < argc && !rc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            n = strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            rc = run_file(argv[i]);
    }
    if (argc < 2)
        n = 100000;
    if (!rc && n)
        wrong = run_changes(n, seed, text, &len);
    printf("JSON: %ld accepted, %ld refused; YAML: %ld accepted, %ld refused\n", accepted[0],
           refused[0], accepted[1], refused[1]);
    if (wrong) {
        struct sea_err err = { 0 };

        fprintf(stderr, "fuzz_documents: %s; the document is in fuzz-document.bin\n", wrong);
        if (sea_file_replace("fuzz-document.bin", text, len, &err))
            sea_err_print(&err, "fuzz_documents", stderr);
        return 1;
    }
    return rc;
}
#endif
