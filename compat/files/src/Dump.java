import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.kafka.tools.DumpLogSegments;

/** Kafka's DumpLogSegments, the class behind kafka-dump-log.sh. */
final class Dump {
    /** What it prints where something is wrong, whatever its exit code. */
    private static final List<String> COMPLAINTS = List.of(
            "mismatch", "not found", "out of order", "exception", "corrupt", "invalid", "isvalid: false", "non-consecutive",
            "failed", "unknown", "unrecognized");

    private Dump() {}

    /** The lines that it prints of these files; fails on a complaint. */
    static List<String> of(List<Path> files, String... options) throws Exception {
        List<String> arguments = new ArrayList<>(List.of(options));
        arguments.add("--files");
        arguments.add(files.stream().map(Path::toString).collect(Collectors.joining(",")));
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (PrintStream both = new PrintStream(printed, true, StandardCharsets.UTF_8)) {
            System.setOut(both);
            System.setErr(both);
            DumpLogSegments.main(arguments.toArray(String[]::new));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        List<String> lines = printed.toString(StandardCharsets.UTF_8).lines().toList();
        for (int at = 0; at < lines.size(); at++) {
            String line = lines.get(at).toLowerCase();
            boolean isRecord = line.startsWith("| offset: ");
            // It finds this in every segment that does not begin at 0, Kafka's own among them.
            boolean isBeginning = line.startsWith("non-consecutive") && lines.get(at + 1).startsWith("  -1 is followed by")
                    && (at + 2 == lines.size() || !lines.get(at + 2).startsWith("  "));
            if (!isRecord && !isBeginning && COMPLAINTS.stream().anyMatch(line::contains)) {
                throw new AssertionError("DumpLogSegments " + arguments + ": " + lines.subList(at, Math.min(at + 4, lines.size())));
            }
        }
        return lines;
    }

    static List<Path> only(List<Path> files, String suffix) {
        return files.stream().filter(file -> file.toString().endsWith(suffix)).toList();
    }

    /** How many records it sees in a partition's segments. */
    static long records(Path partition) throws Exception {
        List<String> lines = of(only(Node.files(partition), ".log"), "--deep-iteration", "--print-data-log");
        return lines.stream().filter(line -> line.startsWith("| offset: ")).count();
    }

    /** Everything that it can check of a partition's folder. Returns how many records it saw. */
    static long all(Path partition) throws Exception {
        List<Path> files = Node.files(partition);
        List<Path> indexes = only(files, ".index");
        of(indexes, "--index-sanity-check");
        of(indexes, "--verify-index-only");
        of(indexes);
        List<Path> times = only(files, ".timeindex");
        of(times, "--index-sanity-check");
        of(times, "--verify-index-only");
        for (String suffix : List.of(".snapshot", ".txnindex")) {
            List<Path> others = only(files, suffix);
            if (!others.isEmpty()) {
                of(others);
            }
        }
        return records(partition);
    }

    /** What it says of a file, without its name. */
    static List<String> content(Path file) throws Exception {
        return of(List.of(file)).stream().filter(line -> !line.startsWith("Dumping ")).sorted().toList();
    }
}
