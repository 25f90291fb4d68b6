/* The load that scripts/bench puts on a broker, over librdkafka. Prints one line of JSON.
 *
 *   load create  BROKERS TOPIC PARTITIONS
 *   load produce BROKERS TOPIC SIZE COUNT                  as fast as it can, acks=all
 *   load consume BROKERS TOPIC COUNT                       all partitions from the beginning, as fast as it can
 *   load latency BROKERS TOPIC SIZE RATE SECONDS SKIP      open loop: a message is due at its time, whether or not
 *                                                          earlier ones were acknowledged, and its latency counts
 *                                                          from when it was due; the first SKIP seconds are left out
 */
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POOL (1 << 20) /* payloads are slices of this many random bytes */

static char pool[2 * POOL];
static atomic_long acknowledged, failed;

static void die(const char *what, const char *why) {
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fill_pool(void) {
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < sizeof pool; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        pool[i] = (char)x;
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(name, why);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) die("client", why);
    return rk;
}

static long number(const char *text) {
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || *end || n < 0) die(text, "not a number");
    return n;
}

static void create(const char *brokers, const char *topic, int partitions) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    char why[256];
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, partitions, 1, why, sizeof why);
    if (!wanted) die(topic, why);
    rd_kafka_CreateTopics(rk, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    const rd_kafka_CreateTopics_result_t *result = event ? rd_kafka_event_CreateTopics_result(event) : NULL;
    if (!result) die(topic, "no answer to CreateTopics");
    size_t n;
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &n);
    if (n != 1) die(topic, rd_kafka_event_error_string(event));
    if (rd_kafka_topic_result_error(topics[0])) die(topic, rd_kafka_topic_result_error_string(topics[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    printf("{\"partitions\": %d}\n", partitions);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    if (message->err) {
        if (atomic_fetch_add(&failed, 1) == 0) fprintf(stderr, "load: %s\n", rd_kafka_err2str(message->err));
    } else {
        atomic_fetch_add(&acknowledged, 1);
        if (message->_private) { /* latency: where to put it; it holds the time when the message was due */
            int64_t *slot = message->_private;
            *slot = now_ns() - *slot;
        }
    }
}

static void produce(const char *brokers, const char *topic, size_t size, long count) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "acks", "all");
    set(conf, "queue.buffering.max.messages", "200000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int64_t started = now_ns();
    for (long i = 0; i < count; i++) {
        char *payload = pool + i * 4099 % POOL;
        while (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload, size, NULL, 0, NULL)) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(topic, rd_kafka_err2str(rd_kafka_last_error()));
            rd_kafka_poll(rk, 10);
        }
        if (i % 1000 == 0) rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 300000);
    double seconds = (double)(now_ns() - started) / 1e9;
    if (acknowledged != count) die(topic, "not every message was acknowledged");
    printf("{\"messages\": %ld, \"bytes\": %ld, \"seconds\": %.3f}\n", count, count * (long)size, seconds);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
}

static void consume(const char *brokers, const char *topic, long count) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, rkt, &metadata, 30000);
    if (err) die(topic, rd_kafka_err2str(err));
    int partitions = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);

    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    int64_t started = now_ns(), heard = started;
    for (int p = 0; p < partitions; p++)
        if (rd_kafka_consume_start_queue(rkt, p, RD_KAFKA_OFFSET_BEGINNING, queue))
            die(topic, rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_message_t *batch[1000];
    long messages = 0, bytes = 0;
    while (messages < count) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, batch, 1000);
        if (n > 0) heard = now_ns();
        else if (now_ns() - heard > 30000000000) die(topic, "nothing came for 30 s");
        for (ssize_t i = 0; i < n; i++) {
            if (!batch[i]->err) messages++, bytes += (long)batch[i]->len;
            else if (batch[i]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) die(topic, rd_kafka_message_errstr(batch[i]));
            rd_kafka_message_destroy(batch[i]);
        }
    }
    double seconds = (double)(now_ns() - started) / 1e9;
    printf("{\"messages\": %ld, \"bytes\": %ld, \"seconds\": %.3f}\n", messages, bytes, seconds);
    for (int p = 0; p < partitions; p++) rd_kafka_consume_stop(rkt, p);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
}

static void *poll_until_done(void *arg) {
    rd_kafka_t *rk = ((void **)arg)[0];
    long count = *(long *)((void **)arg)[1];
    while (atomic_load(&acknowledged) + atomic_load(&failed) < count) rd_kafka_poll(rk, 100);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void latency(const char *brokers, const char *topic, size_t size, long rate, long length, long skip) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "acks", "all");
    set(conf, "linger.ms", "0");
    set(conf, "socket.nagle.disable", "true");
    set(conf, "queue.buffering.max.messages", "1000000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, rkt, &metadata, 30000);
    if (err) die(topic, rd_kafka_err2str(err));
    rd_kafka_metadata_destroy(metadata);

    long count = rate * length;
    int64_t *slots = calloc((size_t)count, sizeof *slots);
    if (!slots) die("latency", "out of memory");
    pthread_t poller;
    void *arg[] = {rk, &count};
    if (pthread_create(&poller, NULL, poll_until_done, arg)) die("latency", "no thread");
    int64_t started = now_ns() + 100000000;
    for (long i = 0; i < count; i++) {
        int64_t due = started + (int64_t)((double)i * 1e9 / (double)rate);
        struct timespec until = {due / 1000000000, due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
        slots[i] = due;
        char *payload = pool + i * 4099 % POOL;
        if (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload, size, NULL, 0, &slots[i]))
            die(topic, rd_kafka_err2str(rd_kafka_last_error()));
    }
    pthread_join(poller, NULL);
    if (failed) die(topic, "not every message was acknowledged");
    long first = rate * skip, n = count - first;
    if (n <= 0) die("latency", "SKIP leaves nothing");
    qsort(slots + first, (size_t)n, sizeof *slots, by_value);
#define AT(q) ((double)slots[first + (long)((double)(n - 1) * (q))] / 1e6)
    printf("{\"messages\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f}\n", n, AT(0.5),
           AT(0.99), AT(0.999), AT(1.0));
    free(slots);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
}

int main(int argc, char **argv) {
    const char *mode = argc > 3 ? argv[1] : "";
    fill_pool();
    if (argc == 5 && !strcmp(mode, "create")) create(argv[2], argv[3], (int)number(argv[4]));
    else if (argc == 6 && !strcmp(mode, "produce") && number(argv[4]) <= POOL)
        produce(argv[2], argv[3], (size_t)number(argv[4]), number(argv[5]));
    else if (argc == 5 && !strcmp(mode, "consume")) consume(argv[2], argv[3], number(argv[4]));
    else if (argc == 8 && !strcmp(mode, "latency") && number(argv[4]) <= POOL)
        latency(argv[2], argv[3], (size_t)number(argv[4]), number(argv[5]), number(argv[6]), number(argv[7]));
    else die("usage", "load create|produce|consume|latency BROKERS TOPIC ..., see the head of load.c");
    return 0;
}
