import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.MemberAssignment;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;

/**
 * What a broker tells of its topics, groups and offsets: a line each, its parts separated by tabs, with - for what there is not.
 *
 * topic, name, id; group, id, type, state, protocol or assignor, group epoch, assignment epoch; member, group, id, instance id,
 * client id, host, epoch, what it has, what it shall have; offset, group, topic, partition, offset, leader epoch, metadata.
 */
final class Facts {
    private static final long LIMIT_S = 60;

    private Facts() {}

    static List<String> of(Admin admin) throws Exception {
        List<String> lines = new ArrayList<>();
        admin.describeTopics(Story.TOPICS.keySet()).allTopicNames().get(LIMIT_S, TimeUnit.SECONDS).values()
            .forEach(topic -> lines.add(line("topic", topic.name(), topic.topicId())));
        Map<String, GroupListing> groups = new TreeMap<>();
        admin.listGroups().all().get(LIMIT_S, TimeUnit.SECONDS).forEach(group -> groups.put(group.groupId(), group));
        Map<String, ConsumerGroupDescription> described =
            admin.describeConsumerGroups(groups.keySet()).all().get(LIMIT_S, TimeUnit.SECONDS);
        for (GroupListing listed : groups.values()) {
            ConsumerGroupDescription group = described.get(listed.groupId());
            Suite.require(group + " is of the type that is listed", listed.type().equals(Optional.of(group.type())));
            boolean modern = group.type() == GroupType.CONSUMER;
            lines.add(line("group", group.groupId(), group.type(), group.groupState(), group.partitionAssignor(),
                group.groupEpoch().map(Object::toString).orElse(""), group.targetAssignmentEpoch().map(Object::toString).orElse("")));
            for (MemberDescription member : group.members()) {
                lines.add(line("member", group.groupId(), member.consumerId(), member.groupInstanceId().orElse(""), member.clientId(), member.host(),
                    modern ? member.memberEpoch().map(Object::toString).orElse("") : "", partitions(member.assignment()),
                    modern ? member.targetAssignment().map(Facts::partitions).orElse("") : ""));
            }
        }
        Map<String, ListConsumerGroupOffsetsSpec> all = groups.keySet().stream()
            .collect(Collectors.toMap(group -> group, group -> new ListConsumerGroupOffsetsSpec()));
        Map<String, Map<TopicPartition, OffsetAndMetadata>> offsets = offsets(admin, all);
        offsets.forEach((group, committed) -> committed.forEach((partition, offset) -> lines.add(line("offset", group, partition.topic(),
            partition.partition(), offset.offset(), offset.leaderEpoch().map(Object::toString).orElse(""), offset.metadata()))));
        return lines.stream().sorted().toList();
    }

    private static Map<String, Map<TopicPartition, OffsetAndMetadata>> offsets(Admin admin, Map<String, ListConsumerGroupOffsetsSpec> groups)
            throws ExecutionException, InterruptedException {
        return groups.isEmpty() ? Map.of() : admin.listConsumerGroupOffsets(groups).all().get();
    }

    private static String partitions(MemberAssignment assignment) {
        Collection<TopicPartition> partitions = assignment.topicPartitions();
        return partitions.stream().map(TopicPartition::toString).sorted().collect(Collectors.joining(","));
    }

    private static String line(Object... parts) {
        return List.of(parts).stream().map(Object::toString).map(part -> part.isEmpty() ? "-" : part).collect(Collectors.joining("\t"));
    }
}
