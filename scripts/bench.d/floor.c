/* The floor that scripts/bench compares brokers with: the least that any of them must do, and nothing else.
 *
 *   floor PORT DIR PARTITIONS      listens on 127.0.0.1, keeps DIR/<topic>-<n>.log; every topic exists
 *
 * Produce: the bytes are received, the CRC32C of each batch is computed (in hardware, three streams at once) and compared,
 * base offset and leader epoch are patched, the batch is appended with pwrite and answered. Fetch: whole batches go from the
 * file to the socket with sendfile; one that finds nothing waits. One thread, epoll, no locks; no producer state, no recovery,
 * no limits, no durability, no errors worth the name. It speaks exactly the versions that it advertises and that librdkafka
 * picks from them: ApiVersions 0-3, Metadata 4, Produce 7, Fetch 11, ListOffsets 1.
 *
 * SIGTERM ends it with one line of JSON: what it counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nmmintrin.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TOPICS_MAX 256
#define CONNECTIONS_MAX 4096
#define FRAME_MAX (128 << 20)
#define BUFFER (4 << 20)
#define BATCH_HEADER 61

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, errno ? strerror(errno) : "no");
    exit(1);
}

static void *grown(void *old, size_t bytes) {
    void *new = realloc(old, bytes);
    if (!new) die("memory");
    return new;
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* -- CRC32C: the instruction has a latency of three cycles and a throughput of one, so three streams go side by side and are
 *    joined by tables that advance a CRC over a stream's length of zeros -- */

#define STREAM 1024
static uint32_t advance_table[4][256];

static uint32_t crc_bytes(uint64_t crc, const uint8_t *p, size_t n) {
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    for (; n; p++, n--) crc = _mm_crc32_u8((uint32_t)crc, *p);
    return (uint32_t)crc;
}

static void make_advance_table(void) {
    static const uint8_t zeros[STREAM];
    for (int i = 0; i < 4; i++)
        for (uint32_t byte = 0; byte < 256; byte++) advance_table[i][byte] = crc_bytes(byte << (8 * i), zeros, STREAM);
}

static uint32_t advance(uint32_t crc) {
    return advance_table[0][crc & 0xff] ^ advance_table[1][crc >> 8 & 0xff] ^ advance_table[2][crc >> 16 & 0xff] ^
           advance_table[3][crc >> 24];
}

static uint32_t crc32c(const uint8_t *p, size_t n) {
    uint32_t crc = ~0u;
    for (; n >= 3 * STREAM; p += 3 * STREAM, n -= 3 * STREAM) {
        uint64_t a = crc, b = 0, c = 0;
        for (size_t i = 0; i < STREAM; i += 8) {
            uint64_t x, y, z;
            memcpy(&x, p + i, 8), memcpy(&y, p + STREAM + i, 8), memcpy(&z, p + 2 * STREAM + i, 8);
            a = _mm_crc32_u64(a, x), b = _mm_crc32_u64(b, y), c = _mm_crc32_u64(c, z);
        }
        crc = advance(advance((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    }
    return ~crc_bytes(crc, p, n);
}

/* -- topics: a file a partition, and in memory where each batch begins -- */

struct batch {
    int64_t offset, position;
};

struct partition {
    int fd;
    int64_t next, size;
    struct batch *batches;
    size_t count, room;
};

struct topic {
    int length;
    char name[256];
    struct partition *partitions;
};

static struct topic topics[TOPICS_MAX];
static int topic_count, partition_count;
static const char *folder;
static uint64_t produces, fetches, bytes_in, bytes_out;

static struct topic *topic(const char *name, int length) {
    for (int i = 0; i < topic_count; i++)
        if (topics[i].length == length && !memcmp(topics[i].name, name, (size_t)length)) return &topics[i];
    if (topic_count == TOPICS_MAX || length >= (int)sizeof topics->name) die("too many topics");
    struct topic *new = &topics[topic_count++];
    new->length = length;
    memcpy(new->name, name, (size_t)length);
    new->partitions = calloc((size_t)partition_count, sizeof *new->partitions);
    for (int i = 0; i < partition_count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s-%d.log", folder, new->name, i);
        new->partitions[i].fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);
        if (new->partitions[i].fd < 0) die(path);
    }
    return new;
}

/* Returns the base offset, or minus Kafka's error code. */
static int64_t append(struct partition *p, uint8_t *records, int32_t length) {
    uint32_t stored;
    if (length < BATCH_HEADER) return -2;
    memcpy(&stored, records + 17, 4);
    if (crc32c(records + 21, (size_t)length - 21) != be32toh(stored)) return -2;
    int32_t last_delta;
    memcpy(&last_delta, records + 23, 4);
    int64_t base = p->next;
    uint64_t base_be = htobe64((uint64_t)base);
    memcpy(records, &base_be, 8);
    memset(records + 12, 0, 4);
    if (pwrite(p->fd, records, (size_t)length, p->size) != length) return -56;
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 1024;
        p->batches = grown(p->batches, p->room * sizeof *p->batches);
    }
    p->batches[p->count++] = (struct batch){base, p->size};
    p->size += length;
    p->next = base + (int32_t)be32toh((uint32_t)last_delta) + 1;
    return base;
}

/* The whole batches from the one that holds `offset`, at most `limit` bytes but at least one batch. */
static int64_t slice(const struct partition *p, int64_t offset, int64_t limit, int64_t *position) {
    if (offset >= p->next || !p->count) return 0;
    size_t low = 0, high = p->count; /* the last batch that begins at or before the offset */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (p->batches[middle].offset <= offset) low = middle;
        else high = middle;
    }
    *position = p->batches[low].position;
    if (p->size - *position <= limit) return p->size - *position;
    size_t first = low;
    high = p->count;
    while (high - low > 1) { /* the last batch that begins within the limit: all before it is whole */
        size_t middle = (low + high) / 2;
        if (p->batches[middle].position - *position <= limit) low = middle;
        else high = middle;
    }
    if (low == first) low++;
    return (low < p->count ? p->batches[low].position : p->size) - *position;
}

