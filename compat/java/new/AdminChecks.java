import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Apache Kafka's Admin client, as far as topics, their settings and their offsets go. */
final class AdminChecks {
    private static final ConfigResource SETTINGS = new ConfigResource(ConfigResource.Type.TOPIC, "settings");

    private static final List<Map.Entry<String, String>> OBEYED = List.of(
            Map.entry("max.message.bytes", "2000000"),
            Map.entry("segment.bytes", "1048576"),
            Map.entry("message.timestamp.type", "LogAppendTime"),
            Map.entry("compression.type", "zstd"),
            Map.entry("min.insync.replicas", "2"),
            Map.entry("flush.messages", "1"));

    private final Harness broker;
    private Admin admin;
    private int node;

    AdminChecks(Harness broker) {
        this.broker = broker;
    }

    void run() throws Exception {
        try (Admin client = Clients.admin(broker)) {
            admin = client;
            describeCluster();
            createTopics();
            createTopicsRefused();
            createPartitions();
            configs();
            listOffsets();
            deleteRecords();
            deleteTopics();
        }
    }

    private void describeCluster() throws Exception {
        var cluster = admin.describeCluster();
        Collection<Node> nodes = Harness.done(cluster.nodes());
        Harness.same("one node", 1, nodes.size());
        Node only = nodes.iterator().next();
        node = only.id();
        Harness.same("its address", broker.address, only.host() + ":" + only.port());
        Harness.same("it is the controller", node, Harness.done(cluster.controller()).id());
        String id = Harness.done(cluster.clusterId());
        Harness.require("cluster id " + id, id != null && id.length() == 22);
    }

    private void createTopics() throws Exception {
        var dry = admin.createTopics(List.of(new NewTopic("dry", 3, (short) 1)), new CreateTopicsOptions().validateOnly(true));
        Harness.done(dry.all());
        Harness.same("validateOnly answers the partitions", 3, Harness.done(dry.numPartitions("dry")));
        Harness.require("validateOnly creates nothing", !Harness.done(admin.listTopics().names()).contains("dry"));

        var made = admin.createTopics(List.of(
                new NewTopic("ten", 10, (short) 1),
                new NewTopic("defaults", Optional.empty(), Optional.empty()),
                new NewTopic("assigned", Map.of(0, List.of(node), 1, List.of(node))),
                new NewTopic("settings", 1, (short) 1).configs(Map.of("segment.ms", "1234567", "cleanup.policy", "delete"))));
        Harness.done(made.all());
        Harness.same("10 partitions", 10, Harness.done(made.numPartitions("ten")));
        Harness.same("default partitions", 1, Harness.done(made.numPartitions("defaults")));
        Harness.same("default replication factor", 1, Harness.done(made.replicationFactor("defaults")));
        Harness.same("assigned partitions", 2, Harness.done(made.numPartitions("assigned")));
        Config config = Harness.done(made.config("settings"));
        Harness.same("CreateTopics returns the settings that were given", "1234567", config.get("segment.ms").value());
        Harness.same("and the defaults", "1048588", config.get("max.message.bytes").value());

        Harness.settled("listTopics", Set.of("ten", "defaults", "assigned", "settings"), () -> Harness.done(admin.listTopics().names()));
        Map<String, TopicDescription> described = Harness.done(admin.describeTopics(List.of("ten", "assigned")).allTopicNames());
        TopicDescription ten = described.get("ten");
        Harness.same("describeTopics: partitions", 10, ten.partitions().size());
        Harness.same("describeTopics: the id is that of the creation", Harness.done(made.topicId("ten")), ten.topicId());
        for (var partition : ten.partitions()) {
            Harness.require("leader, replicas and ISR of " + partition, partition.leader().id() == node
                    && partition.replicas().equals(partition.isr()) && partition.replicas().size() == 1);
        }
        Harness.require("not internal", !ten.isInternal());
        var byId = Harness.done(admin.describeTopics(TopicCollection.ofTopicIds(List.of(ten.topicId()))).allTopicIds());
        Harness.same("describeTopics by id", "ten", byId.get(ten.topicId()).name());
    }

