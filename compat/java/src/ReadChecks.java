import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordTooLargeException;

/** Where a consumer begins, what it waits for, what it does where nothing is; acks, and the largest batch. */
final class ReadChecks {
    private static final int COUNT = 100;

    private final Harness broker;

    ReadChecks(Harness broker) {
        this.broker = broker;
    }

    void positions() throws Exception {
        Clients.create(broker, List.of(new NewTopic("read", 2, (short) 1)));
        fill("read", 2);
        TopicPartition one = new TopicPartition("read", 0);
        TopicPartition other = new TopicPartition("read", 1);
        try (var consumer = Clients.consumer(broker)) {
            Harness.same("the beginnings", Map.of(one, 0L, other, 0L), consumer.beginningOffsets(List.of(one, other)));
            Harness.same("the ends", Map.of(one, (long) COUNT, other, (long) COUNT), consumer.endOffsets(List.of(one, other)));
            consumer.assign(List.of(one, other));
            consumer.seek(one, 40);
            consumer.seekToBeginning(List.of(other));
            List<ConsumerRecord<byte[], byte[]>> records = some(consumer, 60 + COUNT);
            Harness.same("from an offset and from the start, at once", List.of(offsets(40, COUNT), offsets(0, COUNT)),
                    List.of(of(records, one), of(records, other)));
            consumer.assign(List.of(one));
            consumer.seekToEnd(List.of(one));
            Harness.same("the latest position", (long) COUNT, consumer.position(one));
            fill("read", 2);
            Harness.same("from the latest, what comes after", offsets(COUNT, 2 * COUNT), of(some(consumer, COUNT), one));
        }
        try (var consumer = Clients.consumer(broker, Map.of("max.partition.fetch.bytes", 1, "fetch.max.bytes", 1))) {
            consumer.assign(List.of(one, other));
            consumer.seekToBeginning(List.of(one, other));
            Harness.same("limits below one batch bring one nevertheless", 4 * COUNT, some(consumer, 4 * COUNT).size());
        }
        reset(one, "earliest", 0);
        reset(one, "latest", 2 * COUNT);
        try (var consumer = Clients.consumer(broker)) {
            consumer.assign(List.of(one));
            consumer.seek(one, 2 * COUNT + 1);
            try {
                some(consumer, 1);
                throw new AssertionError("records from beyond the end");
            } catch (OffsetOutOfRangeException failure) {
                Harness.same("with reset=none an error", Map.of(one, 2L * COUNT + 1), failure.offsetOutOfRangePartitions());
            }
        }
    }

    private void reset(TopicPartition partition, String kind, long expected) {
        try (var consumer = Clients.consumer(broker, Map.of("auto.offset.reset", kind))) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 1L << 40);
            long deadline = System.nanoTime() + Duration.ofSeconds(Harness.LIMIT_S).toNanos();
            while (consumer.position(partition) >= 1L << 40 && System.nanoTime() < deadline) {
                for (var record : Release.poll(consumer, Duration.ofMillis(100))) {
                    Harness.same("out of range, so from the " + kind, expected, record.offset());
                    return;
                }
            }
            Harness.same("out of range, so from the " + kind, expected, consumer.position(partition));
        }
    }

    /** A fetch waits for data, and no longer than that. */
    void longPoll() throws Exception {
        Clients.create(broker, List.of(new NewTopic("wait", 1, (short) 1)));
        TopicPartition partition = new TopicPartition("wait", 0);
        try (var consumer = Clients.consumer(broker, Map.of("fetch.max.wait.ms", 5_000))) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            Harness.require("nothing comes yet", Release.poll(consumer, Duration.ofMillis(300)).isEmpty());
            long start = System.nanoTime();
            var late = CompletableFuture.runAsync(() -> {
                try {
                    Thread.sleep(300);
                    send(Map.of(), new ProducerRecord<>("wait", 0, null, Clients.bytes("late")));
                } catch (Exception failure) {
                    throw new IllegalStateException(failure);
                }
            });
            Harness.same("what comes while a fetch waits", "late", new String(some(consumer, 1).get(0).value()));
            long waited = (System.nanoTime() - start) / 1_000_000;
            late.get();
            Harness.require("it came after " + waited + " ms of a fetch that may wait 5 s", waited >= 300 && waited < 4_000);
        }
    }

    /** A batch may be as large as max.message.bytes, and not a byte larger. */
    void acksAndTheLargestBatch() throws Exception {
        int limit = 100_000;
        int overhead = 72; // batch header 61, and a record's 11 around a value of this size
        Clients.create(broker, List.of(new NewTopic("acks", 1, (short) 1),
                new NewTopic("limited", 1, (short) 1).configs(Map.of("max.message.bytes", "" + limit))));
        long next = 0;
        for (String acks : List.of("1", "all", "0")) {
            Map<String, Object> settings = Map.of("acks", acks, "enable.idempotence", false);
            long offset = send(settings, new ProducerRecord<>("acks", 0, null, Clients.bytes(acks)));
            Harness.require("acks=" + acks + ": offset " + offset, offset == (acks.equals("0") ? -1 : next++));
        }
        TopicPartition partition = new TopicPartition("acks", 0);
        try (var consumer = Clients.consumer(broker)) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            Harness.same("one each of acks 1, all and 0 is there", List.of("1", "all", "0"),
                    some(consumer, 3).stream().map(record -> new String(record.value())).toList());
        }
        send(Map.of(), new ProducerRecord<>("limited", 0, null, new byte[limit - overhead]));
        try {
            send(Map.of(), new ProducerRecord<>("limited", 0, null, new byte[limit - overhead + 1]));
            throw new AssertionError("one byte more than max.message.bytes was taken");
        } catch (ExecutionException failure) {
            Harness.same("a batch of max.message.bytes is taken, one byte more", RecordTooLargeException.class, failure.getCause().getClass());
        }
        Harness.same("only the first is there", 1, Clients.all(broker, "limited").size());
    }

    private void fill(String topic, int partitions) {
        try (var producer = Clients.producer(broker, Map.of())) {
            for (int n = 0; n < COUNT * partitions; n++) {
                producer.send(new ProducerRecord<>(topic, n % partitions, null, Clients.bytes("" + n)));
            }
        }
    }

    private long send(Map<String, Object> settings, ProducerRecord<byte[], byte[]> record) throws Exception {
        try (var producer = Clients.producer(broker, settings)) {
            return producer.send(record).get().offset();
        }
    }

    /** The next records, at least `wanted`. */
    private static List<ConsumerRecord<byte[], byte[]>> some(KafkaConsumer<byte[], byte[]> consumer, int wanted) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long deadline = System.nanoTime() + Duration.ofSeconds(Harness.LIMIT_S).toNanos();
        while (records.size() < wanted) {
            Harness.require("only " + records.size() + " of " + wanted + " records came", System.nanoTime() < deadline);
            Release.poll(consumer, Duration.ofMillis(500)).forEach(records::add);
        }
        return records;
    }

    private static List<Long> of(List<ConsumerRecord<byte[], byte[]>> records, TopicPartition partition) {
        return records.stream().filter(record -> record.partition() == partition.partition()).map(ConsumerRecord::offset).toList();
    }

    private static List<Long> offsets(long from, long to) {
        return LongStream.range(from, to).boxed().toList();
    }
}
