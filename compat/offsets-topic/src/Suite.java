import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Records;
import org.apache.kafka.common.utils.Crc32C;

/** Each broker writes a __consumer_offsets, and each tells of the other's what its writer told. Arguments: the folder compat/. */
public final class Suite extends Harness {
    private static final long LIMIT_S = 60;
    private static final String OFFSETS = "__consumer_offsets";
    private static final String[] SETTINGS = {"offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0"};

    /** One that writes its own; {@link #felice} has Kafka's log put in the place of its own. */
    private final Node fresh = tried("fresh");
    private List<String> kafkaTold;

    private Suite(Path compat, Path work) {
        super(compat, work);
    }

    public static void main(String[] arguments) throws Exception {
        main("offsets-topic", arguments, Suite::new);
    }

    @Override
    void end() throws Exception {
        super.end();
        fresh.kill();
    }

    @Override
    void run() throws Exception {
        timed("Kafka writes, Felice tells", this::kafkaWrites);
        timed("Felice writes, Kafka tells", this::feliceWrites);
    }

    private void kafkaWrites() throws Exception {
        kafkaTold = write(kafka, true);
        felice.start(SETTINGS);
        List<String> empty;
        try (Admin admin = admin(felice)) {
            Story.create(admin);
            // Whoever asks for a group's coordinator has the topic made.
            admin.listConsumerGroupOffsets("anybody").all().get(LIMIT_S, TimeUnit.SECONDS);
            empty = Facts.of(admin);
        }
        felice.stop();
        adopt(felice, empty, kafka, kafkaTold);
        felice.forgetCleanStop();
        compare("the groups and offsets of Kafka's log", groups(kafkaTold), groups(tell(felice)));
        felice.kill();
        compare("the same after a kill", groups(kafkaTold), groups(tell(felice)));
        felice.stop();
    }

    private void feliceWrites() throws Exception {
        List<String> told = write(fresh, false);
        compare("its own groups and offsets after a kill", told, tell(fresh));
        fresh.stop();
        dump();
        adopt(kafka, kafkaTold, fresh, told);
        compare("the groups and offsets of Felice's log, by Kafka", groups(told), groups(tell(kafka)));
        kafka.stop();
    }

    /** Puts the log of another broker in the place of one's own; topics in it get the ids that they have here. */
    private static void adopt(Node node, List<String> facts, Node from, List<String> itsFacts) throws IOException {
        node.adopt(from, OFFSETS);
        Map<String, Uuid> ids = topics(facts);
        Map<Uuid, Uuid> translated = new HashMap<>();
        topics(itsFacts).forEach((name, id) -> translated.put(id, ids.get(name)));
        for (Path segment : Dump.only(Node.files(node.partition(OFFSETS)), ".log")) {
            Files.write(segment, translate(Files.readAllBytes(segment), translated));
        }
    }

    private static Map<String, Uuid> topics(List<String> facts) {
        return facts.stream().filter(fact -> fact.startsWith("topic\t")).map(fact -> fact.split("\t"))
            .collect(Collectors.toMap(parts -> parts[1], parts -> Uuid.fromString(parts[2])));
    }

    private static byte[] translate(byte[] log, Map<Uuid, Uuid> ids) {
        ByteBuffer bytes = ByteBuffer.wrap(log);
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(bytes.duplicate()).batches()) {
            require("batches that are not compressed", batch.compressionType() == CompressionType.NONE);
        }
        for (int at = 0; at + Long.BYTES * 2 <= log.length; at++) {
            Uuid id = ids.get(new Uuid(bytes.getLong(at), bytes.getLong(at + Long.BYTES)));
            if (id != null) {
                bytes.putLong(at, id.getMostSignificantBits()).putLong(at + Long.BYTES, id.getLeastSignificantBits());
            }
        }
        for (int at = 0; at < log.length;) {
            int end = at + Records.LOG_OVERHEAD + bytes.getInt(at + Records.SIZE_OFFSET);
            int checked = at + DefaultRecordBatch.CRC_OFFSET + Integer.BYTES;
            bytes.putInt(at + DefaultRecordBatch.CRC_OFFSET, (int) Crc32C.compute(bytes, checked, end - checked));
            at = end;
        }
        return log;
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

    private static List<String> groups(List<String> facts) {
        return facts.stream().filter(fact -> !fact.startsWith("topic\t")).toList();
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

    @Override
    void fixture(Path into) throws Exception {
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
}
