/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/stages/overlay_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"

#define GLYPH_W 5
#define GLYPH_H 7
#define CELL 72                 /* pixels per side of a patch: 11 letters of 6 pixels */
#define LINES 5                 /* of one patch */
#define SIDE_MAX 8192           /* pixels of the result */

/* Capital letters and digits, seven rows of five bits each, leftmost bit highest. */
static const unsigned char letters[26][GLYPH_H] = {
    { 0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11 }, { 0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e },
    { 0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e }, { 0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e },
    { 0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f }, { 0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10 },
    { 0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f }, { 0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11 },
    { 0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e }, { 0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c },
    { 0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11 }, { 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f },
    { 0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11 }, { 0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11 },
    { 0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e }, { 0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10 },
    { 0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d }, { 0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11 },
    { 0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e }, { 0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04 },
    { 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e }, { 0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04 },
    { 0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11 }, { 0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11 },
    { 0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04 }, { 0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f },
};
static const unsigned char digits[10][GLYPH_H] = {
    { 0x0e, 0x13, 0x15, 0x15, 0x19, 0x11, 0x0e }, { 0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e },
    { 0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f }, { 0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e },
    { 0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02 }, { 0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e },
    { 0x0e, 0x10, 0x1e, 0x11, 0x11, 0x11, 0x0e }, { 0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08 },
    { 0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e }, { 0x0e, 0x11, 0x11, 0x0f, 0x01, 0x01, 0x0e },
};
static const unsigned char dash[GLYPH_H] = { 0, 0, 0, 0x1f, 0, 0, 0 };
static const unsigned char tick[GLYPH_H] = { 0x04, 0x04, 0x08, 0, 0, 0, 0 };
static const unsigned char other[GLYPH_H] = { 0x0e, 0x11, 0x01, 0x02, 0x04, 0x00, 0x04 };

struct canvas {
    unsigned char *rgb;
    int width, height;
};

static void
put_pixel(struct canvas *canvas, int x, int y, unsigned char grey)
{
    if (x >= 0 && y >= 0 && x < canvas->width && y < canvas->height)
        memset(canvas->rgb + 3 * ((size_t)y * (size_t)canvas->width + (size_t)x), grey, 3);
}

static const unsigned char *
glyph(unsigned char c)
{
    if (isalpha(c))
        return letters[toupper(c) - 'A'];
    if (isdigit(c))
        return digits[c - '0'];
    return c == '-' ? dash : c == '\'' ? tick : other;
}

/* White on a black ground that is a pixel wider, so that any picture lets it be read. */
static void
draw_line(struct canvas *canvas, const char *text, int len, int x, int y)
{
    int i, gx, gy;

    for (gy = -1; gy <= GLYPH_H; gy++)
        for (gx = -1; gx < len * (GLYPH_W + 1); gx++)
            put_pixel(canvas, x + gx, y + gy, 0);
    for (i = 0; i < len; i++) {
        const unsigned char *rows = glyph((unsigned char)text[i]);

        for (gy = 0; gy < GLYPH_H; gy++)
            for (gx = 0; gx < GLYPH_W; gx++)
                if (rows[gy] >> (GLYPH_W - 1 - gx) & 1)
                    put_pixel(canvas, x + i * (GLYPH_W + 1) + gx, y + gy, 255);
    }
}

static void
draw_word(struct canvas *canvas, const char *word, int x, int y, int cell)
{
    int fits = (cell - 2) / (GLYPH_W + 1), line;

    y += 3;
    for (line = 0; line < LINES && *word; line++) {
        int len = (int)strcspn(word, " ");

        len = len > fits ? fits : len;
        draw_line(canvas, word, len, x + 2, y);
        y += GLYPH_H + 2;
        word += len;
        word += strspn(word, " ");
    }
}

/* Nearest pixel: small pictures keep their edges. */
static void
enlarge(struct canvas *canvas, const struct sea_image *image)
{
    int x, y;

    for (y = 0; y < canvas->height; y++)
        for (x = 0; x < canvas->width; x++) {
            size_t from_y = (size_t)((int64_t)y * image->height / canvas->height);
            size_t from_x = (size_t)((int64_t)x * image->width / canvas->width);

            memcpy(canvas->rgb + 3 * ((size_t)y * (size_t)canvas->width + (size_t)x),
                   image->rgb + 3 * (from_y * (size_t)image->width + from_x), 3);
        }
}

static void
draw_grid(struct canvas *canvas, int grid, int cell)
{
    int i, k;

    for (i = 1; i < grid; i++)
        for (k = 0; k < grid * cell; k += 2) {
            put_pixel(canvas, i * cell, k, 96);
            put_pixel(canvas, k, i * cell, 96);
        }
}

enum sea_status
sea_overlay_write(const char *path, const struct sea_image *image, int grid,
                  const char *const *words, struct sea_err *err)
{
    int cell = CELL * grid > SIDE_MAX ? SIDE_MAX / grid : CELL, side = cell * grid, p;
    struct canvas canvas = { .width = side, .height = side };
    enum sea_status status;

    canvas.rgb = sea_xcalloc((size_t)side * (size_t)side, 3);
    enlarge(&canvas, image);
    draw_grid(&canvas, grid, cell);
    for (p = 0; p < grid * grid; p++)
        if (words[p])
            draw_word(&canvas, words[p], p % grid * cell, p / grid * cell, cell);
    status = sea_image_write_png(path, canvas.rgb, side, side, err);
    free(canvas.rgb);
    return status;
}
