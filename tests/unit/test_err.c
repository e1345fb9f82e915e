/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "engine/base/sea_err.h"
#include "tests/sea_test.h"

/* Invariant (1) of sea_err.h. */
static void
check_invariant(const struct sea_err *err)
{
    int is_empty = !err->cause[0] && !err->message[0] && !err->hint[0] && !err->context[0];

    CHECK_INT(err->status == SEA_OK, is_empty);
}

static void
first_failure_wins(void)
{
    struct sea_err err = { 0 };

    check_invariant(&err);
    CHECK_INT(sea_fail(&err, SEA_E_FORMAT, "row %d", 7), SEA_E_FORMAT);
    check_invariant(&err);
    CHECK_INT(sea_fail(&err, SEA_E_IO, "later"), SEA_E_FORMAT);
    errno = ENOSPC;
    CHECK_INT(sea_fail_errno(&err, "later still"), SEA_E_FORMAT);
    CHECK_STR(err.message, "row 7");
    CHECK_STR(err.cause, "");
    CHECK_STR(err.hint, "");
    sea_err_clear(&err);
    CHECK_INT(err.status, SEA_OK);
    check_invariant(&err);
}

static void
control_characters_become_question_marks(void)
{
    struct sea_err err = { 0 };

    sea_fail(&err, SEA_E_FORMAT, "no file \"%s\"", "a\nsea: done\r\x1b[2J\x7f\tb");
    sea_hint(&err, "Rename %s.", "x\ny");
    sea_context(&err, "while reading %s", "x\ny");
    sea_cause(&err, "sqlstate %s", "\n");
    CHECK_STR(err.message, "no file \"a?sea: done??[2J??b\"");
    CHECK_STR(err.hint, "Rename x?y.");
    CHECK_STR(err.context, "while reading x?y");
    CHECK_STR(err.cause, "sqlstate ?");
    sea_err_clear(&err);
    errno = ENOENT;
    sea_fail_errno(&err, "could not open \"%s\"", "\xc3\xa9\n");      /* UTF-8 stays */
    CHECK_STR(err.message, "could not open \"\xc3\xa9?\": No such file or directory");
}

static void
texts_stay_out_of_an_empty_error(void)
{
    struct sea_err err = { 0 };

    sea_hint(&err, "Do something.");
    sea_cause(&err, "errno 1");
    sea_context(&err, "while waiting");
    check_invariant(&err);
    CHECK_STR(err.hint, "");
}

static void
hint_and_cause_keep_the_first_and_context_grows(void)
{
    struct sea_err err = { 0 };

    sea_fail(&err, SEA_E_CONFIG, "x");
    sea_hint(&err, "First.");
    sea_hint(&err, "Second.");
    sea_cause(&err, "a");
    sea_cause(&err, "b");
    sea_context(&err, "while reading");
    sea_context(&err, "while starting %s", "up");
    CHECK_STR(err.hint, "First.");
    CHECK_STR(err.cause, "a");
    CHECK_STR(err.context, "while reading, while starting up");
}

static void
system_errors_pick_a_status_and_keep_their_number(void)
{
    static const struct { int code; enum sea_status status; } rows[] = {
        { ENOENT, SEA_E_MISSING }, { ENOTDIR, SEA_E_MISSING }, { EACCES, SEA_E_IO },
        { EIO, SEA_E_IO }, { ENOSPC, SEA_E_IO },
    };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sea_err err = { 0 };
        char cause[48];

        errno = rows[i].code;
        CHECK_INT(sea_fail_errno(&err, "could not open \"%s\"", "f"), rows[i].status);
        snprintf(cause, sizeof(cause), "errno %d", rows[i].code);
        CHECK_STR(err.cause, cause);
        CHECK(strncmp(err.message, "could not open \"f\": ", 20) == 0);
        CHECK(strstr(err.message, strerror(rows[i].code)) != NULL);
        CHECK_INT(err.hint[0] != 0, rows[i].code == ENOSPC);
    }
}

