/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_doctor.h"

#include "engine/base/sea_clock.h"
#include "engine/sea_plan.h"

enum sea_status
sea_doctor_device(const char *name, char *text, size_t room, struct sea_err *err)
{
    struct sea_device device;
    enum sea_status status = sea_device_open(&device, name, err);

    if (status)
        return status;
    snprintf(text, room, "%s: %s", device.name, sea_device_text(&device));
    sea_device_close(&device);
    return SEA_OK;
}

const struct sea_doctor_file *
sea_doctor_files(size_t *count)
{
    static const struct sea_doctor_file files[] = {
        { "emoji font", "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
          "fonts-noto-color-emoji" },
        { "names", "/usr/share/unicode/cldr/common/annotations/en.xml", "unicode-cldr-core" },
        { "wordnet", "/usr/share/wordnet/index.noun", "wordnet-base" } };

    *count = sizeof(files) / sizeof(files[0]);
    return files;
}

/* y = x W^T, the shape of every linear layer. Returns the best of the repeats. */
static enum sea_status
time_gemm(const struct sea_device *device, int64_t M, int64_t N, int64_t K, double *gflops,
          struct sea_err *err)
{
    struct sea_plan plan;
    size_t a, b, c;
    double best = 0, until;
    enum sea_status status;

    sea_plan_init(&plan);
    a = sea_plan_add(&plan, (size_t)(M * K), sizeof(float));
    b = sea_plan_add(&plan, (size_t)(N * K), sizeof(float));
    c = sea_plan_add(&plan, (size_t)(M * N), sizeof(float));
    status = sea_plan_reserve(&plan, device, err);
    until = sea_clock_seconds() + 0.25;
    while (!status && sea_clock_seconds() < until) {
        struct sea_op_gemm gemm = { .a = sea_plan_at(&plan, a), .b = sea_plan_at(&plan, b),
                                    .c = sea_plan_at(&plan, c), .M = M, .N = N, .K = K,
                                    .lda = K, .ldb = K, .ldc = N, .trans_b = 1, .alpha = 1 };
        double start = sea_clock_seconds(), rate;

        status = sea_run(device, err, gemm, &gemm);
        if (!status)
            status = sea_device_status(device, device->ops->wait(device->dev), "wait", err);
        rate = 2e-9 * (double)M * (double)N * (double)K / (sea_clock_seconds() - start);
        if (rate > best)
            best = rate;
    }
    sea_plan_release(&plan);
    *gflops = best;
    return status;
}

enum sea_status
sea_doctor_gemm(const char *name, bool json, FILE *to, struct sea_err *err)
{
    static const int64_t shapes[][3] = { { 1024, 1024, 1024 }, { 2048, 384, 128 },
                                         { 2048, 704, 128 }, { 2048, 128, 352 } };
    struct sea_device device;
    enum sea_status status = sea_device_open(&device, name, err);
    size_t i;

    if (status)
        return status;
    fprintf(to, json ? "{\"device\":\"%s\",\"gemm\":[" : "%s\n", sea_device_text(&device));
    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !status; i++) {
        double gflops;

        status = time_gemm(&device, shapes[i][0], shapes[i][1], shapes[i][2], &gflops, err);
        if (status)
            break;
        if (json)
            fprintf(to, "%s{\"m\":%d,\"n\":%d,\"k\":%d,\"gflops\":%.1f}", i ? "," : "",
                    (int)shapes[i][0], (int)shapes[i][1], (int)shapes[i][2], gflops);
        else
            fprintf(to, "%5d x %5d x %5d  %8.1f GFLOP/s\n", (int)shapes[i][0],
                    (int)shapes[i][1], (int)shapes[i][2], gflops);
    }
    if (json)
        fprintf(to, "]}\n");
    sea_device_close(&device);
    return status;
}
