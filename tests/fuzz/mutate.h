/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutate.h - changed files for the fuzz programs that start from real ones
 *
 * A program defines sea_fuzz_check and says SEA_FUZZ_PROGRAM at its end. With
 * SEA_FUZZ_NO_MAIN there is no main (libFuzzer, or a test that includes the program):
 *
 *   PROGRAM FILE...                     each file once
 *   PROGRAM -n N [-s SEED] FILE...      N random changes of these files
 *   PROGRAM -t SECONDS FILE...          as many as fit into this time, for each file
 *
 * `make fuzz` builds them with libFuzzer where clang has it, else with this driver.
 */
#ifndef SEA_TESTS_MUTATE_H
#define SEA_TESTS_MUTATE_H

#include <ctype.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"

#define MUTANT_MAX ((size_t)1 << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

extern long sea_fuzz_accepted, sea_fuzz_refused;

/* NULL, or what does not hold. Counts the file as accepted or refused. */
const char *sea_fuzz_check(const uint8_t *data, size_t n);

/* A refusal must have the status and one line for people. */
static inline const char *
check_refusal(const struct sea_err *err)
{
    if (err->status != SEA_E_FORMAT)
        return "a refused file has another status than E_FORMAT";
    if (!err->message[0])
        return "a refused file has no message";
    return NULL;
}

/* Puts the bytes into a file of a folder that ends with the program; *path is its path. */
static char fuzz_dir[64], fuzz_path[128];

static void
fuzz_drop(void)
{
    unlink(fuzz_path);
    rmdir(fuzz_dir);
}

static inline const char *
fuzz_write(const char *name, const uint8_t *data, size_t n)
{
    static int fd = -1;

    if (fd < 0) {
        snprintf(fuzz_dir, sizeof(fuzz_dir), "/tmp/fuzz-XXXXXX");
        if (!mkdtemp(fuzz_dir))
            return "could not make a folder";
        snprintf(fuzz_path, sizeof(fuzz_path), "%s/%s", fuzz_dir, name);
        fd = open(fuzz_path, O_RDWR | O_CREAT, 0600);
        atexit(fuzz_drop);
    }
    /* Never to length 0: some file systems write a file out that was emptied before. */
    if (fd < 0 || pwrite(fd, data, n, 0) != (ssize_t)n || ftruncate(fd, (off_t)n))
        return "could not write the file";
    return NULL;
}

static inline size_t
change(uint8_t *bytes, size_t len, struct sea_rng *rng)
{
    size_t at = sea_rng_below(rng, (uint32_t)len + 1), rest = len - at;
    size_t n = sea_rng_below(rng, 16);

    if (sea_rng_below(rng, 2) && len > 64) {    /* headers matter most */
        at = sea_rng_below(rng, 64);
        rest = len - at;
    }
    n = n > rest ? rest : n;
    switch (sea_rng_below(rng, 7)) {
    case 0:
        if (rest)
            bytes[at] = (uint8_t)(bytes[at] ^ 1u << sea_rng_below(rng, 8));
        return len;
    case 1:
        if (rest)
            bytes[at] = (uint8_t)sea_rng_u32(rng);
        return len;
    case 2:
        if (rest)
            bytes[at] = sea_rng_below(rng, 2) ? 0xFF : 0;
        return len;
    case 3:                     /* some bytes fewer */
        memmove(bytes + at, bytes + at + n, rest - n);
        return len - n;
    case 4:                     /* some bytes twice */
        if (len + n > MUTANT_MAX)
            return len;
        memmove(bytes + at + n, bytes + at, rest);
        return len + n;
    case 5:                     /* a digit, where there are some */
        while (at < len && !isdigit(bytes[at]))
            at++;
        if (at < len)
            bytes[at] = (uint8_t)('0' + sea_rng_below(rng, 10));
        return len;
    default:                    /* the end is missing, now and then */
        return sea_rng_below(rng, 4) ? len : at;
    }
}

/* n changed files out of the given one, or (n < 0) as many as fit into -n seconds; NULL, or
 * what does not hold: then the file is in mutant[0 .. *len). */
static inline const char *
run_changes(const uint8_t *file, size_t size, long n, uint64_t seed, uint8_t *mutant, size_t *len)
{
    time_t end = time(NULL) - (n < 0 ? n : 0);
    const char *wrong = NULL;

    for (long i = 0; (n < 0 ? time(NULL) < end : i < n) && !wrong; i++) {
        struct sea_rng rng;

        sea_rng_init(&rng, seed, (uint64_t)i);
        *len = size < MUTANT_MAX ? size : MUTANT_MAX;
        memcpy(mutant, file, *len);
        for (uint32_t changes = 1 + sea_rng_below(&rng, 6); changes; changes--)
            *len = change(mutant, *len, &rng);
        wrong = sea_fuzz_check(mutant, *len);
    }
    return wrong;
}

static inline const char *
run_file(const char *path, long n, uint64_t seed, uint8_t *mutant, struct sea_err *err)
{
    const char *wrong = NULL;
    struct sea_buf buf;
    size_t len = 0;

    sea_buf_init(&buf, MUTANT_MAX);
    if (sea_file_read(path, &buf, err) == SEA_OK)
        wrong = n ? run_changes((const uint8_t *)buf.data, buf.len, n, seed, mutant, &len)
                  : sea_fuzz_check((const uint8_t *)buf.data, buf.len);
    sea_buf_release(&buf);
    if (wrong && n && sea_file_replace("fuzz-file.bin", mutant, len, err) == SEA_OK)
        fprintf(stderr, "the file is in fuzz-file.bin\n");
    return wrong;
}

static inline int
run_program(int argc, char **argv)
{
    uint8_t *mutant = malloc(MUTANT_MAX + 16);
    const char *wrong = NULL;
    struct sea_err err = { 0 };
    uint64_t seed = 1;
    long n = 0;

    for (int i = 1; i < argc && !wrong && mutant && !err.status; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            n = strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-t") == 0 && i + 1 < argc)
            n = -strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            wrong = run_file(argv[i], n, seed, mutant, &err);
        if (wrong)
            fprintf(stderr, "%s: %s\n", argv[i], wrong);
    }
    if (err.status)
        sea_err_print(&err, argv[0], stderr);
    printf("%ld accepted, %ld refused\n", sea_fuzz_accepted, sea_fuzz_refused);
    free(mutant);
    return wrong || err.status ? 1 : 0;
}

#ifdef SEA_FUZZ_NO_MAIN
#define SEA_FUZZ_MAIN
#else
#define SEA_FUZZ_MAIN                                                                \
    int main(int argc, char **argv)                                                  \
    {                                                                                \
        return run_program(argc, argv);                                              \
    }
#endif

#define SEA_FUZZ_PROGRAM                                                             \
    long sea_fuzz_accepted, sea_fuzz_refused;                                        \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)                        \
    {                                                                                \
        const char *wrong = sea_fuzz_check(data, n);                                 \
        if (!wrong)                                                                  \
            return 0;                                                                \
        fprintf(stderr, "%s\n", wrong);                                              \
        abort();                                                                     \
    }                                                                                \
    SEA_FUZZ_MAIN

#endif
