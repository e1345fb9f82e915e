/* SPDX-License-Identifier: Apache-2.0 */
/* Files that nobody but us may read: what is accepted, what is refused, and in which words. */
#include "scheduler/sea_secret.h"

#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "tests/sea_test.h"

static char path[SEA_PATH_MAX];

static void
put(const char *text, mode_t mode)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_path_join(path, sea_test_dir(), "secret", &err), err);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
    CHECK_INT(chmod(path, mode), 0);
}

static void
is_refused(size_t max, enum sea_status status, const char *words)
{
    struct sea_err err = { 0 };
    struct sea_buf text;

    sea_buf_init(&text, max);
    sea_buf_puts(&text, "as before");
    CHECK_INT(sea_secret_read(path, "the key", &text, &err), status);
    CHECK_FAILS(err, status, words);
    CHECK(strstr(err.message, path) != NULL);
    CHECK_STR(text.data, "as before");
    CHECK_INT(text.len, strlen("as before"));
    sea_buf_release(&text);
}

static void
what_is_ours_alone_is_read(void)
{
    static const mode_t modes[] = { 0600, 0400, 0700 };
    struct sea_err err = { 0 };
    struct sea_buf text;
    size_t i;

    for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        put("one\ntwo\n", modes[i]);
        sea_buf_init(&text, 8);         /* exactly as much as there is */
        CHECK_OK(sea_secret_read(path, "the key", &text, &err), err);
        CHECK_STR(text.data, "one\ntwo\n");
        sea_buf_release(&text);
    }
}

static void
what_others_may_read_is_refused(void)
{
    static const mode_t modes[] = { 0640, 0604, 0620, 0601, 0644, 0666 };
    char words[64];
    size_t i;

    for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        put("key", modes[i]);
        snprintf(words, sizeof(words), "can be read by others: mode %03o, need 600",
                 (unsigned)modes[i]);
        is_refused(100, SEA_E_CONFIG, words);
    }
}

static void
what_is_no_file_is_refused(void)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_path_join(path, sea_test_dir(), "nowhere", &err), err);
    is_refused(100, SEA_E_MISSING, "could not open the key");
    CHECK_OK(sea_path_join(path, sea_test_dir(), "folder", &err), err);
    CHECK_INT(mkdir(path, 0700), 0);
    is_refused(100, SEA_E_CONFIG, "is a folder or a device, need a file");
    CHECK_OK(sea_path_join(path, sea_test_dir(), "pipe", &err), err);
    CHECK_INT(mkfifo(path, 0600), 0);
    is_refused(100, SEA_E_CONFIG, "is a folder or a device, need a file");
}

static void
too_much_is_refused(void)
{
    static char long_text[5001];

    put("0123456789", 0600);
    is_refused(18, SEA_E_CONFIG, "larger than the limit of 18 bytes");
    memset(long_text, 'x', sizeof(long_text) - 1);
    put(long_text, 0600);
    is_refused(4500, SEA_E_CONFIG, "larger than");      /* part of it was read by then */
}

static void
what_belongs_to_another_user_is_refused(void)
{
    put("key", 0600);
    if (chown(path, 12345, (gid_t)-1)) {
        SEA_SKIP("only root can give a file away");
        return;
    }
    is_refused(100, SEA_E_CONFIG, "belongs to user 12345, need user");
}

static void
a_text_loses_its_line_ends(void)
{
    static const char *const texts[] = { "key", "key\n", "key\r\n", "key\n\n" };
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_err err = { 0 };
    const char *out = NULL;
    size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put(texts[i], 0600);
        CHECK_OK(sea_secret_text(path, "the key", arena, &out, &err), err);
        CHECK_STR(out, "key");
    }
    put(" a b \nc\n", 0600);
    CHECK_OK(sea_secret_text(path, "the key", arena, &out, &err), err);
    CHECK_STR(out, " a b \nc");
    put("\n", 0600);
    CHECK_INT(sea_secret_text(path, "the key", arena, &out, &err), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "is empty");
    sea_arena_destroy(arena);
}

SEA_TEST_MAIN("secret: files that nobody but us may read", TEST(what_is_ours_alone_is_read),
              TEST(what_others_may_read_is_refused), TEST(what_is_no_file_is_refused),
              TEST(too_much_is_refused), TEST(what_belongs_to_another_user_is_refused),
              TEST(a_text_loses_its_line_ends))