/* -- reading a request -- */

struct reader {
    uint8_t *at, *end;
};

static uint8_t *take(struct reader *r, int64_t n) {
    if (n < 0 || r->end - r->at < n) errno = 0, die("a request ends early");
    r->at += n;
    return r->at - n;
}

static int16_t take16(struct reader *r) {
    uint16_t n;
    memcpy(&n, take(r, 2), 2);
    return (int16_t)be16toh(n);
}

static int32_t take32(struct reader *r) {
    uint32_t n;
    memcpy(&n, take(r, 4), 4);
    return (int32_t)be32toh(n);
}

static int64_t take64(struct reader *r) {
    uint64_t n;
    memcpy(&n, take(r, 8), 8);
    return (int64_t)be64toh(n);
}

static struct topic *take_topic(struct reader *r) {
    int16_t length = take16(r);
    return topic((const char *)take(r, length), length);
}

static struct partition *take_partition(struct reader *r, struct topic *t, int32_t *index) {
    *index = take32(r);
    if (*index < 0 || *index >= partition_count) errno = 0, die("no such partition");
    return &t->partitions[*index];
}

/* -- a connection: bytes that came, and answers as pieces of memory and of files -- */

struct piece {
    int fd; /* -1: of `out` */
    int64_t position, length;
};

struct connection {
    int fd;
    uint8_t *in;
    size_t in_room, in_begin, in_end;
    uint8_t *out;
    size_t out_room, out_length;
    struct piece *pieces;
    size_t piece_room, piece_count, piece_sent;
    int is_blocked;
    uint8_t *waiting; /* a fetch that found nothing, as it came */
    size_t waiting_length;
    int64_t waits_until_ms;
};

static struct connection *connections[CONNECTIONS_MAX];
static int epoll_fd, port, waiting_count;
static int has_appended;

static void put(struct connection *c, const void *bytes, size_t n) {
    if (c->out_length + n > c->out_room) {
        c->out_room = 2 * (c->out_length + n) + 4096;
        c->out = grown(c->out, c->out_room);
    }
    struct piece *last = c->piece_count ? &c->pieces[c->piece_count - 1] : NULL;
    if (!last || last->fd >= 0) {
        if (c->piece_count == c->piece_room) {
            c->piece_room = 2 * c->piece_room + 16;
            c->pieces = grown(c->pieces, c->piece_room * sizeof *c->pieces);
        }
        last = &c->pieces[c->piece_count++];
        *last = (struct piece){-1, (int64_t)c->out_length, 0};
    }
    memcpy(c->out + c->out_length, bytes, n);
    c->out_length += n;
    last->length += (int64_t)n;
}

static void put_file(struct connection *c, int fd, int64_t position, int64_t length) {
    if (c->piece_count == c->piece_room) {
        c->piece_room = 2 * c->piece_room + 16;
        c->pieces = grown(c->pieces, c->piece_room * sizeof *c->pieces);
    }
    c->pieces[c->piece_count++] = (struct piece){fd, position, length};
}

