/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each fence of the service's SQL is removed once, and must be missed.
 *
 * A fence is a line of sql/migrations that ends with "fence: NAME", or "fence: NAME behind
 * OTHER" for a second layer: with OTHER alone removed it catches late calls (or, with "by
 * forged", forged ones), with both removed nothing does.
 * What is tried against the functions is the same with and without: late, forged, early and
 * superfluous calls, which must be refused.
 */
#include <glob.h>

#include "engine/base/sea_buf.h"
#include "tests/scheduler/service.h"

#define FENCES_MAX 64
#define MARK "-- fence: "

struct fence {
    char name[48], behind[48], by[16];
    bool red;
};

static struct fence fences[FENCES_MAX];
static size_t fences_count;
static struct sea_buf source;           /* all migrations that have fences */
static struct sea_arena *arena;
static int64_t worker;
static int failures;                    /* of the attack under way */
static char first_failure[600];

static void
fail(const char *what)
{
    if (!failures++)
        snprintf(first_failure, sizeof(first_failure), "%s", what);
}

/* ---- the registry: what the files say ---- */

/* Name and behind of the fence of a line; false when it has none. */
static bool
parse_mark(const char *line, size_t len, struct fence *out)
{
    char text[512];
    const char *at;

    snprintf(text, sizeof(text), "%.*s", (int)len, line);
    at = strstr(text, MARK);
    *out = (struct fence){ .red = false };
    return at && sscanf(at + strlen(MARK), "%47s behind %47s by %15s", out->name, out->behind,
                        out->by) >= 1;
}

/* "sea.claim(" of a line that makes a function, else "". */
static void
function_name(const char *line, char out[64])
{
    static const char *const starts[] = { "CREATE FUNCTION ", "CREATE OR REPLACE FUNCTION " };
    size_t i;

    out[0] = 0;
    for (i = 0; i < 2; i++)
        if (strncmp(line, starts[i], strlen(starts[i])) == 0)
            snprintf(out, 64, "%.*s", (int)strcspn(line + strlen(starts[i]), "(") + 1,
                     line + strlen(starts[i]));
}

/* Later migrations replace functions of earlier ones: only the last text of each counts. */
static bool
is_last(const char *line)
{
    char mine[64], other[64];

    function_name(line, mine);
    while ((line = strchr(line, '\n')) && *++line) {
        function_name(line, other);
        if (strcmp(mine, other) == 0)
            return false;
    }
    return true;
}

