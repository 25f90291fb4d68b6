import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * kill -9 of the broker while an idempotent producer, a plain one and a consumer are at work. The producers have acks=all
 * and are told nothing of the crash: they retry.
 */
final class CrashChecks {
    private static final int COUNT = 60_000 * Harness.SCALE;
    private static final int PARTITIONS = 10;

    private final Harness broker;

    CrashChecks(Harness broker) {
        this.broker = broker;
    }

    void run() throws Exception {
        Clients.create(broker, List.of(new NewTopic("once", PARTITIONS, (short) 1), new NewTopic("plain", 1, (short) 1)));
        CountDownLatch underWay = new CountDownLatch(COUNT / 4);
        AtomicInteger failures = new AtomicInteger();
        Set<Integer> plainAcknowledged = new ConcurrentSkipListSet<>();
        Map<String, Object> eager = Map.of("acks", "all", "reconnect.backoff.max.ms", 200, "linger.ms", 2);
        Map<String, Object> plainSettings = new HashMap<>(eager);
        plainSettings.put("enable.idempotence", false);

        CompletableFuture<List<List<Integer>>> reader = CompletableFuture.supplyAsync(this::readAll);
        try (KafkaProducer<byte[], byte[]> once = Clients.producer(broker, eager);
                KafkaProducer<byte[], byte[]> plain = Clients.producer(broker, plainSettings)) {
            CompletableFuture<Void> sender = CompletableFuture.runAsync(() -> {
                for (int n = 0; n < COUNT; n++) {
                    int number = n;
                    once.send(new ProducerRecord<>("once", n % PARTITIONS, null, Clients.bytes("" + n)), (metadata, failure) -> {
                        if (failure != null) {
                            failures.incrementAndGet();
                        }
                        underWay.countDown();
                    });
                    plain.send(new ProducerRecord<>("plain", 0, null, Clients.bytes("" + n)), (metadata, failure) -> {
                        if (failure == null) {
                            plainAcknowledged.add(number);
                        }
                    });
                    // Half of the messages wait for the crash, so that it comes in between whatever the machine's speed.
                    if (n == COUNT / 2) {
                        await(underWay);
                    }
                }
            });
            await(underWay);
            broker.kill();
            broker.restart();
            sender.get(Harness.LIMIT_S, TimeUnit.SECONDS);
        }
        Harness.same("the idempotent producer's failures over a kill -9", 0, failures.get());

        List<List<Integer>> expected = empty();
        for (int n = 0; n < COUNT; n++) {
            expected.get(n % PARTITIONS).add(n);
        }
        List<List<Integer>> stored = empty();
        Clients.consume(broker, Clients.partitions("once", PARTITIONS), record -> stored.get(record.partition()).add(number(record.value())));
        compare("after kill -9", expected, stored);
        compare("a consumer that read on through the kill -9", expected, reader.get(Harness.LIMIT_S, TimeUnit.SECONDS));

        Set<Integer> plainStored = new TreeSet<>();
        Clients.consume(broker, Clients.partitions("plain", 1), record -> plainStored.add(number(record.value())));
        Set<Integer> lost = new TreeSet<>(plainAcknowledged);
        lost.removeAll(plainStored);
        Harness.same("acknowledged to the producer without idempotence, and lost", Set.of(), lost);
        Harness.same("acknowledged to it", COUNT, plainAcknowledged.size());
    }

    private List<List<Integer>> readAll() {
        List<List<Integer>> seen = empty();
        try (KafkaConsumer<byte[], byte[]> consumer = Clients.consumer(broker)) {
            Clients.consume(consumer, Clients.partitions("once", PARTITIONS), COUNT, record -> seen.get(record.partition()).add(number(record.value())));
        }
        return seen;
    }

    private static void compare(String check, List<List<Integer>> expected, List<List<Integer>> stored) {
        for (int n = 0; n < PARTITIONS; n++) {
            List<Integer> want = expected.get(n);
            List<Integer> got = stored.get(n);
            for (int at = 0; at < Math.max(want.size(), got.size()); at++) {
                Integer wanted = at < want.size() ? want.get(at) : null;
                Integer found = at < got.size() ? got.get(at) : null;
                Harness.require(check + ": partition " + n + " offset " + at + ": " + found + " instead of " + wanted,
                        wanted != null && wanted.equals(found));
            }
        }
        Harness.pass(check + ": all " + COUNT + " are there, in order, once");
    }

    private static List<List<Integer>> empty() {
        List<List<Integer>> lists = new ArrayList<>();
        for (int n = 0; n < PARTITIONS; n++) {
            lists.add(new ArrayList<>());
        }
        return lists;
    }

    private static int number(byte[] value) {
        return Integer.parseInt(new String(value));
    }

    private static void await(CountDownLatch latch) {
        try {
            Harness.require("too few acknowledgements", latch.await(Harness.LIMIT_S, TimeUnit.SECONDS));
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }
}
