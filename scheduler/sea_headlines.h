/* SPDX-License-Identifier: Apache-2.0 */
/* sea_headlines.h - which metrics people see first: what stands for each benchmark, and the
 * share of "yes" beside yes/no accuracies. */
#ifndef SEA_HEADLINES_H
#define SEA_HEADLINES_H

#include "engine/base/sea_buf.h"

/* Appends an SQL array text: {"pope:accuracy","pope:yes_share",...}. */
void sea_headlines(struct sea_buf *out);

#endif
