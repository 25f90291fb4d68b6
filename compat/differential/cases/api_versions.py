"""ApiVersions, FindCoordinator, InitProducerId, and versions that nobody knows."""

import wire

from .mark import case

# What is served so far. Kafka's answer is cut down to these: the rest is not a difference but work to do.
SERVED = ("Produce Fetch ListOffsets Metadata FindCoordinator ApiVersions CreateTopics DeleteTopics InitProducerId "
          "OffsetCommit OffsetFetch JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups ListGroups DeleteGroups OffsetDelete ConsumerGroupHeartbeat "
          "ConsumerGroupDescribe OffsetForLeaderEpoch DescribeConfigs AlterConfigs CreatePartitions IncrementalAlterConfigs DescribeCluster ListConfigResources DescribeTopicPartitions").split()


@case
def api_versions(peer):
    served = {wire.key(api) for api in SERVED}
    good = {"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1.0"}
    for version in range(0, 5):
        answer = peer.ask("good", "ApiVersions", version, good, record=False)
        answer["ApiKeys"] = [each for each in answer["ApiKeys"] if each["ApiKey"] in served]
        peer.note(f"good v{version}", answer)
    for label, fields in {
        "no name": {"ClientSoftwareName": "", "ClientSoftwareVersion": "1"},
        "no version": {"ClientSoftwareName": "a", "ClientSoftwareVersion": ""},
        "bad name": {"ClientSoftwareName": "a b", "ClientSoftwareVersion": "1"},
        "bad version": {"ClientSoftwareName": "a", "ClientSoftwareVersion": "-1-"},
        "dots and dashes": {"ClientSoftwareName": "a-b.c", "ClientSoftwareVersion": "1.0-x.y"},
    }.items():
        answer = peer.ask(label, "ApiVersions", 3, fields, record=False)
        peer.note(label, answer["ErrorCode"])
    # Versions beyond ours are answered in version 0, which knows no tags.
    for version in (5, 6, 99, 32767, -1):
        frame = bytearray(wire.request("ApiVersions", 4, good, peer._correlation + 1))
        peer._correlation += 1
        frame[2:4] = version.to_bytes(2, "big", signed=True)
        raw = peer.exchange(len(frame).to_bytes(4, "big") + frame)
        peer.note(f"too new {version}", peer.decoded("ApiVersions", 0, raw) if isinstance(raw, bytes) else raw)
    peer.ask("the connection lives on", "DescribeCluster", 0, {})


@case
def too_new_and_too_old(peer):
    for api in SERVED:
        if api == "ApiVersions":
            continue
        lowest, highest = wire.versions(api)[0], wire.versions(api)[-1]
        for version in {highest + 1, highest + 50, lowest - 1, 32767}:
            # The body is one of a version that exists: only the number in the header is wrong.
            frame = bytearray(wire.request(api, highest, {}, 7))
            frame[2:4] = version.to_bytes(2, "big", signed=True)
            raw = peer.exchange(len(frame).to_bytes(4, "big") + frame, 3)
            peer.note(f"{api} {version}", raw.hex() if isinstance(raw, bytes) else raw)


@case
def unknown_keys(peer):
    # 7 and 52 exist in Kafka, but are not for a broker's clients.
    for key in (-1, 7, 52, 58, 67, 95, 999, 32767):
        frame = key.to_bytes(2, "big", signed=True) + bytes.fromhex("0000 00000007 ffff 00")
        raw = peer.exchange(len(frame).to_bytes(4, "big") + frame, 3)
        peer.note(f"key {key}", raw.hex() if isinstance(raw, bytes) else raw)


@case
def find_coordinator(peer):
    if peer.broker.kind == "kafka":  # the first question has it make the topic, and its answers change once that is there
        fields = {"KeyType": 0, "CoordinatorKeys": ["g"]}
        peer.until(lambda: peer.call("FindCoordinator", 4, fields)["Coordinators"][0]["ErrorCode"] == 0)
    for version in wire.versions("FindCoordinator"):
        if version > 0:
            peer.ask("an unknown key type", "FindCoordinator", version, {"Key": "g", "KeyType": 9, "CoordinatorKeys": ["g"]})
        peer.ask("group", "FindCoordinator", version, {"Key": "g", "KeyType": 0, "CoordinatorKeys": ["g"]})


@case
def init_producer_id(peer):
    for version in wire.versions("InitProducerId"):
        if version > 5:
            continue
        peer.ask("plain", "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 60000})
        peer.ask("again", "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 60000})
        peer.ask("timeout of 0", "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 0})
        peer.ask("empty transactional id", "InitProducerId", version, {"TransactionalId": "", "TransactionTimeoutMs": 60000})
    for version in range(3, 6):
        for label, fields in {
            "its id and epoch": {"ProducerId": 0, "ProducerEpoch": 0},
            "an id without an epoch": {"ProducerId": 7, "ProducerEpoch": -1},
            "an epoch without an id": {"ProducerId": -1, "ProducerEpoch": 7},
            "an unknown id": {"ProducerId": 1 << 60, "ProducerEpoch": 3},
            "a last epoch": {"ProducerId": 0, "ProducerEpoch": 32767},
            "a negative id": {"ProducerId": -5, "ProducerEpoch": 0},
        }.items():
            peer.ask(label, "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 60000, **fields})