static void put8(struct connection *c, int8_t n) { put(c, &n, 1); }

static void put16(struct connection *c, int16_t n) {
    uint16_t be = htobe16((uint16_t)n);
    put(c, &be, 2);
}

static void put32(struct connection *c, int32_t n) {
    uint32_t be = htobe32((uint32_t)n);
    put(c, &be, 4);
}

static void put64(struct connection *c, int64_t n) {
    uint64_t be = htobe64((uint64_t)n);
    put(c, &be, 8);
}

static void put_string(struct connection *c, const char *text, int length) {
    put16(c, (int16_t)length);
    put(c, text, (size_t)length);
}

/* An answer's length is known once it is whole. */
static size_t begin(struct connection *c, int32_t correlation) {
    size_t at = c->out_length;
    put32(c, 0);
    put32(c, correlation);
    return at;
}

static void finish(struct connection *c, size_t at, int64_t of_files) {
    uint32_t be = htobe32((uint32_t)(c->out_length - at - 4 + (size_t)of_files));
    memcpy(c->out + at, &be, 4);
}

static void on_api_versions(struct connection *c, int16_t version, int32_t correlation) {
    /* librdkafka takes features from ranges: FindCoordinator 0 is what it wants to see for LZ4. */
    static const int16_t served[][3] = {{0, 0, 7}, {1, 0, 11}, {2, 0, 1}, {3, 0, 4}, {10, 0, 0}, {18, 0, 3}};
    const int count = sizeof served / sizeof *served;
    size_t at = begin(c, correlation);
    int is_known = version <= 3;
    put16(c, is_known ? 0 : 35);
    if (is_known && version == 3) put8(c, count + 1);
    else put32(c, count);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < 3; j++) put16(c, served[i][j]);
        if (is_known && version == 3) put8(c, 0);
    }
    if (is_known && version >= 1) put32(c, 0);
    if (is_known && version == 3) put8(c, 0);
    finish(c, at, 0);
}

static void put_topic(struct connection *c, const struct topic *t) {
    put16(c, 0);
    put_string(c, t->name, t->length);
    put8(c, 0);
    put32(c, partition_count);
    for (int i = 0; i < partition_count; i++) {
        put16(c, 0);
        put32(c, i);
        put32(c, 1); /* leader, then replicas and in-sync replicas */
        put32(c, 1), put32(c, 1);
        put32(c, 1), put32(c, 1);
    }
}

static void on_metadata(struct connection *c, struct reader *r, int32_t correlation) {
    size_t at = begin(c, correlation);
    put32(c, 0);
    put32(c, 1);
    put32(c, 1), put_string(c, "127.0.0.1", 9), put32(c, port), put16(c, -1);
    put_string(c, "floor", 5);
    put32(c, 1);
    int32_t count = take32(r);
    put32(c, count < 0 ? topic_count : count);
    if (count < 0)
        for (int i = 0; i < topic_count; i++) put_topic(c, &topics[i]);
    for (int32_t i = 0; i < count; i++) put_topic(c, take_topic(r));
    finish(c, at, 0);
}

static void on_produce(struct connection *c, struct reader *r, int32_t correlation) {
    produces++;
    int16_t transactional_id = take16(r);
    if (transactional_id > 0) take(r, transactional_id);
    int16_t acks = take16(r);
    take32(r);
    size_t at = begin(c, correlation);
    int32_t count = take32(r);
    put32(c, count);
    for (int32_t i = 0; i < count; i++) {
        struct topic *t = take_topic(r);
        put_string(c, t->name, t->length);
        int32_t partitions = take32(r);
        put32(c, partitions);
        for (int32_t j = 0; j < partitions; j++) {
            int32_t index;
            struct partition *p = take_partition(r, t, &index);
            int32_t length = take32(r);
            int64_t base = append(p, take(r, length), length);
            bytes_in += (uint64_t)length;
            put32(c, index);
            put16(c, base < 0 ? (int16_t)-base : 0);
            put64(c, base < 0 ? -1 : base);
            put64(c, -1);
            put64(c, 0);
        }
    }
    put32(c, 0);
    finish(c, at, 0);
    has_appended = 1;
    if (!acks) errno = 0, die("acks=0");
}

