/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xlsx.c - the first sheet of a workbook as rows, and a sheet written
 *
 * The XML that spreadsheets hold is regular: elements, attributes, text with five named
 * entities and numbered ones. That is what is read here; prefixes of names are dropped,
 * comments and declarations passed over. Control characters stand in texts as _x000D_.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"
#include "pipeline/benchmarks/xlsx_int.h"

#define PART_BYTES_MAX ((size_t)1 << 30)
#define COLUMNS_MAX 1024
#define PACKAGE "http://schemas.openxmlformats.org/package/2006/"
#define OFFICE "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
#define SHEET "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
#define DECLARATION "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n"

/* ---- XML ---- */

struct xml {
    const char *at, *end;
    const char *name;           /* of the tag that next found, without its prefix */
    size_t name_len;
    const char *rest;           /* the tag's attributes, up to rest_end */
    const char *rest_end;
    bool is_close, is_empty;    /* </name>; <name/> */
};

/* Moves behind the next tag; false at the end. Text lies between at and the next "<". */
static bool
next_tag(struct xml *x)
{
    while ((x->at = memchr(x->at, '<', (size_t)(x->end - x->at))) != NULL) {
        const char *start = x->at + 1, *close = start, *colon;
        char quote = 0;

        for (; close < x->end && (quote || *close != '>'); close++)
            if (quote ? *close == quote : *close == '"' || *close == '\'')
                quote = quote ? 0 : *close;
        if (close >= x->end)
            break;
        x->at = close + 1;
        if (*start == '?' || *start == '!')
            continue;
        x->is_close = *start == '/';
        x->is_empty = close[-1] == '/';
        start += x->is_close;
        x->name = start;
        while (start < close && !strchr(" \t\r\n/", *start))
            start++;
        colon = memchr(x->name, ':', (size_t)(start - x->name));
        x->name = colon ? colon + 1 : x->name;
        x->name_len = (size_t)(start - x->name);
        x->rest = start;
        x->rest_end = close;
        return true;
    }
    x->at = x->end;
    return false;
}

static bool
is_tag(const struct xml *x, const char *name)
{
    return x->name_len == strlen(name) && memcmp(x->name, name, x->name_len) == 0;
}

static void
put_code(struct sea_buf *out, unsigned long code)
{
    char b[4];

    if (code < 0x80) {
        b[0] = (char)code;
        sea_buf_add(out, b, 1);
    } else if (code < 0x800) {
        b[0] = (char)(0xC0 | code >> 6);
        b[1] = (char)(0x80 | (code & 0x3F));
        sea_buf_add(out, b, 2);
    } else if (code < 0x10000) {
        b[0] = (char)(0xE0 | code >> 12);
        b[1] = (char)(0x80 | (code >> 6 & 0x3F));
        b[2] = (char)(0x80 | (code & 0x3F));
        sea_buf_add(out, b, 3);
    } else if (code < 0x110000) {
        b[0] = (char)(0xF0 | code >> 18);
        b[1] = (char)(0x80 | (code >> 12 & 0x3F));
        b[2] = (char)(0x80 | (code >> 6 & 0x3F));
        b[3] = (char)(0x80 | (code & 0x3F));
        sea_buf_add(out, b, 4);
    }
}

/* "&amp;" and the like at `at`; its length, 0 when it is none. */
static size_t
entity(const char *at, const char *end, struct sea_buf *out)
{
    static const struct { const char *name; char means; } names[] = {
        { "amp;", '&' }, { "lt;", '<' }, { "gt;", '>' }, { "quot;", '"' }, { "apos;", '\'' },
    };
    size_t left = (size_t)(end - at) - 1, n;
    char digits[12];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        n = strlen(names[i].name);
        if (left >= n && memcmp(at + 1, names[i].name, n) == 0) {
            sea_buf_add(out, &names[i].means, 1);
            return n + 1;
        }
    }
    for (n = 0; n < left && n < sizeof(digits) - 1 && at[n + 1] != ';'; n++)
        digits[n] = at[n + 1];
    digits[n] = 0;
    if (n < 2 || n == left || at[n + 1] != ';' || digits[0] != '#')
        return 0;
    put_code(out, digits[1] == 'x' ? strtoul(digits + 2, NULL, 16)
                                   : strtoul(digits + 1, NULL, 10));
    return n + 2;
}

