/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb `top`: a thread watches the cache (survey/watch.h), this one draws what it has seen
 * (top_view.h) and takes keys. The screen is drawn again four times a second, at every key, and
 * when the terminal changes its size.
 */
#include <curses.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/top_view.h"
#include "cli/verbs.h"
#include "survey/watch.h"

enum {
    TOP_DRAW_EVERY_MS = 250,
    KEY_ESCAPE = 27,
    ESCAPE_WAIT_MS = 50, /* how long Esc waits for the rest of a key's sequence */
};

static const char help[] =
    "usage: evcache top --config FILE\n"
    "\n"
    "Shows the whole cache on the terminal, live: regions as rows (from) and columns\n"
    "(to) with the lag (99th percentile of the last two seconds), events a second,\n"
    "lost events and fail-over readiness of every direction, and each region's own\n"
    "repair group on the diagonal. Every process is asked every two seconds.\n"
    "\n"
    "  --config FILE    the configuration, the same for every process\n"
    "\n"
    "Keys: arrows select a direction, Enter shows its partitions, n all nodes; in a\n"
    "list arrows and page keys scroll; Esc goes back, q ends. Colours are turned off\n"
    "by NO_COLOR.\n"
    "\n"
    "Exit status: 0 ended by q or a signal, 1 it could not run, 2 the command line\n"
    "is wrong.\n";

static volatile sig_atomic_t is_interrupted;

static void
on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
}

static void
see(void *ctx, const struct evc_survey *survey)
{
    evc_top_draw(ctx, survey);
}

static void
select_one(unsigned *coordinate, unsigned count, bool is_forward)
{
    if (is_forward ? *coordinate + 1 < count : *coordinate > 0) {
        *coordinate += is_forward ? 1U : -1U;
    }
}

static void
handle_regions_key(struct evc_top_screen *screen, unsigned region_count, int key)
{
    switch (key) {
    case KEY_UP:
        select_one(&screen->source, region_count, false);
        break;
    case KEY_DOWN:
        select_one(&screen->source, region_count, true);
        break;
    case KEY_LEFT:
        select_one(&screen->destination, region_count, false);
        break;
    case KEY_RIGHT:
        select_one(&screen->destination, region_count, true);
        break;
    case '\r':
    case '\n':
    case KEY_ENTER:
        screen->view = EVC_TOP_PARTITIONS;
        screen->first_line = 0;
        break;
    default:
        break;
    }
}

/** The end of the list is found by who draws it. */
static void
handle_list_key(struct evc_top_screen *screen, int key)
{
    unsigned page = LINES > 10 ? (unsigned)LINES - 10 : 1;

    switch (key) {
    case KEY_UP:
        screen->first_line -= screen->first_line > 0;
        break;
    case KEY_DOWN:
        screen->first_line++;
        break;
    case KEY_PPAGE:
        screen->first_line -= screen->first_line < page ? screen->first_line : page;
        break;
    case KEY_NPAGE:
        screen->first_line += page;
        break;
    case KEY_ESCAPE:
    case KEY_BACKSPACE:
    case KEY_LEFT:
        screen->view = EVC_TOP_REGIONS;
        break;
    default:
        break;
    }
}

/** False: it is to end. */
static bool
handle_key(struct evc_top_screen *screen, unsigned region_count, int key)
{
    if (key == 'q' || key == 'Q') {
        return false;
    }
    if (key == 'n' || key == 'N') {
        screen->view = EVC_TOP_NODES;
        screen->first_line = 0;
    } else if (screen->view == EVC_TOP_REGIONS) {
        handle_regions_key(screen, region_count, key);
    } else {
        handle_list_key(screen, key);
    }
    return true;
}

static void
show(struct evc_watch *watch, unsigned region_count)
{
    struct evc_top_screen screen = {.destination = region_count > 1 ? 1 : 0};
    bool goes_on = true;

    while (goes_on && !is_interrupted) {
        if (!evc_watch_view(watch, see, &screen)) {
            evc_top_draw(&screen, NULL);
        }
        (void)refresh();
        int key = getch();
        if (key != ERR && key != KEY_RESIZE) {
            goes_on = handle_key(&screen, region_count, key);
        }
    }
}

/** False: the terminal cannot do it. */
static bool
begin_screen(SCREEN **ret)
{
    *ret = newterm(NULL, stdout, stdin);
    if (*ret == NULL) {
        return false;
    }
    (void)cbreak();
    (void)noecho();
    (void)nonl();
    (void)keypad(stdscr, TRUE);
    (void)set_escdelay(ESCAPE_WAIT_MS);
    (void)curs_set(0);
    timeout(TOP_DRAW_EVERY_MS);
    evc_top_colors();
    /* After ncurses' own, which would end the process without a word. */
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    return true;
}

static int
run(const struct evc_cli_options *options, const struct evc_config *config)
{
    struct evc_error error = {0};
    struct evc_watch *watch = NULL;
    SCREEN *screen;

    if (!evc_terminal_is_one(stdout) || !isatty(STDIN_FILENO)) {
        return evc_cli_fail(options->verb,
                            "this is no terminal to draw on; `evcache status` needs none");
    }
    if (evc_watch_start(config, &watch, &error) != 0) {
        return evc_cli_fail(options->verb, "%s", error.text);
    }
    if (!begin_screen(&screen)) {
        evc_watch_stop(watch);
        const char *term = getenv("TERM");

        return evc_cli_fail(options->verb, "the terminal '%s' is not known; set TERM",
                            term != NULL ? term : "");
    }
    show(watch, config->regions_count);
    (void)endwin();
    delscreen(screen);
    evc_watch_stop(watch);
    return EVC_EXIT_OK;
}

int
evc_cli_top(int argc, char **argv)
{
    struct evc_cli_options options;
    struct evc_config *config;
    int result;

    if (!evc_cli_options_parse(argc, argv, EVC_CLI_TAKE_CONFIG, help, &options, &result) ||
        !evc_cli_config_load(&options, &config, NULL, &result)) {
        return result;
    }
    result = run(&options, config);
    evc_config_destroy(config);
    return result;
}
