import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The AdminClient of old releases, as far as topics and their settings go. */
final class AdminChecks {
    private static final ConfigResource SETTINGS = new ConfigResource(ConfigResource.Type.TOPIC, "settings");

    private final Harness broker;
    private AdminClient admin;
    private int node;

    AdminChecks(Harness broker) {
        this.broker = broker;
    }

    void run() throws Exception {
        try (AdminClient client = Clients.admin(broker)) {
            admin = client;
            describeCluster();
            createTopics();
            createTopicsRefused();
            createPartitions();
            configs();
            deleteTopics();
        }
    }

    private void describeCluster() throws Exception {
        var cluster = admin.describeCluster();
        Node controller = Harness.done(cluster.controller());
        node = controller.id();
        Harness.same("one node, which is the controller", List.of(controller), List.copyOf(Harness.done(cluster.nodes())));
        Harness.same("its address", broker.address, controller.host() + ":" + controller.port());
        String id = Harness.done(cluster.clusterId());
        Harness.require("cluster id " + id, id != null && id.length() == 22);
    }

    private void createTopics() throws Exception {
        var dry = new CreateTopicsOptions().validateOnly(true);
        Harness.done(admin.createTopics(List.of(new NewTopic("dry", 3, (short) 1)), dry).all());
        Harness.require("validateOnly creates nothing", !Harness.done(admin.listTopics().names()).contains("dry"));
        Harness.done(admin.createTopics(List.of(
                new NewTopic("ten", 10, (short) 1),
                new NewTopic("assigned", Map.of(0, List.of(node), 1, List.of(node))),
                new NewTopic("settings", 1, (short) 1).configs(Map.of("segment.ms", "1234567", "cleanup.policy", "delete")))).all());
        Harness.settled("listTopics", Set.of("ten", "assigned", "settings"), () -> Harness.done(admin.listTopics().names()));
        Harness.settled("describeTopics", 10, () -> partitionsOf("ten"));
        for (var partition : Harness.done(admin.describeTopics(List.of("ten")).all()).get("ten").partitions()) {
            Harness.require("leader, replicas and ISR of " + partition, partition.leader().id() == node
                    && partition.replicas().equals(partition.isr()) && partition.replicas().size() == 1);
        }
        Harness.refused("describing an unknown topic", UnknownTopicOrPartitionException.class, admin.describeTopics(List.of("nowhere")).all());
    }

    private void createTopicsRefused() throws Exception {
        refusedTopic("existing topic", TopicExistsException.class, new NewTopic("ten", 1, (short) 1));
        refusedTopic("name with a slash", InvalidTopicException.class, new NewTopic("a/b", 1, (short) 1));
        refusedTopic("name of 250 characters", InvalidTopicException.class, new NewTopic("x".repeat(250), 1, (short) 1));
        refusedTopic("no partitions", InvalidPartitionsException.class, new NewTopic("zero", 0, (short) 1));
        refusedTopic("3 replicas on one broker", InvalidReplicationFactorException.class, new NewTopic("three", 1, (short) 3));
        refusedTopic("an unknown broker", InvalidReplicaAssignmentException.class, new NewTopic("nobody", Map.of(0, List.of(node + 77))));
        refusedTopic("an unknown setting", InvalidConfigurationException.class, new NewTopic("bad", 1, (short) 1).configs(Map.of("no.such", "1")));
        refusedTopic("a bad value", InvalidConfigurationException.class, new NewTopic("bad", 1, (short) 1).configs(Map.of("segment.ms", "soon")));
        refusedTopic("100,000 partitions", PolicyViolationException.class, new NewTopic("huge", 100_000, (short) 1));
    }

    private void refusedTopic(String check, Class<? extends Exception> expected, NewTopic topic) throws Exception {
        Harness.refused("CreateTopics: " + check, expected, admin.createTopics(List.of(topic)).all());
    }

    private void createPartitions() throws Exception {
        var dry = new CreatePartitionsOptions().validateOnly(true);
        Harness.done(admin.createPartitions(Map.of("assigned", NewPartitions.increaseTo(4)), dry).all());
        Harness.same("validateOnly adds none", 2, partitionsOf("assigned"));
        Harness.done(admin.createPartitions(Map.of("assigned", NewPartitions.increaseTo(4))).all());
        Harness.settled("four partitions", 4, () -> partitionsOf("assigned"));
        Harness.refused("fewer partitions", InvalidPartitionsException.class,
                admin.createPartitions(Map.of("assigned", NewPartitions.increaseTo(2))).all());
        Harness.refused("partitions of an unknown topic", UnknownTopicOrPartitionException.class,
                admin.createPartitions(Map.of("nowhere", NewPartitions.increaseTo(2))).all());
    }

    private int partitionsOf(String topic) throws Exception {
        return Harness.done(admin.describeTopics(List.of(topic)).all()).get(topic).partitions().size();
    }

    /** There is only the old AlterConfigs, which takes away whatever setting it does not name. */
    private void configs() throws Exception {
        Harness.same("a setting of the topic", "1234567", setting("segment.ms"));
        Harness.same("cleanup.policy reads exactly", "delete", setting("cleanup.policy"));
        Harness.same("a default", "1048588", setting("max.message.bytes"));
        Config described = Harness.done(admin.describeConfigs(List.of(SETTINGS)).all()).get(SETTINGS);
        Harness.same("which is a default, and the other is not", List.of(true, false),
                List.of(described.get("max.message.bytes").isDefault(), described.get("segment.ms").isDefault()));

        Harness.done(admin.alterConfigs(to("max.message.bytes", "2000000")).all());
        Harness.settled("altered", "2000000", () -> setting("max.message.bytes"));
        Harness.same("what was not named is back at its default", "604800000", setting("segment.ms"));
        Harness.done(admin.alterConfigs(to("segment.ms", "1"), new AlterConfigsOptions().validateOnly(true)).all());
        Harness.same("validateOnly changes nothing", "604800000", setting("segment.ms"));
        Harness.refused("a bad value", InvalidConfigurationException.class, admin.alterConfigs(to("segment.ms", "soon")).all());
        Harness.refused("an unknown setting", InvalidConfigurationException.class, admin.alterConfigs(to("no.such", "1")).all());
        Harness.refused("settings of an unknown topic", UnknownTopicOrPartitionException.class,
                admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, "nowhere"))).all());
    }

    private String setting(String name) throws Exception {
        return Harness.done(admin.describeConfigs(List.of(SETTINGS)).all()).get(SETTINGS).get(name).value();
    }

    /** AlterConfigs is deprecated since 2.3, which none of these releases know. */
    private static Map<ConfigResource, Config> to(String name, String value) {
        return Map.of(SETTINGS, new Config(List.of(new ConfigEntry(name, value))));
    }

    private void deleteTopics() throws Exception {
        Harness.done(admin.deleteTopics(List.of("ten", "assigned", "settings")).all());
        Harness.settled("all topics are deleted", Set.of(), () -> Harness.done(admin.listTopics().names()));
        Harness.refused("deleting it again", UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of("ten")).all());
    }
}
