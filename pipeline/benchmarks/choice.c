/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choice.c - multiple choice: options as they are written, and the score of an answer
 *
 * One answer gives different letters in different parsers, so a parser's name is part of
 * every score. What none resolves is wrong and counted; nothing is drawn at random.
 */
#include <ctype.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

/* ---- options ---- */

void
sea_choice_read(struct sea_choice *choice, const struct sea_node *row, struct sea_arena *arena)
{
    const struct sea_node *list = sea_bench_field(row, "options choices");
    struct sea_py_texts texts;

    *choice = (struct sea_choice){ .answer = -1 };
    if (list) {
        sea_py_texts_of(list, arena, &texts);
        for (size_t i = 0; i < texts.count && i < SEA_CHOICES_MAX; i++)
            choice->options[choice->count++] = texts.at[i];
        return;
    }
    for (int i = 0; i < SEA_CHOICES_MAX; i++) {
        char names[32];

        snprintf(names, sizeof(names), "%c choice_%c", 'A' + i, 'a' + i);
        choice->options[i] = sea_bench_cell_text(row, names, arena);
        if (!choice->options[i])
            break;
        choice->count++;
    }
}

int
sea_choice_answer(const struct sea_choice *choice, const struct sea_node *row, const char *names,
                  bool from_index)
{
    const struct sea_node *node = sea_bench_field(row, names);
    const char *text = sea_node_text(node, "");
    int64_t index = -1;

    if (!node)
        return -1;
    if (from_index && node->kind == SEA_NODE_INT)
        return node->integer >= 0 && node->integer < choice->count ? (int)node->integer : -1;
    if (from_index && sea_py_int(text, &index))
        return index >= 0 && index < choice->count ? (int)index : -1;
    text += *text == '(';
    if (!text[0] || (text[1] && strcmp(text + 1, ")") != 0 && strcmp(text + 1, ".") != 0))
        return -1;
    index = toupper((unsigned char)text[0]) - 'A';
    return index >= 0 && index < (choice->count ? choice->count : SEA_CHOICES_MAX) ? (int)index
                                                                                   : -1;
}

void
sea_choice_list(const struct sea_choice *choice, bool bracketed, struct sea_buf *out)
{
    for (int i = 0; i < choice->count; i++)
        sea_buf_addf(out, bracketed ? "\n(%c) %s" : "\n%c. %s", 'A' + i, choice->options[i]);
}

const char *
sea_choice_prompt(const struct sea_choice *choice, const char *question, bool bracketed,
                  const char *suffix, struct sea_arena *arena)
{
    struct sea_buf text;
    const char *out;

    sea_buf_init(&text, SIZE_MAX / 2);  /* of texts that are in memory */
    sea_buf_puts(&text, question);
    sea_choice_list(choice, bracketed, &text);
    sea_buf_puts(&text, suffix);
    out = sea_arena_strndup(arena, text.len ? text.data : "", text.len);
    sea_buf_release(&text);
    return out;
}

void
sea_choice_score(struct sea_bench_scoring *s, struct sea_bench_row *row,
                 const struct sea_choice *choice, const char *parser)
{
    static const char names[] = "A\0B\0C\0D\0E\0F\0G\0H\0I\0J\0K\0L\0M\0N\0O\0P\0Q\0R\0S\0T\0U\0V\0"
                                "W\0X\0Y\0Z";
    int letter = sea_choice_find(parser)(row->text, choice);

    (void)s;
    row->is_failed = letter < 0;
    row->parsed = letter < 0 ? "" : names + 2 * letter;
    row->gold = choice->answer < 0 ? "" : names + 2 * choice->answer;
    row->score = letter >= 0 && letter == choice->answer;
}