/* Answers a fetch, or returns 0 where it found less than it wants and may still wait. */
static int on_fetch(struct connection *c, struct reader r, int32_t correlation, int64_t *until_ms) {
    take32(&r);
    int32_t max_wait = take32(&r), min_bytes = take32(&r), max_bytes = take32(&r);
    take(&r, 1 + 4 + 4);
    if (!*until_ms) *until_ms = now_ms() + max_wait;
    struct reader again = r;
    for (int is_answer = 0; is_answer < 2; is_answer++) { /* first look, then tell */
        int64_t left = max_bytes, found = 0;
        size_t at = 0;
        r = again;
        if (is_answer) {
            at = begin(c, correlation);
            put32(c, 0), put16(c, 0), put32(c, 0);
        }
        int32_t count = take32(&r);
        if (is_answer) put32(c, count);
        for (int32_t i = 0; i < count; i++) {
            struct topic *t = take_topic(&r);
            int32_t partitions = take32(&r);
            if (is_answer) put_string(c, t->name, t->length), put32(c, partitions);
            for (int32_t j = 0; j < partitions; j++) {
                int32_t index;
                struct partition *p = take_partition(&r, t, &index);
                take32(&r);
                int64_t offset = take64(&r), position = 0;
                take64(&r);
                int64_t limit = take32(&r);
                if (limit > left) limit = left;
                int64_t length = limit > 0 ? slice(p, offset, limit, &position) : 0;
                if (length > left && found) length = 0;
                left -= length;
                found += length;
                if (!is_answer) continue;
                put32(c, index), put16(c, offset > p->next ? 1 : 0);
                put64(c, p->next), put64(c, p->next), put64(c, 0);
                put32(c, -1), put32(c, -1);
                put32(c, (int32_t)length);
                if (length) put_file(c, p->fd, position, length);
            }
        }
        if (is_answer) {
            finish(c, at, found);
            bytes_out += (uint64_t)found;
            fetches++;
        } else if (found < min_bytes && now_ms() < *until_ms) {
            return 0;
        }
    }
    return 1;
}

static void on_list_offsets(struct connection *c, struct reader *r, int32_t correlation) {
    take32(r);
    size_t at = begin(c, correlation);
    int32_t count = take32(r);
    put32(c, count);
    for (int32_t i = 0; i < count; i++) {
        struct topic *t = take_topic(r);
        put_string(c, t->name, t->length);
        int32_t partitions = take32(r);
        put32(c, partitions);
        for (int32_t j = 0; j < partitions; j++) {
            int32_t index;
            struct partition *p = take_partition(r, t, &index);
            int64_t timestamp = take64(r);
            put32(c, index), put16(c, 0), put64(c, -1), put64(c, timestamp == -1 ? p->next : 0);
        }
    }
    finish(c, at, 0);
}

/* Returns 0 where the request waits. */
static int on_frame(struct connection *c, uint8_t *frame, size_t length, int64_t *until_ms) {
    struct reader r = {frame, frame + length};
    int16_t key = take16(&r), version = take16(&r);
    int32_t correlation = take32(&r);
    int16_t client_id = take16(&r);
    if (client_id > 0) take(&r, client_id);
    switch (key << 8 | version) {
    case 0 << 8 | 7: on_produce(c, &r, correlation); return 1;
    case 1 << 8 | 11: return on_fetch(c, r, correlation, until_ms);
    case 2 << 8 | 1: on_list_offsets(c, &r, correlation); return 1;
    case 3 << 8 | 4: on_metadata(c, &r, correlation); return 1;
    default:
        if (key == 18) return on_api_versions(c, version, correlation), 1;
        fprintf(stderr, "floor: api %d version %d is not spoken here\n", key, version);
        exit(1);
    }
}

static void want(struct connection *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = c->fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event)) die("epoll");
}

static void leave(struct connection *c) {
    if (c->waiting) waiting_count--;
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in), free(c->out), free(c->pieces), free(c->waiting), free(c);
}

/* Sends what it can; 0 where the peer is gone. */
static int drain(struct connection *c) {
    while (c->piece_sent < c->piece_count) {
        struct piece *p = &c->pieces[c->piece_sent];
        int more = c->piece_sent + 1 < c->piece_count ? MSG_MORE : 0;
        ssize_t n;
        if (p->fd < 0) n = send(c->fd, c->out + p->position, (size_t)p->length, MSG_NOSIGNAL | MSG_DONTWAIT | more);
        else {
            off_t from = p->position;
            n = sendfile(c->fd, p->fd, &from, (size_t)p->length);
        }
        if (n < 0 && errno == EAGAIN) {
            if (!c->is_blocked) want(c, EPOLLOUT);
            c->is_blocked = 1;
            return 1;
        }
        if (n <= 0) return 0;
        p->position += n, p->length -= n;
        if (!p->length) c->piece_sent++;
    }
    c->piece_sent = c->piece_count = c->out_length = 0;
    if (c->is_blocked) want(c, EPOLLIN);
    c->is_blocked = 0;
    return 1;
}

