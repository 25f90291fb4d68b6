import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** What is of this release of the client: the newest. */
final class Release {
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

    /** Idempotent, and acks=all, by default. */
    static final Map<String, Object> PRODUCER = Map.of();

    private Release() {}

    static <K, V> ConsumerRecords<K, V> poll(KafkaConsumer<K, V> consumer, Duration limit) {
        return consumer.poll(limit);
    }
}
