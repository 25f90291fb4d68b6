import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What happens to groups until their partition of __consumer_offsets has a record of every kind: groups of both protocols, with members
 * that stay and without, converted, deleted; offsets with and without metadata and leader epoch, of groups and of nobody, in
 * transactions, deleted, of a topic that is gone.
 */
final class Story implements AutoCloseable {
    static final Map<String, Integer> TOPICS = Map.of("orders", 3, "bills", 2, "letters", 1);
    private static final String GONE = "gone";
    private static final long LIMIT_S = 60;

    private final String address;
    private final Admin admin;
    /** Those that stay. */
    private final Map<String, List<KafkaConsumer<String, String>>> live = new LinkedHashMap<>();
    private final List<KafkaProducer<String, String>> producers = new ArrayList<>();

    Story(String address) {
        this.address = address;
        this.admin = Admin.create(Map.of("bootstrap.servers", address));
    }

    static void create(Admin admin) throws Exception {
        List<NewTopic> topics = TOPICS.entrySet().stream().map(topic -> new NewTopic(topic.getKey(), topic.getValue(), (short) 1)).toList();
        admin.createTopics(topics).all().get(LIMIT_S, TimeUnit.SECONDS);
    }

    void tell(boolean transactions) throws Exception {
        create(admin);
        admin.createTopics(List.of(new NewTopic(GONE, 1, (short) 1))).all().get(LIMIT_S, TimeUnit.SECONDS);
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            for (int n = 0; n < 60; n++) {
                String topic = List.of("orders", "bills", "letters").get(n % 3);
                producer.send(new ProducerRecord<>(topic, n / 3 % TOPICS.get(topic), null, "letter " + n)).get();
            }
        }
        Map<String, Object> range = classic(RangeAssignor.class);
        Map<String, Object> cooperative = classic(CooperativeStickyAssignor.class);
        stay("classic-range", with(range, "group.instance.id", "desk-1"), List.of("orders", "bills"));
        stay("classic-range", with(range, "client.id", "zweiter Schreibtisch"), List.of("orders", "bills"));
        stay("classic-cooperative", with(cooperative, "client.rack", "rack-1"), List.of("letters"));
        stay("consumer-uniform", with(modern(null), "group.instance.id", "desk-2"), List.of("orders"));
        stay("consumer-uniform", with(modern(null), "client.rack", "rack-1"), List.of("orders", "letters"));
        stay("consumer-range", modern("range"), List.of("bills", "orders"));
        stay("consumer-regex", modern(null), consumer -> consumer.subscribe(new SubscriptionPattern("o.*|b.*")));
        stay("consumer-mixed", modern(null), List.of("orders"));
        stay("consumer-mixed", with(cooperative, "group.instance.id", "desk-3"), List.of("orders"));
        settle();
        live.get("classic-range").get(0).commitSync(Map.of(
            new TopicPartition("orders", 0), new OffsetAndMetadata(3, Optional.of(0), "up to the third"),
            new TopicPartition("bills", 1), new OffsetAndMetadata(0, Optional.empty(), "")));
        live.get("classic-cooperative").get(0).commitSync();
        live.get("consumer-uniform").get(1).commitSync();
        live.get("consumer-regex").get(0).commitSync(Map.of(
            new TopicPartition("bills", 0), new OffsetAndMetadata(5, Optional.of(0), "\u00dcberf\u00e4llig \u2603 \ud83d\udcec")));

