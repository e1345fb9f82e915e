/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: the digest is of names and contents, and every later change is found. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_manifest.h"
#include "tests/sea_test.h"

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct sea_arena *arena;
static struct sea_err err;
static char dir[512];

static void
put(const char *name, const char *text)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

static void
fresh(const char *name)
{
    char sub[640];

    sea_arena_destroy(arena);
    arena = sea_arena_create(NULL, "test");
    sea_err_clear(&err);
    snprintf(dir, sizeof(dir), "%s/%s", sea_test_dir(), name);
    snprintf(sub, sizeof(sub), "%s/sub", dir);
    CHECK_OK(sea_dir_create(sub, &err), err);
    snprintf(sub, sizeof(sub), "%s/checkpoint", dir);
    CHECK_OK(sea_dir_create(sub, &err), err);
    put("b.txt", "beta");
    put("sub/a.txt", "alpha");
    put("a-b", "");
}

static struct sea_manifest
sign(void)
{
    struct sea_manifest manifest;

    CHECK_OK(sea_manifest_write(dir, "align", KEY, NULL, &err), err);
    CHECK_OK(sea_manifest_load(dir, arena, &manifest, &err), err);
    return manifest;
}

static void
the_digest_follows_its_definition(void)
{
    struct sea_manifest manifest;
    struct sea_hash *hash = sea_hash_create();
    char sha[SEA_SHA256_TEXT], want[SEA_SHA256_TEXT], line[256];
    size_t i;

    fresh("definition");
    manifest = sign();
    CHECK_INT(manifest.files_count, 3);
    for (i = 0; i < manifest.files_count; i++) {
        static const char *const names[] = { "a-b", "b.txt", "sub/a.txt" };
        static const char *const texts[] = { "", "beta", "alpha" };
        int n;

        CHECK_STR(manifest.files[i].path, names[i]);
        sea_hash_bytes(texts[i], strlen(texts[i]), sha);
        CHECK_STR(manifest.files[i].sha256, sha);
        n = snprintf(line, sizeof(line), "%s%c%s%c%zu\n", names[i], 0, sha, 0, strlen(texts[i]));
        sea_hash_add(hash, line, (size_t)n);
    }
    sea_hash_finish(hash, want);
    CHECK_STR(manifest.digest, want);
    CHECK_STR(manifest.stage, "align");
    CHECK_STR(manifest.key, KEY);
    CHECK_INT(manifest.bytes, 9);
    sea_hash_destroy(hash);
}

static void
marker_and_checkpoints_do_not_count(void)
{
    struct sea_manifest one, two;

    fresh("marker");
    one = sign();
    put(SEA_STAGE_MARK, "{}");
    put("checkpoint/x", "x");
    two = sign();
    CHECK_STR(two.digest, one.digest);
    put("sub/new", "x");
    two = sign();
    CHECK(strcmp(two.digest, one.digest) != 0);
}

static void
changes_are_found(void)
{
    struct sea_manifest manifest;
    char path[1024];

    fresh("changes");
    manifest = sign();
    CHECK_OK(sea_manifest_verify(dir, &manifest, true, &err), err);
    put("b.txt", "bets");
    CHECK_OK(sea_manifest_verify(dir, &manifest, false, &err), err);
    CHECK_INT(sea_manifest_verify(dir, &manifest, true, &err), SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "b.txt\" has changed");
    sea_err_clear(&err);
    put("b.txt", "longer");
    CHECK_INT(sea_manifest_verify(dir, &manifest, false, &err), SEA_E_FORMAT);
    sea_err_clear(&err);
    snprintf(path, sizeof(path), "%s/b.txt", dir);
    unlink(path);
    CHECK_INT(sea_manifest_verify(dir, &manifest, false, &err), SEA_E_MISSING);
}

static void
broken_manifests_are_refused(void)
{
    static const char *const texts[] = {
        "", "{}", "[]", "{\"stage\":\"a\",\"key\":\"" KEY "\",\"digest\":\"" KEY "\"}",
        "{\"stage\":\"a\",\"key\":\"" KEY "\",\"digest\":\"" KEY "\",\"files\":[{}]}",
        "{\"stage\":\"a\",\"key\":\"" KEY "\",\"digest\":\"" KEY
        "\",\"files\":[{\"path\":\"../x\",\"bytes\":1,\"sha256\":\"" KEY "\"}]}",
        "{\"stage\":\"a\",\"key\":\"" KEY "\",\"digest\":\"" KEY
        "\",\"files\":[{\"path\":\"x\",\"bytes\":-1,\"sha256\":\"" KEY "\"}]}",
        "{\"stage\":\"a\",\"key\":\"" KEY "\",\"digest\":\"" KEY "\",\"files\":[]}",
    };
    struct sea_manifest manifest;
    size_t i;

    fresh("broken");
    CHECK_INT(sea_manifest_load(dir, arena, &manifest, &err), SEA_E_MISSING);
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sea_err_clear(&err);
        put(SEA_MANIFEST_NAME, texts[i]);
        CHECK_MSG(sea_manifest_load(dir, arena, &manifest, &err) == SEA_E_FORMAT,
                  "\"%s\" gave %d %s", texts[i], (int)err.status, err.message);
    }
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("manifests",
    TEST(the_digest_follows_its_definition),
    TEST(marker_and_checkpoints_do_not_count),
    TEST(changes_are_found),
    TEST(broken_manifests_are_refused))
