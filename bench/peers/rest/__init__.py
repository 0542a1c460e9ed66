"""Peers of rest: the same page by other frameworks, and our application under other servers.

The frameworks run under the very gunicorn configuration of ours:
`gunicorn -c services/rest/gunicorn.conf.py bench.peers.rest.flask_app:application`.
"""

import html

PAGE = """\
<html>
  <head>
     <title>Hello {name}</title>
   </head>
   <body>
     <h1>Hello {name}!</h1>
   </body>
</html>"""


def page(name: str) -> str:
    """Return what `GET /hello?name=` answers."""
    return PAGE.format(name=html.escape(name))
