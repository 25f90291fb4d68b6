import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.utils.AppInfoParser;

/** What is of these releases of the client: 1.1 and 2.1. */
final class Release {
    private static final boolean HAS_ZSTD = !AppInfoParser.getVersion().startsWith("1.");

    static final List<String> CODECS = HAS_ZSTD ? List.of("none", "gzip", "snappy", "lz4", "zstd") : List.of("none", "gzip", "snappy", "lz4");

    /** What later became the default. */
    static final Map<String, Object> PRODUCER = Map.of("enable.idempotence", true, "acks", "all", "retries", Integer.MAX_VALUE);

    private Release() {}

    /** Before 2.0 there is no other; it counts from when there is a position. */
    @SuppressWarnings("deprecation")
    static <K, V> ConsumerRecords<K, V> poll(KafkaConsumer<K, V> consumer, Duration limit) {
        return consumer.poll(limit.toMillis());
    }
}
