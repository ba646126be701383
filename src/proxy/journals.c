/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a proxy knows of journals, for its status and metrics: its own, and those of programs that
 * use the library. They have no address to be asked at, so the region's first proxy speaks for the
 * ones on its machine, whether their program runs or not.
 */
#include <stdlib.h>

#include "daemon/storage.h"
#include "proxy/process.h"

static unsigned
peek_clients(const struct evc_proxy *proxy, struct evc_journal_peek *ret)
{
    unsigned count = 0;

    for (unsigned i = 0; i < EVC_CONFIG_CLIENT_MAX; i++) {
        /* Never used; or damaged, as the program that opens it will be told. */
        count += evc_storage_peek_journal(proxy->options.config, proxy->options.region,
                                          evc_config_client_slot(i), &ret[count]) == EVC_OK;
    }
    return count;
}

struct evc_journal_peek *
evc_proxy_journals(const struct evc_proxy *proxy, unsigned *ret_count)
{
    struct evc_journal_peek *journals =
        calloc(proxy->journal_count + EVC_CONFIG_CLIENT_MAX, sizeof(*journals));
    unsigned count = proxy->journal_count;

    if (!journals) {
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        evc_journal_describe(proxy->journals[i], &journals[i]);
    }
    if (proxy->options.index == 0) {
        count += peek_clients(proxy, &journals[count]);
    }
    *ret_count = count;
    return journals;
}
