/* SPDX-License-Identifier: Apache-2.0 */
/* The survey as `evcache status --json` prints it. An allocation that fails leaves its member out.
 */
#include <stdlib.h>

#include "cli/survey.h"

static json_t *
outcomes_json(const struct evc_survey_cell *cell)
{
    json_t *object = json_object();

    for (unsigned i = 0; i < EVC_OUTCOME_MAX; i++) {
        (void)json_object_set_new(object, evc_outcome_str((enum evc_outcome)i),
                                  json_integer((json_int_t)cell->outcome[i]));
    }
    return object;
}

/** The numbers of a partition, or of all. unexplained is null where it cannot be judged. */
static json_t *
cell_json(const struct evc_survey_cell *cell)
{
    return json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "known", (int)cell->is_known,
                     "settled", (int)cell->is_settled, "produced", (json_int_t)cell->produced,
                     "in_flight", (json_int_t)cell->in_flight, "lost", (json_int_t)cell->lost,
                     "duplicate", (json_int_t)cell->duplicate, "outcomes", outcomes_json(cell),
                     "unexplained",
                     cell->is_settled ? json_integer((json_int_t)cell->unexplained) : json_null());
}

static json_t *
lag_json(const struct evc_histogram *lag)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)lag->count, "p50",
                     (json_int_t)evc_histogram_quantile(lag, 0.5), "p99",
                     (json_int_t)evc_histogram_quantile(lag, 0.99), "p999",
                     (json_int_t)evc_histogram_quantile(lag, 0.999), "max", (json_int_t)lag->max);
}

static json_t *
pair_json(const struct evc_survey *survey, const struct evc_survey_pair *pair)
{
    json_t *object = cell_json(&pair->total), *partitions = json_array();
    bool is_repair = pair->source == pair->destination;

    for (unsigned p = 0; p < survey->config->queue.partitions; p++) {
        json_t *partition = cell_json(&pair->cells[p]);
        (void)json_object_set_new(partition, "partition", json_integer(p));
        (void)json_array_append_new(partitions, partition);
    }
    (void)json_object_set_new(object, "source",
                              json_string(survey->config->regions[pair->source].name));
    (void)json_object_set_new(object, "destination",
                              json_string(survey->config->regions[pair->destination].name));
    (void)json_object_set_new(object, "group", json_string(is_repair ? "repair" : "ship"));
    (void)json_object_set_new(object, "partitions", partitions);
    (void)json_object_set_new(object, "slot_conflicts",
                              json_integer((json_int_t)pair->slot_conflicts));
    (void)json_object_set_new(object, "corrupt_records",
                              json_integer((json_int_t)pair->corrupt_records));
    if (!is_repair) {
        (void)json_object_set_new(object, "link", json_string(pair->is_link_up ? "up" : "down"));
        (void)json_object_set_new(object, "why", json_string(pair->why));
        (void)json_object_set_new(object, "lag_us", lag_json(&pair->lag));
    }
    return object;
}

static json_t *
process_json(const struct evc_survey *survey, const struct evc_survey_process *process)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "name",
        process->name, "part", process->is_proxy ? "proxy" : "relay", "region",
        survey->config->regions[process->region].name, "address", process->address->text, "index",
        (int)process->index, "answered", (int)process->has_answered, "why", process->why, "pid",
        (json_int_t)process->pid, "uptime_s", (json_int_t)process->uptime_s, "cpu_us",
        (json_int_t)process->cpu_us, "journal_waiting", (json_int_t)process->journal_waiting,
        "lost_at_journal", (json_int_t)process->journal_lost, "stalled",
        (int)process->is_feeder_stalled, "error", process->feeder_error);
}

json_t *
evc_survey_json(const struct evc_survey *survey)
{
    json_t *pairs = json_array(), *processes = json_array();
    uint64_t in_flight = 0, waiting = 0, lost = 0;

    for (size_t i = 0; i < survey->pair_count; i++) {
        in_flight += survey->pairs[i].total.in_flight;
        lost += survey->pairs[i].total.lost;
        (void)json_array_append_new(pairs, pair_json(survey, &survey->pairs[i]));
    }
    for (size_t i = 0; i < survey->process_count; i++) {
        waiting += survey->processes[i].journal_waiting;
        (void)json_array_append_new(processes, process_json(survey, &survey->processes[i]));
    }
    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "cache",
                     survey->config->cache, "settled", (int)evc_survey_is_settled(survey),
                     "unexplained", (json_int_t)evc_survey_unexplained(survey), "unanswered",
                     (json_int_t)evc_survey_unanswered(survey), "in_flight", (json_int_t)in_flight,
                     "journal_waiting", (json_int_t)waiting, "lost", (json_int_t)lost, "pairs",
                     pairs, "processes", processes);
}
