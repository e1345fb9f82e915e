/* SPDX-License-Identifier: Apache-2.0 */
/* Rows moved by index, casts, gains of columns, rotary positions and patches: exact where
 * nothing is rounded, sums in the order of rows, threads, strides, guards, refusals. */
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/twin.h"

static const int64_t shapes[][2] = { { 1, 1 }, { 7, 13 }, { 129, 7 }, { 500, 130 } };
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]), TABLE = 37 };

static int32_t *
indices(int64_t R)
{
    int32_t *idx = kt_ints(R);

    for (int64_t r = 0; r < R; r++)
        idx[r] = (int32_t)(kt_bits() % (TABLE + 3)) - 3;        /* some are negative */
    return idx;
}

static void
gather_copies_or_adds_rows(void)
{
    for (int d = 0; d < kt_open(); d++)
        for (int i = 0; i < SHAPES; i++)
            for (int variant = 0; variant < 4; variant++) {
                enum sea_store type = variant & 2 ? SEA_STORE_BF16 : SEA_STORE_F32;
                int64_t R = shapes[i][0], C = shapes[i][1], ld_inp = C + 1, ld_out = C + 2;
                int add = variant & 1;
                void *inp = kt_weights(type, TABLE * ld_inp, 1.0f);
                float *start = kt_random(R * ld_out, 1.0f);
                float *want = kt_copy(start, R * ld_out);
                int32_t *idx = indices(R);

                for (int64_t r = 0; r < R; r++)
                    for (int64_t c = 0; c < C; c++) {
                        float from = idx[r] < 0 ? 0.0f
                                                : kt_weight_at(type, inp, idx[r] * ld_inp + c);

                        want[r * ld_out + c] = (add ? want[r * ld_out + c] : 0.0f) + from;
                    }
                for (int t = 0; t < 2; t++) {
                    struct sea_op_gather op = { .inp = inp, .inp_type = type, .idx = idx, .R = R,
                                                .C = C, .out = kt_copy(start, R * ld_out),
                                                .ld_inp = ld_inp, .ld_out = ld_out, .add = add };

                    CHECK_INT(sea_cpu_ops.gather(kt_sets[d].dev[t], &op), 0);
                    kt_same("gather", kt_sets[d].isa->name, op.out, want, R * ld_out);
                }
                kt_done();
            }
}

/* Rows sorted by (idx, r), the slow way. */
static int32_t *
order_of(const int32_t *idx, int64_t R)
{
    int32_t *order = kt_ints(R);
    int64_t n = 0;

    for (int32_t value = -3; value < TABLE; value++)
        for (int64_t r = 0; r < R; r++)
            if (idx[r] == value)
                order[n++] = (int32_t)r;
    return order;
}

static void
scatter_adds_in_the_order_of_rows(void)
{
    for (int d = 0; d < kt_open(); d++)
        for (int i = 0; i < SHAPES; i++)
            for (int same = 0; same < 2; same++) {      /* same: all rows to one place */
                int64_t R = shapes[i][0], C = shapes[i][1], ld_inp = C + 3, ld_out = C + 1;
                float *inp = kt_random(R * ld_inp, 1.0f);
                float *start = kt_random(TABLE * ld_out, 1.0f);
                float *want = kt_copy(start, TABLE * ld_out);
                int32_t *idx = indices(R);

                for (int64_t r = 0; r < R; r++) {
                    idx[r] = same ? 5 : idx[r];
                    for (int64_t c = 0; idx[r] >= 0 && c < C; c++)
                        want[idx[r] * ld_out + c] += inp[r * ld_inp + c];
                }
                for (int t = 0; t < 2; t++) {
                    struct sea_op_scatter op = { .inp = inp, .idx = idx, .order = order_of(idx, R),
                                                 .out = kt_copy(start, TABLE * ld_out), .R = R,
                                                 .C = C, .ld_inp = ld_inp, .ld_out = ld_out,
                                                 .add = 1 };

                    CHECK_INT(sea_cpu_ops.scatter(kt_sets[d].dev[t], &op), 0);
                    kt_same("scatter, added", kt_sets[d].isa->name, op.out, want,
                            TABLE * ld_out);
                }
                kt_done();
            }
}

