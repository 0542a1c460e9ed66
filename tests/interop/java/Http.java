import java.net.CookieManager;
import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.GZIPInputStream;

/** rest and httpbin with the HttpClient of Java 11 and later. */
final class Http {
    private static final String FORM = "application/x-www-form-urlencoded";
    private static final String PROBLEM = "application/problem+json";
    private static final HttpClient CLIENT = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NORMAL)
            .cookieHandler(new CookieManager())
            .build();

    public static void main(String[] arguments) {
        String rest = arguments[0];
        String httpbin = arguments[1];

        Checks.check("GET", true, () ->
                send(to(rest + "/hello?name=" + encoded("Zoë"))).body().contains("<h1>Hello Zoë!</h1>"));
        Checks.check("HEAD", List.of(true, ""), () -> {
            HttpResponse<String> response = send(to(rest + "/hello?name=x").HEAD());
            return List.of(response.headers().firstValueAsLong("Content-Length").orElse(0) > 0, response.body());
        });
        Checks.check("form", true, () -> {
            BodyPublisher form = BodyPublishers.ofString("name=" + encoded("a & b=ü"));
            return send(json(rest + "/hello").header("Content-Type", FORM).POST(form)).body().contains("\"a & b=ü\"");
        });
        Checks.check("multipart", List.of(true, true), () -> {
            // The HttpClient has no forms with files, so this is how it is done by hand.
            String form = "--part\r\nContent-Disposition: form-data; name=\"file\"; filename=\"spam.txt\"\r\n"
                    + "Content-Type: text/plain\r\n\r\nspam\n\r\n--part--\r\n";
            String body = send(json(rest + "/files")
                    .header("Content-Type", "multipart/form-data; boundary=part")
                    .POST(BodyPublishers.ofString(form))).body();
            return List.of(body.contains("\"spam.txt\""), body.replace(" ", "").contains("\"size\":5"));
        });
        Checks.check("100-continue", 200, () -> send(to(rest + "/hello")
                .expectContinue(true)
                .header("Content-Type", FORM)
                .POST(BodyPublishers.ofString("name=x"))).statusCode());
        Checks.check("chunked request", true, () -> {
            byte[] form = "name=x".getBytes(StandardCharsets.UTF_8);
            BodyPublisher ofNoKnownLength = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(form));
            return send(json(rest + "/hello").header("Content-Type", FORM).POST(ofNoKnownLength)).body().contains("\"x\"");
        });
        Checks.check("keep-alive", 0, () -> {
            send(to(rest + "/localtime"));
            int before = Checks.connections();
            for (int i = 0; i < 3; i++) {
                send(to(rest + "/localtime"));
            }
            return Checks.connections() - before;
        });

        Checks.check("404", List.of(404, PROBLEM), () -> outcome(to(rest + "/missing")));
        Checks.check("405", List.of(405, "GET, HEAD, OPTIONS"), () -> {
            HttpResponse<String> response = send(to(rest + "/localtime").DELETE());
            return List.of(response.statusCode(), response.headers().firstValue("Allow").orElse(""));
        });
        Checks.check("406", List.of(406, PROBLEM), () ->
                outcome(to(rest + "/hello?name=x").header("Accept", "image/png")));
        Checks.check("413", List.of(413, PROBLEM), () -> outcome(to(rest + "/hello")
                .header("Content-Type", FORM)
                .POST(BodyPublishers.ofString("x".repeat(1_100_000)))));
        Checks.check("415", List.of(415, PROBLEM), () -> outcome(to(rest + "/hello")
                .header("Content-Type", "application/pdf")
                .POST(BodyPublishers.ofString("x"))));
        List<String> types = List.of("text/html", "application/json", "application/xml", "text/csv");
        Checks.check("Accept", types, () -> {
            List<Object> answers = new ArrayList<>();
            for (String type : types) {
                answers.add(outcome(to(rest + "/hello?name=x").header("Accept", type)).getLast());
            }
            return answers;
        });

        Checks.check("cookies", true, () ->
                send(to(httpbin + "/cookies/set?spam=eggs")).body().contains("\"spam\": \"eggs\""));
        Checks.check("redirect", List.of(200, "/get"), () -> {
            HttpResponse<String> response = send(to(httpbin + "/redirect/3"));
            return List.of(response.statusCode(), response.uri().getPath());
        });
        Checks.check("basic auth", 200, () -> {
            Authenticator user = new Authenticator() {
                @Override
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication("user", "password".toCharArray());
                }
            };
            HttpClient client = HttpClient.newBuilder().authenticator(user).build();
            HttpRequest request = to(httpbin + "/basic-auth/user/password").build();
            return client.send(request, BodyHandlers.ofString()).statusCode();
        });
        Checks.check("gzip", true, () -> {
            HttpRequest request = to(httpbin + "/gzip").header("Accept-Encoding", "gzip").build();
            byte[] body = CLIENT.send(request, BodyHandlers.ofByteArray()).body();
            byte[] text = new GZIPInputStream(new ByteArrayInputStream(body)).readAllBytes();
            return new String(text, StandardCharsets.UTF_8).contains("\"gzipped\": true");
        });
        Checks.check("chunked response", 5L, () -> send(to(httpbin + "/stream/5")).body().lines().count());
        Checks.check("large body", true, () -> {
            String body = "x".repeat(500_000);
            return send(to(httpbin + "/post").POST(BodyPublishers.ofString(body))).body().contains(body);
        });
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private static HttpRequest.Builder to(String url) {
        return HttpRequest.newBuilder(URI.create(url));
    }

    private static HttpRequest.Builder json(String url) {
        return to(url).header("Accept", "application/json");
    }

    private static HttpResponse<String> send(HttpRequest.Builder request) throws Exception {
        return CLIENT.send(request.build(), BodyHandlers.ofString());
    }

    /** The status of a response and its type, without parameters. */
    private static List<Object> outcome(HttpRequest.Builder request) throws Exception {
        HttpResponse<String> response = send(request);
        String type = response.headers().firstValue("Content-Type").orElse("");
        return List.of(response.statusCode(), type.split(";")[0]);
    }
}
