import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** Apache Kafka's own Java client against a broker. Arguments: the folder compat/. */
public final class Suite {
    private interface Part {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        try {
            Harness broker = new Harness(Path.of(arguments[0]), "auto.create.topics.enable=false");
            AdminChecks admin = new AdminChecks(broker);
            DataChecks data = new DataChecks(broker);
            timed("admin", admin::run);
            timed("codecs", data::everyCodec);
            timed("shapes", data::headersNullsAndSizes);
            timed("timestamps", data::timestamps);
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