    private void createTopicsRefused() throws Exception {
        refusedTopic("existing topic", TopicExistsException.class, new NewTopic("ten", 1, (short) 1));
        refusedTopic("name with a slash", InvalidTopicException.class, new NewTopic("a/b", 1, (short) 1));
        refusedTopic("empty name", InvalidTopicException.class, new NewTopic("", 1, (short) 1));
        refusedTopic("name of 250 characters", InvalidTopicException.class, new NewTopic("x".repeat(250), 1, (short) 1));
        refusedTopic("name '..'", InvalidTopicException.class, new NewTopic("..", 1, (short) 1));
        refusedTopic("no partitions", InvalidPartitionsException.class, new NewTopic("zero", 0, (short) 1));
        refusedTopic("3 replicas on one broker", InvalidReplicationFactorException.class, new NewTopic("three", 1, (short) 3));
        refusedTopic("an unknown broker", InvalidReplicaAssignmentException.class, new NewTopic("nobody", Map.of(0, List.of(node + 77))));
        refusedTopic("an unknown setting", InvalidConfigurationException.class, new NewTopic("bad", 1, (short) 1).configs(Map.of("no.such", "1")));
        refusedTopic("a bad value", InvalidConfigurationException.class, new NewTopic("bad", 1, (short) 1).configs(Map.of("segment.ms", "soon")));
        refusedTopic("100,000 partitions", PolicyViolationException.class, new NewTopic("huge", 100_000, (short) 1));

        Harness.done(admin.createTopics(List.of(new NewTopic("a.b", 1, (short) 1))).all());
        refusedTopic("a colliding name", InvalidTopicException.class, new NewTopic("a_b", 1, (short) 1));
        var mixed = admin.createTopics(List.of(new NewTopic("good", 1, (short) 1), new NewTopic("b?d", 1, (short) 1)));
        Harness.done(mixed.values().get("good"));
        Harness.refused("the bad one of two", InvalidTopicException.class, mixed.values().get("b?d"));
        Harness.refused("describing an unknown topic", UnknownTopicOrPartitionException.class, admin.describeTopics(List.of("nowhere")).allTopicNames());
        Harness.refused("describing an unknown id", UnknownTopicIdException.class,
                admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds());
    }

    private void refusedTopic(String check, Class<? extends Exception> expected, NewTopic topic) throws Exception {
        Harness.refused("CreateTopics: " + check, expected, admin.createTopics(List.of(topic)).all());
    }

    private void createPartitions() throws Exception {
        var dry = new CreatePartitionsOptions().validateOnly(true);
        Harness.done(admin.createPartitions(Map.of("defaults", NewPartitions.increaseTo(4)), dry).all());
        Harness.same("validateOnly adds none", 1, partitionsOf("defaults"));
        Harness.done(admin.createPartitions(Map.of("defaults", NewPartitions.increaseTo(4))).all());
        Harness.settled("four partitions", 4, () -> partitionsOf("defaults"));
        Harness.done(admin.createPartitions(Map.of("defaults", NewPartitions.increaseTo(5, List.of(List.of(node))))).all());
        Harness.settled("a fifth, assigned", 5, () -> partitionsOf("defaults"));
        Harness.refused("fewer partitions", InvalidPartitionsException.class,
                admin.createPartitions(Map.of("defaults", NewPartitions.increaseTo(2))).all());
        Harness.refused("as many partitions", InvalidPartitionsException.class,
                admin.createPartitions(Map.of("defaults", NewPartitions.increaseTo(5))).all());
        Harness.refused("partitions of an unknown topic", UnknownTopicOrPartitionException.class,
                admin.createPartitions(Map.of("nowhere", NewPartitions.increaseTo(2))).all());
        Harness.refused("an unknown broker", InvalidReplicaAssignmentException.class,
                admin.createPartitions(Map.of("defaults", NewPartitions.increaseTo(6, List.of(List.of(node + 77))))).all());
    }

