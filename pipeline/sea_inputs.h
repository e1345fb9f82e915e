/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_inputs.h - whether what an experiment names is there
 *
 * A look before anything is queued: a word spelled wrong in the suite's path, or a model without
 * its tokenizer, would else be told when other stages have worked for hours. Files are there,
 * models have weights whose headers can be read, a tokenizer, and say how pictures are prepared.
 * Other contents are the stages' business; so are the pictures, which may be hundreds of
 * thousands.
 */
#ifndef SEA_INPUTS_H
#define SEA_INPUTS_H

#include "engine/base/sea_err.h"
#include "engine/base/sea_node.h"

/* Models, data, word list, suite, and the files of its benchmarks, of all stages that run. config
 * is resolved. before: NULL, or an experiment that was found whole; what both name is not looked
 * at again. SEA_E_MISSING, SEA_E_CONFIG and SEA_E_FORMAT name the key or the path. */
SEA_MUST_CHECK enum sea_status
sea_inputs_check(const struct sea_node *config, const struct sea_node *before,
                 struct sea_err *err);

#endif
