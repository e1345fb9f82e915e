/* SPDX-License-Identifier: Apache-2.0 */
/* Events: one JSON object per line whatever the text, and a failed write is kept. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_events.h"
#include "tests/sea_test.h"

static struct sea_err err;

static void
lines_are_json_and_keep_what_was_said(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_events *events;
    struct sea_err failed = { 0 };
    struct sea_node *node;
    char path[512], *line;
    struct sea_buf text;
    int n = 0;

    sea_err_clear(&err);
    snprintf(path, sizeof(path), "%s/events.jsonl", sea_test_dir());
    CHECK_OK(sea_events_open(&events, path, &err), err);
    sea_events_log(events, "warn", "a \"quoted\"\nline of %d", 7);
    sea_events_metric(events, "align.loss", 3, 0.125);
    sea_events_metric(events, "align.loss", 4, NAN);
    sea_events_artifact(events, "out/\x01 file");
    sea_events_checkpoint(events, "checkpoint/step-00000003", 3);
    sea_fail(&failed, SEA_E_FORMAT, "row 3 is broken");
    sea_events_error(events, &failed);
    sea_events_close(events);
    sea_buf_init(&text, 1 << 20);
    CHECK_OK(sea_file_read(path, &text, &err), err);
    for (line = text.data; *line; line = strchr(line, '\n') + 1, n++) {
        size_t len = strcspn(line, "\n");

        CHECK_OK(sea_json_parse(line, len, "line", arena, &node, &err), err);
        if (n == 0)
            CHECK_STR(sea_node_text(sea_node_get(node, "text"), ""), "a \"quoted\"\nline of 7");
        if (n == 1)
            CHECK_NEAR(sea_node_real(sea_node_get(node, "value"), 0), 0.125, 0);
        if (n == 2)
            CHECK_INT(sea_node_get(node, "value")->kind, SEA_NODE_NULL);
        if (n == 5)
            CHECK_STR(sea_node_text(sea_node_get(node, "status"), ""), "E_FORMAT");
    }
    CHECK_INT(n, 6);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
}

static void
progress_is_thinned_but_its_end_is_said(void)
{
    struct sea_events *events;
    char path[512];
    struct sea_buf text;
    int64_t i;

    sea_err_clear(&err);
    snprintf(path, sizeof(path), "%s/progress.jsonl", sea_test_dir());
    CHECK_OK(sea_events_open(&events, path, &err), err);
    for (i = 0; i <= 10000; i++)
        sea_events_progress(events, i, 10000, "steps");
    sea_events_close(events);
    sea_buf_init(&text, 1 << 20);
    CHECK_OK(sea_file_read(path, &text, &err), err);
    CHECK_MSG(text.len < 2000, "%zu bytes for 10001 calls", text.len);
    CHECK(strstr(text.data, "\"done\":0,") != NULL);
    CHECK(strstr(text.data, "\"done\":10000,\"total\":10000,\"unit\":\"steps\"") != NULL);
    sea_buf_release(&text);
}

static void
a_full_disk_is_reported(void)
{
    struct sea_events *events;

    sea_err_clear(&err);
    if (access("/dev/full", W_OK) != 0) {
        SEA_SKIP("there is no /dev/full");
        return;
    }
    CHECK_OK(sea_events_open(&events, "/dev/full", &err), err);
    CHECK_OK(sea_events_check(events, &err), err);
    sea_events_metric(events, "x", 1, 1);
    CHECK_INT(sea_events_check(events, &err), SEA_E_IO);
    sea_events_close(events);
}

static void
places_that_cannot_be_used_are_refused(void)
{
    struct sea_events *events;

    sea_err_clear(&err);
    CHECK_INT(sea_events_open(&events, "987", &err), SEA_E_CONFIG);
    sea_err_clear(&err);
    CHECK_INT(sea_events_open(&events, "/nowhere/x", &err), SEA_E_MISSING);
    sea_events_metric(NULL, "x", 1, 1);
    CHECK_OK(sea_events_check(NULL, &err) == SEA_OK ? SEA_OK : SEA_E_IO, err);
}

SEA_TEST_MAIN("events of a stage",
    TEST(lines_are_json_and_keep_what_was_said),
    TEST(progress_is_thinned_but_its_end_is_said),
    TEST(a_full_disk_is_reported),
    TEST(places_that_cannot_be_used_are_refused))
