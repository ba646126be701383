/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every text goes through put(), which cuts it at the right edge and drops it below the last line,
 * so that no size of the terminal needs thinking of elsewhere.
 */
#include "cli/top_view.h"

#include <curses.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/figure.h"
#include "cli/survey_style.h"
#include "cli/terminal.h"
#include "survey/notes.h"

enum {
    TEXT_BYTES = 256,
    NAME_COLUMNS_MAX = 20, /* longer names of regions are cut */
    CELL_COLUMNS = 22,     /* of a pair in the view of regions */
    CELL_LINES = 4,        /* lag, rate, lost, ready */
    TOP_LINES = 3,         /* title, what is worst, an empty one */
    BOTTOM_LINES = 2,      /* an empty one, the keys */
};

static bool has_styles;

void
evc_top_colors(void)
{
    const char *no_color = getenv("NO_COLOR");

    has_styles = has_colors() && (no_color == NULL || no_color[0] == '\0');
    if (has_styles) {
        (void)start_color();
        (void)use_default_colors();
        (void)init_pair(EVC_STYLE_GOOD, COLOR_GREEN, -1);
        (void)init_pair(EVC_STYLE_WARN, COLOR_YELLOW, -1);
        (void)init_pair(EVC_STYLE_BAD, COLOR_RED, -1);
    }
}

static attr_t
attributes_of(enum evc_style style)
{
    switch (style) {
    case EVC_STYLE_BOLD:
        return A_BOLD;
    case EVC_STYLE_DIM:
        return A_DIM;
    case EVC_STYLE_GOOD:
    case EVC_STYLE_WARN:
    case EVC_STYLE_BAD:
        return (has_styles ? (attr_t)COLOR_PAIR(style) : A_NORMAL) |
               (style == EVC_STYLE_BAD ? A_BOLD : A_NORMAL);
    case EVC_STYLE_PLAIN:
        break;
    }
    return A_NORMAL;
}

/** Writes as much of a text as the screen has room for. ASCII only. */
__attribute__((format(printf, 4, 5))) static void
put(int line, int column, enum evc_style style, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;

    if (line < 0 || line >= LINES || column < 0 || column >= COLS) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)attrset((int)attributes_of(style));
    (void)mvaddnstr(line, column, text, COLS - column);
    (void)attrset(A_NORMAL);
}

static const char *
region_name(const struct evc_survey *survey, unsigned region)
{
    return survey->config->regions[region].name;
}

/* --- the lines of every view --- */

/** What needs attention most. NULL: nothing does. */
static const struct evc_note *
worst_note(const struct evc_notes *notes)
{
    for (unsigned kind = 0; kind < EVC_NOTE_KIND_MAX; kind++) {
        for (size_t i = 0; i < notes->count; i++) {
            if (notes->notes[i].kind == kind) {
                return &notes->notes[i];
            }
        }
    }
    return NULL;
}

/** One line for all that needs attention: how much it is, and the worst of it. */
static void
draw_worst(const struct evc_survey *survey)
{
    static const char arrow[] = "→";
    struct evc_notes notes;
    const struct evc_note *worst;

    evc_notes_init(&notes, survey);
    worst = worst_note(&notes);
    if (worst == NULL) {
        put(1, 0, EVC_STYLE_GOOD, "every region is fresh");
    } else {
        const char *to = strstr(worst->subject, arrow); /* the screen takes ASCII only */
        int len = to != NULL ? (int)(to - worst->subject) : (int)strlen(worst->subject);
        char count[EVC_FIGURE_BYTES + 16] = "";

        if (notes.count > 1) {
            snprintf(count, sizeof(count), "%zu things: ", notes.count + notes.left_out);
        }
        put(1, 0, worst->kind == EVC_NOTE_BAD ? EVC_STYLE_BAD : EVC_STYLE_WARN, "%s%.*s%s%s %s",
            count, len, worst->subject, to != NULL ? "to" : "",
            to != NULL ? to + strlen(arrow) : "", worst->text);
    }
    evc_notes_finish(&notes);
}

