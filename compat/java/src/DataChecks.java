import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.TimestampType;

/** What is sent comes back: every codec, every shape of record, every timestamp, and a large number of messages. */
final class DataChecks {
    private static final int MANY = 200_000 * Harness.SCALE;
    private static final int PARTITIONS = 10;

    private final Harness broker;

    DataChecks(Harness broker) {
        this.broker = broker;
    }

    void everyCodec() throws Exception {
        Clients.create(broker, Release.CODECS.stream().map(codec -> new NewTopic("codec-" + codec, 1, (short) 1)).toList());
        for (String codec : Release.CODECS) {
            String topic = "codec-" + codec;
            try (var producer = Clients.producer(broker, Map.of("compression.type", codec, "linger.ms", 50))) {
                for (int n = 0; n < 5000; n++) {
                    producer.send(new ProducerRecord<>(topic, Clients.bytes("key " + n), letter(n)));
                }
            }
            List<ConsumerRecord<byte[], byte[]>> back = Clients.all(broker, topic);
            Harness.require(codec + ": " + back.size() + " came back", back.size() == 5000);
            for (int n = 0; n < 5000; n++) {
                Harness.require(codec + ": message " + n + " differs",
                        Arrays.equals(letter(n), back.get(n).value()) && Arrays.equals(Clients.bytes("key " + n), back.get(n).key()));
            }
            Harness.same(codec + ": 5000 came back; the codec of the stored batches", List.of(codec), broker.storedCodecs(topic));
        }
    }

    void headersNullsAndSizes() throws Exception {
        Clients.create(broker, List.of(new NewTopic("shapes", 1, (short) 1)));
        byte[] large = new byte[900_000];
        new Random(1).nextBytes(large);
        byte[] nothing = {};
        List<ProducerRecord<byte[], byte[]>> sent = List.of(
                new ProducerRecord<>("shapes", 0, Clients.bytes("k"), Clients.bytes("v")),
                new ProducerRecord<>("shapes", 0, null, Clients.bytes("no key")),
                new ProducerRecord<>("shapes", 0, Clients.bytes("no value"), null),
                new ProducerRecord<>("shapes", 0, null, null),
                new ProducerRecord<>("shapes", 0, nothing, nothing),
                new ProducerRecord<>("shapes", 0, Clients.bytes("large"), large),
                new ProducerRecord<>("shapes", 0, Clients.bytes("headers"), Clients.bytes("v")));
        sent.get(6).headers().add("first", Clients.bytes("1")).add("empty", nothing).add("null", null)
                .add("first", Clients.bytes("2")).add("", Clients.bytes("no name")).add("größe", large);
        ProducerRecord<byte[], byte[]> last = sent.get(6);
        last.headers().remove("größe").add("größe", Arrays.copyOf(large, 10_000));
        try (var producer = Clients.producer(broker, Map.of())) {
            for (var record : sent) {
                producer.send(record).get();
            }
        }
        List<ConsumerRecord<byte[], byte[]>> back = Clients.all(broker, "shapes");
        Harness.same("as many as were sent", sent.size(), back.size());
        for (int n = 0; n < sent.size(); n++) {
            Harness.require("key " + n, Arrays.equals(sent.get(n).key(), back.get(n).key()));
            Harness.require("value " + n, Arrays.equals(sent.get(n).value(), back.get(n).value()));
            Harness.require("headers " + n, Arrays.equals(sent.get(n).headers().toArray(), back.get(n).headers().toArray()));
        }
        Harness.pass("null and empty keys and values, 900 KB and headers come back as they were");
    }

