import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command line tools one after the other in one JVM. A line of standard input is the class of a tool and its
 * arguments, separated by tabs; the answer is the number of bytes that the tool printed, a line feed, and those bytes.
 */
public final class Tools {
    private Tools() {}

    /** Instead of the end of the process. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1;
    }

    public static void main(String[] none) throws IOException, ReflectiveOperationException {
        Exit.setExitProcedure((status, message) -> {
            throw new Ended();
        });
        Exit.setHaltProcedure((status, message) -> {
            throw new Ended();
        });
        PrintStream answers = System.out;
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split("\t");
            byte[] printed = printed(Class.forName(words[0]), Arrays.copyOfRange(words, 1, words.length));
            answers.print(printed.length + "\n");
            answers.write(printed);
            answers.flush();
        }
    }

    private static byte[] printed(Class<?> tool, String[] arguments) throws ReflectiveOperationException {
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream stream = new PrintStream(printed, true, StandardCharsets.UTF_8);
        System.setOut(stream);
        System.setErr(stream);
        try {
            tool.getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException failure) {
            if (!(failure.getCause() instanceof Ended)) {
                stream.println("thrown: " + failure.getCause());
            }
        }
        stream.flush();
        return printed.toByteArray();
    }
}