    private int partitionsOf(String topic) throws Exception {
        return Harness.done(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size();
    }

    private void configs() throws Exception {
        Config config = describe();
        Harness.same("a setting of the topic", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, config.get("segment.ms").source());
        Harness.same("its value", "1234567", config.get("segment.ms").value());
        Harness.same("cleanup.policy reads exactly", "delete", config.get("cleanup.policy").value());
        ConfigEntry plain = config.get("max.message.bytes");
        Harness.same("a default", ConfigEntry.ConfigSource.DEFAULT_CONFIG, plain.source());
        Harness.same("its type", ConfigEntry.ConfigType.INT, plain.type());
        Harness.require("it has documentation", plain.documentation() != null && !plain.documentation().isBlank());
        Harness.require("it has synonyms", plain.synonyms().stream().anyMatch(synonym -> synonym.name().equals("message.max.bytes")));
        Harness.require("every setting has a type", config.entries().stream().noneMatch(entry -> entry.type() == ConfigEntry.ConfigType.UNKNOWN));

        alter("segment.ms", "7654321", AlterConfigOp.OpType.SET);
        Harness.settled("SET", "7654321", () -> describe().get("segment.ms").value());
        alter("cleanup.policy", "delete", AlterConfigOp.OpType.APPEND);
        Harness.settled("APPEND", "delete", () -> describe().get("cleanup.policy").value());
        alter("cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT);
        Harness.settled("SUBTRACT", "delete", () -> describe().get("cleanup.policy").value());
        alter("segment.ms", null, AlterConfigOp.OpType.DELETE);
        Harness.settled("DELETE leaves the default", "604800000", () -> describe().get("segment.ms").value());
        Harness.done(admin.incrementalAlterConfigs(change("segment.ms", "1", AlterConfigOp.OpType.SET), new AlterConfigsOptions().validateOnly(true)).all());
        Harness.same("validateOnly changes nothing", "604800000", describe().get("segment.ms").value());
        Harness.refused("a bad value", InvalidConfigurationException.class,
                admin.incrementalAlterConfigs(change("segment.ms", "soon", AlterConfigOp.OpType.SET)).all());
        Harness.refused("an unknown setting", InvalidConfigurationException.class,
                admin.incrementalAlterConfigs(change("no.such", "1", AlterConfigOp.OpType.SET)).all());
        Harness.refused("APPEND to what is no list", InvalidConfigurationException.class,
                admin.incrementalAlterConfigs(change("segment.ms", "1", AlterConfigOp.OpType.APPEND)).all());
        for (var pair : OBEYED) {
            alter(pair.getKey(), pair.getValue(), AlterConfigOp.OpType.SET);
            Harness.settled("SET " + pair.getKey(), pair.getValue(), () -> describe().get(pair.getKey()).value());
        }
        if (!"kafka".equals(System.getenv("BROKER"))) {
            notSupportedYet();
        }
        Harness.refused("settings of an unknown topic", UnknownTopicOrPartitionException.class,
                admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, "nowhere"))).all());
    }

    /** What Felice would not obey it refuses, by name. */
    private void notSupportedYet() throws Exception {
        for (var pair : List.of(Map.entry("preallocate", "true"), Map.entry("remote.storage.enable", "true"))) {
            String name = pair.getKey();
            var topic = new NewTopic("later", 1, (short) 1).configs(Map.of(name, pair.getValue()));
            Harness.refusedNaming(name, InvalidConfigurationException.class, admin.createTopics(List.of(topic)).all());
            Harness.refusedNaming(name, InvalidConfigurationException.class,
                    admin.incrementalAlterConfigs(change(name, pair.getValue(), AlterConfigOp.OpType.SET)).all());
        }
        Harness.require("a topic that is refused is not created", !Harness.done(admin.listTopics().names()).contains("later"));
    }

    private Config describe() throws Exception {
        var options = new DescribeConfigsOptions().includeDocumentation(true).includeSynonyms(true);
        return Harness.done(admin.describeConfigs(List.of(SETTINGS), options).all()).get(SETTINGS);
    }

    private void alter(String name, String value, AlterConfigOp.OpType kind) throws Exception {
        Harness.done(admin.incrementalAlterConfigs(change(name, value, kind)).all());
    }

    private static Map<ConfigResource, Collection<AlterConfigOp>> change(String name, String value, AlterConfigOp.OpType kind) {
        return Map.of(SETTINGS, List.of(new AlterConfigOp(new ConfigEntry(name, value), kind)));
    }

    private void listOffsets() throws Exception {
        long base = System.currentTimeMillis() - 1000;
        try (var producer = Clients.producer(broker, Map.of("linger.ms", 60_000))) {
            for (long time : new long[] {10, 30, 20}) {
                producer.send(new ProducerRecord<>("ten", 3, base + time, null, Clients.bytes("v")));
            }
        }
        expectOffset("earliest", OffsetSpec.earliest(), 0);
        expectOffset("latest", OffsetSpec.latest(), 3);
        expectOffset("maxTimestamp", OffsetSpec.maxTimestamp(), 1);
        expectOffset("forTimestamp", OffsetSpec.forTimestamp(base + 11), 1);
        expectOffset("forTimestamp after all", OffsetSpec.forTimestamp(base + 31), -1);
        expectOffset("earliestLocal", OffsetSpec.earliestLocal(), 0);
        expectOffset("latestTiered, with no tiers", OffsetSpec.latestTiered(), -1);
        expectOffset("earliestPendingUpload, with no tiers", OffsetSpec.earliestPendingUpload(), -1);
        TopicPartition empty = new TopicPartition("ten", 4);
        Harness.same("maxTimestamp of an empty partition", -1L,
                Harness.done(admin.listOffsets(Map.of(empty, OffsetSpec.maxTimestamp())).partitionResult(empty)).offset());
    }

    /** Of the three records that are in partition 3. */
    private void deleteRecords() throws Exception {
        TopicPartition partition = new TopicPartition("ten", 3);
        Harness.same("deleteRecords: the low watermark", 2L, lowWatermark(partition, 2));
        expectOffset("earliest, after deleteRecords", OffsetSpec.earliest(), 2);
        Harness.same("deleteRecords of what is gone", 2L, lowWatermark(partition, 1));
        Harness.refused("deleteRecords beyond the end", OffsetOutOfRangeException.class,
                admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).all());
        Harness.same("deleteRecords: all", 3L, lowWatermark(partition, -1));
        Harness.done(admin.createTopics(List.of(new NewTopic("compacted", 1, (short) 1).configs(Map.of("cleanup.policy", "compact")))).all());
        TopicPartition compacted = new TopicPartition("compacted", 0);
        Harness.settled("a compacted topic", 0L,
                () -> Harness.done(admin.listOffsets(Map.of(compacted, OffsetSpec.latest())).partitionResult(compacted)).offset());
        Harness.refused("deleteRecords of a compacted topic", PolicyViolationException.class,
                admin.deleteRecords(Map.of(compacted, RecordsToDelete.beforeOffset(0))).all());
        Harness.done(admin.deleteTopics(List.of("compacted")).all());
    }

    private long lowWatermark(TopicPartition partition, long before) throws Exception {
        var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before)));
        return Harness.done(deleted.lowWatermarks().get(partition)).lowWatermark();
    }

    private void expectOffset(String check, OffsetSpec spec, long offset) throws Exception {
        TopicPartition partition = new TopicPartition("ten", 3);
        Harness.same("listOffsets " + check, offset, Harness.done(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition)).offset());
    }

    private void deleteTopics() throws Exception {
        Uuid old = Harness.done(admin.describeTopics(List.of("ten")).allTopicNames()).get("ten").topicId();
        Harness.done(admin.deleteTopics(List.of("ten")).all());
        Harness.refused("deleted by name", UnknownTopicOrPartitionException.class, admin.describeTopics(List.of("ten")).allTopicNames());
        Harness.refused("deleting it again", UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of("ten")).all());

        var again = admin.createTopics(List.of(new NewTopic("ten", 4, (short) 1)));
        Uuid now = Harness.done(again.topicId("ten"));
        Harness.require("a new topic has a new id", !now.equals(old));
        TopicPartition partition = new TopicPartition("ten", 3);
        Harness.same("and none of the old data", 0L, Harness.done(admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition)).offset());
        Harness.refused("deleting the old id", UnknownTopicIdException.class, admin.deleteTopics(TopicCollection.ofTopicIds(List.of(old))).all());
        Harness.done(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(now))).all());

        Set<String> rest = Harness.done(admin.listTopics().names()).stream().filter(name -> !name.equals("ten")).collect(Collectors.toSet());
        Harness.done(admin.deleteTopics(rest).all());
        Harness.settled("all topics are deleted", Set.of(), () -> Harness.done(admin.listTopics().names()));
    }
}