/* Answers the whole frames that came; 0 where the peer is gone. */
static int serve(struct connection *c) {
    while (!c->is_blocked && !c->waiting) {
        size_t have = c->in_end - c->in_begin;
        uint32_t length = 0;
        if (have >= 4) memcpy(&length, c->in + c->in_begin, 4), length = be32toh(length);
        if (length > FRAME_MAX) return 0;
        if (have < 4 || have < 4 + (size_t)length) {
            size_t needed = have < 4 ? 4 : 4 + (size_t)length;
            if (!have) c->in_begin = c->in_end = 0;
            else if (c->in_begin + needed > c->in_room) {
                memmove(c->in, c->in + c->in_begin, have);
                c->in_begin = 0, c->in_end = have;
            }
            if (needed > c->in_room) c->in = grown(c->in, c->in_room = needed);
            break;
        }
        int64_t until_ms = 0;
        uint8_t *frame = c->in + c->in_begin + 4;
        if (!on_frame(c, frame, length, &until_ms)) {
            c->waiting = grown(NULL, length);
            memcpy(c->waiting, frame, length);
            c->waiting_length = length;
            c->waits_until_ms = until_ms;
            waiting_count++;
        }
        c->in_begin += 4 + (size_t)length;
        /* Answers go out together where requests came together. */
        if (c->piece_count > 64 && !drain(c)) return 0;
    }
    return drain(c);
}

static void on_readable(struct connection *c) {
    if (c->in_end == c->in_room) c->in = grown(c->in, c->in_room *= 2);
    ssize_t n = recv(c->fd, c->in + c->in_end, c->in_room - c->in_end, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return leave(c);
    c->in_end += (size_t)n;
    if (!serve(c)) leave(c);
}

static int waits_ms(void) {
    int64_t first = -1;
    for (int i = 0; waiting_count && i < CONNECTIONS_MAX; i++)
        if (connections[i] && connections[i]->waiting && (first < 0 || connections[i]->waits_until_ms < first))
            first = connections[i]->waits_until_ms;
    int64_t left = first - now_ms();
    return first < 0 ? -1 : left < 0 ? 0 : (int)left;
}

static void answer_waiting(void) {
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = connections[i];
        if (!c || !c->waiting) continue;
        if (!on_frame(c, c->waiting, c->waiting_length, &c->waits_until_ms)) continue;
        free(c->waiting);
        c->waiting = NULL;
        waiting_count--;
        if (!serve(c)) leave(c);
    }
}

static void on_end(int signal) {
    (void)signal;
    char text[256];
    int n = snprintf(text, sizeof text, "{\"produces\": %lu, \"fetches\": %lu, \"bytes_in\": %lu, \"bytes_out\": %lu}\n",
                     (unsigned long)produces, (unsigned long)fetches, (unsigned long)bytes_in, (unsigned long)bytes_out);
    _exit(write(1, text, (size_t)n) == n ? 0 : 1);
}

int main(int argc, char **argv) {
    if (argc != 4) errno = 0, die("floor PORT DIR PARTITIONS");
    port = atoi(argv[1]), folder = argv[2], partition_count = atoi(argv[3]);
    make_advance_table();
    if (crc32c((const uint8_t *)"123456789", 9) != 0xe3069283) errno = 0, die("CRC32C");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_end);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) die("listen");
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 256, waits_ms());
        if (n < 0 && errno != EINTR) die("epoll_wait");
        has_appended = 0;
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (accepted < 0) continue;
                if (accepted >= CONNECTIONS_MAX) errno = 0, die("too many connections");
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct connection *c = connections[accepted] = calloc(1, sizeof *c);
                c->fd = accepted;
                c->in = grown(NULL, c->in_room = BUFFER);
                event = (struct epoll_event){.events = EPOLLIN, .data.fd = accepted};
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, accepted, &event);
                continue;
            }
            struct connection *c = connections[fd];
            if (!c) continue;
            if (events[i].events & EPOLLOUT) {
                if (!drain(c) || (!c->is_blocked && !serve(c))) leave(c);
            } else {
                on_readable(c);
            }
        }
        if (waiting_count && (has_appended || waits_ms() == 0)) answer_waiting();
    }
}
