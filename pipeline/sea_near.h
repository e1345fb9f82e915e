/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_near.h - which known word a misspelled one was meant to be
 *
 * For hints ("Did you mean ...?") of keys, commands and options: short ASCII words.
 */
#ifndef SEA_NEAR_H
#define SEA_NEAR_H

#define SEA_NEAR_MAX 96         /* longer words are that far from everything */

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b; capitals do not count. */
int sea_near_distance(const char *a, const char *b);

#endif
