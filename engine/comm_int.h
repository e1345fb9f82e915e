/* SPDX-License-Identifier: Apache-2.0 */
/* comm_int.h - links of a communicator: comm.c (thread, messages, collectives), comm_open.c */
#ifndef SEA_COMM_INT_H
#define SEA_COMM_INT_H

#include "engine/sea_comm.h"

/* Connects all ranks over TCP; links[rank] = -1. On failure nothing stays open. */
SEA_MUST_CHECK enum sea_status
sea_comm_meet(const struct sea_comm_options *options, int64_t timeout_ms, int *links,
              struct sea_err *err);

#endif
