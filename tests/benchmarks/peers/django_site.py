"""PyPI's django-oauth-toolkit in a Django site: settings, routes and WSGI application in one module.

It runs in an environment of its own, which has nothing of ours: `python django_site.py` makes the tables and the
client, gunicorn serves `django_site:application`. Settings are those of `startproject`, but for what is said here.
"""

import os
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

_database = urlsplit(os.environ["PEER_DATABASE_URL"])

settings.configure(
    SECRET_KEY=os.environ["PEER_SECRET"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _database.path.removeprefix("/"),
            "HOST": parse_qs(_database.query)["host"][0],
            "USER": _database.username,
            "CONN_MAX_AGE": None,  # a connection is kept, as ours are; by default there is a new one for each request
        }
    },
    OAUTH2_PROVIDER={"SCOPES": {"read": "Read", "introspection": "Introspect"}, "ACCESS_TOKEN_EXPIRE_SECONDS": 3600},
)
django.setup()
urlpatterns = [path("o/", include("oauth2_provider.urls"))]
application = get_wsgi_application()


def _make_client(client_id: str, secret: str) -> None:
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    Application.objects.create(
        client_id=client_id,
        # By default it is kept as a hash for human passwords, which takes a good part of a second for each request.
        client_secret=secret,
        hash_client_secret=False,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )


if __name__ == "__main__":
    _make_client(os.environ["PEER_CLIENT"], os.environ["PEER_SECRET"])
