/* SPDX-License-Identifier: Apache-2.0 */
/* suite_int.h - suites: which benchmarks an eval runs, and where their files are */
#ifndef SEA_SUITE_INT_H
#define SEA_SUITE_INT_H

#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"

/* The suite of a resolved experiment as contents: its text and the digests of all files
 * and folders that it names. */
SEA_MUST_CHECK enum sea_status
sea_suite_digest(const struct sea_node *config, char out[SEA_SHA256_TEXT], struct sea_err *err);

#endif
