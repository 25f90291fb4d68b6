/* The load that scripts/bench puts on a broker, over librdkafka. Prints one line of JSON.
 *
 *   load create  BROKERS TOPIC partitions=N [set=NAME:VALUE ...]
 *   load alter   BROKERS TOPIC set=NAME:VALUE ...            all its own settings are these from then on
 *   load delete  BROKERS TOPIC
 *   load produce BROKERS TOPIC size=N count=N                as fast as it can
 *   load consume BROKERS TOPIC count=N                       all partitions from the beginning, as fast as it can
 *   load paced   BROKERS TOPIC size=N rate=N seconds=N skip=N [consume=1]
 *                                  open loop: message i is due at its time, whether or not earlier ones were acknowledged,
 *                                  and its latency counts from when it was *due*, not from when it was sent; so a broker
 *                                  that stops for a moment shows it in every message that was due meanwhile. The first
 *                                  `skip` seconds are left out. With consume=1 a consumer in this process waits at the
 *                                  topic's end, and the time until it has the message counts too. The topic must be new.
 *   load version
 *
 * produce and paced also take: clients=N (each with a connection of its own, message i goes to client i % N), codec=NAME,
 * batch=BYTES (the largest batch), single=1 (one message a request), keys=N (each message has one of N keys, at random).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define POOL (32 << 20) /* payloads are slices of this many bytes */
#define SIZE_MAX_BYTES (1 << 20)
#define CLIENTS_MAX 256
#define GIVE_UP_NS 30000000000 /* nothing came for so long */

#define SETTINGS_MAX 16

static struct {
    long size, count, rate, seconds, skip, clients, batch, single, consume, partitions, keys;
    const char *codec;
    char *settings[SETTINGS_MAX][2]; /* names and values */
    int settings_n;
} ask = {.clients = 1, .codec = "none"};

static char *pool;
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

/* Random bytes, which no codec makes smaller; or, for codecs, lines of JSON with random values, of which gzip leaves about a
 * third. The same in each run. */
static void fill_pool(void) {
    static const char *words[] = {"letter", "prague",  "berlin", "castle",  "trial",  "answer", "telegram", "evening",
                                  "train",  "insurance", "office", "window",  "father", "sister", "journey",  "sleep"};
    size_t length = POOL + SIZE_MAX_BYTES, at = 0;
    if (!(pool = malloc(length + 256))) die("pool", "out of memory");
    uint64_t x = 88172645463325252u;
#define RANDOM (x ^= x << 13, x ^= x >> 7, x ^= x << 17)
    if (!strcmp(ask.codec, "none"))
        for (; at < length; at += 8) RANDOM, memcpy(pool + at, &x, 8);
    else
        while (at < length) {
            RANDOM;
            at += (size_t)sprintf(pool + at, "{\"id\":%lu,\"user\":\"%s-%s\",\"amount\":%u.%02u,\"subject\":\"%s %s\"}\n",
                                  (unsigned long)(x >> 20), words[x & 15], words[x >> 4 & 15], (unsigned)(x >> 8 & 0xfff),
                                  (unsigned)(x >> 50) % 100, words[x >> 12 & 15], words[x >> 16 & 15]);
        }
}

static char *payload(long i) { return pool + (i * 4099) % POOL; }

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(name, why);
}

static void set_number(rd_kafka_conf_t *conf, const char *name, long value) {
    char text[32];
    snprintf(text, sizeof text, "%ld", value);
    set(conf, name, text);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers) {
    char why[256];
    set(conf, "bootstrap.servers", brokers);
    set(conf, "socket.nagle.disable", "true");
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) die("client", why);
    return rk;
}

static int partitions_of(rd_kafka_t *rk, rd_kafka_topic_t *topic) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, topic, &metadata, 30000);
    if (err) die(rd_kafka_topic_name(topic), rd_kafka_err2str(err));
    int n = metadata->topics[0].partition_cnt;
    if (n < 1) die(rd_kafka_topic_name(topic), "no such topic");
    rd_kafka_metadata_destroy(metadata);
    return n;
}

static void create(const char *brokers, const char *topic) {
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    char why[256];
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, (int)ask.partitions, 1, why, sizeof why);
    if (!wanted) die(topic, why);
    for (int i = 0; i < ask.settings_n; i++) rd_kafka_NewTopic_set_config(wanted, ask.settings[i][0], ask.settings[i][1]);
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
    printf("{\"partitions\": %ld}\n", ask.partitions);
}

