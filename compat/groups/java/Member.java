import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** One member of a group over Kafka's own Java client. Arguments, lines and commands: ../members/README.md. */
public final class Member implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of(
            "range", "org.apache.kafka.clients.consumer.RangeAssignor",
            "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
            "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final KafkaConsumer<String, String> client;
    private final long commitMs;
    /** What was processed and not yet committed. */
    private final Map<TopicPartition, OffsetAndMetadata> processed = new HashMap<>();
    private volatile boolean closing;
    private volatile boolean committing = true;

    private Member(Map<String, String> options) {
        commitMs = Long.parseLong(options.get("commit_ms"));
        client = new KafkaConsumer<>(settings(options), new StringDeserializer(), new StringDeserializer());
        if (options.containsKey("pattern")) {
            client.subscribe(Pattern.compile(options.get("pattern")), this);
        } else if (options.containsKey("regex")) {
            client.subscribe(new SubscriptionPattern(options.get("regex")), this);
        } else {
            client.subscribe(List.of(options.get("topics").split(",")), this);
        }
    }

    public static void main(String[] arguments) {
        Map<String, String> options = Arrays.stream(arguments)
                .collect(Collectors.toMap(word -> word.substring(0, word.indexOf('=')), word -> word.substring(word.indexOf('=') + 1)));
        try {
            Member member = new Member(options);
            Thread listener = new Thread(member::listen);
            listener.setDaemon(true);
            listener.start();
            member.consume();
            say("closed", "");
            System.exit(0);
        } catch (KafkaException failure) {
            say("error", ",\"error\":" + quoted(failure.toString()));
            System.exit(1);
        }
    }

    private static Map<String, Object> settings(Map<String, String> options) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", options.get("address"), "group.id", options.get("group"),
                "auto.offset.reset", "earliest", "enable.auto.commit", false, "reconnect.backoff.max.ms", 200, "metadata.max.age.ms", 1000,
                "group.protocol", options.get("protocol")));
        if (options.containsKey("instance")) {
            settings.put("group.instance.id", options.get("instance"));
        }
        if (options.get("protocol").equals("consumer")) {
            settings.put("group.remote.assignor", options.get("assignor"));
        } else {
            settings.put("partition.assignment.strategy", Arrays.stream(options.get("assignor").split(",")).map(ASSIGNORS::get).toList());
            settings.put("session.timeout.ms", options.get("session_ms"));
            settings.put("heartbeat.interval.ms", options.get("heartbeat_ms"));
        }
        return settings;
    }

    private void consume() {
        long due = 0;
        while (!closing) {
            ConsumerRecords<String, String> records = client.poll(Duration.ofMillis(100));
            if (!records.isEmpty()) {
                process(records);
            }
            if (committing && System.currentTimeMillis() >= due) {
                commit(processed);
                due = System.currentTimeMillis() + commitMs;
            }
        }
        commit(processed);
        client.close();
    }

    private void process(ConsumerRecords<String, String> records) {
        List<String> said = new ArrayList<>();
        for (ConsumerRecord<String, String> record : records) {
            TopicPartition partition = new TopicPartition(record.topic(), record.partition());
            said.add("[" + quoted(record.topic()) + "," + record.partition() + "," + record.offset() + "," + quoted(record.value()) + "]");
            processed.put(partition, new OffsetAndMetadata(record.offset() + 1, record.leaderEpoch(), ""));
        }
        say("records", ",\"records\":[" + String.join(",", said) + "]");
    }

    /** Commits and forgets; where the broker refuses, what was processed may have gone to another member. */
    private void commit(Map<TopicPartition, OffsetAndMetadata> offsets) {
        Map<TopicPartition, OffsetAndMetadata> sent = new HashMap<>(offsets);
        if (sent.isEmpty()) {
            return;
        }
        try {
            client.commitSync(sent);
            say("committed", ",\"offsets\":" + sent.entrySet().stream()
                    .map(each -> "[" + quoted(each.getKey().topic()) + "," + each.getKey().partition() + "," + each.getValue().offset() + "]")
                    .collect(Collectors.joining(",", "[", "]")));
            processed.keySet().removeAll(sent.keySet());
        } catch (KafkaException failure) {
            say("refused", ",\"error\":" + quoted(failure.toString()));
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        say("assigned", listed(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        Map<TopicPartition, OffsetAndMetadata> due = new HashMap<>(processed);
        due.keySet().retainAll(partitions);
        if (committing) {
            commit(due);
        }
        processed.keySet().removeAll(partitions);
        say("revoked", listed(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        processed.keySet().removeAll(partitions);
        say("lost", listed(partitions));
    }

    /** Obeys standard input; where that ends, the driver is gone. */
    private void listen() {
        try {
            var input = new java.io.BufferedReader(new java.io.InputStreamReader(System.in, StandardCharsets.US_ASCII));
            for (String command = input.readLine(); command != null; command = input.readLine()) {
                switch (command) {
                    case "close" -> closing = true;
                    case "pause-commits" -> committing = false;
                    case "resume-commits" -> committing = true;
                    default -> throw new IllegalArgumentException(command);
                }
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        if (!closing) {
            Runtime.getRuntime().halt(2);
        }
    }

    private static String listed(Collection<TopicPartition> partitions) {
        return partitions.stream().map(each -> "[" + quoted(each.topic()) + "," + each.partition() + "]")
                .collect(Collectors.joining(",", ",\"partitions\":[", "]"));
    }

    private static synchronized void say(String event, String fields) {
        System.out.println("{\"at\":" + System.currentTimeMillis() + ",\"event\":\"" + event + "\"" + fields + "}");
        System.out.flush();
    }

    private static String quoted(String text) {
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\p{Cntrl}", " ") + "\"";
    }
}
