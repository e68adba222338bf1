"""GET and POST /account/connections: which clients may use a user's account, and how to take it back."""

from authsvc.models import Connection
from authsvc.protocol.forms import Form
from authsvc.web.account import Guest, build_forms, find_notice, hear, show, to_room
from authsvc.web.pages.views import ConnectionsPage, ConnectionView, Notice, Room
from authsvc.web.request import Call, flows_of, pages_of, wishes_of
from authsvc.web.responses import Answer

ROOM = Room.CONNECTIONS


async def show_connections(request: Call) -> Answer:
    """All of them."""
    return await show(request, ROOM, _draw)


async def end_connection(request: Call) -> Answer:
    """Take back what one of them was allowed."""
    return await hear(request, ROOM, _draw, _end)


async def _end(request: Call, guest: Guest, form: Form) -> Answer:
    client_id = form.one("client_id")
    if client_id is None:
        return await to_room(request, guest, ROOM)
    await flows_of(request).connections.end(guest.session, client_id)
    return await to_room(request, guest, ROOM, Notice.DISCONNECTED)


async def _draw(request: Call, guest: Guest, *, has_expired: bool = False) -> Answer:
    listed = await flows_of(request).connections.list_all(guest.session)
    form, logout, headers = await build_forms(request, guest, ROOM)
    page = ConnectionsPage(
        email=guest.user.email,
        logout=logout,
        notice=await find_notice(request, guest, ROOM),
        has_expired=has_expired,
        form=form,
        connections=tuple(map(_view, listed)),
    )
    return pages_of(request).draw(page, wishes_of(request.scope), 403 if has_expired else 200, headers)


def _view(connection: Connection) -> ConnectionView:
    client = connection.client
    return ConnectionView(client_id=client.client_id, name=client.name, scope=connection.scope, since=connection.since)
