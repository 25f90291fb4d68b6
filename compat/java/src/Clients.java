import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Clients as a user makes them: defaults, but for what a check is about. Consumers assign(): no group is needed. */
final class Clients {
    private Clients() {}

    static KafkaProducer<byte[], byte[]> producer(Harness broker, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Release.PRODUCER);
        all.put("bootstrap.servers", broker.address);
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Harness broker) {
        return consumer(broker, Map.of());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Harness broker, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", broker.address, "auto.offset.reset", "none"));
        all.put("enable.auto.commit", false); // before 2.2 it is true without a group as well
        all.putAll(settings);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static AdminClient admin(Harness broker) {
        return AdminClient.create(Map.of("bootstrap.servers", broker.address));
    }

    /**
     * Creates topics and waits until the broker serves all their partitions. Kafka answers CreateTopics a little before
     * that, and an idempotent producer whose first batch then fails while its second is taken never gets its first in.
     */
    static void create(Harness broker, List<NewTopic> topics) throws Exception {
        try (AdminClient admin = admin(broker)) {
            Harness.done(admin.createTopics(topics).all());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(broker)) {
            topics.forEach(topic -> consumer.endOffsets(partitions(topic.name(), topic.numPartitions())));
        }
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(n -> new TopicPartition(topic, n)).toList();
    }

    /** Hands over every record from the beginning to the end offsets of now; fails on a gap in a partition's offsets. */
    static long consume(Harness broker, Collection<TopicPartition> partitions, Consumer<ConsumerRecord<byte[], byte[]>> each) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(broker)) {
            long wanted = consumer.endOffsets(partitions).values().stream().mapToLong(Long::longValue).sum();
            return consume(consumer, partitions, wanted, each);
        }
    }

    static long consume(KafkaConsumer<byte[], byte[]> consumer, Collection<TopicPartition> partitions, long wanted,
            Consumer<ConsumerRecord<byte[], byte[]>> each) {
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        Map<Integer, Long> next = new HashMap<>();
        long seen = 0;
        long deadline = System.nanoTime() + Duration.ofSeconds(Harness.LIMIT_S).toNanos();
        while (seen < wanted) {
            Harness.require("only " + seen + " of " + wanted + " records came", System.nanoTime() < deadline);
            for (ConsumerRecord<byte[], byte[]> record : Release.poll(consumer, Duration.ofSeconds(1))) {
                long expected = next.merge(record.partition(), 1L, Long::sum) - 1;
                Harness.require("partition " + record.partition() + ": offset " + record.offset() + " instead of " + expected,
                        record.offset() == expected);
                each.accept(record);
                seen++;
            }
        }
        return seen;
    }

    static List<ConsumerRecord<byte[], byte[]>> all(Harness broker, String topic) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        consume(broker, partitions(topic, 1), records::add);
        return records;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
