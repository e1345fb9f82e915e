/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pillow's resize of 8-bit RGB, bit for bit: along x, then along y, 8 bits in between. A
 * picture that loses more than twice as many rows as columns goes along y first, as in Pillow
 * 13; older releases never do that, which makes one step of 255 here and there for pictures
 * that are more than twice as high as wide, and nothing else.
 *
 * An output number is a weighted sum of inputs around its centre; when a picture shrinks,
 * the filter grows with the step, so that every input counts. Weights are doubles that sum
 * to 1 and are then rounded to 22 bits after the point: sums stay within 32 bits.
 */
#include "engine/image_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"

#define POINT_BITS 22

struct filter {
    double (*weight)(double x);
    double support;             /* weight(x) is 0 for |x| >= support */
};

static double
bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double
bicubic(double x)               /* a = -0.5 */
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double
sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= 3.14159265358979323846;
    return sin(x) / x;
}

static double
lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct filter *
filter_of(enum sea_resample kind)
{
    static const struct filter filters[] = { { lanczos, 3.0 }, { bilinear, 1.0 },
                                             { bicubic, 2.0 } };

    return &filters[kind == SEA_RESAMPLE_LANCZOS ? 0 : kind == SEA_RESAMPLE_BILINEAR ? 1 : 2];
}

struct span {                   /* inputs first .. first + count - 1 of one output */
    int first, count;
};

struct weights {
    int width;                  /* numbers per output, the unused ones are 0 */
    struct span *spans;         // (out)
    int *fixed;                 // (out, width)
};

static void
weights_release(struct weights *weights)
{
    free(weights->spans);
    free(weights->fixed);
}

static void
weights_init(struct weights *weights, int in, int out, const struct filter *filter)
{
    double scale = (double)in / out, grow = scale < 1.0 ? 1.0 : scale;
    double support = filter->support * grow, center, sum, *row;
    struct span span;
    int end;

    weights->width = (int)ceil(support) * 2 + 1;
    weights->spans = sea_xcalloc((size_t)out, sizeof(*weights->spans));
    weights->fixed = sea_xcalloc((size_t)out * (size_t)weights->width, sizeof(*weights->fixed));
    row = sea_xcalloc((size_t)weights->width, sizeof(*row));
    for (int o = 0; o < out; o++) {
        int *fixed = weights->fixed + (size_t)o * (size_t)weights->width;

        center = (o + 0.5) * scale;
        span.first = (int)(center - support + 0.5);
        span.first = span.first < 0 ? 0 : span.first;
        end = (int)(center + support + 0.5);
        end = end > in ? in : end;
        span.count = end - span.first;
        sum = 0;
        for (int i = 0; i < span.count; i++) {
            row[i] = filter->weight((i + span.first - center + 0.5) * (1.0 / grow));
            sum += row[i];
        }
        for (int i = 0; i < span.count; i++) {
            if (sum != 0.0)
                row[i] /= sum;
            fixed[i] = (int)((row[i] < 0 ? -0.5 : 0.5) + row[i] * (1 << POINT_BITS));
        }
        weights->spans[o] = span;
    }
    free(row);
}

static unsigned char
clip(int sum)
{
    sum >>= POINT_BITS;
    return (unsigned char)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void
along_x(const unsigned char *in, int in_w, int rows, unsigned char *out, int out_w,
        const struct weights *weights)
{
    for (int y = 0; y < rows; y++) {
        const unsigned char *from = in + (size_t)y * (size_t)in_w * 3;
        unsigned char *to = out + (size_t)y * (size_t)out_w * 3;

        for (int x = 0; x < out_w; x++) {
            const int *w = weights->fixed + (size_t)x * (size_t)weights->width;
            const unsigned char *p = from + (size_t)weights->spans[x].first * 3;
            int r = 1 << (POINT_BITS - 1), g = r, b = r;

            for (int i = 0; i < weights->spans[x].count; i++, p += 3) {
                r += p[0] * w[i];
                g += p[1] * w[i];
                b += p[2] * w[i];
            }
            to[3 * x] = clip(r);
            to[3 * x + 1] = clip(g);
            to[3 * x + 2] = clip(b);
        }
    }
}

/* Row by row of the input, so that the inner loop runs over memory that lies together. */
static void
along_y(const unsigned char *in, int width, unsigned char *out, int out_h,
        const struct weights *weights)
{
    size_t stride = (size_t)width * 3;
    int *sums = sea_xcalloc(stride, sizeof(*sums));

    for (int y = 0; y < out_h; y++) {
        const int *w = weights->fixed + (size_t)y * (size_t)weights->width;
        const unsigned char *from = in + (size_t)weights->spans[y].first * stride;

        for (size_t i = 0; i < stride; i++)
            sums[i] = 1 << (POINT_BITS - 1);
        for (int k = 0; k < weights->spans[y].count; k++, from += stride)
            for (size_t i = 0; i < stride; i++)
                sums[i] += from[i] * w[k];
        for (size_t i = 0; i < stride; i++)
            out[(size_t)y * stride + i] = clip(sums[i]);
    }
    free(sums);
}

/* Along one side only; the other keeps its length. */
static void
one_pass(const unsigned char *in, int in_w, int in_h, unsigned char *out, int out_w, int out_h,
         const struct filter *filter)
{
    struct weights weights;

    if (in_w != out_w) {
        weights_init(&weights, in_w, out_w, filter);
        along_x(in, in_w, in_h, out, out_w, &weights);
    } else {
        weights_init(&weights, in_h, out_h, filter);
        along_y(in, in_w, out, out_h, &weights);
    }
    weights_release(&weights);
}

void
sea_resample(const unsigned char *in, int in_w, int in_h, unsigned char *out, int out_w,
             int out_h, enum sea_resample kind)
{
    bool y_first = in_h > out_h && in_h - out_h > 2 * (in_w - out_w);
    int mid_w = y_first ? in_w : out_w, mid_h = y_first ? out_h : in_h;
    const struct filter *filter = filter_of(kind);
    unsigned char *between;

    if (in_w == out_w && in_h == out_h) {
        memcpy(out, in, (size_t)in_w * (size_t)in_h * 3);
    } else if (in_w == out_w || in_h == out_h) {
        one_pass(in, in_w, in_h, out, out_w, out_h, filter);
    } else {
        between = sea_xcalloc((size_t)mid_w * (size_t)mid_h, 3);
        one_pass(in, in_w, in_h, between, mid_w, mid_h, filter);
        one_pass(between, mid_w, mid_h, out, out_w, out_h, filter);
        free(between);
    }
}
