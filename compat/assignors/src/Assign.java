import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * Lives of random groups: members come, go, are replaced and change their minds, topics are made, grow and vanish, and after each change
 * Kafka's assignors are asked. What the uniform one says is what members have at the next change.
 *
 * A case is the line "case NAME", the line "topics" with the number of partitions of each, and a line for each member: "member", its id,
 * its instance id or -, the topics it subscribes to, what it had, what it is given by range, and by uniform. Topics are named by
 * their index; partitions are written as 0:0-3,7;2:1 and nothing as -.
 */
public final class Assign {
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    /** How members come by their subscriptions. */
    private enum Kind {
        /** All to the same. */
        SAME,
        /** One of two or three, as where two versions of an application run. */
        FEW,
        /** Each to a random choice. */
        ANY,
        /** Each to two neighbours in a row of topics. */
        ROW
    }

    private static final class Member {
        String instance;
        final String rack;
        Set<Integer> subscribed;
        Map<Integer, Set<Integer>> had = new TreeMap<>();

        Member(String instance, String rack, Set<Integer> subscribed) {
            this.instance = instance;
            this.rack = rack;
            this.subscribed = subscribed;
        }
    }

    private final Random random;
    private final Kind kind;
    private final int partitionsMax;
    private final List<Integer> topics = new ArrayList<>();
    private final Set<Integer> gone = new HashSet<>();
    private final TreeMap<String, Member> members = new TreeMap<>();
    private final List<Set<Integer>> choices = new ArrayList<>();
    private int instances;

    private Assign(long seed, Kind kind, int membersMax, int topicsMax, int partitionsMax) {
        this.random = new Random(seed);
        this.kind = kind;
        this.partitionsMax = partitionsMax;
        int count = 1 + random.nextInt(topicsMax) + (kind == Kind.ROW ? 1 : 0);
        for (int topic = 0; topic < count; topic++) {
            topics.add(1 + random.nextInt(partitionsMax));
        }
        for (int choice = 0; choice < 1 + random.nextInt(3); choice++) {
            choices.add(choice());
        }
        join(1 + random.nextInt(membersMax));
    }

    public static void main(String[] args) {
        long seed = Long.parseLong(args[0]);
        for (int life = 0; life < 180; life++) {
            Kind kind = Kind.values()[life % Kind.values().length];
            Assign group = life % 3 == 0 ? new Assign(seed * 1000 + life, kind, 4, 3, 6) : new Assign(seed * 1000 + life, kind, 12, 8, 20);
            group.live(kind.name().toLowerCase() + "-" + life, 5);
        }
        for (Kind kind : Kind.values()) {
            new Assign(seed, kind, 150, 12, 150).live("large-" + kind.name().toLowerCase(), 3);
        }
        OUT.flush();
    }

    private void live(String name, int changes) {
        for (int change = 0; change <= changes; change++) {
            write(name + "." + change);
            change();
        }
    }

    private Set<Integer> choice() {
        Set<Integer> choice = topics().stream().filter(topic -> random.nextBoolean()).collect(Collectors.toCollection(TreeSet::new));
        return choice.isEmpty() && random.nextInt(10) > 0 ? new TreeSet<>(topics()) : choice;
    }

    private List<Integer> topics() {
        List<Integer> left = new ArrayList<>();
        for (int topic = 0; topic < topics.size(); topic++) {
            if (!gone.contains(topic)) {
                left.add(topic);
            }
        }
        return left;
    }

    private Set<Integer> subscription() {
        Set<Integer> subscription = switch (kind) {
            case SAME -> new TreeSet<>(choices.get(0));
            case FEW -> new TreeSet<>(choices.get(random.nextInt(choices.size())));
            case ANY -> choice();
            case ROW -> {
                int first = random.nextInt(topics.size() - 1);
                yield new TreeSet<>(Set.of(first, first + 1));
            }
        };
        subscription.removeAll(gone);
        return subscription;
    }

    private String freshId() {
        return String.format("%06x", random.nextInt(1 << 24));
    }

    private void join(int count) {
        for (int i = 0; i < count; i++) {
            String instance = random.nextInt(4) == 0 ? "i" + random.nextInt(1000) + "-" + instances++ : null;
            members.put(freshId(), new Member(instance, "rack-" + random.nextInt(3), subscription()));
        }
    }

    private void leave(int count) {
        List<String> ids = new ArrayList<>(members.keySet());
        Collections.shuffle(ids, random);
        ids.subList(0, Math.min(count, ids.size() - 1)).forEach(members::remove);
    }

