/* SPDX-License-Identifier: Apache-2.0 */
/* The survey as `evcache status --json` prints it. An allocation that fails leaves its member out.
 */
#include <stdlib.h>

#include "survey/notes.h"
#include "survey/survey.h"

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
    return json_pack("{s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "known",
                     (int)cell->is_known, "settled", (int)cell->is_settled, "state",
                     evc_survey_state_str(cell->state), "waiting_us", (json_int_t)cell->waiting_us,
                     "produced", (json_int_t)cell->produced, "in_flight",
                     (json_int_t)cell->in_flight, "lost", (json_int_t)cell->lost, "duplicate",
                     (json_int_t)cell->duplicate, "outcomes", outcomes_json(cell), "unexplained",
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
readiness_json(const struct evc_readiness *readiness)
{
    json_t *parts = json_object(), *reasons = json_array();

    for (unsigned i = 0; i < EVC_READINESS_PART_MAX; i++) {
        (void)json_object_set_new(parts, evc_readiness_part_str((enum evc_readiness_part)i),
                                  json_integer(readiness->part[i]));
        if (readiness->reason[i][0] != '\0') {
            (void)json_array_append_new(reasons, json_string(readiness->reason[i]));
        }
    }
    return json_pack("{s:i, s:s, s:o, s:o}", "score", (int)readiness->score, "reason",
                     readiness->reason[evc_readiness_weakest(readiness)], "parts", parts, "reasons",
                     reasons);
}

/** What only a pair of two regions has. */
static void
put_shipment(json_t *object, const struct evc_survey_pair *pair)
{
    (void)json_object_set_new(object, "link", json_string(pair->is_link_up ? "up" : "down"));
    (void)json_object_set_new(object, "why", json_string(pair->why));
    (void)json_object_set_new(object, "lag_us", lag_json(&pair->lag));
    (void)json_object_set_new(object, "recent_lag_us", lag_json(&pair->recent));
    (void)json_object_set_new(object, "canaries", json_integer((json_int_t)pair->canaries));
    (void)json_object_set_new(object, "canaries_stale",
                              json_integer((json_int_t)pair->canaries_stale));
    (void)json_object_set_new(object, "readiness", readiness_json(&pair->readiness));
}

static json_t *
partition_json(const struct evc_survey_cell *cell, unsigned index)
{
    json_t *partition = cell_json(cell);

    (void)json_object_set_new(partition, "partition", json_integer(index));
    (void)json_object_set_new(partition, "lag_p99_us", json_integer((json_int_t)cell->lag_p99_us));
    (void)json_object_set_new(partition, "recent", json_integer((json_int_t)cell->recent_count));
    (void)json_object_set_new(partition, "recent_lag_p99_us",
                              json_integer((json_int_t)cell->recent_p99_us));
    return partition;
}

static json_t *
pair_json(const struct evc_survey *survey, const struct evc_survey_pair *pair)
{
    json_t *object = cell_json(&pair->total), *partitions = json_array();
    bool is_repair = pair->source == pair->destination;

    for (unsigned p = 0; p < pair->partition_count; p++) {
        (void)json_array_append_new(partitions, partition_json(&pair->cells[p], p));
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
    (void)json_object_set_new(object, "journal_waiting_us",
                              json_integer((json_int_t)pair->journal_waiting_us));
    (void)json_object_set_new(object, "rate", json_real(pair->rate));
    if (!is_repair) {
        put_shipment(object, pair);
    }
    return object;
}

static json_t *
process_json(const struct evc_survey *survey, const struct evc_survey_process *process)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "name",
        process->name, "part", process->is_proxy ? "proxy" : "relay", "region",
        survey->config->regions[process->region].name, "address", process->address->text, "index",
        (int)process->index, "answered", (int)process->has_answered, "why", process->why, "pid",
        (json_int_t)process->pid, "uptime_s", (json_int_t)process->uptime_s, "cpu_us",
        (json_int_t)process->cpu_us, "journal_waiting", (json_int_t)process->journal_waiting,
        "journal_waiting_us", (json_int_t)process->journal_waiting_us, "lost_at_journal",
        (json_int_t)process->journal_lost, "stalled", (int)process->is_feeder_stalled, "error",
        process->feeder_error);
}

static json_t *
node_json(const struct evc_survey *survey, const struct evc_survey_node *node)
{
    const struct evc_config_region *region = &survey->config->regions[node->region];
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:s, s:I, s:I}", "region", region->name, "zone",
                  region->zones[node->zone].name, "node", node->address->text, "known",
                  (int)node->is_known, "up", (int)node->is_up, "state", node->state, "why",
                  node->why, "ops", (json_int_t)node->ops, "errors", (json_int_t)node->errors);

    if (node->has_memory) {
        (void)json_object_set_new(object, "items", json_integer((json_int_t)node->items));
        (void)json_object_set_new(object, "bytes", json_integer((json_int_t)node->bytes));
        (void)json_object_set_new(object, "bytes_max", json_integer((json_int_t)node->bytes_max));
        (void)json_object_set_new(object, "evictions", json_integer((json_int_t)node->evictions));
    }
    return object;
}

/** items and bytes are null where a node of every zone has not told. */
static json_t *
region_json(const struct evc_survey *survey, unsigned index)
{
    const struct evc_survey_region *region = &survey->regions[index];
    bool has_memory = region->has_memory;

    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:o, s:o}", "name",
                     survey->config->regions[index].name, "connections",
                     (json_int_t)region->connections, "hits", (json_int_t)region->hits, "misses",
                     (json_int_t)region->misses, "writes", (json_int_t)region->writes, "read_rate",
                     region->read_rate, "write_rate", region->write_rate, "queue_bytes",
                     (json_int_t)region->queue_bytes, "queue_bytes_max",
                     (json_int_t)region->queue_bytes_max, "items",
                     has_memory ? json_integer((json_int_t)region->items) : json_null(), "bytes",
                     has_memory ? json_integer((json_int_t)region->bytes) : json_null());
}

static json_t *
notes_json(const struct evc_survey *survey)
{
    json_t *array = json_array();
    struct evc_notes notes;

    evc_notes_init(&notes, survey);
    for (size_t i = 0; i < notes.count; i++) {
        const struct evc_note *note = &notes.notes[i];

        (void)json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "kind",
                                                     evc_note_kind_str(note->kind), "subject",
                                                     note->subject, "text", note->text));
    }
    evc_notes_finish(&notes);
    return array;
}

json_t *
evc_survey_json(const struct evc_survey *survey)
{
    json_t *pairs = json_array(), *processes = json_array();
    json_t *regions = json_array(), *nodes = json_array();
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
    for (unsigned r = 0; r < survey->config->regions_count; r++) {
        (void)json_array_append_new(regions, region_json(survey, r));
    }
    for (size_t i = 0; i < survey->node_count; i++) {
        (void)json_array_append_new(nodes, node_json(survey, &survey->nodes[i]));
    }
    return json_pack("{s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "cache", survey->config->cache, "time_us", (json_int_t)survey->unix_us,
                     "settled", (int)evc_survey_is_settled(survey), "unexplained",
                     (json_int_t)evc_survey_unexplained(survey), "unanswered",
                     (json_int_t)evc_survey_unanswered(survey), "in_flight", (json_int_t)in_flight,
                     "journal_waiting", (json_int_t)waiting, "lost", (json_int_t)lost, "pairs",
                     pairs, "processes", processes, "regions", regions, "nodes", nodes, "prefixes",
                     evc_survey_prefixes_json(&survey->prefixes, survey->config), "notes",
                     notes_json(survey));
}
