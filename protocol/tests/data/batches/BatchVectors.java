// Writes vectors.tsv: record batches as Kafka's own classes make them. With kafka-clients 4.3.1 and what it
// depends on in libs/ (mvn dependency:copy-dependencies):
//
//     java -cp 'libs/*' BatchVectors.java > vectors.tsv
//
// protocol/tests/batches.rs says what is in each and must be changed along with this.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.ByteBufferOutputStream;

public class BatchVectors {
    static final long TIME = 1_700_000_000_000L;

    public static void main(String[] args) {
        for (CompressionType type : CompressionType.values()) {
            Compression compression = Compression.of(type).build();
            write("plain-" + type.name, plain(compression, TimestampType.CREATE_TIME, -1, (short) -1, -1, false));
            if (type != CompressionType.NONE) write("large-" + type.name, large(compression));
        }
        write("idempotent", plain(Compression.NONE, TimestampType.CREATE_TIME, 4711, (short) 3, Integer.MAX_VALUE - 1, false));
        write("transactional", plain(Compression.NONE, TimestampType.CREATE_TIME, 4711, (short) 3, 8, true));
        write("append-time", plain(Compression.NONE, TimestampType.LOG_APPEND_TIME, -1, (short) -1, -1, false));
        write("commit", marker(ControlRecordType.COMMIT));
        write("abort", marker(ControlRecordType.ABORT));
        write("leader-change", MemoryRecords.withLeaderChangeMessage(5, TIME, 2, ByteBuffer.allocate(512),
            new LeaderChangeMessage().setLeaderId(1)));
        control();
        levels();
        shapes();
    }

    static void control() {
        write("voted", MemoryRecords.withLeaderChangeMessage(5, TIME, 2, ByteBuffer.allocate(512),
            new LeaderChangeMessage().setLeaderId(1).setVoters(List.of(voter(1), voter(2), voter(3)))
                .setGrantingVoters(List.of(voter(1), voter(3)))));
        write("snapshot-header", MemoryRecords.withSnapshotHeaderRecord(0, TIME, 2, ByteBuffer.allocate(512),
            new SnapshotHeaderRecord().setLastContainedLogTimestamp(TIME - 5)));
        write("snapshot-footer", MemoryRecords.withSnapshotFooterRecord(9, TIME, 2, ByteBuffer.allocate(512),
            new SnapshotFooterRecord()));
        write("kraft-version", MemoryRecords.withKRaftVersionRecord(1, TIME, 2, ByteBuffer.allocate(512),
            new KRaftVersionRecord().setKRaftVersion((short) 1)));
        VotersRecord.EndpointCollection endpoints = new VotersRecord.EndpointCollection();
        endpoints.add(new VotersRecord.Endpoint().setName("CONTROLLER").setHost("localhost").setPort(65_535));
        write("kraft-voters", MemoryRecords.withVotersRecord(2, TIME, 2, ByteBuffer.allocate(512),
            new VotersRecord().setVoters(List.of(new VotersRecord.Voter().setVoterId(3)
                .setVoterDirectoryId(new Uuid(1, 2)).setEndpoints(endpoints)
                .setKRaftVersionFeature(new VotersRecord.KRaftVersionFeature().setMaxSupportedVersion((short) 1))))));
    }

    static LeaderChangeMessage.Voter voter(int id) {
        return new LeaderChangeMessage.Voter().setVoterId(id);
    }

    static void levels() {
        for (int level : new int[] {1, 9}) {
            write("gzip-" + level, levelled(Compression.gzip().level(level).build()));
        }
        for (int level : new int[] {1, 17}) {
            write("lz4-" + level, levelled(Compression.lz4().level(level).build()));
        }
        for (int level : new int[] {-5, 1, 22}) {
            write("zstd-" + level, levelled(Compression.zstd().level(level).build()));
        }
    }

    static MemoryRecords levelled(Compression compression) {
        return plain(compression, TimestampType.CREATE_TIME, -1, (short) -1, -1, false);
    }

