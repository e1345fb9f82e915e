/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_node.h - one tree for JSON and YAML documents
 *
 * Parsed by sea_json_parse (jansson) and sea_yaml_parse (libyaml), built by hand with
 * sea_node_put_*, written by sea_json_write. Nodes live in an arena; there is nothing to
 * free. Not for millions of rows that are looked at once: read JSON Lines a line at a
 * time instead.
 *
 * Invariants: (1) keys of a map are unique; both parsers refuse doubled keys;
 *             (2) text of a string is valid UTF-8 and ends with 0; text_len counts bytes
 *                 (a string may hold 0 bytes inside);
 *             (3) line is 1-based and 0 when unknown (JSON, nodes built by hand);
 *             (4) YAML: scalars become null, bool, int, real by YAML 1.2's core schema,
 *                 quoted ones are strings; anchors, aliases and tags are refused.
 */
#ifndef SEA_NODE_H
#define SEA_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"

enum sea_node_kind {
    SEA_NODE_NULL, SEA_NODE_BOOL, SEA_NODE_INT, SEA_NODE_REAL,
    SEA_NODE_STRING, SEA_NODE_LIST, SEA_NODE_MAP
};

struct sea_node {               /* read freely; change only through sea_node_put_* */
    enum sea_node_kind kind;
    int line;                   /* 1-based line of the source, 0 when unknown */
    const char *key;            /* in a map, else NULL */
    const char *text;           /* STRING: the value; INT and REAL from YAML: as written */
    size_t text_len;
    int64_t integer;            /* INT, and 0 or 1 for BOOL */
    double real;                /* REAL, and the same value for INT */
    struct sea_node *first, *last, *next;   /* children in order; next sibling */
    size_t count;               /* children */
};

/* Both refuse: invalid UTF-8, doubled keys, nesting over 64, text after the document.
 * name is what messages call the source, usually its path: SEA_E_FORMAT with line and
 * column. YAML errors are SEA_E_CONFIG. */
SEA_MUST_CHECK enum sea_status
sea_json_parse(const char *text, size_t len, const char *name, struct sea_arena *arena,
               struct sea_node **out, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_yaml_parse(const char *text, size_t len, const char *name, struct sea_arena *arena,
               struct sea_node **out, struct sea_err *err);

/* Reads a file of at most max bytes and parses it. */
SEA_MUST_CHECK enum sea_status
sea_json_load(const char *path, size_t max, struct sea_arena *arena,
              struct sea_node **out, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_yaml_load(const char *path, size_t max, struct sea_arena *arena,
              struct sea_node **out, struct sea_err *err);

/* Member of a map, NULL when map is NULL, no map, or has no such key. */
struct sea_node *sea_node_get(const struct sea_node *map, const char *key);
/* The same along "a.b.c". */
struct sea_node *sea_node_path(const struct sea_node *map, const char *path);
/* Values with a fallback for absent (NULL or null) nodes or nodes of another kind. */
const char *sea_node_text(const struct sea_node *node, const char *fallback);
int64_t sea_node_int(const struct sea_node *node, int64_t fallback);
double sea_node_real(const struct sea_node *node, double fallback);     /* INT or REAL */
bool sea_node_bool(const struct sea_node *node, bool fallback);
const char *sea_node_kind_name(enum sea_node_kind kind);  /* "string", "list", ... */

/* Building. key is NULL when parent is a list; an existing key is replaced in place.
 * parent NULL makes a root. Texts are copied into the arena. */
struct sea_node *sea_node_put(struct sea_arena *arena, struct sea_node *parent,
                              const char *key, enum sea_node_kind kind);
struct sea_node *sea_node_put_text(struct sea_arena *arena, struct sea_node *parent,
                                   const char *key, const char *text);
struct sea_node *sea_node_put_textn(struct sea_arena *arena, struct sea_node *parent,
                                    const char *key, const char *text, size_t len);
struct sea_node *sea_node_put_int(struct sea_arena *arena, struct sea_node *parent,
                                  const char *key, int64_t value);
struct sea_node *sea_node_put_real(struct sea_arena *arena, struct sea_node *parent,
                                   const char *key, double value);
struct sea_node *sea_node_put_bool(struct sea_arena *arena, struct sea_node *parent,
                                   const char *key, bool value);
/* Deep copy of node below parent. */
struct sea_node *sea_node_put_copy(struct sea_arena *arena, struct sea_node *parent,
                                   const char *key, const struct sea_node *node);
bool sea_node_remove(struct sea_node *map, const char *key);  /* false: no such key */

/* JSON text, appended. PRETTY: two spaces, a final newline. CANONICAL: keys sorted by
 * bytes, no spaces, reals with 17 significant digits: equal trees give equal bytes. A real
 * always keeps a '.', 'e' or similar, so that it comes back as REAL. NaN and infinities
 * are written as null. */
enum sea_json_style { SEA_JSON_COMPACT, SEA_JSON_PRETTY, SEA_JSON_CANONICAL };
SEA_MUST_CHECK enum sea_status
sea_json_write(const struct sea_node *node, enum sea_json_style style,
               struct sea_buf *buf, struct sea_err *err);
/* A JSON string literal with its quotes, appended. */
void sea_json_quote(struct sea_buf *buf, const char *text, size_t len);

#endif
