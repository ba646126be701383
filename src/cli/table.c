/* SPDX-License-Identifier: Apache-2.0 */
/* Gathers cells, then prints them when the widths are known. */
#include "cli/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    TABLE_CELL_BYTES = 160, /* two names of regions and what stands between them fit */
    TABLE_ROWS_FIRST = 16,
};

struct evc_table_cell {
    enum evc_style style;
    char text[TABLE_CELL_BYTES];
};

static struct evc_table_cell *
cell_at(const struct evc_table *table, size_t row, unsigned column)
{
    assert(row < table->row_count && column < table->column_count);
    return &table->cells[row * table->column_count + column];
}

static void
cell_set(struct evc_table_cell *cell, enum evc_style style, const char *text)
{
    cell->style = style;
    snprintf(cell->text, sizeof(cell->text), "%s", text);
}

void
evc_table_init(struct evc_table *table, const char *const *headings, unsigned column_count)
{
    assert(column_count >= 1 && column_count <= EVC_TABLE_COLUMNS_MAX);
    *table = (struct evc_table){.column_count = column_count};
    evc_table_row(table, headings[0]);
    for (unsigned i = 1; i < column_count; i++) {
        evc_table_cell(table, i, EVC_STYLE_DIM, headings[i]);
    }
}

void
evc_table_finish(struct evc_table *table)
{
    free(table->cells);
    *table = (struct evc_table){0};
}

void
evc_table_row(struct evc_table *table, const char *name)
{
    if (table->row_count == table->row_capacity) {
        size_t capacity = table->row_capacity > 0 ? 2 * table->row_capacity : TABLE_ROWS_FIRST;
        struct evc_table_cell *cells =
            reallocarray(table->cells, capacity * table->column_count, sizeof(*cells));
        if (cells == NULL) {
            table->is_broken = true;
            return;
        }
        table->cells = cells;
        table->row_capacity = capacity;
    }
    table->row_count++;
    for (unsigned i = 0; i < table->column_count; i++) {
        cell_set(cell_at(table, table->row_count - 1, i), EVC_STYLE_PLAIN, i == 0 ? name : "");
    }
}

void
evc_table_cell(struct evc_table *table, unsigned column, enum evc_style style, const char *text)
{
    if (!table->is_broken) {
        cell_set(cell_at(table, table->row_count - 1, column), style, text);
    }
}

static size_t
column_width(const struct evc_table *table, unsigned column)
{
    size_t width = 0;

    for (size_t row = 0; row < table->row_count; row++) {
        size_t cell_width = evc_terminal_width(cell_at(table, row, column)->text);
        width = cell_width > width ? cell_width : width;
    }
    return width;
}

static void
print_cell(const struct evc_table_cell *cell, size_t width, bool is_name, FILE *out)
{
    int padding = (int)(width - evc_terminal_width(cell->text));
    bool is_styled = cell->style != EVC_STYLE_PLAIN;

    if (!is_name) {
        fprintf(out, "  %*s", padding, "");
    }
    fprintf(out, "%s%s%s", is_styled ? evc_terminal_style(out, cell->style) : "", cell->text,
            is_styled ? evc_terminal_style(out, EVC_STYLE_PLAIN) : "");
    if (is_name) {
        fprintf(out, "%*s", padding, "");
    }
}

void
evc_table_print(const struct evc_table *table, FILE *out)
{
    size_t widths[EVC_TABLE_COLUMNS_MAX];

    if (table->is_broken) {
        return;
    }
    for (unsigned i = 0; i < table->column_count; i++) {
        widths[i] = column_width(table, i);
    }
    for (size_t row = 0; row < table->row_count; row++) {
        struct evc_table_cell name = *cell_at(table, row, 0);
        name.style = row == 0 ? EVC_STYLE_BOLD : name.style;
        fputs("  ", out);
        print_cell(&name, widths[0], true, out);
        for (unsigned i = 1; i < table->column_count; i++) {
            print_cell(cell_at(table, row, i), widths[i], false, out);
        }
        fputc('\n', out);
    }
}
