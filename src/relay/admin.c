/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked at a relay's admin address, answered on its loop; the asking thread waits. */
#include "relay/state.h"

enum {
    ADMIN_TIMEOUT_MS = 1000,
};

struct report_call {
    struct evc_relay *relay;
    json_t *report;
    struct evc_metric_page *page;
    struct evc_slice key;
    bool is_ready;
    bool has_metrics;
};

static void
make_report(void *arg)
{
    struct report_call *call = arg;

    call->report = evc_relay_report(call->relay);
}

static json_t *
admin_status(void *ctx)
{
    struct report_call call = {.relay = ctx};

    if (evc_loop_call(&call.relay->loop, make_report, &call, ADMIN_TIMEOUT_MS) != EVC_OK) {
        return NULL;
    }
    return call.report;
}

static void
make_explanation(void *arg)
{
    struct report_call *call = arg;

    call->report = evc_relay_explain(call->relay, call->key);
}

static json_t *
admin_explain(void *ctx, struct evc_slice key)
{
    struct report_call call = {.relay = ctx, .key = key};

    if (evc_loop_call(&call.relay->loop, make_explanation, &call, ADMIN_TIMEOUT_MS) != EVC_OK) {
        return NULL;
    }
    return call.report;
}

static void
make_metrics(void *arg)
{
    struct report_call *call = arg;

    call->has_metrics = evc_relay_metrics(call->relay, call->page);
}

static bool
admin_metrics(void *ctx, struct evc_metric_page *page)
{
    struct report_call call = {.relay = ctx, .page = page};

    return evc_loop_call(&call.relay->loop, make_metrics, &call, ADMIN_TIMEOUT_MS) == EVC_OK &&
           call.has_metrics;
}

static void
look_ready(void *arg)
{
    struct report_call *call = arg;

    call->is_ready = evc_engine_is_ready(call->relay->engine);
}

static bool
admin_is_ready(void *ctx)
{
    struct report_call call = {.relay = ctx};

    return evc_loop_call(&call.relay->loop, look_ready, &call, ADMIN_TIMEOUT_MS) == EVC_OK &&
           call.is_ready;
}

int
evc_relay_start_admin(struct evc_relay *relay, struct evc_error *error)
{
    return evc_admin_start(&relay->region->relays[relay->options.index],
                           &(struct evc_admin_handler){
                               .status = admin_status,
                               .metrics = admin_metrics,
                               .is_ready = admin_is_ready,
                               .explain = admin_explain,
                               .ctx = relay,
                           },
                           &relay->admin, error);
}