/* Text up to the next tag, appended without its escapes; _x000D_ becomes the character. */
static void
add_text(struct xml *x, struct sea_buf *out)
{
    const char *end = memchr(x->at, '<', (size_t)(x->end - x->at));

    for (end = end ? end : x->end; x->at < end;) {
        size_t n = *x->at == '&' ? entity(x->at, end, out) : 0;

        if (n == 0 && end - x->at >= 7 && x->at[0] == '_' && x->at[1] == 'x' && x->at[6] == '_' &&
            strspn(x->at + 2, "0123456789abcdefABCDEF") >= 4) {
            char digits[5] = { x->at[2], x->at[3], x->at[4], x->at[5], 0 };

            put_code(out, strtoul(digits, NULL, 16));
            n = 7;
        }
        if (n == 0) {
            for (n = 1; x->at + n < end && x->at[n] != '&' && x->at[n] != '_';)
                n++;
            sea_buf_add(out, x->at, n);
        }
        x->at += n;
    }
}

/* Value of an attribute, "" when it is missing. Its name may have a prefix (r:id). */
static void
attribute(const struct xml *x, const char *name, char *out, size_t room)
{
    size_t n = strlen(name);

    out[0] = 0;
    for (const char *at = x->rest; at < x->rest_end; at++) {
        const char *from, *to;

        if ((size_t)(x->rest_end - at) <= n + 2 || memcmp(at, name, n) != 0 || at[n] != '=' ||
            !strchr(" \t\r\n:", at[-1]))
            continue;
        from = at + n + 2;
        to = memchr(from, at[n + 1], (size_t)(x->rest_end - from));
        if (to && (size_t)(to - from) < room)
            snprintf(out, room, "%.*s", (int)(to - from), from);
        return;
    }
}

/* ---- parts of the archive ---- */

struct book {
    struct sea_zip zip;
    struct sea_arena *arena;
    struct sea_buf part;        /* the sheet */
    const char **shared;        /* texts that cells name by number */
    size_t shared_count;
    const char **columns;       // (COLUMNS_MAX), NULL: no name
    size_t columns_count;
    struct sea_node *rows;
};

static struct xml
xml_of(const struct sea_buf *part)
{
    return (struct xml){ .at = part->data, .end = part->data + part->len };
}

/* Path of the first sheet: named in workbook.xml by an id, which workbook.xml.rels explains. */
static enum sea_status
find_sheet(const struct book *book, char path[256], struct sea_err *err)
{
    char id[128] = "", one[128], target[200];
    struct sea_buf part;
    struct xml x;
    bool found = false;
    enum sea_status status;

    sea_buf_init(&part, PART_BYTES_MAX);
    status = sea_zip_read(&book->zip, "xl/workbook.xml", &part, &found, err);
    x = xml_of(&part);
    while (!status && !id[0] && next_tag(&x))
        if (is_tag(&x, "sheet") && !x.is_close)
            attribute(&x, "id", id, sizeof(id));
    sea_buf_clear(&part);
    if (!status)
        status = sea_zip_read(&book->zip, "xl/_rels/workbook.xml.rels", &part, &found, err);
    x = xml_of(&part);
    snprintf(path, 256, "xl/worksheets/sheet1.xml");
    while (!status && next_tag(&x)) {
        attribute(&x, "Id", one, sizeof(one));
        if (!is_tag(&x, "Relationship") || !one[0] || strcmp(one, id) != 0)
            continue;
        attribute(&x, "Target", target, sizeof(target));
        snprintf(path, 256, "%s%s", target[0] == '/' ? "" : "xl/", target + (target[0] == '/'));
    }
    sea_buf_release(&part);
    return status;
}