static void
long_texts_are_cut_inside_their_fields(void)
{
    char *text = malloc(100001);
    struct sea_err err = { 0 };
    int i;

    memset(text, 'x', 100000);
    text[100000] = 0;
    sea_fail(&err, SEA_E_IO, "%s", text);
    sea_hint(&err, "%s", text);
    sea_cause(&err, "%s", text);
    for (i = 0; i < 100; i++)
        sea_context(&err, "%s", text);
    CHECK_INT(strlen(err.message), sizeof(err.message) - 1);
    CHECK_INT(strlen(err.hint), sizeof(err.hint) - 1);
    CHECK_INT(strlen(err.cause), sizeof(err.cause) - 1);
    CHECK_INT(strlen(err.context), sizeof(err.context) - 1);
    CHECK_INT(err.status, SEA_E_IO);

    sea_err_clear(&err);        /* the system's words have to share the room, too */
    errno = EIO;
    sea_fail_errno(&err, "%s", text);
    CHECK_INT(strlen(err.message), sizeof(err.message) - 1);
    free(text);
}

static void
every_status_has_a_name_words_and_an_exit_status(void)
{
    int status;

    CHECK_STR(sea_status_name(SEA_OK), "OK");
    CHECK_INT(sea_status_exit(SEA_OK), 0);
    CHECK_INT(sea_status_from_exit(0), SEA_OK);
    for (status = SEA_E_CONFIG; status <= SEA_E_STOPPED; status++) {
        int code = sea_status_exit(status);

        CHECK(strncmp(sea_status_name(status), "E_", 2) == 0);
        CHECK(sea_status_words(status)[0] != 0);
        CHECK(code >= 64 && code <= 75);
        /* Some share a code: the one that comes back has it, and the same retry rule. */
        CHECK_INT(sea_status_exit(sea_status_from_exit(code)), code);
        CHECK_INT(sea_status_retry(sea_status_from_exit(code)), sea_status_retry(status));
    }
    CHECK_INT(sea_status_exit(SEA_E_CONFIG), 64);
    CHECK_INT(sea_status_exit(SEA_E_FORMAT), 65);
    CHECK_INT(sea_status_exit(SEA_E_MISSING), 66);
    CHECK_INT(sea_status_exit(SEA_E_IO), 74);
    CHECK_INT(sea_status_retry(SEA_E_STOPPED), SEA_RETRY_FREE);
    CHECK_INT(sea_status_from_exit(75), SEA_E_STOPPED);
}

static void
unknown_statuses_read_as_internal(void)
{
    CHECK_STR(sea_status_name((enum sea_status)99), "E_INTERNAL");
    CHECK_STR(sea_status_name((enum sea_status)-1), "E_INTERNAL");
    CHECK_INT(sea_status_from_exit(139), SEA_E_INTERNAL);
    CHECK_INT(sea_status_from_exit(-1), SEA_E_INTERNAL);
}

static void
print_shows_message_context_and_hint(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    struct sea_err err = { 0 };

    sea_fail(&err, SEA_E_MISSING, "no file \"a\"");
    sea_err_print(&err, "sea", to);
    sea_hint(&err, "Make one.");
    sea_context(&err, "while loading");
    sea_err_print(&err, "sea", to);
    sea_err_clear(&err);
    err.status = SEA_E_IO;      /* without a message, the words of the status stand in */
    sea_err_print(&err, "sea", to);
    fclose(to);
    CHECK_STR(text, "sea: no file \"a\"\n"
                    "sea: no file \"a\"\n  while loading\n  hint: Make one.\n"
                    "sea: reading or writing failed\n");
    free(text);
}

SEA_TEST_MAIN("errors are values",
              TEST(first_failure_wins),
              TEST(control_characters_become_question_marks),
              TEST(texts_stay_out_of_an_empty_error),
              TEST(hint_and_cause_keep_the_first_and_context_grows),
              TEST(system_errors_pick_a_status_and_keep_their_number),
              TEST(long_texts_are_cut_inside_their_fields),
              TEST(every_status_has_a_name_words_and_an_exit_status),
              TEST(unknown_statuses_read_as_internal),
              TEST(print_shows_message_context_and_hint))