static void
draw_title(const struct evc_survey *survey)
{
    time_t seconds = (time_t)(survey->unix_us / 1000000);
    size_t unanswered = evc_survey_unanswered(survey);
    int at = 10 + (int)strlen(survey->config->cache);
    struct tm local;
    char clock[16] = "", title[TEXT_BYTES];

    if (localtime_r(&seconds, &local) != NULL) {
        (void)strftime(clock, sizeof(clock), "%H:%M:%S", &local);
    }
    snprintf(title, sizeof(title), "%u region%s, %zu of %zu processes answer",
             survey->config->regions_count, survey->config->regions_count == 1 ? "" : "s",
             survey->process_count - unanswered, survey->process_count);
    put(0, 0, EVC_STYLE_BOLD, "evcache %s", survey->config->cache);
    put(0, at, unanswered > 0 ? EVC_STYLE_BAD : EVC_STYLE_PLAIN, "%s", title);
    if (at + (int)strlen(title) + 2 + (int)strlen(clock) <= COLS) {
        put(0, COLS - (int)strlen(clock), EVC_STYLE_DIM, "%s", clock);
    }
    draw_worst(survey);
}

static void
draw_keys(enum evc_top_view view)
{
    static const char *const keys[] = {
        [EVC_TOP_REGIONS] = "arrows select   Enter partitions   n nodes   q quit",
        [EVC_TOP_PARTITIONS] = "arrows scroll   Esc regions   n nodes   q quit",
        [EVC_TOP_NODES] = "arrows scroll   Esc regions   q quit",
    };

    (void)attrset(A_REVERSE);
    (void)mvhline(LINES - 1, 0, ' ', COLS);
    (void)mvaddnstr(LINES - 1, 0, keys[view], COLS);
    (void)attrset(A_NORMAL);
}

/* --- regions --- */

/** What nobody told is not 0. */
static const char *
count_text(bool is_known, uint64_t count, char text[EVC_FIGURE_BYTES])
{
    return is_known ? evc_figure_count((int64_t)count, text) : "-";
}

static void
mark_selected(int line, int column)
{
    for (int i = 0; i < CELL_LINES; i++) {
        put(line + i, column, EVC_STYLE_BOLD, ">");
    }
}

static void
draw_pair(const struct evc_survey_pair *pair, int line, int column, bool is_selected)
{
    const struct evc_histogram *recent = &pair->recent;
    char lag[EVC_FIGURE_BYTES] = "quiet", digits[EVC_FIGURE_BYTES];
    enum evc_style style = evc_style_of_state(pair->total.state);

    if (recent->count > 0) {
        (void)evc_figure_duration(evc_histogram_quantile(recent, 0.99), lag);
    }
    if (pair->total.state == EVC_SURVEY_FINE) {
        put(line, column + 2, style, "%s%s", recent->count > 0 ? "p99 " : "", lag);
    } else {
        put(line, column + 2, style, "%s %s", evc_survey_state_str(pair->total.state),
            pair->total.waiting_us > 0 ? evc_figure_duration(pair->total.waiting_us, lag) : "");
    }
    put(line + 1, column + 2, EVC_STYLE_PLAIN, "%s/s",
        evc_figure_count((int64_t)(pair->rate + 0.5), digits));
    put(line + 2, column + 2, pair->total.lost > 0 ? EVC_STYLE_BAD : EVC_STYLE_DIM, "lost %s",
        count_text(pair->total.is_known, pair->total.lost, digits));
    put(line + 3, column + 2, evc_style_of_score(pair->readiness.score), "ready %u",
        pair->readiness.score);
    if (is_selected) {
        mark_selected(line, column);
    }
}

/** On the diagonal: the region's own group, which brings its zones together. */
static void
draw_repair(const struct evc_survey_pair *pair, int line, int column, bool is_selected)
{
    char text[EVC_FIGURE_BYTES];

    put(line, column + 2, EVC_STYLE_DIM, "repair");
    put(line + 1, column + 2, evc_style_of_state(pair->total.state), "%s %s",
        evc_survey_state_str(pair->total.state),
        pair->total.state != EVC_SURVEY_FINE && pair->total.waiting_us > 0
            ? evc_figure_duration(pair->total.waiting_us, text)
            : "");
    put(line + 2, column + 2, EVC_STYLE_DIM, "in flight %s",
        count_text(pair->total.is_known, pair->total.in_flight, text));
    if (is_selected) {
        mark_selected(line, column);
    }
}

