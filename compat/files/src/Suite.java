import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.metadata.properties.MetaPropertiesEnsemble;
import org.apache.kafka.metadata.properties.MetaPropertiesEnsemble.VerificationFlag;
import org.apache.kafka.storage.internals.checkpoint.CleanShutdownFileHandler;
import org.apache.kafka.storage.internals.checkpoint.LeaderEpochCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.PartitionMetadataFile;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;

/** Kafka's own classes on Felice's files, and each broker on the other's. Arguments: the folder compat/. */
public final class Suite extends Harness {
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private static final String TRANSACTIONS = "transactions";
    private static final List<String> LEVELS = List.of("read_uncommitted", "read_committed");

    private final Map<String, List<String>> expected = new TreeMap<>();

    private Suite(Path compat, Path work) {
        super(compat, work);
    }

    public static void main(String[] arguments) throws Exception {
        main("files", arguments, Suite::new);
    }

    @Override
    void run() throws Exception {
        timed("Kafka writes transactions", this::kafkaWrites);
        timed("Felice reads Kafka's files", this::feliceReads);
        timed("Kafka's classes read Felice's", this::classesRead);
        timed("Kafka reads Felice's files", this::kafkaReads);
    }

    /** Transactions of three producers among each other, one of them open at the end, over several segments. */
    private void kafkaWrites() throws Exception {
        kafka.start();
        kafka.create(List.of(TRANSACTIONS));
        kafka.create(CODECS);
        transact(kafka, 120, 9_000);
    }

    private void transact(Node node, int rounds, int size) throws Exception {
        Random random = new Random(7);
        List<KafkaProducer<String, String>> producers = IntStream.range(0, 3)
                .mapToObj(n -> node.producer(Map.<String, Object>of(
                        "transactional.id", "transactional-" + n, "compression.type", CODECS.get(n), "linger.ms", 0)))
                .toList();
        producers.forEach(KafkaProducer::initTransactions);
        boolean[] open = new boolean[producers.size()];
        try (KafkaProducer<String, String> plain = node.producer(Map.<String, Object>of())) {
            for (int round = 0; round < rounds; round++) {
                int chosen = random.nextInt(producers.size());
                KafkaProducer<String, String> producer = producers.get(chosen);
                if (!open[chosen]) {
                    producer.beginTransaction();
                    open[chosen] = true;
                }
                for (int n = random.nextInt(3); n >= 0; n--) {
                    producer.send(record(TRANSACTIONS, "producer " + chosen, random, size)).get();
                }
                if (random.nextInt(3) == 0) {
                    plain.send(record(TRANSACTIONS, "plain", random, size)).get();
                }
                // The last one stays open.
                if (random.nextBoolean() && round < rounds - 1) {
                    if (random.nextBoolean()) {
                        producer.commitTransaction();
                    } else {
                        producer.abortTransaction();
                    }
                    open[chosen] = false;
                }
            }
        }
        for (String isolation : LEVELS) {
            expected.put(isolation, node.read(TRANSACTIONS, isolation));
        }
        node.stop();
        producers.forEach(producer -> producer.close(Duration.ZERO));
        require("a transaction is open", expected.get(LEVELS.get(0)).size() > expected.get(LEVELS.get(1)).size());
    }

    private static ProducerRecord<String, String> record(String topic, String key, Random random, int size) {
        StringBuilder value = new StringBuilder();
        while (value.length() < size) {
            value.append(Integer.toString(random.nextInt(), 36));
        }
        return new ProducerRecord<>(topic, key, value.toString());
    }

    private void feliceReads() throws Exception {
        felice.start();
        felice.create(List.of(TRANSACTIONS));
        felice.stop();
        felice.adopt(kafka, TRANSACTIONS);
        List<Path> kafkas = Node.files(kafka.partition(TRANSACTIONS));
        require("Kafka has rolled and aborted", Dump.only(kafkas, ".log").size() > 2 && !Dump.only(kafkas, ".txnindex").isEmpty());
        // What the broker remembers of its own files, it believes only after a clean stop.
        felice.forgetCleanStop();
        felice.start();
        compare("Kafka's files checked and indexed anew", felice);
        felice.stop();
        for (Path file : kafkas) {
            String name = file.getFileName().toString();
            Path ours = felice.partition(TRANSACTIONS).resolve(name);
            if (name.endsWith(".log") || (name.endsWith(".txnindex") && Files.size(file) > 0)) {
                require(name + " is the same", Arrays.equals(Files.readAllBytes(file), Files.readAllBytes(ours)));
            } else if (name.endsWith(".snapshot")) {
                require(name + " is there", Files.exists(ours));
                require(name + " says the same", Dump.content(file).equals(Dump.content(ours)));
            }
        }
        pass("segments, aborted transactions and producers are the same");
        felice.adopt(kafka, TRANSACTIONS);
        felice.start();
        compare("Kafka's files as they are", felice);
        felice.stop();
    }