        for (String kind : List.of("classic", "consumer")) {
            Map<String, Object> settings = kind.equals("classic") ? range : modern(null);
            come(kind + "-empty", settings, List.of("letters"));
            come(kind + "-deleted", settings, List.of("letters"));
            Map<String, Object> other = kind.equals("classic") ? modern(null) : range;
            come(kind + "-converted", settings, List.of("orders"));
            come(kind + "-converted", other, List.of("orders"));
        }
        admin.deleteConsumerGroups(List.of("classic-deleted", "consumer-deleted")).all().get(LIMIT_S, TimeUnit.SECONDS);
        commit("simple/\u00e9 group", Map.of(new TopicPartition("orders", 2), new OffsetAndMetadata(1), new TopicPartition(GONE, 0),
            new OffsetAndMetadata(0, "soon gone")));
        commit("partly-deleted", Map.of(new TopicPartition("orders", 0), new OffsetAndMetadata(1), new TopicPartition("orders", 1),
            new OffsetAndMetadata(2)));
        admin.deleteConsumerGroupOffsets("partly-deleted", Set.of(new TopicPartition("orders", 0))).all().get(LIMIT_S, TimeUnit.SECONDS);
        admin.alterConsumerGroupOffsets("altered", Map.of(new TopicPartition("letters", 0), new OffsetAndMetadata(9, Optional.of(0), "by an admin")))
            .all().get(LIMIT_S, TimeUnit.SECONDS);
        admin.deleteTopics(List.of(GONE)).all().get(LIMIT_S, TimeUnit.SECONDS);
        if (transactions) {
            transact("committed", true, true);
            transact("aborted", true, false);
            transact("open", false, false);
        }
        settle();
    }

    /** An offset that is committed, then another one in a transaction. */
    private void transact(String group, boolean ends, boolean commits) throws Exception {
        TopicPartition partition = new TopicPartition("letters", 0);
        commit(group, Map.of(partition, new OffsetAndMetadata(1)));
        KafkaProducer<String, String> producer = producer(Map.of("transactional.id", group));
        producers.add(producer);
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>("bills", group)).get();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(group, Map.of()))) {
            producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(7, Optional.of(0), "in a transaction")), consumer.groupMetadata());
        }
        if (ends && commits) {
            producer.commitTransaction();
        } else if (ends) {
            producer.abortTransaction();
        }
    }

    private void stay(String group, Map<String, Object> settings, Collection<String> topics) {
        stay(group, settings, consumer -> consumer.subscribe(topics));
    }

    private void stay(String group, Map<String, Object> settings, Consumer<KafkaConsumer<String, String>> subscribe) {
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(group, settings));
        subscribe.accept(consumer);
        live.computeIfAbsent(group, key -> new ArrayList<>()).add(consumer);
    }

    /** A member that joins, commits and leaves. */
    private void come(String group, Map<String, Object> settings, Collection<String> topics) {
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(group, settings))) {
            consumer.subscribe(topics);
            await("an assignment in " + group, () -> {
                consumer.poll(Duration.ofMillis(50));
                return !consumer.assignment().isEmpty();
            });
            consumer.commitSync(consumer.assignment().stream().collect(Collectors.toMap(one -> one, one -> new OffsetAndMetadata(2))));
        }
    }

    /** A commit of nobody's, as where partitions are assigned by hand. */
    private void commit(String group, Map<TopicPartition, OffsetAndMetadata> offsets) {
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(group, Map.of()))) {
            consumer.assign(offsets.keySet());
            consumer.commitSync(offsets);
        }
    }

    /** Polls until each group is stable and nothing moves any more. */
    private void settle() throws Exception {
        List<String> before = new ArrayList<>();
        await("stable groups", () -> {
            for (int n = 0; n < 4; n++) {
                live.values().forEach(group -> group.forEach(consumer -> consumer.poll(Duration.ofMillis(60))));
            }
            boolean stable = admin.describeConsumerGroups(live.keySet()).all().get(LIMIT_S, TimeUnit.SECONDS).values().stream()
                .allMatch(group -> group.groupState().toString().equals("Stable") && group.members().size() == live.get(group.groupId()).size());
            List<String> now = Facts.of(admin);
            boolean same = now.equals(before);
            before.clear();
            before.addAll(now);
            return stable && same;
        });
    }

    private interface Question {
        boolean holds() throws Exception;
    }

    private static void await(String what, Question question) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
        try {
            while (!question.holds()) {
                Suite.require("waiting for " + what + " takes too long", System.nanoTime() < deadline);
            }
        } catch (Exception failure) {
            throw new AssertionError("waiting for " + what, failure);
        }
    }

    List<String> facts() throws Exception {
        return Facts.of(admin);
    }

    /** Once the broker is gone: nobody leaves a group. */
    @Override
    public void close() {
        live.values().forEach(group -> group.forEach(consumer -> consumer.close(CloseOptions.timeout(Duration.ZERO))));
        producers.forEach(producer -> producer.close(Duration.ZERO));
        admin.close(Duration.ZERO);
    }

    private static Map<String, Object> classic(Class<?> assignor) {
        return Map.of("group.protocol", "classic", "partition.assignment.strategy", assignor.getName());
    }

    private static Map<String, Object> modern(String assignor) {
        Map<String, Object> settings = new HashMap<>(Map.of("group.protocol", "consumer"));
        if (assignor != null) {
            settings.put("group.remote.assignor", assignor);
        }
        return settings;
    }

    private static Map<String, Object> with(Map<String, Object> settings, String key, Object value) {
        Map<String, Object> more = new HashMap<>(settings);
        more.put(key, value);
        return more;
    }

    private Map<String, Object> settings(String group, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of(
            "bootstrap.servers", address, "group.id", group, "enable.auto.commit", false, "auto.offset.reset", "earliest",
            "key.deserializer", StringDeserializer.class, "value.deserializer", StringDeserializer.class));
        settings.putAll(more);
        return settings;
    }

    private KafkaProducer<String, String> producer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", address, "linger.ms", 0));
        settings.putAll(more);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }
}
