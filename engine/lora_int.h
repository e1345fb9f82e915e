/* SPDX-License-Identifier: Apache-2.0 */
/* lora_int.h - PEFT folders whose layers have ranks or scales of their own, or no adapter */
#ifndef SEA_LORA_INT_H
#define SEA_LORA_INT_H

#include "engine/base/sea_node.h"
#include "engine/sea_lora.h"

struct sea_tensors;             /* engine/sea_safetensors.h */

/* Whether every layer of the wanted names has, or must have, an adapter of the same rank and
 * scale. misses: the file leaves some out, which is right only when the config says so. */
bool sea_lora_is_even(const struct sea_node *config, bool misses);
/* The largest rank of the file, and a scale of 1: each layer's own goes into its B. */
void sea_lora_widen(struct sea_lora_desc *desc, const struct sea_tensors *tensors);
/* Reads what there is. Smaller ranks are filled up with rows and columns of 0; a layer that
 * the file has nothing of keeps a B of 0. names: those of the file. */
SEA_MUST_CHECK enum sea_status
sea_lora_load_uneven(struct sea_lora *lora, struct sea_params *names,
                     const struct sea_tensors *tensors, const struct sea_node *config,
                     struct sea_err *err);

#endif