/** The first of count items shown, so that selected is among the room ones. */
static unsigned
first_shown(unsigned selected, unsigned room)
{
    return room > 0 && selected >= room ? selected - room + 1 : 0;
}

static void
draw_regions(const struct evc_top_screen *screen, const struct evc_survey *survey)
{
    unsigned count = survey->config->regions_count;
    int left = NAME_COLUMNS_MAX + 2, height = CELL_LINES + 1;
    int columns = (COLS - left) / CELL_COLUMNS, lines = (LINES - TOP_LINES - 2) / height;
    unsigned first_column = first_shown(screen->destination, columns > 0 ? (unsigned)columns : 1);
    unsigned first_row = first_shown(screen->source, lines > 0 ? (unsigned)lines : 1);

    put(TOP_LINES, 0, EVC_STYLE_DIM, "from / to");
    for (unsigned d = first_column; d < count; d++) {
        put(TOP_LINES, left + (int)(d - first_column) * CELL_COLUMNS + 2, EVC_STYLE_BOLD, "%.*s",
            NAME_COLUMNS_MAX, region_name(survey, d));
    }
    for (unsigned s = first_row; s < count; s++) {
        int line = TOP_LINES + 1 + (int)(s - first_row) * height;
        if (line + CELL_LINES > LINES - 1) {
            break; /* the keys are there */
        }
        put(line, 0, EVC_STYLE_BOLD, "%.*s", NAME_COLUMNS_MAX, region_name(survey, s));
        put(line + 1, 0, EVC_STYLE_DIM, "%.0f reads/s", survey->regions[s].read_rate);
        put(line + 2, 0, EVC_STYLE_DIM, "%.0f writes/s", survey->regions[s].write_rate);
        for (unsigned d = first_column; d < count; d++) {
            bool is_selected = s == screen->source && d == screen->destination;

            (s == d ? draw_repair : draw_pair)(evc_survey_pair_at(survey, s, d), line,
                                               left + (int)(d - first_column) * CELL_COLUMNS,
                                               is_selected);
        }
    }
}

/* --- lists --- */

/** Lines a list has room for, below its heading. */
static unsigned
list_room(void)
{
    int room = LINES - TOP_LINES - 2 - BOTTOM_LINES;

    return room > 1 ? (unsigned)room : 1;
}

/** Brings a list's first line within bounds. */
static void
bound_scroll(struct evc_top_screen *screen, unsigned count)
{
    unsigned last = count > list_room() ? count - list_room() : 0;

    screen->first_line = screen->first_line < last ? screen->first_line : last;
}

static void
draw_partition(const struct evc_survey_cell *cell, unsigned index, int line)
{
    char waiting[EVC_FIGURE_BYTES] = "-", lag[EVC_FIGURE_BYTES] = "-";
    char in_flight[EVC_FIGURE_BYTES], produced[EVC_FIGURE_BYTES];
    char lost[EVC_FIGURE_BYTES], unexplained[EVC_FIGURE_BYTES];

    if (cell->waiting_us > 0) {
        (void)evc_figure_duration(cell->waiting_us, waiting);
    }
    if (cell->recent_count > 0) {
        (void)evc_figure_duration(cell->recent_p99_us, lag);
    }
    snprintf(unexplained, sizeof(unexplained), "%s", cell->is_known ? "moving" : "unknown");
    if (cell->is_settled) {
        (void)evc_figure_count(cell->unexplained, unexplained);
    }
    put(line, 0, EVC_STYLE_PLAIN, "%9u", index);
    put(line, 11, evc_style_of_state(cell->state), "%-8s", evc_survey_state_str(cell->state));
    put(line, 20, EVC_STYLE_PLAIN, "%10s %10s %12s %14s", waiting, lag,
        count_text(cell->is_known, cell->in_flight, in_flight),
        evc_figure_count((int64_t)cell->produced, produced));
    put(line, 70, cell->lost > 0 ? EVC_STYLE_BAD : EVC_STYLE_PLAIN, "%10s",
        count_text(cell->is_known, cell->lost, lost));
    put(line, 81, cell->is_settled && cell->unexplained != 0 ? EVC_STYLE_BAD : EVC_STYLE_PLAIN,
        "%12s", unexplained);
}

