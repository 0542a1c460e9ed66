import de.timroes.axmlrpc.XMLRPCClient;
import de.timroes.axmlrpc.XMLRPCException;
import de.timroes.axmlrpc.XMLRPCServerException;
import java.net.URI;
import java.util.Arrays;
import java.util.Date;
import java.util.GregorianCalendar;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** kv with aXMLRPC, the library of Android's applications. */
final class XmlRpc {
    private static XMLRPCClient kv;

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        boolean of1999 = url.endsWith("/1999");
        kv = new XMLRPCClient(URI.create(url).toURL());

        Checks.check("set", of1999 ? true : null, () -> kv.call("set", "java", "spam"));
        Checks.check("get", "spam", () -> roundTrip("spam"));
        Checks.check("exists", List.of(true, false), () -> {
            kv.call("set", "java", 1);
            return List.of(kv.call("exists", "java"), kv.call("exists", "java: missing"));
        });
        Checks.check("keys", true, () -> {
            kv.call("set", "java", 1);
            return Arrays.asList((Object[]) kv.call("keys")).contains("java");
        });
        Checks.check("delete", List.of(true, false), () -> {
            kv.call("set", "java", 1);
            return List.of(kv.call("delete", "java"), kv.call("exists", "java"));
        });
        Checks.check("compare_and_set", List.of(true, false, 2), () -> {
            kv.call("set", "java", 1);
            return List.of(
                    kv.call("compare_and_set", "java", 1, 2),
                    kv.call("compare_and_set", "java", 1, 3),
                    kv.call("get", "java"));
        });

        Checks.check("int", List.of(0, 2147483647), () -> List.of(roundTrip(0), roundTrip(2147483647)));
        Checks.check("negative int", -2147483648, () -> roundTrip(-2147483648));
        Checks.check("double", List.of(-0.1, 1.0, 1234567.125), () -> List.of(roundTrip(-0.1), roundTrip(1.0), roundTrip(1234567.125)));
        Checks.check("boolean", List.of(true, false), () -> List.of(roundTrip(true), roundTrip(false)));
        Checks.check("text beyond ASCII", "Zoë 漢字", () -> roundTrip("Zoë 漢字"));
        Checks.check("emoji", "🐍", () -> roundTrip("🐍"));
        Checks.check("markup", "<b>&amp; \"]]>'</b>", () -> roundTrip("<b>&amp; \"]]>'</b>"));
        Checks.check("line ends", "a\r\nb\rc\n", () -> roundTrip("a\r\nb\rc\n"));
        Checks.check("white space", List.of(" \t a ", ""), () -> List.of(roundTrip(" \t a "), roundTrip("")));
        Date date = new GregorianCalendar(1998, 6, 17, 14, 8, 55).getTime();
        Checks.check("dateTime", date, () -> roundTrip(date));
        Checks.check("base64", "00ff0d0a", () -> {
            byte[] bytes = HexFormat.of().parseHex("00ff0d0a");
            return HexFormat.of().formatHex((byte[]) roundTrip(bytes));
        });
        Object[] array = {1, "two", false, new Object[0]};
        Checks.check("array", array, () -> roundTrip(array));
        Map<String, Object> struct = Map.of("one", 1, "zwei ü", "2");
        Checks.check("struct", struct, () -> roundTrip(struct));
        Checks.check("nested", "c", () -> {
            Object[] list = {new Object[] {1, new Object[] {2}}, Map.of("b", new Object[] {"c"})};
            Map<?, ?> got = (Map<?, ?>) roundTrip(Map.of("a", list));
            Map<?, ?> inner = (Map<?, ?>) ((Object[]) got.get("a"))[1];
            return ((Object[]) inner.get("b"))[0];
        });

        Checks.check("fault", 1, () -> {
            try {
                return kv.call("get", "java: missing");
            } catch (XMLRPCServerException fault) {
                return fault.getErrorNr();
            }
        });

        Checks.check("listMethods", true, () ->
                Arrays.asList((Object[]) kv.call("system.listMethods")).contains("compare_and_set"));
        Checks.check("methodHelp", true, () -> ((String) kv.call("system.methodHelp", "set")).contains("name"));
        Checks.check("methodSignature", new Object[] {new Object[] {"boolean", "string"}}, () ->
                kv.call("system.methodSignature", "exists"));
        Checks.check("multicall", List.of(true, "spam", 1), () -> {
            kv.call("set", "java", "spam");
            Object[] calls = {
                Map.of("methodName", "exists", "params", new Object[] {"java"}),
                Map.of("methodName", "get", "params", new Object[] {"java"}),
                Map.of("methodName", "get", "params", new Object[] {"java: missing"}),
            };
            Object[] results = (Object[]) kv.call("system.multicall", (Object) calls);
            Object exists = ((Object[]) results[0])[0];
            Object value = ((Object[]) results[1])[0];
            return List.of(exists, value, ((Map<?, ?>) results[2]).get("faultCode"));
        });
        Checks.check("keep-alive", 0, () -> {
            kv.call("exists", "java");
            int before = Checks.connections();
            for (int i = 0; i < 3; i++) {
                kv.call("exists", "java");
            }
            return Checks.connections() - before;
        });
        Checks.check("nil", of1999 ? 3 : null, () -> {
            XMLRPCClient withNil = new XMLRPCClient(URI.create(url).toURL(), XMLRPCClient.FLAGS_NIL);
            withNil.call("set", "java", null);
            try {
                return withNil.call("get", "java");
            } catch (XMLRPCServerException fault) {
                return fault.getErrorNr();
            }
        });
    }

    /** Sets a value, and returns what is stored. */
    private static Object roundTrip(Object value) throws XMLRPCException {
        kv.call("set", "java", value);
        return kv.call("get", "java");
    }
}