    static void shapes() {
        for (CompressionType type : CompressionType.values()) {
            Compression compression = Compression.of(type).build();
            write("transactional-" + type.name, plain(compression, TimestampType.CREATE_TIME, 4711, (short) 3, 8, true));
            write("append-time-" + type.name, plain(compression, TimestampType.LOG_APPEND_TIME, 4711, (short) 3, 8, true));
        }

        // As a compacted log has them.
        MemoryRecordsBuilder gaps = builder(TimestampType.CREATE_TIME, 0);
        gaps.appendWithOffset(107, TIME, bytes("a"), bytes("1"));
        gaps.appendWithOffset(100L + Integer.MAX_VALUE, TIME + 1, bytes("b"), bytes("2"));
        write("gaps", gaps.build());
        MemoryRecordsBuilder longer = builder(TimestampType.CREATE_TIME, 0);
        longer.append(TIME, bytes("a"), bytes("1"));
        longer.overrideLastOffset(200);
        write("last-offset", longer.build());
        MemoryRecordsBuilder horizon = new MemoryRecordsBuilder(
            new ByteBufferOutputStream(1024), (byte) 2, Compression.NONE, TimestampType.CREATE_TIME, 100, -1, -1,
            (short) -1, -1, false, false, 9, 1024, TIME + 86_400_000);
        horizon.append(TIME, bytes("gone"), null);
        horizon.append(TIME + 7, bytes("gone too"), null);
        write("delete-horizon", horizon.build());
        ByteBuffer empty = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(empty, (byte) 2, 4711, (short) 3, 8, 100, 109, 9, TimestampType.CREATE_TIME,
            TIME, true, false);
        empty.flip();
        write("empty", MemoryRecords.readableRecords(empty));

        // Edges of the numbers.
        MemoryRecordsBuilder times = builder(TimestampType.CREATE_TIME, 0);
        times.append(TIME, null, bytes("now"));
        times.append(0, null, bytes("1970"));
        times.append(Long.MAX_VALUE, null, bytes("late"));
        write("times", times.build());
        MemoryRecordsBuilder timeless = builder(TimestampType.CREATE_TIME, 0);
        timeless.append(-1, bytes("k"), bytes("v"));
        write("no-time", timeless.build());
        MemoryRecordsBuilder headers = builder(TimestampType.CREATE_TIME, 0);
        Header[] many = new Header[130];
        for (int i = 0; i < many.length; i++) {
            many[i] = new RecordHeader(i % 3 == 0 ? "" : "h" + i, i % 2 == 0 ? null : new byte[i]);
        }
        headers.append(TIME, (byte[]) null, null, many);
        write("headers", headers.build());
    }

    static MemoryRecordsBuilder builder(TimestampType type, long appendTime) {
        return new MemoryRecordsBuilder(ByteBuffer.allocate(1024), (byte) 2, Compression.NONE, type,
            100, appendTime, -1, (short) -1, -1, false, false, 9, 1 << 20);
    }

    static MemoryRecords plain(Compression compression, TimestampType type, long id, short epoch, int sequence, boolean txn) {
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(ByteBuffer.allocate(1024), (byte) 2, compression, type,
            100, TIME + 77, id, epoch, sequence, txn, false, 9, 1024);
        builder.append(TIME, bytes("key"), bytes("value"));
        builder.append(TIME + 10, null, bytes("no key"));
        builder.append(TIME - 10, bytes("no value"), null);
        builder.append(TIME + 5, (byte[]) null, null);
        builder.append(TIME + 5, new byte[0], new byte[0], new Header[] {
            new RecordHeader("h", bytes("1")), new RecordHeader("h", (byte[]) null), new RecordHeader("\u00e9", new byte[0])});
        builder.append(TIME + 5, new byte[300], bytes("x".repeat(70)));
        return builder.build();
    }

    static MemoryRecords large(Compression compression) {
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(ByteBuffer.allocate(1024), (byte) 2, compression,
            TimestampType.CREATE_TIME, 0, -1, -1, (short) -1, -1, false, false, -1, 1 << 20);
        for (int i = 0; i < 5; i++) {
            byte[] value = new byte[50_000];
            for (int j = 0; j < value.length; j++) value[j] = (byte) ('a' + (j / 100 + i) % 26);
            builder.append(TIME + i, null, value);
        }
        return builder.build();
    }

    static MemoryRecords marker(ControlRecordType type) {
        return MemoryRecords.withEndTransactionMarker(33, TIME, 4, 4711, (short) 3, new EndTransactionMarker(type, 12));
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void write(String name, MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] batch = new byte[buffer.remaining()];
        buffer.get(batch);
        System.out.println(name + "\t" + HexFormat.of().formatHex(batch));
    }
}