    private void compare(String how, Node node) {
        for (String isolation : LEVELS) {
            require(how + ", " + isolation, expected.get(isolation).equals(node.read(TRANSACTIONS, isolation)));
        }
        pass(how);
    }

    private void classesRead() throws Exception {
        felice.start();
        felice.create(CODECS);
        Random random = new Random(8);
        for (String codec : CODECS) {
            Map<String, Object> settings = Map.of(
                    "compression.type", codec, "enable.idempotence", !codec.equals("gzip"), "batch.size", 20_000, "linger.ms", 5);
            try (KafkaProducer<String, String> producer = felice.producer(settings)) {
                for (int n = 0; n < 800; n++) {
                    producer.send(record(codec, n % 7 == 0 ? null : "key " + n, random, 4_000));
                }
            }
        }
        felice.kill();
        for (String codec : CODECS) {
            require("after a kill Kafka sees all records of " + codec, Dump.records(felice.partition(codec)) == 800);
        }
        felice.start();
        for (String codec : CODECS) {
            expected.put(codec, felice.read(codec, "read_uncommitted"));
        }
        felice.stop();
        for (String codec : CODECS) {
            Path partition = felice.partition(codec);
            require(codec + " has rolled", Dump.only(Node.files(partition), ".log").size() > 1);
            require("Kafka sees all records of " + codec, Dump.all(partition) == 800);
        }
        pass("segments, indexes and snapshots of every codec pass DumpLogSegments, after a kill and after a stop");
        same("records among transactions", Dump.all(kafka.partition(TRANSACTIONS)), Dump.all(felice.partition(TRANSACTIONS)));

        LogDirFailureChannel failures = new LogDirFailureChannel(1);
        Path partition = felice.partition("zstd");
        var epochs = new LeaderEpochCheckpointFile(partition.resolve("leader-epoch-checkpoint").toFile(), failures).read();
        require("leader epochs " + epochs, !epochs.isEmpty() && epochs.get(0).startOffset() == 0);
        var metadata = new PartitionMetadataFile(partition.resolve("partition.metadata").toFile(), failures).read();
        require("partition metadata " + metadata, metadata.version() == 0 && !metadata.topicId().toString().isEmpty());
        String folder = felice.data().toString();
        MetaPropertiesEnsemble ensemble = new MetaPropertiesEnsemble.Loader().addLogDirs(List.of(folder)).load();
        ensemble.verify(ensemble.clusterId(), ensemble.nodeId(), EnumSet.of(VerificationFlag.REQUIRE_AT_LEAST_ONE_VALID));
        var properties = ensemble.logDirProps().get(folder);
        require("meta.properties " + properties, properties != null && properties.directoryId().isPresent()
                && !properties.clusterId().equals(Optional.empty()) && !properties.nodeId().equals(OptionalInt.empty()));
        require("a broker epoch after a clean stop", new CleanShutdownFileHandler(folder).read().isPresent());
        pass("leader-epoch-checkpoint, partition.metadata, meta.properties, .kafka_cleanshutdown");
    }

    /** A real Kafka on Felice's files, which it takes for its own. */
    private void kafkaReads() throws Exception {
        for (String topic : CODECS) {
            kafka.adopt(felice, topic);
        }
        kafka.adopt(felice, TRANSACTIONS);
        kafka.start();
        for (String codec : CODECS) {
            require("Kafka reads " + codec, expected.get(codec).equals(kafka.read(codec, "read_uncommitted")));
        }
        // The open transaction may have been aborted by now, so that only the records are the same.
        require("Kafka reads transactions", records(expected.get(LEVELS.get(0))).equals(records(kafka.read(TRANSACTIONS, LEVELS.get(0)))));
        kafka.stop();
        pass("a Kafka broker serves Felice's partitions");
    }

    private static List<String> records(List<String> read) {
        return read.subList(0, read.size() - 1);
    }

    @Override
    void fixture(Path into) throws Exception {
        kafka.start();
        kafka.create(List.of(TRANSACTIONS));
        transact(kafka, 60, 10);
        Files.createDirectories(into);
        for (Path file : Node.files(kafka.partition(TRANSACTIONS))) {
            Files.copy(file, into.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
        }
    }

    static void same(String check, Object expected, Object actual) {
        require(check + ": expected <" + expected + ">, got <" + actual + ">", Objects.equals(expected, actual));
        pass(check);
    }
}
