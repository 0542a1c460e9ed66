import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;

/** Makes checks, and prints a line of JSON for each. */
final class Checks {
    private Checks() {}

    /** Makes a check, and prints whether the function returns what is expected. */
    static void check(String name, Object expected, Callable<?> function) {
        try {
            Object got = function.call();
            boolean ok = Objects.deepEquals(got, expected);
            report(name, ok, ok ? "" : got + " instead of " + expected);
        } catch (Exception error) {
            Throwable cause = error;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            report(name, false, cause.getClass().getSimpleName() + ": " + cause.getMessage());
        }
    }

    /** Says why a check cannot be made. */
    static void absent(String name, String reason) {
        report(name, null, reason);
    }

    /** How many connections this network namespace has opened: ActiveOpens of proc_pid_net(5), snmp. */
    static int connections() throws Exception {
        List<String> lines =
                Files.readAllLines(Path.of("/proc/net/snmp")).stream().filter(line -> line.startsWith("Tcp:")).toList();
        return Integer.parseInt(lines.getLast().split(" ")[5]);
    }

    private static void report(String name, Boolean ok, String detail) {
        System.out.printf("{\"check\": %s, \"ok\": %s, \"detail\": %s}%n", quoted(name), ok, quoted(detail));
    }

    private static String quoted(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            json.append(c < ' ' || c == '"' || c == '\\' || c > '~' ? String.format("\\u%04x", (int) c) : c);
        }
        return json.append('"').toString();
    }
}