static void alter(const char *brokers, const char *topic) {
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *wanted = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    for (int i = 0; i < ask.settings_n; i++) rd_kafka_ConfigResource_set_config(wanted, ask.settings[i][0], ask.settings[i][1]);
    rd_kafka_AlterConfigs(rk, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    const rd_kafka_AlterConfigs_result_t *result = event ? rd_kafka_event_AlterConfigs_result(event) : NULL;
    if (!result) die(topic, "no answer to AlterConfigs");
    size_t n;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_AlterConfigs_result_resources(result, &n);
    if (n != 1) die(topic, rd_kafka_event_error_string(event));
    if (rd_kafka_ConfigResource_error(resources[0])) die(topic, rd_kafka_ConfigResource_error_string(resources[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    printf("{\"settings\": %d}\n", ask.settings_n);
}

static void delete(const char *brokers, const char *topic) {
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), brokers);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopic_t *unwanted = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_DeleteTopics(rk, &unwanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    const rd_kafka_DeleteTopics_result_t *result = event ? rd_kafka_event_DeleteTopics_result(event) : NULL;
    if (!result) die(topic, "no answer to DeleteTopics");
    size_t n;
    const rd_kafka_topic_result_t **topics = rd_kafka_DeleteTopics_result_topics(result, &n);
    if (n != 1) die(topic, rd_kafka_event_error_string(event));
    if (rd_kafka_topic_result_error(topics[0])) die(topic, rd_kafka_topic_result_error_string(topics[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(unwanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    printf("{}\n");
}

/* -- producers -- */

static struct {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    pthread_t listener; /* takes its delivery reports */
} producers[CLIENTS_MAX];
static atomic_int is_done;
static int partitions;

/* For paced: how late message i was sent, acknowledged and consumed, counted from when it was due. */
static int64_t started, *late, *ack, *end_to_end;

static int64_t due(long i) { return started + (int64_t)((double)i * 1e9 / (double)ask.rate); }

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    if (message->err) {
        if (atomic_fetch_add(&failed, 1) == 0) fprintf(stderr, "load: %s\n", rd_kafka_err2str(message->err));
        return;
    }
    if (ack) {
        long i = (long)(intptr_t)message->_private;
        ack[i] = now_ns() - due(i);
    }
    atomic_fetch_add(&acknowledged, 1);
}

static void *listen_to(void *rk) {
    while (!is_done) rd_kafka_poll(rk, 100);
    return NULL;
}

static void start_producers(const char *brokers, const char *topic, long queued) {
    for (long c = 0; c < ask.clients; c++) {
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        set(conf, "acks", "all");
        set(conf, "compression.codec", ask.codec);
        set_number(conf, "queue.buffering.max.messages", queued / ask.clients + 1);
        if (ack) set(conf, "linger.ms", "0");
        if (ask.single) set(conf, "batch.num.messages", "1");
        if (ask.batch) set_number(conf, "batch.size", ask.batch);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_t *rk = producers[c].rk = client(RD_KAFKA_PRODUCER, conf, brokers);
        producers[c].topic = rd_kafka_topic_new(rk, topic, NULL);
        partitions = partitions_of(rk, producers[c].topic);
        if (pthread_create(&producers[c].listener, NULL, listen_to, rk)) die("client", "no thread");
    }
}

static void stop_producers(void) {
    is_done = 1;
    for (long c = 0; c < ask.clients; c++) {
        pthread_join(producers[c].listener, NULL);
        rd_kafka_topic_destroy(producers[c].topic);
        rd_kafka_destroy(producers[c].rk);
    }
}

/* Sends message i; `text` is copied. Returns 0 where the queue is full. */
static int send_message(long i, char *text) {
    /* Clients and partitions so that each client reaches all partitions. */
    int32_t partition = (int32_t)(i / ask.clients % partitions);
    rd_kafka_topic_t *topic = producers[i % ask.clients].topic;
    void *private = (void *)(intptr_t)i;
    char key[24];
    size_t length = 0;
    if (ask.keys) { /* as scattered as hashes are, and the same in each run */
        uint64_t x = ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
        x ^= x >> 32, x *= 0xd6e8feb86659fd93u, x ^= x >> 32;
        length = (size_t)sprintf(key, "key-%ld", (long)(x % (uint64_t)ask.keys));
    }
    if (!rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, text, (size_t)ask.size, length ? key : NULL, length, private))
        return 1;
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die("produce", rd_kafka_err2str(rd_kafka_last_error()));
    return 0;
}

static void wait_for_acknowledgements(void) {
    int64_t heard = now_ns();
    long before = acknowledged + failed;
    while (acknowledged + failed < ask.count) {
        usleep(200);
        long now = acknowledged + failed;
        if (now > before) before = now, heard = now_ns();
        else if (now_ns() - heard > GIVE_UP_NS) die("produce", "nothing was acknowledged for 30 s");
    }
    if (failed || acknowledged != ask.count) die("produce", "not every message was acknowledged");
}

static void produce(const char *brokers, const char *topic) {
    start_producers(brokers, topic, 200000);
    started = now_ns();
    for (long i = 0; i < ask.count; i++)
        while (!send_message(i, payload(i))) usleep(200);
    wait_for_acknowledgements();
    double seconds = (double)(now_ns() - started) / 1e9;
    printf("{\"messages\": %ld, \"bytes\": %ld, \"seconds\": %.4f}\n", ask.count, ask.count * ask.size, seconds);
    stop_producers();
}

/* -- consumers -- */

static struct {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    int partitions;
} consumer;

static void start_consumer(const char *brokers, const char *topic) {
    consumer.rk = client(RD_KAFKA_CONSUMER, rd_kafka_conf_new(), brokers);
    consumer.topic = rd_kafka_topic_new(consumer.rk, topic, NULL);
    consumer.partitions = partitions_of(consumer.rk, consumer.topic);
    consumer.queue = rd_kafka_queue_new(consumer.rk);
    for (int p = 0; p < consumer.partitions; p++)
        if (rd_kafka_consume_start_queue(consumer.topic, p, RD_KAFKA_OFFSET_BEGINNING, consumer.queue))
            die(topic, rd_kafka_err2str(rd_kafka_last_error()));
}

static void stop_consumer(void) {
    for (int p = 0; p < consumer.partitions; p++) rd_kafka_consume_stop(consumer.topic, p);
    rd_kafka_queue_destroy(consumer.queue);
    rd_kafka_topic_destroy(consumer.topic);
    rd_kafka_destroy(consumer.rk);
}

static int is_message(const rd_kafka_message_t *message) {
    if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) die("consume", rd_kafka_message_errstr(message));
    return !message->err;
}

static void consume(const char *brokers, const char *topic) {
    started = now_ns();
    start_consumer(brokers, topic);
    rd_kafka_message_t *batch[1000];
    int64_t heard = now_ns(), ended = heard;
    long messages = 0, bytes = 0;
    while (messages < ask.count) {
        ssize_t n = rd_kafka_consume_batch_queue(consumer.queue, 100, batch, 1000);
        int64_t now = now_ns();
        if (n > 0) heard = now;
        else if (now - heard > GIVE_UP_NS) die(topic, "nothing came for 30 s");
        for (ssize_t i = 0; i < n; i++) {
            if (is_message(batch[i])) {
                if (batch[i]->offset < 0) die(topic, "no offset");
                messages++, bytes += (long)batch[i]->len;
            }
            rd_kafka_message_destroy(batch[i]);
        }
        ended = now_ns();
    }
    if (messages != ask.count) die(topic, "more messages than were sent");
    printf("{\"messages\": %ld, \"bytes\": %ld, \"seconds\": %.4f}\n", messages, bytes, (double)(ended - started) / 1e9);
    stop_consumer();
}

/* -- open loop -- */

struct stamp { /* begins each payload, where there is a consumer */
    int64_t run, i;
};

static void *receive_messages(void *arg) {
    long got = 0;
    int64_t heard = now_ns();
    while (got < ask.count) {
        rd_kafka_message_t *message = rd_kafka_consume_queue(consumer.queue, 100);
        int64_t now = now_ns();
        if (!message) {
            if (now - heard > GIVE_UP_NS) die("consume", "nothing came for 30 s");
            continue;
        }
        heard = now;
        struct stamp stamp;
        if (is_message(message)) {
            if (message->len != (size_t)ask.size) die("consume", "a message of another size");
            memcpy(&stamp, message->payload, sizeof stamp);
            if (stamp.run != *(int64_t *)arg || stamp.i < 0 || stamp.i >= ask.count) die("consume", "the topic is not new");
            if (end_to_end[stamp.i]) die("consume", "a message came twice");
            end_to_end[stamp.i] = now - due(stamp.i);
            got++;
        }
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Percentiles by nearest rank: the smallest value that no less than this share is at or below. */
static void tell(const char *name, int64_t *values, long n) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    double sum = 0;
    for (long i = 0; i < n; i++) sum += (double)values[i];
    static const struct {
        const char *name;
        double share;
    } wanted[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1.0}};
    printf(", \"%s_ms\": {\"mean\": %.4f", name, sum / (double)n / 1e6);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        long rank = (long)ceil((double)n * wanted[i].share - 1e-9);
        printf(", \"%s\": %.4f", wanted[i].name, (double)values[rank > 0 ? rank - 1 : 0] / 1e6);
    }
    printf("}");
}

static int64_t *slots(void) {
    int64_t *made = calloc((size_t)ask.count, sizeof *made);
    if (!made) die("paced", "out of memory");
    return made;
}

static void paced(const char *brokers, const char *topic) {
    ask.count = ask.rate * ask.seconds;
    long first = ask.rate * ask.skip, n = ask.count - first;
    if (n <= 0) die("paced", "skip leaves nothing");
    if (ask.consume && ask.size < (long)sizeof(struct stamp)) die("paced", "size is too small to know a message by");
    late = slots(), ack = slots();
    if (ask.consume) end_to_end = slots(), start_consumer(brokers, topic);
    start_producers(brokers, topic, ask.count + ask.clients);
    /* Else the kernel may wake us 50 us late, to save power. */
    prctl(PR_SET_TIMERSLACK, 1UL);

    struct stamp stamp = {.run = now_ns()};
    started = stamp.run + 500000000; /* by then everyone is connected */
    pthread_t receiver;
    if (ask.consume && pthread_create(&receiver, NULL, receive_messages, &stamp.run)) die("paced", "no thread");
    char *text = malloc((size_t)ask.size);
    for (long i = 0; i < ask.count; i++) {
        int64_t when = due(i);
        struct timespec until = {when / 1000000000, when % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
        memcpy(text, payload(i), (size_t)ask.size);
        stamp.i = i;
        if (ask.size >= (long)sizeof stamp) memcpy(text, &stamp, sizeof stamp);
        if (!send_message(i, text)) die("produce", "the client's queue is full");
        late[i] = now_ns() - when;
    }
    double sent_s = (double)(now_ns() - started) / 1e9;
    wait_for_acknowledgements();
    if (ask.consume) pthread_join(receiver, NULL);
    printf("{\"messages\": %ld, \"bytes\": %ld, \"seconds\": %.4f, \"rate\": %.1f, \"counted\": %ld", ask.count,
           ask.count * ask.size, sent_s, (double)ask.count / sent_s, n);
    tell("late", late + first, n);
    tell("ack", ack + first, n);
    if (ask.consume) tell("end_to_end", end_to_end + first, n);
    printf("}\n");
    stop_producers();
    if (ask.consume) stop_consumer();
}

static void parse(const char *text) {
    static const struct {
        const char *name;
        long *value;
    } numbers[] = {{"size", &ask.size},       {"count", &ask.count},   {"rate", &ask.rate},   {"seconds", &ask.seconds},
                   {"skip", &ask.skip},       {"clients", &ask.clients}, {"batch", &ask.batch}, {"single", &ask.single},
                   {"consume", &ask.consume}, {"partitions", &ask.partitions}, {"keys", &ask.keys}};
    const char *value = strchr(text, '=');
    if (!value++) die(text, "expected name=value");
    if (!strncmp(text, "codec=", 6)) {
        ask.codec = value;
        return;
    }
    if (!strncmp(text, "set=", 4)) {
        char *name = strdup(value), *colon = name ? strchr(name, ':') : NULL;
        if (!colon || ask.settings_n == SETTINGS_MAX) die(text, "expected set=NAME:VALUE, and not too many");
        *colon = 0;
        ask.settings[ask.settings_n][0] = name, ask.settings[ask.settings_n++][1] = colon + 1;
        return;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        size_t length = strlen(numbers[i].name);
        if (strncmp(text, numbers[i].name, length) || text[length] != '=') continue;
        char *end;
        errno = 0;
        *numbers[i].value = strtol(value, &end, 10);
        if (errno || *end || end == value || *numbers[i].value < 0) die(text, "not a number");
        return;
    }
    die(text, "is not known");
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "version")) {
        printf("{\"librdkafka\": \"%s\"}\n", rd_kafka_version_str());
        return 0;
    }
    if (argc < 4) die("usage", "load create|alter|delete|produce|consume|paced BROKERS TOPIC name=value ..., see the head of load.c");
    for (int i = 4; i < argc; i++) parse(argv[i]);
    if (ask.size > SIZE_MAX_BYTES || ask.clients < 1 || ask.clients > CLIENTS_MAX) die("usage", "out of range");
    fill_pool();
    if (!strcmp(mode, "create")) create(argv[2], argv[3]);
    else if (!strcmp(mode, "alter")) alter(argv[2], argv[3]);
    else if (!strcmp(mode, "delete")) delete(argv[2], argv[3]);
    else if (!strcmp(mode, "produce")) produce(argv[2], argv[3]);
    else if (!strcmp(mode, "consume")) consume(argv[2], argv[3]);
    else if (!strcmp(mode, "paced")) paced(argv[2], argv[3]);
    else die(mode, "is no mode");
    return 0;
}
