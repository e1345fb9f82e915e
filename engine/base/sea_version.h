/* SPDX-License-Identifier: Apache-2.0 */
/* sea_version.h - what the program calls itself, and what its numbers depend on. */
#ifndef SEA_VERSION_H
#define SEA_VERSION_H

#define SEA_VERSION "0.1.0"
/* Part of every stage key: raised when a change makes a stage compute other bits from the
 * same inputs, so that the cache never serves results of the old arithmetic. */
#define SEA_NUMERICS "2"
/* The same of training with matrices in bfloat16, whose products may be rounded. */
#define SEA_NUMERICS_BF16 "3"

#endif