    void timestamps() throws Exception {
        Clients.create(broker, List.of(new NewTopic("created", 1, (short) 1),
                new NewTopic("appended", 1, (short) 1).configs(Map.of("message.timestamp.type", "LogAppendTime"))));
        long base = System.currentTimeMillis() - 3_600_000;
        List<Long> times = List.of(100L, 300L, 200L, 400L, 400L, 350L);
        long before = System.currentTimeMillis();
        List<Future<RecordMetadata>> appended = new ArrayList<>();
        // The producer holds its batches back until it is closed: each topic gets one batch.
        try (var producer = Clients.producer(broker, Map.of("linger.ms", 60_000))) {
            for (String topic : List.of("created", "appended")) {
                for (long time : times) {
                    var metadata = producer.send(new ProducerRecord<>(topic, 0, base + time, null, Clients.bytes("v")));
                    if (topic.equals("appended")) {
                        appended.add(metadata);
                    }
                }
            }
        }
        long after = System.currentTimeMillis();
        Harness.same("one batch", 1, broker.storedBatches("created", 0).size());

        List<ConsumerRecord<byte[], byte[]>> created = Clients.all(broker, "created");
        Harness.same("create times", times, created.stream().map(record -> record.timestamp() - base).toList());
        Harness.same("type of create time", TimestampType.CREATE_TIME, created.get(0).timestampType());

        List<ConsumerRecord<byte[], byte[]>> stamped = Clients.all(broker, "appended");
        Harness.same("type of append time", TimestampType.LOG_APPEND_TIME, stamped.get(0).timestampType());
        long stamp = stamped.get(0).timestamp();
        Harness.require("append time " + stamp + " is the broker's", before <= stamp && stamp <= after);
        Harness.require("one append time a batch", stamped.stream().allMatch(record -> record.timestamp() == stamp));
        Harness.same("the acknowledgement has it", stamp, appended.get(0).get().timestamp());

        TopicPartition partition = new TopicPartition("created", 0);
        long[][] sought = {{0, 0}, {100, 0}, {101, 1}, {250, 1}, {300, 1}, {301, 3}, {400, 3}, {401, -1}};
        try (KafkaConsumer<byte[], byte[]> consumer = Clients.consumer(broker)) {
            for (long[] pair : sought) {
                var found = consumer.offsetsForTimes(Map.of(partition, base + pair[0])).get(partition);
                Harness.same("first offset at or after " + pair[0] + " ms within the batch", pair[1], found == null ? -1 : found.offset());
            }
            consumer.assign(List.of(partition));
            consumer.seek(partition, 3);
            List<Long> rest = new ArrayList<>();
            while (rest.size() < 3) {
                Release.poll(consumer, Duration.ofSeconds(1)).forEach(record -> rest.add(record.offset()));
            }
            Harness.same("a consumer begins in the middle of a batch", List.of(3L, 4L, 5L), rest);
        }
    }

    void twoHundredThousand() throws Exception {
        Clients.create(broker, List.of(new NewTopic("many", PARTITIONS, (short) 1)));
        MessageDigest[] sent = digests();
        AtomicReference<String> wrong = new AtomicReference<>();
        try (KafkaProducer<byte[], byte[]> producer = Clients.producer(broker, Map.of("compression.type", "lz4"))) {
            for (int n = 0; n < MANY; n++) {
                int partition = n % PARTITIONS;
                long offset = n / PARTITIONS;
                byte[] value = letter(n);
                sent[partition].update(value);
                producer.send(new ProducerRecord<>("many", partition, null, value), (metadata, failure) -> {
                    if (failure != null || metadata.offset() != offset) {
                        wrong.compareAndSet(null, "offset " + offset + ": " + metadata + ", " + failure);
                    }
                });
            }
        }
        Harness.require("acknowledged " + wrong.get(), wrong.get() == null);
        MessageDigest[] received = digests();
        long count = Clients.consume(broker, Clients.partitions("many", PARTITIONS), record -> received[record.partition()].update(record.value()));
        Harness.same("messages", (long) MANY, count);
        Harness.same("hashes of the partitions", hashes(sent), hashes(received));
    }

    private static byte[] letter(int n) {
        return ("Liebste Felice, dies ist Brief Nummer " + n + ", und es folgen noch viele").getBytes(StandardCharsets.UTF_8);
    }

    private static MessageDigest[] digests() throws Exception {
        MessageDigest[] digests = new MessageDigest[PARTITIONS];
        for (int n = 0; n < PARTITIONS; n++) {
            digests[n] = MessageDigest.getInstance("SHA-256");
        }
        return digests;
    }

    private static List<String> hashes(MessageDigest[] digests) {
        return IntStream.range(0, PARTITIONS).mapToObj(n -> HexFormat.of().formatHex(digests[n].digest()).substring(0, 8)).toList();
    }
}
