import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogSegment;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Opens the log in DIR/orders-3 and cleans it once for each line of DIR/passes, which is "now first-dirty until", at that time. What
 * the log holds before the first pass and after each is left in DIR/N.batches, and what is known of it in DIR/N.txt: first the
 * offset that the pass ended at, then the segments' base offsets, then the aborted transactions.
 */
public final class Clean {
    private static final int MEGABYTE = 1 << 20;

    public static void main(String[] args) throws Exception {
        Path dir = Path.of(args[0]);
        List<long[]> passes = Files.readAllLines(dir.resolve("passes")).stream().map(Clean::numbers).collect(Collectors.toList());
        Map<String, String> settings = Files.readAllLines(dir.resolve("settings")).stream()
            .map(line -> line.split("=")).collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));
        FixedTime time = new FixedTime(passes.get(0)[0]);
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        // A recovery of everything: the indexes are Kafka's own.
        UnifiedLog log = UnifiedLog.create(dir.resolve("orders-3").toFile(), new LogConfig(settings), 0, 0, scheduler, new BrokerTopicStats(),
            time, Integer.MAX_VALUE, new ProducerStateManagerConfig(Integer.MAX_VALUE, false), Integer.MAX_VALUE,
            new LogDirFailureChannel(1), false, Optional.empty());
        log.updateHighWatermark(log.logEndOffset());
        write(log, dir, 0, 0);
        for (int pass = 0; pass < passes.size(); pass++) {
            long[] what = passes.get(pass);
            time.now = what[0];
            Throttler throttler = new Throttler(Double.MAX_VALUE, Integer.MAX_VALUE, "cleaner", "bytes", time);
            Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(MEGABYTE), MEGABYTE, MEGABYTE, 0.9, throttler, time, partition -> { });
            LogToClean toClean = new LogToClean(log, what[1], Math.min(what[2], log.lastStableOffset()), false);
            write(log, dir, pass + 1, cleaner.doClean(toClean, what[0]).getKey());
        }
        log.close();
        scheduler.shutdown();
    }

    private static void write(UnifiedLog log, Path dir, int number, long end) throws IOException {
        ByteArrayOutputStream batches = new ByteArrayOutputStream();
        for (LogSegment segment : log.logSegments()) {
            batches.write(Files.readAllBytes(segment.log().file().toPath()), 0, segment.size());
        }
        Files.write(dir.resolve(number + ".batches"), batches.toByteArray());
        String bases = log.logSegments().stream().map(segment -> Long.toString(segment.baseOffset())).collect(Collectors.joining(" "));
        String aborted = log.collectAbortedTransactions(0, log.logEndOffset()).stream()
            .map(txn -> txn.producerId() + " " + txn.firstOffset() + " " + txn.lastOffset() + " " + txn.lastStableOffset() + "\n")
            .collect(Collectors.joining());
        Files.writeString(dir.resolve(number + ".txt"), end + "\n" + bases + "\n" + aborted);
    }

    private static long[] numbers(String line) {
        return List.of(line.split(" ")).stream().mapToLong(Long::parseLong).toArray();
    }

    /** A clock that stands where the pass wants it. */
    private static final class FixedTime implements Time {
        volatile long now;

        FixedTime(long now) {
            this.now = now;
        }

        @Override
        public long milliseconds() {
            return now;
        }

        @Override
        public long nanoseconds() {
            return System.nanoTime();
        }

        @Override
        public void sleep(long ms) {
            Time.SYSTEM.sleep(ms);
        }

        @Override
        public void waitObject(Object object, Supplier<Boolean> condition, long deadline) throws InterruptedException {
            Time.SYSTEM.waitObject(object, condition, deadline);
        }
    }
}
