/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client's commands do. One table has a row for every command of the protocol: the handler,
 * and for those this proxy does not serve the line that says so. Handlers are split by subject:
 * read_commands.c, write_commands.c, count_commands.c, lease_commands.c, admin_commands.c.
 *
 * A handler opens one exchange (a get: one per key), starts what has to be started, and returns;
 * whoever gets the outcome composes the reply between evc_exchange_begin and evc_exchange_end.
 */
#ifndef EVC_PROXY_COMMAND_H
#define EVC_PROXY_COMMAND_H

#include <stdbool.h>

#include "meta/request.h"
#include "replication/write.h"

struct evc_session;
struct evc_exchange;
struct evc_service;

/**
 * Starts a request; needs evc_session_has_room. False: it has to wait for an earlier one about its
 * key, or is a get that found room for some of its keys only; the same request must be given again.
 */
bool evc_command_dispatch(struct evc_session *session, const struct evc_request *request);

/**
 * Answers a storage request that the parser refused because its value is too large: with line, or
 * not at all when that is empty (noreply). Needs evc_session_has_room.
 */
void evc_command_too_large(struct evc_session *session, const struct evc_request *request,
                           struct evc_slice line);

/** Whether replies to this command are a group that ends with END: get, gets, gat, gats. */
bool evc_command_is_group(enum evc_command command);

/* --- for the files of handlers --- */

/** True when the whole request was taken. */
typedef bool (*evc_command_fn)(struct evc_session *session, const struct evc_request *request);

bool evc_command_get(struct evc_session *session, const struct evc_request *request);
bool evc_command_me(struct evc_session *session, const struct evc_request *request);
bool evc_command_mg(struct evc_session *session, const struct evc_request *request);

bool evc_command_store(struct evc_session *session, const struct evc_request *request);
bool evc_command_delete(struct evc_session *session, const struct evc_request *request);
bool evc_command_touch(struct evc_session *session, const struct evc_request *request);
bool evc_command_ms(struct evc_session *session, const struct evc_request *request);
bool evc_command_md(struct evc_session *session, const struct evc_request *request);

bool evc_command_count(struct evc_session *session, const struct evc_request *request);
bool evc_command_ma(struct evc_session *session, const struct evc_request *request);

bool evc_command_mn(struct evc_session *session, const struct evc_request *request);
bool evc_command_version(struct evc_session *session, const struct evc_request *request);
bool evc_command_verbosity(struct evc_session *session, const struct evc_request *request);
bool evc_command_stats(struct evc_session *session, const struct evc_request *request);
bool evc_command_flush_all(struct evc_session *session, const struct evc_request *request);
bool evc_command_quit(struct evc_session *session, const struct evc_request *request);

/**
 * What `version` answers: the memcached whose protocol is spoken comes first, since clients decide
 * by it what a server understands.
 */
#define EVC_PROXY_VERSION "1.6.38-evcache-" EVC_VERSION

/** Answers with a CLIENT_ERROR line for something that is not served, and counts it. */
void evc_command_refuse(struct evc_session *session, const struct evc_request *request,
                        const char *line);

/**
 * True when a meta request has none of the refused flags (letters); else it has been answered. What
 * memcached ignores for a command is ignored here too.
 */
bool evc_command_check_flags(struct evc_session *session, const struct evc_request *request,
                             const char *refused);

/**
 * Starts a write for an exchange that evc_command_open gave; on_written is given the exchange as
 * ctx, unless there is no room: then the exchange is answered so.
 */
void evc_command_write(struct evc_exchange *exchange, const struct evc_write_request *write,
                       evc_write_fn on_written);

/** Appends the line of a write that no zone, or not enough, has taken (FAILED, REJECTED). */
int evc_command_compose_failure(const struct evc_service *service,
                                const struct evc_write_answer *answer, struct evc_buf *out);

/** The item that a request's CAS means: 0, which no item has, must never count as "none given". */
uint64_t evc_command_unique(const struct evc_request *request);

/** Begins the last step of a read anew, for an exchange that was answered when there was no room.
 */
void evc_command_read_again(struct evc_exchange *exchange);

/** Reads the item of an exchange that is_leased, whose lease is known. */
void evc_command_read_leased_item(struct evc_exchange *exchange);

/** Answers a read. result: as of evc_read_answer; reply: of a HIT, else may be NULL. */
void evc_command_finish_read(struct evc_exchange *exchange, enum evc_node_result result,
                             const struct evc_node_reply *reply);

/** Answers a write. */
void evc_command_finish_write(struct evc_exchange *exchange, const struct evc_write_answer *answer);

/** Takes what mg's N and R say; then the exchange is_leased. */
void evc_command_take_lease(struct evc_exchange *exchange, const struct evc_request *request);

/** Answers an exchange that is_leased; it has its key and what the reply wants. */
void evc_command_read_leased(struct evc_exchange *exchange);

/** md with I. */
void evc_command_md_invalidate(struct evc_exchange *exchange, const struct evc_request *request);

/** A new exchange that remembers what a meta reply echoes; NULL without memory (session is
 * closing). */
struct evc_exchange *evc_command_open(struct evc_session *session,
                                      const struct evc_request *request);

#endif
