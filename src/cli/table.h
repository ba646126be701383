/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table for people: a heading row, a left column of names and right-aligned columns as wide as
 * their widest cell. Texts are copied; cells beyond the bounds are an error of the caller.
 */
#ifndef EVC_CLI_TABLE_H
#define EVC_CLI_TABLE_H

#include <stdio.h>

#include "base/status.h"
#include "cli/terminal.h"

enum {
    EVC_TABLE_COLUMNS_MAX = 12
};

struct evc_table {
    unsigned column_count; /* immutable after init */
    size_t row_count, row_capacity;
    struct evc_table_cell *cells; /* row by row, the heading first */
    bool is_broken;               /* out of memory: nothing is printed */
};

/** headings: column_count texts, the first over the names. */
void evc_table_init(struct evc_table *table, const char *const *headings, unsigned column_count);
void evc_table_finish(struct evc_table *table);

/** Begins a row with its name; the following cells are added with evc_table_cell. */
void evc_table_row(struct evc_table *table, const char *name);

/** Sets a cell of the last row, column 1 and up. */
void evc_table_cell(struct evc_table *table, unsigned column, enum evc_style style,
                    const char *text);

void evc_table_print(const struct evc_table *table, FILE *out);

#endif
