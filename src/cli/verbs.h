/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of the program: one function each, one file each, one row each in main.c's table. A
 * verb gets its own argument vector (argv[0] is the verb), prints its help on standard output and
 * its errors as `evcache VERB: <sentence>` on standard error.
 */
#ifndef EVC_CLI_VERBS_H
#define EVC_CLI_VERBS_H

/** What the process exits with. */
enum evc_exit {
    EVC_EXIT_OK = 0,
    EVC_EXIT_FAILURE = 1,
    EVC_EXIT_USAGE = 2,
    EVC_EXIT_UNANSWERED = 3, /* status, explain: somebody does not answer; so warm, verify */
    EVC_EXIT_UNWELL = 3,     /* bench: there were errors */
};

/* Each returns an enum evc_exit. */
int evc_cli_proxy(int argc, char **argv);
int evc_cli_relay(int argc, char **argv);
int evc_cli_up(int argc, char **argv);
int evc_cli_status(int argc, char **argv);
int evc_cli_top(int argc, char **argv);
int evc_cli_explain(int argc, char **argv);
int evc_cli_verify(int argc, char **argv);
int evc_cli_warm(int argc, char **argv);
int evc_cli_bench(int argc, char **argv);
int evc_cli_partitions(int argc, char **argv);
int evc_cli_check_config(int argc, char **argv);

#endif
