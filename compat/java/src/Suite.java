import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.utils.AppInfoParser;

/** Apache Kafka's own Java client against a broker. Arguments: the folder compat/. */
public final class Suite {
    private interface Part {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        try {
            System.out.println("  kafka-clients " + AppInfoParser.getVersion());
            Harness broker = new Harness(Path.of(arguments[0]), "auto.create.topics.enable=false");
            AdminChecks admin = new AdminChecks(broker);
            DataChecks data = new DataChecks(broker);
            ReadChecks read = new ReadChecks(broker);
            timed("admin", admin::run);
            timed("codecs", data::everyCodec);
            timed("shapes", data::headersNullsAndSizes);
            timed("timestamps", data::timestamps);
            timed("positions", read::positions);
            timed("long poll", read::longPoll);
            timed("acks and the largest batch", read::acksAndTheLargestBatch);
            timed("200,000 messages", data::twoHundredThousand);
            timed("kill -9", new CrashChecks(broker)::run);
            broker.stop();
        } catch (Throwable failure) {
            System.err.println("  FAIL " + failure);
            failure.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    private static void timed(String name, Part part) throws Exception {
        long start = System.nanoTime();
        part.run();
        System.out.printf("  %s: %.1f s%n", name, (System.nanoTime() - start) / (double) TimeUnit.SECONDS.toNanos(1));
    }
}
