import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** A producer for {@code scripts/soak kill9}: arguments, lines and end as scripts/soak.d/kill9/producer.py tells them. */
public final class Endless {
    private static final double BURST_BYTES = 100_000;
    private static final Map<String, Map<String, Object>> MODES = Map.of(
            "idempotent", Map.of("enable.idempotence", true),
            "all", Map.of("enable.idempotence", false, "acks", "all", "max.in.flight.requests.per.connection", 1),
            "leader", Map.of("enable.idempotence", false, "acks", "1", "max.in.flight.requests.per.connection", 1));

    private final byte[] pool;
    private final int producer;

    private Endless(byte[] pool, int producer) {
        this.pool = pool;
        this.producer = producer;
    }

    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        int partitions = Integer.parseInt(arguments[2]);
        int producer = Integer.parseInt(arguments[3]);
        Endless letters = new Endless(Files.readAllBytes(Path.of(arguments[5])), producer);
        double rate = Double.parseDouble(arguments[7]);

        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", "127.0.0.1:" + arguments[0], "linger.ms", 2,
                "delivery.timeout.ms", 600_000, "reconnect.backoff.ms", 10, "reconnect.backoff.max.ms", 50, "retry.backoff.ms", 10, "compression.type", producer % 2 == 0 ? "none" : "gzip"));
        settings.putAll(MODES.get(arguments[4]));
        AtomicBoolean ended = new AtomicBoolean();
        AtomicLong lifted = new AtomicLong();
        listen(ended, lifted);
        long[] next = new long[partitions];
        try (PrintWriter log = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[6])));
                KafkaProducer<byte[], byte[]> client = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            long started = System.nanoTime();
            double sent = 0;
            for (long count = 0; !ended.get(); count++) {
                while (sent - lifted.get() * BURST_BYTES > rate * (System.nanoTime() - started) / 1e9 && !ended.get()) {
                    Thread.sleep(2);
                }
                int partition = (int) (count % partitions);
                long number = next[partition]++;
                byte[] value = letters.value(partition, number);
                sent += value.length;
                client.send(new ProducerRecord<>(topic, partition, null, value), (metadata, failure) -> {
                    if (failure == null) {
                        long offset = metadata.hasOffset() ? metadata.offset() : -1;
                        log.println(partition + " " + number + " 1 " + offset + " " + value.length);
                    } else {
                        log.println("refused message " + number + " for partition " + partition + ": " + failure);
                    }
                    log.flush();
                });
            }
            client.flush();
        }
    }

    /** Counts how often standard input asks for more, until it is closed. */
    private static void listen(AtomicBoolean ended, AtomicLong lifted) {
        Thread reader = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    lifted.incrementAndGet();
                }
            } catch (IOException failure) {
                throw new UncheckedIOException(failure);
            } finally {
                ended.set(true);
            }
        });
        reader.setDaemon(true);
        reader.start();
    }

    /** The same sum as Letters.value in scripts/soak.d/kill9/letters.py. */
    private byte[] value(int partition, long number) {
        long mixed = (number * 2654435761L + partition * 40503L + producer * 97L) & 0xFFFFFFFFL;
        int size = (int) (mixed % 1000 == 0 ? 200_000 + mixed % 500_000 : 16L << (mixed >> 10) % 9);
        int start = (int) ((mixed >> 5) % (pool.length - size));
        byte[] head = (producer + ":" + partition + ":" + number + ":").getBytes(StandardCharsets.US_ASCII);
        byte[] value = Arrays.copyOf(head, head.length + size);
        System.arraycopy(pool, start, value, head.length, size);
        return value;
    }
}
