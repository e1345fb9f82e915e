/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_gpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/sea_ranks.h"


extern char **environ;

/* ---- the device's name ---- */

struct wish {
    bool is_gpu;                /* not a CPU */
    bool is_needed;             /* named: that none is there is an error */
    int64_t place;              /* of one; -1: all */
};

static bool
is_count(const char *text)
{
    return text[0] && strlen(text) < 7 && strspn(text, "0123456789") == strlen(text);
}

static enum sea_status
read_device(const char *device, struct wish *out, struct sea_err *err)
{
    enum sea_status status;

    *out = (struct wish){ .place = -1 };
    if (!device || !device[0] || strcmp(device, "auto") == 0) {
        out->is_gpu = true;
    } else if (strcmp(device, "cuda") == 0) {
        out->is_gpu = out->is_needed = true;
    } else if (strncmp(device, "cuda:", 5) == 0 && is_count(device + 5)) {
        out->is_gpu = out->is_needed = true;
        out->place = strtoll(device + 5, NULL, 10);
    } else if (strcmp(device, "cpu") != 0 &&
               !(strncmp(device, "cpu:", 4) == 0 && is_count(device + 4))) {
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" is not a device", device);
        sea_hint(err, "Devices are auto, cpu, cpu:THREADS, cuda and cuda:NUMBER.");
        return status;
    }
    return SEA_OK;
}

/* ---- the driver's list ---- */

static void
add(struct sea_gpus *to, int number, const char *name, size_t len)
{
    to->number[to->count] = number;
    snprintf(to->name[to->count], sizeof(to->name[0]), "%.*s", (int)len, name);
    to->count++;
}

/* As the driver reads it: up to the first entry that can be none. */
static void
read_visible(const char *visible, struct sea_gpus *out)
{
    bool numbers = true;
    size_t len;

    *out = (struct sea_gpus){ .count = 0 };
    for (const char *at = visible; *at && out->count < SEA_GPUS_MAX; at += len + (at[len] != 0)) {
        char word[sizeof(out->name[0])];
        const char *start = at + strspn(at, " ");

        len = strcspn(at, ",");
        snprintf(word, sizeof(word), "%.*s", (int)(at + len - start), start);
        word[strcspn(word, " ")] = 0;
        if (!is_count(word) && strncmp(word, "GPU-", 4) != 0 && strncmp(word, "MIG-", 4) != 0)
            break;
        numbers = numbers && is_count(word);
        add(out, is_count(word) ? (int)strtol(word, NULL, 10) : 0, word, strlen(word));
    }
    for (int i = 0; i < out->count && !numbers; i++)
        out->number[i] = i;
}

static void
count_all(int64_t many, struct sea_gpus *out)
{
    *out = (struct sea_gpus){ .count = 0 };
    for (int i = 0; i < many && i < SEA_GPUS_MAX; i++) {
        char word[16];
        int len = snprintf(word, sizeof(word), "%d", i);

        add(out, i, word, (size_t)len);
    }
}

enum sea_status
sea_gpus_list(const char *device, int64_t many, const char *visible, struct sea_gpus *out,
              struct sea_err *err)
{
    enum sea_status status;
    struct wish wish;

    *out = (struct sea_gpus){ .count = 0 };
    if (many < SEA_GPUS_ASK || many > SEA_GPUS_MAX)
        return sea_fail(err, SEA_E_CONFIG, "%lld GPUs are not in 0..%d", (long long)many,
                        SEA_GPUS_MAX);
    status = read_device(device, &wish, err);
    if (status || !wish.is_gpu || many == 0)
        return status;
    if (many == SEA_GPUS_ASK)
        many = sea_ranks_cuda_count();
    if (visible)
        read_visible(visible, out);
    else
        count_all(many, out);
    if (out->count > many)
        out->count = (int)many;
    if (wish.is_needed && out->count <= (wish.place > 0 ? wish.place : 0)) {
        status = sea_fail(err, SEA_E_DEVICE, "device \"%s\" is not there: this machine shows %d "
                          "GPUs", device, out->count);
        sea_hint(err, "`sea doctor` tells why. Where the driver is only seen by stages, say how "
                 "many there are: --gpus N.");
        *out = (struct sea_gpus){ .count = 0 };
        return status;
    }
    if (wish.place > 0) {
        out->number[0] = out->number[wish.place];
        memmove(out->name[0], out->name[wish.place], sizeof(out->name[0]));
    }
    if (wish.place >= 0)
        out->count = 1;
    return SEA_OK;
}

enum sea_status
sea_gpus_find(const char *device, int64_t many, struct sea_gpus *out, struct sea_err *err)
{
    return sea_gpus_list(device, many, getenv(SEA_GPUS_VARIABLE), out, err);
}

/* ---- for others ---- */

const char *
sea_gpus_array(const struct sea_gpus *gpus, struct sea_arena *arena)
{
    const char *text = "{";

    for (int i = 0; i < gpus->count; i++)
        text = sea_arena_printf(arena, "%s%s%d", text, i ? "," : "", gpus->number[i]);
    return sea_arena_printf(arena, "%s}", text);
}

const char *
sea_gpus_visible(const struct sea_gpus *gpus, const int *numbers, size_t count,
                 struct sea_arena *arena)
{
    const char *text = "";

    for (size_t n = 0; n < count; n++)
        for (int i = 0; i < gpus->count; i++)
            if (gpus->number[i] == numbers[n])
                text = sea_arena_printf(arena, "%s%s%s", text, text[0] ? "," : "", gpus->name[i]);
    return text;
}

char **
sea_gpus_environment(const char *visible, struct sea_arena *arena)
{
    size_t len = strlen(SEA_GPUS_VARIABLE), count = 0, n = 0;
    char **list;

    while (environ[count])
        count++;
    list = sea_arena_alloc(arena, count + 2, sizeof(*list));
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], SEA_GPUS_VARIABLE "=", len + 1) != 0)
            list[n++] = environ[i];
    list[n] = sea_arena_printf(arena, "%s=%s", SEA_GPUS_VARIABLE, visible);
    return list;
}
