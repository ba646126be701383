/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two surveys take turns: the thread looks into the one nobody sees, compares it with the shown one
 * and then exchanges them under the lock.
 */
#include "survey/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "survey/history.h"

struct evc_watch {
    pthread_t thread;
    atomic_bool is_stopping;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* is_stopping has changed */
    /* under lock */
    struct evc_survey *shown; /* NULL before the first look */
    struct evc_history *history;
    /* the thread's own */
    struct evc_survey *next;
    struct evc_survey *spare; /* becomes next after the first look */
};

/** Sleeps until a moment of the monotonic clock. False: it is to stop. */
static bool
sleep_until(struct evc_watch *watch, uint64_t mono_us)
{
    const struct timespec until = {.tv_sec = (time_t)(mono_us / 1000000),
                                   .tv_nsec = (long)(mono_us % 1000000) * 1000};
    int rc = 0;

    pthread_mutex_lock(&watch->lock);
    while (!atomic_load(&watch->is_stopping) && rc != ETIMEDOUT) {
        rc = pthread_cond_clockwait(&watch->wake, &watch->lock, CLOCK_MONOTONIC, &until);
    }
    pthread_mutex_unlock(&watch->lock);
    return !atomic_load(&watch->is_stopping);
}

static void
look(struct evc_watch *watch)
{
    struct evc_survey *before = watch->shown; /* only this thread changes it */

    evc_survey_look(watch->next);
    if (atomic_load(&watch->is_stopping)) {
        return; /* cut short: who was not asked has not failed to answer */
    }
    if (before != NULL) {
        evc_survey_compare(watch->next, before);
    }
    pthread_mutex_lock(&watch->lock);
    watch->shown = watch->next;
    if (before != NULL) {
        evc_history_add(watch->history, watch->shown);
    }
    pthread_mutex_unlock(&watch->lock);
    watch->next = before != NULL ? before : watch->spare;
}

static void *
run(void *arg)
{
    struct evc_watch *watch = arg;
    uint64_t start_us;

    do {
        start_us = evc_clock_mono_us();
        look(watch);
    } while (sleep_until(watch, start_us + EVC_WATCH_PERIOD_MS * UINT64_C(1000)));
    return NULL;
}

static struct evc_survey *
survey_create(struct evc_watch *watch, const struct evc_config *config)
{
    struct evc_survey *survey = evc_survey_create(config);

    if (survey != NULL) {
        survey->timeout_ms = EVC_WATCH_TIMEOUT_MS;
        survey->is_cancelled = &watch->is_stopping;
    }
    return survey;
}

static void
watch_free(struct evc_watch *watch)
{
    if (watch->spare != watch->next && watch->spare != watch->shown) {
        evc_survey_destroy(watch->spare);
    }
    evc_survey_destroy(watch->next);
    evc_survey_destroy(watch->shown);
    evc_history_destroy(watch->history);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

int
evc_watch_start(const struct evc_config *config, struct evc_watch **ret, struct evc_error *error)
{
    struct evc_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL) {
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->wake, NULL);
    watch->next = survey_create(watch, config);
    watch->spare = survey_create(watch, config);
    if (watch->next != NULL && watch->spare != NULL) {
        watch->history = evc_history_create(watch->next->pair_count);
    }
    if (watch->history == NULL) {
        watch_free(watch);
        return evc_error_set(error, EVC_E_NOMEM, "out of memory");
    }
    int rc = pthread_create(&watch->thread, NULL, run, watch);
    if (rc != 0) {
        watch_free(watch);
        return evc_error_sys(error, rc, "no thread to watch the cache with");
    }
    *ret = watch;
    return 0;
}

void
evc_watch_stop(struct evc_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    pthread_mutex_lock(&watch->lock);
    atomic_store(&watch->is_stopping, true);
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    (void)pthread_join(watch->thread, NULL);
    watch_free(watch);
}

bool
evc_watch_view(struct evc_watch *watch, void (*see)(void *ctx, const struct evc_survey *survey),
               void *ctx)
{
    pthread_mutex_lock(&watch->lock);
    bool has_look = watch->shown != NULL;
    if (has_look) {
        see(ctx, watch->shown);
    }
    pthread_mutex_unlock(&watch->lock);
    return has_look;
}

static void
see_json(void *ctx, const struct evc_survey *survey)
{
    json_t **ret = ctx;

    *ret = evc_survey_json(survey);
}

char *
evc_watch_survey_json(struct evc_watch *watch)
{
    json_t *json = NULL;

    (void)evc_watch_view(watch, see_json, &json);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

char *
evc_watch_history_json(struct evc_watch *watch)
{
    char *text = NULL;

    pthread_mutex_lock(&watch->lock);
    if (watch->shown != NULL) {
        text = evc_history_json(watch->history, watch->shown);
    }
    pthread_mutex_unlock(&watch->lock);
    return text;
}
