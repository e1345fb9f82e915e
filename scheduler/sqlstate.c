/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_sqlstate.h"

#include <string.h>

#define MIGRATE "The schema may be behind the program; run `sea migrate`."
#define LET_IN "Check the user and its password (~/.pgpass, PGSERVICE, SEA_DATABASE_URL), and who " \
               "the server's pg_hba.conf lets in."
#define BACK "See whether the server runs; work goes on when it is back."

/* clang-format off */
static const struct sea_sqlstate states[] = {
    { "LF001", SEA_E_LEASE,    "the attempt (or worker) has lost its right to write", NULL },
    { "LF01",  SEA_E_CONFIG,   "what was asked cannot be done; the message says why", NULL },
    { "LF02",  SEA_E_INTERNAL, "the state machine has no such transition", NULL },
    { "08",    SEA_E_SERVICE,  "no connection", BACK },
    { "0A",    SEA_E_CONFIG,   "the server cannot do that", "PostgreSQL 15 or newer is needed." },
    { "25006", SEA_E_SERVICE,  "the server is read only", "It is a standby, or default_transaction_read_only is on: name the primary, or add target_session_attrs=read-write to SEA_DATABASE_URL." },
    { "28",    SEA_E_CONFIG,   "the server does not let this user in", LET_IN },
    { "3D000", SEA_E_CONFIG,   "there is no such database", "Create it (createdb) and run `sea migrate`, or name another in SEA_DATABASE_URL." },
    { "3F000", SEA_E_CONFIG,   "there is no such schema", MIGRATE },
    { "40",    SEA_E_SERVICE,  "the transaction met another one", NULL },
    { "42501", SEA_E_CONFIG,   "this user may not do that", "This database user needs a role that may do that: docs/service.md, Users and rights." },
    { "42703", SEA_E_CONFIG,   "there is no such column", MIGRATE },
    { "42883", SEA_E_CONFIG,   "there is no such function", MIGRATE },
    { "42P01", SEA_E_CONFIG,   "there is no such table", MIGRATE },
    { "53",    SEA_E_SERVICE,  "the server lacks something", "See the server's log." },
    { "53100", SEA_E_SERVICE,  "the server's disk is full", "Free space where the server keeps its data; work goes on then." },
    { "53200", SEA_E_SERVICE,  "the server has no memory left", "See what else runs there, and its settings work_mem and shared_buffers." },
    { "53300", SEA_E_SERVICE,  "the server has too many connections", "Raise max_connections, stop something, or put PgBouncer before it (docs/operations.md)." },
    { "54",    SEA_E_CONFIG,   "what was sent is too large or too deep for PostgreSQL", "Send less at once." },
    { "55006", SEA_E_SERVICE,  "the object is in use", NULL },
    { "55P03", SEA_E_SERVICE,  "a lock could not be had in time", NULL },
    { "57",    SEA_E_SERVICE,  "an operator stepped in", BACK },
    { "57014", SEA_E_SERVICE,  "the statement was cancelled, or took too long", NULL },
    { "57P01", SEA_E_SERVICE,  "the server shuts down", BACK },
    { "57P02", SEA_E_SERVICE,  "the server crashed and comes back", BACK },
    { "57P03", SEA_E_SERVICE,  "the server starts, or stops", BACK },
    { "58",    SEA_E_SERVICE,  "the server's files or disk have trouble", "See the server's log and its disk." },
    { "XX001", SEA_E_SERVICE,  "the server's data is damaged", "Stop writing, and restore a backup: docs/operations.md." },
};
/* clang-format on */
#define STATES_COUNT (sizeof(states) / sizeof(states[0]))

const struct sea_sqlstate *
sea_sqlstate_find(const char *code)
{
    static const struct sea_sqlstate other = { "", SEA_E_INTERNAL, "a defect of the program",
                                               NULL };
    const struct sea_sqlstate *best = &other;
    size_t i;

    for (i = 0; i < STATES_COUNT; i++)
        if (strncmp(code, states[i].code, strlen(states[i].code)) == 0 &&
            strlen(states[i].code) > strlen(best->code))
            best = &states[i];
    return best;
}

const struct sea_sqlstate *
sea_sqlstates(size_t *count)
{
    *count = STATES_COUNT;
    return states;
}