/* Texts of <si>, each made of one or more <t>; what stands in <rPh> is how to say them. */
static enum sea_status
read_shared(struct book *book, struct sea_err *err)
{
    struct sea_buf part, text;
    size_t room = 0;
    bool found, aside = false;
    struct xml x;
    enum sea_status status;

    sea_buf_init(&part, PART_BYTES_MAX);
    sea_buf_init(&text, PART_BYTES_MAX);
    status = sea_zip_read(&book->zip, "xl/sharedStrings.xml", &part, &found, err);
    x = xml_of(&part);
    while (!status && next_tag(&x)) {
        if (is_tag(&x, "rPh"))
            aside = !x.is_close && !x.is_empty;
        if (is_tag(&x, "t") && !x.is_close && !x.is_empty && !aside)
            add_text(&x, &text);
        if (!is_tag(&x, "si") || !(x.is_close || x.is_empty))
            continue;
        if (book->shared_count == room)
            book->shared = sea_arena_grow(book->arena, book->shared, &room, 64,
                                          sizeof(*book->shared));
        book->shared[book->shared_count++] =
            sea_arena_strndup(book->arena, text.len ? text.data : "", text.len);
        sea_buf_clear(&text);
    }
    sea_buf_release(&part);
    sea_buf_release(&text);
    return status;
}

/* ---- cells ---- */

struct cell {
    char type[16];              /* of the attribute t; "": a number */
    size_t column;
    struct sea_buf text;
    bool is_there;
};

/* "AB12" is column 27. */
static size_t
column_of(const char *reference, size_t fallback)
{
    size_t column = 0;

    if (!reference[0])
        return fallback;
    for (; *reference >= 'A' && *reference <= 'Z' && column < COLUMNS_MAX; reference++)
        column = 26 * column + (size_t)(*reference - 'A') + 1;
    return column ? column - 1 : fallback;
}

static enum sea_status
put_cell(struct book *book, const struct cell *cell, struct sea_node *row, struct sea_err *err)
{
    const char *text = cell->text.len ? cell->text.data : "", *name;
    int64_t whole;
    double number;

    if (cell->column >= COLUMNS_MAX)
        return sea_fail(err, SEA_E_FORMAT, "file \"%s\", row %d of the sheet: more than %d columns",
                        book->zip.path, row ? row->line : 1, COLUMNS_MAX);
    if (strcmp(cell->type, "s") == 0) {
        if (!sea_py_int(text, &whole) || whole < 0 || (size_t)whole >= book->shared_count)
            return sea_fail(err, SEA_E_FORMAT, "file \"%s\", row %d of the sheet: text \"%.20s\" is "
                            "not among the %zu of the workbook", book->zip.path,
                            row ? row->line : 1, text, book->shared_count);
        text = book->shared[whole];
    }
    if (!sea_text_is_valid(text, strlen(text)))
        return sea_fail(err, SEA_E_FORMAT, "file \"%s\", row %d of the sheet: a text is not valid "
                        "UTF-8", book->zip.path, row ? row->line : 1);
    if (!row) {                 /* the first one names the columns */
        book->columns[cell->column] = text[0] ? sea_arena_strdup(book->arena, text) : NULL;
        if (cell->column >= book->columns_count)
            book->columns_count = cell->column + 1;
        return SEA_OK;
    }
    name = cell->column < book->columns_count ? book->columns[cell->column] : NULL;
    if (!name || !text[0])
        return SEA_OK;
    if (strcmp(cell->type, "b") == 0)
        sea_node_put_bool(book->arena, row, name, text[0] == '1');
    else if (cell->type[0] && strcmp(cell->type, "n") != 0)
        sea_node_put_text(book->arena, row, name, text);
    else if (sea_py_int(text, &whole))
        sea_node_put_int(book->arena, row, name, whole);
    else if (sea_py_float(text, &number) && number > -1e15 && number < 1e15 &&
             number == (double)(int64_t)number)
        sea_node_put_int(book->arena, row, name, (int64_t)number);
    else if (sea_py_float(text, &number))
        sea_node_put_real(book->arena, row, name, number);
    else
        sea_node_put_text(book->arena, row, name, text);
    return SEA_OK;
}

