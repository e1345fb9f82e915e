/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_cache.c - replies kept in files, and given out again
 *
 * A reply lies in CACHE/ab/HASH.json, HASH being that of the request as sent, of the grading
 * prompts, and of the numbers of run and attempt.
 */
#include "pipeline/judge_int.h"

#include <string.h>

#include "engine/base/sea_clock.h"

enum sea_status
sea_judge_cache_path(const struct sea_judge *judge, const struct sea_judge_ask *ask,
                     const struct sea_buf *body, char path[SEA_PATH_MAX], struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    char digest[SEA_SHA256_TEXT], name[SEA_SHA256_TEXT + 16];

    sea_hash_add_field(hash, SEA_JUDGE_FORMAT);
    sea_hash_add_field(hash, body->data);
    sea_hash_add_field(hash, ask->prompts_digest);
    snprintf(name, sizeof(name), "%lld %lld", (long long)ask->run, (long long)ask->attempt);
    sea_hash_add_field(hash, name);
    sea_hash_finish(hash, digest);
    sea_hash_destroy(hash);
    snprintf(name, sizeof(name), "%.2s/%s.json", digest, digest);
    return sea_path_join(path, judge->options.cache, name, err);
}

bool
sea_judge_take_reply(struct sea_judge *judge, const struct sea_node *kept, bool cached,
                     struct sea_judge_reply *reply)
{
    const char *text = sea_node_text(sea_node_get(kept, "text"), "");

    if (!text[0] || strcmp(sea_node_text(sea_node_get(kept, "format"), ""), SEA_JUDGE_FORMAT) != 0)
        return false;
    reply->text = text;
    reply->model = sea_node_text(sea_node_get(kept, "model"), "");
    reply->cached = cached;
    sea_judge_count(judge, reply->model, sea_node_int(sea_node_get(kept, "tokens_in"), 0),
                    sea_node_int(sea_node_get(kept, "tokens_out"), 0), cached);
    return true;
}

bool
sea_judge_cache_find(struct sea_judge *judge, const char *path, struct sea_arena *arena,
                     struct sea_judge_reply *reply)
{
    struct sea_err ignored = { 0 };
    struct sea_node *kept;

    return sea_file_exists(path) &&
           !sea_json_load(path, 2 * SEA_JUDGE_BODY_MAX, arena, &kept, &ignored) &&
           sea_judge_take_reply(judge, kept, true, reply);
}

enum sea_status
sea_judge_cache_keep(const char *path, struct sea_node *request,
                     struct sea_node *kept, struct sea_arena *arena, struct sea_err *err)
{
    struct sea_buf text;
    char folder[SEA_PATH_MAX], now[32];
    enum sea_status status;

    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    sea_clock_utc(now);
    sea_node_put_text(arena, kept, "time", now);
    sea_node_put_copy(arena, kept, "request", request);
    sea_buf_init(&text, 4 * SEA_JUDGE_BODY_MAX);
    status = sea_json_write(kept, SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_dir_create(folder, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    if (status)
        sea_context(err, "while keeping a reply of the judge");
    return status;
}
