# Prints the versions of the clients as an object of JSON, by the names of tests/interop/matrix.py.
package() { dpkg-query --show --showformat '${source:Upstream-Version}' "$1" | sed 's/+.*//'; }

jq -n '$ARGS.named' \
    --arg "Ruby" "$(ruby -e 'puts RUBY_VERSION')" \
    --arg "xmlrpc (gem)" "$(package ruby-xmlrpc)" \
    --arg "Perl" "$(package perl)" \
    --arg "Frontier::Client" "$(package libfrontier-rpc-perl)" \
    --arg "RPC::XML" "$(package librpc-xml-perl)" \
    --arg "PHP" "$(php -r 'echo PHP_VERSION;')" \
    --arg "xmlrpc (PECL)" "$(package php-xmlrpc)" \
    --arg "Node.js" "$(package nodejs)" \
    --arg "xmlrpc (npm)" "$(jq -r .version /node_modules/xmlrpc/package.json)" \
    --arg "Java" "$(java --version | cut -d ' ' -f 2 | head -n 1)" \
    --arg "aXMLRPC" "$(package libaxmlrpc-java)" \
    --arg "curl" "$(package curl)" \
    --arg "Python" "$(python3 -c 'import platform; print(platform.python_version())')"
