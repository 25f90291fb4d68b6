import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.KafkaFuture;

/** The broker under test, and the ways to say what is expected of it. */
final class Harness {
    static final long LIMIT_S = 100;
    static final int SCALE = Integer.parseInt(Optional.ofNullable(System.getenv("COMPAT_SCALE")).orElse("1"));

    private final Path compat;
    private final Path folder;
    final String address;
    final String data;

    Harness(Path compat, String... settings) throws Exception {
        this.compat = compat;
        this.folder = Files.createTempDirectory("felice-java");
        List<String> start = new ArrayList<>(List.of("start", brokerFolder()));
        for (String setting : settings) {
            start.add("--set");
            start.add(setting);
        }
        Runtime.getRuntime().addShutdownHook(new Thread(this::removeAll));
        this.address = broker(start.toArray(String[]::new));
        this.data = broker("data", brokerFolder());
    }

    void kill() throws Exception {
        broker("kill", brokerFolder());
    }

    void restart() throws Exception {
        same("the address after a restart", address, broker("start", brokerFolder()));
    }

    void stop() throws Exception {
        broker("stop", brokerFolder());
        pass("the broker stops cleanly");
    }

    /** The codecs that the batches of a topic carry in the broker's segment files. */
    List<String> storedCodecs(String topic) throws Exception {
        return output(compat.resolve("segment").toString(), "codecs", data, topic).lines().toList();
    }

    /** Base offset, last offset, count, codec and producer id of each stored batch of a partition. */
    List<String> storedBatches(String topic, int partition) throws Exception {
        return output(compat.resolve("segment").toString(), "batches", data, topic, Integer.toString(partition)).lines().toList();
    }

    static void pass(String check) {
        System.out.println("  ok   " + check);
    }

    static void same(String check, Object expected, Object actual) {
        require(check + ": expected <" + expected + ">, got <" + actual + ">", Objects.equals(expected, actual));
        pass(check);
    }

    /**
     * What an admin call changed is there when it is answered; but Kafka answers from the controller, a little before its
     * broker has heard of the change, so that there it may take up to 10 s.
     */
    static void settled(String check, Object expected, Callable<?> read) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos("kafka".equals(System.getenv("BROKER")) ? 10 : 0);
        Object actual = read.call();
        while (!Objects.equals(expected, actual) && System.nanoTime() < deadline) {
            Thread.sleep(20);
            actual = read.call();
        }
        same(check, expected, actual);
    }

    static void require(String claim, boolean holds) {
        if (!holds) {
            throw new AssertionError(claim);
        }
    }

    static <T> T done(KafkaFuture<T> future) throws Exception {
        return future.get(LIMIT_S, TimeUnit.SECONDS);
    }

    /** That an Admin call fails with exactly this exception. */
    static void refused(String check, Class<? extends Exception> expected, KafkaFuture<?> future) throws Exception {
        same(check, expected.getSimpleName(), failure(check, expected, future).getClass().getSimpleName());
    }

    /** That an Admin call fails with exactly this exception, whose message has the name of a setting in it. */
    static void refusedNaming(String setting, Class<? extends Exception> expected, KafkaFuture<?> future) throws Exception {
        Throwable failure = failure(setting, expected, future);
        same("refused: " + setting, expected.getSimpleName(), failure.getClass().getSimpleName());
        require("<" + failure.getMessage() + "> does not name " + setting, failure.getMessage().contains(setting));
    }

    private static Throwable failure(String check, Class<? extends Exception> expected, KafkaFuture<?> future) throws Exception {
        try {
            Object answer = future.get(LIMIT_S, TimeUnit.SECONDS);
            throw new AssertionError(check + ": expected " + expected.getSimpleName() + ", got " + answer);
        } catch (ExecutionException failure) {
            return failure.getCause();
        }
    }

    private String brokerFolder() {
        return folder.resolve("broker").toString();
    }

    private String broker(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(compat.resolve("broker").toString()));
        command.addAll(List.of(arguments));
        return output(command.toArray(String[]::new));
    }

    private static String output(String... command) throws Exception {
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String printed = new String(process.getInputStream().readAllBytes()).strip();
        require(String.join(" ", command) + " failed", process.waitFor() == 0);
        return printed;
    }

    private void removeAll() {
        try {
            broker("kill", brokerFolder());
            try (var files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        } catch (Exception | AssertionError failure) {
            System.err.println("cannot remove " + folder + ": " + failure);
        }
    }
}
