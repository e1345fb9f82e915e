/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "tests/sea_test.h"

static void
digests_are_the_published_ones(void)
{
    static const struct { const char *text, *want; } rows[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    struct sea_hash *hash = sea_hash_create();
    char out[SEA_SHA256_TEXT], chunk[1000];
    size_t i, j;

    for (i = 0; i < 3; i++) {
        sea_hash_bytes(rows[i].text, strlen(rows[i].text), out);
        CHECK_STR(out, rows[i].want);
        for (j = 0; rows[i].text[j]; j++)       /* byte by byte, on a hash used before */
            sea_hash_add(hash, rows[i].text + j, 1);
        sea_hash_finish(hash, out);
        CHECK_STR(out, rows[i].want);
    }
    memset(chunk, 'a', sizeof(chunk));
    for (i = 0; i < 1000; i++)
        sea_hash_add(hash, chunk, sizeof(chunk));
    sea_hash_finish(hash, out);
    CHECK_STR(out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    sea_hash_destroy(hash);
    sea_hash_destroy(NULL);
}

static void
fields_do_not_run_together(void)
{
    static const char *const pairs[][2] = { { "ab", "c" }, { "a", "bc" }, { "", "abc" },
                                            { "abc", "" } };
    struct sea_hash *hash = sea_hash_create();
    char out[4][SEA_SHA256_TEXT];
    int i, j;

    for (i = 0; i < 4; i++) {
        sea_hash_add_field(hash, pairs[i][0]);
        sea_hash_add_field(hash, pairs[i][1]);
        sea_hash_finish(hash, out[i]);
        for (j = 0; j < i; j++)
            CHECK(strcmp(out[i], out[j]) != 0);
    }
    /* The layout is part of stage keys: length in eight bytes, lowest first. */
    sea_hash_bytes("\3\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0", 19, out[0]);
    CHECK_STR(out[3], out[0]);
    sea_hash_destroy(hash);
}

static void
a_file_hashes_like_its_bytes(void)
{
    char path[SEA_PATH_MAX], want[SEA_SHA256_TEXT], got[SEA_SHA256_TEXT];
    size_t n = 300001, i;
    char *bytes = malloc(n);
    struct sea_err err = { 0 };
    uint64_t size = 0;

    for (i = 0; i < n; i++)
        bytes[i] = (char)(i * 7919 >> 3);
    snprintf(path, sizeof(path), "%s/f", sea_test_dir());
    CHECK_OK(sea_file_replace(path, bytes, n, &err), err);
    sea_hash_bytes(bytes, n, want);
    CHECK_OK(sea_hash_file(path, got, &size, &err), err);
    CHECK_STR(got, want);
    CHECK_INT(size, n);
    CHECK_OK(sea_hash_file(path, got, NULL, &err), err);
    CHECK_OK(sea_file_replace(path, "", 0, &err), err);
    CHECK_OK(sea_hash_file(path, got, &size, &err), err);
    CHECK_INT(size, 0);
    CHECK(strncmp(got, "e3b0c442", 8) == 0);
    CHECK_INT(sea_hash_file("/nowhere/f", got, &size, &err), SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "/nowhere/f");
    CHECK_STR(got, "");
    sea_err_clear(&err);
    CHECK_INT(sea_hash_file(sea_test_dir(), got, &size, &err), SEA_E_IO);
    free(bytes);
}

static void
put(const char *folder, const char *name, const char *text)
{
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    CHECK_OK(sea_path_join(path, folder, name, &err), err);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

static void
a_folder_hashes_names_and_contents(void)
{
    char a[256], b[256], sub[300], other[300], one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT];
    struct sea_err err = { 0 };

    snprintf(a, sizeof(a), "%s/a", sea_test_dir());
    snprintf(b, sizeof(b), "%s/b", sea_test_dir());
    snprintf(sub, sizeof(sub), "%s/sub", a);
    CHECK_OK(sea_dir_create(sub, &err), err);
    snprintf(sub, sizeof(sub), "%s/sub", b);
    CHECK_OK(sea_dir_create(sub, &err), err);
    put(a, "x", "1");
    put(a, "sub/y", "22");
    put(b, "sub/y", "22");      /* the same in another order */
    put(b, "x", "1");
    CHECK_OK(sea_hash_dir(a, one, &err), err);
    CHECK_OK(sea_hash_dir(b, two, &err), err);
    CHECK_STR(one, two);
    put(b, "x", "3");           /* content */
    CHECK_OK(sea_hash_dir(b, two, &err), err);
    CHECK(strcmp(one, two) != 0);
    put(b, "x", "1");
    CHECK_OK(sea_hash_dir(b, two, &err), err);
    CHECK_STR(one, two);
    snprintf(other, sizeof(other), "%s/sub/z", b);      /* name */
    snprintf(sub, sizeof(sub), "%s/sub/y", b);
    CHECK(rename(sub, other) == 0);
    CHECK_OK(sea_hash_dir(b, two, &err), err);
    CHECK(strcmp(one, two) != 0);
    CHECK_INT(sea_hash_dir("/nowhere", two, &err), SEA_E_MISSING);
    CHECK_STR(two, "");
}

/* Model folders of the Hugging Face cache are links to blobs. */
static void
a_folder_of_links_hashes_what_they_point_to(void)
{
    char real[256], links[256], from[300], at[300], one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT];
    struct sea_err err = { 0 };

    snprintf(real, sizeof(real), "%s/real", sea_test_dir());
    snprintf(links, sizeof(links), "%s/links", sea_test_dir());
    CHECK_OK(sea_dir_create(real, &err), err);
    CHECK_OK(sea_dir_create(links, &err), err);
    put(real, "config.json", "{}");
    snprintf(from, sizeof(from), "%s/config.json", real);
    snprintf(at, sizeof(at), "%s/config.json", links);
    CHECK(symlink(from, at) == 0);
    CHECK_OK(sea_hash_dir(real, one, &err), err);
    CHECK_OK(sea_hash_dir(links, two, &err), err);
    CHECK_STR(one, two);
}

SEA_TEST_MAIN("SHA-256 of bytes, files and folders",
              TEST(digests_are_the_published_ones),
              TEST(fields_do_not_run_together),
              TEST(a_file_hashes_like_its_bytes),
              TEST(a_folder_hashes_names_and_contents),
              TEST(a_folder_of_links_hashes_what_they_point_to))
