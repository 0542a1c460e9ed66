"""The page with Falcon."""

import falcon

from bench.peers.rest import page


class Hello:
    """The resource at /hello and /hello/NAME."""

    def on_get(self, request: falcon.Request, response: falcon.Response, name: str = "") -> None:
        """Greet by name; without one Falcon answers 400."""
        response.content_type = falcon.MEDIA_HTML
        response.text = page(name or request.get_param("name", required=True))


application = falcon.App()
application.add_route("/hello", Hello())
application.add_route("/hello/{name}", Hello())
