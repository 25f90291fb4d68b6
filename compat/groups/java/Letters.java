import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.source.SourceConnector;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;

/** A connector for Kafka Connect: each of its tasks writes the numbers from 0 on to a partition of its own. */
public final class Letters extends SourceConnector {
    @Override
    public void start(Map<String, String> settings) {}

    @Override
    public void stop() {}

    @Override
    public Class<? extends Task> taskClass() {
        return Writer.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int max) {
        return IntStream.range(0, max).mapToObj(number -> Map.of("number", Integer.toString(number))).toList();
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef();
    }

    @Override
    public String version() {
        return "1";
    }

    /** Goes on after the last number of which Connect knows that it was stored. */
    public static final class Writer extends SourceTask {
        private static final int PAUSE_MS = 20;

        private int partition;
        private long next;

        @Override
        public void start(Map<String, String> settings) {
            partition = Integer.parseInt(settings.get("number"));
            Map<String, Object> last = context.offsetStorageReader().offset(Map.of("number", partition));
            next = last == null ? 0 : (Long) last.get("written") + 1;
        }

        @Override
        public List<SourceRecord> poll() throws InterruptedException {
            Thread.sleep(PAUSE_MS);
            long number = next++;
            return List.of(new SourceRecord(Map.of("number", partition), Map.of("written", number), "letters", partition, null, null,
                    Schema.STRING_SCHEMA, Long.toString(number)));
        }

        @Override
        public void stop() {}

        @Override
        public String version() {
            return "1";
        }
    }
}