static void
draw_partitions(struct evc_top_screen *screen, const struct evc_survey *survey)
{
    const struct evc_survey_pair *pair =
        evc_survey_pair_at(survey, screen->source, screen->destination);
    unsigned count = pair->partition_count;

    bound_scroll(screen, count);
    if (pair->source == pair->destination) {
        put(TOP_LINES, 0, EVC_STYLE_BOLD, "%s, repair", region_name(survey, pair->source));
    } else {
        put(TOP_LINES, 0, EVC_STYLE_BOLD, "%s to %s", region_name(survey, pair->source),
            region_name(survey, pair->destination));
    }
    put(TOP_LINES + 1, 0, EVC_STYLE_DIM, "%9s  %-8s %10s %10s %12s %14s %10s %12s", "partition",
        "state", "oldest", "p99", "in flight", "produced", "lost", "unexplained");
    for (unsigned i = 0; i < list_room() && screen->first_line + i < count; i++) {
        unsigned index = screen->first_line + i;
        draw_partition(&pair->cells[index], index, TOP_LINES + 2 + (int)i);
    }
}

static void
draw_node(const struct evc_survey *survey, const struct evc_survey_node *node, int line)
{
    const struct evc_config_region *region = &survey->config->regions[node->region];
    char items[EVC_FIGURE_BYTES] = "-", memory[EVC_FIGURE_BYTES] = "-", errors[EVC_FIGURE_BYTES];

    if (node->has_memory && node->bytes_max > 0) {
        (void)evc_figure_count((int64_t)node->items, items);
        snprintf(memory, sizeof(memory), "%u%%", (unsigned)(100 * node->bytes / node->bytes_max));
    }
    put(line, 0, EVC_STYLE_PLAIN, "%-24.24s %-20.20s", node->address->text,
        region->zones[node->zone].name);
    put(line, 46, node->is_up ? EVC_STYLE_GOOD : EVC_STYLE_BAD, "%-10s",
        node->is_known ? node->state : "not known");
    put(line, 57, EVC_STYLE_PLAIN, "%12s %7s %10s  %s", items, memory,
        evc_figure_count((int64_t)node->errors, errors), node->is_up ? "" : node->why);
}

static void
draw_nodes(struct evc_top_screen *screen, const struct evc_survey *survey)
{
    bound_scroll(screen, (unsigned)survey->node_count);
    put(TOP_LINES, 0, EVC_STYLE_BOLD, "Nodes");
    put(TOP_LINES + 1, 0, EVC_STYLE_DIM, "%-24s %-20s %-10s %12s %7s %10s", "node", "zone", "state",
        "items", "memory", "errors");
    for (unsigned i = 0; i < list_room() && screen->first_line + i < survey->node_count; i++) {
        draw_node(survey, &survey->nodes[screen->first_line + i], TOP_LINES + 2 + (int)i);
    }
}

void
evc_top_draw(struct evc_top_screen *screen, const struct evc_survey *survey)
{
    (void)erase();
    if (survey == NULL) {
        put(0, 0, EVC_STYLE_DIM, "asking every process");
    } else {
        draw_title(survey);
        switch (screen->view) {
        case EVC_TOP_REGIONS:
            draw_regions(screen, survey);
            break;
        case EVC_TOP_PARTITIONS:
            draw_partitions(screen, survey);
            break;
        case EVC_TOP_NODES:
            draw_nodes(screen, survey);
            break;
        }
    }
    draw_keys(screen->view);
}
