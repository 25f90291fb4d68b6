import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.utils.AppInfoParser;

/** Each broker writes a __consumer_offsets, and each tells of the other's what its writer told. Arguments: the folder compat/. */
public final class Suite {
    private static final long LIMIT_S = 60;
    private static final String OFFSETS = "__consumer_offsets";
    private static final String[] SETTINGS = {"offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0"};

    private final Node kafka;
    /** One that has Kafka's log put in the place of its own, and one that writes its own. */
    private final Node felice;
    private final Node fresh;

    private Suite(Path compat, Path work) {
        kafka = new Node(compat, work.resolve("kafka"), "kafka");
        String kind = Optional.ofNullable(System.getenv("BROKER")).orElse("felice");
        felice = new Node(compat, work.resolve("felice"), kind);
        fresh = new Node(compat, work.resolve("fresh"), kind);
    }

    public static void main(String[] arguments) throws Exception {
        Path work = Files.createTempDirectory("felice-offsets-topic");
        Suite suite = new Suite(Path.of(arguments[0]), work);
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
            suite.kafka.kill();
            suite.felice.kill();
            suite.fresh.kill();
            try (var files = Files.walk(work)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        }
        System.exit(code);
    }

    private void run() throws Exception {
        timed("Kafka writes, Felice tells", this::kafkaWrites);
        timed("Felice writes, Kafka tells", this::feliceWrites);
    }

    private void kafkaWrites() throws Exception {
        List<String> told = write(kafka, true);
        felice.start(SETTINGS);
        try (Admin admin = admin(felice)) {
            Story.create(admin);
            // Whoever asks for a group's coordinator has the topic made.
            admin.listConsumerGroupOffsets("anybody").all().get(LIMIT_S, TimeUnit.SECONDS);
        }
        felice.stop();
        felice.adopt(kafka, OFFSETS);
        felice.forgetCleanStop();
        compare("the groups and offsets of Kafka's log", elsewhere(told), elsewhere(tell(felice)));
        felice.kill();
        compare("the same after a kill", elsewhere(told), elsewhere(tell(felice)));
        felice.stop();
    }

    private void feliceWrites() throws Exception {
        fresh.start(SETTINGS);
        List<String> told;
        try (Story story = new Story(fresh.address())) {
            story.tell(false);
            told = story.facts();
            // Before its clients go, so that their groups stay as they are.
            fresh.kill();
        }
        compare("its own groups and offsets after a kill", told, tell(fresh));
        fresh.stop();
        dump();
        kafka.adopt(fresh, OFFSETS);
        compare("the groups and offsets of Felice's log, by Kafka", elsewhere(told), elsewhere(tell(kafka)));
        kafka.stop();
    }

    /** What a broker tells that writes the story and is stopped before its clients go. */
    private static List<String> write(Node node, boolean transactions) throws Exception {
        node.start(SETTINGS);
        try (Story story = new Story(node.address())) {
            story.tell(transactions);
            List<String> told = story.facts();
            node.kill();
            return told;
        }
    }

    /** What a broker tells once it has started. Kafka says that there are no groups before it has loaded them. */
    private static List<String> tell(Node node) throws Exception {
        node.start();
        try (Admin admin = admin(node)) {
            List<String> told = Facts.of(admin);
            while (node.isKafka() && told.stream().noneMatch(fact -> fact.startsWith("group\t"))) {
                Thread.sleep(50);
                told = Facts.of(admin);
            }
            return told;
        }
    }

    /** Facts without what only a broker can tell whose topics have the ids that the log speaks of. */
    private static List<String> elsewhere(List<String> facts) {
        return facts.stream().filter(fact -> !fact.startsWith("topic\t"))
            .map(fact -> fact.startsWith("member\tconsumer-") || fact.startsWith("member\tclassic-converted\t")
                ? fact.substring(0, fact.lastIndexOf('\t', fact.lastIndexOf('\t') - 1)) : fact)
            .toList();
    }

    /** Kafka's DumpLogSegments makes something of every record. */
    private void dump() throws Exception {
        List<String> lines = Dump.of(Dump.only(Node.files(fresh.partition(OFFSETS)), ".log"), "--offsets-decoder", "--deep-iteration");
        List<String> records = lines.stream().filter(line -> line.startsWith("| offset: ")).toList();
        Pattern decoded = Pattern.compile("key: \\{\"type\":\"(\\d+)\",\"data\":.* payload: (\\{\"version\":\"\\d+\",\"data\":.*|<DELETE>)");
        Set<String> types = new TreeSet<>();
        for (String record : records) {
            Matcher matcher = decoded.matcher(record);
            require("DumpLogSegments makes something of " + record, matcher.find());
            types.add(matcher.group(1) + (matcher.group(2).startsWith("<") ? " deleted" : ""));
        }
        for (String type : List.of("1", "1 deleted", "2", "2 deleted", "3", "3 deleted", "5", "5 deleted", "6", "6 deleted", "7", "7 deleted",
                "8", "8 deleted", "16")) {
            require("there are records of type " + type + " among " + types, types.contains(type));
        }
        pass("DumpLogSegments --offsets-decoder reads " + records.size() + " records of Felice's, of types " + types);
    }

    private void fixture(Path into) throws Exception {
        List<String> told = write(kafka, true);
        Files.createDirectories(into);
        Files.copy(Dump.only(Node.files(kafka.partition(OFFSETS)), ".log").get(0), into.resolve("00000000000000000000.log"),
            StandardCopyOption.REPLACE_EXISTING);
        Files.writeString(into.resolve("facts.tsv"), String.join("\n", told) + "\n", StandardCharsets.UTF_8);
    }

    private static Admin admin(Node node) {
        return Admin.create(Map.of("bootstrap.servers", node.address()));
    }

    private static void compare(String what, List<String> expected, List<String> actual) {
        List<String> missing = expected.stream().filter(fact -> !actual.contains(fact)).toList();
        List<String> wrong = actual.stream().filter(fact -> !expected.contains(fact)).toList();
        require(what + ":\n  expected " + String.join("\n           ", missing) + "\n  got      " + String.join("\n           ", wrong),
            missing.isEmpty() && wrong.isEmpty());
        require(what + ": there are some", expected.size() > 30);
        pass(what);
    }

    static void pass(String check) {
        System.out.println("  ok   " + check);
    }

    static void require(String claim, boolean holds) {
        if (!holds) {
            throw new AssertionError(claim);
        }
    }

    private interface Part {
        void run() throws Exception;
    }

    private static void timed(String name, Part part) throws Exception {
        long start = System.nanoTime();
        part.run();
        System.out.printf("  %s: %.1f s%n", name, (System.nanoTime() - start) / (double) TimeUnit.SECONDS.toNanos(1));
    }
}
