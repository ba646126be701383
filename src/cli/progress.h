/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line that says how far a long run is, written over itself on standard error where that is a
 * terminal; elsewhere nothing is written.
 */
#ifndef EVC_CLI_PROGRESS_H
#define EVC_CLI_PROGRESS_H

#include <stdint.h>

/**
 * "<what>  45,000 of 100,000 items  30,120/s  1.83 s left". expected: 0 where it is not known;
 * elapsed_us: since done was 0.
 */
void evc_progress_show(const char *what, uint64_t done, uint64_t expected, uint64_t elapsed_us);

/** Takes the line away. */
void evc_progress_clear(void);

#endif