static void
read_fences(void)
{
    char name[64];
    bool counts = false;
    char pattern[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    const char *line, *end;
    struct fence one;
    glob_t found;
    size_t i;

    if (fences_count)
        return;
    service_begin();
    run_sql("ALTER SYSTEM SET fsync = off");
    run_sql("SELECT pg_reload_conf()");
    arena = sea_arena_create(NULL, "test");
    sea_buf_init(&source, 1 << 22);
    must(sea_path_join(pattern, sea_test_root(), "sql/migrations/*.sql", &err), &err);
    if (glob(pattern, 0, NULL, &found) != 0)
        abort();
    for (i = 0; i < found.gl_pathc; i++)
        must(sea_file_read(found.gl_pathv[i], &source, &err), &err);
    globfree(&found);
    for (line = source.data; *line; line = end + 1) {
        end = strchr(line, '\n');
        function_name(line, name);
        if (name[0])
            counts = is_last(line);
        if (!counts || !parse_mark(line, (size_t)(end - line), &one))
            continue;
        for (i = 0; i < fences_count && strcmp(fences[i].name, one.name) != 0; i++)
            ;
        if (i == fences_count && i < FENCES_MAX)
            fences[fences_count++] = one;
    }
}

/* Adds the line without its fence: statements go as a whole, of others the semicolon stays. */
static void
add_without(struct sea_buf *to, const char *line)
{
    const char *mark = strstr(line, MARK), *start = line + strspn(line, " ");
    size_t code = (size_t)(mark - line);

    while (code && line[code - 1] == ' ')
        code--;
    if (strncmp(start, "PERFORM", 7) != 0 && strncmp(start, "CONTINUE", 8) != 0 &&
        strncmp(start, "IF ", 3) != 0 &&
        code && line[code - 1] == ';')
        sea_buf_puts(to, ";");
    sea_buf_puts(to, "\n");
}

/* Replaces every function that has one of these fences by itself: without them, or whole. */
static void
replace_functions(const char *a, const char *b, bool whole)
{
    const char *line, *end, *begin = NULL;
    bool touched = false;
    struct sea_buf text;
    struct fence mark;
    char name[64];

    sea_buf_init(&text, 1 << 20);
    for (line = source.data; *line; line = end + 1) {
        size_t len;

        end = strchr(line, '\n');
        len = (size_t)(end - line);
        function_name(line, name);
        if (name[0]) {
            const char *from = strstr(line, " FUNCTION ");

            begin = is_last(line) ? line : NULL;
            touched = false;
            sea_buf_clear(&text);
            sea_buf_puts(&text, "CREATE OR REPLACE");
            sea_buf_add(&text, from, (size_t)(end + 1 - from));
            continue;
        }
        if (!begin)
            continue;
        if (parse_mark(line, len, &mark) &&
            (strcmp(mark.name, a) == 0 || strcmp(mark.name, b) == 0)) {
            touched = true;
            if (whole)
                sea_buf_add(&text, line, len + 1);
            else
                add_without(&text, line);
        } else {
            sea_buf_add(&text, line, len + 1);
        }
        if (len >= 3 && strncmp(end - 3, "$$;", 3) == 0) {
            if (touched)
                run_sql(text.data);
            begin = NULL;
        }
    }
    sea_buf_release(&text);
}

/* ---- attacks ---- */

static bool
claim(struct sea_claim *out, int64_t ttl_ms)
{
    struct sea_err err = { 0 };
    bool claimed = false;

    if (sea_queue_claim(db, worker, "default", ttl_ms, arena, out, &claimed, &err))
        fail(err.message);
    return claimed;
}

static struct sea_claim
claim_new(int seed, int64_t ttl_ms)
{
    struct sea_claim out = { 0 };
    char config[128];

    snprintf(config, sizeof(config), "{\"name\":\"f\",\"seed\":%d,\"stages\":{\"label\":{}}}", seed);
    submit(config, NULL);
    tick();
    if (!claim(&out, ttl_ms))
        fail("nothing to claim");
    return out;
}

static void
refused(enum sea_status status, const char *what)
{
    if (status != SEA_E_LEASE)
        fail(what);
}

/* A batch of one: what the fence leaves out of it is refused. */
static enum sea_status
commit_batch(const struct sea_fence *fence, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    char sql[400];
    bool left_out;

    snprintf(sql, sizeof(sql), "SELECT cardinality(sea.commit_batch('[{\"stage_id\": %lld,"
             " \"epoch\": %lld, \"secret\": \"%s\", \"files\": [], \"digest\": \"x\","
             " \"metrics\": []}]'))", (long long)fence->stage_id, (long long)fence->epoch,
             fence->secret);
    status = sea_db_query_text(db, sql, &rows, err);
    left_out = !status && strcmp(sea_rows_cell(rows, 0, 0), "0") == 0;
    sea_rows_close(rows);
    return left_out ? sea_fail(err, SEA_E_LEASE, "left out") : status;
}

/* With a claim behind it, which must not happen either. */
static enum sea_status
commit_next(const struct sea_fence *fence, const struct sea_artifacts *files, struct sea_err *err)
{
    struct sea_claimant who = { .worker_id = worker, .queue = "default", .ttl_ms = 60000 };
    struct sea_commit what = { .files = files, .digest = files->at[0].sha256, .scores = "[]" };
    struct sea_claim next;
    const char *names;
    bool claimed;

    sea_queue_secret(who.secret);
    return sea_queue_commit_next(db, fence, &what, &who, arena, &names, arena, &next, &claimed,
                                 err);
}

static enum sea_status
add_judge(const struct sea_fence *fence, struct sea_err *err)
{
    return sea_db_query(db, "judge_add",
                        SEA_PARAMS(SEA_P_INT(fence->stage_id), SEA_P_INT(fence->epoch),
                                   SEA_P_TEXT(fence->secret), SEA_P_TEXT("b"), SEA_P_TEXT("s"),
                                   SEA_P_TEXT("somebody")), NULL, err);
}

/* Every call of an attempt, by somebody who may not. */
static void
try_all(const struct sea_fence *fence, const char *who)
{
    struct sea_artifact file = { .path = "x", .bytes = 1 };
    struct sea_artifacts files = { .at = &file, .count = 1 };
    struct sea_claim none = { .fence = *fence };
    enum sea_drain drain;
    const char *names;
    char state[16], what[64], sql[192];
    int64_t condemned;
    bool cancel;

    sea_hash_bytes("x", 1, file.sha256);
    /* so that a commit fails for no other reason than its fence */
    snprintf(sql, sizeof(sql), "INSERT INTO sea.artifact (sha256, bytes) VALUES ('%s', 1)"
             " ON CONFLICT DO NOTHING", file.sha256);
    run_sql(sql);
#define TRY(call)                                       \
    do {                                                \
        struct sea_err err = { 0 }, why = { 0 };        \
        sea_fail(&why, SEA_E_IO, "disk");              \
        snprintf(what, sizeof(what), "%s: %.40s", who, #call);  \
        refused(call, what);                            \
    } while (0)
    TRY(sea_queue_start(db, fence, 1, false, &none, &err));
    TRY(sea_queue_heartbeat(db, fence, 60000, &cancel, &drain, &err));
    TRY(sea_queue_relay(db, fence, 99, "{\"metrics\":[[\"z\",1,1]]}", &err));
    TRY(sea_queue_relay(db, fence, 98, "{\"progress\":[1,2,\"x\"]}", &err));
    TRY(sea_queue_checkpoint(db, fence, 7, "1.1.7", &files, arena, &names, &err));
    TRY(sea_queue_prepare(db, fence, &files, "[]", &condemned, &err));
    TRY(sea_queue_answers(db, fence, "b", "s", false, 0, "[{\"id\":1}]", &err));
    TRY(add_judge(fence, &err));
    TRY(sea_queue_commit(db, fence, &files, file.sha256, "[]", NULL, arena, &names, &err));
    TRY(commit_next(fence, &files, &err));
    TRY(sea_queue_fail(db, fence, "error", 70, &why, state, &err));
    TRY(commit_batch(fence, &err));
    TRY(sea_queue_release(db, fence, "pause", 0, &err));
    TRY(sea_queue_cancelled(db, fence, &err));
#undef TRY
}

static void
attack_late(void)
{
    struct sea_claim zombie = claim_new(1, 1), next;

    sea_clock_sleep_ms(10);
    if (tick().rescued != 1)
        fail("an expired lease was not taken back");
    try_all(&zombie.fence, "nobody holds it");
    tick();
    if (!claim(&next, 60000)) {
        fail("what was taken back is not ready");
        return;
    }
    try_all(&zombie.fence, "somebody else holds it");
}

static void
attack_forged(void)
{
    struct sea_claim own = claim_new(1, 60000), other = claim_new(2, 60000);
    struct sea_fence forged = own.fence;

    snprintf(forged.secret, sizeof(forged.secret), "%s", other.fence.secret);
    try_all(&forged, "another's secret");
    own = claim_new(3, 60000);
    forged = own.fence;
    forged.epoch++;
    try_all(&forged, "another epoch");
}

static void
attack_start(void)
{
    struct sea_claim own = claim_new(1, 60000);
    struct sea_err err = { 0 };

    if (sea_queue_start(db, &own.fence, 11, false, &own, &err))
        fail("start");
    if (sea_queue_start(db, &own.fence, 11, false, &own, &err))
        fail("the same start again");
    sea_err_clear(&err);
    refused(sea_queue_start(db, &own.fence, 12, false, &own, &err), "a second process starts");
}

static void
attack_time(void)
{
    struct sea_claim own = claim_new(1, 60000);
    struct sea_err err = { 0 };

    /* Schedulers look before they call: the function by itself refuses, too. */
    if (tick().rescued || number("SELECT count(sea.rescue(stage_id)) FROM sea.lease") > 0)
        fail("a living lease was taken back");
    if (sea_queue_release(db, &own.fence, "pause", 60000, &err))
        fail("release");
    if (tick().woken)
        fail("a pause ended early");
}

static void
attack_claim(void)
{
    struct sea_claim own = claim_new(1, 60000), more;
    struct sea_claimant stranger = { .worker_id = worker };
    struct sea_err err = { 0 };
    bool found;

    if (claim(&more, 60000))
        fail("what is not ready was claimed");
    if (number("SELECT count(*) FROM sea.claim_batch(1, 'default', 60000, 8)") != 0)
        fail("what is not ready was claimed in a batch");
    /* a row of the list that should have gone */
    run_sql("DELETE FROM sea.mark");
    run_sql("INSERT INTO sea.todo SELECT id, 'ready', queue, owner, now() FROM sea.stage_run");
    if (claim(&more, 60000))
        fail("what runs was claimed");
    if (number("SELECT count(*) FROM sea.claim_batch(1, 'default', 60000, 8)") != 0)
        fail("what runs was claimed in a batch");
    run_sql("DELETE FROM sea.todo");
    sea_queue_secret(stranger.secret);
    if (sea_queue_claimed(db, &stranger, arena, &more, &found, &err) || found)
        fail("a lease was shown to who does not know its secret");
    submit("{\"name\":\"f\",\"seed\":5,\"stages\":{\"label\":{}}}", NULL);
    tick();
    run_sql("SELECT sea.set_limit('queue', 'default', 1)");
    if (claim(&more, 60000))
        fail("more than the limit were claimed");
    run_sql("SELECT sea.set_limit('queue', 'default', NULL)");
    run_sql("UPDATE sea.worker SET gpus = '{0}'");
    run_sql("INSERT INTO sea.slot VALUES ('gpu', 'host', 1, 99, 1)");
    if (claim(&more, 60000))
        fail("a stage was claimed without the GPU that it needs");
    if (number("SELECT sea.take_gpus('host', '{0}', 1) IS NULL") != 1)
        fail("a GPU was given out that another attempt holds");
    run_sql("UPDATE sea.worker SET gpus = '{}'");
    run_sql("SELECT sea.drain(1)");
    if (claim(&more, 60000))
        fail("a draining worker claimed");
    if (number("SELECT count(*) FROM sea.claim_batch(1, 'default', 60000, 8)") != 0)
        fail("a draining worker claimed a batch");
    (void)own;
}

static void
attack_store(void)
{
    struct sea_claim own = claim_new(1, 60000);
    struct sea_artifact file = { .path = "x", .bytes = 1 };
    struct sea_artifacts files = { .at = &file, .count = 1 };
    struct sea_err err = { 0 };
    const char *names;
    int64_t condemned;

    sea_hash_bytes("x", 1, file.sha256);
    if (sea_queue_prepare(db, &own.fence, &files, "[]", &condemned, &err))
        fail("prepare");
    if (number("SELECT count(*) FROM sea.condemn(0, 1000, 10)"))
        fail("a pinned file was condemned");
    run_sql("UPDATE sea.artifact SET condemned_at = NULL");
    if (sea_queue_commit(db, &own.fence, &files, file.sha256, "[]", NULL, arena, &names, &err))
        fail("commit");
    try_all(&own.fence, "it has committed");
    if (number("SELECT count(*) FROM sea.condemn(0, 1000, 10)"))
        fail("a file of a manifest was condemned");
}

/* As service_begin leaves them, without making the schema anew each time. */
static void
empty_tables(void)
{
    run_sql("DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') ||"
            " ' RESTART IDENTITY' FROM pg_class WHERE relnamespace = 'sea'::regnamespace AND"
            " relkind IN ('r', 'p') AND relname <> 'migration'); END $$");
}

static void (*const attacks[])(void) = { attack_late, attack_forged, attack_start, attack_time,
                                         attack_claim, attack_store };

/* Failures of the attacks with these fences removed ("" for none); of one of them alone for
 * second layers, which do not know all that the first one knows. */
static int
attack(const char *a, const char *b, void (*only)(void))
{
    size_t i;

    failures = 0;
    first_failure[0] = 0;
    replace_functions(a, b, false);
    for (i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        if (only && only != attacks[i])
            continue;
        empty_tables();
        worker = add_worker();
        attacks[i]();
    }
    replace_functions(a, b, true);
    return failures;
}

static void
nothing_passes_with_all_fences(void)
{
    read_fences();
    CHECK_MSG(attack("", "", NULL) == 0, "refused or allowed wrongly: %s", first_failure);
    CHECK(fences_count > 20);
}

static void
each_fence_is_missed(void)
{
    size_t i, red = 0;

    read_fences();
    for (i = 0; i < fences_count; i++) {
        struct fence *f = &fences[i];
        void (*only)(void) = strcmp(f->by, "forged") == 0 ? attack_forged : attack_late;

        if (f->behind[0]) {
            CHECK_MSG(attack(f->behind, "", only) == 0,
                      "%s does not hold when %s is gone: %s", f->name, f->behind, first_failure);
            f->red = attack(f->behind, f->name, only) > 0;
        } else {
            f->red = attack(f->name, "", NULL) > 0;
        }
        CHECK_MSG(f->red, "nobody misses fence %s%s%s", f->name, f->behind[0] ? " behind " : "",
                  f->behind);
        printf("  %-18s %s %s\n", f->name, f->red ? "red:" : "GREEN", first_failure);
        red += f->red;
    }
    printf("%zu groups, %zu red\n", fences_count, red);
}

SEA_TEST_MAIN("fence: removed one at a time", TEST(nothing_passes_with_all_fences),
              TEST(each_fence_is_missed))
