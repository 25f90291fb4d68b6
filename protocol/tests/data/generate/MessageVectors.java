// Makes vectors of messages with random content, serialized by Kafka's own classes. README.md says how to run it.
//
//     MessageVectors api KEY VERSION-VERSION ...     key, version, request or response, hex of the body
//     MessageVectors stored CLASS ...                class, version, hex with what Kafka's logs have in front
//
// A message is filled along the schema of its version, so that each field that the version has gets a value.

import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.Collection;
import java.util.HexFormat;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

public class MessageVectors {
    static final int SAMPLES = 4;

    final Random random;

    MessageVectors(long seed) {
        random = new Random(seed);
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("api")) {
            for (int at = 1; at < args.length; at += 2) {
                String[] range = args[at + 1].split("-");
                api(Integer.parseInt(args[at]), Short.parseShort(range[0]), Short.parseShort(range[range.length - 1]));
            }
        } else {
            for (int at = 1; at < args.length; at++) stored(Class.forName(args[at]));
        }
    }

    static void api(int key, short min, short max) throws Exception {
        String name = ApiKeys.forId(key).messageType.name;
        for (String direction : new String[] {"Request", "Response"}) {
            Class<?> type = Class.forName("org.apache.kafka.common.message." + name + direction + "Data");
            for (short version = min; version <= max; version++) {
                for (int sample = 0; sample < SAMPLES; sample++) {
                    Message message = message(type, version, sample);
                    System.out.println(key + "\t" + version + "\t" + direction.toLowerCase() + "\t"
                        + hex(message, version));
                }
            }
        }
    }

    static void stored(Class<?> type) throws Exception {
        Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
        for (short version = 0; version < schemas.length; version++) {
            for (int sample = 0; sample < SAMPLES; sample++) {
                Message message = message(type, version, sample);
                String prefix;
                Field own = ownVersion(type);
                if (own != null) {
                    // Control records of the metadata log begin with their version, as a field.
                    own.set(message, version);
                    prefix = "";
                } else {
                    // Keys of coordinators have their type in front, all else its version.
                    boolean isKey = type.getSimpleName().endsWith("Key");
                    prefix = String.format("%04x", isKey ? ((ApiMessage) message).apiKey() : version);
                }
                System.out.println(type.getSimpleName() + "\t" + version + "\t" + prefix + hex(message, version));
            }
        }
    }

    static Field ownVersion(Class<?> type) {
        for (Field field : type.getDeclaredFields()) {
            if (!field.getName().equals("version") || field.getType() != short.class) continue;
            field.setAccessible(true);
            return field;
        }
        return null;
    }

    static Message message(Class<?> type, short version, int sample) throws Exception {
        MessageVectors vectors = new MessageVectors((type.getName() + version).hashCode() * 31L + sample);
        Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
        return (Message) vectors.struct(type, schema);
    }

    Object struct(Class<?> type, Schema schema) throws Exception {
        Object struct = type.getConstructor().newInstance();
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                Field fields = TaggedFields.class.getDeclaredField("fields");
                fields.setAccessible(true);
                for (Object field : ((Map<?, ?>) fields.get(tagged)).values()) {
                    var def = (org.apache.kafka.common.protocol.types.Field) field;
                    if (random.nextInt(2) == 0) fill(struct, def.name, def.type);
                }
            } else {
                fill(struct, bound.def.name, bound.def.type);
            }
        }
        return struct;
    }

    void fill(Object struct, String name, Type type) throws Exception {
        for (Field field : struct.getClass().getDeclaredFields()) {
            if (!field.getName().equalsIgnoreCase(name.replace("_", ""))) continue;
            field.setAccessible(true);
            field.set(struct, value(type, field));
            return;
        }
        throw new IllegalArgumentException(struct.getClass() + " has no " + name);
    }

    Object value(Type type, Field field) throws Exception {
        if (type.isNullable() && random.nextInt(3) == 0) return null;
        Class<?> java = field.getType();
        if (type.isArray()) return array(type.arrayElementType().get(), field);
        if (type instanceof Schema schema) return struct(java, schema);
        return primitive(java, type);
    }

    @SuppressWarnings("unchecked")
    Object array(Type element, Field field) throws Exception {
        Class<?> java = field.getType();
        Collection<Object> elements;
        Class<?> inner;
        if (field.getGenericType() instanceof ParameterizedType list) {
            elements = new java.util.ArrayList<>();
            inner = (Class<?>) list.getActualTypeArguments()[0];
        } else {
            elements = (Collection<Object>) java.getConstructor().newInstance();
            inner = (Class<?>) ((ParameterizedType) java.getGenericSuperclass()).getActualTypeArguments()[0];
        }
        for (int count = random.nextInt(4); count > 0; count--) {
            elements.add(element instanceof Schema schema ? struct(inner, schema) : primitive(inner, element));
        }
        return elements;
    }

    Object primitive(Class<?> java, Type type) throws Exception {
        if (java == boolean.class || java == Boolean.class) return random.nextBoolean();
        if (java == byte.class || java == Byte.class) return (byte) integer();
        if (java == short.class || java == Short.class) return (short) integer();
        // Java has an int for what is an unsigned 16-bit number on the wire.
        if (type == Type.UINT16) return (int) integer() & 0xffff;
        if (java == int.class || java == Integer.class) return (int) integer();
        if (java == long.class || java == Long.class) return integer();
        if (java == double.class || java == Double.class) return random.nextGaussian() * 1000;
        if (java == Uuid.class) return new Uuid(random.nextLong(), random.nextLong());
        if (java == byte[].class) return bytes();
        if (java == ByteBuffer.class) return ByteBuffer.wrap(bytes());
        if (java.getSimpleName().equals("BaseRecords")) {
            // Kafka 4 has moved the package.
            Class<?> records = Class.forName(java.getPackageName() + ".MemoryRecords");
            return records.getMethod("readableRecords", ByteBuffer.class).invoke(null, ByteBuffer.wrap(bytes()));
        }
        if (java == String.class) return text();
        throw new IllegalArgumentException("no value for " + java);
    }

    long integer() {
        return switch (random.nextInt(4)) {
            case 0 -> random.nextInt(3) - 1;
            case 1 -> random.nextInt(1000);
            default -> random.nextLong();
        };
    }

    byte[] bytes() {
        byte[] bytes = new byte[random.nextInt(4) == 0 ? 0 : random.nextInt(200)];
        random.nextBytes(bytes);
        return bytes;
    }

    String text() {
        return switch (random.nextInt(8)) {
            case 0 -> "";
            case 1 -> "\u00df\u20ac\ud83e\udd80".repeat(1 + random.nextInt(15));
            case 2 -> "x".repeat(126 + random.nextInt(4));
            default -> "name-" + random.nextInt(1000);
        };
    }

    static String hex(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBufferAccessor accessor = new ByteBufferAccessor(ByteBuffer.allocate(message.size(cache, version)));
        message.write(accessor, cache, version);
        return HexFormat.of().formatHex(accessor.buffer().array());
    }
}
