/* SPDX-License-Identifier: Apache-2.0 */
/* sea_pattern.h - does a text fit an expression? For names in files of others. */
#ifndef SEA_PATTERN_H
#define SEA_PATTERN_H

#include <stdbool.h>

#include "engine/base/sea_err.h"

/* Whether the end of text that begins at its start or behind a point fits the expression as a
 * whole: "q_proj" and "layers\.0\..*" fit "model.layers.0.self_attn.q_proj". An expression
 * that cannot be read is SEA_E_FORMAT. */
SEA_MUST_CHECK enum sea_status
sea_pattern_fits_end(const char *expression, const char *text, bool *yes, struct sea_err *err);

#endif