static void
scatter_overwrites_distinct_rows(void)
{
    for (int d = 0; d < kt_open(); d++) {
        int64_t R = 30, C = 21;
        float *inp = kt_random(R * C, 1.0f), *start = kt_random(TABLE * C, 1.0f);
        float *want = kt_copy(start, TABLE * C);
        int32_t *idx = kt_ints(R);

        for (int64_t r = 0; r < R; r++) {
            idx[r] = r % 7 == 3 ? -1 : (int32_t)((r * 11) % TABLE);
            for (int64_t c = 0; idx[r] >= 0 && c < C; c++)
                want[idx[r] * C + c] = inp[r * C + c];
        }
        for (int t = 0; t < 2; t++) {
            struct sea_op_scatter op = { .inp = inp, .idx = idx, .out = kt_copy(start, TABLE * C),
                                         .R = R, .C = C, .ld_inp = C, .ld_out = C };

            CHECK_INT(sea_cpu_ops.scatter(kt_sets[d].dev[t], &op), 0);
            kt_same("scatter", kt_sets[d].isa->name, op.out, want, TABLE * C);
        }
        kt_done();
    }
}

static double
one_rope(const struct kt_set *set, int64_t N, int64_t heads, int64_t E, int64_t rot)
{
    int64_t ld = heads * E + 3, half = rot / 2, positions = 50;
    float *start = kt_random(N * ld, 1.0f), *table = kt_floats(positions * rot), *got[2];
    double *want = kt_wide(start, N * ld), back = 0.0;
    int32_t *pos = kt_ints(N);

    for (int64_t p = 0; p < positions; p++)
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)p * pow(1e4, -2.0 * (double)i / (double)rot);

            table[p * rot + i] = (float)cos(angle);
            table[p * rot + half + i] = (float)sin(angle);
        }
    for (int64_t n = 0; n < N; n++) {
        pos[n] = (int32_t)(kt_bits() % (uint64_t)positions);
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < half; i++) {
                double *x = want + n * ld + h * E + i, a = x[0], b = x[half];
                double c = (double)table[pos[n] * rot + i];
                double s = (double)table[pos[n] * rot + half + i];

                x[0] = a * c - b * s;
                x[half] = b * c + a * s;
            }
    }
    for (int t = 0; t < 2; t++) {
        struct sea_op_rope op = { .x = got[t] = kt_copy(start, N * ld), .cos_sin = table,
                                  .pos = pos, .N = N, .heads = heads, .E = E, .rot = rot,
                                  .ld = ld };

        CHECK_INT(sea_cpu_ops.rope(set->dev[t], &op), 0);
    }
    kt_same("rope, 1 and 3 threads", set->isa->name, got[0], got[1], N * ld);
    {
        struct sea_op_rope op = { .x = got[1], .cos_sin = table, .pos = pos, .N = N,
                                  .heads = heads, .E = E, .rot = rot, .ld = ld, .inverse = 1 };

        CHECK_INT(sea_cpu_ops.rope(set->dev[1], &op), 0);
        back = kt_error(got[1], kt_wide(start, N * ld), NULL, N * ld);
    }
    back = fmax(back, kt_error(got[0], want, NULL, N * ld));
    kt_done();
    return back;
}

static void
rope_turns_and_turns_back(void)
{
    for (int d = 0; d < kt_open(); d++) {
        double worst = one_rope(&kt_sets[d], 7, 3, 32, 32);

        worst = fmax(worst, one_rope(&kt_sets[d], 129, 4, 64, 64));
        worst = fmax(worst, one_rope(&kt_sets[d], 13, 2, 30, 26));
        worst = fmax(worst, one_rope(&kt_sets[d], 40, 5, 32, 8));
        worst = fmax(worst, one_rope(&kt_sets[d], 1, 1, 2, 2));
        kt_within("rope, there and back", kt_sets[d].isa->name, worst, 4e-7);
    }
}

static void
patches_hold_their_pixels(void)
{
    static const int64_t sizes[][5] = { { 1, 1, 1, 1, 1 }, { 2, 3, 72, 72, 12 },
                                        { 3, 3, 30, 45, 7 }, { 1, 2, 5, 9, 6 } };

    for (int i = 0; i < 4; i++) {
        int64_t B = sizes[i][0], ch = sizes[i][1], H = sizes[i][2], W = sizes[i][3];
        int64_t P = sizes[i][4], gh = H / P, gw = W / P, n = B * gh * gw * ch * P * P, at = 0;
        float *pixels = kt_random(B * ch * H * W, 1.0f), *want = kt_floats(n);

        for (int64_t b = 0; b < B; b++)
            for (int64_t py = 0; py < gh; py++)
                for (int64_t px = 0; px < gw; px++)
                    for (int64_t c = 0; c < ch; c++)
                        for (int64_t y = 0; y < P; y++)
                            for (int64_t x = 0; x < P; x++)
                                want[at++] = pixels[((b * ch + c) * H + py * P + y) * W +
                                                    px * P + x];
        kt_open();
        for (int t = 0; t < 2; t++) {
            struct sea_op_patchify op = { .pixels = pixels, .out = kt_floats(n), .B = B,
                                          .channels = ch, .height = H, .width = W, .P = P };

            CHECK_INT(sea_cpu_ops.patchify(kt_sets[0].dev[t], &op), 0);
            kt_same("patchify", "", op.out, want, n);
        }
        kt_done();
    }
}