    private void change() {
        switch (random.nextInt(9)) {
            case 0 -> join(1);
            case 1 -> join(1 + random.nextInt(members.size()));
            case 2 -> leave(1);
            case 3 -> leave(1 + random.nextInt(members.size()));
            case 4 -> {
                leave(1);
                join(1);
            }
            case 5 -> {
                int topic = random.nextInt(topics.size());
                topics.set(topic, topics.get(topic) + 1 + random.nextInt(partitionsMax));
            }
            case 6 -> {
                if (topics().size() > 1) {
                    int topic = topics().get(random.nextInt(topics().size()));
                    gone.add(topic);
                    members.values().forEach(member -> member.subscribed.remove(topic));
                    choices.forEach(choice -> choice.remove(topic));
                }
            }
            case 7 -> {
                topics.add(1 + random.nextInt(partitionsMax));
                choices.get(0).add(topics.size() - 1);
                members.values().stream().filter(member -> kind == Kind.SAME || random.nextBoolean())
                    .forEach(member -> member.subscribed.add(topics.size() - 1));
            }
            default -> {
                // Static members that were restarted, under new ids; or somebody subscribes to something else.
                List<String> restarted = members.entrySet().stream().filter(entry -> entry.getValue().instance != null)
                    .map(Map.Entry::getKey).toList();
                restarted.forEach(id -> members.put(freshId(), members.remove(id)));
                if (restarted.isEmpty() && kind != Kind.SAME) {
                    members.firstEntry().getValue().subscribed = subscription();
                }
            }
        }
    }

    private void write(String name) {
        Map<String, Map<Integer, Set<Integer>>> range = ask(new RangeAssignor());
        Map<String, Map<Integer, Set<Integer>>> uniform = ask(new UniformAssignor());
        OUT.print("case " + name + "\ntopics" + topics.stream().map(count -> " " + count).collect(Collectors.joining()) + "\n");
        members.forEach((id, member) -> {
            OUT.print(String.join(" ", "member", id, member.instance == null ? "-" : member.instance, numbers(member.subscribed),
                partitions(member.had), partitions(range.get(id)), partitions(uniform.get(id))) + "\n");
            member.had = uniform.get(id);
        });
    }

    private Map<String, Map<Integer, Set<Integer>>> ask(ConsumerGroupPartitionAssignor assignor) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new TreeMap<>();
        Map<Uuid, Map<Integer, String>> inverted = new HashMap<>();
        members.forEach((id, member) -> {
            Map<Uuid, Set<Integer>> had = new HashMap<>();
            member.had.forEach((topic, partitions) -> {
                had.put(uuid(topic), new HashSet<>(partitions));
                partitions.forEach(partition -> inverted.computeIfAbsent(uuid(topic), key -> new HashMap<>()).put(partition, id));
            });
            specs.put(id, new MemberSubscriptionAndAssignmentImpl(Optional.of(member.rack), Optional.ofNullable(member.instance),
                member.subscribed.stream().map(Assign::uuid).collect(Collectors.toSet()), new Assignment(had)));
        });
        boolean same = members.values().stream().map(member -> member.subscribed).distinct().count() == 1;
        GroupAssignment assignment = assignor.assign(new GroupSpecImpl(Collections.unmodifiableMap(specs),
            same ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS, inverted), describer());
        Map<String, Map<Integer, Set<Integer>>> answer = new HashMap<>();
        for (String id : members.keySet()) {
            Map<Integer, Set<Integer>> given = new TreeMap<>();
            if (assignment.members().containsKey(id)) {
                assignment.members().get(id).partitions()
                    .forEach((topic, partitions) -> given.put((int) topic.getLeastSignificantBits(), new TreeSet<>(partitions)));
            }
            answer.put(id, given);
        }
        return answer;
    }

    private SubscribedTopicDescriber describer() {
        return new SubscribedTopicDescriber() {
            @Override
            public int numPartitions(Uuid topicId) {
                int topic = (int) topicId.getLeastSignificantBits();
                return gone.contains(topic) ? -1 : topics.get(topic);
            }

            @Override
            public Set<String> racksForPartition(Uuid topicId, int partition) {
                return Set.of("rack-" + partition % 3, "rack-" + (partition + 1) % 3);
            }
        };
    }

    private static Uuid uuid(int topic) {
        return new Uuid(1, topic);
    }

    private static String partitions(Map<Integer, Set<Integer>> partitions) {
        String text = partitions.entrySet().stream().filter(entry -> !entry.getValue().isEmpty())
            .map(entry -> entry.getKey() + ":" + numbers(entry.getValue())).collect(Collectors.joining(";"));
        return text.isEmpty() ? "-" : text;
    }

    private static String numbers(Set<Integer> numbers) {
        List<String> ranges = new ArrayList<>();
        List<Integer> sorted = new ArrayList<>(new TreeSet<>(numbers));
        for (int start = 0, end; start < sorted.size(); start = end) {
            end = start + 1;
            while (end < sorted.size() && sorted.get(end) == sorted.get(end - 1) + 1) {
                end++;
            }
            ranges.add(end == start + 1 ? sorted.get(start).toString() : sorted.get(start) + "-" + sorted.get(end - 1));
        }
        return ranges.isEmpty() ? "-" : String.join(",", ranges);
    }
}
