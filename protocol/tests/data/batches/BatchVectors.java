// Writes vectors.tsv: record batches as Kafka's own classes make them. With kafka-clients 4.3.1 and what it
// depends on in libs/ (mvn dependency:copy-dependencies):
//
//     java -cp 'libs/*' BatchVectors.java > vectors.tsv
//
// protocol/tests/batches.rs says what is in each and must be changed along with this.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

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
