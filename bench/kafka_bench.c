/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event costs its producer on Kafka, in CPU time of the whole process (librdkafka's threads
 * are the most of it): events batched into records as the feeder does, against one Kafka message
 * per event. The same number of events in flight either way; fixed work, median of several runs.
 *
 *     kafka_bench HOST:PORT       a broker; a topic is made there
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "queue/kafka/kafka.h"
#include "queue/record.h"

enum {
    RUNS = 5,
    EVENTS = 40000,   /* of one run */
    IN_FLIGHT = 1000, /* events of one append */
    PARTITIONS = 4,
    KEY_BYTES = 24,
};

static void
fail(const char *what)
{
    fprintf(stderr, "kafka_bench: %s\n", what);
    exit(1);
}

static double
cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/** A record of so many events, appended to out; its length. */
static size_t
make_record(struct evc_record_writer *writer, unsigned events, uint64_t first_seq,
            struct evc_buf *out)
{
    size_t before = evc_buf_len(out);
    char key[KEY_BYTES + 1];

    evc_record_writer_begin(writer, 1, 1, 1);
    for (unsigned i = 0; i < events; i++) {
        snprintf(key, sizeof(key), "bench:user:%013llu", (unsigned long long)(first_seq + i));
        if (evc_record_writer_add(writer, &(struct evc_event){.key = evc_slice_str(key),
                                                              .version = first_seq + i,
                                                              .written_us = 1}) != EVC_OK) {
            fail("an event does not fit");
        }
    }
    if (evc_record_writer_encode(writer, first_seq, out) != EVC_OK) {
        fail("a record does not fit");
    }
    return evc_buf_len(out) - before;
}

/** CPU microseconds per event. */
static double
run(struct evc_queue *queue, unsigned events_per_record)
{
    static struct evc_queue_item items[IN_FLIGHT];
    struct evc_record_writer writer;
    struct evc_error error;
    struct evc_buf out;
    double begin_us = cpu_us();

    evc_buf_init(&out, (size_t)IN_FLIGHT * 256);
    if (evc_record_writer_init(&writer) != EVC_OK) {
        fail("out of memory");
    }
    for (unsigned done = 0; done < EVENTS; done += IN_FLIGHT) {
        size_t count = IN_FLIGHT / events_per_record, at = 0;

        evc_buf_clear(&out);
        for (size_t i = 0; i < count; i++) {
            items[i] = (struct evc_queue_item){.partition = (uint32_t)(i % PARTITIONS),
                                               .event_count = events_per_record};
            items[i].record.len =
                make_record(&writer, events_per_record, done + i * events_per_record + 1, &out);
        }
        for (size_t i = 0; i < count; i++) {
            items[i].record.ptr = out.data + out.read + at;
            at += items[i].record.len;
        }
        if (evc_queue_append(queue, items, count, &error) != EVC_OK) {
            fail(error.text);
        }
    }
    evc_record_writer_finish(&writer);
    evc_buf_finish(&out);
    return (cpu_us() - begin_us) / (double)EVENTS;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
measure(struct evc_queue *queue, unsigned events_per_record)
{
    double us[RUNS];

    (void)run(queue, events_per_record); /* warm-up */
    for (unsigned i = 0; i < RUNS; i++) {
        us[i] = run(queue, events_per_record);
    }
    qsort(us, RUNS, sizeof(us[0]), compare);
    printf("%17u %8.2f %8.2f\n", events_per_record, us[RUNS / 2], us[0]);
}

int
main(int argc, char **argv)
{
    struct evc_queue *queue;
    struct evc_error error;
    char topic[64];

    if (argc != 2) {
        fail("which broker? HOST:PORT");
    }
    snprintf(topic, sizeof(topic), "evcache-bench.%d", (int)getpid());
    if (evc_queue_kafka_open(&(struct evc_kafka_options){.brokers = argv[1],
                                                         .topic = topic,
                                                         .group_prefix = topic,
                                                         .partition_count = PARTITIONS,
                                                         .replication = -1},
                             &queue, &error) != EVC_OK) {
        fail(error.text);
    }
    printf("CPU us of the producer's process per event, median and least of %d runs\n", RUNS);
    printf("%17s\n", "events per record");
    measure(queue, 1);
    measure(queue, 50);
    measure(queue, 250);
    evc_queue_close(queue);
    return 0;
}