static void
wrong_arguments_are_refused(void)
{
    float x[16] = { 0 };
    int32_t idx[4] = { 0 };
    struct sea_op_gather gather = { .inp = x, .idx = idx, .out = x, .R = 1, .C = 4, .ld_inp = 3,
                                    .ld_out = 4 };
    struct sea_op_scatter scatter = { .inp = x, .idx = idx, .out = x, .R = 1, .C = 4, .ld_inp = 4,
                                      .ld_out = 4, .add = 1 };
    struct sea_op_rope rope = { .x = x, .cos_sin = x, .pos = idx, .N = 1, .heads = 1, .E = 4,
                                .rot = 3, .ld = 4 };
    struct sea_op_patchify patchify = { .pixels = x, .out = x, .B = 1, .channels = 1,
                                        .height = 2, .width = 2, .P = 0 };
    struct sea_op_cast cast = { .inp = x, .out = x + 8, .n = 4, .out_type = (enum sea_store)2 };
    struct sea_op_colscale colscale = { .x = x, .out = x, .R = 1, .C = 4 };
    struct sea_op_colscale_bwd bwd = { .x = x, .dout = x, .gain = x, .R = 1, .C = 4 };
    struct sea_op_softcap softcap = { .x = x, .R = 1, .C = 4, .ld = 4 };
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(sea_cpu_ops.cast(dev, &cast), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.colscale(dev, &colscale), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.colscale_bwd(dev, &bwd), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.softcap(dev, &softcap), SEA_RC_ARGUMENT);     /* cap 0 */
    CHECK_INT(sea_cpu_ops.gather(dev, &gather), SEA_RC_ARGUMENT);
    gather.ld_inp = 4, gather.inp_type = (enum sea_store)7;
    CHECK_INT(sea_cpu_ops.gather(dev, &gather), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.scatter(dev, &scatter), SEA_RC_ARGUMENT);     /* no order */
    CHECK_INT(sea_cpu_ops.rope(dev, &rope), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.patchify(dev, &patchify), SEA_RC_ARGUMENT);
}

/* Every bfloat16 and its neighbourhood: halves between two of them, a little more, a little
 * less, infinities, what is not a number with only low bits set. */
static void
casts_round_to_nearest_even(void)
{
    enum { OFFSETS = 5, N = 65536 * OFFSETS - 3 };
    static const uint32_t offsets[OFFSETS] = { 0, 1, 0x7fff, 0x8000, 0x8001 };

    for (int d = 0; d < kt_open(); d++) {
        float *wide = kt_floats(N), *back = kt_floats(N);
        uint16_t *narrow[2];
        int64_t wrong = 0, nans = 0;

        for (int64_t i = 0; i < N; i++) {
            uint32_t bits = (uint32_t)(i / OFFSETS) << 16 | offsets[i % OFFSETS];

            memcpy(&wide[i], &bits, sizeof(bits));
        }
        for (int t = 0; t < 2; t++) {
            struct sea_op_cast op = { .inp = wide, .out = narrow[t] = kt_bf16(N, 1.0f), .n = N,
                                      .out_type = SEA_STORE_BF16 };

            CHECK_INT(sea_cpu_ops.cast(kt_sets[d].dev[t], &op), 0);
        }
        CHECK(!memcmp(narrow[0], narrow[1], N * sizeof(uint16_t)));
        for (int64_t i = 0; i < N; i++)
            if (isnan(wide[i])) {
                nans++;
                wrong += !isnan(kt_widen(narrow[0][i])) ||
                         signbit(kt_widen(narrow[0][i])) != signbit(wide[i]);
            } else {
                wrong += narrow[0][i] != twin_bf16(wide[i]);
            }
        CHECK_MSG(!wrong, "%s: %lld of %d numbers are rounded wrongly", kt_sets[d].isa->name,
                  (long long)wrong, (int)N);
        CHECK(nans > 1000);
        for (int t = 0; t < 2; t++) {
            struct sea_op_cast op = { .inp = narrow[0], .out = back, .n = N,
                                      .inp_type = SEA_STORE_BF16 };

            CHECK_INT(sea_cpu_ops.cast(kt_sets[d].dev[t], &op), 0);
            for (int64_t i = 0; i < N; i++) {
                float want = kt_widen(narrow[0][i]);

                wrong += memcmp(&back[i], &want, sizeof(want)) != 0;
            }
        }
        CHECK_MSG(!wrong, "%s: widening is not exact", kt_sets[d].isa->name);
        kt_done();
    }
}

