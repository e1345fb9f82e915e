/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libyaml's events become nodes here. libyaml has no types, lets doubled keys, anchors and
 * aliases pass and takes several documents: all of that is decided in this file. A member
 * of a map has the line of its key, because that is where a reader looks first.
 */
#include "engine/base/sea_node.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "engine/base/node_int.h"
#include "engine/base/sea_file.h"

struct parse {
    yaml_parser_t parser;
    yaml_event_t event;         /* the current one, when has_event */
    bool has_event;
    const char *text, *name;
    size_t len;
    struct sea_arena *arena;
    struct sea_err *err;
};

/* ---- refusals ---- */

SEA_PRINTF(3) static enum sea_status
refuse(struct parse *parse, yaml_mark_t at, const char *fmt, ...)
{
    char words[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(words, sizeof(words), fmt, args);
    va_end(args);
    return sea_fail(parse->err, SEA_E_CONFIG, "\"%s\" line %zu, column %zu: %s", parse->name,
                    at.line + 1, at.column + 1, words);
}

/* True when the indentation of this line of the text holds a tab. */
static bool
indents_with_tab(const struct parse *parse, size_t wanted)
{
    const char *at = parse->text, *end = parse->text + parse->len;
    size_t n;

    for (n = 0; n < wanted && at; n++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    for (; at && at < end && (*at == ' ' || *at == '\t'); at++)
        if (*at == '\t')
            return true;
    return false;
}

static enum sea_status
refuse_syntax(struct parse *parse)
{
    const yaml_parser_t *parser = &parse->parser;
    yaml_mark_t at = parser->problem_mark;
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    size_t i;

    if (parser->error == YAML_MEMORY_ERROR)
        return sea_fail(parse->err, SEA_E_INTERNAL, "no host memory for YAML \"%s\"",
                        parse->name);
    if (parser->error == YAML_READER_ERROR) {   /* knows its byte, not its line */
        at = (yaml_mark_t){ 0 };
        for (i = 0; i < parser->problem_offset && i < parse->len; i++) {
            at.column = parse->text[i] == '\n' ? 0 : at.column + 1;
            at.line += parse->text[i] == '\n';
        }
        refuse(parse, at, "%s (byte 0x%02X)", problem, (unsigned)parser->problem_value & 0xFFu);
        sea_hint(parse->err, "Save the file as UTF-8 text without control characters.");
        return parse->err->status;
    }
    if (parser->context && parser->context_mark.line != at.line)
        refuse(parse, at, "%s, %s from line %zu", problem, parser->context,
               parser->context_mark.line + 1);
    else
        refuse(parse, at, "%s", problem);
    if (indents_with_tab(parse, at.line))
        sea_hint(parse->err, "Indent with spaces: YAML does not take tabs there.");
    return parse->err->status;
}

static enum sea_status
next_event(struct parse *parse)
{
    if (parse->has_event)
        yaml_event_delete(&parse->event);
    parse->has_event = yaml_parser_parse(&parse->parser, &parse->event);
    return parse->has_event ? SEA_OK : refuse_syntax(parse);
}

static enum sea_status
refuse_extras(struct parse *parse, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    yaml_mark_t at = parse->event.start_mark;

    if (!anchor && !tag)
        return SEA_OK;
    if (anchor) {
        refuse(parse, at, "anchor \"&%.60s\" is not supported", (const char *)anchor);
        sea_hint(parse->err, "Write the value out where it is used.");
    } else {
        refuse(parse, at, "tag \"%.60s\" is not supported", (const char *)tag);
        sea_hint(parse->err, "Remove the tag; quote the value if it is meant as text.");
    }
    return parse->err->status;
}

/* ---- scalars, by the core schema of YAML 1.2 ---- */

static bool
is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static const char *
after_digits(const char *at, bool *any)
{
    for (; isdigit((unsigned char)*at); at++)
        *any = true;
    return at;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool
is_number(const char *text, bool *is_int)
{
    const char *at = text + (*text == '-' || *text == '+');
    bool any = false;

    at = after_digits(at, &any);
    *is_int = any && !*at;
    if (*at == '.')
        at = after_digits(at + 1, &any);
    if (!any)
        return false;
    if (*at == 'e' || *at == 'E') {
        any = false;
        at++;
        at += *at == '-' || *at == '+';
        at = after_digits(at, &any);
    }
    return any && !*at;
}

/* 8 for 0o17, 16 for 0x1F, else 0. */
static int
prefix_base(const char *text)
{
    if (strncmp(text, "0x", 2) == 0 && text[2])
        return text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] ? 0 : 16;
    if (strncmp(text, "0o", 2) == 0 && text[2])
        return text[2 + strspn(text + 2, "01234567")] ? 0 : 8;
    return 0;
}

static bool
is_infinity(const char *text)
{
    text += *text == '-' || *text == '+';
    return is_one_of(text, ".inf", ".Inf", ".INF");
}

static enum sea_status
read_integer(struct parse *parse, struct sea_node *node, int base)
{
    errno = 0;
    node->kind = SEA_NODE_INT;
    node->integer = strtoll(node->text + (base == 10 ? 0 : 2), NULL, base);
    node->real = (double)node->integer;
    if (errno != ERANGE)
        return SEA_OK;
    refuse(parse, parse->event.start_mark, "integer %.60s does not fit 64 bits", node->text);
    sea_hint(parse->err, "Put the value in quotes if it is a name rather than a number.");
    return parse->err->status;
}

static enum sea_status
read_plain(struct parse *parse, struct sea_node *node)
{
    const char *text = node->text;
    bool is_int = false;

    if (!*text || strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL")) {
        node->kind = SEA_NODE_NULL;
        node->text = NULL;
        node->text_len = 0;
    } else if (is_one_of(text, "true", "True", "TRUE")
               || is_one_of(text, "false", "False", "FALSE")) {
        node->kind = SEA_NODE_BOOL;
        node->integer = tolower((unsigned char)*text) == 't';
        node->text = NULL;
        node->text_len = 0;
    } else if (prefix_base(text)) {
        return read_integer(parse, node, prefix_base(text));
    } else if (is_number(text, &is_int)) {
        if (is_int)
            return read_integer(parse, node, 10);
        node->kind = SEA_NODE_REAL;
        node->real = strtod(text, NULL);
        if (!isfinite(node->real))
            return refuse(parse, parse->event.start_mark, "number %.60s is out of range", text);
    } else if (is_infinity(text)) {
        node->kind = SEA_NODE_REAL;
        node->real = *text == '-' ? -INFINITY : INFINITY;
    } else if (is_one_of(text, ".nan", ".NaN", ".NAN")) {
        node->kind = SEA_NODE_REAL;
        node->real = NAN;
    }
    return SEA_OK;
}

/* ---- the tree ---- */

static enum sea_status
read_scalar(struct parse *parse, struct sea_node *node)
{
    const yaml_event_t *event = &parse->event;
    enum sea_status status;

    status = refuse_extras(parse, event->data.scalar.anchor, event->data.scalar.tag);
    if (status)
        return status;
    node->kind = SEA_NODE_STRING;
    node->text_len = event->data.scalar.length;
    node->text = sea_arena_strndup(parse->arena, (const char *)event->data.scalar.value,
                                   node->text_len);
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return read_plain(parse, node);
    return SEA_OK;
}

/* The current event is the key of a member: *key is its copy in the arena. */
static enum sea_status
read_key(struct parse *parse, const char **key)
{
    const yaml_event_t *event = &parse->event;
    enum sea_status status;
    const char *text;

    *key = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return refuse(parse, event->start_mark, "alias \"*%.60s\" is not supported",
                      (const char *)event->data.alias.anchor);
    if (event->type != YAML_SCALAR_EVENT)
        return refuse(parse, event->start_mark, "a key must be plain text, not a list or a map");
    status = refuse_extras(parse, event->data.scalar.anchor, event->data.scalar.tag);
    if (status)
        return status;
    text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return refuse(parse, event->start_mark, "a key must not hold a zero byte");
    if (strcmp(text, "<<") == 0 && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return refuse(parse, event->start_mark, "merge key \"<<\" is not supported");
    *key = sea_arena_strdup(parse->arena, text);
    return SEA_OK;
}

static int
by_key_then_line(const void *a, const void *b)
{
    const struct sea_node *one = *(const struct sea_node *const *)a;
    const struct sea_node *two = *(const struct sea_node *const *)b;
    int order = strcmp(one->key, two->key);

    return order ? order : (one->line > two->line) - (one->line < two->line);
}

static enum sea_status
refuse_doubled_keys(struct parse *parse, const struct sea_node *map)
{
    const struct sea_node **sorted = sea_xcalloc(map->count, sizeof(*sorted));
    enum sea_status status = SEA_OK;
    const struct sea_node *child;
    size_t i = 0;

    for (child = map->first; child; child = child->next)
        sorted[i++] = child;
    qsort(sorted, map->count, sizeof(*sorted), by_key_then_line);
    for (i = 1; i < map->count && !status; i++) {
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) != 0)
            continue;
        status = sea_fail(parse->err, SEA_E_CONFIG,
                          "\"%s\" line %d: key \"%.100s\" stands in line %d already",
                          parse->name, sorted[i]->line, sorted[i]->key, sorted[i - 1]->line);
        sea_hint(parse->err, "Keep one of the two.");
    }
    free(sorted);
    return status;
}

static enum sea_status read_node(struct parse *parse, struct sea_node *node, int depth);

static enum sea_status
read_list(struct parse *parse, struct sea_node *list, int depth)
{
    enum sea_status status;

    list->kind = SEA_NODE_LIST;
    for (;;) {
        struct sea_node *item;

        status = next_event(parse);
        if (status || parse->event.type == YAML_SEQUENCE_END_EVENT)
            return status;
        item = sea_node_append(parse->arena, list, NULL, SEA_NODE_NULL);
        item->line = (int)parse->event.start_mark.line + 1;
        status = read_node(parse, item, depth);
        if (status)
            return status;
    }
}

static enum sea_status
read_map(struct parse *parse, struct sea_node *map, int depth)
{
    enum sea_status status;

    map->kind = SEA_NODE_MAP;
    for (;;) {
        struct sea_node *value;
        const char *key;
        int line;

        status = next_event(parse);
        if (status)
            return status;
        if (parse->event.type == YAML_MAPPING_END_EVENT)
            return refuse_doubled_keys(parse, map);
        line = (int)parse->event.start_mark.line + 1;
        status = read_key(parse, &key);
        if (!status)
            status = next_event(parse);
        if (status)
            return status;
        value = sea_node_append(parse->arena, map, key, SEA_NODE_NULL);
        value->line = line;
        status = read_node(parse, value, depth);
        if (status)
            return status;
    }
}

/* The current event opens the value; afterwards it is the event that ended it. */
static enum sea_status
read_node(struct parse *parse, struct sea_node *node, int depth)
{
    const yaml_event_t *event = &parse->event;
    enum sea_status status = SEA_OK;

    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(parse, node);
    case YAML_ALIAS_EVENT:
        refuse(parse, event->start_mark, "alias \"*%.60s\" is not supported",
               (const char *)event->data.alias.anchor);
        sea_hint(parse->err, "Write the value out where it is used.");
        return parse->err->status;
    case YAML_SEQUENCE_START_EVENT:
        status = refuse_extras(parse, event->data.sequence_start.anchor,
                               event->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        status = refuse_extras(parse, event->data.mapping_start.anchor,
                               event->data.mapping_start.tag);
        break;
    default:
        return refuse(parse, event->start_mark, "a value is missing");
    }
    if (status)
        return status;
    if (depth == SEA_NODE_DEPTH_MAX)
        return refuse(parse, event->start_mark, "nested deeper than %d lists or maps",
                      SEA_NODE_DEPTH_MAX);
    return event->type == YAML_MAPPING_START_EVENT ? read_map(parse, node, depth + 1)
                                                   : read_list(parse, node, depth + 1);
}

static enum sea_status
read_stream(struct parse *parse, struct sea_node *root)
{
    enum sea_status status;

    status = next_event(parse);         /* stream start */
    if (!status)
        status = next_event(parse);     /* document start */
    if (status)
        return status;
    if (parse->event.type == YAML_STREAM_END_EVENT)
        return sea_fail(parse->err, SEA_E_CONFIG, "\"%s\" is empty, need one YAML document",
                        parse->name);
    status = next_event(parse);
    if (status)
        return status;
    root->line = (int)parse->event.start_mark.line + 1;
    status = read_node(parse, root, 0);
    if (!status)
        status = next_event(parse);     /* document end */
    if (!status)
        status = next_event(parse);
    if (!status && parse->event.type != YAML_STREAM_END_EVENT)
        status = refuse(parse, parse->event.start_mark,
                        "a second document starts here, need exactly one");
    return status;
}

enum sea_status
sea_yaml_parse(const char *text, size_t len, const char *name, struct sea_arena *arena,
               struct sea_node **out, struct sea_err *err)
{
    struct parse parse = { .text = text, .len = len, .name = name, .arena = arena, .err = err };
    enum sea_status status;
    struct sea_node *root;

    *out = NULL;
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        parse.text += 3;        /* a byte order mark, which libyaml would take for text */
        parse.len -= 3;
    }
    if (!yaml_parser_initialize(&parse.parser))
        return sea_fail(err, SEA_E_INTERNAL, "no host memory for YAML \"%s\"", name);
    yaml_parser_set_encoding(&parse.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parse.parser, (const unsigned char *)parse.text,
                                 parse.len);
    root = sea_node_append(arena, NULL, NULL, SEA_NODE_NULL);
    status = read_stream(&parse, root);
    if (!status)
        *out = root;
    if (parse.has_event)
        yaml_event_delete(&parse.event);
    yaml_parser_delete(&parse.parser);
    return status;
}

enum sea_status
sea_yaml_load(const char *path, size_t max, struct sea_arena *arena, struct sea_node **out,
              struct sea_err *err)
{
    return sea_node_load(sea_yaml_parse, path, max, arena, out, err);
}
