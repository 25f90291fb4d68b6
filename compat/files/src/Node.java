import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** A broker, Felice or the real Kafka, and its partitions' files. */
final class Node {
    private static final long LIMIT_S = 60;

    private final Path compat;
    private final Path folder;
    private final String kind;
    private String address;

    Node(Path compat, Path folder, String kind) {
        this.compat = compat;
        this.folder = folder;
        this.kind = kind;
    }

    /** Settings are K=V; a second start has those of the first, where none are named. */
    void start(String... settings) throws Exception {
        List<String> arguments = new ArrayList<>(List.of("start", folder.toString()));
        for (String setting : settings) {
            arguments.addAll(List.of("--set", setting));
        }
        address = broker(arguments.toArray(String[]::new));
    }

    boolean isKafka() {
        return kind.equals("kafka");
    }

    String address() {
        return address;
    }

    void stop() throws Exception {
        broker("stop", folder.toString());
    }

    void kill() throws Exception {
        broker("kill", folder.toString());
    }

    Path data() {
        return folder.resolve("data");
    }

    /** The folder of a topic's only partition. */
    Path partition(String topic) {
        return data().resolve(topic + "-0");
    }

    /** One partition each, with segments as small as Kafka has them. */
    void create(List<String> topics) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            Map<String, String> settings = Map.of("segment.bytes", "1048576");
            List<NewTopic> all = topics.stream().map(name -> new NewTopic(name, 1, (short) 1).configs(settings)).toList();
            admin.createTopics(all).all().get(LIMIT_S, TimeUnit.SECONDS);
        }
        try (KafkaConsumer<String, String> consumer = consumer("read_uncommitted")) {
            consumer.endOffsets(topics.stream().map(Node::only).toList());
        }
    }

    KafkaProducer<String, String> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", address);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(String isolation) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", address, "auto.offset.reset", "none", "enable.auto.commit", false,
                "isolation.level", isolation, "check.crcs", true);
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    /** Every record that this isolation level shows, and where it ends. */
    List<String> read(String topic, String isolation) {
        List<String> found = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = consumer(isolation)) {
            List<TopicPartition> partitions = List.of(only(topic));
            long end = consumer.endOffsets(partitions).get(only(topic));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
            while (consumer.position(only(topic)) < end) {
                Harness.require("reading " + topic + " from " + kind + " takes too long", System.nanoTime() < deadline);
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    found.add(record.offset() + " " + record.timestamp() + " " + record.leaderEpoch().orElse(-1) + " "
                            + record.key() + " " + record.value().hashCode());
                }
            }
            found.add("end " + end);
        }
        return found;
    }

    /** Puts another broker's files of a topic in the place of this one's; it must not run. The topic keeps its id. */
    void adopt(Node from, String topic) throws IOException {
        for (Path old : files(partition(topic))) {
            if (!isOfTopic(old)) {
                Files.delete(old);
            }
        }
        for (Path file : files(from.partition(topic))) {
            if (!isOfTopic(file)) {
                Files.copy(file, partition(topic).resolve(file.getFileName()), StandardCopyOption.COPY_ATTRIBUTES);
            }
        }
    }

    private static boolean isOfTopic(Path file) {
        return file.endsWith("partition.metadata");
    }

    /** As if it had been killed. */
    void forgetCleanStop() throws IOException {
        Files.delete(data().resolve(".kafka_cleanshutdown"));
    }

    static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    private static TopicPartition only(String topic) {
        return new TopicPartition(topic, 0);
    }

    private String broker(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(compat.resolve("broker").toString()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().put("BROKER", kind);
        Process process = builder.start();
        String printed = new String(process.getInputStream().readAllBytes()).strip();
        Harness.require(String.join(" ", command) + " failed", process.waitFor() == 0);
        return printed;
    }
}
