/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `evcache top` has on the screen: a survey drawn with ncurses, in one of three views. Knows
 * nothing of keys; what is selected is passed in and brought within bounds. Only top.c uses it.
 */
#ifndef EVC_CLI_TOP_VIEW_H
#define EVC_CLI_TOP_VIEW_H

#include "survey/survey.h"

enum evc_top_view {
    EVC_TOP_REGIONS,    /* sources as rows, destinations as columns */
    EVC_TOP_PARTITIONS, /* of the selected pair */
    EVC_TOP_NODES,
};

struct evc_top_screen {
    enum evc_top_view view;
    unsigned source, destination; /* the selected pair */
    unsigned first_line;          /* of a list: lines scrolled away */
};

/** Sets colours up, unless the terminal has none or NO_COLOR is set. Once, after initscr. */
void evc_top_colors(void);

/** Draws the whole screen, keys included; survey NULL: nothing is known yet. Does not refresh. */
void evc_top_draw(struct evc_top_screen *screen, const struct evc_survey *survey);

#endif
