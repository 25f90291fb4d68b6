import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.utils.AppInfoParser;

/** A suite about the files of brokers: where they are, how its parts are told of, and how it ends. */
abstract class Harness {
    final Node kafka;
    /** The broker that is tried: Felice, unless $BROKER names another kind. */
    final Node felice;
    private final Path compat;
    private final Path work;

    interface Maker {
        Harness make(Path compat, Path work);
    }

    interface Part {
        void run() throws Exception;
    }

    Harness(Path compat, Path work) {
        this.compat = compat;
        this.work = work;
        kafka = new Node(compat, work.resolve("kafka"), "kafka");
        felice = tried("felice");
    }

    final Node tried(String folder) {
        return new Node(compat, work.resolve(folder), Optional.ofNullable(System.getenv("BROKER")).orElse("felice"));
    }

    abstract void run() throws Exception;

    /** Makes test data in a folder. */
    abstract void fixture(Path into) throws Exception;

    void end() throws Exception {
        kafka.kill();
        felice.kill();
    }

    /** Arguments: the folder compat/; then `fixture` and a folder, for that instead of the suite. */
    static void main(String name, String[] arguments, Maker maker) throws Exception {
        Path work = Files.createTempDirectory("felice-" + name);
        Harness suite = maker.make(Path.of(arguments[0]), work);
        int code = 0;
        try {
            System.out.println("  kafka " + AppInfoParser.getVersion());
            if (arguments.length == 3 && arguments[1].equals("fixture")) {
                suite.fixture(Path.of(arguments[2]));
            } else {
                suite.run();
            }
        } catch (Throwable failure) {
            System.err.println("  FAIL " + failure);
            failure.printStackTrace();
            code = 1;
        } finally {
            suite.end();
            try (var files = Files.walk(work)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        }
        System.exit(code);
    }

    static void pass(String check) {
        System.out.println("  ok   " + check);
    }

    static void require(String claim, boolean holds) {
        if (!holds) {
            throw new AssertionError(claim);
        }
    }

    static void timed(String name, Part part) throws Exception {
        long start = System.nanoTime();
        part.run();
        System.out.printf("  %s: %.1f s%n", name, (System.nanoTime() - start) / (double) TimeUnit.SECONDS.toNanos(1));
    }
}