/* An empty row, with "" in every column; NULL for the row of names. */
static struct sea_node *
begin_row(struct book *book, const struct xml *x, int *line)
{
    struct sea_node *row;
    char number[16];
    int64_t given;

    attribute(x, "r", number, sizeof(number));
    *line = sea_py_int(number, &given) && given > 0 && given < 10000000 ? (int)given : *line + 1;
    if (book->columns_count == 0)
        return NULL;
    row = sea_node_put(book->arena, NULL, NULL, SEA_NODE_MAP);
    row->line = *line;
    for (size_t i = 0; i < book->columns_count; i++)
        if (book->columns[i])
            sea_node_put_text(book->arena, row, book->columns[i], "");
    return row;
}

static void
end_row(struct book *book, struct sea_node *row, bool filled)
{
    if (!row || !filled)
        return;
    if (book->rows->last)
        book->rows->last->next = row;
    else
        book->rows->first = row;
    book->rows->last = row;
    book->rows->count++;
}

static enum sea_status
read_cells(struct book *book, struct sea_err *err)
{
    struct xml x = xml_of(&book->part);
    struct cell cell = { .type = "" };
    struct sea_node *row = NULL;
    bool aside = false, filled = false;
    enum sea_status status = SEA_OK;
    char reference[16];
    size_t next = 0;
    int line = 0;

    sea_buf_init(&cell.text, PART_BYTES_MAX);
    while (!status && next_tag(&x)) {
        bool opens = !x.is_close && !x.is_empty;

        if (is_tag(&x, "row") && x.is_close) {
            end_row(book, row, filled);
        } else if (is_tag(&x, "row")) {
            row = begin_row(book, &x, &line);
            filled = false;
            next = 0;
        } else if (is_tag(&x, "c") && !x.is_close) {
            attribute(&x, "r", reference, sizeof(reference));
            attribute(&x, "t", cell.type, sizeof(cell.type));
            cell.column = column_of(reference, next);
            next = cell.column + 1;
            sea_buf_clear(&cell.text);
        } else if (is_tag(&x, "rPh")) {
            aside = opens;
        } else if ((is_tag(&x, "v") || is_tag(&x, "t")) && opens && !aside) {
            add_text(&x, &cell.text);
        } else if (is_tag(&x, "c")) {
            filled = filled || cell.text.len > 0;
            status = put_cell(book, &cell, row, err);
        }
    }
    sea_buf_release(&cell.text);
    return status;
}

bool
sea_xlsx_is(const char *at, size_t len)
{
    return len >= 4 && memcmp(at, "PK\3\4", 4) == 0;
}

enum sea_status
sea_xlsx_read(const char *at, size_t len, const char *path, struct sea_arena *arena,
              struct sea_node **out, struct sea_err *err)
{
    struct book book = { .zip = { .at = at, .len = len, .path = path }, .arena = arena };
    enum sea_status status;
    bool found = false;
    char sheet[256];

    *out = NULL;
    sea_buf_init(&book.part, PART_BYTES_MAX);
    book.columns = sea_arena_alloc(arena, COLUMNS_MAX, sizeof(char *));
    book.rows = sea_node_put(arena, NULL, NULL, SEA_NODE_LIST);
    status = find_sheet(&book, sheet, err);
    if (!status)
        status = read_shared(&book, err);
    if (!status)
        status = sea_zip_read(&book.zip, sheet, &book.part, &found, err);
    if (!status && !found) {
        status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" is a zip archive without a sheet \"%s\"",
                          path, sheet);
        sea_hint(err, "Only spreadsheets (.xlsx) are read; unpack other archives first.");
    }
    if (!status)
        status = read_cells(&book, err);
    if (!status && book.columns_count == 0)
        status = sea_fail(err, SEA_E_FORMAT, "the first sheet of file \"%s\" is empty", path);
    sea_buf_release(&book.part);
    if (!status)
        *out = book.rows;
    return status;
}

