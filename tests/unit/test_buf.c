/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_rng.h"
#include "tests/sea_test.h"

/* Invariants (1) and (2) of sea_buf.h. */
static int
is_sound(const struct sea_buf *buf)
{
    return CHECK(buf->len <= buf->max) && CHECK(buf->data != NULL)
        && CHECK(buf->data[buf->len] == 0) && CHECK(!buf->room || buf->len < buf->room);
}

static void
invariants_hold_at_empty_and_at_full(void)
{
    struct sea_err err = { 0 };
    struct sea_buf buf;

    sea_buf_init(&buf, 3);
    is_sound(&buf);
    CHECK_INT(buf.room, 0);
    CHECK_OK(sea_buf_append(&buf, "", 0, &err), err);
    is_sound(&buf);
    CHECK_OK(sea_buf_append(&buf, "abc", 3, &err), err);
    is_sound(&buf);
    CHECK_OK(sea_buf_append(&buf, "", 0, &err), err);
    CHECK_INT(sea_buf_append(&buf, "d", 1, &err), SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "4 bytes pass the limit of 3");
    is_sound(&buf);
    CHECK_STR(buf.data, "abc");
    sea_buf_clear(&buf);
    is_sound(&buf);
    CHECK_INT(buf.len, 0);
    CHECK(buf.room > 0);
    sea_buf_release(&buf);
    is_sound(&buf);
    sea_buf_release(&buf);
    sea_buf_release(NULL);
    sea_buf_release(&(struct sea_buf){ 0 });
}

static void
a_failed_append_changes_nothing(void)
{
    struct sea_err err = { 0 };
    struct sea_buf buf;

    sea_buf_init(&buf, 8);
    CHECK_OK(sea_buf_printf(&buf, &err, "%d-%s", 12, "ab"), err);
    CHECK_STR(buf.data, "12-ab");
    CHECK_INT(sea_buf_printf(&buf, &err, "%04d", 7), SEA_E_FORMAT);
    CHECK_STR(buf.data, "12-ab");
    is_sound(&buf);
    sea_err_clear(&err);
    CHECK_INT(sea_buf_append(&buf, "x", (size_t)-1, &err), SEA_E_FORMAT);
    CHECK_STR(buf.data, "12-ab");
    sea_err_clear(&err);
    CHECK_OK(sea_buf_printf(&buf, &err, "%03d", 7), err);
    CHECK_STR(buf.data, "12-ab007");
    sea_buf_release(&buf);
}

static void
random_pieces_come_back_as_they_went_in(void)
{
    enum { MAX = 200000 };
    char *mirror = malloc(MAX);
    struct sea_buf buf;
    struct sea_rng rng;
    size_t len = 0, i;
    int rounds;

    sea_rng_init(&rng, 3, 0);
    sea_buf_init(&buf, MAX);
    for (rounds = 0; rounds < 2000; rounds++) {
        struct sea_err err = { 0 };
        char piece[256];
        size_t n = sea_rng_below(&rng, sizeof(piece));

        for (i = 0; i < n; i++)
            piece[i] = (char)sea_rng_u32(&rng);         /* zero bytes too */
        if (len + n > MAX) {
            CHECK_INT(sea_buf_append(&buf, piece, n, &err), SEA_E_FORMAT);
        } else {
            CHECK_OK(sea_buf_append(&buf, piece, n, &err), err);
            memcpy(mirror + len, piece, n);
            len += n;
        }
        if (!is_sound(&buf))
            break;
    }
    CHECK_INT(buf.len, len);
    CHECK(len > MAX - 256);
    CHECK(memcmp(buf.data, mirror, len) == 0);
    sea_buf_release(&buf);
    free(mirror);
}

/* Each length around the powers of two at which the room grows. */
static void
every_length_leaves_room_for_the_final_zero(void)
{
    static char text[5000];
    struct sea_err err = { 0 };
    struct sea_buf buf;
    size_t n;

    for (n = 0; n < sizeof(text); n++) {
        sea_buf_init(&buf, sizeof(text));
        CHECK_OK(sea_buf_append(&buf, text, n, &err), err);
        if (!is_sound(&buf))
            n = sizeof(text);
        sea_buf_release(&buf);
    }
}

static void
take_hands_over_and_empties(void)
{
    struct sea_buf buf;
    char *taken;

    sea_buf_init(&buf, 100);
    taken = sea_buf_take(&buf);
    CHECK_STR(taken, "");
    free(taken);
    sea_buf_puts(&buf, "one ");
    sea_buf_addf(&buf, "%s%c", "tw", 'o');
    sea_buf_add(&buf, "!", 1);
    taken = sea_buf_take(&buf);
    CHECK_STR(taken, "one two!");
    free(taken);
    CHECK_INT(buf.len, 0);
    CHECK_INT(buf.max, 100);
    is_sound(&buf);
}

static void
long_formats_fit(void)
{
    struct sea_buf buf;

    sea_buf_init(&buf, 1 << 20);
    sea_buf_addf(&buf, "%0100000d|", 5);
    CHECK_INT(buf.len, 100001);
    CHECK_STR(buf.data + 99998, "05|");
    is_sound(&buf);
    sea_buf_release(&buf);
}

SEA_TEST_MAIN("buffers grow up to their maximum",
              TEST(invariants_hold_at_empty_and_at_full),
              TEST(a_failed_append_changes_nothing),
              TEST(random_pieces_come_back_as_they_went_in),
              TEST(every_length_leaves_room_for_the_final_zero),
              TEST(take_hands_over_and_empties),
              TEST(long_formats_fit))
