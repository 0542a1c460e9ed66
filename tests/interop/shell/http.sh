# rest and httpbin with curl.
set -u
rest=$1 httpbin=$2
work=$(mktemp -d)

# check NAME EXPECTED COMMAND...: makes a check, and prints whether the command prints what is expected.
check() {
    local name=$1 expected=$2 got status=0
    got=$("${@:3}" 2>"$work/error") || status=$?
    if [ "$got" = "$expected" ] && [ $status = 0 ]; then
        report "$name" true ""
    else
        report "$name" false "'$got' instead of '$expected', status $status: $(cat "$work/error")"
    fi
}

report() { jq -nc --arg check "$1" --argjson ok "$2" --arg detail "$3" '{check: $check, ok: $ok, detail: $detail}'; }

get() { curl -sS "$@"; }
status() { get -o /dev/null -w '%{http_code} %{content_type}' "$@"; }
# JSON of the answer, by a filter of jq.
json() { get "${@:2}" | jq -c "$1"; }

head -c 500000 /dev/zero | tr '\0' x >"$work/large"
head -c 1100000 /dev/zero >"$work/too-large"
printf 'spam\n' >"$work/spam.txt"

greeting() { get "$rest/hello?name=Zo%C3%AB" | grep -o '<h1>.*</h1>'; }
check "GET" "<h1>Hello Zoë!</h1>" greeting

head_and_get() { echo "$(get -I "$1" | grep -ic '^content-length: [1-9]') $(get -I "$1" | grep -c '<html>')"; }
check "HEAD" "1 0" head_and_get "$rest/hello?name=x"

check "form" '"a & b=ü"' json .name -H 'Accept: application/json' --data-urlencode 'name=a & b=ü' "$rest/hello"
check "multipart" '["spam.txt",5]' json '.[0] | [.name, .size]' -H 'Accept: application/json' -F "file=@$work/spam.txt" "$rest/files"

continued() { get -v -H 'Expect: 100-continue' -d name=x "$rest/hello" 2>&1 | grep -oE '< HTTP/1.1 (100|200)' | tr -d '\n'; }
check "100-continue" "< HTTP/1.1 100< HTTP/1.1 200" continued

check "chunked request" '"x"' json .name -H 'Accept: application/json' -H 'Transfer-Encoding: chunked' -d name=x "$rest/hello"

# %{num_connects}: how many connections each transfer has opened.
connects() { get -w '%{num_connects}' -o /dev/null "$1" -o /dev/null "$1" -o /dev/null "$1"; }
check "keep-alive" "100" connects "$rest/localtime"

check "404" "404 application/problem+json" status "$rest/missing"
check "405" "405 GET, HEAD, OPTIONS" get -X DELETE -o /dev/null -w '%{http_code} %header{allow}' "$rest/localtime"
check "406" "406 application/problem+json" status -H 'Accept: image/png' "$rest/hello?name=x"
check "413" "413 application/problem+json" status --data-binary "@$work/too-large" "$rest/hello"
check "415" "415 application/problem+json" status -H 'Content-Type: application/pdf' -d x "$rest/hello"

accepted() { for type in text/html application/json application/xml text/csv; do get -o /dev/null -w '%{content_type} ' -H "Accept: $type" "$rest/hello?name=x"; done | sed 's/; *charset=[^ ]*//g'; }
check "Accept" "text/html application/json application/xml text/csv " accepted

check "cookies" '{"spam":"eggs"}' json .cookies -L -c "$work/jar" -b "$work/jar" "$httpbin/cookies/set?spam=eggs"
check "redirect" "200 3" get -L -o /dev/null -w '%{http_code} %{num_redirects}' "$httpbin/redirect/3"
check "basic auth" 'true' json .authenticated -u user:password "$httpbin/basic-auth/user/password"
check "gzip" "true" json .gzipped --compressed "$httpbin/gzip"
lines() { get "$@" | wc -l; }
check "chunked response" "5" lines "$httpbin/stream/5"
check "large body" "500000" json '.data | length' -H 'Content-Type: text/plain' --data-binary "@$work/large" "$httpbin/post"