static void
gains_scale_columns(void)
{
    for (int d = 0; d < kt_open(); d++)
        for (int i = 0; i < SHAPES; i++)
            for (int base = 0; base < 2; base++) {
                int64_t R = shapes[i][0], C = shapes[i][1];
                float *x = kt_random(R * C, 1.0f), *gain = kt_random(C, 1.0f);
                float *from = kt_random(R * C, 1.0f), *want = kt_floats(R * C);

                for (int64_t j = 0; j < R * C; j++)
                    want[j] = base ? from[j] + x[j] * gain[j % C] : x[j] * gain[j % C];
                for (int t = 0; t < 2; t++) {
                    float *out = t ? kt_copy(base ? from : x, R * C) : kt_floats(R * C);
                    struct sea_op_colscale op = { .x = t && !base ? out : x, .gain = gain,
                                                  .base = !base ? NULL : t ? out : from,
                                                  .out = out, .R = R, .C = C };

                    CHECK_INT(sea_cpu_ops.colscale(kt_sets[d].dev[t], &op), 0);
                    kt_same("colscale", kt_sets[d].isa->name, op.out, want, R * C);
                }
                kt_done();
            }
}

/* loss = sum of dout * (x * gain): dgain by sums in double, dx exactly. */
static void
gradients_of_gains(void)
{
    double worst = 0.0;

    for (int d = 0; d < kt_open(); d++) {
        for (int i = 0; i < SHAPES; i++) {
            int64_t R = shapes[i][0], C = shapes[i][1];
            float *x = kt_random(R * C, 1.0f), *gain = kt_random(C, 1.0f);
            float *dout = kt_random(R * C, 1.0f), *start = kt_random(C, 1.0f), *dgain[2];
            float *dx = kt_floats(R * C), *same;
            double *want = kt_wide(start, C), *size = kt_wide(NULL, C);

            for (int64_t j = 0; j < R * C; j++) {
                dx[j] = dout[j] * gain[j % C];
                want[j % C] += (double)dout[j] * (double)x[j];
                size[j % C] += 1.0 + fabs((double)dout[j] * (double)x[j]);
            }
            for (int t = 0; t < 2; t++) {
                struct sea_op_colscale_bwd op = { .x = x, .dout = dout, .gain = gain, .R = R,
                                                  .C = C, .dgain = dgain[t] = kt_copy(start, C) };

                op.dx = same = t ? kt_copy(dout, R * C) : kt_floats(R * C);
                op.dout = t ? same : dout;
                CHECK_INT(sea_cpu_ops.colscale_bwd(kt_sets[d].dev[t], &op), 0);
                kt_same("colscale dx", kt_sets[d].isa->name, op.dx, dx, R * C);
                op.dgain = NULL;
                op.dout = dout;
                op.dx = kt_floats(R * C);
                CHECK_INT(sea_cpu_ops.colscale_bwd(kt_sets[d].dev[t], &op), 0);
            }
            kt_same("dgain, 1 and 3 threads", kt_sets[d].isa->name, dgain[0], dgain[1], C);
            worst = fmax(worst, kt_error(dgain[0], want, size, C));
            kt_done();
        }
        kt_within("colscale dgain", kt_sets[d].isa->name, worst, 64.0 * KT_UNIT);
    }
}

SEA_TEST_MAIN("moved rows", TEST(gather_copies_or_adds_rows), TEST(casts_round_to_nearest_even),
              TEST(gains_scale_columns), TEST(gradients_of_gains),
              TEST(scatter_adds_in_the_order_of_rows), TEST(scatter_overwrites_distinct_rows),
              TEST(rope_turns_and_turns_back), TEST(patches_hold_their_pixels),
              TEST(wrong_arguments_are_refused))
