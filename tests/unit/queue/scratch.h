/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for one test, gone afterwards. */
#ifndef SCRATCH_H
#define SCRATCH_H

/** Makes a fresh directory; path holds at least 64 bytes. 0, or -1. */
int scratch_make(char *path);

/** Removes it with all it holds. */
void scratch_remove(const char *path);

#endif