/* ---- writing ---- */

void
sea_xlsx_begin(struct sea_xlsx_writer *writer)
{
    *writer = (struct sea_xlsx_writer){ .row = 0 };
    sea_buf_init(&writer->sheet, PART_BYTES_MAX);
    sea_buf_puts(&writer->sheet, DECLARATION "<worksheet xmlns=\"" SHEET "\"><sheetData>");
}

void
sea_xlsx_row(struct sea_xlsx_writer *writer)
{
    sea_buf_addf(&writer->sheet, "%s<row r=\"%zu\">", writer->row ? "</row>" : "", writer->row + 1);
    writer->row++;
    writer->column = 0;
}

/* Characters that XML or its readers would change are written as _x000D_. */
static void
escape(struct sea_buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '&')
            sea_buf_puts(out, "&amp;");
        else if (c == '<')
            sea_buf_puts(out, "&lt;");
        else if (c == '>')
            sea_buf_puts(out, "&gt;");
        else if ((c < 0x20 && c != '\t' && c != '\n') ||
                 (c == '_' && text[1] == 'x' && strlen(text) >= 7 && text[6] == '_'))
            sea_buf_addf(out, "_x%04X_", c);
        else
            sea_buf_add(out, text, 1);
    }
}

static void
begin_cell(struct sea_xlsx_writer *writer)
{
    assert(writer->column < 26);
    sea_buf_addf(&writer->sheet, "<c r=\"%c%zu\"", (char)('A' + writer->column), writer->row);
    writer->column++;
}

void
sea_xlsx_text(struct sea_xlsx_writer *writer, const char *text)
{
    if (!text || !text[0]) {
        writer->column++;
        return;
    }
    begin_cell(writer);
    sea_buf_puts(&writer->sheet, " t=\"inlineStr\"><is><t xml:space=\"preserve\">");
    escape(&writer->sheet, text);
    sea_buf_puts(&writer->sheet, "</t></is></c>");
}

void
sea_xlsx_number(struct sea_xlsx_writer *writer, const char *digits)
{
    begin_cell(writer);
    sea_buf_addf(&writer->sheet, "><v>%s</v></c>", digits);
}

void
sea_xlsx_finish(struct sea_xlsx_writer *writer, struct sea_buf *out)
{
    static const struct { const char *name, *text; } parts[] = {
        { "[Content_Types].xml",
          DECLARATION "<Types xmlns=\"" PACKAGE "content-types\">"
          "<Default Extension=\"rels\" ContentType=\"application/"
          "vnd.openxmlformats-package.relationships+xml\"/>"
          "<Default Extension=\"xml\" ContentType=\"application/xml\"/>"
          "<Override PartName=\"/xl/workbook.xml\" ContentType=\"application/"
          "vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>"
          "<Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"application/"
          "vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/></Types>" },
        { "_rels/.rels",
          DECLARATION "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" "
          "Type=\"" OFFICE "/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>" },
        { "xl/workbook.xml",
          DECLARATION "<workbook xmlns=\"" SHEET "\" xmlns:r=\"" OFFICE "\"><sheets>"
          "<sheet name=\"Sheet1\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>" },
        { "xl/_rels/workbook.xml.rels",
          DECLARATION "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" "
          "Type=\"" OFFICE "/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>" },
    };
    struct sea_zip_writer zip;

    sea_buf_puts(&writer->sheet, writer->row ? "</row>" : "");
    sea_buf_puts(&writer->sheet, "</sheetData></worksheet>");
    sea_zip_begin(&zip, out);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        sea_zip_add(&zip, parts[i].name, parts[i].text, strlen(parts[i].text));
    sea_zip_add(&zip, "xl/worksheets/sheet1.xml", writer->sheet.data, writer->sheet.len);
    sea_zip_finish(&zip);
    sea_buf_release(&writer->sheet);
}
